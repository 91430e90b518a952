"""Nested values ↔ JSON and tensors, so that a training state is stored without pickle."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Any

import torch

_MARK = "$"  # the key of a mapping that stands for what JSON has not


def flatten(value: object, tensors: dict[str, torch.Tensor]) -> Any:
    """A value as JSON has it; its tensors are put into `tensors` under numbered names.

    Dicts with any plain keys, lists, tuples, Counters, numbers, strings, None, dtypes and tensors
    come back from `restore` as they were.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else {_MARK: "float", "value": repr(value)}
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach()
        return {_MARK: "tensor", "value": name}
    if isinstance(value, torch.dtype):
        return {_MARK: "dtype", "value": str(value).removeprefix("torch.")}
    if isinstance(value, list):
        return [flatten(item, tensors) for item in value]
    if isinstance(value, tuple):
        return {_MARK: "tuple", "value": [flatten(item, tensors) for item in value]}
    assert isinstance(value, Mapping), f"a training state holds a {type(value).__name__}"
    plain = type(value) in (dict, OrderedDict) and _MARK not in value
    if plain and all(isinstance(key, str) for key in value):
        return {key: flatten(item, tensors) for key, item in value.items()}
    kind = "counter" if isinstance(value, Counter) else "dict"
    items = [[flatten(key, tensors), flatten(item, tensors)] for key, item in value.items()]
    return {_MARK: kind, "value": items}


def restore(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """The value that `flatten` was given. Raises KeyError, ValueError where it can't be."""
    if isinstance(value, list):
        return [restore(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if _MARK not in value:
        return {key: restore(item, tensors) for key, item in value.items()}
    kind, inner = value[_MARK], value["value"]
    if kind == "float":
        return float(inner)
    if kind == "tensor":
        return tensors[inner]
    if kind == "dtype":
        return _DTYPES[inner]
    if kind == "tuple":
        return tuple(restore(item, tensors) for item in inner)
    if kind in ("dict", "counter"):
        pairs = {restore(key, tensors): restore(item, tensors) for key, item in inner}
        return Counter(pairs) if kind == "counter" else pairs
    raise ValueError(f"nothing is stored as {kind!r}")


_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in vars(torch).values()
    if isinstance(dtype, torch.dtype)
}
