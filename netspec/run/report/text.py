"""The report's table as plain text and as csv."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from netspec.run.report.table import Column, Table, has_spread, metric_title
from netspec.run.report.words import cell_text, plain

GAP = "  "
NARROWEST = 12
# What a narrow page does without, the first first; `status` and the rest always stay.
EXPENDABLE = ("epochs", "parameters", "time")


def table_text(table: Table, width: int) -> str:
    """The groups over seeds, then the runs, in lines of at most this many characters.

    Where that is too few, the columns that matter least are left out, and the widest words cut.
    """
    parts = []
    if has_spread(table) and table.metric:
        head = f"{metric_title(table.metric)} over seeds"
        cells = [
            [
                cell_text(column, value)
                for column, value in zip(table.group_columns, group.values, strict=True)
            ]
            for group in table.groups
        ]
        parts.append(f"{head}\n\n{grid(table.group_columns, cells, width)}")
    cells = [
        [cell_text(column, value) for column, value in zip(table.columns, row.values, strict=True)]
        for row in table.rows
    ]
    parts.append(grid(table.columns, cells, width))
    errors = [
        f"{plain(row.run.name)}: {row.run.status}: {plain(_first_line(row.run.error))}"
        for row in table.rows
        if row.run.error
    ]
    if errors:
        parts.append("\n".join(_cut(line, width) for line in errors))
    return "\n\n".join(parts) + "\n"


def table_csv(table: Table) -> str:
    """The runs, one a line, with all digits; an empty cell is not measured."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*(_csv_title(column) for column in table.columns), "error"])
    for row in table.rows:
        writer.writerow([*("" if v is None else v for v in row.values), row.run.error or ""])
    return file.getvalue()


def grid(columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int) -> str:
    """Cells in columns under their titles, a title of several words in as many lines."""
    kept = list(range(len(columns)))
    for title in (*EXPENDABLE, *_second_metrics(columns)):
        if _least(columns, cells, kept) <= width:
            break
        kept = [i for i in kept if columns[i].title != title or columns[i].kind == "text"]
    widths = _shrink([_widest(columns[i], cells, i) for i in kept], columns, kept, width)
    titles = [_stacked(columns[i]) for i in kept]
    height = max(len(title) for title in titles)
    head = [[""] * (height - len(title)) + title for title in titles]
    lines = [[title[level] for title in head] for level in range(height)]
    lines.append(["─" * size for size in widths])
    lines += [[row[i] for i in kept] for row in cells]
    numeric = [columns[i].kind not in {"text", "status"} for i in kept]
    return "\n".join(_cut(_line(line, widths, numeric), width) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    placed = [
        _cut(cell, size).rjust(size) if right else _cut(cell, size).ljust(size)
        for cell, size, right in zip(cells, widths, numeric, strict=True)
    ]
    return GAP.join(placed).rstrip()


def _stacked(column: Column) -> list[str]:
    """`best val_accuracy` in three lines; `mean ± std` stays in one."""
    title = column.title
    if "±" in title:
        return [title]
    return re.split("[ _]", title) if column.kind in ("metric", "spread") else title.split(" ")


def _widest(column: Column, cells: Sequence[Sequence[str]], index: int) -> int:
    return max([*map(len, _stacked(column)), *(len(row[index]) for row in cells)])


def _least(columns: Sequence[Column], cells: Sequence[Sequence[str]], kept: Sequence[int]) -> int:
    """How wide the kept columns are, with their words as short as they may be cut."""
    sizes = [
        min(_widest(columns[i], cells, i), NARROWEST)
        if columns[i].kind == "text"
        else _widest(columns[i], cells, i)
        for i in kept
    ]
    return sum(sizes) + len(GAP) * (len(sizes) - 1)


def _shrink(
    widths: Sequence[int], columns: Sequence[Column], kept: Sequence[int], width: int
) -> list[int]:
    """The widths with the widest columns of words made narrower until all fit."""
    sizes = list(widths)
    words = [place for place, i in enumerate(kept) if columns[i].kind == "text"]
    while words and sum(sizes) + len(GAP) * (len(sizes) - 1) > width:
        place = max(words, key=lambda each: sizes[each])
        if sizes[place] <= NARROWEST:
            break
        sizes[place] -= 1
    return sizes


def _second_metrics(columns: Sequence[Column]) -> list[str]:
    """The metrics beyond the first, the last first; of groups all but `mean ± std`."""
    titles = [column.title for column in columns if column.kind in ("metric", "spread")]
    return titles[:0:-1]


def _csv_title(column: Column) -> str:
    return {"#": "rank", "time": "seconds"}.get(column.title, column.title)


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else text[: max(0, size - 1)] + "…"[:size]


def _first_line(text: str | None) -> str:
    return next(iter((text or "").strip().splitlines()), "")
