"""Boxes and what joins them → where they are drawn, in layers from above to below.

Sugiyama, Tagawa and Toda (1981): a layer for each box, places in the layers for long lines to pass,
an order in each layer that crosses few lines, then places near those that a box is joined with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

ACROSS, DOWN, MARGIN = 26.0, 34.0, 10.0  # between boxes, between layers, around all
_SWEEPS = 4
_PASSING = 14.0  # the width of a place where a line passes
_MOST_PASSING = 20_000  # such places; lines beyond go straight, the longest first

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Layout:
    """The centre of each box, the points of each line in the order of the lines, and the size."""

    centres: tuple[Point, ...]
    paths: tuple[tuple[Point, ...], ...]
    width: float
    height: float


def lay_out(sizes: Sequence[Point], lines: Sequence[tuple[int, int]]) -> Layout:
    """Places for boxes of these widths and heights, of which lines join two, by their numbers.

    A line leads down from the box with the smaller number, as values do; one that is drawn the
    other way round has its points in its own direction.
    """
    forward = [(min(line), max(line)) for line in lines]
    layer_of = _layers(len(sizes), forward)
    widths = [width for width, _ in sizes]
    pieces, passing = _with_passing(forward, layer_of, widths)
    layers = _ordered(layer_of, pieces)
    across = _across(layers, pieces, widths)
    left = min((x - w / 2 for x, w in zip(across, widths, strict=True)), default=0.0) - MARGIN
    right = max((x + w / 2 for x, w in zip(across, widths, strict=True)), default=0.0) + MARGIN
    heights = [max((sizes[i][1] for i in layer if i < len(sizes)), default=0.0) for layer in layers]
    tops = [MARGIN]
    for height in heights:
        tops.append(tops[-1] + height + DOWN)
    centres = [
        (across[box] - left, tops[layer_of[box]] + sizes[box][1] / 2) for box in range(len(sizes))
    ]
    paths: list[tuple[Point, ...]] = []
    for (first, last), line, through in zip(forward, lines, passing, strict=True):
        points = [(centres[first][0], centres[first][1] + sizes[first][1] / 2)]
        for place in through:
            top = tops[layer_of[place]]
            x = across[place] - left
            points += [(x, top), (x, top + heights[layer_of[place]])]
        points.append((centres[last][0], centres[last][1] - sizes[last][1] / 2))
        paths.append(tuple(points if (first, last) == line else reversed(points)))
    height = tops[-1] - DOWN + MARGIN if layers else 2 * MARGIN
    return Layout(tuple(centres), tuple(paths), right - left, height)


def _layers(count: int, lines: Iterable[tuple[int, int]]) -> list[int]:
    """The layer of each box: below all that lead to it, and what nothing leads to right above."""
    found = [0] * count
    below: list[list[int]] = [[] for _ in range(count)]
    has_source = [False] * count
    for first, last in lines:
        below[first].append(last)
        has_source[last] = True
    for box in range(count):
        for other in below[box]:
            found[other] = max(found[other], found[box] + 1)
    for box in range(count):
        if not has_source[box] and below[box]:
            found[box] = max(0, min(found[other] for other in below[box]) - 1)
    return found


def _with_passing(
    lines: Sequence[tuple[int, int]], layer_of: list[int], widths: list[float]
) -> tuple[list[tuple[int, int]], list[list[int]]]:
    """The lines in pieces from layer to layer, and the places through which each of them passes.

    The places are added to `layer_of` and `widths`, behind the boxes.
    """
    passing: list[list[int]] = [[] for _ in lines]
    pieces: list[tuple[int, int]] = []
    left = _MOST_PASSING
    spans = [layer_of[last] - layer_of[first] - 1 for first, last in lines]
    for number in sorted(range(len(lines)), key=spans.__getitem__):
        at, last = lines[number]
        if spans[number] > left:
            continue
        left -= spans[number]
        for layer in range(layer_of[at] + 1, layer_of[last]):
            place = len(layer_of)
            layer_of.append(layer)
            widths.append(_PASSING)
            passing[number].append(place)
            pieces.append((at, place))
            at = place
        pieces.append((at, last))
    return pieces, passing


def _ordered(layer_of: Sequence[int], pieces: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The boxes and places of each layer, each near the mean of those that it is joined with."""
    layers: list[list[int]] = [[] for _ in range(max(layer_of, default=-1) + 1)]
    for number, its_layer in enumerate(layer_of):
        layers[its_layer].append(number)
    above, below = _neighbours(len(layer_of), pieces)
    at = [0.0] * len(layer_of)

    def note(layer: Sequence[int]) -> None:
        for index, number in enumerate(layer):
            at[number] = index - (len(layer) - 1) / 2

    for layer in layers:
        note(layer)
    for sweep in range(2 * _SWEEPS):
        joined, order = (below, layers[::-1]) if sweep % 2 else (above, layers)
        for layer in order:
            wanted = {n: _mean([at[o] for o in joined[n]], at[n]) for n in layer}
            layer.sort(key=wanted.__getitem__)
            note(layer)
    return layers


def _across(
    layers: Sequence[Sequence[int]], pieces: Sequence[tuple[int, int]], widths: Sequence[float]
) -> list[float]:
    """The centre of each box and place across, with room between those beside each other."""
    above, below = _neighbours(len(widths), pieces)
    at = [0.0] * len(widths)
    for sweep in range(2 * _SWEEPS + 1):
        joined, order = (below, layers[::-1]) if sweep % 2 else (above, layers)
        for layer in order:
            wanted = [_mean([at[o] for o in joined[n]], at[n]) for n in layer]
            gaps = [(widths[a] + widths[b]) / 2 + ACROSS for a, b in pairwise(layer)]
            for number, x in zip(layer, _apart(wanted, gaps), strict=True):
                at[number] = x
    return at


def _apart(wanted: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """The places nearest to the wanted ones, in squares, that keep the order and the gaps.

    Isotonic regression by pooling adjacent violators, after the gaps are taken off.
    """
    offsets = [0.0]
    for gap in gaps:
        offsets.append(offsets[-1] + gap)
    pools: list[tuple[float, int]] = []  # the sum of those in it, how many
    for want, offset in zip(wanted, offsets, strict=True):
        total, count = want - offset, 1
        while pools and pools[-1][0] / pools[-1][1] > total / count:
            before, more = pools.pop()
            total, count = total + before, count + more
        pools.append((total, count))
    means = [total / count for total, count in pools for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]


def _neighbours(
    count: int, pieces: Iterable[tuple[int, int]]
) -> tuple[list[list[int]], list[list[int]]]:
    above: list[list[int]] = [[] for _ in range(count)]
    below: list[list[int]] = [[] for _ in range(count)]
    for first, last in pieces:
        above[last].append(first)
        below[first].append(last)
    return above, below


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
