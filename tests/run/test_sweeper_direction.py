"""A sweeper that searches looks for what is better, or the sweep does not start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from netspec.errors import RunError
from netspec.run.command import compose, config_folders
from netspec.run.metrics import Monitor
from netspec.run.settings import read_settings
from netspec.run.sweeper_direction import Direction, check_direction, direction_of, with_direction
from netspec.run.train_command import _best
from netspec.run.training import train
from tests.run.running import TINY, ended, metrics, small, started

OPTUNA: dict[str, Any] = {"direction": "minimize"}
NEVERGRAD: dict[str, Any] = {"optim": {"maximize": False}}
AX: dict[str, Any] = {"ax_config": {"experiment": {"minimize": True}}}


def composed(sweeper: dict[str, Any], *overrides: str) -> DictConfig:
    """What the overrides compose to, with a sweeper that has these settings."""
    with config_folders("train") as (folder, _):
        config = compose(folder, "train", ["hydra/sweeper=basic", *overrides])
    OmegaConf.set_struct(config, False)
    config.hydra.sweeper = {"_target_": "another.Sweeper", **sweeper}
    return config


def added(sweeper: dict[str, Any], *overrides: str) -> list[str]:
    found = with_direction(overrides, composed(sweeper, *overrides))
    assert found[: len(overrides)] == list(overrides)
    return found[len(overrides) :]


MAXIMISED = {
    "optuna": (OPTUNA, ["hydra.sweeper.direction=maximize"]),
    "nevergrad": (NEVERGRAD, ["hydra.sweeper.optim.maximize=true"]),
    "ax": (AX, ["hydra.sweeper.ax_config.experiment.minimize=false"]),
    "one that searches nothing": ({}, []),
}


@pytest.mark.parametrize("name", MAXIMISED)
def test_a_sweeper_that_minimises_is_told_to_maximise_an_accuracy(name: str) -> None:
    sweeper, expected = MAXIMISED[name]
    assert added(sweeper, "data.limit=80") == expected


FIGURES = {
    "the task's first metric": ((), "maximize"),
    "no validation data": (("data.validation=0",), "maximize"),
    "loss": (("monitor=val_loss",), "minimize"),
    "loss, said shortly": (("monitor=loss",), "minimize"),
    "another metric": (("metrics=[f1,accuracy]", "monitor=f1"), "maximize"),
    "text": (("data=python_docs", "model=gpt"), "minimize"),
    "random numbers": (("data=random", "data.task=regression", "task=regression"), "minimize"),
    "r2": (("data=random", "data.task=regression", "monitor=r2"), "maximize"),
}


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("said", ["minimize", "maximize"])
def test_the_direction_is_the_monitors(name: str, said: str) -> None:
    overrides, right = FIGURES[name]
    config = composed({"direction": said}, *overrides)
    found = with_direction(overrides, config)
    expected = [] if said == right else [f"hydra.sweeper.direction={right}"]
    assert found == [*overrides, *expected]


def test_a_wrong_direction_that_is_typed_is_refused() -> None:
    typed = "hydra.sweeper.direction=minimize"
    with pytest.raises(RunError) as caught:
        with_direction([typed], composed(OPTUNA))
    (told,) = caught.value.diagnostics
    assert told.code == "NS702" and told.span.file.endswith(typed)
    assert told.help == "hydra.sweeper.direction=maximize"
    right = "hydra.sweeper.direction=maximize"
    assert with_direction([right], composed({"direction": "maximize"})) == [right]


def test_several_figures_at_once_are_refused() -> None:
    with pytest.raises(RunError, match="looks for the best of 2 figures"):
        direction_of(composed({"direction": ["minimize", "maximize"]}))


def test_what_only_a_point_can_tell_is_left_to_the_point() -> None:
    assert added(OPTUNA, "data=csv") == []


def test_a_point_that_would_be_taken_the_wrong_way_does_not_start(tmp_path: Path) -> None:
    with config_folders("train") as (folder, _):
        config = compose(folder, "train", [*TINY, small(tmp_path), "monitor=val_loss"])
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    overrides = [*TINY, small(tmp_path), "monitor=val_loss"]
    run = tmp_path / "run"
    sought = Direction("hydra.sweeper.direction", "max")
    with pytest.raises(RunError, match="the sweeper would look for the worst run"):
        train(read_settings(own, overrides), overrides, run, sought=sought)
    assert not run.exists()
    check_direction(None, Monitor("train_loss", "min"), [])


def test_what_a_run_gives_a_sweeper_is_of_validation() -> None:
    """`best` of metrics.json, and with it what Hydra is given, is the monitored figure."""
    found = {
        "monitor": {"name": "val_accuracy", "mode": "max"},
        "best": {"val_accuracy": 0.5, "train_accuracy": 0.6},
        "test": {"accuracy": 0.9},
    }
    assert _best(found) == 0.5 and _best({**found, "best": None}) is None


@pytest.mark.slow
def test_optuna(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    run = tmp_path / "run"
    search = ("optimizer.lr=interval(0.0001,0.01)", "hydra.sweeper.n_trials=3")
    kind = (*TINY, small(tmp_path), "trainer.max_epochs=1", *search, f"folder={run}")
    status, out, err = ended(started("-m", "hydra/sweeper=optuna", *kind), 240)
    assert status == 0, (out, err)
    best = OmegaConf.load(run / "optimization_results.yaml")
    figures = [metrics(run / str(index))["best"]["val_accuracy"] for index in range(3)]
    assert best["best_value"] == max(figures)
