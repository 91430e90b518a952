"""Refusals of single sizes, dimensions and indices: view, unflatten, softmax(dim=4), x[:, 10]."""

from __future__ import annotations

import math
import re

from netspec.explain.rules.attempt import Attempt, Explanation, Given, by, count
from netspec.ops.types import Fact

_DIM = re.compile(r"Dimension out of range \(expected to be in range of \[(-?\d+), (\d+)\], but got"
                  r" (-?\d+)\)")  # fmt: skip
_INDEX = re.compile(r"index (-?\d+) is out of bounds for dimension (\d+) with size (\d+)")
_VIEWS = ("view", "reshape", "view_copy")
_ABOUT = ("dim", "dims", "start_dim", "end_dim", "axis", "dim0", "dim1")


def explain_sizes(attempt: Attempt) -> Explanation | None:
    """Why a dimension, an index or a new shape is refused."""
    if not attempt.tensors:
        return None
    given = attempt.tensors[0]
    return (
        _dimension(attempt, given)
        or _index(attempt, given)
        or _view(attempt, given)
        or _others(attempt, given)
    )


def _dimension(attempt: Attempt, given: Given) -> Explanation | None:
    found = _DIM.search(attempt.words)
    if found is None:
        return None
    low, high, got = map(int, found.groups())
    told = f"{count(len(given.shape), 'dimension')}, {given.text}"
    fact = f"{attempt.what} asks for dimension {got}, and {given.gives(told)}"
    about = next((name for name in _ABOUT if attempt.plain.get(name) == got), None)
    help = f"{'they are' if high + 1 == len(given.shape) else 'it may be'} 0 to {high}"
    return Explanation(fact, f"{help}, or {low} to -1 from the end", about, (given,))


def _index(attempt: Attempt, given: Given) -> Explanation | None:
    if found := _INDEX.search(attempt.words):
        index, dimension, size = map(int, found.groups())
        fact = (
            f"the index {index} is outside of dimension {dimension} of `{given.name}`, whose size "
            f"is {given.size(dimension) if dimension < len(given.sizes) else size}"
        )
        return Explanation(fact, f"it goes from 0 to {size - 1}", chains=(given,))
    if "too many indices" in attempt.words:
        fact = f"{attempt.what} has more indices than `{given.name}` has dimensions: {given.text}"
        return Explanation(fact, chains=(given,))
    return None


def _view(attempt: Attempt, given: Given) -> Explanation | None:
    if attempt.operator not in _VIEWS:
        return None
    if "not compatible with input tensor's size and stride" in attempt.words:
        fact = (
            f"{attempt.what} needs the elements of `{given.name}` to lie in order in memory, and "
            "they don't any more"
        )
        return Explanation(fact, "`reshape` copies them where it has to", chains=(given,))
    shape = shape_argument(attempt)
    if shape is None or "invalid for input" not in attempt.words:
        return None
    texts = _told_shape(attempt)
    have, wanted = (" × ".join(t for t in sizes if t != "-1") for sizes in (given.sizes, texts))
    fact = f"{attempt.what} makes [{', '.join(texts)}] of {given.text}, and "
    if -1 in shape:
        fact += f"{have} elements are no multiple of {wanted}"
        return Explanation(fact, _merged(given, shape), chains=(given,))
    fact += f"{have} elements are not {wanted}"
    return Explanation(fact, "one size may be -1, and is then what is left", chains=(given,))


def _merged(given: Given, shape: tuple[int, ...]) -> str | None:
    """A help where all but the batch was to be one dimension."""
    if len(shape) == 2 and shape[0] == -1 and len(given.shape) > 2:
        size = math.prod(given.shape[1:])
        return f"one example has {by(given.sizes[1:])} = {size}: write that, or `flatten(1)`"
    return None


def shape_argument(attempt: Attempt) -> tuple[int, ...] | None:
    """The sizes that a call is given, one by one or in a tuple."""
    found: list[int] = []
    for value in attempt.plain.values():
        for item in value if isinstance(value, tuple) else (value,):
            if not isinstance(item, int) or isinstance(item, bool):
                return None
            found.append(item)
    return tuple(found) or None


def _told_shape(attempt: Attempt) -> list[str]:
    """The same sizes as text, free ones by letter."""
    texts = [attempt.told.get(name, str(value)) for name, value in attempt.plain.items()]
    return [size for text in texts for size in text.strip("()").split(", ") if size]


def _others(attempt: Attempt, given: Given) -> Explanation | None:
    match attempt.operator:
        case "unflatten" | "Unflatten":
            return _unflatten(attempt, given)
        case "expand" | "broadcast_to":
            return _expand(attempt, given)
        case "permute":
            return _permute(attempt, given)
        case "split" | "split_with_sizes":
            return _split(attempt, given)
        case "pixel_shuffle" | "PixelShuffle":
            return _pixel_shuffle(attempt, given)
        case _:
            return None


def _dim(attempt: Attempt, given: Given, default: int = 0) -> int | None:
    dim = attempt.argument("dim", default)
    inside = isinstance(dim, int) and -len(given.shape) <= dim < len(given.shape)
    return dim if inside and isinstance(dim, int) else None


def _whole(value: Fact) -> tuple[int, ...] | None:
    if not isinstance(value, (tuple, list)) or not all(isinstance(item, int) for item in value):
        return None
    return tuple(value)


def _unflatten(attempt: Attempt, given: Given) -> Explanation | None:
    sizes, dim = _whole(attempt.argument("sizes", attempt.argument("unflattened_size"))), None
    dim = _dim(attempt, given)
    if sizes is None or dim is None or -1 in sizes or math.prod(sizes) == given.shape[dim]:
        return None
    fact = (
        f"{attempt.what} makes {by(sizes)} = {math.prod(sizes)} of dimension {dim}, and "
        f"{given.gives(given.size(dim))} there"
    )
    return Explanation(fact, "one size may be -1, and is then what is left", "sizes", (given,))


def _expand(attempt: Attempt, given: Given) -> Explanation | None:
    shape = shape_argument(attempt)
    if shape is None or len(shape) < len(given.shape):
        return None
    for dimension, (have, wanted) in enumerate(
        zip(given.shape, shape[len(shape) - len(given.shape) :], strict=True)
    ):
        if wanted not in (-1, have) and have != 1:
            fact = (
                f"{attempt.what} repeats only sizes of 1, and dimension {dimension} of "
                f"`{given.name}` is {given.size(dimension)}, not {wanted}"
            )
            return Explanation(fact, "`repeat` copies tensors of any size", None, (given,))
    return None


def _permute(attempt: Attempt, given: Given) -> Explanation | None:
    order = shape_argument(attempt)
    if order is None or len(order) == len(given.shape):
        return None
    fact = (
        f"{attempt.what} orders {count(len(order), 'dimension')}, and "
        f"{given.gives(count(len(given.shape), 'dimension'))}: {given.text}"
    )
    return Explanation(fact, "name each dimension once", "dims", (given,))


def _split(attempt: Attempt, given: Given) -> Explanation | None:
    plain = attempt.plain
    sizes = _whole(plain.get("split_size_or_sections", plain.get("split_size")))
    sizes = sizes or _whole(plain.get("split_sizes"))
    dim = _dim(attempt, given)
    if sizes is None or dim is None:
        return None
    fact = (
        f"{attempt.what} makes parts of {' + '.join(map(str, sizes))} = {sum(sizes)} of dimension "
        f"{dim}, and {given.gives(given.size(dim))} there"
    )
    return Explanation(fact, chains=(given,))


def _pixel_shuffle(attempt: Attempt, given: Given) -> Explanation | None:
    factor = attempt.argument("upscale_factor")
    if not isinstance(factor, int) or factor < 1 or len(given.shape) < 3:
        return None
    channels = given.shape[-3]
    if channels % factor**2 == 0:
        return None
    fact = (
        f"{attempt.what} makes {factor}×{factor} pixels of every {factor**2} channels, and "
        f"{given.gives(given.size(-3))}, which {factor**2} does not divide"
    )
    near = max(1, round(channels / factor**2)) * factor**2
    return Explanation(fact, f"give it {near} channels", None, (given,))
