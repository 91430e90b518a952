"""The settings of each logger, and whether its package is there. Light: read before torch."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Literal

from pydantic import BaseModel, ConfigDict

from netspec.errors import Diagnostic, Span


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TensorboardSettings(_Checked):
    """Events in the run's folder, below `tensorboard/`."""


class WandbSettings(_Checked):
    """A run of Weights & Biases; what is null is as `wandb` itself has it."""

    project: str = "netspec"
    name: str | None = None
    group: str | None = None
    entity: str | None = None
    tags: list[str] = []
    mode: Literal["online", "offline"] | None = None


class MlflowSettings(_Checked):
    """A run of an MLflow experiment; without an address, where MLflow itself puts it."""

    tracking_uri: str | None = None
    experiment: str = "netspec"
    name: str | None = None
    tags: dict[str, str] = {}


class CometSettings(_Checked):
    """An experiment of Comet; what is null is as `comet_ml` itself has it."""

    project: str = "netspec"
    workspace: str | None = None
    name: str | None = None
    tags: list[str] = []
    offline: bool = False


class TrackioSettings(_Checked):
    """A run of Trackio, kept on this machine or in a Space."""

    project: str = "netspec"
    name: str | None = None
    group: str | None = None
    space: str | None = None


class LoggerSettings(_Checked):
    """The loggers of a run, none or several; metrics.csv is always written."""

    tensorboard: TensorboardSettings | None = None
    wandb: WandbSettings | None = None
    mlflow: MlflowSettings | None = None
    comet: CometSettings | None = None
    trackio: TrackioSettings | None = None

    def chosen(self) -> list[str]:
        return [name for name in LoggerSettings.model_fields if getattr(self, name) is not None]


# Each logger's module, and what to install for it.
_PACKAGES: Mapping[str, tuple[str, str]] = {
    "tensorboard": ("tensorboard", "netspec[tensorboard]"),
    "wandb": ("wandb", "netspec[wandb]"),
    "mlflow": ("mlflow", "netspec[mlflow]"),
    "comet": ("comet_ml", "netspec[comet]"),
    "trackio": ("trackio", "netspec[trackio]"),
}


def missing_packages(settings: LoggerSettings, span: Span) -> list[Diagnostic]:
    """One NS702 for each logger whose package is not installed."""
    found = []
    for name in settings.chosen():
        module, extra = _PACKAGES[name]
        if find_spec(module) is None:
            fact = f"logger={name} needs the package `{module}`, which is not installed"
            help = f"pip install '{extra}'"
            found.append(Diagnostic("NS702", fact, span, help=help))
    return found
