"""A text, right or wrong, whole or half written → all that is known of it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from netspec import find
from netspec.analysis.legible import read_tolerantly
from netspec.analysis.model import Edge, Name, Node, Tie
from netspec.analysis.moved import moved
from netspec.analysis.names import names_of
from netspec.analysis.nodes import Picture, picture_of
from netspec.errors import Diagnostic, Span, SpecError
from netspec.ir.graph import Place
from netspec.language.files import Kept
from netspec.language.load import Spec, plain_source
from netspec.language.overrides import Overrides
from netspec.limits import AnyLimits, bounded, read_limits
from netspec.ops import registry
from netspec.pipeline import Examined, examine, summary_of
from netspec.request import Act
from netspec.source import Source
from netspec.view.summary import Summary

_PART = re.compile(r"\bspec['\"]?\s*:")  # of a layer that is another file


@dataclass(frozen=True, slots=True)
class _Asked:
    """With what a text is analysed, beside itself."""

    args: Mapping[str, object]
    act: Act
    overrides: Overrides | None
    plugins: Sequence[str]
    limits: AnyLimits
    registered: object


@dataclass(frozen=True, eq=False)
class Analysis:
    """A spec as it is written at one moment.

    `diagnostics` say what is wrong, in the order of lines; nothing, if it can be built. The rest
    is made when it is asked for. Where something is wrong, the nodes that don't depend on it have
    their types all the same.
    """

    diagnostics: tuple[Diagnostic, ...]
    source: Source | None  # as far as it could be read
    _examined: Examined
    _read: Source | None  # from which that was found; another text where only comments changed
    _asked: _Asked

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """The inputs and layers of the model, each before those inside of it."""
        return self._picture.nodes

    @property
    def edges(self) -> tuple[Edge, ...]:
        """Which values go where."""
        return self._picture.edges

    @property
    def ties(self) -> tuple[Tie, ...]:
        """The parameters that are one."""
        return self._picture.ties

    @cached_property
    def names(self) -> tuple[Name, ...]:
        """The names that the text defines, with all places that use them."""
        if self.source is None:
            return ()
        spec = self._examined.spec
        blocks = {} if spec is None else spec.blocks
        included = {
            name: plain_source(each.source)
            for name, each in blocks.items()
            if plain_source(each.source) is not self._read
        }
        return names_of(self.source, included)

    @cached_property
    def by_path(self) -> Mapping[str, Node]:
        """The nodes by their paths."""
        return {node.path: node for node in self.nodes}

    def at(self, line: int, column: int) -> str | None:
        """The path of the layer or input at a position of the text, counted from 1.

        In a block it is the one of the first layer that is made of it.
        """
        if self.source is None:
            return None
        path = self.source.path_at(line, column)
        while path:
            if path in self._by_text_path:
                return self._by_text_path[path]
            path = path[:-1]
        return None

    def place_of(self, path: str) -> Span | None:
        """Where the text has the name of a layer or an input."""
        node = self.by_path.get(path)
        return None if node is None else node.place

    def costs(self) -> Summary | None:
        """FLOPs and bytes of each layer, as `netspec show` has them, by the nodes' paths.

        None where something is wrong.
        """
        return self._costs

    @cached_property
    def _costs(self) -> Summary | None:
        with bounded(read_limits(self._asked.limits)):
            return summary_of(self._examined)

    @cached_property
    def _picture(self) -> Picture:
        outcome = self._examined.outcome
        if outcome is None:
            return Picture((), (), ())
        with bounded(read_limits(self._asked.limits)):
            return picture_of(outcome, self._examined.decisions, self._span_of)

    @cached_property
    def _by_text_path(self) -> Mapping[tuple[str | int, ...], str]:
        found: dict[tuple[str | int, ...], str] = {}
        file = None if self.source is None else self.source.file
        for node in self.nodes:
            if node.place.file == file or not node.place.line:
                found.setdefault(node.text_path, node.path)
        return found

    @property
    def _is_current(self) -> bool:
        """Whether no other file that decides has changed since, and nothing from outside does."""
        spec, recipe = self._examined.spec, self._examined.recipe
        if spec is None or spec.source is not self._read:
            return spec is None
        if recipe is None:  # which files its parts are is not known
            return len(spec.files) == 1 and _PART.search(spec.source.text) is None
        own = None if spec.source.path is None else str(spec.source.path)
        return all(_is_unchanged(kept) for kept in recipe.texts() if kept.path != own)

    def _span_of(self, place: Place) -> Span:
        if place.source is self._read and self.source is not None:
            place = Place(self.source, place.path)
        return place.key_span()


def _is_unchanged(kept: Kept) -> bool:
    """Whether a file that was read still has the text that it had."""
    if kept.path is None:
        return True
    try:
        with open(kept.path, encoding="utf-8-sig", newline="") as file:
            return file.read() == kept.text
    except (OSError, UnicodeDecodeError):
        return False


def analyse(
    source: str | os.PathLike[str] | Mapping[str, object] | Source | Spec,
    *,
    path: str | os.PathLike[str] | None = None,
    args: Mapping[str, object] | None = None,
    act: Act = "module",
    overrides: Overrides | None = None,
    plugins: Sequence[str] | None = None,
    limits: AnyLimits = None,
    before: Analysis | None = None,
) -> Analysis:
    """All that is known of a spec, right or wrong; it raises nothing for what a user wrote.

    With a `path`, `source` is the text that the file there has or will have: the file is not
    opened, and what the text includes lies beside it. Else `source` is what `check` takes. `before`
    is an analysis of an earlier version of the text: where only comments and white space differ,
    what it found is kept.
    """
    asked = _Asked(args or {}, act, overrides, tuple(plugins or ()), limits, registry.state())
    text, problems = _read(source, path, limits)
    if text is None:
        return Analysis(problems, None, Examined(problems), None, asked)
    if before is not None and not problems and before._asked == asked:
        kept = moved(before.source, text, before.diagnostics) if before.source else None
        if kept is not None and before._is_current:
            return replace(before, diagnostics=kept, source=text)
    given = text if not isinstance(source, Spec) else source
    examined = examine(given, args, act, overrides, plugins, limits)
    found = problems if problems else examined.problems
    diagnostics = SpecError(found).diagnostics if found else ()
    return Analysis(diagnostics, text, examined, text, asked)


def _read(
    source: str | os.PathLike[str] | Mapping[str, object] | Source | Spec,
    path: str | os.PathLike[str] | None,
    limits: AnyLimits,
) -> tuple[Source | None, tuple[Diagnostic, ...]]:
    """The text as far as it can be read, what keeps the rest from it."""
    if isinstance(source, Spec):
        return plain_source(source.source), ()
    if isinstance(source, Source):
        return source, ()
    try:
        with bounded(read_limits(limits)):
            if path is not None:
                assert isinstance(source, str), "with a path, the source is a text"
                return read_tolerantly(source, os.fspath(path), Path(path))
            if isinstance(source, Mapping):
                return find.read(source), ()
            file = find.path_of(source)
            try:
                return find.read(file), ()
            except SpecError as error:
                return _as_far(file, error.diagnostics)
    except SpecError as error:
        return None, error.diagnostics


def _as_far(
    file: str, problems: tuple[Diagnostic, ...]
) -> tuple[Source | None, tuple[Diagnostic, ...]]:
    """A file whose text is no YAML, as far as it can be read."""
    try:
        with open(file, encoding="utf-8-sig", newline="") as opened:
            return read_tolerantly(opened.read(), file, Path(file))
    except (OSError, UnicodeDecodeError):
        return None, problems
