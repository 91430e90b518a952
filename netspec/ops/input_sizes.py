"""In which dimension of its input a class of torch.nn looks for a size, found by trying them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import nn

from netspec.ops.catalog import Operator
from netspec.ops.process_state import own_random_state, silence
from netspec.ops.signatures import signatures_of

_OWN, _OTHER = 5, 3  # the size asked for, and all other sizes


@cache
def dimension_of(
    operator: Operator, parameter: str, rank: int, candidates: Sequence[int]
) -> int | None:
    """The first candidate whose size has to be `parameter`'s where the input has this rank.

    `ConvTranspose2d` takes [N, C, H, W] and [C, H, W], so that its channels are in dimension 1 or
    0. None where a small layer takes none of them.
    """
    cls: Any = operator.target
    given = {p.name: 1 for p in signatures_of(operator)[0].parameters if p.required}
    given[parameter] = _OWN
    affine = {p.name: True for p in signatures_of(operator)[0].parameters if p.name == "affine"}
    with silence(), own_random_state(), torch.no_grad():
        try:
            module = cls(**given, **affine)
        except (TypeError, ValueError, RuntimeError):  # what else it needs is no number
            return None
        takes = (d for d in candidates if -rank <= d < rank and _takes(module, rank, d))
        return next(takes, None)


def _takes(module: nn.Module, rank: int, dimension: int) -> bool:
    shape = [_OTHER] * rank
    shape[dimension] = _OWN
    try:
        module(torch.zeros(shape))
    except (RuntimeError, ValueError, IndexError, TypeError):
        return False
    return True
