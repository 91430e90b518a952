"""What a spec states of its free sizes: conditions on whole numbers, checked and evaluated.

A condition is an expression over free sizes and args: comparisons of sums, products, quotients and
remainders, joined by `and`, `or`, `not`. Args are numbers in it by now.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from netspec.errors import Span

Number: TypeAlias = "int | str | Operation"  # a str is a free size


@dataclass(frozen=True, slots=True)
class Operation:
    """`left op right` of numbers: `+ - * // %`, or `min` and `max`."""

    op: str
    left: Number
    right: Number


@dataclass(frozen=True, slots=True)
class SizeComparison:
    """`left op right`, for one of Python's six comparisons."""

    op: str
    left: Number
    right: Number


@dataclass(frozen=True, slots=True)
class Joined:
    """Conditions of which all (`and`) or some (`or`) hold."""

    op: str
    items: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Negated:
    item: Condition


Condition: TypeAlias = "SizeComparison | Joined | Negated"


@dataclass(frozen=True, slots=True)
class Stated:
    """One condition as it is written (without the `=`), what it says, and of which free sizes."""

    text: str
    condition: Condition
    names: frozenset[str]
    span: Span

    @property
    def told(self) -> str:
        """What it says, as a part of a sentence."""
        return f"the spec takes sizes with `{self.text}` only"

    def holds(self, sizes: Mapping[str, int]) -> bool:
        """Whether it does at these sizes, of which all that it names are there.

        A division by zero holds at no size.
        """
        try:
            return _holds(self.condition, sizes)
        except ZeroDivisionError:
            return False


class NoCondition(Exception):
    """What a condition can't be made of: `fact`, and the part that is it."""

    def __init__(self, fact: str, node: ast.expr) -> None:
        super().__init__(fact)
        self.fact, self.node = fact, node


_OPERATORS: Mapping[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.FloorDiv: "//", ast.Mod: "%",
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.And: "and", ast.Or: "or",
}  # fmt: skip
_NUMBERS: Mapping[str, Callable[[int, int], int]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "//": operator.floordiv,
    "%": operator.mod, "min": min, "max": max,
}  # fmt: skip
_COMPARISONS: Mapping[str, Callable[[int, int], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def condition_of(node: ast.expr, number: Callable[[ast.Name], int | str]) -> Condition:
    """A checked tree as a condition; `number` says which free size or number a name is.

    Raises NoCondition.
    """
    match node:
        case ast.BoolOp(op=op, values=values):
            items = tuple([condition_of(value, number) for value in values])
            return Joined(_OPERATORS[type(op)], items)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return Negated(condition_of(operand, number))
        case ast.Compare(left=left, ops=ops, comparators=rights):
            sides = [_number(side, number) for side in (left, *rights)]
            signs = [_OPERATORS.get(type(op)) for op in ops]
            if None in signs:
                raise NoCondition("sizes are compared with `==`, `!=`, `<`, `<=`, `>`, `>=`", node)
            items = tuple(
                SizeComparison(str(sign), left, right)
                for sign, left, right in zip(signs, sides, sides[1:])  # noqa: B905  one more side
            )
            return items[0] if len(items) == 1 else Joined("and", items)
    raise NoCondition("it compares no sizes, and is no condition", node)


def _number(node: ast.expr, number: Callable[[ast.Name], int | str]) -> Number:
    match node:
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            return value
        case ast.Name():
            return number(node)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return Operation("-", 0, _number(operand, number))
        case ast.BinOp(left=left, op=op, right=right) if _OPERATORS.get(type(op)) in _NUMBERS:
            return Operation(_OPERATORS[type(op)], _number(left, number), _number(right, number))
        case ast.Call(func=ast.Name(id="min" | "max" as name), args=[left, right], keywords=[]):
            return Operation(name, _number(left, number), _number(right, number))
    raise NoCondition("a size is compared with whole numbers, made by `+ - * // %`", node)


def _holds(condition: Condition, sizes: Mapping[str, int]) -> bool:
    match condition:
        case SizeComparison(op, left, right):
            return _COMPARISONS[op](_value(left, sizes), _value(right, sizes))
        case Joined("and", items):
            return all(_holds(item, sizes) for item in items)
        case Joined(_, items):
            return any(_holds(item, sizes) for item in items)
        case Negated(item):
            return not _holds(item, sizes)


def _value(number: Number, sizes: Mapping[str, int]) -> int:
    match number:
        case int():
            return number
        case str():
            return sizes[number]
        case Operation(op, left, right):
            return _NUMBERS[op](_value(left, sizes), _value(right, sizes))
