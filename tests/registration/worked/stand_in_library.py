"""A library of backbones, as netspec finds it: it knows nothing of netspec."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class FeatureNet(nn.Module):
    """Maps of half, a quarter and an eighth of an image's size."""

    def __init__(self, in_chans: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        stages = []
        for width in widths:
            stages.append(
                nn.Sequential(
                    nn.Conv2d(in_chans, width, 3, stride=2, padding=1, bias=False),
                    nn.BatchNorm2d(width),
                    nn.ReLU(inplace=True),
                )
            )
            in_chans = width
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


_WIDTHS = {"tiny": (4, 8, 8), "small": (8, 16, 32)}


def create_model(name: str, features_only: bool = False, **options: Any) -> nn.Module:
    """The library's own way to make one: by a name, with options of any kind."""
    assert features_only, "there is nothing else in it"
    return FeatureNet(options.pop("in_chans", 3), _WIDTHS[name])
