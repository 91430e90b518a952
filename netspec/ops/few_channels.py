"""Modules that do the same to any number of channels: asked of a twin that has few.

What a convolution or a batch norm gives at one width tells it for all: the channels are as many as
the module says, and no other size depends on them. So one answer serves all widths of a network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any

from torch import nn

from netspec.caches import Cache
from netspec.ops.process_state import silence
from netspec.ops.types import Fact, TensorType, contiguous, is_contiguous, memo_key
from netspec.ops.unfilled import Unfilled

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
CONVOLUTIONS = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip
_OF_NORMS = ("eps", "momentum", "affine", "track_running_stats")
_OF_CONVOLUTIONS = ("kernel_size", "stride", "padding", "dilation", "padding_mode")
_FEW_GROUPS, _FEW_IN, _FEW_OUT = 2, 3, 5  # of each group; what is single stays so
_MOST = 2**40  # elements, beyond which torch may say that they are too many
_twins: Cache[object, nn.Module] = Cache(2_000)


@dataclass(frozen=True, slots=True)
class Twin:
    """A module with few channels, and how many its original takes and gives."""

    module: nn.Module
    key: object
    few: tuple[int, int]
    many: tuple[int, int]
    spatial: int | None  # dimensions after the channels; None where the channels are the second

    def call(self, args: tuple[Fact, ...], kwargs: object) -> tuple[TensorType, int] | None:
        """What it is to be called with, and the dimension of the channels, in the place of a call
        of the original; None for an input that this may refuse, or lay out in another way.
        """
        if len(args) != 1 or kwargs or not isinstance(args[0], TensorType):
            return None
        fact = args[0]
        axis = 1 if self.spatial is None else len(fact.shape) - self.spatial - 1
        if not 0 <= axis < len(fact.shape) or fact.shape[axis] != self.many[0]:
            return None
        if not is_contiguous(fact) or 0 in fact.shape:
            return None
        return contiguous(_with(fact.shape, axis, self.few[0]), fact.dtype), axis

    def widened(self, found: Fact, axis: int) -> TensorType | None:
        """What the original gives; None where its layout, or so many elements, may matter."""
        if not isinstance(found, TensorType) or not is_contiguous(found):
            return None
        assert found.shape[axis] == self.few[1], "it gives as many channels as it has"
        shape = _with(found.shape, axis, self.many[1])
        return contiguous(shape, found.dtype) if math.prod(shape) <= _MOST else None


def _with(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    return (*shape[:axis], size, *shape[axis + 1 :])


@lru_cache(maxsize=4096)
def twin_of(module: nn.Module) -> Twin | None:
    """The module with few channels; None for other classes, and for one that has few itself."""
    cls: Any = type(module)
    if cls in NORMS:
        return _twin_of_norm(cls, module)
    return _twin_of_convolution(cls, module) if cls in CONVOLUTIONS else None


def _twin_of_norm(cls: Any, module: Any) -> Twin | None:
    many = module.num_features
    few = min(many, _FEW_IN)
    named = {name: getattr(module, name) for name in _OF_NORMS}
    twin = None if few == many else _made(cls, (few,), named, module)
    return twin and Twin(*twin, (few, few), (many, many), None)


def _twin_of_convolution(cls: Any, module: Any) -> Twin | None:
    groups, many = module.groups, (module.in_channels, module.out_channels)
    left = min(groups, _FEW_GROUPS)
    few = left * min(many[0] // groups, _FEW_IN), left * min(many[1] // groups, _FEW_OUT)
    named = {name: getattr(module, name) for name in _OF_CONVOLUTIONS}
    named |= {"groups": left, "bias": module.bias is not None}
    if module.transposed:
        named["output_padding"] = module.output_padding
    twin = None if few == many else _made(cls, few, named, module)
    return twin and Twin(*twin, few, many, len(module.kernel_size))


def _made(
    cls: Any, few: tuple[int, ...], named: dict[str, Any], module: nn.Module
) -> tuple[nn.Module, object]:
    dtype = next((t.dtype for t in chain(module.parameters(), module.buffers())), None)
    key = (cls, few, dtype, memo_key(tuple(named.values())))
    twin = _twins.get(key)
    if twin is None:
        with silence(), Unfilled():
            twin = _twins.keep(key, cls(*few, **named, dtype=dtype, device="meta"))
    return twin, key
