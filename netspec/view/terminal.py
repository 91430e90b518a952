"""A summary on a terminal: equal repeats once, what weighs in colour and as a bar, line numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from netspec.display import Look, Style, bar, columns, cut, padded, paint, visible
from netspec.view.summary import Row, Summary
from netspec.view.table import bytes_text, named_rows, scaled, total_lines

_HEADER = ("layer", "kind", "output", "params", "", "FLOPs", "held", "line")
_NUMBERS = (3, 5, 6, 7)  # columns that stand at the right
_BAR_AT, _BAR = 4, 5  # the column of the bar, and how wide it is
# What is cut where the terminal is narrow, and how far, in this order; the bar goes first.
_CUTS = (((1, 2), 14), ((0,), 18), ((1, 2), 9), ((0,), 9))
_HEAVY, _LIGHT = 0.1, 0.01  # shares of the whole from which a number is bright, or below which dim
_FOLDED = "× n stands for n equal copies, whose figures are added up"


@dataclass(slots=True, eq=False)
class _Part:
    """A row, `times` equal copies of it with their figures added up, and the rows below it."""

    name: str
    row: Row
    times: int = 1
    inner: list[_Part] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Line:
    cells: tuple[str, ...]
    styles: tuple[Style | None, ...]


def terminal_text(summary: Summary, look: Look) -> str:
    """The table, as wide as the terminal at most; `≈` is approximate."""
    parts = _folded(_tree(summary))
    lines = [_Line(_HEADER, tuple(["strong" for _ in _HEADER]))]
    lines += [line for part in parts for line in _lines(part, 0, summary)]
    wished = [max(columns(line.cells[i]) for line in lines) for i in range(len(_HEADER))]
    widths = _narrowed(wished, look)
    shown = [_laid_out(line, widths, look) for line in lines]
    rule = paint(look, "margin", "─" * _total(widths))
    folded = [paint(look, "dim", _FOLDED)] if any(map(_has_copies, parts)) else []
    return "\n".join([shown[0], rule, *shown[1:], rule, *total_lines(summary), *folded]) + "\n"


def _tree(summary: Summary) -> list[_Part]:
    """The rows of depth 0, each with those below it."""
    roots: list[_Part] = []
    above: list[_Part] = []
    for name, row in named_rows(summary.rows):
        del above[row.depth :]
        part = _Part(_beside(row.path, above[-1].row.path) if above else name, row)
        (above[-1].inner if above else roots).append(part)
        above.append(part)
    return roots


def _beside(path: str, around: str) -> str:
    """A path without what it has in common with that of the row above it."""
    parts, others = path.split("."), around.split(".")
    while len(parts) > 1 and others and parts[0] == others[0]:
        parts, others = parts[1:], others[1:]
    return ".".join(parts)


def _folded(parts: Sequence[_Part]) -> list[_Part]:
    """Copies beside each other as one, here and in what is below."""
    found: list[_Part] = []
    for part in parts:
        part.inner = _folded(part.inner)
        around, _, number = part.name.rpartition(".")
        beside = found[-1].name.rpartition(".")[0] if found else None
        if number.isdigit() and around == beside and _look(found[-1]) == _look(part):
            _add(found[-1], part)
            found[-1].times += 1
        else:
            found.append(part)
    return found


def _look(part: _Part, copies: int = 1) -> object:
    """Equal for copies. Of what two layers hold only the first one has the bytes: they may differ.

    `copies`: how many of what is around it are added up in it.
    """
    row, count = part.row, copies * part.times
    own = (row.kind, row.output, row.parameters // count, row.flops // count, row.line)
    inner = tuple((one.name, one.times, _look(one, count)) for one in part.inner)
    return own, inner


def _add(part: _Part, other: _Part) -> None:
    """Adds a copy's figures."""
    one, two = part.row, other.row
    part.row = replace(
        one, parameters=one.parameters + two.parameters, flops=one.flops + two.flops,
        saved_bytes=one.saved_bytes + two.saved_bytes,
        approximate=one.approximate or two.approximate,
    )  # fmt: skip
    for mine, theirs in zip(part.inner, other.inner, strict=True):
        _add(mine, theirs)


def _has_copies(part: _Part) -> bool:
    return part.times > 1 or any(map(_has_copies, part.inner))


def _lines(part: _Part, depth: int, summary: Summary) -> Iterator[_Line]:
    row = part.row
    about = "≈ " if row.approximate else ""
    weight = row.parameters / summary.parameters if summary.parameters else 0.0
    cells = (
        "  " * depth + visible(part.name) + (f" × {part.times}" if part.times > 1 else ""),
        visible(" ".join(row.kind.split())),
        row.output,
        scaled(row.parameters).rstrip() if row.parameters else "·",
        bar(weight, _BAR) if not part.inner else "",
        about + scaled(row.flops).rstrip() if row.flops else "·",
        about + bytes_text(row.saved_bytes) if row.saved_bytes else about.rstrip() or "·",
        str(row.line) if row.line else "",
    )
    shares = (
        weight,
        row.flops / summary.flops if summary.flops else 0.0,
        row.saved_bytes / summary.saved_bytes if summary.saved_bytes else 0.0,
    )
    numbers = [None if part.inner else _weight(share) for share in shares]
    name: Style | None = "strong" if part.inner else None
    yield _Line(cells, (name, None, None, numbers[0], "changed", numbers[1], numbers[2], "margin"))
    for inner in part.inner:
        yield from _lines(inner, depth + 1, summary)


def _weight(share: float) -> Style | None:
    return "heavy" if share >= _HEAVY else "dim" if share < _LIGHT else None


def _laid_out(line: _Line, widths: Sequence[int], look: Look) -> str:
    shown = []
    for index, (cell, style, width) in enumerate(zip(line.cells, line.styles, widths, strict=True)):
        if width == 0:
            continue
        text = padded(cut(cell, width), width, right=index in _NUMBERS)
        shown.append(text if style is None or not text.strip() else paint(look, style, text))
    return "  ".join(shown).rstrip()


def _total(widths: Sequence[int]) -> int:
    shown = [width for width in widths if width]
    return sum(shown) + 2 * (len(shown) - 1)


def _narrowed(widths: list[int], look: Look) -> list[int]:
    """The widths, without the bar and with texts cut until all fit, or none can be cut further."""
    found = list(widths)
    if look.width is None or _total(found) <= look.width:
        return found
    found[_BAR_AT] = 0
    for texts, least in _CUTS:
        while _total(found) > look.width:
            widest = max(texts, key=lambda index: found[index])
            if found[widest] <= least:
                break
            found[widest] -= 1
    return found
