"""Places in a text: netspec's lines and columns ↔ the protocol's lines and units.

The two part a text into lines at other characters, and count other things on a line: each place is
first an index of the text.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from functools import cached_property
from typing import TypeAlias

from lsprotocol.types import Position, PositionEncodingKind, Range

from netspec.errors import Span
from netspec.source.places import Lines

Encoding: TypeAlias = PositionEncodingKind | str
_BREAK = re.compile("\r\n|\r|\n")
_MARK = "\ufeff"  # which netspec leaves out at the beginning

_UNITS: dict[str, Callable[[str], int]] = {
    PositionEncodingKind.Utf8.value: lambda text: len(text.encode(errors="replace")),
    PositionEncodingKind.Utf16.value: lambda text: sum(1 + (ord(c) > 0xFFFF) for c in text),
    PositionEncodingKind.Utf32.value: len,
}


class Positions:
    """The places of one text, for a client that counts in these units."""

    def __init__(self, text: str, encoding: Encoding = PositionEncodingKind.Utf16) -> None:
        self.text = text
        self._units = _UNITS[getattr(encoding, "value", encoding)]
        self._shift = len(text) - len(text.lstrip(_MARK))

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(found.end() for found in _BREAK.finditer(self.text))]

    @cached_property
    def _lines(self) -> Lines:
        return Lines(self.text[self._shift :])

    def index_of(self, position: Position) -> int:
        """The index of the character at a position; the end of a line that has no such one."""
        if position.line >= len(self._starts):
            return len(self.text)
        start = self._starts[position.line]
        line = self._line(position.line)
        if line.isascii():
            return start + min(position.character, len(line))
        left = position.character
        for offset, character in enumerate(line):
            left -= self._units(character)
            if left < 0:
                return start + offset
        return start + len(line)

    def position_of(self, index: int) -> Position:
        """The position of a character."""
        number = bisect_right(self._starts, index) - 1
        before = self.text[self._starts[number] : index]
        return Position(number, len(before) if before.isascii() else self._units(before))

    def place_of(self, position: Position) -> tuple[int, int]:
        """The line and the column of a position, as netspec counts them."""
        index = max(0, self.index_of(position) - self._shift)
        return self._lines.number(index), self._lines.column(index)

    def index_of_place(self, line: int, column: int) -> int:
        """The index of a line and a column, as netspec counts them."""
        if not 1 <= line <= self._lines.count:
            return 0 if line < 1 else len(self.text)
        text = self._lines.line(line)
        return self._shift + self._lines.start(line) + min(column - 1, len(text))

    def range_of(self, span: Span) -> Range:
        """Where a span of this text lies; of one without a line, the beginning of the text."""
        if not span.line:
            return Range(Position(0, 0), Position(0, 0))
        start = self.index_of_place(span.line, span.column)
        end = self.index_of_place(span.line, span.column + span.width)
        return Range(self.position_of(start), self.position_of(end))

    def range_between(self, start: int, end: int) -> Range:
        return Range(self.position_of(start), self.position_of(end))

    def _line(self, number: int) -> str:
        end = self._starts[number + 1] if number + 1 < len(self._starts) else None
        return self.text[self._starts[number] : end].rstrip("\r\n")
