"""The epochs of one run → its curves, a picture of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from netspec.run.report.axes import (
    Axis,
    epoch_ticks,
    fit_axis,
    place,
    wants_log,
    x_axis_svg,
    y_axis_svg,
)
from netspec.run.report.words import metric_text, plain

Row = Mapping[str, float | None]
Points = list[tuple[float, float]]

PANEL_WIDTH, HEIGHT, TOP, BOTTOM, LEFT, GAP = 420, 320, 74, 268, 64, 24
MOST_PANELS = 3
STYLE = """
.curves{--page:#fcfcfb;--ink:#0b0b0b;--soft:#52514e;--faint:#898781;--line:#e1e0d9;
--train:#eb6834;--val:#2a78d6}
@media (prefers-color-scheme:dark){.curves{--page:#1a1a19;--ink:#fff;--soft:#c3c2b7;
--faint:#898781;--line:#2c2c2a;--train:#d95926;--val:#3987e5}}
.curves{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif}
.curves .page{fill:var(--page)}.curves .head{fill:var(--ink);font-size:15px;font-weight:600}
.curves .panel{fill:var(--ink);font-size:13px;font-weight:600}
.curves .label,.curves .key{fill:var(--soft)}.curves .tick{fill:var(--faint)}
.curves .grid{stroke:var(--line)}.curves .axis{stroke:var(--faint)}
.curves .line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.curves .train{stroke:var(--train)}.curves .val{stroke:var(--val)}
.curves .dot{stroke-width:5;stroke-linecap:round}
"""


def curves_svg(rows: Sequence[Row], title: str) -> str:
    """Loss and metrics over the epochs of one run, train beside validation, as an svg file.

    The rows are those of its metrics.csv. The same rows give the same bytes. The picture follows
    the light or dark of whoever looks at it, and asks for no file or font.
    """
    names = _panel_names(rows)[:MOST_PANELS]
    width = max(1, len(names)) * PANEL_WIDTH
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="curves" width="{width}" height="{HEIGHT}"'
        f' viewBox="0 0 {width} {HEIGHT}" role="img">',
        f"<title>{escape(plain(title))}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{width}" height="{HEIGHT}" rx="8"/>',
        f'<text class="head" x="20" y="28">{escape(plain(title[: width // 9]))}</text>',
    ]
    if not names:
        parts.append(f'<text class="label" x="20" y="{TOP}">no epoch was measured</text>')
    for number, name in enumerate(names):
        parts += _panel_svg(rows, name, number * PANEL_WIDTH)
    return "\n".join([*parts, "</svg>"]) + "\n"


def points_of(rows: Sequence[Row], key: str) -> Points:
    """The epochs at which this was measured, with the value; what is not finite is left out."""
    found = []
    for number, row in enumerate(rows):
        epoch, value = row.get("epoch"), row.get(key)
        if value is not None and math.isfinite(value):
            found.append((float(number) if epoch is None else epoch, value))
    return found


def polyline(points: Points, x: Axis, y: Axis) -> str:
    """The path through these points, in svg's words; a point alone is a stroke of no length."""
    places = [f"{place(x, epoch):.1f} {place(y, value):.1f}" for epoch, value in points]
    return "M" + "L".join(places) + (f"L{places[0]}" if len(places) == 1 else "")


def _panel_names(rows: Sequence[Row]) -> list[str]:
    """`loss` first, then what else was measured in training or validation."""
    keys = dict.fromkeys(key for row in rows for key in row)
    measured = [key for key in keys if points_of(rows, key)]
    names = dict.fromkeys(
        key.partition("_")[2] for key in measured if key.startswith(("train_", "val_"))
    )
    return sorted(names, key=lambda name: name != "loss")


def _panel_svg(rows: Sequence[Row], name: str, offset: int) -> list[str]:
    lines = {kind: points_of(rows, f"{kind}_{name}") for kind in ("train", "val")}
    values = [value for points in lines.values() for _, value in points]
    epochs = [epoch for points in lines.values() for epoch, _ in points]
    log = name.endswith("loss") and wants_log(values, 100)
    left, right = offset + LEFT, offset + PANEL_WIDTH - GAP
    x = fit_axis(epochs, left, right)
    y = fit_axis(values, BOTTOM, TOP, log)
    parts = [f'<text class="panel" x="{left}" y="{TOP - 18}">{escape(name)}</text>']
    parts += _key_svg([kind for kind, points in lines.items() if points], right, TOP - 18)
    parts += y_axis_svg(y, left, right)
    parts += x_axis_svg(x, TOP, BOTTOM, epoch_ticks(x), "epoch")
    for kind, points in lines.items():
        if points:
            dot = " dot" if len(points) == 1 else ""
            last = f"{'validation' if kind == 'val' else 'train'}: {metric_text(points[-1][1])}"
            parts.append(
                f'<path class="line {kind}{dot}" d="{polyline(points, x, y)}">'
                f"<title>{last} at the end</title></path>"
            )
    return parts


def _key_svg(kinds: Sequence[str], right: float, y: float) -> list[str]:
    """Which colour is which, at the right end of the panel's title."""
    parts = []
    for kind in reversed(kinds):
        word, room = ("validation", 58) if kind == "val" else ("train", 28)
        parts.append(f'<text class="key" x="{right}" y="{y}" text-anchor="end">{word}</text>')
        start = right - room - 24
        parts.append(f'<path class="line {kind}" d="M{start} {y - 4}h16"/>')
        right = start - 16
    return parts
