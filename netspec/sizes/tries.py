"""A call that torch can't compute with symbols: formulas that fit what it gives at many sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from netspec.sizes.formula import (
    Formula,
    add,
    constant,
    floor_div,
    minus,
    symbol,
    times,
    value_at,
)
from netspec.sizes.from_sympy import NotSymbolic
from netspec.sizes.predicate import All, Predicate, compare, equal
from netspec.sizes.question import Answer, Need, Number, Question, by_name
from netspec.sizes.real import NoSuchSizes, TensorLayout, run_at
from netspec.sizes.values import SizedType

_STEPS = 14  # sizes in a row, from each of the question's
_SMALLEST = 40  # up to which each size is tried by itself
_FAR = (200, 1000)  # and these
_STEPS_OF_LOOPS, _SMALLEST_OF_LOOPS = 4, 6  # of a call that takes long at large sizes
_PERIODS = range(1, 13)


def find_by_tries(
    question: Question, here: Any, why: str, strict: bool = False, loops: bool = False
) -> Answer:
    """The answer by runs with numbers alone; what fits no formula holds for its own sizes only.

    With `strict` it raises NotSymbolic there. A call that `loops` over a size is run few times.
    """
    if not question.hints:
        return Answer(_built(here, []), (), why)
    steps, smallest = (_STEPS_OF_LOOPS, _SMALLEST_OF_LOOPS) if loops else (_STEPS, _SMALLEST)
    rows = [_row(question, index, steps) for index in range(len(question.hints))]
    corners = _corners(question, 2 if loops else 4)
    at_home = _flat(here)
    formulas, needs = [], []
    for position, value in enumerate(at_home):
        found = _fitted(position, value, rows, corners, len(at_home))
        if found is None:
            if strict:
                raise NotSymbolic("nothing fits")
            found = constant(value)
            needs += [
                Need(equal(symbol(f"s{i}"), constant(hint)), fails=False)
                for i, hint in enumerate(question.hints)
                if _follows(rows[i], position, len(at_home))
            ]
        formulas.append(found)
    needs += [need for index in range(len(rows)) for need in _limits(question, index, smallest)]
    return Answer(_built(here, formulas), tuple(dict.fromkeys(needs)), why)


@dataclass(frozen=True, slots=True)
class _Try:
    sizes: tuple[int, ...]
    values: tuple[int, ...]  # all sizes of what came out


def _try(question: Question, sizes: Sequence[int]) -> _Try | None:
    try:
        found = run_at(question, sizes)
    except NoSuchSizes:
        return None
    return None if found is None else _Try(tuple(sizes), tuple(_flat(found)))


def _row(question: Question, index: int, steps: int) -> list[_Try]:
    """Runs in which one size alone goes up."""
    hints = question.hints
    found = []
    for step in range(steps):
        one = _try(question, [*hints[:index], hints[index] + step, *hints[index + 1 :]])
        if one is not None:
            found.append(one)
    return found


def _corners(question: Question, count: int) -> list[_Try]:
    """Runs in which all sizes are others."""
    hints = question.hints
    sets = [
        [hint + (step + 1) * (i + 1) for i, hint in enumerate(hints)] for step in range(count)
    ] + [[max(1, hint // 2) for hint in hints]]
    return [one for sizes in sets if (one := _try(question, sizes)) is not None]


def _follows(row: Sequence[_Try], position: int, count: int) -> bool:
    values = {one.values[position] for one in row if len(one.values) == count}
    return len(values) > 1


def _fitted(
    position: int,
    home: int,
    rows: Sequence[Sequence[_Try]],
    corners: Sequence[_Try],
    count: int,
) -> Formula | None:
    """A formula for one number of what comes out that fits all runs."""
    every = [one for row in rows for one in row] + list(corners)
    if any(len(one.values) != count for one in every):
        return None
    parts = []
    for index, row in enumerate(rows):
        if not _follows(row, position, count):
            continue
        points = [(one.sizes[index], one.values[position]) for one in row]
        part = _along(symbol(f"s{index}"), points)
        if part is None:
            return None
        parts.append(part)
    for found in _joined(parts, home):
        named = [(by_name(one.sizes), one) for one in every]
        if all(value_at(found, sizes) == one.values[position] for sizes, one in named):
            return found
    return None


def _along(size: Formula, points: Sequence[tuple[int, int]]) -> Formula | None:
    """`(a * size + b) // d` through all points, which follow one another."""
    by_size = dict(points)
    for period in _PERIODS:
        steps = {by_size[at + period] - value for at, value in points if at + period in by_size}
        if len(steps) != 1:
            continue
        (rise,) = steps
        first, value = points[0]
        start = period * value - rise * first
        for shift in range(start, start + period):
            above = add(times(constant(rise), size), constant(shift))
            if all((rise * at + shift) // period == value for at, value in points):
                return floor_div(above, constant(period))
    return None


def _joined(parts: Sequence[Formula], home: int) -> list[Formula]:
    """One size's formula from those along each of its sizes: a sum, or a product."""
    if not parts:
        return [constant(home)]
    if len(parts) == 1:
        return [parts[0]]
    total = constant(-(len(parts) - 1) * home)
    summed = add(total, *parts)
    product = constant(1)
    for part in parts:
        product = times(product, part)
    return [summed, floor_div(product, constant(max(home, 1) ** (len(parts) - 1)))]


def _limits(question: Question, index: int, smallest: int) -> list[Need]:
    """What one size has to be by itself, from where it is refused."""
    hints = question.hints
    allowed = {}
    far = _FAR if smallest == _SMALLEST else ()
    for size in (*range(question.least[index], smallest), *far):
        sizes = [*hints[:index], size, *hints[index + 1 :]]
        try:
            allowed[size] = run_at(question, sizes) is not None
        except NoSuchSizes:
            continue
    return [Need(one, fails=True) for one in _told(symbol(f"s{index}"), allowed)]


def _told(size: Formula, allowed: dict[int, bool]) -> list[Predicate]:
    """Predicates that are true of those sizes that were allowed."""
    refused = [at for at, fine in allowed.items() if not fine]
    if not refused:
        return []
    fine = [at for at, good in allowed.items() if good]
    if len(fine) == 1:
        return [equal(size, constant(fine[0]))]
    least = min(fine)
    found: list[Predicate] = []
    if any(at < least for at in refused):
        found.append(compare(">=", size, constant(least)))
    within = [at for at in refused if at > least]
    if not within:
        return found
    for period in range(2, _SMALLEST // 2):
        rests = {at % period for at in fine}
        if len(rests) == 1 and all((at % period) not in rests for at in within):
            rest = rests.pop()
            whole = times(constant(period), floor_div(size, constant(period)))
            return [*found, equal(minus(size, whole), constant(rest))]
    greatest = max(fine)
    if all(at > greatest for at in within):
        return [*found, compare("<=", size, constant(greatest))]
    return [*found, All(tuple(compare("!=", size, constant(at)) for at in within[:20]))]


def _flat(found: Any) -> list[int]:
    """All sizes in what came out, in order."""
    sizes: list[int] = []

    def note(size: int) -> int:
        sizes.append(size)
        return size

    _collect(found, note)
    return sizes


def _built(here: Any, formulas: Sequence[Formula]) -> Any:
    """What came out, with formulas for its sizes."""
    left = iter(formulas)

    def leaf(value: int) -> Formula:
        return next(left, constant(value))

    return _collect(here, leaf)


def _collect(found: Any, size: Callable[[int], Any]) -> Any:
    match found:
        case TensorLayout(dims, strides, dtype):
            order = _order_of(dims, strides)
            sized = tuple([size(dim) for dim in dims])
            return SizedType(sized, dtype, order)
        case bool():
            return found
        case int():
            made = size(found)
            if isinstance(made, Formula):
                return Number(made) if made.number is None else made.number
            return made
        case tuple() | list():
            return type(found)([_collect(item, size) for item in found])
        case dict():
            return {key: _collect(item, size) for key, item in found.items()}
        case _:
            return found


def _order_of(dims: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...] | None:
    order = tuple(sorted(range(len(dims)), key=lambda dim: (-strides[dim], dim)))
    return None if order == tuple(range(len(dims))) else order
