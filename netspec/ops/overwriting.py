"""Which calls overwrite their first input, and what computes the same in new memory.

A name that ends in an underscore, or `inplace=True`: torch's own two spellings, asked of names and
signatures.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn

from netspec.ops import catalog, registry
from netspec.ops.catalog import Operator

INPLACE = "inplace"


@dataclass(frozen=True, slots=True)
class MethodOf:
    """A tensor's method as a function of the tensor."""

    name: str

    def __call__(self, receiver: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(receiver, self.name)(*args, **kwargs)


@dataclass(frozen=True, slots=True)
class Pair:
    """One computation in place and in new memory; `name` is that of the form in place."""

    name: str
    inside: Callable[..., Any]
    outside: Callable[..., Any]


def has_inplace(operator: Operator) -> bool:
    """Whether a class or a function takes `inplace`."""
    return _position_of(operator.target) is not None


def overwrites(operator: Operator, args: Sequence[object], kwargs: Mapping[str, object]) -> bool:
    """Whether a call with these arguments overwrites its first input."""
    if catalog.overwrites(operator):
        return True
    position = _position_of(operator.target)
    if position is None:
        return False
    given = args[position] if len(args) > position else kwargs.get(INPLACE, False)
    return given is True


def reshapes(operator: Operator) -> bool:
    """Whether a function in place changes its input's shape, and no value: `squeeze_`."""
    if operator.registered is not None:
        return False
    packet = getattr(torch.ops.aten, operator.name, None)
    overloads = packet.overloads() if packet is not None else []
    return any(torch.Tag.inplace_view in getattr(packet, name).tags for name in overloads)


def new_memory_name(operator: Operator) -> str | None:
    """`relu` for `relu_`: what computes the same into new memory; None where nothing does."""
    name = operator.name.removesuffix("_")
    same = catalog.find_method if operator.home == "Tensor" else catalog.find_function
    return name if same(name) is not None else None


def pair_of(
    target: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Pair | None:
    """A call that overwrites, and its twin with the same arguments; None for any other call."""
    registered = registry.of_target(target)
    if registered is not None and registered.name.endswith("_"):
        twin = catalog.find_function(registered.name[:-1])
        assert twin is not None, f"`{registered.name}` was registered with its twin"
        return Pair(registered.name, target, twin.target)
    if isinstance(target, nn.Module):
        return module_pair(target) if getattr(target, INPLACE, False) is True else None
    if isinstance(target, MethodOf):
        if not target.name.endswith("_"):
            return None
        return Pair(target.name, target, MethodOf(target.name[:-1]))
    name = getattr(target, "__name__", "")
    of_python = getattr(target, "__module__", "") == "_operator"  # `and_`, `not_`
    if name.endswith("_") and not name.startswith("_") and not of_python:
        twin = catalog.find_function(name[:-1])
        assert twin is not None, f"`{name}` was accepted, so its twin is there"
        return Pair(name, target, twin.target)
    position = _position_of(target)
    if position is None:
        return None
    given = args[position] if len(args) > position else kwargs.get(INPLACE, False)
    return Pair(name, target, _outside(target, position)) if given is True else None


def module_pair(module: nn.Module) -> Pair:
    """A module that takes `inplace`, with it and without."""
    inside, outside = copy(module), copy(module)
    setattr(inside, INPLACE, True)
    setattr(outside, INPLACE, False)
    return Pair(type(module).__name__, inside, outside)


def _outside(target: Callable[..., Any], position: int) -> Callable[..., Any]:
    def outside(*args: Any, **kwargs: Any) -> Any:
        if len(args) > position:
            args = (*args[:position], False, *args[position + 1 :])
        return target(*args, **{name: v for name, v in kwargs.items() if name != INPLACE})

    return outside


@cache
def _position_of(target: Callable[..., Any]) -> int | None:
    """Where `inplace` stands among the parameters of a function or a class."""
    try:
        names = list(inspect.signature(target).parameters)
    except (TypeError, ValueError):  # a builtin has no signature, and no `inplace`
        return None
    return names.index(INPLACE) if INPLACE in names else None
