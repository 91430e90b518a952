"""More than one input or output: two heads, an auxiliary head, two inputs, a siamese pair."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TwoHeads(nn.Module):
    def __init__(self, num_classes: int = 10, bins: int = 16) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 64), nn.ReLU())
        self.digit = nn.Linear(64, num_classes)
        self.slant_bins = nn.Linear(64, bins)
        self.register_buffer("degrees", 6.0 * torch.arange(bins) - 45.0, persistent=False)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.trunk(x)
        digit = self.digit(x)
        slant = self.slant_bins(x).softmax(-1) @ self.degrees
        return {"digit": digit, "slant": slant}


def stage(in_channels: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    )


class AuxiliaryNet(nn.Module):
    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.stage1 = stage(3, 8)
        self.aux = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes))
        self.stage2 = stage(8, 16)
        self.fc = nn.Linear(16, num_classes)

    def forward(self, x: Tensor) -> Tensor | dict[str, Tensor]:
        x = self.stage1(x)
        aux = self.aux(x) if self.training else None
        x = F.adaptive_avg_pool2d(self.stage2(x), 1)
        x = F.dropout(torch.flatten(x, 1), 0.2, training=self.training)
        logits = self.fc(x)
        return logits if aux is None else {"logits": logits, "aux": aux}


class TwoInputs(nn.Module):
    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.image_net = nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(1, 4, 3, stride=2),
                act=nn.ReLU(),
                pool=nn.AdaptiveMaxPool2d(2),
                flat=nn.Flatten(),
            )
        )
        self.row_net = nn.Sequential(OrderedDict(fc=nn.Linear(5, 8), act=nn.Tanh()))
        self.head = nn.Linear(4 * 2 * 2 + 8, num_classes)

    def forward(self, image: Tensor, row: Tensor) -> Tensor:
        return self.head(torch.cat([self.image_net(image), self.row_net(row)], 1))


class Siamese(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 4, 3, stride=2),
            nn.PReLU(init=0.1),
            nn.Flatten(),
            nn.Linear(4 * 13 * 13, 16),
        )

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return F.pairwise_distance(self.encoder(a), self.encoder(b))
