"""A call as a question that is the same for all calls alike: its sizes by number, not by letter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import nn

from netspec.ops.types import memo_key, type_of
from netspec.sizes.formula import Formula, Symbol, atom, constant, symbol, symbols_of, times
from netspec.sizes.formula import add as plus
from netspec.sizes.predicate import Predicate
from netspec.sizes.values import Fraction, Shaped, Size, SizedType

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number among the arguments that follows the sizes."""

    formula: Formula


@dataclass(frozen=True, slots=True)
class Question:
    """A call with the sizes `s0`, `s1`, … in the place of what they are in the network.

    In `args` and `kwargs` a SizedType stands for a tensor, a Number for a size.
    """

    target: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]
    hints: tuple[int, ...]
    least: tuple[int, ...]  # that each can be
    key: object


@dataclass(frozen=True, slots=True)
class Need:
    """What the sizes of a call have to be for its answer.

    `fails`: torch was seen to refuse others; else they were seen to give other sizes, or neither.
    """

    predicate: Predicate
    fails: bool
    branch: bool = False  # a decision of the spec's own: the other way may be fine too
    by_numbers: bool = False  # seen with numbers on the CPU, of which shapes say nothing


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call gives, in its own sizes; `tried` where torch could not say so with symbols."""

    value: Any
    needs: tuple[Need, ...]
    tried: str = ""  # why


@dataclass(slots=True)
class Numbering:
    """Numbers the sizes of one call."""

    value: Callable[[Formula], int]
    sizes: list[Formula] = field(default_factory=list)
    _index: dict[Formula, int] = field(default_factory=dict)

    def of(self, formula: Formula) -> Formula:
        """The formula in `s0`, `s1`, …; a sum of several that vary is one size to the operator."""
        if formula.number is not None:
            return formula
        if sum(bool(product) for product, _ in formula.terms) > 1:
            return self._one(formula)
        found = constant(0)
        for product, factor in formula.terms:
            term = constant(factor)
            for one in product:
                term = times(term, self._one(atom(one)))
            found = plus(found, term)
        return found

    def _one(self, formula: Formula) -> Formula:
        index = self._index.get(formula)
        if index is None:
            index = self._index[formula] = len(self.sizes)
            self.sizes.append(formula)
        return symbol(f"s{index}")

    def type_of(self, sized: SizedType) -> SizedType:
        strides = None if sized.strides is None else tuple(map(self.of, sized.strides))
        return replace(sized, dims=tuple(map(self.of, sized.dims)), strides=strides)


def by_name(sizes: Sequence[T]) -> dict[str, T]:
    """Sizes by what a question calls them: `s0`, `s1`, …"""
    return {f"s{number}": size for number, size in enumerate(sizes)}


def make_question(
    target: Callable[..., Any],
    key: object,
    args: Sequence[Any],
    kwargs: Sequence[tuple[str, Any]],
    value: Callable[[Formula], int],
) -> tuple[Question, list[Formula]]:
    """The question of a call, and what its sizes are in the network."""
    numbering = Numbering(value)

    def leaf(one: Any) -> Any:
        if isinstance(one, Shaped):
            return numbering.type_of(one.type)
        if isinstance(one, Size):
            return Number(numbering.of(one.formula))
        return float(one) if isinstance(one, Fraction) else one

    given = tuple([mapped(arg, leaf) for arg in args])
    named = tuple([(name, mapped(arg, leaf)) for name, arg in kwargs])
    hints = tuple(map(value, numbering.sizes))
    dims = {name for one in leaves((given, dict(named))) if isinstance(one, SizedType)
            for dim in one.dims for name in symbols_of(dim)}  # fmt: skip
    least = tuple(
        1
        if isinstance(one.terms[0][0][0], Symbol) and len(one.terms) == 1
        else 0
        if f"s{number}" in dims
        else min(0, hint)
        for number, (one, hint) in enumerate(zip(numbering.sizes, hints, strict=True))
    )
    key = (key, _key_of(given), _key_of(named), least)
    return Question(target, given, named, hints, least, key), numbering.sizes


def mapped(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """A nested value with each leaf changed; slices are taken apart too."""
    if isinstance(value, (tuple, list)):
        items = [mapped(item, leaf) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, dict):
        return {key: mapped(item, leaf) for key, item in value.items()}
    if isinstance(value, slice):
        return slice(*[mapped(part, leaf) for part in (value.start, value.stop, value.step)])
    return leaf(value)


def leaves(value: Any) -> list[Any]:
    """The leaves of a nested value, in order."""
    found: list[Any] = []
    mapped(value, found.append)
    return found


def _key_of(value: Any) -> object:
    match value:
        case tuple() | list():
            return (type(value), *map(_key_of, value))
        case dict():
            return ("dict", *[(key, _key_of(item)) for key, item in value.items()])
        case slice():
            return ("slice", *map(_key_of, (value.start, value.stop, value.step)))
        case SizedType(dims, dtype, order, strides):
            return ("tensor", dims, dtype, order, strides)
        case torch.Tensor():
            return ("known", type_of(value), isinstance(value, nn.Parameter))
        case _:
            return memo_key(value)
