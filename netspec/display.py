"""Text on a screen: what may reach a terminal, how wide it is there, where it is cut or broken.

A spec's text is a stranger's: none of it reaches a terminal as a command, or as what hides or
reorders the text around it.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

# Controls, formats (bidi marks, zero-width ones), surrogates, what is not assigned, separators.
_NOT_SHOWN = {"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"}
_NO_COLUMN = {"Mn", "Me"}  # marks that stand on the character before
_TAB = 4
_WIDEST = 1_000  # columns of a line that are shown where there is no limit
_EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")
_NARROWEST = 20  # columns that a text gets, however narrow the terminal is

Style = Literal[
    "error",
    "strong",
    "margin",
    "note",
    "help",
    "dim",
    "code",
    "added",
    "removed",
    "changed",
    "heavy",
]
_SGR: dict[Style, str] = {
    "error": "1;31",
    "strong": "1",
    "margin": "34",
    "note": "1",
    "help": "1;36",
    "dim": "2",
    "code": "36",
    "added": "32",
    "removed": "31",
    "changed": "33",
    "heavy": "1;33",
}


@dataclass(frozen=True, slots=True)
class Look:
    """How text is laid out: at most so many columns (None: no limit), in colour or not."""

    width: int | None = None
    colour: bool = False


PLAIN = Look()


def paint(look: Look, style: Style, text: str) -> str:
    """The text in this style, if the look has colours."""
    return f"\x1b[{_SGR[style]}m{text}\x1b[0m" if look.colour and text else text


def visible(text: str) -> str:
    """The text with each character that a terminal would obey or hide as `<U+001B>`."""
    if text.isprintable():
        return text
    return "".join([_named(c) if unicodedata.category(c) in _NOT_SHOWN else c for c in text])


def _named(character: str) -> str:
    return f"<U+{ord(character):04X}>"


def columns(text: str) -> int:
    """How many columns of a terminal a visible text takes."""
    return len(text) if text.isascii() else sum(map(_columns_of, text))


def _columns_of(character: str) -> int:
    # The vowels and finals of old Korean join the character before, though they are letters.
    if unicodedata.category(character) in _NO_COLUMN or "\u1160" <= character <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def cut(text: str, width: int) -> str:
    """The visible text, or as much of it as takes `width` columns with a `…` at its end."""
    if columns(text) <= width:
        return text
    ends = list(accumulate(map(columns, text)))
    return text[: bisect_right(ends, width - 1)] + "…"


def padded(text: str, width: int, right: bool = False) -> str:
    """The visible text with blanks up to `width` columns; with `right`, they stand before it."""
    blanks = " " * (width - columns(text))
    return blanks + text if right else text + blanks


def bar(share: float, width: int) -> str:
    """A share of 1 as a bar of at most so many columns, in eighths of one."""
    eighths = round(8 * width * min(max(share, 0.0), 1.0))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8]


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Lines of cells, each column as wide as its widest cell."""
    widths = [max(map(columns, cells)) for cells in zip(*lines, strict=True)]
    return ["  ".join(map(padded, line, widths)).rstrip() for line in lines]


def wrapped(text: str, width: int | None) -> list[str]:
    """The visible text in lines of at most `width` columns, broken at blanks and its own breaks.

    A word that is wider stays whole: it may be a path to copy.
    """
    lines = [visible(line) for line in text.split("\n")]
    if width is None:
        return lines
    return [part for line in lines for part in _broken(line, max(width, _NARROWEST))]


def _broken(line: str, width: int) -> Iterator[str]:
    words = line.split(" ")
    shown = words[0]
    for word in words[1:]:
        if columns(shown) + 1 + columns(word) > width and shown.strip():
            yield shown.rstrip()
            shown = word
        else:
            shown += f" {word}"
    yield shown.rstrip()


def excerpt(line: str, start: int, width: int, room: int | None) -> tuple[str, str]:
    """A line as it is shown, and the carets below `width` of its characters from index `start`.

    Carets never reach beyond the line, but there is always one. Where the line takes more columns
    than `room` (without it, than any screen has), it is cut around the carets, with `…` on each
    side that was cut.
    """
    room = _WIDEST if room is None else max(room, _NARROWEST)
    far = max(0, start - 2 * room)  # a line may be as long as a file
    cells = list(_cells(line[far : start + 2 * room]))
    start -= far
    if start >= len(cells):
        cells.append(" ")  # what is missing at the end of a line has its place there
    at = list(accumulate(map(columns, cells), initial=0))
    low, high = at[min(start, len(cells) - 1)], at[min(start + width, len(cells))]
    if low == high:  # marks alone, which stand on the character before
        low, high = max(0, low - 1), max(1, low)
    if at[-1] <= room:
        return "".join(cells).rstrip(), " " * low + "^" * (high - low)
    left = _left_edge(low, high, at[-1], room)
    begin = bisect_left(at, left + 1) if left else 0
    end = bisect_right(at, left + room - 1) - 1 if left + room < at[-1] else len(cells)
    shown = "…" * (left > 0) + "".join(cells[begin:end]) + "…" * (end < len(cells))
    lead = (left > 0) + low - at[begin]
    return shown.rstrip(), " " * lead + "^" * (min(high, at[end]) - low)


def _left_edge(low: int, high: int, total: int, room: int) -> int:
    """The column from which a line is shown, so that what is marked stands in the middle."""
    marked = min(high - low, room - 2)
    if low + marked < room:
        return 0
    return max(0, min(low - (room - marked) // 2, total - room))


def _cells(line: str) -> Iterator[str]:
    """Each character as it is shown; a tab as the blanks up to the next stop."""
    column = 0
    for character in line:
        cell = " " * (_TAB - column % _TAB) if character == "\t" else visible(character)
        column += columns(cell)
        yield cell
