"""Arithmetic on numbers, strings and tuples that are known: Python's, within bounds."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from netspec.ir.limits import MAX_EXPONENT, MAX_LENGTH, MAX_NESTING, MAX_NUMBER
from netspec.ops.types import Mapped


class Unbounded(Exception):
    """A result that would be too large."""


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(exponent, (int, float)) and abs(exponent) > MAX_EXPONENT:
        raise Unbounded(f"an exponent of {exponent}; at most {MAX_EXPONENT} is allowed")
    result = base**exponent
    if isinstance(result, complex):
        raise ValueError("a negative number to a fractional power")
    return result


def _multiply(left: Any, right: Any) -> Any:
    for text, times in ((left, right), (right, left)):
        if isinstance(text, (str, tuple)) and isinstance(times, int):
            _bounded_length(_length(text) * times)
    return left * right


def _round(value: Any, digits: Any = None) -> Any:
    if isinstance(digits, int) and abs(digits) > MAX_EXPONENT:
        raise Unbounded(f"{digits} digits; at most {MAX_EXPONENT} are allowed")
    return round(value, digits)


def _length(value: Any) -> int:
    """The characters of a string, or the items of a tuple with all that is in them.

    Raises Unbounded where they nest too deep. Stops counting where there are too many: two tuples
    that hold the same one twice, and so on, are short to write and small in memory, and still have
    too many items to ever be looked at.
    """
    if isinstance(value, str):
        return len(value)
    count, rest = 0, [(value, 1)]
    while rest and count <= MAX_LENGTH:
        item, depth = rest.pop()
        if depth > MAX_NESTING:
            raise Unbounded(f"tuples in tuples; at most {MAX_NESTING} in one another are allowed")
        items = item if isinstance(item, tuple) else [v for _, v in item.items]
        count += len(items)
        rest += [(inner, depth + 1) for inner in items if isinstance(inner, (tuple, Mapped))]
    return count


def _bounded_length(length: int) -> None:
    if length > MAX_LENGTH:
        raise Unbounded(f"a length of {length}; at most {MAX_LENGTH} is allowed")


BINARY: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": _multiply, "/": operator.truediv,
    "//": operator.floordiv, "%": operator.mod, "**": _power, "@": operator.matmul,
    "&": operator.and_, "|": operator.or_, "^": operator.xor,
}  # fmt: skip
UNARY: Mapping[str, Callable[[Any], Any]] = {
    "-": operator.neg, "+": operator.pos, "not": operator.not_, "~": operator.invert,
}  # fmt: skip
COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge, "is": operator.is_, "is not": operator.is_not,
    "in": lambda a, b: a in b, "not in": lambda a, b: a not in b,
}  # fmt: skip


def compare_all(symbols: Sequence[str], first: Any, *others: Any) -> Any:
    """`a < b < c`: what Python gives, which looks no further than the first that is false."""
    result: Any = True
    for symbol, other in zip(symbols, others, strict=True):
        result = COMPARE[symbol](first, other)
        if len(symbols) > 1 and not result:
            return result
        first = other
    return result


def _range(*args: Any) -> tuple[int, ...]:
    found = range(*args)
    _bounded_length(len(found))
    return tuple(found)


OF_MATH: Mapping[str, Callable[..., Any]] = {
    "sqrt": math.sqrt, "exp": math.exp, "log": math.log, "ceil": math.ceil, "floor": math.floor,
}  # fmt: skip
BUILTINS: Mapping[str, Callable[..., Any]] = {
    "min": min, "max": max, "len": len, "round": _round, "int": int, "float": float,
    "abs": abs, "range": _range, "sum": sum, **OF_MATH,
}  # fmt: skip


def apply(function: Callable[..., Any], *args: Any) -> Any:
    """The function's result. Raises Unbounded, or what Python raises for wrong operands."""
    if function is operator.mod and isinstance(args[0], str):
        raise TypeError("`%` is not for strings; use an f-string")
    result = function(*args)
    check_size(result)
    return result


def check_size(value: Any) -> None:
    """Raises Unbounded where a number, a string or a tuple is larger than any spec needs."""
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int) and abs(value) > MAX_NUMBER:
        raise Unbounded(f"a number above {MAX_NUMBER:.0e}")
    if isinstance(value, (str, tuple, Mapped)):
        _bounded_length(_length(value))
