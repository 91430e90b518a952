"""Which way a sweeper looks for the best: a run gives it what it monitors, more of it or less.

Hydra's sweepers that search (Optuna's, Nevergrad's, Ax's) minimise unless they are told to
maximise, and none of them knows that 0.97 of an accuracy is better than 0.96.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from netspec.errors import Diagnostic, RunError, Span, SpecError
from netspec.run.data.dataset import Data
from netspec.run.data.sources import open_data
from netspec.run.data_compatibility import wanted_by
from netspec.run.metrics import Mode, Monitor, choose_metrics, choose_monitor
from netspec.run.model import compile_choice, read_choice
from netspec.run.overrides import key_of
from netspec.run.settings import Settings, place_of, read_settings

# Where each of them says it, and what it can say.
_SAID: Mapping[str, Mapping[object, Mode]] = {
    "direction": {"minimize": "min", "maximize": "max"},
    "optim.maximize": {False: "min", True: "max"},
    "ax_config.experiment.minimize": {True: "min", False: "max"},
}
_FEW = 2  # examples, of which the task can be seen


@dataclass(frozen=True, slots=True)
class Direction:
    """Which way a sweeper looks for the best, and the key in which it says so."""

    key: str
    mode: Mode


def direction_of(config: DictConfig) -> Direction | None:
    """The sweeper's own; None where it looks for nothing.

    Raises RunError (NS702) where it looks for the best of several figures at once.
    """
    sweeper = OmegaConf.select(config, "hydra.sweeper")
    for key, words in _SAID.items():
        said = OmegaConf.select(sweeper, key) if sweeper is not None else None
        if isinstance(said, Sequence) and not isinstance(said, str):
            fact = f"the sweeper looks for the best of {len(said)} figures, and a run gives one"
            place = Span.whole("run's configuration", f"hydra.sweeper.{key}")
            help = f"hydra.sweeper.{key}=maximize, or minimize"
            raise RunError(Diagnostic("NS702", fact, place, help=help))
        word = getattr(said, "name", said)
        if word in words:
            return Direction(f"hydra.sweeper.{key}", words[word])
    return None


def with_direction(overrides: Sequence[str], config: DictConfig) -> list[str]:
    """The overrides with the sweeper told to look for what is better, where nobody typed it.

    `config` is what they compose to, without what is swept. Raises RunError (NS702) where the wrong
    direction is typed.
    """
    found = direction_of(config)
    monitor = None if found is None else _monitor_of(config, overrides)
    if found is None or monitor is None or found.mode == monitor.mode:
        return list(overrides)
    if any(key_of(text) == found.key for text in overrides):
        raise RunError(_wrong(found.key, monitor, overrides))
    return [*overrides, _told(found.key, monitor.mode)]


def check_direction(found: Direction | None, monitor: Monitor, overrides: Sequence[str]) -> None:
    """Raises RunError (NS702) where the sweeper looks for the worst: a point may monitor another
    figure than the others, or one that could not be known before it."""
    if found is not None and found.mode != monitor.mode:
        raise RunError(_wrong(found.key, monitor, overrides))


def _monitor_of(config: DictConfig, overrides: Sequence[str]) -> Monitor | None:
    """What runs of this configuration monitor; None where only a point of the sweep can tell."""
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    try:
        settings = read_settings(own, overrides)
        data = _some_of(settings, overrides)
        task = data.task if settings.task == "auto" else settings.task
        metrics = choose_metrics(settings.metrics, task, overrides)
        validated = data.validation is not None
        return choose_monitor(settings.monitor, metrics, task, validated, overrides)
    except SpecError:
        return None


def _some_of(settings: Settings, overrides: Sequence[str]) -> Data:
    few: dict[str, Any] = {**settings.data, "limit": _FEW}
    if settings.data.get("source") != "random":
        return open_data(few)
    compiled = compile_choice(read_choice(settings.model, overrides), settings.act)
    return open_data(few, wanted_by(compiled, settings.output))


def _wrong(key: str, monitor: Monitor, overrides: Sequence[str]) -> Diagnostic:
    better = "larger" if monitor.mode == "max" else "smaller"
    fact = (
        f"the sweeper would look for the worst run: `{monitor.name}` is better when it is {better}"
    )
    return Diagnostic("NS702", fact, place_of(key, overrides), help=_told(key, monitor.mode))


def _told(key: str, mode: str) -> str:
    """The override that has the sweeper look this way."""
    words = _SAID[key.removeprefix("hydra.sweeper.")]
    word = next(word for word, said in words.items() if said == mode)
    return f"{key}={str(word).lower() if isinstance(word, bool) else word}"
