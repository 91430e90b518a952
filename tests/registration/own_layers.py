"""Layers that a project of one's own might have; tests copy this file to where they run."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import netspec


@netspec.register(infer={"channels": "x.shape[1]"})
class SqueezeExcite(nn.Module):
    """Weighs channels by what is in all of them."""

    def __init__(self, channels: int, ratio: int = 4) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // ratio, 1)
        self.fc2 = nn.Conv2d(channels // ratio, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        s = x.mean((2, 3), keepdim=True)
        return x * self.fc2(self.fc1(s).relu()).sigmoid()


def swish_(x: Tensor, beta: float = 1.0) -> Tensor:
    return x.mul_(torch.sigmoid(beta * x))


@netspec.register("mylib/swish", inplace=swish_)
def swish(x: Tensor, beta: float = 1.0) -> Tensor:
    return x * torch.sigmoid(beta * x)


@netspec.register("mylib/Swish", function=swish)
class Swish(nn.Module):
    def __init__(self, beta: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.beta, self.inplace = beta, inplace

    def forward(self, x: Tensor) -> Tensor:
        return swish_(x, self.beta) if self.inplace else swish(x, self.beta)


@netspec.register
class Depth(nn.Module):
    """Looks at numbers where it is made: `meta` has none."""

    def __init__(self, width: int, depth: int = 3) -> None:
        super().__init__()
        self.rates = [float(rate) for rate in torch.linspace(0.5, 1, depth)]
        self.fc = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        for rate in self.rates:
            x = x + rate * self.fc(x)
        return x


@netspec.register
class Limit(nn.Module):
    """Looks at numbers where it is called."""

    def forward(self, x: Tensor) -> Tensor:
        if bool((x.abs() > 10).any()):
            return x / float(x.abs().max())
        return x * 1


@netspec.register
def limit(x: Tensor, most: float = 10.0) -> Tensor:
    largest = float(x.abs().max())
    return x * (most / largest) if largest > most else x * 1


@netspec.register
class Pyramid(nn.Module):
    """Three maps, each half as large as the one before."""

    def __init__(self, channels: int, width: int = 4) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.down = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        one = self.first(x)
        two = self.down(one)
        return one, two, self.down(two)


@netspec.register
def halves(x: Tensor, dim: int = 1) -> list[Tensor]:
    return list(x.chunk(2, dim))


class Saved(torch.autograd.Function):
    """A cube, whose backward looks at its input and its output."""

    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def]
        y = x**3
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        x, y = ctx.saved_tensors
        return gradient * (3 * x**2 + 0 * y)


class Held(torch.autograd.Function):
    """The same, by attributes: autograd does not see that they are overwritten."""

    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def]
        ctx.x = x
        ctx.y = x**3
        return ctx.y * 1

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        return gradient * (3 * ctx.x**2 + 0 * ctx.y)


class HeldOutput(torch.autograd.Function):
    """Holds what it gives, by an attribute."""

    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def]
        y = x.exp()
        ctx.y = y.view_as(y)
        return y

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        return gradient * ctx.y


@netspec.register
def saved(x: Tensor) -> Tensor:
    return Saved.apply(x)


@netspec.register
def held(x: Tensor) -> Tensor:
    return Held.apply(x)


@netspec.register
def held_output(x: Tensor) -> Tensor:
    return HeldOutput.apply(x)


@netspec.register("mylib/Held")
class HeldModule(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return held(x)


@netspec.register
class Faked(nn.Module):
    """Asked by a fake, which has no backward pass."""

    def forward(self, x: Tensor) -> Tensor:
        return held_output(x)


@netspec.register
def blind(x: Tensor) -> Tensor:
    """Looks at numbers, and holds what it likes: nobody sees anything of it before it runs."""
    return Held.apply(x) if float(x.detach().max()) < 1e9 else x


@netspec.register
def blind_view(x: Tensor) -> Tensor:
    """Looks at numbers, and gives its input's memory."""
    return x.view_as(x) if float(x.detach().max()) < 1e9 else x
