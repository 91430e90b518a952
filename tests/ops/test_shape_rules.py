"""What is told without torch is what torch says, on `meta`; and what it may refuse is not told."""

from __future__ import annotations

from collections.abc import Callable
from operator import add, mul, sub, truediv

import pytest
import torch
from torch import nn

from netspec.ops.execution import on_meta
from netspec.ops.meta_modules import MetaCall
from netspec.ops.shape_rules import of_arithmetic, of_linear
from netspec.ops.types import Fact, TensorType, contiguous
from netspec.ops.values import fact_of


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(4,), (1, 4), (2, 4), (1, 1, 4), (2, 1, 4), (2, 3, 5, 4)])
@pytest.mark.parametrize("width", [1, 4, 7])
def test_a_linear_layer_gives_what_torch_gives(
    dtype: torch.dtype, bias: bool, shape: tuple[int, ...], width: int
) -> None:
    module = nn.Linear(4, width, bias, dtype=dtype, device="meta")
    fact = contiguous(shape, dtype)
    told = of_linear(module, (fact,), ())
    assert told is not None
    assert told == fact_of(on_meta(MetaCall(module, False), (fact,), {}))


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 1), (2, 3, 1, 4), (0, 2)])
@pytest.mark.parametrize("operator", [add, sub, mul, truediv])
def test_arithmetic_of_what_is_alike_gives_what_torch_gives(
    operator: Callable[..., object], shape: tuple[int, ...]
) -> None:
    fact = contiguous(shape, torch.float32)
    for args in ((fact, fact), (fact, 2), (0.5, fact), (fact, True)):
        assert of_arithmetic(args) == fact == fact_of(on_meta(operator, args, {}))
    turned = TensorType((2, 3), (1, 2), torch.float32)
    for other in (contiguous((7, *shape), torch.float32), turned):
        assert of_arithmetic((fact, other)) is None
    assert of_arithmetic((turned, 2)) is of_arithmetic((1, 2)) is None


@pytest.mark.parametrize(
    "fact",
    [
        3,
        None,
        contiguous((2, 5), torch.float32),
        contiguous((), torch.float32),
        contiguous((0, 4), torch.float32),
        contiguous((2, 4), torch.float64),
        contiguous((2, 4), torch.int64),
        TensorType((4, 4), (1, 4), torch.float32),
    ],
)
def test_nothing_is_told_of_what_may_be_refused_or_laid_out_otherwise(fact: Fact) -> None:
    assert of_linear(nn.Linear(4, 3, device="meta"), (fact,), ()) is None


def test_nothing_is_told_of_other_classes_and_calls() -> None:
    class Own(nn.Linear):
        pass

    fact = contiguous((2, 4), torch.float32)
    assert of_linear(Own(4, 3, device="meta"), (fact,), ()) is None
    assert of_linear(nn.Identity(), (fact,), ()) is None
    assert of_linear(nn.Linear(4, 3, device="meta"), (fact, fact), ()) is None
    assert of_linear(nn.Linear(4, 3, device="meta"), (fact,), (("a", fact),)) is None
