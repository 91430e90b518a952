"""A csv file → its cells, each of which knows its place."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from netspec.errors import Diagnostic, RunError, Span, did_you_mean
from netspec.run.data.paths import bytes_of

_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
_MOST_HEADER = 1 << 20  # characters


@dataclass(frozen=True)
class Table:
    """The rows of a csv file, as texts, with the line where each ends."""

    path: str
    delimiter: str
    lines: tuple[str, ...]
    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    line_of: tuple[int, ...]

    def column(self, number: int) -> list[str]:
        return [row[number] for row in self.rows]

    def span(self, row: int, column: int) -> Span:
        """Where a cell stands. Of a row on several lines, its last line."""
        line = self.line_of[row]
        text = self.lines[line - 1]
        start, end = _cell_ends(text, self.delimiter, column)
        return Span(self.path, line, start + 1, max(1, end - start), text)

    def number_of(self, column: str | int) -> int:
        """A column's number. Raises RunError: NS605 where there is no such column."""
        return column_number(self.names, column, self.path)


def column_number(names: Sequence[str], column: str | int, path: str) -> int:
    """The number of a column among these. Raises RunError: NS605 where there is none."""
    if isinstance(column, int) and -len(names) <= column < len(names):
        return column % len(names)
    if isinstance(column, str) and column in names:
        return names.index(column)
    help = did_you_mean(str(column), names) or f"there are {', '.join(names)}"
    raise RunError(Diagnostic("NS605", f"there is no column `{column}`", Span(path), help=help))


def header_of(path: Path, delimiter: str) -> tuple[str, ...] | None:
    """The names in a file's first row; None where it has none that can be read."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.reader([file.readline(_MOST_HEADER)], delimiter=delimiter, strict=True)
            row = next(rows, None)
    except (OSError, ValueError, csv.Error):
        return None
    return None if row is None else tuple(name.strip() for name in row)


def is_missing(cell: str) -> bool:
    return cell.strip().lower() in _MISSING


def read_table(path: Path, delimiter: str, header: bool) -> Table:
    """A file → its table; without a header, columns are called by their numbers.

    Raises RunError: NS602 for what is no UTF-8, no csv, or has rows of different lengths.
    """
    try:
        text = bytes_of(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        fact = f"the file is not UTF-8: byte 0x{error.object[error.start]:02X} begins no character"
        raise RunError(
            Diagnostic("NS602", fact, Span(str(path)), help="save it as UTF-8")
        ) from None
    lines = tuple(text.splitlines())
    found = list(_rows(text, delimiter, str(path), lines))
    if not found or (header and len(found) < 2):
        raise RunError(Diagnostic("NS602", f"`{path.name}` has no rows", Span(str(path))))
    names = tuple(found[0][1]) if header else tuple(str(n) for n in range(len(found[0][1])))
    body = found[1:] if header else found
    rows, line_of = tuple(tuple(row) for _, row in body), tuple(line for line, _ in body)
    table = Table(str(path), delimiter, lines, tuple(n.strip() for n in names), rows, line_of)
    _check_lengths(table)
    return table


def _rows(
    text: str, delimiter: str, path: str, lines: Sequence[str]
) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        line = min(reader.line_num, len(lines))
        span = Span(path, line, 1, len(lines[line - 1]), lines[line - 1]) if line else Span(path)
        raise RunError(Diagnostic("NS602", f"the line is no csv: {error}", span)) from None


def _check_lengths(table: Table) -> None:
    for number, row in enumerate(table.rows):
        if len(row) != len(table.names):
            line = table.line_of[number]
            text = table.lines[line - 1]
            fact = f"the row has {len(row)} cells, and {len(table.names)} are expected"
            help = None if table.delimiter in text else "say `data.delimiter=…`"
            span = Span(table.path, line, 1, len(text), text)
            raise RunError(Diagnostic("NS602", fact, span, help=help))


def _cell_ends(text: str, delimiter: str, column: int) -> tuple[int, int]:
    """Where in a line the cell of this number begins and ends, quotes included."""
    start, quoted, seen = 0, False, 0
    for at, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif character == delimiter and not quoted:
            if seen == column:
                return start, at
            seen, start = seen + 1, at + 1
    return start, len(text)
