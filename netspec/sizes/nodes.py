"""torch's symbols in formulas of this package: what is behind a `torch.SymInt`.

torch's own are expressions of sympy, which it simplifies at each step and looks at again for each
decision. These are formulas in their normal form, with the number that each is at the sizes at
which the call is asked: a decision follows the number, and is noted as an assumption.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from netspec.sizes.formula import (
    Formula,
    add,
    constant,
    extreme,
    floor_div,
    minus,
    modulo,
    power,
    scaled,
    times,
)
from netspec.sizes.predicate import (
    All,
    Predicate,
    Some,
    compare,
    opposite,
    split,
    truth_by_form,
)

_ONE = constant(1)


class NotSymbolic(Exception):
    """torch can't compute with symbols here, or gives what is no formula of this package."""


@dataclass(slots=True)
class Assumptions:
    """What was decided while a call is asked. To torch it is what it calls a shape environment.

    `least` is what each size is at least.
    """

    least: Mapping[str, int]
    made: list[Predicate] = field(default_factory=list)

    def known(self, predicate: Predicate) -> bool | None:
        """Whether a predicate holds for all sizes, or for none."""
        return truth_by_form(predicate, self.least)

    def decide(self, predicate: Predicate, holds: bool) -> bool:
        """Notes a decision, where it is one."""
        if self.known(predicate) is None:
            self.made += split(predicate if holds else opposite(predicate))
        return holds

    def evaluate_sym_node(self, node: Condition, *_: object, **__: object) -> bool:
        return node.bool_()

    def _maybe_evaluate_static(self, expr: Predicate, *_: object, **__: object) -> bool | None:
        return self.known(expr)


class _Node:
    """What torch asks of all its symbols."""

    shape_env: Assumptions
    hint: Any
    constant = None

    @property
    def _hint(self) -> Any:
        return self.hint

    def is_int(self) -> bool:
        return isinstance(self, Whole)

    def is_float(self) -> bool:
        return isinstance(self, Broken)

    def is_bool(self) -> bool:
        return isinstance(self, Condition)

    def is_nested_int(self) -> bool:
        return False

    def nested_int(self) -> None:
        return None

    def is_symbolic(self) -> bool:
        return True

    def is_constant(self) -> bool:
        return False

    def has_hint(self) -> bool:
        return True

    def clone(self) -> _Node:
        return self

    def wrap_int(self, number: int) -> Whole:
        return Whole(self.shape_env, constant(number), number)

    def wrap_float(self, number: float) -> Broken:
        return Broken(self.shape_env, number, number, _ONE)

    def wrap_bool(self, value: bool) -> Condition:
        return Condition(self.shape_env, All(()) if value else Some(()), value)


class Whole(_Node):
    """A size."""

    __slots__ = ("formula", "hint", "shape_env")

    def __init__(self, assumptions: Assumptions, formula: Formula, hint: int) -> None:
        self.shape_env = assumptions
        self.formula = formula
        self.hint = hint

    @property
    def expr(self) -> Formula:
        return self.formula

    def _made(self, formula: Formula, hint: int) -> Whole:
        return Whole(self.shape_env, formula, hint)

    def maybe_as_int(self) -> int | None:
        return self.formula.number

    def guard_int(self, file: str, line: int) -> int:
        here = compare("==", self.formula, constant(self.hint))
        self.shape_env.decide(here, holds=True)
        hint: int = self.hint
        return hint

    def int_(self) -> int:
        return self.guard_int("", 0)

    def add(self, other: Whole) -> Whole:
        return self._made(add(self.formula, other.formula), self.hint + other.hint)

    def sub(self, other: Whole) -> Whole:
        return self._made(minus(self.formula, other.formula), self.hint - other.hint)

    def mul(self, other: Whole) -> Whole:
        return self._made(times(self.formula, other.formula), self.hint * other.hint)

    def sym_sum(self, items: Sequence[Whole]) -> Whole:
        total = add(*[item.formula for item in items])
        return self._made(total, sum(item.hint for item in items))

    def neg(self) -> Whole:
        return self._made(times(constant(-1), self.formula), -self.hint)

    def pos(self) -> Whole:
        return self

    def int_floordiv(self, other: Whole) -> Whole:
        return self._made(floor_div(self.formula, other.formula), self.hint // other.hint)

    floordiv = int_floordiv

    def mod(self, other: Whole) -> Whole:
        return self._made(modulo(self.formula, other.formula), self.hint % other.hint)

    def pow_by_natural(self, other: Whole) -> Whole:
        exponent = other.formula.number
        if exponent is None or not 0 <= exponent <= 8:
            raise NotSymbolic("a size with a power")
        return self._made(power(self.formula, exponent), int(self.hint**exponent))

    pow = pow_by_natural

    def int_truediv(self, other: Whole) -> Broken:
        hint = self.hint / other.hint if other.hint else math.nan
        return Broken(self.shape_env, hint, 1.0, self.formula, other.formula)

    truediv = int_truediv

    def sym_min(self, other: Whole) -> Whole:
        found = extreme("min", (self.formula, other.formula))
        return self._made(found, min(self.hint, other.hint))

    def sym_max(self, other: Whole) -> Whole:
        found = extreme("max", (self.formula, other.formula))
        return self._made(found, max(self.hint, other.hint))

    def abs(self) -> Whole:
        return self.sym_max(self.neg())

    def sym_float(self) -> Broken:
        return Broken(self.shape_env, float(self.hint), 1.0, self.formula)

    def sym_int(self) -> Whole:
        return self

    floor = ceil = trunc = sym_int

    def _compared(self, op: str, other: Whole, holds: bool) -> Condition:
        return Condition(self.shape_env, compare(op, self.formula, other.formula), holds)

    def eq(self, other: Whole) -> Condition:
        return self._compared("==", other, self.hint == other.hint)

    def ne(self, other: Whole) -> Condition:
        return self._compared("!=", other, self.hint != other.hint)

    def ge(self, other: Whole) -> Condition:
        return self._compared(">=", other, self.hint >= other.hint)

    def gt(self, other: Whole) -> Condition:
        return self._compared(">", other, self.hint > other.hint)

    def le(self, other: Whole) -> Condition:
        return self._compared("<=", other, self.hint <= other.hint)

    def lt(self, other: Whole) -> Condition:
        return self._compared("<", other, self.hint < other.hint)

    # Layouts, of which torch asks the first of a tensor's sizes and strides that is a symbol

    def _in_order(
        self, sizes: Sequence[Whole], strides: Sequence[Whole], order: Sequence[int]
    ) -> Condition:
        """Whether a tensor is without gaps, its dimensions in this order by rising stride."""
        found: Condition = self.wrap_bool(True)
        step = self.wrap_int(1)
        for dim in order:
            alone = sizes[dim].eq(self.wrap_int(1))
            found = found.sym_and(alone.sym_or(strides[dim].eq(step)))
            step = step.mul(sizes[dim])
        return found

    def is_contiguous(self, sizes: Sequence[Whole], strides: Sequence[Whole]) -> Condition:
        return self._in_order(sizes, strides, range(len(sizes))[::-1])

    def is_channels_last_contiguous_2d(
        self, sizes: Sequence[Whole], strides: Sequence[Whole]
    ) -> Condition:
        if len(sizes) != 4:
            return self.wrap_bool(False)
        return self._in_order(sizes, strides, (1, 3, 2, 0))

    def is_channels_last_contiguous_3d(
        self, sizes: Sequence[Whole], strides: Sequence[Whole]
    ) -> Condition:
        if len(sizes) != 5:
            return self.wrap_bool(False)
        return self._in_order(sizes, strides, (1, 4, 3, 2, 0))

    def _channels_last(
        self, sizes: Sequence[Whole], strides: Sequence[Whole], order: Sequence[int]
    ) -> Condition:
        if len(sizes) != len(order):
            return self.wrap_bool(False)
        found = strides[1].ne(self.wrap_int(0))
        least = self.wrap_int(0)
        for dim in order:
            found = found.sym_and(strides[dim].ge(least))
            if dim == 0:
                found = found.sym_and(least.ne(strides[1]))
            least = strides[dim].mul(sizes[dim])
        return found

    def is_channels_last_strides_2d(
        self, sizes: Sequence[Whole], strides: Sequence[Whole]
    ) -> Condition:
        return self._channels_last(sizes, strides, (1, 3, 2, 0))

    def is_channels_last_strides_3d(
        self, sizes: Sequence[Whole], strides: Sequence[Whole]
    ) -> Condition:
        return self._channels_last(sizes, strides, (1, 4, 3, 2, 0))

    def is_non_overlapping_and_dense(
        self, sizes: Sequence[Whole], strides: Sequence[Whole]
    ) -> Condition:
        dims = range(len(sizes))
        order = sorted(dims, key=lambda dim: (strides[dim].hint, sizes[dim].hint, -dim))
        return self._in_order(sizes, strides, order)


class Condition(_Node):
    """A comparison of sizes."""

    __slots__ = ("hint", "predicate", "shape_env")

    def __init__(self, assumptions: Assumptions, predicate: Predicate, hint: bool) -> None:
        self.shape_env = assumptions
        self.predicate = predicate
        self.hint = hint

    @property
    def expr(self) -> Predicate:
        return self.predicate

    def maybe_as_bool(self) -> bool | None:
        return self.shape_env.known(self.predicate)

    def bool_(self) -> bool:
        return self.shape_env.decide(self.predicate, self.hint)

    def guard_bool(self, file: str, line: int) -> bool:
        return self.bool_()

    expect_true = guard_size_oblivious = guard_or_false = guard_or_true = guard_bool

    def statically_known_true(self, file: str, line: int) -> bool:
        return self.shape_env.known(self.predicate) is True

    def sym_and(self, other: Condition) -> Condition:
        both = self._joined(All, other)
        return Condition(self.shape_env, both, self.hint and other.hint)

    and_ = bitwise_and = sym_and

    def sym_or(self, other: Condition) -> Condition:
        either = self._joined(Some, other)
        return Condition(self.shape_env, either, self.hint or other.hint)

    or_ = bitwise_or = sym_or

    def sym_not(self) -> Condition:
        return Condition(self.shape_env, opposite(self.predicate), not self.hint)

    def _joined(self, kind: type[All | Some], other: Condition) -> Predicate:
        """All or some of both, without what says nothing."""
        kept: list[Predicate] = []
        for one in (self.predicate, other.predicate):
            known = self.shape_env.known(one)
            if known is None:
                kept += one.items if isinstance(one, kind) else (one,)
            elif known is (kind is Some):
                return one
        return kept[0] if len(kept) == 1 else kind(tuple(kept))


class Broken(_Node):
    """A number that is not whole: `factor * above / below`; without a formula, any other one."""

    __slots__ = ("above", "below", "factor", "hint", "shape_env")

    def __init__(
        self,
        assumptions: Assumptions,
        hint: float,
        factor: float = 1.0,
        above: Formula | None = None,
        below: Formula = _ONE,
    ) -> None:
        self.shape_env = assumptions
        self.hint = hint
        self.factor = factor
        self.above = above
        self.below = below

    @property
    def expr(self) -> object:
        return (self.factor, self.above, self.below)

    @property
    def _number(self) -> float | None:
        return self.factor if self.above == _ONE and self.below == _ONE else None

    def maybe_as_float(self) -> float | None:
        return self._number

    def guard_float(self, file: str, line: int) -> float:
        if self._number is None:
            raise NotSymbolic("a fraction as a number")
        return self._number

    def mul(self, other: Broken) -> Broken:
        known, of = (self, other) if self._number is not None else (other, self)
        hint = self.hint * other.hint
        if known._number is None or of.above is None:
            return Broken(self.shape_env, hint)
        return Broken(self.shape_env, hint, known.factor * of.factor, of.above, of.below)

    def float_truediv(self, other: Broken) -> Broken:
        hint = self.hint / other.hint if other.hint else math.nan
        if other._number is None or self.above is None:
            return Broken(self.shape_env, hint)
        return Broken(self.shape_env, hint, self.factor / other.factor, self.above, self.below)

    truediv = float_truediv

    def add(self, other: Broken) -> Broken:
        return Broken(self.shape_env, self.hint + other.hint)

    def sub(self, other: Broken) -> Broken:
        return Broken(self.shape_env, self.hint - other.hint)

    def neg(self) -> Broken:
        return self.wrap_float(-1.0).mul(self)

    def float_pow(self, other: Broken) -> Broken:
        return Broken(self.shape_env, self.hint**other.hint)

    pow = float_pow

    def _sym_sqrt(self) -> Broken:
        return Broken(self.shape_env, math.sqrt(self.hint))

    def sym_float(self) -> Broken:
        return self

    def floor(self) -> Whole:
        return Whole(self.shape_env, self._floor(1), math.floor(self.hint))

    sym_int = trunc = floor  # of what is not negative

    def ceil(self) -> Whole:
        return Whole(self.shape_env, times(constant(-1), self._floor(-1)), math.ceil(self.hint))

    def _floor(self, sign: int) -> Formula:
        if self.above is None:
            raise NotSymbolic("a size of a fraction")
        above = times(constant(sign), self.above)
        if self.below == _ONE:
            return scaled(self.factor, above)
        if self.factor != math.floor(self.factor):
            raise NotSymbolic("a size with a fraction")
        return floor_div(times(constant(int(self.factor)), above), self.below)
