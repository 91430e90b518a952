"""Modules on `meta` without the numbers that they would begin with, which they cannot hold.

torch draws them even there, by decompositions in Python that take most of a layer's construction.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_FILLS = frozenset({
    nn.init.uniform_, nn.init.normal_, nn.init.constant_, nn.init.kaiming_uniform_,
    torch.Tensor.uniform_, torch.Tensor.normal_, torch.Tensor.fill_, torch.Tensor.zero_,
})  # fmt: skip


class Unfilled(TorchFunctionMode):
    """Whatever would fill a `meta` tensor inside gives it back as it is."""

    def __torch_function__(
        self, func: Any, types: object, args: Any = (), kwargs: Any = None
    ) -> object:
        named = kwargs or {}
        if func in _FILLS:
            tensor = args[0] if args else named["tensor"]  # as torch.nn.init hands it on
            if tensor.is_meta:
                return tensor
        return func(*args, **named)
