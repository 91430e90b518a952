"""Activations in place never take more memory than modules, nor than torchvision's placement.

Bytes counted as in scripts/bench_memory.py: exact figures, no times.
"""

from __future__ import annotations

from dataclasses import astuple, replace
from functools import cache

import pytest
import torch
from bench_memory import (
    ALEXNET,
    FUNCTIONS,
    LENET,
    MOBILENET,
    RESNET18,
    SUBJECTS,
    Memory,
    Row,
    Subject,
    beside_modules,
    beside_torchvision,
    held_bytes,
    measure_memory,
)
from handwritten import resnet18_in_place
from torch import nn

import netspec
from netspec.pipeline import compile_spec

SMALL = (
    replace(LENET, shape=(2, 1, 28, 28)),
    replace(ALEXNET, shape=(1, 3, 224, 224)),
    replace(RESNET18, shape=(2, 3, 64, 64)),
    replace(MOBILENET, shape=(2, 3, 64, 64)),
)
ids = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
measured = cache(beside_modules)
measured_by_hand = cache(beside_torchvision)


def never_above(row: Row) -> bool:
    return all(a <= b for a, b in zip(astuple(row.inplace), astuple(row.base), strict=True))


@pytest.mark.parametrize("fn", FUNCTIONS)
@ids
def test_in_place_is_never_above_modules(subject: Subject, fn: str) -> None:
    assert never_above(measured(subject, fn))


@pytest.mark.parametrize("fn", [fn for fn in FUNCTIONS if fn != "elu"])
def test_in_place_is_never_above_torchvision(fn: str) -> None:
    assert never_above(measured_by_hand(RESNET18, fn))


def test_elu_is_left_alone_for_the_bits_of_its_gradient() -> None:
    """So it holds more than with torchvision's placement, which has those other bits."""
    row = measured_by_hand(RESNET18, "elu")
    assert row.in_place == 0 and not never_above(row)
    compiled = compile_spec(RESNET18.spec, act={"form": "inplace", "fn": "elu"})
    reasons = {d.obstacle.text for d in compiled.decisions if d.obstacle is not None}
    assert reasons == {"in place the last bits are others, of its gradient or of what follows"}


@ids
def test_relu_holds_the_same_and_leaky_relu_a_third_less(subject: Subject) -> None:
    relu, leaky = measured(subject, "relu"), measured(subject, "leaky_relu")
    assert relu.inplace.held == relu.base.held == leaky.inplace.held
    assert relu.inplace.peak == relu.base.peak == leaky.inplace.peak
    assert 0.6 < leaky.inplace.held / leaky.base.held < 0.75


@pytest.mark.parametrize("fn", ["relu6", "silu"])
@ids
def test_what_torch_copies_saves_nothing_in_training(subject: Subject, fn: str) -> None:
    row = measured(subject, fn)
    assert row.copied == row.in_place > 0
    assert row.inplace.held == row.base.held


@pytest.mark.parametrize("subject", [LENET, ALEXNET], ids=["LeNet", "AlexNet"])
def test_without_gradients_relu_takes_less_after_a_convolution(subject: Subject) -> None:
    row = measured(subject, "relu")
    assert row.inplace.evaluation < row.base.evaluation


@pytest.mark.parametrize("form", ["module", "inplace"])
@pytest.mark.parametrize(
    ("subject", "fn"),
    [*((subject, "leaky_relu") for subject in SMALL), (SMALL[0], "relu"), (SMALL[0], "silu")],
)
def test_the_cpu_has_the_same_figures_as_meta(subject: Subject, fn: str, form: str) -> None:
    cpu, meta = on("cpu", subject, fn, form), on("meta", subject, fn, form)
    assert (cpu.held, cpu.peak) == (meta.held, meta.peak)
    # On `meta`, batch norm in eval mode gives the mean and deviation of each channel as well.
    assert cpu.evaluation <= meta.evaluation <= 1.01 * cpu.evaluation


@pytest.mark.parametrize("fn", FUNCTIONS)
@pytest.mark.parametrize(
    "subject", [s for s in SMALL if s.name != ALEXNET.name], ids=["L", "R", "M"]
)
def test_in_place_is_never_above_modules_on_the_cpu(subject: Subject, fn: str) -> None:
    pair = [astuple(on("cpu", subject, fn, form)) for form in ("inplace", "module")]
    assert all(a <= b for a, b in zip(*pair, strict=True))


def on(device: str, subject: Subject, fn: str, form: str) -> Memory:
    model = netspec.build(subject.spec, act={"form": form, "fn": fn}, device=device)
    return measure_memory(model, torch.zeros(subject.shape, device=device))


# The count itself


def test_the_count_of_a_small_model() -> None:
    """Linear keeps its input, and sigmoid its result: 2 · 3 floats and 2 · 5."""
    model = nn.Sequential(nn.Linear(3, 5), nn.Sigmoid())
    x = torch.zeros(2, 3)
    assert held_bytes(model, x) == 4 * (2 * 3 + 2 * 5)
    # the input, Linear's result, Sigmoid's
    assert measure_memory(model, x).evaluation == 4 * (2 * 3 + 2 * 5 + 2 * 5)
    in_place = nn.Sequential(nn.Linear(3, 5), nn.ReLU(inplace=True))
    assert measure_memory(in_place, x).evaluation == 4 * (2 * 3 + 2 * 5)


def test_the_placement_by_hand_computes_resnet18() -> None:
    by_hand = resnet18_in_place().eval()
    built = netspec.build(RESNET18.spec).eval()
    built.load_state_dict(by_hand.state_dict())
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(by_hand(x), built(x))
