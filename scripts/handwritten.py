"""The models of the benchmarks as one writes them by hand, each in both forms of its activations.

Keys are those of the specs of the same names, so that both hold the same weights.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.act1 = nn.ReLU()
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.act2 = nn.ReLU()
        self.fc1 = nn.Linear(256, 120)
        self.act3 = nn.ReLU()
        self.fc2 = nn.Linear(120, 84)
        self.act4 = nn.ReLU()
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        x = self.act1(x)
        x = F.max_pool2d(x, 2)
        x = self.conv2(x)
        x = self.act2(x)
        x = F.max_pool2d(x, 2)
        x = torch.flatten(x, start_dim=1)
        x = self.fc1(x)
        x = self.act3(x)
        x = self.fc2(x)
        x = self.act4(x)
        x = self.fc3(x)
        return x


class LeNetFunctional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(256, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        x = F.relu(x)
        x = F.max_pool2d(x, 2)
        x = self.conv2(x)
        x = F.relu(x)
        x = F.max_pool2d(x, 2)
        x = torch.flatten(x, start_dim=1)
        x = self.fc1(x)
        x = F.relu(x)
        x = self.fc2(x)
        x = F.relu(x)
        x = self.fc3(x)
        return x


class LeNetNested(LeNetFunctional):
    """The same in as few statements as can be."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc2(F.relu(self.fc1(torch.flatten(x, start_dim=1)))))
        return self.fc3(x)


def downsample(in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
    """The shortcut of a block whose input and output differ in shape, else None."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False),
        nn.BatchNorm2d(out_channels),
    )


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, in_channels: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample(in_channels, planes, stride)
        self.out = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(x)
        out = self.bn1(out)
        out = self.relu(out)
        out = self.conv2(out)
        out = self.bn2(out)
        if self.downsample is not None:
            x = self.downsample(x)
        out = out + x
        out = self.out(out)
        return out


class BasicBlockFunctional(nn.Module):
    expansion = 1

    def __init__(self, in_channels: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample(in_channels, planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(x)
        out = self.bn1(out)
        out = F.relu(out)
        out = self.conv2(out)
        out = self.bn2(out)
        if self.downsample is not None:
            x = self.downsample(x)
        out = out + x
        out = F.relu(out)
        return out


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, in_channels: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.downsample = downsample(in_channels, 4 * planes, stride)
        self.out = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(x)
        out = self.bn1(out)
        out = self.relu1(out)
        out = self.conv2(out)
        out = self.bn2(out)
        out = self.relu2(out)
        out = self.conv3(out)
        out = self.bn3(out)
        if self.downsample is not None:
            x = self.downsample(x)
        out = out + x
        out = self.out(out)
        return out


AnyBlock = type[BasicBlock] | type[BasicBlockFunctional] | type[Bottleneck]


class ResNet(nn.Module):
    def __init__(self, block: AnyBlock, depths: Sequence[int], num_classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.in_channels = 64
        self.layer1 = self.make_layer(block, depths[0], 64, stride=1)
        self.layer2 = self.make_layer(block, depths[1], 128, stride=2)
        self.layer3 = self.make_layer(block, depths[2], 256, stride=2)
        self.layer4 = self.make_layer(block, depths[3], 512, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def make_layer(self, block: AnyBlock, depth: int, planes: int, stride: int) -> nn.Module:
        blocks = []
        for i in range(depth):
            blocks.append(block(self.in_channels, planes, stride if i == 0 else 1))
            self.in_channels = planes * block.expansion
        return nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        x = self.bn1(x)
        x = self.relu(x)
        x = self.maxpool(x)
        x = self.layer1(x)
        x = self.layer2(x)
        x = self.layer3(x)
        x = self.layer4(x)
        x = self.avgpool(x)
        x = torch.flatten(x, start_dim=1)
        x = self.fc(x)
        return x


class ResNetFunctional(ResNet):
    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        x = self.bn1(x)
        x = F.relu(x)
        x = self.maxpool(x)
        x = self.layer1(x)
        x = self.layer2(x)
        x = self.layer3(x)
        x = self.layer4(x)
        x = self.avgpool(x)
        x = torch.flatten(x, start_dim=1)
        x = self.fc(x)
        return x


def resnet18() -> nn.Module:
    return ResNet(BasicBlock, (2, 2, 2, 2))


def resnet18_functional() -> nn.Module:
    return ResNetFunctional(BasicBlockFunctional, (2, 2, 2, 2))


class BasicBlockInPlace(BasicBlock):
    """As in torchvision: one activation for both places, in place like the sum."""

    def __init__(self, in_channels: int, planes: int, stride: int = 1) -> None:
        super().__init__(in_channels, planes, stride)
        self.relu = nn.ReLU(inplace=True)
        del self.out

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(x)
        out = self.bn1(out)
        out = self.relu(out)
        out = self.conv2(out)
        out = self.bn2(out)
        if self.downsample is not None:
            x = self.downsample(x)
        out += x
        out = self.relu(out)
        return out


def resnet18_in_place(activation: Callable[..., nn.Module] = nn.ReLU) -> nn.Module:
    """torchvision's, with another activation where one is given."""
    model = ResNet(BasicBlockInPlace, (2, 2, 2, 2))
    for module in model.modules():
        if isinstance(module, (ResNet, BasicBlockInPlace)):
            module.relu = activation(inplace=True)
    return model


def resnet50() -> nn.Module:
    return ResNet(Bottleneck, (3, 4, 6, 3))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.qkv(x)
        x = x.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = F.scaled_dot_product_attention(
            x[0], x[1], x[2], dropout_p=self.dropout if self.training else 0.0, is_causal=True
        )
        x = x.transpose(1, 2).flatten(2)
        x = self.proj(x)
        x = self.drop(x)
        return x


class Mlp(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.fc = nn.Linear(width, 4 * width)
        self.proj = nn.Linear(4 * width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc(x)
        x = F.gelu(x)
        x = self.proj(x)
        x = self.drop(x)
        return x


def mlp(width: int, dropout: float) -> nn.Module:
    return nn.Sequential(
        OrderedDict(
            fc=nn.Linear(width, 4 * width),
            act=nn.GELU(),
            proj=nn.Linear(4 * width, width),
            drop=nn.Dropout(dropout),
        )
    )


class Block(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float, functional: bool) -> None:
        super().__init__()
        self.ln1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads, dropout)
        self.ln2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, dropout) if functional else mlp(width, dropout)

    def forward(self, x: Tensor) -> Tensor:
        out = self.ln1(x)
        out = self.attn(out)
        x = x + out
        out = self.ln2(x)
        out = self.mlp(out)
        x = x + out
        return x


class GPT(nn.Module):
    def __init__(
        self,
        functional: bool,
        vocab: int = 65,
        context: int = 64,
        width: int = 32,
        depth: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.wte = nn.Embedding(vocab, width)
        self.wpe = nn.Embedding(context, width)
        self.drop = nn.Dropout(dropout)
        self.h = nn.Sequential(*[Block(width, heads, dropout, functional) for _ in range(depth)])
        self.ln_f = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocab, bias=False)
        self.head.weight = self.wte.weight
        for module in self.modules():
            if isinstance(module, (nn.Embedding, nn.Linear)):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.wte(tokens)
        positions = self.wpe(torch.arange(tokens.shape[1], device=tokens.device))
        x = x + positions
        x = self.drop(x)
        x = self.h(x)
        x = self.ln_f(x)
        x = self.head(x)
        return x


def chain(widths: Sequence[int]) -> nn.Module:
    """Conv2d + ReLU for each width, after eight channels: a chain of modules."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    before = 8
    for index, width in enumerate(widths):
        layers[f"conv{index}"] = nn.Conv2d(before, width, 3, padding=1)
        layers[f"act{index}"] = nn.ReLU()
        before = width
    return nn.Sequential(layers)


class ChainFunctional(nn.Module):
    """The same with functional activations: only the convolutions are made."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        before = 8
        for index, width in enumerate(widths):
            setattr(self, f"conv{index}", nn.Conv2d(before, width, 3, padding=1))
            before = width

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.children():
            x = F.relu(conv(x))
        return x
