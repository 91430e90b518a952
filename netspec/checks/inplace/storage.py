"""The memory that a run met, and what was done with it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import torch

from netspec.checks.inplace.region import Region
from netspec.ir.walk.walker import Step

AT_THE_END = math.inf
Kind = Literal["input", "parameter", "buffer", "value"]


@dataclass(slots=True, eq=False)
class Storage:
    """Memory that the run met, and what was done with it, in the order of the run's clock."""

    kind: Kind
    name: str
    born: int
    reads: list[tuple[float, Region, Step]] = field(default_factory=list)
    saves: list[tuple[int, Step, bool]] = field(default_factory=list)  # as a result of that step?
    parts: list[tuple[float, Step]] = field(default_factory=list)  # used: views of one call of many
    viewed: bool = False
    copied: Copied | None = None


@dataclass(frozen=True, slots=True)
class Copied:
    """What a storage is a copy of, only because of sizes, strides or dtype that can be others.

    `contiguous` and `reshape` copy, or give what they take: a batch of one, or a model in
    `channels_last`, makes one of the other. The copy then lies in `storage`, at `region`.
    """

    storage: Storage
    region: Region
    tensor: torch.Tensor
