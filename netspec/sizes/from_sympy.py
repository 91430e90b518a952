"""Expressions of sympy, as torch has them, as formulas and predicates.

They are told apart by the names of their classes, so that sympy is never imported here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

from netspec.sizes.formula import (
    Formula,
    add,
    constant,
    extreme,
    floor_div,
    modulo,
    power,
    scaled,
    times,
)
from netspec.sizes.predicate import All, Predicate, Some, compare, opposite

Symbols = Mapping[str, Formula]
_SIGNS = {
    "Equality": "==", "Unequality": "!=", "GreaterThan": ">=", "StrictGreaterThan": ">",
    "LessThan": "<=", "StrictLessThan": "<",
}  # fmt: skip


class NotSymbolic(Exception):
    """torch can't compute with symbols here, or gives what is no formula of this package."""


@dataclass(frozen=True, slots=True)
class _Fraction:
    """A number that is not whole: `factor * above / below`."""

    factor: float
    above: Formula
    below: Formula


def formula_of(expr: Any, symbols: Symbols) -> Formula:
    """Raises NotSymbolic."""
    if isinstance(expr, int):
        return constant(expr)
    kind = type(expr).__name__
    args = expr.args
    if expr.is_Integer:
        return constant(int(expr))
    if expr.is_Symbol:
        if str(expr) not in symbols:
            raise NotSymbolic("a size that depends on values")
        return symbols[str(expr)]
    match kind:
        case "Add":
            return add(*[formula_of(arg, symbols) for arg in args])
        case "Mul":
            return reduce(times, [formula_of(arg, symbols) for arg in args])
        case "Pow" if args[1].is_Integer and args[1] >= 0:
            return power(formula_of(args[0], symbols), int(args[1]))
        case "FloorDiv" | "CleanDiv" | "IntFloorDiv":
            return floor_div(*[formula_of(arg, symbols) for arg in args])
        case "Mod" | "PythonMod":
            return modulo(*[formula_of(arg, symbols) for arg in args])
        case "Max" | "Min":
            return extreme(kind.lower(), [formula_of(arg, symbols) for arg in args])
        case "Identity":
            return formula_of(args[0], symbols)
        case "FloorToInt" | "TruncToInt":
            return _floor(_fraction_of(args[0], symbols))
        case "CeilToInt":
            found = _fraction_of(args[0], symbols)
            negative = times(constant(-1), found.above)
            below = _Fraction(found.factor, negative, found.below)
            return times(constant(-1), _floor(below))
    raise NotSymbolic(f"a size with {kind}")


def _floor(value: _Fraction) -> Formula:
    if value.below == constant(1):
        return scaled(value.factor, value.above)
    if value.factor != math.floor(value.factor):
        raise NotSymbolic("a size with a fraction")
    return floor_div(times(constant(int(value.factor)), value.above), value.below)


def _fraction_of(expr: Any, symbols: Symbols) -> _Fraction:
    kind = type(expr).__name__
    one = constant(1)
    match kind:
        case "Float" | "Rational" | "Half":
            return _Fraction(float(expr), one, one)
        case "ToFloat":
            return _Fraction(1.0, formula_of(expr.args[0], symbols), one)
        case "IntTrueDiv":
            above, below = [formula_of(arg, symbols) for arg in expr.args]
            return _Fraction(1.0, above, below)
        case "FloatTrueDiv":
            above_, below_ = [_fraction_of(arg, symbols) for arg in expr.args]
            if below_.above == one and below_.below == one and above_.below == one:
                return _Fraction(above_.factor / below_.factor, above_.above, one)
        case "Mul":
            parts = [_fraction_of(arg, symbols) for arg in expr.args]
            if sum(part.above != one for part in parts) <= 1:
                factor = math.prod(part.factor for part in parts)
                above = reduce(times, [part.above for part in parts])
                return _Fraction(factor, above, reduce(times, [part.below for part in parts]))
        case _ if getattr(expr, "is_integer", False):
            return _Fraction(1.0, formula_of(expr, symbols), one)
    raise NotSymbolic(f"a size with {kind}")


def predicate_of(expr: Any, symbols: Symbols) -> Predicate:
    """Raises NotSymbolic."""
    kind = type(expr).__name__
    if kind in ("BooleanTrue", "BooleanFalse"):
        return compare("==" if kind == "BooleanTrue" else "!=", constant(0), constant(0))
    if kind in _SIGNS:
        left, right = [formula_of(arg, symbols) for arg in expr.args]
        return compare(_SIGNS[kind], left, right)
    joined: Mapping[str, Callable[[tuple[Predicate, ...]], Predicate]] = {"And": All, "Or": Some}
    if kind in joined:
        return joined[kind](tuple([predicate_of(arg, symbols) for arg in expr.args]))
    if kind == "Not":
        return opposite(predicate_of(expr.args[0], symbols))
    raise NotSymbolic(f"a condition with {kind}")
