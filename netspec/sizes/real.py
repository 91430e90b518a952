"""A question asked of torch with numbers: what comes out at these sizes, or that it is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from netspec.ir.walk.run_operator import Refuses, ask
from netspec.sizes.formula import Formula, value_at
from netspec.sizes.question import Number, Question, by_name, mapped
from netspec.sizes.values import SizedType

_MOST_ELEMENTS = 1 << 40


class NoSuchSizes(Exception):
    """These sizes make one of an argument negative, or more than torch can describe."""


@dataclass(frozen=True, slots=True)
class TensorLayout:
    """A tensor's sizes, strides and dtype as they came out."""

    dims: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype


def run_at(question: Question, sizes: Sequence[int]) -> Any:
    """What comes out, with a TensorLayout for each tensor; None where torch refuses.

    Raises NoSuchSizes.
    """
    values = by_name(sizes)

    def leaf(one: Any) -> Any:
        if isinstance(one, Number):
            return value_at(one.formula, values)
        if not isinstance(one, SizedType):
            return one
        dims = [_size(dim, values) for dim in one.dims]
        strides = [_size(stride, values) for stride in one.all_strides]
        count = 1
        for dim in dims:
            count *= max(dim, 1)
        if count > _MOST_ELEMENTS:
            raise NoSuchSizes
        return torch.empty_strided(dims, strides, dtype=one.dtype, device="meta")

    args = tuple([mapped(arg, leaf) for arg in question.args])
    kwargs = {name: mapped(arg, leaf) for name, arg in question.kwargs}
    try:
        with torch.no_grad():
            value, _ = ask(question.target, args, kwargs)
    except Refuses:
        return None
    return mapped(value, _found)


def _size(formula: Formula, values: dict[str, int]) -> int:
    size = value_at(formula, values)
    assert isinstance(size, int), "the value of a formula of numbers"
    if size < 0:
        raise NoSuchSizes
    return size


def _found(one: Any) -> Any:
    if isinstance(one, torch.Tensor):
        return TensorLayout(tuple(one.shape), tuple(one.stride()), one.dtype)
    return one


def agrees(value: Any, found: Any, sizes: Sequence[int]) -> bool:
    """Whether what came out at these sizes is what the answer's value says."""
    values = by_name(sizes)
    match value, found:
        case SizedType(), TensorLayout():
            if value.dtype != found.dtype or len(value.dims) != len(found.dims):
                return False
            return tuple(value_at(dim, values) for dim in value.dims) == found.dims
        case Number(formula), int():
            return bool(value_at(formula, values) == found)
        case ((tuple() | list()), (tuple() | list())):
            pairs = list(zip(value, found, strict=False))
            return len(value) == len(found) and all(agrees(a, b, sizes) for a, b in pairs)
        case dict(), dict():
            return value.keys() == found.keys() and all(
                agrees(value[key], found[key], sizes) for key in value
            )
        case _:
            return type(value) is type(found) and not isinstance(value, SizedType)
