"""Where things stand in a text: its lines, and the tree of keys and values.

Places are kept as indices into the text; a Span is made when somebody asks for it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property
from typing import TypeAlias

from netspec.errors import Span

# YAML 1.1's lines, which are those that PyYAML counts.
BREAKS = "\r\n\x85\u2028\u2029"
_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_EMPTY = re.compile(r"\s*(?:#|$)")  # a line that says nothing


class Node:
    """The places inside one collection, and how many collections nest in it, itself included."""

    __slots__ = ("height", "items")

    def __init__(self, items: dict[str, Entry] | list[Entry], height: int) -> None:
        self.items = items
        self.height = height


# Key from and to (of an item of a list, the item), value from and to, what is inside the value.
Entry: TypeAlias = tuple[int, int, int, int, Node | None]


class Lines:
    """A text by lines: indices of its characters → spans."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._last = (0, "")

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(found.end() for found in _BREAK.finditer(self.text))]

    def number(self, index: int) -> int:
        """The line of a character, counted from 1."""
        return bisect_right(self._starts, index)

    @property
    def count(self) -> int:
        return len(self._starts)

    def start(self, number: int) -> int:
        """The index where a line begins."""
        return self._starts[number - 1]

    def line(self, number: int) -> str:
        """The text of a line, without its break; all the mistakes on a long line share it."""
        if self._last[0] != number:
            start, *end = self._starts[number - 1 : number + 1]
            self._last = (number, self.text[start : end[0] if end else None].rstrip(BREAKS))
        return self._last[1]

    def column(self, index: int) -> int:
        """The column of a character, counted from 1."""
        return index - self.start(self.number(index)) + 1

    def span(self, file: str, start: int, end: int | None = None) -> Span:
        """A stretch of the text, as far as it lies on its first line."""
        number, column = self.number(start), self.column(start)
        text = self.line(number)
        width = 1 if end is None else end - start
        if column - 1 + width > len(text):
            width = len(text.partition(" #")[0].rstrip()) - column + 1
        return Span(file, number, column, max(1, width), text)


class Places:
    """The places of a document's keys and values by path; none for a mapping given in Python."""

    def __init__(self, lines: Lines, root: Entry | None) -> None:
        self._lines = lines
        self._root = root

    def value_span(self, file: str, path: tuple[str | int, ...]) -> Span:
        """The place of the value at this path, or of the nearest thing around it that exists."""
        entry = self._nearest(path)
        return Span(file) if entry is None else self._lines.span(file, entry[2], entry[3])

    def key_span(self, file: str, path: tuple[str | int, ...]) -> Span:
        """The place of the key at this path, or of the nearest thing around it that exists."""
        entry = self._nearest(path)
        return Span(file) if entry is None else self._lines.span(file, entry[0], entry[1])

    def key_line(self, path: tuple[str | int, ...]) -> int:
        """The line of the key at this path, counted from 1; 0 where there is no text."""
        entry = self._nearest(path)
        return 0 if entry is None else self._lines.number(entry[0])

    def line(self, number: int) -> str:
        """The text of a line, counted from 1."""
        return self._lines.line(number)

    def extent(self, path: tuple[str | int, ...]) -> tuple[int, int]:
        """The first line of the key at this path, and the last of its value; 0 without a text."""
        entry = self._nearest(path)
        if entry is None:
            return 0, 0
        first, end = self._lines.number(entry[0]), entry[3]
        while entry[4] is not None and entry[4].items:  # the parser ends a block where it began
            items = entry[4].items
            entry = list(items.values())[-1] if isinstance(items, dict) else items[-1]
            end = max(end, entry[3])
        last = max(first, self._lines.number(max(0, end - 1)))
        while last > first and _EMPTY.match(self._lines.line(last)):
            last -= 1
        return first, last

    def lines(self) -> list[int]:
        """The lines on which keys and values begin, in the order of the text."""
        found: list[int] = []
        stack = [self._root] if self._root is not None else []
        while stack:
            entry = stack.pop()
            found += [self._lines.number(entry[0]), self._lines.number(entry[2])]
            if entry[4] is not None:
                items = entry[4].items
                stack += items.values() if isinstance(items, dict) else items
        return found

    def path_at(self, line: int, column: int) -> tuple[str | int, ...]:
        """The path of the key or value in which a position lies, counted from 1; else around it."""
        if self._root is None or not 1 <= line <= self._lines.count:
            return ()
        index = self._lines.start(line) + column - 1
        path: tuple[str | int, ...] = ()
        node = self._root[4]
        while node is not None:
            items = node.items
            pairs = items.items() if isinstance(items, dict) else enumerate(items)
            before = [(entry[0], key, entry) for key, entry in pairs if entry[0] <= index]
            if not before:
                return path
            _, key, entry = max(before, key=lambda one: one[0])
            path, node = (*path, key), entry[4]
        return path

    def _nearest(self, path: tuple[str | int, ...]) -> Entry | None:
        entry = self._root
        for step in path:
            node = entry[4] if entry is not None else None
            inner = None if node is None else _item(node.items, step)
            if inner is None:
                break
            entry = inner
        return entry


def _item(items: dict[str, Entry] | list[Entry], step: str | int) -> Entry | None:
    if isinstance(items, dict):
        return items.get(step) if isinstance(step, str) else None
    return items[step] if isinstance(step, int) and 0 <= step < len(items) else None
