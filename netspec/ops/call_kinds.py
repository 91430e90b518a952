"""Calls that are alike but for sizes and numbers, and smaller ones of the same kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, TypeAlias

from typing_extensions import assert_never

from netspec.ops.meta_modules import CpuCopy, holds_state_alone
from netspec.ops.types import FLOAT, Fact, TensorType, contiguous, is_contiguous

_EXACT = 8  # numbers up to it tell kinds of calls apart; of sizes above it there are smaller ones
AnyCall: TypeAlias = "tuple[Callable[..., object], tuple[Fact, ...], tuple[tuple[str, Fact], ...]]"


def smaller_calls(
    target: Callable[..., object],
    args: tuple[Fact, ...],
    kwargs: tuple[tuple[str, Fact], ...],
    most: int = _EXACT,
) -> Iterator[AnyCall]:
    """The same call with smaller sizes: of a module's parameters too, then of its inputs alone.

    Sizes that are equal stay equal, and others different.
    """
    sizes = set(_sizes_in((args, kwargs)))
    own: set[int] = set()
    if isinstance(target, CpuCopy):
        tensors = target.module.state_dict(keep_vars=True).values()
        own = {size for tensor in tensors for size in tensor.shape}
        if own and holds_state_alone(target.module):
            smaller = _fewer(sizes | own, most)
            small = CpuCopy(target.module, target.training, smaller)
            yield small, _resized(args, smaller), _resized(kwargs, smaller)
    smaller = _fewer(sizes - own, most)
    if smaller:
        yield target, _resized(args, smaller), _resized(kwargs, smaller)


def _fewer(sizes: Iterable[int], most: int) -> dict[int, int]:
    """A size just above `most` for each larger one, in their order."""
    large = sorted(size for size in sizes if size > most)
    return {size: most + number for number, size in enumerate(large, start=1)}


def _sizes_in(fact: Fact) -> Iterator[int]:
    if isinstance(fact, TensorType):
        yield from fact.shape
    elif isinstance(fact, tuple):
        for item in fact:
            yield from _sizes_in(item)


def _resized(fact: Any, sizes: Mapping[int, int]) -> Any:
    if isinstance(fact, TensorType):
        return contiguous(tuple([sizes.get(size, size) for size in fact.shape]), fact.dtype)
    return tuple([_resized(item, sizes) for item in fact]) if isinstance(fact, tuple) else fact


class Sizes(Enum):
    """What of a tensor's sizes tells kinds of calls apart."""

    EQUAL = "which are equal, and which are 0 or 1"
    SINGLE = "which are 0 or 1"
    COUNT = "how many there are, and whether one is 0"


def kind_of(key: Any, by: Sizes = Sizes.EQUAL) -> object:
    """A memo's key without what differs among calls of a kind.

    Large numbers are all one, and so are fractions on the same side of 0 and of 1, where a
    probability ends.
    """
    labels: dict[int, int] = {}

    def kind(part: Any) -> object:
        if isinstance(part, TensorType):
            in_order = is_contiguous(part)
            return _told(part.shape, by, labels), in_order, part.dtype
        if isinstance(part, tuple) and part[:1] == (FLOAT,):
            return _side_of(float(part[1]))
        if isinstance(part, tuple):
            return tuple([kind(item) for item in part])
        if type(part) is int and abs(part) > _EXACT:
            return "many" if part > 0 else "few"
        return part

    return kind(key)


def _told(shape: tuple[int, ...], by: Sizes, labels: dict[int, int]) -> object:
    match by:
        case Sizes.EQUAL:
            return tuple([n if n < 2 else labels.setdefault(n, len(labels) + 2) for n in shape])
        case Sizes.SINGLE:
            return tuple([min(n, 2) for n in shape])
        case Sizes.COUNT:
            return len(shape), 0 in shape
        case _:
            assert_never(by)


def _side_of(number: float) -> object:
    """Where a fraction lies among 0 and 1; what is none tells itself."""
    if not math.isfinite(number) or number in (0, 1):
        return (FLOAT, repr(number))
    return (FLOAT, "below 0" if number < 0 else "above 1" if number > 1 else "between")
