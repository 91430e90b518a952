"""The values of a program while it is followed with free sizes: numbers and tensors' types."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import torch

from netspec.ir.walk.run_operator import Refuses
from netspec.sizes.formula import (
    Formula,
    add,
    constant,
    extreme,
    floor_div,
    minus,
    modulo,
    power,
    times,
)
from netspec.sizes.predicate import Predicate, compare, equal

Numbers: TypeAlias = Callable[[Mapping[str, int]], Any]


class Follower(Protocol):
    """Who follows the program: it knows the sizes at which it is followed."""

    def value(self, formula: Formula) -> int:
        """A formula's value there."""

    def assume(self, predicate: Predicate) -> None:
        """What comes holds where this does; here it does."""

    def attribute(self, tensor: Shaped, name: str) -> Any:
        """A tensor's property that is no size."""


@dataclass(frozen=True)
class SizedType:
    """A tensor's type with formulas.

    `order` lists the dimensions by falling stride where the tensor is dense; else `strides` are
    there.
    """

    dims: tuple[Formula, ...]
    dtype: torch.dtype
    order: tuple[int, ...] | None = None
    strides: tuple[Formula, ...] | None = None

    @cached_property
    def all_strides(self) -> tuple[Formula, ...]:
        if self.strides is not None:
            return self.strides
        order = self.order if self.order is not None else tuple(range(len(self.dims)))
        return dense_strides(self.dims, order)


def dense_strides(dims: tuple[Formula, ...], order: tuple[int, ...]) -> tuple[Formula, ...]:
    """The strides of a tensor without gaps, its dimensions in this order in memory."""
    found = {}
    step = constant(1)
    for dim in reversed(order):
        found[dim] = step
        step = times(step, dims[dim])
    return tuple([found[dim] for dim in range(len(dims))])


@dataclass(frozen=True, eq=False)
class Shaped:
    """A tensor of which the type is known."""

    type: SizedType
    follower: Follower
    numbers: Numbers | None = None  # of a tensor that follows sizes alone: how to compute it

    @property
    def shape(self) -> tuple[Any, ...]:
        return tuple([number_of(dim, self.follower) for dim in self.type.dims])

    @property
    def ndim(self) -> int:
        return len(self.type.dims)

    @property
    def dtype(self) -> torch.dtype:
        return self.type.dtype

    @property
    def device(self) -> torch.device:
        return torch.device("meta")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.follower.attribute(self, name)

    def __iter__(self) -> Iterator[Any]:
        raise Refuses("a tensor is taken apart")

    def __bool__(self) -> bool:
        raise Refuses("a decision by a tensor's numbers")


def number_of(formula: Formula, follower: Follower) -> Any:
    """A number, or a Size where it follows a free one."""
    known = formula.number
    return Size(formula, follower) if known is None else known


def _formula(value: Any) -> Formula | None:
    if isinstance(value, Size):
        return value.formula
    return constant(int(value)) if isinstance(value, int) else None


@dataclass(frozen=True, eq=False)
class Size:
    """A whole number that follows free sizes; comparing it assumes what comes out."""

    formula: Formula
    follower: Follower

    def _with(
        self, other: Any, make: Callable[[Formula, Formula], Formula], turned: bool = False
    ) -> Any:
        if isinstance(other, (float, Fraction)):
            numbers = (float(other), float(self)) if turned else (float(self), float(other))
            return _OF_FLOATS[make](*numbers)
        found = _formula(other)
        if found is None:
            return NotImplemented
        pair = (found, self.formula) if turned else (self.formula, found)
        return number_of(make(*pair), self.follower)

    def __add__(self, other: Any) -> Any:
        return self._with(other, add)

    def __radd__(self, other: Any) -> Any:
        return self._with(other, add)

    def __sub__(self, other: Any) -> Any:
        return self._with(other, minus)

    def __rsub__(self, other: Any) -> Any:
        return self._with(other, minus, turned=True)

    def __mul__(self, other: Any) -> Any:
        return self._with(other, times)

    def __rmul__(self, other: Any) -> Any:
        return self.__mul__(other)

    def __floordiv__(self, other: Any) -> Any:
        return self._with(other, floor_div)

    def __rfloordiv__(self, other: Any) -> Any:
        return self._with(other, floor_div, turned=True)

    def __mod__(self, other: Any) -> Any:
        return self._with(other, modulo)

    def __rmod__(self, other: Any) -> Any:
        return self._with(other, modulo, turned=True)

    def __truediv__(self, other: Any) -> Any:
        below = _formula(other)
        if below is None:
            return float(self) / other
        return Fraction(self.formula, below, self.follower)

    def __rtruediv__(self, other: Any) -> Any:
        above = _formula(other)
        if above is None:
            return other / float(self)
        return Fraction(above, self.formula, self.follower)

    def __pow__(self, other: Any) -> Any:
        if isinstance(other, int) and 0 <= other <= 4:
            return number_of(power(self.formula, other), self.follower)
        return float(self) ** other

    def __neg__(self) -> Any:
        return number_of(times(constant(-1), self.formula), self.follower)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return self if self >= 0 else -self

    def _compare(self, op: str, other: Any) -> Any:
        found = _formula(other)
        if found is None:
            if isinstance(other, (float, Fraction)):
                return _PYTHON[op](float(self), float(other))
            return NotImplemented
        here = compare(op, self.formula, found)
        holds = _PYTHON[op](self.follower.value(self.formula), self.follower.value(found))
        other_way = compare(_OPPOSITE[op], self.formula, found)
        self.follower.assume(here if holds else other_way)
        return holds

    def __eq__(self, other: object) -> Any:
        return self._compare("==", other)

    def __ne__(self, other: object) -> Any:
        return self._compare("!=", other)

    def __lt__(self, other: Any) -> Any:
        return self._compare("<", other)

    def __le__(self, other: Any) -> Any:
        return self._compare("<=", other)

    def __gt__(self, other: Any) -> Any:
        return self._compare(">", other)

    def __ge__(self, other: Any) -> Any:
        return self._compare(">=", other)

    __hash__ = None  # type: ignore[assignment]  # equality assumes something

    def __bool__(self) -> bool:
        return bool(self != 0)

    def __index__(self) -> int:
        """The number itself, where Python takes no other: then all holds for this one only."""
        value = self.follower.value(self.formula)
        self.follower.assume(equal(self.formula, constant(value)))
        return value

    def __int__(self) -> int:
        return self.__index__()

    def __float__(self) -> float:
        return float(self.__index__())


_OF_FLOATS: dict[Any, Callable[[float, float], float]] = {
    add: operator.add, minus: operator.sub, times: operator.mul,
    floor_div: operator.floordiv, modulo: operator.mod,
}  # fmt: skip
_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_PYTHON: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Fraction:
    """One size over another, as a float; rounded, it is a size again."""

    above: Formula
    below: Formula
    follower: Follower

    def __float__(self) -> float:
        above, below = number_of(self.above, self.follower), number_of(self.below, self.follower)
        return float(above) / float(below)

    def __mul__(self, other: Any) -> Any:
        factor = _formula(other)
        if factor is None:
            return float(self) * other
        return Fraction(times(self.above, factor), self.below, self.follower)

    __rmul__ = __mul__

    def __floor__(self) -> Any:
        return number_of(floor_div(self.above, self.below), self.follower)

    def __ceil__(self) -> Any:
        negative = times(constant(-1), self.above)
        found = times(constant(-1), floor_div(negative, self.below))
        return number_of(found, self.follower)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(float(self), name)

    def __add__(self, other: Any) -> Any:
        return float(self) + other

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return float(self) - other

    def __rsub__(self, other: Any) -> Any:
        return other - float(self)

    def __truediv__(self, other: Any) -> Any:
        return float(self) / other

    def __rtruediv__(self, other: Any) -> Any:
        return other / float(self)

    def __pow__(self, other: Any) -> Any:
        return float(self) ** other

    def __neg__(self) -> Any:
        return -float(self)

    def __lt__(self, other: Any) -> Any:
        return float(self) < other

    def __gt__(self, other: Any) -> Any:
        return float(self) > other

    def __le__(self, other: Any) -> Any:
        return float(self) <= other

    def __ge__(self, other: Any) -> Any:
        return float(self) >= other


def python_call(name: str, args: tuple[Any, ...]) -> Any:
    """`len`, `int`, `min` … of values of which some are sizes; None where it is not for here."""
    first = args[0] if args else None
    if name == "len" and isinstance(first, Shaped):
        return first.shape[0]
    if name in ("min", "max"):
        items = args if len(args) > 1 else tuple(first or ())
        formulas = [_formula(item) for item in items]
        size = next((item for item in items if isinstance(item, Size)), None)
        if size is not None and all(formula is not None for formula in formulas):
            known = [formula for formula in formulas if formula is not None]
            return number_of(extreme(name, known), size.follower)
    if name in ("int", "round", "floor", "ceil") and isinstance(first, Size):
        return first
    if name in ("int", "floor") and isinstance(first, Fraction):
        return math.floor(first)
    if name == "ceil" and isinstance(first, Fraction):
        return math.ceil(first)
    return None
