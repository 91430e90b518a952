"""The settings of a run: what Hydra composed, checked key by key."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from netspec.errors import Diagnostic, Origin, RunError, Span, did_you_mean
from netspec.run.loggers.settings import LoggerSettings
from netspec.run.overrides import as_written, key_of

Plain = dict[str, Any]
Precision = Literal["32-true", "16-mixed", "bf16-mixed", "bf16-true", "64-true"]
TaskName = Literal["classification", "regression", "language", "segmentation"]
Positive = Annotated[int, Field(gt=0, le=1 << 40)]
PositiveFloat = Annotated[float, Field(gt=0, le=1e12)]
Threads = Annotated[int, Field(gt=0, le=1024)]
Devices = Annotated[int, Field(gt=0, le=1024)]


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TrainerSettings(_Checked):
    """How long and on what it is trained, and what is written down on the way."""

    max_epochs: Positive
    max_steps: Positive | None = None
    max_minutes: PositiveFloat | None = None
    gradient_clip: PositiveFloat | None = None
    accumulate: Positive = 1
    early_stopping: Positive | None = None
    log_every: Positive | None = None
    checkpoint_every: Positive | None = None
    validate_every: Positive = 1
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    devices: Devices = 1
    deterministic: bool = False
    bar: Literal["auto"] | bool = "auto"

    @model_validator(mode="before")
    @classmethod
    def _without_tensorboard(cls, value: object) -> object:
        """Settings of checkpoints from before there was the group `logger`."""
        if isinstance(value, Mapping):
            return {key: item for key, item in value.items() if key != "tensorboard"}
        return value


class ActSettings(_Checked):
    """The form of the activations, and the function that takes the place of theirs."""

    form: str
    fn: str | None = None

    def as_act(self) -> dict[str, str]:
        return {"form": self.form} if self.fn is None else {"form": self.form, "fn": self.fn}


class WeightsSettings(_Checked):
    """A file to start from: whether all of it has to fit, and what stands before its keys."""

    file: str | None = None
    strict: bool = True
    prefix: str = ""


def _as_file(value: object) -> object:
    """`weights: FILE` in a configuration, and `weights: null`."""
    return {"file": value} if value is None or isinstance(value, str) else value


def _as_list(value: object) -> object:
    return [] if value is None else [value] if isinstance(value, str) else value


def _as_metrics(value: object) -> object:
    return [value] if isinstance(value, str) and value != "auto" else value


def _as_group(value: object) -> object:
    """A group without an option: `scheduler: null`."""
    return {} if value is None else value


Names = Annotated[list[str], BeforeValidator(_as_list)]


class Settings(_Checked):
    """A run: each group's own part is checked where it is used."""

    model: Plain
    act: ActSettings
    data: Plain
    loss: Plain
    optimizer: Plain
    scheduler: Annotated[Plain, BeforeValidator(_as_group)] = {}
    trainer: TrainerSettings
    logger: Annotated[LoggerSettings, BeforeValidator(_as_group)] = LoggerSettings()
    experiment: Plain | None = None
    task: Literal["auto", TaskName] = "auto"
    metrics: Annotated[Literal["auto"] | list[str], BeforeValidator(_as_metrics)] = "auto"
    output: str | None = None
    monitor: str = "auto"
    device: str = "auto"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    precision: Precision = "32-true"
    compile: bool = False
    threads: Threads | None = None
    weights: Annotated[WeightsSettings, BeforeValidator(_as_file)] = WeightsSettings()
    freeze: Names = []
    resume: bool = False
    other_data: bool = False
    folder: str | None = None
    preflight: bool = True
    plugins: Names = []
    limits: dict[str, int] = {}


class EvalActSettings(_Checked):
    """As ActSettings, where what is null is as in the checkpoint."""

    form: str | None = None
    fn: str | None = None


class EvalSettings(_Checked):
    """An evaluation of a checkpoint, or of a spec with weights; what is null is as in training."""

    checkpoint: str | None = None
    model: Plain | None = None
    weights: Annotated[WeightsSettings, BeforeValidator(_as_file)] = WeightsSettings()
    act: EvalActSettings | None = None
    data: Plain | None = None
    split: Literal["train", "validation", "test"] = "test"
    device: str = "auto"
    precision: Precision | None = None
    compile: bool = False
    threads: Threads | None = None
    metrics: Annotated[Literal["auto"] | list[str], BeforeValidator(_as_metrics)] = "auto"
    out: str | None = None
    plugins: Names = []
    limits: dict[str, int] = {}


def read_settings(config: DictConfig, overrides: Sequence[str]) -> Settings:
    """The composed configuration as Settings. Raises RunError (NS702) for each wrong value."""
    settings = _read(Settings, config, overrides)
    assert isinstance(settings, Settings), "that was asked for"
    return settings


def read_eval_settings(config: DictConfig, overrides: Sequence[str]) -> EvalSettings:
    """The composed configuration as EvalSettings. Raises RunError (NS702)."""
    settings = _read(EvalSettings, config, overrides)
    assert isinstance(settings, EvalSettings), "that was asked for"
    return settings


def _read(model: type[BaseModel], config: DictConfig, overrides: Sequence[str]) -> BaseModel:
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        said = str(error).partition("\n")[0]
        raise RunError(
            Diagnostic("NS702", said, place_of(str(getattr(error, "full_key", "")), overrides))
        ) from None
    try:
        return model.model_validate(plain)
    except ValidationError as error:
        raise RunError([_told(problem, overrides) for problem in _by_key(error)]) from None


def _by_key(error: ValidationError) -> list[dict[str, Any]]:
    """One problem for each key, though pydantic has one for each kind of value that it may be."""
    found: dict[str, dict[str, Any]] = {}
    for problem in error.errors():
        key = _key(problem)
        if key in found:
            more = problem["msg"].removeprefix("Input should be ")
            found[key]["msg"] = f"{found[key]['msg']}, or {more}"
        found.setdefault(key, {**problem})
    return list(found.values())


def _key(problem: Mapping[str, Any]) -> str:
    path = [str(part) for part in problem["loc"] if not isinstance(part, int)]
    known = [part for part in path if not part.startswith("literal[") and "[" not in part]
    return ".".join(part for part in known if part not in ("int", "float", "bool", "str"))


def _told(problem: Mapping[str, Any], overrides: Sequence[str]) -> Diagnostic:
    key = _key(problem)
    said = problem["msg"][:1].lower() + problem["msg"][1:]
    if problem["type"] == "extra_forbidden":
        help = did_you_mean(key, (*Settings.model_fields, *EvalSettings.model_fields))
        return Diagnostic("NS701", f"a run has no `{key}`", place_of(key, overrides), help=help)
    if problem["type"] == "missing":
        return Diagnostic("NS702", f"`{key}` is missing", place_of(key, overrides))
    fact = f"`{key}` can't be `{shown(problem['input'])}`: {said}"
    return Diagnostic("NS702", fact, place_of(key, overrides))


def shown(value: object) -> str:
    """A value as it is written in a configuration."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def place_of(key: str, overrides: Sequence[str]) -> Span:
    """Where a value of the configuration came from: the override, or the files."""
    for text in reversed(overrides):
        own = key_of(text)
        if key == own or key.startswith(f"{own}.") or own.startswith(f"{key}."):
            return Span.of(Origin("override", own, f"the override {as_written(text)}"))
    return Span.whole("run's configuration", key)
