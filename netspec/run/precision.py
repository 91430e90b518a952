"""Precision outside of training: the dtype of weights and inputs, and autocast."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

_TRUE = {"64-true": torch.float64, "bf16-true": torch.bfloat16, "32-true": torch.float32}
_MIXED = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}


def weights_dtype(precision: str) -> torch.dtype:
    """The dtype of a model's weights, and of its floating inputs."""
    return _TRUE.get(precision, torch.float32)


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context of a forward pass."""
    dtype = _MIXED.get(precision)
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def cast(value: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
    """An input as the model takes it."""
    moved = value.to(device, non_blocking=True)
    return moved.to(dtype) if moved.is_floating_point() else moved
