"""A generated `forward` runs the very operations of one written by hand in the same style."""

from __future__ import annotations

import dis
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import netspec

SPECS = Path(__file__).parents[1] / "configs" / "model"

# Written by hand, one statement a layer, with `x` bound anew.


def lenet_module(self, x):
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


def lenet_functional(self, x):
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


def basic_block_module(self, x):
    out = self.conv1(x)
    out = self.bn1(out)
    out = self.relu(out)
    out = self.conv2(out)
    out = self.bn2(out)
    out = out + x
    out = self.out(out)
    return out


def basic_block_functional(self, x):
    out = self.conv1(x)
    out = self.bn1(out)
    out = F.relu(out)
    out = self.conv2(out)
    out = self.bn2(out)
    out = out + x
    out = F.relu(out)
    return out


def basic_block_with_downsample(self, x):
    out = self.conv1(x)
    out = self.bn1(out)
    out = F.relu(out)
    out = self.conv2(out)
    out = self.bn2(out)
    out = out + self.downsample(x)
    out = F.relu(out)
    return out


def gpt_attention(self, x):
    x = self.qkv(x)
    x = x.unflatten(-1, (3, 4, -1)).permute(2, 0, 3, 1, 4)
    x = F.scaled_dot_product_attention(
        x[0], x[1], x[2], dropout_p=0.1 if self.training else 0.0, is_causal=True
    )
    x = x.transpose(1, 2).flatten(2)
    x = self.proj(x)
    x = self.drop(x)
    return x


def gpt_block(self, x):
    x = x + self.attn(self.ln1(x))
    x = x + self.mlp(self.ln2(x))
    return x


def operations(function: Callable[..., object]) -> list[tuple[str, object]]:
    """Instruction by instruction, with what it names: attributes, globals, variables, constants."""
    return [(step.opname, step.argrepr) for step in dis.get_instructions(function)]


@pytest.mark.parametrize(
    ("spec", "form", "part", "by_hand"),
    [
        ("lenet", "module", "", lenet_module),
        ("lenet", "functional", "", lenet_functional),
        ("resnet18", "module", "layer1.0", basic_block_module),
        ("resnet18", "functional", "layer1.0", basic_block_functional),
        ("resnet18", "functional", "layer2.0", basic_block_with_downsample),
        ("gpt", "module", "h.0.attn", gpt_attention),
        ("gpt", "functional", "h.0.attn", gpt_attention),
        ("gpt", "module", "h.0", gpt_block),
        ("gpt", "functional", "h.0", gpt_block),
    ],
)
def test_same_operations(spec: str, form: str, part: str, by_hand: Callable[..., object]) -> None:
    model = netspec.build(SPECS / f"{spec}.yaml", act=form, device="meta")
    forward = type(model.get_submodule(part)).forward
    assert operations(forward) == operations(by_hand)


def test_other_operations_are_noticed() -> None:
    model = netspec.build(SPECS / "lenet.yaml", device="meta")
    assert operations(type(model).forward) != operations(lenet_functional)


@pytest.mark.parametrize("form", ["module", "functional"])
def test_nothing_stands_around_a_built_model(form: str) -> None:
    """No wrapper, no hooks, no `__call__` of its own, no attributes but those of a Module."""
    model = netspec.build(SPECS / "resnet18.yaml", act=form, device="meta")
    plain = set(vars(nn.Module()))
    for module in model.modules():
        cls = type(module)
        if cls.__module__.startswith("torch."):
            continue
        assert cls.__bases__ == (nn.Module,)
        methods = {name for name, value in vars(cls).items() if callable(value)}
        assert methods == {"__init__", "forward"}
        assert set(vars(module)) == plain
        assert not module._forward_hooks and not module._forward_pre_hooks
