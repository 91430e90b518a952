"""Aliases, saved tensors and FLOPs, as torch tells them; and the same on real tensors."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from netspec.ops.catalog import find_function
from netspec.ops.effects import Effects, effects_of_function, effects_of_module
from netspec.ops.types import OperatorRejects, contiguous

X = contiguous((2, 8, 6, 6), torch.float32)
BYTES = 4 * 2 * 8 * 6 * 6


def effects(name: str, *args: object, **kwargs: object) -> Effects:
    operator = find_function(name)
    assert operator is not None
    return effects_of_function(operator, args, tuple(kwargs.items()))


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "exp"])
def test_these_save_their_output(name: str) -> None:
    assert effects(name, X) == Effects(frozenset(), frozenset(), frozenset({0}), BYTES, 0)


@pytest.mark.parametrize("name", ["silu", "gelu", "leaky_relu", "elu"])
def test_these_save_their_input(name: str) -> None:
    found = effects(name, X)
    assert (found.saved_inputs, found.saved_outputs) == ({0}, set())


def test_views_share_their_input_and_save_nothing() -> None:
    assert effects("flatten", X, start_dim=1).aliases == {(0, 0)}
    assert effects("flatten", X, start_dim=1).saved_bytes == 0
    assert effects("chunk", X, 2, dim=1).aliases == {(0, 0), (1, 0)}


def test_a_sum_saves_nothing_a_product_both() -> None:
    assert effects("add", X, X) == Effects(frozenset(), frozenset(), frozenset(), 0, 0)
    assert effects("mul", X, X).saved_inputs == {0, 1}


def test_a_reshape_of_a_transposed_tensor_copies() -> None:
    transposed = type(X)(X.shape[::-1], X.stride[::-1], X.dtype)
    assert effects("reshape", transposed, (-1,)).aliases == set()
    assert effects("reshape", X, (-1,)).aliases == {(0, 0)}


def test_a_convolution_saves_its_input_and_counts_its_multiply_adds() -> None:
    conv = nn.Conv2d(8, 16, 3, bias=False, device="meta")
    found = effects_of_module(conv, "conv", (X,))
    assert found.saved_inputs == {0}
    assert found.saved_bytes == BYTES  # the weight is saved too, and is a parameter
    assert found.flops == 2 * (2 * 16 * 4 * 4) * (8 * 3 * 3)


def test_dropout_saves_its_mask_in_train_mode_only() -> None:
    dropout = nn.Dropout(0.5)
    assert effects_of_module(dropout, "dropout", (X,), training=True).saved_bytes > 0
    assert effects_of_module(dropout, "dropout", (X,), training=False).saved_bytes == 0


def test_what_torch_refuses_is_refused() -> None:
    with pytest.raises(OperatorRejects, match="reduction dim"):
        effects("matmul", X, contiguous((5, 5), torch.float32))


@pytest.mark.parametrize("name", ["relu", "sigmoid", "silu", "gelu", "softplus", "flatten", "cos"])
def test_on_meta_as_at_run_time(name: str) -> None:
    """The same storages are saved by the real operator on the CPU."""
    operator = find_function(name)
    assert operator is not None
    x = torch.randn(X.shape).requires_grad_() * 1
    saved: set[int] = set()

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        saved.add(tensor.untyped_storage()._cdata)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = operator.target(x)
    found = effects(name, X)
    assert (x.untyped_storage()._cdata in saved) == (0 in found.saved_inputs)
    fresh = y.untyped_storage()._cdata != x.untyped_storage()._cdata
    assert (fresh and y.untyped_storage()._cdata in saved) == (0 in found.saved_outputs)
