"""Types of values as text, with each free size by its letter."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from netspec.ops.types import Fact, Mapped, TensorType, dtype_name

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
    fact: Fact,
    other: Fact,
    sizes: Sizes,
    others: Sizes,
    unclear: str | None = None,
    more: Sequence[tuple[Fact, Sizes]] = (),
) -> str:
    """`[N, 6, 24, 24]`: what differs between two runs is told by the size that it follows.

    `fact` was found at `sizes` and `other` at `others`; what is told is true of `more` runs, too.
    A dtype is named if it is not float32; a size that follows no free one in a plain way is
    `unclear`, or its number at `sizes`.
    """
    match fact, other:
        case TensorType(), TensorType() if len(fact.shape) == len(other.shape):
            shapes = [(a.shape, b) for a, b in more if isinstance(a, TensorType)]
            told = dimensions_text(fact.shape, other.shape, sizes, others, unclear, shapes)
            return f"[{', '.join(told)}]{_dtype(fact.dtype)}"
        case TensorType(), _:
            return f"{list(fact.shape)}{_dtype(fact.dtype)}"
        case tuple(), tuple() if len(fact) == len(other):
            count = len(fact)
            tuples = [(a, b) for a, b in more if isinstance(a, tuple) and len(a) == count]
            items = [
                shape_text(a, b, sizes, others, unclear, [(each[i], at) for each, at in tuples])
                for i, (a, b) in enumerate(zip(fact, other, strict=True))
            ]
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
    return "" if dtype is torch.float32 else f" {dtype_name(dtype)}"


def dimensions_text(
    shape: Sequence[int],
    other: Sequence[int],
    sizes: Sizes,
    others: Sizes,
    unclear: str | None = None,
    more: Sequence[tuple[Sequence[int], Sizes]] = (),
) -> list[str]:
    """The sizes of a shape as text; of two letters that fit, each is used once."""
    told: list[str] = []
    alike = [(a, b) for a, b in more if len(a) == len(shape)]
    for at, (size, twin) in enumerate(zip(shape, other, strict=True)):
        runs = [(a[at], b) for a, b in alike]
        told.append(size_text(size, twin, sizes, others, unclear, told, runs))
    return told


def size_text(
    size: int,
    other: int,
    sizes: Sizes,
    others: Sizes,
    unclear: str | None = None,
    used: Collection[str] = (),
    more: Sequence[tuple[int, Sizes]] = (),
) -> str:
    """One size by the free one that it follows: `N`, `T/2`, `N·T`; else `unclear`, or its number.

    It was `size` at `sizes`, and `other` at `others`; `more` are other runs. Letters that were
    `used` come last.
    """
    if size == other:
        return str(size)
    names = list(sizes)
    letters = [(name,) for name in names]
    letters += [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]  # type: ignore[misc]
    found: list[tuple[int, bool, int, str]] = []
    for factors in letters:
        low, high = _product(factors, sizes), _product(factors, others)
        for place, form in enumerate(_forms(size, other, "·".join(factors), low, high)):
            if all(form.value(_product(factors, at)) == here for here, at in more):
                found.append((form.rank, form.text in used, place, form.text))
    return min(found)[-1] if found else unclear or str(size)


@dataclass(frozen=True, slots=True)
class _Form:
    """How a size may follow a free one; the plainest has the least rank."""

    rank: int
    text: str
    value: Callable[[int], int]


def _product(factors: Sequence[str], sizes: Sizes) -> int:
    return math.prod([sizes[name] for name in factors])


def _forms(size: int, other: int, name: str, low: int, high: int) -> Iterator[_Form]:
    """The size as a multiple, a part, or a shift of a free one, or of a product of two."""
    if (size, other) == (low, high):
        yield _Form(1, name, lambda n: n)
        return
    if size * high == other * low and low % max(size, 1) == 0 and size:
        part = low // size
        yield _Form(part, f"{name}/{part}", lambda n: -1 if n % part else n // part)
        yield _Form(part, f"{name}//{part}", lambda n: n // part)
        yield _Form(part, f"({name}+{part - 1})//{part}", lambda n: (n + part - 1) // part)
    elif size * high == other * low and low and size % low == 0:
        times = size // low
        yield _Form(times, f"{times}·{name}", lambda n: n * times)
    if other - size == high - low:
        shift = size - low
        text = f"{name}+{shift}" if shift > 0 else f"{name}-{-shift}"
        # A slice beyond the end is empty: no size is below 0.
        yield _Form(1 + abs(shift), text, lambda n: max(n + shift, 0))
