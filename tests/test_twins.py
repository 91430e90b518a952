"""Every spec of `configs/model` builds the model that is written by hand beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import netspec
from tests.compare import compare
from tests.twins.registry import TWINS, Twin

SPECS = Path(__file__).parents[1] / "configs" / "model"
SEED = 3


def case(twin: Twin, *more: str) -> object:
    marks = [pytest.mark.slow] if twin.slow else []
    return pytest.param(twin, *more, id="-".join([str(twin), *more]), marks=marks)


def hand_written(twin: Twin) -> torch.nn.Module:
    torch.manual_seed(SEED)
    return twin.make()


@pytest.mark.parametrize(("twin", "form"), [case(t, form) for t in TWINS for form in t.forms])
def test_built_model_equals_the_hand_written_one(twin: Twin, form: str) -> None:
    path = SPECS / f"{twin.spec}.yaml"
    model = netspec.build(path, act=form, args=dict(twin.args), seed=SEED)
    assert compare(model, hand_written(twin), twin.inputs(3)) == []


@pytest.mark.parametrize("twin", [case(t) for t in TWINS])
def test_one_changed_argument_is_noticed(twin: Twin) -> None:
    path = SPECS / f"{twin.spec}.yaml"
    model = netspec.build(path, args=dict(twin.args), overrides=dict(twin.wrong), seed=SEED)
    assert compare(model, hand_written(twin), twin.inputs(3)) != []


def test_every_spec_has_a_twin() -> None:
    assert {path.stem for path in SPECS.glob("*.yaml")} == {twin.spec for twin in TWINS}
