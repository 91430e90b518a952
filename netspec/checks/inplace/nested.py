"""The tensors in nested tuples, lists and dicts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """All tensors in nested tuples, lists and dicts."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_in(item)


def replaced(value: Any, tensors: Iterator[torch.Tensor]) -> Any:
    """The same nest of values with its tensors replaced, in order."""
    if isinstance(value, torch.Tensor):
        return next(tensors)
    if isinstance(value, dict):
        return {name: replaced(item, tensors) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)([replaced(item, tensors) for item in value])
    return value
