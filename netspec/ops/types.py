"""Facts: what is known of a value before it exists, as a tensor's shape, strides and dtype."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import torch

FLOAT = "float"  # what a float's key begins with


@dataclass(frozen=True, slots=True)
class TensorType:
    """A tensor's shape, strides (both in elements) and dtype."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True, slots=True)
class Slice:
    """A slice as a value that can be hashed (Python's own cannot before 3.12)."""

    start: Fact
    stop: Fact
    step: Fact


@dataclass(frozen=True, slots=True)
class Mapped:
    """A dict of values, in its order."""

    items: tuple[tuple[str, Fact], ...]


Fact: TypeAlias = (
    "TensorType | Slice | Mapped | bool | int | float | str"
    " | torch.dtype | torch.device | tuple[Fact, ...] | object | None"
)


class OperatorRejects(Exception):
    """An operator does not take these inputs; the text is torch's own.

    `partly` where it takes the inputs of other sizes, or in the other mode.
    """

    partly = False


@lru_cache(1024)
def contiguous(shape: tuple[int, ...], dtype: torch.dtype) -> TensorType:
    """The type of a freshly made tensor of this shape."""
    stride = []
    step = 1
    for size in reversed(shape):
        stride.append(step)
        step *= max(size, 1)
    return TensorType(shape, tuple(reversed(stride)), dtype)


def type_of(tensor: torch.Tensor) -> TensorType:
    """The type of a tensor."""
    return TensorType(tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype)


def dtype_name(dtype: torch.dtype) -> str:
    """`float32`, without the `torch.` before it."""
    return str(dtype).removeprefix("torch.")


def has_tensor(fact: Fact) -> bool:
    """Whether a tensor is in a value."""
    if isinstance(fact, tuple):
        return any(map(has_tensor, fact))
    return isinstance(fact, TensorType)


def count_tensors(fact: Fact) -> int:
    """How many tensors are in a value."""
    if isinstance(fact, tuple):
        return sum([count_tensors(item) for item in fact])
    return isinstance(fact, TensorType)


def is_contiguous(fact: TensorType) -> bool:
    """Whether its strides are those of a freshly made tensor."""
    return fact.stride == contiguous(fact.shape, fact.dtype).stride


def elements(fact: Fact) -> int:
    """How many elements a value's tensors have."""
    if isinstance(fact, TensorType):
        return math.prod(fact.shape)
    return sum(elements(item) for item in fact) if isinstance(fact, tuple) else 0


_OWN_KEYS = frozenset({TensorType, int, str, type(None)})  # the most frequent of them


def memo_key(fact: object) -> object:
    """A key that tells 1, 1.0 and True apart."""
    if type(fact) in _OWN_KEYS:
        return fact
    if isinstance(fact, tuple):
        return tuple([memo_key(item) for item in fact])
    if isinstance(fact, float):
        return (FLOAT, repr(fact))  # 0.0 and -0.0 are two, nan is one
    if isinstance(fact, bool):
        return ("bool", fact)
    return fact
