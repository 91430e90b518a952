"""A summary as plain text: an aligned table, the layers indented, the totals below."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netspec.display import columns, cut, padded, visible
from netspec.view.summary import Row, Summary

_HEADER = ("layer", "kind", "output", "parameters", "FLOPs", "held for backward")
_NUMBERS = 3  # the first column that is right-aligned
_SHORTEST = 12  # to which a column of text is cut where the width asks for it
_THOUSAND, _KIBI = 1000.0, 1024.0


def summary_text(summary: Summary, width: int | None = None) -> str:
    """The table, at most `width` characters wide if texts can be cut so far; `≈` is approximate."""
    lines = [_HEADER, *[_cells(*pair) for pair in named_rows(summary.rows)]]
    widths = [max(columns(line[i]) for line in lines) for i in range(len(_HEADER))]
    if width is not None:
        widths = _narrowed(widths, width)
    rule = "─" * (sum(widths) + 2 * (len(widths) - 1))
    head, *body = [_line(line, widths) for line in lines]
    return "\n".join([head, rule, *body, rule, *total_lines(summary)]) + "\n"


def named_rows(rows: Iterable[Row]) -> Iterator[tuple[str, Row]]:
    """Each row with its path within the row above it; what is used from outside, in full."""
    above: list[str] = []
    for row in rows:
        del above[row.depth :]
        prefix = f"{above[-1]}." if above else ""
        yield row.path.removeprefix(prefix), row
        above.append(row.path)


def _cells(name: str, row: Row) -> tuple[str, ...]:
    about = "≈ " if row.approximate else ""
    return (
        "  " * row.depth + name,
        visible(" ".join(row.kind.split())),  # an expression may hold any text
        row.output,
        f"{row.parameters:,}" if row.parameters else "·",
        about + scaled(row.flops).rstrip() if row.flops else "·",
        about + bytes_text(row.saved_bytes) if row.saved_bytes else about.rstrip() or "·",
    )


def total_lines(summary: Summary) -> list[str]:
    sizes = ", ".join(f"{name} = {size}" for name, size in summary.probe)
    where = f" at {sizes}" if sizes else ""
    about = "≈ " if summary.approximate else ""
    frozen = summary.parameters - summary.trainable
    trainable = f", {frozen:,} of them frozen" if frozen else ""
    held = bytes_text(summary.parameter_bytes)
    pairs = [("parameters", f"{summary.parameters:,} ({held}){trainable}")]
    if summary.buffers_bytes:
        pairs.append(("buffers", bytes_text(summary.buffers_bytes)))
    pairs.append(("forward", f"{about}{flops_text(summary.flops)}{where}"))
    pairs.append(("for backward", f"{about}{bytes_text(summary.saved_bytes)} held{where}"))
    return [f"{name:<14}{text}" for name, text in pairs]


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    parts = []
    for index, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        parts.append(padded(cut(cell, width), width, right=index >= _NUMBERS))
    return "  ".join(parts).rstrip()


def _narrowed(widths: list[int], width: int) -> list[int]:
    """The widths with the widest text columns cut until all fit, or none can be cut further."""
    found = list(widths)
    while sum(found) + 2 * (len(found) - 1) > width:
        widest = max(range(_NUMBERS), key=lambda index: found[index])
        if found[widest] <= _SHORTEST:
            break
        found[widest] -= 1
    return found


def scaled(number: int) -> str:
    """`11.7 M`, with three digits that count."""
    return _with_unit(number, _THOUSAND, ("", "k", "M", "G", "T", "P"))


def flops_text(number: int) -> str:
    """`480 kFLOPs`"""
    return f"{scaled(number)}FLOPs"


def bytes_text(number: int) -> str:
    """`1.5 MiB`, with three digits that count."""
    return _with_unit(number, _KIBI, ("B", "KiB", "MiB", "GiB", "TiB", "PiB"))


def _with_unit(number: int, base: float, units: tuple[str, ...]) -> str:
    value, index = float(number), 0
    while abs(value) >= base - 0.5 and index < len(units) - 1:
        value, index = value / base, index + 1
    digits = 0 if index == 0 or value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f} {units[index]}"
