"""The open files, with what is known of each, and the files that may include one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from lsprotocol import types as lsp

from netspec.analysis.analyse import Analysis, analyse
from netspec.analysis.model import Node
from netspec.errors import Span
from netspec.lsp.document import Document, Opened, nodes_in, path_of, same_file, uri_of
from netspec.lsp.positions import Encoding, Positions
from netspec.lsp.worker import Worker
from netspec.source import Path as TextPath
from netspec.view.summary import Summary

_MOST_FILES = 2_000  # that are looked through for those that include one
_LARGEST = 1_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """With what specs are analysed, and what is shown beside their lines."""

    act: str = "module"
    plugins: tuple[str, ...] = ()
    with_parameters: bool = False


class Workspace:
    """What is open. All but `Worker`'s work happens in the thread that reads messages."""

    def __init__(self, settings: Settings, on_analysis: Callable[[Opened], None]) -> None:
        self.settings = settings
        self.worker = Worker()
        self.encoding: Encoding = lsp.PositionEncodingKind.Utf16
        self.folders: list[Path] = []
        self.opened: dict[str, Opened] = {}
        self._on_analysis = on_analysis

    def put(self, uri: str, text: str, version: int | None) -> None:
        """A file was opened or changed; those that include it are looked at again, too."""
        self._ask(Document(uri, text, version, self.encoding))
        file = path_of(uri)
        for other in list(self.opened.values()):
            if other.document.uri != uri and self._depends(other, file):
                self._ask(other.document)

    def close(self, uri: str) -> None:
        found = self.opened.pop(uri, None)
        if found is not None:
            self.worker.drop(("analysis", uri))
            self.worker.drop(("costs", uri))

    def refresh(self, files: Sequence[str]) -> None:
        """Files changed on disk."""
        for each in list(self.opened.values()):
            if any(self._depends(each, file) for file in files):
                self._ask(each.document)

    def _depends(self, opened: Opened, file: str) -> bool:
        """Whether a file is read for an open one; where that is not known yet, it may be."""
        latest = opened.latest
        if latest is None:
            return True
        names = {os.path.basename(known) for known in latest.asked_files}
        return os.path.basename(file) in names

    def _ask(self, document: Document) -> None:
        uri = document.uri
        before = self.opened.get(uri)
        latest = before.latest if before is not None else None
        self.worker.drop(("costs", uri))
        unsaved = self.unsaved(uri)
        future = self.worker.ask(
            ("analysis", uri), lambda: self._analysed(document, latest, unsaved)
        )
        opened = Opened(document, future, latest)
        self.opened[uri] = opened

        def done(answered: Future[Analysis]) -> None:
            if not answered.cancelled() and answered.exception() is None:
                opened.latest, opened.costs = answered.result(), None
                self._on_analysis(opened)

        future.add_done_callback(done)

    def unsaved(self, but: str = "") -> dict[str, str]:
        """The texts of open files by their paths."""
        return {o.document.file: o.document.text for uri, o in self.opened.items() if uri != but}

    def _analysed(
        self, document: Document, before: Analysis | None, unsaved: dict[str, str]
    ) -> Analysis:
        found = analyse(
            document.text, path=document.file, act=self.settings.act,
            plugins=self.settings.plugins, before=before, unsaved=unsaved,
        )  # fmt: skip
        found.nodes, found.names  # noqa: B018  made here, and not where messages are read
        return found

    def ask_costs(self, opened: Opened) -> None:
        """FLOPs and bytes, once nothing else is asked."""
        analysis = opened.latest
        if analysis is None or analysis.diagnostics or analysis.is_library:
            return
        future = self.worker.ask(("costs", opened.document.uri), analysis.costs, idle=True)

        def done(answered: Future[Summary | None]) -> None:
            if not answered.cancelled() and answered.exception() is None:
                opened.costs = answered.result()

        future.add_done_callback(done)

    def nodes_of(self, opened: Opened, analysis: Analysis) -> dict[TextPath, list[Node]]:
        """The nodes of a file; of a file of blocks those of an open spec that includes it."""
        own = nodes_in(analysis, opened.document.file)
        if own or not analysis.is_library:
            return own
        for other in reversed(list(self.opened.values())):
            if other.latest is not None and other is not opened:
                found = nodes_in(other.latest, opened.document.file)
                if any(node.output is not None for copies in found.values() for node in copies):
                    return found
        return {}

    def locate(self, span: Span) -> lsp.Location:
        """Where a span of any file lies."""
        uri = next(
            (u for u, o in self.opened.items() if same_file(o.document.file, span.file)), None
        )
        if uri is not None:
            return lsp.Location(uri, self.opened[uri].document.positions.range_of(span))
        line = Positions(span.text, self.encoding)
        start = line.position_of(min(span.column - 1, len(span.text))).character
        end = line.position_of(min(span.column - 1 + span.width, len(span.text))).character
        number = max(0, span.line - 1)
        where = lsp.Range(lsp.Position(number, start), lsp.Position(number, end))
        return lsp.Location(uri_of(span.file), where)

    def text_of(self, file: str) -> str | None:
        """The text of a file, as the editor has it, else as the disk has it."""
        for opened in self.opened.values():
            if same_file(opened.document.file, file):
                return opened.document.text
        try:
            with open(file, encoding="utf-8", newline="") as opened_file:
                return opened_file.read(_LARGEST)
        except (OSError, ValueError):
            return None

    def including(self, file: str, word: str) -> Iterator[Analysis]:
        """The analyses of the files around that include one, and have this word."""
        name = os.path.basename(file)
        for candidate in self._around(file):
            if same_file(candidate, file):
                continue
            text = self.text_of(candidate)
            if text is None or name not in text or word not in text:
                continue
            found = self.analysed(text, candidate)
            if any(same_file(str(known), file) for known in found.files):
                yield found

    def analysed(self, text: str, file: str, changed: Mapping[str, str] | None = None) -> Analysis:
        """What is known of another text, as if the changed files were saved."""
        unsaved = {path: t for path, t in self.unsaved().items() if not same_file(path, file)}
        return analyse(
            text, path=file, act=self.settings.act, plugins=self.settings.plugins,
            unsaved={**unsaved, **(changed or {})},
        )  # fmt: skip

    def _around(self, file: str) -> list[str]:
        """The YAML files of the folders that are open, else of the file's own and the one above."""
        folders = self.folders or [Path(file).absolute().parent.parent]
        found: dict[str, None] = dict.fromkeys(o.document.file for o in self.opened.values())
        for folder in folders:
            for root, inner, names in os.walk(folder):
                inner[:] = sorted(name for name in inner if not name.startswith("."))
                for name in sorted(names):
                    if name.endswith((".yaml", ".yml")) and len(found) < _MOST_FILES:
                        found.setdefault(os.path.join(root, name))
        distinct = {os.path.realpath(path): path for path in reversed(found)}
        return list(reversed(distinct.values()))
