"""Whole numbers that follow free sizes: polynomials over sizes and their rounded quotients.

A formula is kept in one normal form, so that equal ones are mostly `==`: `(H - 1)//2 + 1` and
`(H + 1)//2` are one formula, as are `(H//2)//2` and `H//4`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from typing import Any, TypeAlias

import torch


@dataclass(frozen=True, slots=True)
class Symbol:
    """A free size, by its letter; one that has no letter of the spec stands for what is unknown."""

    name: str


@dataclass(frozen=True, slots=True)
class Quotient:
    """`above // below`, in a form that `floor_div` could not make simpler."""

    above: Formula
    below: Formula


@dataclass(frozen=True, slots=True)
class Extreme:
    """The least or the greatest of some formulas: `name` is `min` or `max`."""

    name: str
    items: tuple[Formula, ...]


@dataclass(frozen=True, slots=True)
class Scaled:
    """`floor(factor * of)`, as floats give it."""

    factor: float
    of: Formula


Atom: TypeAlias = Symbol | Quotient | Extreme | Scaled
Product: TypeAlias = tuple[Atom, ...]  # sorted, with repeats; () is one


@dataclass(frozen=True, slots=True)
class Formula:
    """A sum of products of atoms, each with a factor that is not zero, in one order."""

    terms: tuple[tuple[Product, int], ...]

    @property
    def number(self) -> int | None:
        """Its value, where that follows nothing."""
        if not self.terms:
            return 0
        return self.terms[0][1] if self.terms[0][0] == () and len(self.terms) == 1 else None


def constant(value: int) -> Formula:
    return Formula((((), value),) if value else ())


def atom(one: Atom) -> Formula:
    return Formula((((one,), 1),))


def symbol(name: str) -> Formula:
    return atom(Symbol(name))


def _order(product: Product) -> tuple[int, str]:
    return -len(product), repr(product)


def _sum(terms: Iterator[tuple[Product, int]]) -> Formula:
    found: dict[Product, int] = {}
    for product, factor in terms:
        found[product] = found.get(product, 0) + factor
    for product, factor in list(found.items()):
        if factor < 0 and len(product) == 1 and isinstance(product[0], Quotient):
            _round_up(found, product[0], factor)
    left = [(product, factor) for product, factor in found.items() if factor]
    return Formula(tuple(left if len(left) < 2 else sorted(left, key=lambda t: _order(t[0]))))


def _round_up(found: dict[Product, int], half: Quotient, factor: int) -> None:
    """`a - a // 2` becomes `(a + 1) // 2` in these terms, where `a` may be a quotient too."""
    below = half.below.number
    if below is None or below % 2:
        return
    whole = _by_number(half.above, below // 2)
    if any(found.get(product, 0) < -factor * n for product, n in whole.terms if product):
        return
    for product, n in whole.terms:
        found[product] = found.get(product, 0) + factor * n
    del found[(half,)]
    for product, n in _by_number(add(whole, constant(1)), 2).terms:
        found[product] = found.get(product, 0) - factor * n


def add(*formulas: Formula) -> Formula:
    return _sum(term for one in formulas for term in one.terms)


def times(one: Formula, other: Formula) -> Formula:
    return _sum(
        (tuple(sorted(a + b, key=repr)) if a and b else a or b, m * n)
        for a, m in one.terms
        for b, n in other.terms
    )


def minus(one: Formula, other: Formula) -> Formula:
    return add(one, times(constant(-1), other))


def power(base: Formula, exponent: int) -> Formula:
    return reduce(times, [base] * exponent, constant(1))


def floor_div(above: Formula, below: Formula) -> Formula:
    """`above // below`, for a divisor that is a positive size."""
    above, below = _cancelled(above, below)
    number = below.number
    if number is not None and number != 0:
        return _by_number(above, number)
    whole, rest = _divided(above, below)
    if not rest.terms:
        return whole
    return add(whole, atom(Quotient(rest, below)))


def modulo(value: Formula, by: Formula) -> Formula:
    return minus(value, times(by, floor_div(value, by)))


def scaled(factor: float, of: Formula) -> Formula:
    """`floor(factor * of)`, exactly where the factor is a fraction that floats hold."""
    number = of.number
    if number is not None:
        return constant(math.floor(factor * number))
    above, below = factor.as_integer_ratio()
    if below <= 1024:
        return floor_div(times(constant(above), of), constant(below))
    return atom(Scaled(factor, of))


def extreme(name: str, items: Sequence[Formula]) -> Formula:
    """The least (`min`) or the greatest (`max`) of some formulas."""
    choose = min if name == "min" else max
    numbers = [n for one in items if (n := one.number) is not None]
    rest = {one for one in items if one.number is None}
    kept = [*rest, *([constant(choose(numbers))] if numbers else [])]
    for one in list(kept):  # what differs by a number from another is decided
        for other in kept:
            apart = minus(one, other).number if other is not one else None
            if apart is not None and (apart > 0) == (name == "min") and apart != 0:
                kept.remove(one)
                break
    if len(kept) == 1:
        return kept[0]
    return atom(Extreme(name, tuple(sorted(kept, key=repr))))


def _cancelled(above: Formula, below: Formula) -> tuple[Formula, Formula]:
    """Both without the atoms and the number that divide all their terms."""
    if not above.terms or not below.terms:
        return above, below
    products = [product for product, _ in (*above.terms, *below.terms)]
    common: list[Atom] = []
    for one in products[0]:
        taken = [_without(product, (*common, one)) for product in products]
        if all(left is not None for left in taken):
            common.append(one)
    factor = math.gcd(*[n for _, n in (*above.terms, *below.terms)])
    if not common and factor == 1:
        return above, below

    def less(formula: Formula) -> Formula:
        return _sum((_without(p, common) or (), n // factor) for p, n in formula.terms)

    return less(above), less(below)


def _without(product: Product, atoms: Sequence[Atom]) -> Product | None:
    """The product divided by these atoms; None where they don't divide it."""
    left = list(product)
    for one in atoms:
        if one not in left:
            return None
        left.remove(one)
    return tuple(left)


def _by_number(above: Formula, below: int) -> Formula:
    if below < 0:
        return _by_number(times(constant(-1), above), -below)
    rest = _sum((product, _rest(factor, below, product)) for product, factor in above.terms)
    whole = _sum((p, n // below) for p, n in minus(above, rest).terms)
    if rest.number is not None:
        return whole
    if rest.terms[0][1] < 0:  # -(a // n) is the ceiling of -a / n
        up = add(times(constant(-1), rest), constant(below - 1))
        return minus(whole, _by_number(up, below))
    shift = next((n for product, n in rest.terms if not product), 0)
    common = math.gcd(below, *[n for product, n in rest.terms if product])
    if common > 1:
        inner = _sum((p, n // common) for p, n in rest.terms if p)
        return add(whole, _by_number(add(inner, constant(shift // common)), below // common))
    varying = [(product, n) for product, n in rest.terms if product]
    if len(varying) == 1 and varying[0][1] == 1 and len(varying[0][0]) == 1:
        inner_atom = varying[0][0][0]
        if isinstance(inner_atom, Quotient) and (by := inner_atom.below.number) is not None:
            return add(whole, _by_number(add(inner_atom.above, constant(by * shift)), by * below))
    if below == 1:
        return add(whole, rest)
    return add(whole, atom(Quotient(rest, constant(below))))


def _rest(factor: int, below: int, product: Product) -> int:
    """The rest of least size; of a number that stands alone, the one that is not negative."""
    rest = factor % below
    return rest - below if product and 2 * rest > below else rest


def _divided(above: Formula, below: Formula) -> tuple[Formula, Formula]:
    """Polynomial division: the whole part, and what is left."""
    whole, left = constant(0), above
    lead, factor = below.terms[0]
    for _ in range(20):
        step = next(
            (
                Formula(((found, n // factor),))
                for product, n in left.terms
                if n % factor == 0 and (found := _without(product, lead)) is not None
            ),
            None,
        )
        if step is None:
            break
        whole, left = add(whole, step), minus(left, times(step, below))
    else:
        return constant(0), above
    if left.terms and len(below.terms) != 1:  # the rest may be negative: only exact ones
        return constant(0), above
    return whole, left


def atoms_of(formula: Formula) -> list[Atom]:
    """The atoms that a formula is made of, in its order, each once."""
    return list(dict.fromkeys(one for product, _ in formula.terms for one in product))


@cache
def symbols_of(formula: Formula) -> frozenset[str]:
    """The names of all symbols in a formula, also within quotients."""
    found: set[str] = set()
    for one in atoms_of(formula):
        match one:
            case Symbol(name):
                found.add(name)
            case Quotient(above, below):
                found |= symbols_of(above) | symbols_of(below)
            case Extreme(_, items):
                found.update(*map(symbols_of, items))
            case Scaled(_, of):
                found |= symbols_of(of)
    return frozenset(found)


def replaced(formula: Formula, by: Callable[[Symbol], Formula | None]) -> Formula:
    """The formula with some symbols replaced, in its normal form."""

    def of_atom(one: Atom) -> Formula:
        match one:
            case Symbol():
                return by(one) or atom(one)
            case Quotient(above, below):
                return floor_div(replaced(above, by), replaced(below, by))
            case Extreme(name, items):
                return extreme(name, [replaced(item, by) for item in items])
            case Scaled(factor, of):
                return scaled(factor, replaced(of, by))

    return _with_atoms(formula, of_atom)


def of_filled(stride: Formula) -> Formula:
    """A stride of a tensor that is not empty: there `max(1, H)` is `H`."""
    return _with_atoms(stride, _filled)


def _with_atoms(formula: Formula, change: Callable[[Atom], Formula]) -> Formula:
    found = constant(0)
    for product, factor in formula.terms:
        term = constant(factor)
        for one in product:
            term = times(term, change(one))
        found = add(found, term)
    return found


def _filled(one: Atom) -> Formula:
    if isinstance(one, Extreme) and one.name == "max" and constant(1) in one.items:
        rest = [item for item in one.items if item != constant(1)]
        if len(rest) == 1:
            return rest[0]
    return atom(one)


def value_at(formula: Formula, sizes: Mapping[str, Any]) -> Any:
    """Its value at these sizes: numbers, `int64` tensors of many at once, or torch's symbols."""
    total: Any = 0
    for product, factor in formula.terms:
        term: Any = factor
        for one in product:
            term = term * _atom_at(one, sizes)
        total = total + term
    return total


def _atom_at(one: Atom, sizes: Mapping[str, Any]) -> Any:
    match one:
        case Symbol(name):
            return sizes[name]
        case Quotient(above, below):
            return _divide(value_at(above, sizes), value_at(below, sizes))
        case Scaled(factor, of):
            found = value_at(of, sizes)
            if isinstance(found, int):
                return math.floor(factor * found)
            return (found.double() * factor).floor().long()
        case Extreme(name, items):
            values = [value_at(item, sizes) for item in items]
            return reduce(_least if name == "min" else _greatest, values)


def _divide(above: Any, below: Any) -> Any:
    """`above // below`; by zero, which is the size of nothing, it is zero."""
    if isinstance(below, int):
        return above // below if below else above * 0
    if isinstance(below, torch.Tensor):
        return torch.where(below == 0, 0, above // below.masked_fill(below == 0, 1))
    return above // below


def _least(one: Any, other: Any) -> Any:
    if isinstance(one, int):
        return min(one, other) if isinstance(other, int) else other.clamp(max=one)
    return one.clamp(max=other)


def _greatest(one: Any, other: Any) -> Any:
    if isinstance(one, int):
        return max(one, other) if isinstance(other, int) else other.clamp(min=one)
    return one.clamp(min=other)
