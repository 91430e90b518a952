"""Examples that are held in memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from netspec.run.data.dataset import Batch, digest
from netspec.run.data.normalize import Scale

_MOST_BYTES = (
    1 << 29
)  # of images as floats; beyond it they stay bytes and are scaled a batch at a time


@dataclass(frozen=True)
class Column:
    """One array [N, …], with the scale that its batches still need."""

    values: Tensor
    scale: Scale | None = None

    def take(self, indices: Tensor) -> Tensor:
        taken = self.values.index_select(0, indices)
        return taken if self.scale is None else self.scale(taken)


@dataclass(frozen=True)
class Arrays:
    """Examples as one array for each input and one for the target, all equally long.

    Masks are held as int16, and their batches are int64 like those of every class index.
    """

    inputs: tuple[Column, ...]
    target: Tensor

    def __len__(self) -> int:
        return len(self.target)

    def batch(self, indices: Tensor) -> Batch:
        inputs = tuple(column.take(indices) for column in self.inputs)
        target = self.target.index_select(0, indices)
        return inputs, target.long() if target.dtype == torch.int16 else target

    def fingerprint(self) -> str:
        scales = [part for c in self.inputs if c.scale for part in (c.scale.factor, c.scale.offset)]
        return digest(*(column.values for column in self.inputs), *scales, self.target)


def column(values: Tensor, scale: Scale | None) -> Column:
    """Values → a column, scaled at once where that does not take too much memory."""
    if scale is None:
        return Column(values.contiguous())
    if values.dtype == torch.uint8 and values.numel() * 4 > _MOST_BYTES:
        return Column(values.contiguous(), scale)
    return Column(scale(values).contiguous())
