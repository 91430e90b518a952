"""Calls that differ in numbers of channels alone: what was found for one is tried for the others.

A network has hundreds of convolutions of which few differ in more. What is carried over is held to
runs of the call itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from netspec.ir.expr import Const
from netspec.ir.graph import NewModule
from netspec.sizes.formula import Formula, Quotient, atoms_of, constant
from netspec.sizes.predicate import formulas_in
from netspec.sizes.question import Answer, Number
from netspec.sizes.real import TensorLayout
from netspec.sizes.values import SizedType

_LEAST_CHANNELS = 9  # smaller numbers are kernels, strides and such
_ANY = "channels"


def like_of(key: object) -> object:
    """The key of a question without its numbers of channels."""
    match key:
        case tuple():
            return tuple([like_of(item) for item in key])
        case Formula():
            number = key.number
            return key if number is None or number < _LEAST_CHANNELS else _ANY
        case NewModule(operator, args, kwargs):
            named = tuple([(name, like_of(value)) for name, value in kwargs])
            return operator.key, tuple(map(like_of, args)), named
        case Const(value):
            if isinstance(value, int) and not isinstance(value, bool):
                return _ANY if value >= _LEAST_CHANNELS else key
            return key
        case _:
            return key


def answer_like(model: Answer, here: Any) -> Answer | None:
    """An answer as the model's, with the numbers that came out here; None where that can't be."""
    formulas = [formula for need in model.needs for formula in formulas_in(need.predicate)]
    if model.tried or any(map(_has_large_numbers, formulas)):
        return None
    value = _with_numbers(model.value, here)
    return None if value is None else replace(model, value=value)


def _with_numbers(value: Any, here: Any) -> Any:
    match value, here:
        case SizedType(), TensorLayout():
            if value.strides is not None or len(value.dims) != len(here.dims):
                return None
            dims = []
            for dim, number in zip(value.dims, here.dims, strict=True):
                if dim.number is None and _has_large_numbers(dim):
                    return None
                dims.append(dim if dim.number is None else constant(number))
            return replace(value, dims=tuple(dims), dtype=here.dtype)
        case Number(), _:
            return None if _has_large_numbers(value.formula) else value
        case ((tuple() | list()), (tuple() | list())) if len(value) == len(here):
            items = [_with_numbers(a, b) for a, b in zip(value, here, strict=True)]
            if any(new is None and old is not None for new, old in zip(items, value, strict=True)):
                return None
            return type(value)(items)
        case _:
            return here if type(value) is type(here) else None


def _has_large_numbers(formula: Formula) -> bool:
    if any(abs(factor) >= _LEAST_CHANNELS for _, factor in formula.terms):
        return True
    return any(
        _has_large_numbers(one.above) or _has_large_numbers(one.below)
        for one in atoms_of(formula)
        if isinstance(one, Quotient)
    )
