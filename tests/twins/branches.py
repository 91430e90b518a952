"""Networks that branch: residual, inception, dense block, U-Net."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    def __init__(self, width: int = 16, stride: int = 2) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(8, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = None
        if stride != 1 or width != 8:
            self.shortcut = nn.Sequential(
                nn.Conv2d(8, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class BasicConv(nn.Module):
    def __init__(self, in_channels: int, width: int, kernel_size: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, width, kernel_size, padding=kernel_size // 2, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branch1 = BasicConv(16, 8)
        self.branch2 = nn.Sequential(BasicConv(16, 6), BasicConv(6, 12, kernel_size=3))
        self.branch3 = nn.Sequential(BasicConv(16, 2), BasicConv(2, 4, kernel_size=5))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), BasicConv(16, 4))

    def forward(self, x: Tensor) -> Tensor:
        branches = [self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)]
        return torch.cat(branches, 1)


class DenseLayer(nn.Module):
    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        new = self.conv1(F.relu(self.norm1(x)))
        new = self.conv2(F.relu(self.norm2(new)))
        return torch.cat([x, new], 1)


class DenseBlock(nn.Module):
    def __init__(self, depth: int = 3, growth: int = 4) -> None:
        super().__init__()
        self.denseblock = nn.Sequential(
            OrderedDict(
                (f"denselayer{k + 1}", DenseLayer(8 + k * growth, growth)) for k in range(depth)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.denseblock(x)


def double_conv(in_channels: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    )


class UNet(nn.Module):
    def __init__(self, num_classes: int = 2, width: int = 8) -> None:
        super().__init__()
        self.down1 = double_conv(3, width)
        self.down2 = double_conv(width, 2 * width)
        self.bottom = double_conv(2 * width, 4 * width)
        self.up2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, stride=2)
        self.conv2 = double_conv(4 * width, 2 * width)
        self.up1 = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.conv1 = double_conv(2 * width, width)
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        down1 = self.down1(x)
        down2 = self.down2(F.max_pool2d(down1, 2))
        x = self.bottom(F.max_pool2d(down2, 2))
        x = self.conv2(torch.cat([down2, self.up2(x)], 1))
        x = self.conv1(torch.cat([down1, self.up1(x)], 1))
        return self.head(x)
