"""Formulas as people write them, under what the free sizes have to be."""

from __future__ import annotations

import math
from collections.abc import Mapping

from netspec.sizes.formula import (
    Formula,
    Quotient,
    Symbol,
    add,
    atoms_of,
    constant,
    replaced,
    symbol,
    times,
)
from netspec.sizes.text import formula_text

Rests = Mapping[str, tuple[int, int]]  # of some sizes: a period, and the rest that all have


def short_text(formula: Formula, rests: Rests) -> str:
    """`H/4` for `H//4` where H is a multiple of 4; where that is no shorter, as it is."""
    if not any(isinstance(one, Quotient) for one in atoms_of(formula)):
        return formula_text(formula)

    def whole(one: Symbol) -> Formula | None:
        if one.name not in rests:
            return None
        period, rest = rests[one.name]
        return add(times(constant(period), symbol(one.name)), constant(rest))

    exact = replaced(formula, whole)
    if any(not isinstance(one, Symbol) for one in atoms_of(exact)):
        return formula_text(formula)
    return _over(exact, rests) or formula_text(formula)


def _over(exact: Formula, rests: Rests) -> str | None:
    """A polynomial in `k`, where H is `period·k + rest`, as a polynomial in H over a number."""
    below = 1
    for product, _ in exact.terms:
        below = math.lcm(below, math.prod(_period(one, rests) for one in product))
    above = constant(0)
    for product, factor in exact.terms:
        term = constant(factor * below)
        for one in product:
            assert isinstance(one, Symbol), "only sizes are left"
            period, rest = rests.get(one.name, (1, 0))
            # below is a multiple of the product of all periods in this term
            term = times(term, add(symbol(one.name), constant(-rest)))
            term = Formula(tuple((p, n // period) for p, n in term.terms))
        above = add(above, term)
    common = math.gcd(below, *[factor for _, factor in above.terms])
    above = Formula(tuple((product, factor // common) for product, factor in above.terms))
    below //= common
    if below == 1:
        return formula_text(above)
    return f"{formula_text(above, within=len(above.terms) > 1)}/{below}"


def _period(one: object, rests: Rests) -> int:
    return rests[one.name][0] if isinstance(one, Symbol) and one.name in rests else 1
