"""Optimizers and schedules: what they take, and what is told of what they don't."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from netspec.errors import RunError
from netspec.run.optim import Length, make_optimizer, make_schedule

LENGTH = Length(100, 10)


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))


def codes(error: pytest.ExceptionInfo[RunError]) -> list[str]:
    return [diagnostic.code for diagnostic in error.value.diagnostics]


GOOD: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"optim": "SGD", "lr": 0.5}, {"lr": 0.5, "momentum": 0}),
    ({"optim": "SGD", "lr": 1}, {"lr": 1}),
    ({"optim": "Adam"}, {"lr": 0.001}),
    ({"optim": "Adam", "amsgrad": True, "betas": [0.8, 0.9]}, {"amsgrad": True}),
    ({"optim": "AdamW", "lr": 1e-4, "weight_decay": 0.1}, {"weight_decay": 0.1}),
    ({"optim": "RMSprop", "alpha": 0.9}, {"alpha": 0.9}),
    ({"optim": "Adagrad", "lr_decay": 0.1}, {"lr_decay": 0.1}),
    ({"optim": "NAdam"}, {"lr": 0.002}),
    ({"optim": "Rprop", "etas": [0.4, 1.1]}, {"lr": 0.01}),
]


@pytest.mark.parametrize(("node", "expected"), GOOD)
def test_good_optimizers_step(node: dict[str, Any], expected: dict[str, Any]) -> None:
    network = model()
    optimizer = make_optimizer(node, network, [])
    assert type(optimizer).__name__ == node["optim"]
    (group,) = optimizer.param_groups
    assert {key: group[key] for key in expected} == expected
    before = [p.detach().clone() for p in network.parameters()]
    network(torch.randn(4, 2)).square().sum().backward()
    optimizer.step()
    assert any(not torch.equal(p, old) for p, old in zip(network.parameters(), before, strict=True))


BAD: list[tuple[dict[str, Any], list[str], str]] = [
    ({}, ["NS702"], "no `optim`"),
    ({"optim": "Adamw"}, ["NS206"], "AdamW"),
    ({"optim": "nn.Linear"}, ["NS206"], "no optimizer"),
    ({"optim": "Optimizer"}, ["NS206"], "no optimizer"),
    ({"optim": "LBFGS"}, ["NS702"], "can't train here"),
    ({"optim": "Adam", "learning_rate": 1}, ["NS203"], "learning_rate"),
    ({"optim": "Adam", "lr": "fast"}, ["NS205"], "`fast`"),
    ({"optim": "Adam", "amsgrad": "perhaps"}, ["NS205"], "amsgrad"),
    ({"optim": "Adam", "params": []}, ["NS203"], "params"),
    ({"optim": "Adam", "lr": -1}, ["NS702"], "invalid learning rate"),
    ({"optim": "SGD", "lr": 0.1, "nesterov": True}, ["NS702"], "esterov"),
    ({"optim": "Adam", "lr": "x", "beta": 1}, ["NS203", "NS205"], "beta"),
    ({"optim": "Adam", "groups": ["*.bias"]}, ["NS702"], "mapping"),
    ({"optim": "Adam", "groups": {"*.bias": 0}}, ["NS702"], "mapping of arguments"),
    ({"optim": "Adam", "groups": {"9.*": {"lr": 1}}}, ["NS702"], "9.*"),
    ({"optim": "Adam", "groups": {"*": {"lr": 1}, "0.*": {"lr": 2}}}, ["NS702"], "that is left"),
    ({"optim": "Adam", "groups": {"*.bias": {"lrr": 1}}}, ["NS203"], "lrr"),
    ({"optim": "Adam", "groups": {"*.bias": {"lr": "x"}}}, ["NS205"], "lr"),
]


@pytest.mark.parametrize(("node", "expected", "words"), BAD)
def test_bad_optimizers(node: dict[str, Any], expected: list[str], words: str) -> None:
    with pytest.raises(RunError) as error:
        make_optimizer(node, model(), [])
    assert codes(error) == expected
    assert words in str(error.value)


def test_errors_name_the_override() -> None:
    with pytest.raises(RunError, match=r"from the override optimizer\.lr=fast"):
        make_optimizer({"optim": "Adam", "lr": "fast"}, model(), ["optimizer.lr=fast"])


def test_groups_by_pattern() -> None:
    network = model()
    network[2].requires_grad_(False)
    groups = {"*.bias": {"weight_decay": 0}, "1.*": {"lr": 0.5}}
    node = {"optim": "AdamW", "lr": 0.1, "weight_decay": 0.2, "groups": groups}
    optimizer = make_optimizer(node, network, [])
    names = {id(p): name for name, p in network.named_parameters()}
    found = [
        ([names[id(p)] for p in group["params"]], group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
    ]
    assert found == [
        (["0.bias", "1.bias"], 0.1, 0),
        (["1.weight"], 0.5, 0.2),
        (["0.weight"], 0.1, 0.2),
    ]


def test_nothing_to_train() -> None:
    with pytest.raises(RunError, match="no parameter of the model is trained"):
        make_optimizer({"optim": "Adam"}, model().requires_grad_(False), [])


def rates(node: dict[str, Any], count: int, mode: str = "min") -> list[float]:
    """The learning rate before each of the first steps of a schedule; what it watches is 1."""
    optimizer = make_optimizer({"optim": "SGD", "lr": 1.0}, model(), [])
    schedule = make_schedule(node, optimizer, LENGTH, mode, [])
    assert schedule is not None
    found = []
    for _ in range(count):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if isinstance(schedule.scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            schedule.scheduler.step(1.0)
        else:
            schedule.scheduler.step()
    return found


def test_schedules() -> None:
    step = {"schedule": "StepLR", "step_size": "=epochs // 5", "gamma": 0.5}
    assert rates(step, 5) == [1, 1, 0.5, 0.5, 0.25]
    cosine = {"schedule": "CosineAnnealingLR", "T_max": "=steps", "interval": "step"}
    assert rates(cosine, 101)[50] == pytest.approx(0.5)
    assert rates(cosine, 101)[100] == pytest.approx(0)
    warm = {**cosine, "T_max": "=steps - warmup", "warmup": 4}
    assert rates(warm, 5) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates(warm, 101)[100] == pytest.approx(0, abs=1e-9)
    plateau = {"schedule": "ReduceLROnPlateau", "factor": 0.5, "patience": 1}
    assert rates(plateau, 4) == [1, 1, 1, 0.5]
    many = {"schedule": "MultiStepLR", "milestones": [1, 2], "gamma": 0.1}
    assert rates(many, 3) == pytest.approx([1, 0.1, 0.01])


def test_no_schedule() -> None:
    optimizer = make_optimizer({"optim": "Adam"}, model(), [])
    assert make_schedule({}, optimizer, LENGTH, "min", []) is None


BAD_SCHEDULES: list[tuple[dict[str, Any], str, str]] = [
    ({"step_size": 1}, "NS702", "no `schedule`"),
    ({"schedule": "StepLr", "step_size": 1}, "NS206", "StepLR"),
    ({"schedule": "LambdaLR"}, "NS206", "LambdaLR"),
    ({"schedule": "StepLR"}, "NS204", "step_size"),
    ({"schedule": "StepLR", "step_size": "many"}, "NS205", "many"),
    ({"schedule": "StepLR", "step_size": 1, "gama": 1}, "NS203", "gamma"),
    ({"schedule": "StepLR", "step_size": 1, "optimizer": 1}, "NS203", "optimizer"),
    ({"schedule": "StepLR", "step_size": 1, "interval": "batch"}, "NS702", "batch"),
    ({"schedule": "StepLR", "step_size": 1, "warmup": 3}, "NS702", "each step"),
    ({"schedule": "StepLR", "step_size": 1, "interval": "step", "warmup": 100}, "NS702", "100"),
    ({"schedule": "StepLR", "step_size": 1, "interval": "step", "warmup": -1}, "NS702", "-1"),
    ({"schedule": "CosineAnnealingLR", "T_max": "=stepz"}, "NS207", "stepz"),
    ({"schedule": "CosineAnnealingLR", "T_max": "=1 // 0"}, "NS304", "zero"),
    ({"schedule": "OneCycleLR", "max_lr": 1}, "NS702", "total_steps"),
]


@pytest.mark.parametrize(("node", "code", "words"), BAD_SCHEDULES)
def test_bad_schedules(node: dict[str, Any], code: str, words: str) -> None:
    optimizer = make_optimizer({"optim": "SGD", "lr": 1.0}, model(), [])
    with pytest.raises(RunError) as error:
        make_schedule(node, optimizer, LENGTH, "min", [])
    assert codes(error) == [code]
    assert words in str(error.value)
