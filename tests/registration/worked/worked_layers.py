"""A plugin: four kinds of layers that torch does not have."""

from __future__ import annotations

from typing import Any, Literal

import torch
from stand_in_library import create_model
from torch import Tensor, nn

import netspec

# A function with a backward pass of its own, in Python alone


class _ClampThrough(torch.autograd.Function):
    """Clamps, and lets the gradient through where it would be zero, if it leads back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, most: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.most = most
        return x.clamp(-most, most)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        leads_back = (x.abs() <= ctx.most) | (gradient * x > 0)
        return gradient * leads_back, None


@netspec.register("worked/clamp_through")
def clamp_through(x: Tensor, most: float = 1.0) -> Tensor:
    """Clamps to ±most; values outside are still pulled back by their gradient."""
    return _ClampThrough.apply(x, most)


# A module with state


@netspec.register("worked/RunningScale", infer={"channels": "x.shape[1]"})
class RunningScale(nn.Module):
    """Divides each channel by a running mean of its size, which moves in train mode."""

    size: Tensor

    def __init__(self, channels: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("size", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                self.size.lerp_(x.abs().mean((0, 2, 3)), self.momentum)
        return x / self.size.clamp(min=1e-3)[:, None, None]


# An activation in its two forms, and in place


def squash_(x: Tensor, slope: float = 1.0) -> Tensor:
    return x.mul_(slope).tanh_()


@netspec.register("worked/squash", inplace=squash_)
def squash(x: Tensor, slope: float = 1.0) -> Tensor:
    return (x * slope).tanh()


@netspec.register("worked/Squash", function=squash)
class Squash(nn.Module):
    """The hyperbolic tangent of slope · x."""

    def __init__(self, slope: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.slope, self.inplace = slope, inplace

    def forward(self, x: Tensor) -> Tensor:
        return squash_(x, self.slope) if self.inplace else squash(x, self.slope)


# A whole backbone of another library


@netspec.register("worked/Backbone", infer={"in_channels": "x.shape[1]"})
class Backbone(nn.Module):
    """Feature maps of one of the library's models; `=name[0]` is the first of them."""

    def __init__(self, in_channels: int, kind: Literal["tiny", "small"] = "tiny") -> None:
        super().__init__()
        self.net = create_model(kind, features_only=True, in_chans=in_channels)

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.net(x)
