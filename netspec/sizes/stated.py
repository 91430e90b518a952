"""What a spec states of its free sizes, next to what its network needs of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from typing_extensions import assert_never

from netspec.errors import Diagnostic
from netspec.ir.graph import Program
from netspec.ir.stated import Condition, Joined, Negated, Number, SizeComparison, Stated
from netspec.sizes.allowed import allowed_by
from netspec.sizes.constraints import Constraint
from netspec.sizes.formula import (
    Formula,
    add,
    constant,
    extreme,
    floor_div,
    minus,
    modulo,
    symbol,
    times,
)
from netspec.sizes.predicate import All, Predicate, Some, compare, names_in, opposite
from netspec.sizes.text import predicate_text

_OPERATIONS: Mapping[str, Callable[[Formula, Formula], Formula]] = {
    "+": add, "-": minus, "*": times, "//": floor_div, "%": modulo,
    "min": lambda a, b: extreme("min", (a, b)), "max": lambda a, b: extreme("max", (a, b)),
}  # fmt: skip


def predicate_of(condition: Condition) -> Predicate:
    """A stated condition as a predicate of formulas."""
    match condition:
        case SizeComparison(op, left, right):
            return compare(op, _formula(left), _formula(right))
        case Joined("and", items):
            return All(tuple(map(predicate_of, items)))
        case Joined(_, items):
            return Some(tuple(map(predicate_of, items)))
        case Negated(item):
            return opposite(predicate_of(item))
        case _:
            assert_never(condition)


def _formula(number: Number) -> Formula:
    match number:
        case int():
            return constant(number)
        case str():
            return symbol(number)
        case _:
            return _OPERATIONS[number.op](_formula(number.left), _formula(number.right))


def more_than_stated(program: Program, constraints: Sequence[Constraint]) -> list[Diagnostic]:
    """NS306 for each constraint in eval mode or both that follows from nothing that is stated.

    Nothing for a spec that states nothing. A constraint in training alone is none of these: which
    batches a batch norm takes is no matter of the spec.
    """
    if not program.stated:
        return []
    return [
        _needs_more(program.stated, one)
        for one in constraints
        if one.fails and not one.stated and one.mode != "train"
    ]


def _needs_more(stated: Sequence[Stated], one: Constraint) -> Diagnostic:
    source = one.sources[0] if one.sources else None
    who = f"`{source.path}`" if source is not None and source.path else "the network"
    of = f"{', '.join(one.sizes)}: {one.text}" if one.sizes else one.text
    written = " and ".join(f"`{condition.text}`" for condition in stated)
    fact = f"{who} needs more than `where` states: {of}"
    span = source.place if source is not None and source.place is not None else stated[0].span
    help = f"state that too: {', '.join(f'`={text}`' for text in conditions_text(one))}"
    return Diagnostic("NS306", fact, span, (f"it states {written}",), help)


def conditions_text(one: Constraint) -> list[str]:
    """A constraint as conditions of `where`, without their `=`."""
    found: list[str] = []
    for name in one.sizes:
        allowed = allowed_by([p for p in one.predicates if names_in(p) == {name}], name)
        if allowed is None or not allowed.exact or len(allowed.rests) > 1:
            return list(map(_written, one.predicates))
        if allowed.most == allowed.least:
            found.append(f"{name} == {allowed.least}")
            continue
        if allowed.period > 1:
            found.append(f"{name} % {allowed.period} == {allowed.rests[0]}")
        if allowed.least > allowed.period:
            found.append(f"{name} >= {allowed.least}")
        if allowed.most is not None:
            found.append(f"{name} <= {allowed.most}")
    return found or list(map(_written, one.predicates))


def _written(one: Predicate) -> str:
    """A predicate as an expression: formulas are told with dots for products."""
    text = predicate_text(one)
    return re.sub(r"(\w+)²", r"\1*\1", text).replace("·", "*")
