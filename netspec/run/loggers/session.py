"""The loggers of a run while it lasts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from netspec.errors import Diagnostic, RunError
from netspec.run.folder import LOGGERS, write_json
from netspec.run.interruption import Interrupted
from netspec.run.loggers.settings import LoggerSettings
from netspec.run.loggers.trackers import (
    Comet,
    Ending,
    Mlflow,
    Parameters,
    Tensorboard,
    Tracker,
    Trackio,
    Wandb,
)
from netspec.run.settings import place_of

_NO_PARAMETERS = ("logger", "folder", "resume", "preflight", "other_data")


class Trackers:
    """All loggers of a run as one."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self.trackers = trackers
        self.best: Mapping[str, float] = {}

    def log(self, _: object, row: Mapping[str, float | None]) -> None:
        """A row of metrics.csv."""
        figures = {k: v for k, v in row.items() if v is not None and k != "step"}
        for tracker in self.trackers:
            tracker.log(figures, int(row["step"] or 0))

    def end(self, ending: Ending) -> None:
        for tracker in self.trackers:
            tracker.end(ending, self.best)


@contextmanager
def tracked(
    settings: LoggerSettings,
    folder: Path,
    run: Mapping[str, Any],
    resumed: bool,
    overrides: Sequence[str],
) -> Iterator[Trackers]:
    """The loggers that these settings choose; `run` is what was set, and become its parameters.

    A run that is resumed goes on in the same runs of its trackers. Raises RunError (NS702) where a
    logger can't begin.
    """
    keys = _keys(folder) if resumed else {}
    parameters = flat({key: item for key, item in run.items() if key not in _NO_PARAMETERS})
    trackers: dict[str, Tracker] = {}
    for name in settings.chosen():
        try:
            trackers[name] = _begun(name, settings, folder, parameters, keys.get(name))
        except Exception as error:  # a package's own: no login, no network, no such project
            said = str(error).strip().partition("\n")[0] or "no reason given"
            fact = f"logger={name} can't begin: {type(error).__name__}, {said}"
            Trackers(list(trackers.values())).end("failed")
            raise RunError(Diagnostic("NS702", fact, place_of("logger", overrides))) from None
    if trackers:
        write_json(folder / LOGGERS, {name: tracker.key for name, tracker in trackers.items()})
    found = Trackers(list(trackers.values()))
    try:
        yield found
    except (Interrupted, KeyboardInterrupt):
        found.end("interrupted")
        raise
    except BaseException:
        found.end("failed")
        raise
    found.end("finished")


def _begun(
    name: str, settings: LoggerSettings, folder: Path, parameters: Parameters, key: str | None
) -> Tracker:
    if settings.wandb is not None and name == "wandb":
        return Wandb(folder, settings.wandb, parameters, key)
    if settings.mlflow is not None and name == "mlflow":
        return Mlflow(folder, settings.mlflow, parameters, key)
    if settings.comet is not None and name == "comet":
        return Comet(folder, settings.comet, parameters, key)
    if settings.trackio is not None and name == "trackio":
        return Trackio(folder, settings.trackio, parameters, key)
    return Tensorboard(folder, parameters)


def _keys(folder: Path) -> dict[str, str]:
    """What the trackers of the run in a folder go on by."""
    try:
        found = json.loads((folder / LOGGERS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: key for name, key in found.items() if isinstance(key, str)}


def best_figures(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a run's best weights: of its best row, and of its test."""
    best = {k: v for k, v in (metrics["best"] or {}).items() if k.startswith(("train_", "val_"))}
    tested = {f"test_{name}": value for name, value in (metrics["test"] or {}).items()}
    return {name: value for name, value in {**best, **tested}.items() if value is not None}


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, str | int | float | bool]:
    """Settings as one level: `optimizer.lr`; lists as JSON, and what is null left out."""
    found: dict[str, str | int | float | bool] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            found |= flat(item, f"{prefix}{key}.")
        elif isinstance(item, (str, int, float, bool)):
            found[f"{prefix}{key}"] = item
        elif item is not None:
            found[f"{prefix}{key}"] = json.dumps(item)
    return found
