"""What a twin with few channels tells of a module is what torch says of the module itself."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from netspec.ops.execution import on_meta
from netspec.ops.few_channels import CONVOLUTIONS, NORMS, twin_of
from netspec.ops.meta_eval import run_module
from netspec.ops.meta_modules import MetaCall
from netspec.ops.process_state import silence
from netspec.ops.types import Fact, OperatorRejects, TensorType, contiguous
from netspec.ops.values import fact_of

_EXAMPLES = 300


def _convolution(draw: random.Random, cls: Any) -> nn.Module:
    groups = draw.choice([1, 1, 2, 3, 8])
    given: dict[str, Any] = {
        "in_channels": groups * draw.choice([1, 1, 2, 3, 4, 16]),
        "out_channels": groups * draw.choice([1, 2, 5, 7, 32]),
        "kernel_size": draw.choice([1, 2, 3, 7]),
        "stride": draw.choice([1, 2, 3]),
        "padding": draw.choice([0, 1, 2]),
        "dilation": draw.choice([1, 2]),
        "bias": draw.choice([True, False]),
        "groups": groups,
    }
    if "Transpose" not in cls.__name__:
        given["padding_mode"] = draw.choice(["zeros", "reflect", "circular", "replicate"])
        if given["stride"] == 1 and draw.random() < 0.3:
            given["padding"] = "same"
    dtype = draw.choice([torch.float32, torch.float32, torch.bfloat16])
    module: nn.Module = cls(**given, dtype=dtype, device="meta")
    return module


def _inputs(draw: random.Random, module: Any, dimensions: int) -> Iterator[TensorType]:
    channels = module.num_features if isinstance(module, NORMS) else module.in_channels
    dtype = next(module.parameters()).dtype
    for _ in range(4):
        spatial = [draw.choice([1, 1, 2, 3, 8, 9, 33]) for _ in range(dimensions)]
        batch = [draw.choice([1, 2, 7])] if draw.random() < 0.8 else []
        wrong = draw.random() < 0.1
        yield contiguous((*batch, channels + wrong, *spatial), dtype)


def _asked(module: nn.Module, training: bool, fact: Fact) -> Fact:
    try:
        with torch.no_grad(), silence():
            return fact_of(on_meta(MetaCall(module, training), (fact,), {}))
    except (RuntimeError, ValueError, TypeError, NotImplementedError):
        return None


def _told(module: nn.Module, training: bool, fact: Fact) -> Fact:
    try:
        return run_module(module, ("its own", repr(module)), training, (fact,), ())
    except OperatorRejects:
        return None


@pytest.mark.parametrize("cls", CONVOLUTIONS)
def test_a_convolution_gives_what_torch_gives(cls: Any) -> None:
    draw, told_by_twin = random.Random(cls.__name__), 0
    for _ in range(_EXAMPLES):
        module = _convolution(draw, cls)
        for fact in _inputs(draw, module, int(cls.__name__[-2])):
            asked = _asked(module, False, fact)
            twin = twin_of(module)
            call = twin.call((fact,), ()) if twin is not None else None
            if twin is None or call is None:
                continue
            given = _asked(twin.module, False, call[0])
            assert (given is None) == (asked is None)
            told = None if given is None else twin.widened(given, call[1])
            told_by_twin += told is not None
            assert told is None or told == asked
    assert told_by_twin > _EXAMPLES


@pytest.mark.parametrize("cls", NORMS)
@pytest.mark.parametrize("training", [True, False])
def test_a_batch_norm_gives_what_torch_gives(cls: Any, training: bool) -> None:
    draw = random.Random(cls.__name__)
    for width in (1, 2, 3, 4, 9, 2048):
        for affine in (True, False):
            module = cls(width, affine=affine, track_running_stats=not affine, device="meta")
            sizes = int(cls.__name__[-2])
            for shape in ((2, width), (1, width)):
                spatial = [draw.choice([1, 2, 9]) for _ in range(sizes)]
                fact = contiguous((*shape, *spatial), torch.float32)
                assert _told(module, training, fact) == _asked(module, training, fact)


def test_nothing_is_told_of_other_classes_layouts_and_calls() -> None:
    class Own(nn.Conv2d):
        pass

    fact = contiguous((2, 16, 8, 8), torch.float32)
    assert twin_of(Own(16, 32, 3, device="meta")) is None
    assert twin_of(nn.Conv2d(3, 5, 3, device="meta")) is None  # it is its own twin
    twin = twin_of(nn.Conv2d(16, 32, 3, device="meta"))
    assert twin is not None
    assert twin.call((fact,), ()) is not None
    turned = TensorType(fact.shape, (1024, 1, 128, 16), fact.dtype)
    assert twin.call((turned,), ()) is None
    assert twin.call((contiguous((2, 15, 8, 8), torch.float32),), ()) is None
    assert twin.call((contiguous((0, 16, 8, 8), torch.float32),), ()) is None
    assert twin.call((fact, fact), ()) is None
    assert twin.call((3,), ()) is None
    assert twin.widened(contiguous((2**38, 5, 6, 6), torch.float32), 1) is None
