"""Axes of a chart: where a value lies, which ticks it has, and the svg of frame and labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Axis:
    """Values from `low` to `high` lie at pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False


def fit_axis(values: Sequence[float], start: float, end: float, log: bool = False) -> Axis:
    """An axis on which all the values lie, with a little air around them."""
    low, high = min(values), max(values)
    if log:
        air = (high / low) ** 0.04 if high > low else 1.5
        return Axis(low / air, high * air, start, end, log=True)
    air = (high - low) * 0.04 or abs(high) * 0.05 or 0.5
    return Axis(low - air, high + air, start, end)


def place(axis: Axis, value: float) -> float:
    """The pixel of this value, outside of the axis for a value outside of it."""
    if axis.log:
        share = math.log(value / axis.low) / math.log(axis.high / axis.low)
    else:
        share = (value - axis.low) / (axis.high - axis.low)
    return axis.start + share * (axis.end - axis.start)


def ticks(axis: Axis, count: int = 5) -> tuple[float, ...]:
    """About so many round values on the axis: steps of 1, 2 or 5; on a log axis 1, 2, 5, 10 …"""
    if axis.log:
        return _log_ticks(axis, count)
    step = _round_step((axis.high - axis.low) / count)
    first = math.ceil(axis.low / step - 1e-9)
    last = math.floor(axis.high / step + 1e-9)
    return tuple(each * step for each in range(first, last + 1))


def epoch_ticks(axis: Axis, count: int = 8) -> tuple[float, ...]:
    """Whole numbers only."""
    return tuple(dict.fromkeys(float(t) for t in ticks(axis, count) if abs(t - round(t)) < 1e-9))


def tick_text(value: float, among: Sequence[float]) -> str:
    """The value with as many decimals as tell these ticks apart; 20k and 1.5M for large ones."""
    top = max(map(abs, among))
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if top >= size * (10 if letter == "k" else 1):
            return f"{value / size:.4g}{letter}" if value else "0"
    if 0 < top < 1e-3:
        return f"{value:.1e}"
    gap = min((b - a for a, b in pairwise(among)), default=top or 1.0)
    decimals = min(6, max(0, math.ceil(-math.log10(gap) - 1e-9)))
    return f"{value:.{decimals}f}"


def y_axis_svg(axis: Axis, left: float, right: float) -> list[str]:
    """Grid lines across, each with its value at the left."""
    values = ticks(axis)
    parts = []
    for value in values:
        y = place(axis, value)
        parts.append(f'<path class="grid" d="M{left:.1f} {y:.1f}H{right:.1f}"/>')
        words = tick_text(value, _near(value, values) if axis.log else values)
        parts.append(
            f'<text class="tick" x="{left - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">'
            f"{words}</text>"
        )
    return parts


def x_axis_svg(
    axis: Axis, top: float, bottom: float, values: Sequence[float], title: str, grid: bool = False
) -> list[str]:
    """The line below with its values and its title; grid lines up to `top` where asked for."""
    parts = [f'<path class="axis" d="M{axis.start:.1f} {bottom:.1f}H{axis.end:.1f}"/>']
    for value in values:
        x = place(axis, value)
        if grid:
            parts.append(f'<path class="grid" d="M{x:.1f} {top:.1f}V{bottom:.1f}"/>')
        words = tick_text(value, _near(value, values) if axis.log else values)
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{bottom + 18:.1f}" text-anchor="middle">'
            f"{words}</text>"
        )
    middle = (axis.start + axis.end) / 2
    parts.append(
        f'<text class="label" x="{middle:.1f}" y="{bottom + 37:.1f}" '
        f'text-anchor="middle">{escape(title)}</text>'
    )
    return parts


def wants_log(values: Sequence[float], ratio: float) -> bool:
    """Whether all are positive and lie so far apart that a linear axis would hide most of them."""
    return min(values) > 0 and max(values) / min(values) > ratio


def _near(value: float, values: Sequence[float]) -> tuple[float, ...]:
    """On a log axis every tick is written on its own."""
    assert value in values, "a tick is written among its like"
    return (value,)


def _round_step(rough: float) -> float:
    power: float = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)


def _log_ticks(axis: Axis, count: int) -> tuple[float, ...]:
    decades = range(math.floor(math.log10(axis.low)), math.ceil(math.log10(axis.high)) + 1)
    sizes = [10.0**decade for decade in decades]
    found: list[float] = []
    for steps in ((1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 5), (1, 3), (1,)):
        found = [m * size for size in sizes for m in steps if axis.low <= m * size <= axis.high]
        if len(found) <= count + 2:
            break
    return tuple(found[:: max(1, math.ceil(len(found) / (count + 2)))])
