"""Python's type hints as argument types."""

from __future__ import annotations

import collections.abc
import types
import typing
from typing import get_args, get_origin

import torch
from torch import nn

from netspec.ops.arguments import ArgumentType, Choices, Either, Kind, SequenceOf, TupleOf

_PLAIN: dict[object, Kind] = {
    int: Kind.INT,
    float: Kind.FLOAT,
    bool: Kind.BOOL,
    str: Kind.STR,
    type(None): Kind.NONE,
    None: Kind.NONE,
    torch.Tensor: Kind.TENSOR,
    torch.dtype: Kind.DTYPE,
    torch.device: Kind.DEVICE,
    typing.Any: Kind.ANYTHING,
    object: Kind.ANYTHING,
}
_SEQUENCES = (list, collections.abc.Sequence, collections.abc.Iterable)


def read_hint(hint: object) -> ArgumentType:
    """The argument type that a hint stands for; a class that no spec can write is OPAQUE."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is typing.Union or origin is types.UnionType:
        return either(*map(read_hint, arguments))
    if origin is typing.Literal:
        return Choices(arguments)
    if hint is torch.Size:
        return SequenceOf(Kind.INT)
    if origin in _SEQUENCES:
        return _sequence_of(read_hint(arguments[0]))
    if origin is tuple:
        return _read_tuple(arguments)
    if isinstance(hint, type) and issubclass(hint, nn.Module):
        return Kind.MODULE
    return Kind.OPAQUE


def _read_tuple(arguments: tuple[object, ...]) -> ArgumentType:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return _sequence_of(read_hint(arguments[0]))
    items = tuple(map(read_hint, arguments))
    if len(set(items)) == 1:
        return _sequence_of(items[0], len(items))
    return TupleOf(items)


def _sequence_of(item: ArgumentType, length: int | None = None) -> ArgumentType:
    return Kind.OPAQUE if item is Kind.OPAQUE else SequenceOf(item, length)


def either(*options: ArgumentType) -> ArgumentType:
    """Any of the options: flat, each once, no int beside number, bare if one."""
    flat: dict[ArgumentType, None] = {}
    for option in options:
        flat.update(dict.fromkeys(option.options if isinstance(option, Either) else (option,)))
    if Kind.ANYTHING in flat:
        return Kind.ANYTHING
    if Kind.SCALAR in flat:
        flat.pop(Kind.FLOAT, None)
    if Kind.SCALAR in flat or Kind.FLOAT in flat:
        flat.pop(Kind.INT, None)
    return next(iter(flat)) if len(flat) == 1 else Either(tuple(flat))
