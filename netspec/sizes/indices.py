"""Whole numbers that follow free sizes as data: positions, which a table may have or not.

`wpe(arange(x.shape[1]))` takes no more positions than the table has rows. No shape says so: the
call is run on the CPU with the positions themselves, at one size after another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from netspec.ops.randomness import draws
from netspec.sizes.formula import constant, symbol, symbols_of, value_at
from netspec.sizes.predicate import Predicate, compare
from netspec.sizes.question import leaves, mapped
from netspec.sizes.values import Fraction, Numbers, Shaped, Size

_FARTHEST = 1 << 12  # up to which a size is tried
_MOST_ELEMENTS = 1 << 22


def numbers_of(
    target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Numbers | None:
    """How to compute a call's whole numbers at given sizes, where nothing else decides them."""
    if isinstance(target, nn.Module) or draws(getattr(target, "__name__", "")):
        return None
    given = leaves((args, dict(kwargs)))
    tensors = [one for one in given if isinstance(one, Shaped)]
    if any(one.numbers is None for one in tensors):
        return None
    if any(isinstance(one, torch.Tensor) for one in given):
        return None

    def compute(sizes: Mapping[str, int]) -> Any:
        plain = lambda one: _at(one, sizes)  # noqa: E731
        named = {name: mapped(value, plain) for name, value in kwargs.items()}
        return target(*[mapped(value, plain) for value in args], **named)

    return compute


def _at(one: Any, sizes: Mapping[str, int]) -> Any:
    match one:
        case Shaped():
            return one.numbers(sizes) if one.numbers is not None else _zeros(one, sizes)
        case Size(formula):
            return value_at(formula, sizes)
        case Fraction(above, below):
            return value_at(above, sizes) / value_at(below, sizes)
        case torch.device():
            return torch.device("cpu")
        case torch.Tensor():
            return torch.zeros((), dtype=one.dtype).expand(one.shape)
        case _:
            return one


def _zeros(one: Shaped, sizes: Mapping[str, int]) -> torch.Tensor:
    shape = [value_at(dim, sizes) for dim in one.type.dims]
    return torch.zeros((), dtype=one.type.dtype).expand(shape)


def limits_of_indices(
    target: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    hints: Mapping[str, int],
) -> Iterator[Predicate]:
    """Up to which sizes a call takes the whole numbers that it is given as tensors."""
    given = leaves((args, dict(kwargs)))
    known = [one for one in given if _is_index(one)]
    others = [
        one for one in given if isinstance(one, (Shaped, torch.Tensor)) and not _is_index(one)
    ]
    if not known or not (others or isinstance(target, nn.Module)):
        return  # numbers among themselves look nothing up
    names = {name for one in known for dim in one.type.dims for name in symbols_of(dim)}
    for name in sorted(names):
        if not _runs(target, args, kwargs, hints):
            continue
        if _runs(target, args, kwargs, {**hints, name: _FARTHEST}):
            continue
        low, high = hints[name], _FARTHEST
        while high - low > 1:
            middle = (low + high) // 2
            fine = _runs(target, args, kwargs, {**hints, name: middle})
            low, high = (middle, high) if fine else (low, middle)
        yield compare("<=", symbol(name), constant(low))


def _is_index(one: Any) -> bool:
    whole = isinstance(one, Shaped) and not one.type.dtype.is_floating_point
    return whole and one.numbers is not None and one.type.dtype is not torch.bool


def _runs(
    target: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    sizes: Mapping[str, int],
) -> bool:
    """Whether a call runs on the CPU; what is too large to try does."""
    try:
        plain = lambda one: _at(one, sizes)  # noqa: E731
        positional = tuple([mapped(value, plain) for value in args])
        named = {name: mapped(value, plain) for name, value in kwargs.items()}
        count = sum(t.numel() for t in leaves(positional) if isinstance(t, torch.Tensor))
        if count > _MOST_ELEMENTS:
            return True
        with torch.no_grad():
            if isinstance(target, nn.Module):
                state = {
                    name: torch.zeros((), dtype=one.dtype).expand(one.shape)
                    for name, one in (*target.named_parameters(), *target.named_buffers())
                }
                torch.func.functional_call(target, state, positional, named)
            else:
                target(*positional, **named)
    except IndexError:
        return False
    except Exception:  # of zeros, or of what is no CPU's: nothing is known then
        return True
    return True
