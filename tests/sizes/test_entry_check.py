"""A model that checks its inputs' sizes at its entry."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import pytest
import torch
from torch import nn

import netspec

TIED = {
    "netspec": 1,
    "inputs": {"x": ["N", "T", 4], "y": {"shape": ["N", "S", 4], "where": ["=S >= 2"]}},
    "layers": {"o": "=x @ y.transpose(1, 2)"},
}


@pytest.fixture(scope="module")
def unet() -> nn.Module:
    return netspec.build("unet", seed=0, checks=True)


def test_what_the_network_does_not_take_is_told_at_its_entry(unet: nn.Module) -> None:
    told = "UNet does not take N = 2, H = 30, W = 32. It is valid for H, W: multiples of 4 (cat1, "
    with pytest.raises(ValueError, match=re.escape(told)):
        unet(torch.ones(2, 3, 30, 32))
    assert unet(torch.ones(2, 3, 32, 36)).shape == (2, 2, 32, 36)


def test_a_constraint_of_training_counts_there_alone(unet: nn.Module) -> None:
    one = torch.ones(1, 3, 4, 4)
    assert unet.eval()(one).shape == (1, 2, 4, 4)
    with pytest.raises(ValueError, match="in training, H >= 8 or W >= 8 or N >= 2"):
        unet.train()(one)


@pytest.mark.parametrize(
    ("shapes", "told"),
    [
        (((2, 5, 4, 1), (2, 3, 4)), r"takes \[N, T, 4\] for `x`"),
        (((2, 5, 3), (2, 3, 4)), r"for `x`, with N = 2, T = 5, and is given \[2, 5, 3\]"),
        (((2, 5, 4), (3, 3, 4)), r"takes \[N, S, 4\] for `y`, with N = 2, T = 5, S = 3"),
        (((2, 5, 4), (2, 1, 4)), r"valid for S: at least 2 \(stated\)"),
    ],
)  # fmt: skip
def test_shapes_are_as_they_are_declared(shapes: Any, told: str) -> None:
    model = netspec.build(TIED, checks=True)
    with pytest.raises(ValueError, match=told):
        model(*map(torch.ones, shapes))
    with pytest.raises(ValueError, match=told):
        model(torch.ones(shapes[0]), y=torch.ones(shapes[1]))


def test_the_model_is_the_one_without_checks() -> None:
    plain, unet = netspec.build("unet", seed=0), netspec.build("unet", seed=0, checks=True)
    assert not plain._forward_pre_hooks
    assert list(plain.state_dict()) == list(unet.state_dict())
    assert type(plain) is type(unet)
    x = torch.randn(2, 3, 16, 20)
    assert torch.equal(plain.eval()(x), unet.eval()(x))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_copies_keep_the_check(unet: nn.Module, copied: Any) -> None:
    with pytest.raises(ValueError, match="multiples of 4"):
        copied(unet)(torch.ones(2, 3, 30, 32))


def test_torch_s_tools_take_the_model_as_without_checks(unet: nn.Module) -> None:
    model = unet.eval()
    x, larger = torch.randn(2, 3, 16, 20), torch.randn(2, 3, 24, 20)
    compiled = torch.compile(model, backend="eager", fullgraph=True, dynamic=True)
    assert torch.equal(compiled(x), model(x))
    assert torch.equal(compiled(larger), model(larger))
    shapes = netspec.dynamic_shapes("unet")
    exported = torch.export.export(model, (x,), dynamic_shapes=shapes).module()
    assert torch.equal(exported(larger), model(larger))
    assert torch.equal(torch.jit.trace(model, (x,))(x), model(x))
    assert torch.equal(torch.fx.symbolic_trace(model)(x), model(x))
