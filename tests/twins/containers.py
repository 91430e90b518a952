"""Layers in each of torch's containers, and what a plain Python list of them loses."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn


def three_numbered() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())


def three_named() -> nn.Module:
    return nn.Sequential(
        OrderedDict(conv=nn.Conv2d(3, 8, 3, padding=1), bn=nn.BatchNorm2d(8), act=nn.ReLU())
    )


def three_nested() -> nn.Module:
    normed = nn.Sequential()
    normed.add_module("conv", nn.Conv2d(3, 8, 3, padding=1))
    normed.add_module("bn", nn.BatchNorm2d(8))
    net = nn.Sequential()
    net.add_module("stem", nn.Sequential(normed, nn.ReLU()))
    return net


class ModuleListNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linears = nn.ModuleList([nn.Linear(10, 10) for _ in range(10)])

    def forward(self, x: Tensor) -> Tensor:
        for i, linear in enumerate(self.linears):
            x = self.linears[i // 2](x) + linear(x)
        return x


class PlainListNet(nn.Module):
    """What not to do: a plain list registers nothing, so nothing here is trained or saved."""

    def __init__(self) -> None:
        super().__init__()
        self.linears = [nn.Linear(10, 10) for _ in range(10)]
        self.params = [nn.Parameter(torch.randn(10, 10)) for _ in range(10)]

    def forward(self, x: Tensor) -> Tensor:
        for linear, param in zip(self.linears, self.params, strict=True):
            x = linear(x) @ param
        return x


class LinearNet(nn.Module):
    def __init__(self, depth: int = 4) -> None:
        super().__init__()
        widths = [5] + [3] * (depth - 1) + [2]
        self.linears = nn.ModuleList([nn.Linear(widths[i], widths[i + 1]) for i in range(depth)])

    def forward(self, x: Tensor) -> Tensor:
        for linear in self.linears:
            x = linear(x)
        return x


class ParameterListNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.params = nn.ParameterList([torch.empty(10, 10) for _ in range(10)])
        for param in self.params:
            nn.init.normal_(param, std=0.1)

    def forward(self, x: Tensor) -> Tensor:
        for i, param in enumerate(self.params):
            x = x @ self.params[i // 2] + x @ param
        return x
