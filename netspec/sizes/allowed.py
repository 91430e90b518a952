"""Which numbers one size may be: what is left of all positive ones by some predicates.

A predicate of one size is a comparison of sums of rounded quotients: from some number on it is
periodic. So it is looked at from 1 to a number beyond all that it names, and over some periods.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from netspec.sizes.formula import Extreme, Formula, Quotient, Scaled, atoms_of
from netspec.sizes.predicate import Predicate, formulas_in, holds

_LEAST_LOOKED_AT, _MOST_LOOKED_AT = 512, 1 << 18
_LONGEST_PERIOD = 4096


@dataclass(frozen=True, slots=True)
class Allowed:
    """From `least` to `most` (None: without end), those whose rest by `period` is in `rests`.

    `exact` is false where this is more than what the predicates allow.
    """

    least: int
    most: int | None
    period: int
    rests: tuple[int, ...]
    exact: bool

    @property
    def rest(self) -> int | None:
        """The one rest that all have, if the period is more than one."""
        return self.rests[0] if self.period > 1 and len(self.rests) == 1 else None


def looked_at(predicates: Iterable[Predicate]) -> tuple[int, int]:
    """Up to which number predicates of one size are looked at, and a period of theirs."""
    period, largest = 1, 1
    for one in predicates:
        for formula in formulas_in(one):
            own, number = _numbers_of(formula)
            period = math.lcm(period, own)
            largest = max(largest, number * own)
    period = min(period, _LONGEST_PERIOD)
    beyond = 2 * largest + 4 * period
    return min(max(beyond, _LEAST_LOOKED_AT), _MOST_LOOKED_AT), period


def _numbers_of(formula: Formula) -> tuple[int, int]:
    """A period of its rounding, and the largest number in it."""
    period, largest = 1, max((abs(f) for _, f in formula.terms), default=1)
    for one in atoms_of(formula):
        parts: Sequence[Formula] = ()
        match one:
            case Quotient(above, below):
                parts = (above, below)
                period = math.lcm(period, abs(below.number or 1) or 1)
            case Extreme(_, items):
                parts = items
            case Scaled(_, of):
                parts = (of,)
        for part in parts:
            own, number = _numbers_of(part)
            period, largest = math.lcm(period, own), max(largest, number)
    return period, largest


def truth(predicates: Sequence[Predicate], name: str, most: int) -> torch.Tensor:
    """Whether all hold, for the sizes from 1 to `most`."""
    sizes = torch.arange(1, most + 1)
    found = torch.ones(most, dtype=torch.bool)
    for one in predicates:
        each = holds(one, {name: sizes})
        found &= torch.full_like(found, each) if isinstance(each, bool) else each
    return found


def allowed_by(predicates: Sequence[Predicate], name: str) -> Allowed | None:
    """What one size may be; None where nothing is left."""
    end, period = looked_at(predicates)
    found = truth(predicates, name, end)
    sizes = found.nonzero().flatten() + 1
    if not len(sizes):
        return None
    least, greatest = int(sizes[0]), int(sizes[-1])
    most = None if greatest > end - 2 * period else greatest
    inside = found[least - 1 : greatest]
    numbers = torch.arange(least, greatest + 1)
    for length in _divisors(period):
        rests = torch.tensor(sorted(set((numbers % length)[inside].tolist())))
        if bool((torch.isin(numbers % length, rests) == inside).all()):
            return Allowed(least, most, length, tuple(rests.tolist()), True)
    return Allowed(least, most, 1, (0,), False)


def _divisors(number: int) -> list[int]:
    return [one for one in range(1, number + 1) if number % one == 0]
