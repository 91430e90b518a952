"""The loggers: each gets what was set, each row of metrics.csv, and how the run ended."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from netspec.run.loggers.settings import (
    CometSettings,
    MlflowSettings,
    TrackioSettings,
    WandbSettings,
)

Parameters: TypeAlias = Mapping[str, "str | int | float | bool"]
Ending = Literal["finished", "interrupted", "failed"]


class Tracker(Protocol):
    """One logger of one run. `key` is what it goes on by when the run is resumed."""

    key: str | None

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """A row of metrics.csv: what was measured, at this step."""

    def end(self, ending: Ending, figures: Mapping[str, float]) -> None:
        """How it ended, with the figures of its best weights."""


class Tensorboard:
    """Events below the run's folder: scalars, and at the end the hyperparameters with figures."""

    key: str | None = None

    def __init__(self, folder: Path, parameters: Parameters) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._parameters = dict(parameters)
        self._writer: Any = SummaryWriter(str(folder / "tensorboard"))  # type: ignore[no-untyped-call,unused-ignore]

    def log(self, figures: Mapping[str, float], step: int) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def end(self, ending: Ending, figures: Mapping[str, float]) -> None:
        if ending == "finished":
            best = {f"best/{name}": value for name, value in figures.items()}
            self._writer.add_hparams(self._parameters, best, run_name=".")
        self._writer.close()


class Wandb:
    def __init__(
        self, folder: Path, settings: WandbSettings, parameters: Parameters, key: str | None
    ) -> None:
        import wandb  # type: ignore[import-not-found,unused-ignore]

        self._run: Any = wandb.init(
            project=settings.project,
            name=settings.name or folder.name,
            group=settings.group,
            entity=settings.entity,
            tags=settings.tags,
            mode=settings.mode,
            id=key,
            resume=None if key is None else "allow",
            dir=str(folder),
            config=dict(parameters),
            settings=wandb.Settings(silent=True),
        )
        self.key: str | None = self._run.id

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self._run.log(dict(figures), step=step)

    def end(self, ending: Ending, figures: Mapping[str, float]) -> None:
        self._run.summary.update({f"best/{name}": value for name, value in figures.items()})
        self._run.finish(exit_code=0 if ending == "finished" else 1)


class Mlflow:
    def __init__(
        self, folder: Path, settings: MlflowSettings, parameters: Parameters, key: str | None
    ) -> None:
        from mlflow.tracking import MlflowClient  # type: ignore[import-not-found,unused-ignore]

        self._client: Any = MlflowClient(settings.tracking_uri)
        if key is None:
            found = self._client.get_experiment_by_name(settings.experiment)
            number = (
                self._client.create_experiment(settings.experiment)
                if found is None
                else found.experiment_id
            )
            name = settings.name or folder.name
            run = self._client.create_run(number, run_name=name, tags=settings.tags)
            self.key: str | None = run.info.run_id
            for parameter, value in parameters.items():
                self._client.log_param(self.key, parameter, value)
        else:
            self.key = key
            self._client.set_terminated(key, "RUNNING")

    def log(self, figures: Mapping[str, float], step: int) -> None:
        for name, value in figures.items():
            self._client.log_metric(self.key, name, value, step=step)

    def end(self, ending: Ending, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._client.log_metric(self.key, f"best/{name}", value)
        ends = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
        self._client.set_terminated(self.key, ends[ending])


class Comet:
    def __init__(
        self, folder: Path, settings: CometSettings, parameters: Parameters, key: str | None
    ) -> None:
        import comet_ml  # type: ignore[import-not-found,unused-ignore]

        self._experiment: Any = comet_ml.start(
            project=settings.project,
            workspace=settings.workspace,
            experiment_key=key,
            mode="create" if key is None else "get",
            online=not settings.offline,
            experiment_config=comet_ml.ExperimentConfig(
                name=settings.name or folder.name,
                tags=settings.tags,
                offline_directory=str(folder / "comet"),
                auto_metric_logging=False,
                log_code=False,
                log_git_metadata=False,
                display_summary_level=0,
            ),
        )
        self.key: str | None = self._experiment.get_key()
        self._experiment.log_parameters(dict(parameters))

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self._experiment.log_metrics(dict(figures), step=step)

    def end(self, ending: Ending, figures: Mapping[str, float]) -> None:
        self._experiment.log_other("status", ending)
        self._experiment.log_metrics({f"best/{name}": value for name, value in figures.items()})
        self._experiment.end()


class Trackio:
    def __init__(
        self, folder: Path, settings: TrackioSettings, parameters: Parameters, key: str | None
    ) -> None:
        import trackio  # type: ignore[import-not-found,unused-ignore]

        name = key or settings.name or folder.name
        self._run: Any = trackio.init(
            project=settings.project,
            name=name,
            group=settings.group,
            space_id=settings.space,
            config=dict(parameters),
            resume="never" if key is None else "must",
            embed=False,
        )
        self.key: str | None = name

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self._run.log(dict(figures), step=step)

    def end(self, ending: Ending, figures: Mapping[str, float]) -> None:
        self._run.log({f"best/{name}": value for name, value in figures.items()})
        self._run.finish()
