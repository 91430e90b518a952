"""Means and deviations → what normalises a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from netspec.errors import Diagnostic, RunError
from netspec.run.data.validation_errors import override_span

_DIGITS = 6  # of the moments that are computed, so that a file can say them again


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of each channel or feature."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Scale:
    """`values · factor + offset`: from stored numbers to normalised ones, as float32."""

    factor: Tensor
    offset: Tensor

    def __call__(self, values: Tensor) -> Tensor:
        return values.float().mul_(self.factor).add_(self.offset)


def scale_of(moments: Moments, shape: tuple[int, ...], unit: float) -> Scale:
    """The scale for examples of this shape, whose stored numbers are `unit` times the real ones.

    Of two and more dimensions, the first is the channels'; of one, each place is a feature.
    """
    sizes = (-1, *[1] * (len(shape) - 1))
    std = torch.tensor(moments.std, dtype=torch.float64)
    mean = torch.tensor(moments.mean, dtype=torch.float64)
    factor, offset = 1 / (std * unit), -mean / std
    return Scale(factor.float().view(sizes), offset.float().view(sizes))


def moments_for(
    normalize: str | Sequence[float] | Sequence[Sequence[float]] | None,
    values: Tensor | None,
    channels: int,
    unit: float,
) -> Moments | None:
    """What `normalize` asks for: from these stored examples, as it is written, or None.

    Raises RunError: NS605 where what is written does not fit the channels.
    """
    if normalize is None or normalize == "none" or (normalize == "auto" and values is None):
        return None
    if normalize == "auto":
        assert values is not None, "auto without values is None above"
        return moments_of(values, unit)
    assert not isinstance(normalize, str), "pydantic admits two words"
    mean, std = (_each(part, channels) for part in normalize)
    if len(mean) != channels or len(std) != channels or not all(part > 0 for part in std):
        fact = f"`data.normalize` does not fit data with {channels} channels"
        help = f"give {channels} means and {channels} deviations above 0, or one of each for all"
        raise RunError(Diagnostic("NS605", fact, override_span("normalize", normalize), help=help))
    return Moments(mean, std)


def _each(part: float | Sequence[float], channels: int) -> tuple[float, ...]:
    return tuple(part) if isinstance(part, Sequence) else (float(part),) * channels


def moments_of(values: Tensor, unit: float) -> Moments:
    """The moments over all examples [N, C, …]; a deviation of 0 becomes 1."""
    channels = [values[:, channel] for channel in range(values.shape[1])]
    pairs = [_byte_moments(c) if c.dtype == torch.uint8 else _float_moments(c) for c in channels]
    return Moments(
        tuple(round(mean / unit, _DIGITS) for mean, _ in pairs),
        tuple(round(std / unit, _DIGITS) or 1.0 for _, std in pairs),
    )


def _byte_moments(values: Tensor) -> tuple[float, float]:
    """Exact, since it counts: no copy of the data as floats."""
    counts = torch.bincount(values.reshape(-1), minlength=256).double()
    levels = torch.arange(256, dtype=torch.float64)
    mean = (counts @ levels / counts.sum()).item()
    return mean, (counts @ (levels - mean) ** 2 / counts.sum()).sqrt().item()


def _float_moments(values: Tensor) -> tuple[float, float]:
    std, mean = torch.std_mean(values.double(), correction=0)
    return mean.item(), std.item()
