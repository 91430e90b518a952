"""The files that a spec may name: those below its own folder, and the specs that have a name.

Nothing else is opened. What was opened is kept, so that a pickled model can be made anew in another
process from the same texts, without any file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from netspec import file_trace
from netspec.errors import did_you_mean
from netspec.limits import current, raised_help
from netspec.source import Source, read_source, read_text

MAX_FILES = 256
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,199}")


def class_name_of(path: Path | None) -> str:
    """The name of the class where a spec gives none: its file's, in CamelCase."""
    if path is None:
        return "Model"
    words = re.findall(r"[A-Za-z0-9]+", path.stem)
    name = "".join(word[:1].upper() + word[1:] for word in words)
    return name if name[:1].isalpha() else "Model"


class CannotOpen(Exception):
    """Why a file that a spec names is not opened."""

    def __init__(self, fact: str, help: str | None = None) -> None:
        super().__init__(fact)
        self.fact = fact
        self.help = help


@dataclass(frozen=True, slots=True)
class Kept:
    """A file as it was read: how messages call it, its path, its text."""

    file: str
    path: str | None
    text: str

    def source(self) -> Source:
        read = read_text(self.text, self.file)
        return replace(read, path=Path(self.path) if self.path else None)


@dataclass(slots=True, eq=False)
class Files:
    """Opens what specs name, each file once. `kept` answers in the place of the disk."""

    folders: Sequence[Path] = ()  # where specs have names
    kept: Mapping[tuple[str, str], Kept] | None = None
    opened: dict[tuple[str, str], Source] = field(default_factory=dict)
    variants: list[Source] = field(default_factory=list)  # texts whose args became overrides
    _roots: dict[str, Path] = field(default_factory=dict)
    _by_path: dict[Path, Source] = field(default_factory=dict)
    _listed: dict[Path, list[str]] = field(default_factory=dict)

    def include(self, name: str, owner: Source) -> Source:
        """The file of blocks that `owner` includes. Raises CannotOpen, SpecError."""
        return self._open(name, owner, by_name=False)

    def part(self, name: str, owner: Source) -> Source:
        """The spec that `owner` has as a part, by name or by path. Raises CannotOpen, SpecError."""
        return self._open(name, owner, by_name=_NAME.fullmatch(name) is not None)

    def _open(self, name: str, owner: Source, by_name: bool) -> Source:
        key = (str(owner.path or owner.file), name)
        if key in self.opened:
            return self.opened[key]
        if self.kept is not None:
            if key not in self.kept:
                raise CannotOpen(f"`{name}` was not part of the model when it was pickled")
            source = self.kept[key].source()
        elif len(self.opened) >= MAX_FILES:
            raise CannotOpen(f"more than {MAX_FILES} files are named")
        else:
            source = self._from_disk(name, owner, by_name)
        self.opened[key] = source
        return source

    def _from_disk(self, name: str, owner: Source, by_name: bool) -> Source:
        path, root, shown = self._find(name, owner, by_name)
        source = self._by_path.get(path)
        if source is None:
            source = replace(read_source(path), file=shown)
            read = {id(each): each.text for each in (owner, *self._by_path.values(), source)}
            most = current().text
            if sum(map(len, read.values())) > most:
                fact = f"with `{name}`, a spec has more than {most:,} bytes in all its files"
                raise CannotOpen(fact, raised_help("text", most))
            self._by_path[path] = source
            self._roots[str(path)] = root
        return source

    def _specs_in(self, folder: Path) -> list[str]:
        """The first files of a folder that may be meant by a name with a slip; looked up once."""
        if folder not in self._listed:
            names = file_trace.names_in(folder)
            self._listed[folder] = [name for name in names if name.endswith(".yaml")]
        return self._listed[folder]

    def _find(self, name: str, owner: Source, by_name: bool) -> tuple[Path, Path, str]:
        """The real path, the folder that it may not leave, and how messages call it."""
        here = owner.path.parent if owner.path is not None else None
        root = self._roots.get(str(owner.path)) or (file_trace.real_path(here) if here else None)
        if by_name:
            folders = [folder for folder in (here, *self.folders) if folder is not None]
            for folder in folders:
                file = folder / f"{name}.yaml"
                if file_trace.is_file(file):
                    own = root if root and folder == here else file_trace.real_path(folder)
                    return within(own, folder, f"{name}.yaml"), own, str(file)
            names = [Path(found).stem for folder in folders for found in self._specs_in(folder)]
            raise CannotOpen(f"there is no spec `{name}`", did_you_mean(name, names))
        if here is None or root is None:
            raise CannotOpen(f"`{name}` cannot be opened: this text is not a file in a folder")
        file = within(root, here, name)
        if not file_trace.is_file(file):
            below = file != root and file_trace.is_folder(file.parent)
            near = self._specs_in(file.parent) if below else []
            raise CannotOpen(f"there is no file `{name}`", did_you_mean(file.name, near))
        return file, root, str(here / name)


def within(root: Path, here: Path, name: str) -> Path:
    """The real file that a spec in `here` means by `name`; it lies below `root`.

    Raises CannotOpen where the name is absolute, climbs out, or a link leads out.
    """
    help = "a spec names files below its own folder, nothing else"
    if Path(name).is_absolute() or "\\" in name or "\0" in name or ":" in name:
        raise CannotOpen(f"`{name}` is not a path inside the spec's folder", help)
    try:
        file = file_trace.real_path(here / name)
        with suppress(FileNotFoundError, NotADirectoryError):
            file_trace.kind(file)  # which a name that is too long does not let one ask
    except (OSError, RuntimeError, ValueError):
        raise CannotOpen(f"`{name}` is not a path inside the spec's folder", help) from None
    if not file.is_relative_to(root):
        raise CannotOpen(f"`{name}` lies outside the spec's folder", help)
    return file
