"""Source: a document's plain values, and where each of them stands."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass
from typing import TypeAlias

from netspec.errors import Span
from netspec.source.places import Places

Plain: TypeAlias = bool | int | float | str | list["Plain"] | dict[str, "Plain"] | None
Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A document as plain values, to be read and not changed, and the places of its parts.

    `file` is what messages call it: the path as given, or `<string>`, `<mapping>`. `text` is empty
    for a mapping given in Python. Aliases of one anchor are one and the same object.
    """

    file: str
    text: str
    path: pathlib.Path | None
    value: Plain
    places: Places

    def span_of(self, path: Path) -> Span:
        """The place of the value at this path, or of the nearest thing around it that exists."""
        return self.places.value_span(self._named(path), path)

    def key_span_of(self, path: Path) -> Span:
        """The place of the key at this path (of an item of a list, the item), else as span_of."""
        return self.places.key_span(self._named(path), path)

    def lines_of(self, path: Path) -> tuple[int, int]:
        """The first line of the key at this path, and the last line of its value."""
        return self.places.extent(path)

    def path_at(self, line: int, column: int) -> Path:
        """The path of the key or value in which a position lies; else of what stands around it."""
        return self.places.path_at(line, column)

    def _named(self, path: Path) -> str:
        """What a message calls the place: a mapping has no lines, so its keys say where."""
        if self.text or not path:
            return self.file
        return f"{self.file}, {'.'.join(map(str, path))}"

    def line_of(self, path: Path) -> int:
        """The line of the key at this path, counted from 1; 0 for a mapping given in Python."""
        return self.places.key_line(path)
