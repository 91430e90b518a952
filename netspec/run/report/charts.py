"""A table of runs → the charts of its page: curves over epochs, dots a group, size against metric.

The colours are classes (`c0` …, one a group in order of appearance) that the page's style defines.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from netspec.run.report.axes import (
    Axis,
    epoch_ticks,
    fit_axis,
    place,
    ticks,
    wants_log,
    x_axis_svg,
    y_axis_svg,
)
from netspec.run.report.curves import Points, points_of, polyline
from netspec.run.report.read import RunResult
from netspec.run.report.table import Group, Row, Table, measure, metric_title
from netspec.run.report.words import metric_text, plain

COLOURS = 8
DOT = 5.0


def colour_of(group: int) -> str:
    """The class of this group's colour; those beyond the palette are grey."""
    return f"c{group}" if group < COLOURS else "cx"


def curves_chart(table: Table, key: str) -> str | None:
    """This column of every metrics.csv over the epochs, None where no run has it.

    Runs of equal values lie on one another: each is then drawn in dashes that leave room for the
    colours of the others.
    """
    lines = [(row, points_of(row.run.rows, key)) for row in table.rows if row.run.same_as is None]
    lines = [(row, points) for row, points in lines if points]
    if not lines:
        return None
    width, height, left, top, bottom = 1040, 380, 64, 16, 326
    values = [value for _, points in lines for _, value in points]
    x = fit_axis([epoch for _, points in lines for epoch, _ in points], left, width - 16)
    y = fit_axis(values, bottom, top, key.endswith("loss") and wants_log(values, 100))
    parts = [*y_axis_svg(y, left, width - 16), *x_axis_svg(x, top, bottom, epoch_ticks(x), "epoch")]
    label_of = {group.index: group.label for group in table.groups}
    dashes = _dashes(lines)
    for number, (row, points) in reversed(list(enumerate(lines))):
        name = f"{row.run.name}: {label_of[row.group]}"
        end = f"{key} {metric_text(points[-1][1])} at epoch {points[-1][0]:g}"
        parts.append(
            f'<path class="line {colour_of(row.group)}{" dot" if len(points) == 1 else ""}"'
            f'{dashes.get(number, "")} d="{polyline(points, x, y)}">'
            f"<title>{_text(name)} – {end}</title></path>"
        )
    return _svg(width, height, parts, f"{key} over epochs")


def strip_chart(table: Table, width: int) -> str | None:
    """The metric of each run as a dot in its group's row, with the group's mean and deviation."""
    groups = [group for group in table.groups if group.measured]
    values = [value for group in groups for value in group.measured if math.isfinite(value)]
    if table.metric is None or not values:
        return None
    names = max(len(plain(group.label)) for group in groups)
    left, top, step = min(14 + 7 * names, width * 0.42), 8.0, 34.0
    bottom = top + step * len(groups)
    log = table.metric.mode == "min" and wants_log(values, 100)
    x = fit_axis(values, left, width - 20, log)
    title = metric_title(table.metric)
    parts = x_axis_svg(x, top, bottom, ticks(x), title, grid=True)
    for number, group in enumerate(groups):
        parts += _strip_svg(group, x, top + step * (number + 0.5))
    return _svg(width, round(bottom + 46), parts, f"{title} of each run, by group")


def scatter_chart(table: Table, width: int) -> str | None:
    """Parameters across, the metric up, a dot a run; None where all runs are of one size."""
    rows = [(row, _size_and_metric(row, table)) for row in table.rows if row.run.same_as is None]
    dots = [(row, found) for row, found in rows if found is not None]
    sizes = [size for _, (size, _) in dots]
    if table.metric is None or len(set(sizes)) < 2:
        return None
    values = [value for _, (_, value) in dots]
    height, left, top, bottom = 340, 60, 12, 288
    x = fit_axis(sizes, left, width - 24, wants_log(sizes, 10))
    y = fit_axis(values, bottom, top, table.metric.mode == "min" and wants_log(values, 100))
    parts = [*y_axis_svg(y, left, width - 24), *x_axis_svg(x, top, bottom, ticks(x), "parameters")]
    for row, (size, value) in reversed(dots):
        name = f"{row.run.name}: {size:,.0f} parameters, {metric_text(value)}"
        at = f'cx="{place(x, size):.1f}" cy="{place(y, value):.1f}"'
        parts.append(_dot_svg(at, row.group, name))
    return _svg(width, height, parts, f"{metric_title(table.metric)} against parameters")


def sparkline(run: RunResult, key: str, group: int) -> str:
    """The run's curve as small as a word; empty where it has none."""
    points = points_of(run.rows, key)
    if len(points) < 2:
        return ""
    epochs, values = [epoch for epoch, _ in points], [value for _, value in points]
    x, y = fit_axis(epochs, 1, 71), fit_axis(values, 19, 1)
    line = f'<path class="line thin {colour_of(group)}" d="{polyline(points, x, y)}"/>'
    size = 'viewBox="0 0 72 20" width="72" height="20"'
    return f'<svg class="spark" {size} aria-hidden="true">{line}</svg>'


def _strip_svg(group: Group, x: Axis, y: float) -> list[str]:
    label = plain(group.label)
    most = int((x.start - 14) / 6.6)
    short = label if len(label) <= most else f"{label[: most - 1]}…"
    parts = [
        f'<text class="label" x="{x.start - 14:.1f}" y="{y + 4:.1f}" text-anchor="end">'
        f"{escape(short)}<title>{escape(label)}</title></text>"
    ]
    colour = colour_of(group.index)
    spread = group.spread
    if spread is not None:
        if spread.std is not None and not x.log:
            low = max(x.start, place(x, spread.mean - spread.std))
            high = min(x.end, place(x, spread.mean + spread.std))
            parts.append(
                f'<rect class="band {colour}" x="{low:.1f}" y="{y - 11:.1f}" '
                f'width="{max(0.0, high - low):.1f}" height="22" rx="4"/>'
            )
        parts.append(f'<path class="mean" d="M{place(x, spread.mean):.1f} {y - 11:.1f}v22"/>')
    finite = sorted(value for value in group.measured if math.isfinite(value))
    for value, lift in zip(finite, _lifts([place(x, value) for value in finite]), strict=True):
        at = f'cx="{place(x, value):.1f}" cy="{y + lift:.1f}"'
        parts.append(_dot_svg(at, group.index, f"{group.label}: {metric_text(value)}"))
    return parts


def _lifts(places: Sequence[float]) -> list[float]:
    """How far each dot of a row moves up or down, so that near ones don't hide one another."""
    steps = (0.0, -7.0, 7.0)
    lifts: list[float] = []
    for number, here in enumerate(places):
        taken = {lifts[i] for i in range(number) if abs(places[i] - here) < 2 * DOT - 2}
        lifts.append(next((step for step in steps if step not in taken), 0.0))
    return lifts


def _size_and_metric(row: Row, table: Table) -> tuple[float, float] | None:
    value = measure(row.run, table.metric)
    if row.rank is None or row.run.parameters is None or value is None or not math.isfinite(value):
        return None
    return (float(row.run.parameters), value)


def _dashes(lines: Sequence[tuple[Row, Points]]) -> Mapping[int, str]:
    """The dashes of those lines that lie on others of another group."""
    same: dict[tuple[tuple[float, float], ...], list[int]] = {}
    for number, (_, points) in enumerate(lines):
        same.setdefault(tuple(points), []).append(number)
    found = {}
    for numbers in same.values():
        groups = sorted({lines[number][0].group for number in numbers})
        if len(groups) < 2:
            continue
        for number in numbers:
            turn = groups.index(lines[number][0].group)
            rest = 10 * (len(groups) - 1)
            found[number] = f' stroke-dasharray="10 {rest}" stroke-dashoffset="{-10 * turn}"'
    return found


def _dot_svg(at: str, group: int, words: str) -> str:
    title = f"<title>{_text(words)}</title>"
    return f'<circle class="point {colour_of(group)}" {at} r="{DOT:g}">{title}</circle>'


def _svg(width: int, height: int, parts: Sequence[str], title: str) -> str:
    head = (
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{_text(title)}"'
    )
    return "\n".join([f'{head} style="min-width:{width * 0.6:.0f}px">', *parts, "</svg>"])


def _text(words: str) -> str:
    return escape(plain(words))
