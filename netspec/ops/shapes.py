"""Types of values as text, with each free size by its letter."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch

from netspec.ops.types import Fact, Mapped, TensorType

Sizes = Mapping[str, int]
_LARGE, _STEPS = 64, (28, 32)  # a side goes up by 32; no part of that is a batch's 28


def other_sizes(sizes: Sizes) -> dict[str, int]:
    """Sizes that all differ from these, each by another step, so that what follows them does too.

    The steps are such that sides that are halved again and again stay whole.
    """
    return {
        name: size + _STEPS[size >= _LARGE] * number
        for number, (name, size) in enumerate(sizes.items(), start=1)
    }


def shape_text(
    fact: Fact, other: Fact, sizes: Sizes, others: Sizes, unclear: str | None = None
) -> str:
    """`[N, 6, 24, 24]`: what differs between two runs is told by the size that it follows.

    `fact` was found at `sizes` and `other` at `others`. A dtype is named if it is not float32; a
    size that follows no free one in a plain way is `unclear`, or its number at `sizes`.
    """
    match fact, other:
        case TensorType(), TensorType() if len(fact.shape) == len(other.shape):
            told = dimensions_text(fact.shape, other.shape, sizes, others, unclear)
            return f"[{', '.join(told)}]{_dtype(fact.dtype)}"
        case TensorType(), _:
            return f"{list(fact.shape)}{_dtype(fact.dtype)}"
        case tuple(), tuple() if len(fact) == len(other):
            inner = zip(fact, other, strict=True)
            items = (shape_text(a, b, sizes, others, unclear) for a, b in inner)
            return f"({', '.join(items)})"
        case Mapped(items), Mapped(twins) if len(items) == len(twins):
            named = zip(items, twins, strict=True)
            texts = (
                f"{key}: {shape_text(a, b, sizes, others, unclear)}" for (key, a), (_, b) in named
            )
            return f"{{{', '.join(texts)}}}"
        case int(), int() if not isinstance(fact, bool):
            return size_text(fact, other, sizes, others, unclear)
        case _:
            return str(fact)


def _dtype(dtype: torch.dtype) -> str:
    return "" if dtype is torch.float32 else f" {str(dtype).removeprefix('torch.')}"


def dimensions_text(
    shape: Sequence[int],
    other: Sequence[int],
    sizes: Sizes,
    others: Sizes,
    unclear: str | None = None,
) -> list[str]:
    """The sizes of a shape as text; of two letters that fit, each is used once."""
    told: list[str] = []
    for size, twin in zip(shape, other, strict=True):
        told.append(size_text(size, twin, sizes, others, unclear, told))
    return told


def size_text(
    size: int,
    other: int,
    sizes: Sizes,
    others: Sizes,
    unclear: str | None = None,
    used: Collection[str] = (),
) -> str:
    """One size by the free one that it follows: `N`, `T/2`, `N·T`; else `unclear`, or its number.

    It was `size` at `sizes`, and `other` at `others`. Letters that were `used` come last.
    """
    if size == other:
        return str(size)
    names = list(sizes)
    pairs = [(f"{a}·{b}", a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    known = [(name, sizes[name], others[name]) for name in names]
    known += [(text, sizes[a] * sizes[b], others[a] * others[b]) for text, a, b in pairs]
    found = [text for one in known for text in [_by_one(size, other, *one)] if text]
    if not found:
        return unclear or str(size)
    return min(found, key=lambda one: (one[0], one[1] in used, one[1]))[1]


def _by_one(size: int, other: int, name: str, low: int, high: int) -> tuple[int, str] | None:
    """The size as a multiple, a part, or a shift of a free one; the plainest has the least number.

    None if it is nothing of the kind.
    """
    if (size, other) == (low, high):
        return 1, name
    if size * high == other * low:
        if low % size == 0:
            return low // size, f"{name}/{low // size}"
        if size % low == 0:
            return size // low, f"{size // low}·{name}"
    if other - size == high - low:
        shift = size - low
        return 1 + abs(shift), f"{name}+{shift}" if shift > 0 else f"{name}-{-shift}"
    return None
