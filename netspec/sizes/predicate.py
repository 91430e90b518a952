"""What has to hold of sizes: comparisons of formulas with zero, joined by and, or and not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch

from netspec.sizes.formula import (
    Formula,
    Symbol,
    add,
    constant,
    minus,
    replaced,
    symbols_of,
    value_at,
)

Sign: TypeAlias = Literal["==", "!=", ">="]


@dataclass(frozen=True, slots=True)
class Relation:
    """`formula` compared with zero."""

    sign: Sign
    formula: Formula


@dataclass(frozen=True, slots=True)
class All:
    items: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True)
class Some:
    items: tuple[Predicate, ...]


Predicate: TypeAlias = Relation | All | Some


def equal(one: Formula, other: Formula) -> Relation:
    return Relation("==", minus(one, other))


def compare(op: str, left: Formula, right: Formula) -> Relation:
    """`left op right`, for one of Python's six comparisons."""
    match op:
        case "==" | "!=":
            return Relation("==" if op == "==" else "!=", minus(left, right))
        case ">=":
            return Relation(">=", minus(left, right))
        case ">":
            return Relation(">=", add(left, minus(constant(-1), right)))
        case "<=":
            return Relation(">=", minus(right, left))
        case _:
            return Relation(">=", add(right, minus(constant(-1), left)))


def opposite(one: Predicate) -> Predicate:
    match one:
        case Relation("==", formula):
            return Relation("!=", formula)
        case Relation("!=", formula):
            return Relation("==", formula)
        case Relation(_, formula):
            return Relation(">=", minus(constant(-1), formula))
        case All(items):
            return Some(tuple(map(opposite, items)))
        case Some(items):
            return All(tuple(map(opposite, items)))


def replace_in(one: Predicate, by: Callable[[Symbol], Formula | None]) -> Predicate:
    """The predicate of other symbols."""
    match one:
        case Relation(sign, formula):
            return Relation(sign, replaced(formula, by))
        case All(items):
            return All(tuple([replace_in(item, by) for item in items]))
        case Some(items):
            return Some(tuple([replace_in(item, by) for item in items]))


def split(one: Predicate) -> tuple[Predicate, ...]:
    """The parts that all have to hold."""
    if isinstance(one, All):
        return tuple(part for item in one.items for part in split(item))
    return (one,)


def names_in(one: Predicate) -> frozenset[str]:
    """The names of the symbols that it is about."""
    if isinstance(one, Relation):
        return symbols_of(one.formula)
    return frozenset().union(*map(names_in, one.items))


def formulas_in(one: Predicate) -> list[Formula]:
    if isinstance(one, Relation):
        return [one.formula]
    return [formula for item in one.items for formula in formulas_in(item)]


def holds(one: Predicate, sizes: Mapping[str, Any]) -> Any:
    """Whether it holds at these sizes: a bool, or a tensor of them where sizes are tensors."""
    match one:
        case Relation(sign, formula):
            value = value_at(formula, sizes)
            return value == 0 if sign == "==" else value != 0 if sign == "!=" else value >= 0
        case All(items):
            return _joined(torch.logical_and, all, [holds(item, sizes) for item in items])
        case Some(items):
            return _joined(torch.logical_or, any, [holds(item, sizes) for item in items])


def _joined(of_tensors: Callable[..., Any], of_bools: Callable[..., bool], found: list[Any]) -> Any:
    if all(isinstance(one, bool) for one in found):
        return of_bools(found)
    shape = next(one for one in found if not isinstance(one, bool))
    total = None
    for one in found:
        each = torch.full_like(shape, one) if isinstance(one, bool) else one
        total = each if total is None else of_tensors(total, each)
    return total
