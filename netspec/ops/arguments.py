"""What an argument may be, and whether a value is that.

The types are a closed set: `Kind`, `Choices`, `SequenceOf`, `TupleOf`, `Either`. A value is a
constant (of YAML, or of folding) or a `Runtime` marker, which stands for what is known only when
the model runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import cache

import torch


class Runtime(Enum):
    """Stands for a value that exists only at run time, to ask whether it may be given."""

    TENSOR = "a tensor"
    TENSORS = "a tuple of tensors"
    NUMBER = "a number known only at run time"
    DEVICE = "a device"
    MODULE = "a module"


TENSOR, TENSORS, NUMBER = Runtime.TENSOR, Runtime.TENSORS, Runtime.NUMBER
DEVICE, MODULE = Runtime.DEVICE, Runtime.MODULE


class Kind(Enum):
    """A plain type: its name in words, the classes of its constants, the markers that it takes."""

    INT = ("an int", (int,), (NUMBER,))
    FLOAT = ("a number", (int, float), (NUMBER,))
    SCALAR = ("a number or a bool", (int, float, bool), (NUMBER,))  # ATen's Scalar
    BOOL = ("a bool", (bool,), ())
    STR = ("a string", (str,), ())
    NONE = ("null", (type(None),), ())
    DTYPE = ("a dtype", (torch.dtype,), ())
    DEVICE = ("a device", (), (Runtime.DEVICE,))
    TENSOR = ("a tensor", (), (Runtime.TENSOR,))
    MODULE = ("a module", (), (Runtime.MODULE,))
    OPAQUE = ("left out, as a spec cannot write it", (), ())
    ANYTHING = ("anything", (), tuple(Runtime))

    def __init__(self, words: str, classes: tuple[type, ...], markers: tuple[Runtime, ...]) -> None:
        self.words = words
        self.classes = frozenset(classes)
        self.markers = frozenset(markers)


@dataclass(frozen=True, slots=True)
class Choices:
    """One of these strings."""

    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SequenceOf:
    """A list or tuple of items of one type, `length` of them where that is fixed."""

    item: ArgumentType
    length: int | None = None


@dataclass(frozen=True, slots=True)
class TupleOf:
    """A list or tuple of items of these types, in this order."""

    items: tuple[ArgumentType, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """Any of these types; a value is taken as the first that fits."""

    options: tuple[ArgumentType, ...]


ArgumentType = Kind | Choices | SequenceOf | TupleOf | Either


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an operator; `default` counts only where it is not required."""

    name: str
    accepts: ArgumentType
    required: bool = True
    keyword_only: bool = False
    default: object = None


@dataclass(frozen=True, slots=True)
class Signature:
    """What an operator takes; `star` is `*tensors`, `*operands`, `*size`."""

    parameters: tuple[Parameter, ...]
    star: Parameter | None = None


@dataclass(frozen=True, slots=True)
class Misfit:
    """A value does not fit; `expected` says in plain words what would."""

    expected: str


class _No(Enum):
    NO = 0


_NO = _No.NO
_LISTS = (list, tuple)


def coerce(parameter: Parameter, value: object) -> object | Misfit:
    """The value to pass for this parameter (lists as tuples, dtype names as dtypes), or a Misfit.

    A `Runtime` marker that fits comes back as it is, inside of lists too.
    """
    fitted = _fitted(parameter.accepts, value)
    if fitted is not _NO:
        return fitted
    if not parameter.required and value is parameter.default:
        return value
    return Misfit(describe(parameter.accepts))


def _fitted(accepts: ArgumentType, value: object) -> object:
    if type(accepts) is Kind:
        return _fitted_plain(accepts, value)
    if type(accepts) is Either:
        for option in accepts.options:
            fitted = _fitted(option, value)
            if fitted is not _NO:
                return fitted
        return _NO
    if type(accepts) is Choices:
        return value if type(value) is str and value in accepts.options else _NO
    if type(accepts) is SequenceOf:
        if value is TENSORS and accepts.item is Kind.TENSOR:
            return value
        if not isinstance(value, _LISTS) or accepts.length not in (None, len(value)):
            return _NO
        return _fitted_items((accepts.item,) * len(value), value)
    assert type(accepts) is TupleOf, f"{accepts} is no argument type"
    if not isinstance(value, _LISTS) or len(accepts.items) != len(value):
        return _NO
    return _fitted_items(accepts.items, value)


def _fitted_plain(kind: Kind, value: object) -> object:
    given = type(value)
    if given in kind.classes:
        return value
    if given is Runtime:
        return value if value in kind.markers else _NO
    if kind is Kind.ANYTHING:
        return value
    if kind is Kind.DTYPE and isinstance(value, str):
        dtype = vars(torch).get(value)
        return dtype if isinstance(dtype, torch.dtype) else _NO
    return _NO


def _fitted_items(
    types: tuple[ArgumentType, ...], values: Iterable[object]
) -> tuple[object, ...] | _No:
    fitted = []
    for accepts, value in zip(types, values, strict=True):
        item = _fitted(accepts, value)
        if item is _NO:
            return _NO
        fitted.append(item)
    return tuple(fitted)


def options_of(accepts: ArgumentType) -> tuple[ArgumentType, ...]:
    """The types of which any will do: those of an Either, else the one."""
    return accepts.options if isinstance(accepts, Either) else (accepts,)


@cache
def describe(accepts: ArgumentType) -> str:
    """The type in plain words: `an int or a pair of ints`."""
    if isinstance(accepts, Kind):
        return accepts.words
    if isinstance(accepts, Choices):
        return "one of " + ", ".join(f"`{option}`" for option in accepts.options)
    if isinstance(accepts, SequenceOf):
        return _describe_sequence(accepts)
    if isinstance(accepts, TupleOf):
        return "a list of " + " and ".join(map(describe, accepts.items))
    options = [option for option in accepts.options if option is not Kind.OPAQUE]
    options.sort(key=lambda option: option is Kind.NONE)
    words = list(dict.fromkeys(map(describe, options)))
    if len(words) < 3:
        return " or ".join(words)
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _describe_sequence(accepts: SequenceOf) -> str:
    if accepts.length == 1:
        return f"a list of one {describe(accepts.item).partition(' ')[2]}"
    if accepts.length == 2:
        return f"a pair of {_plural(accepts.item)}"
    return f"a list of {accepts.length or ''} {_plural(accepts.item)}".replace("  ", " ")


def _plural(accepts: ArgumentType) -> str:
    """`an int or null` as `ints and nulls`."""
    words = []
    for part in describe(accepts).split(" or "):
        article, _, noun = part.partition(" ")
        words.append(f"{noun or article}s")
    return " and ".join(words)
