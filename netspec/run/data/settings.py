"""The options of each kind of data, as pydantic models.

A field's description is what a message says is expected there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from netspec import data_registry
from netspec.errors import Diagnostic, RunError, did_you_mean
from netspec.run.data.validation_errors import diagnose, override_span

_COUNT = "a whole number from 1"
_SHARE = "a fraction below 1, or a number of examples"
_NAMES = "a list of names, or `null`"
_PATH = "a path, or `null`"

_MOST = 1 << 31  # of what is counted: more would be read as a slip of the finger

Count = Annotated[int, Field(ge=1, le=_MOST, description=_COUNT)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[Fraction | Annotated[int, Field(ge=0)], Field(description=_SHARE)]
Path = Annotated[str | None, Field(description=_PATH)]
Names = Annotated[list[str] | None, Field(min_length=1, description=_NAMES)]
Switch = Annotated[bool, Field(description="`true` or `false`")]
Text = Annotated[str, Field(description="a text")]
OptionalText = Annotated[str | None, Field(description="a text, or `null`")]
OptionalCount = Annotated[int | None, Field(ge=1, le=_MOST, description=f"{_COUNT}, or `null`")]
Whole = Annotated[int, Field(ge=0, le=_MOST, description="a whole number from 0")]
Seed = Annotated[int, Field(description="a whole number")]
Workers = Annotated[int, Field(ge=0, le=1024, description="a whole number from 0 to 1,024")]
Label = Annotated[int, Field(ge=-_MOST, le=_MOST, description="a whole number")]
Pixels = Annotated[int, Field(ge=1, le=1 << 14)]
Classes = Annotated[int, Field(ge=1, le=1_000_000)]
Moments = Annotated[list[float] | list[list[float]], Field(min_length=2, max_length=2)]
Normalize = Annotated[
    Literal["auto", "none"] | Moments | None,
    Field(description="`auto`, `none`, `[mean, std]` or `[[mean, …], [std, …]]`"),
]


class Settings(BaseModel):
    """What every kind of data has."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    source: Text
    batch_size: Count = 64
    eval_batch_size: OptionalCount = 256
    drop_last: Switch = False
    shuffle: Switch = True
    workers: Workers = 0
    limit: OptionalCount = None
    validation: Share = 0.1
    split_seed: Seed = 0


class AugmentSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    shift: Annotated[
        int | None, Field(ge=0, le=1 << 10, description="a number of pixels to 1,024, or `null`")
    ] = None
    flip: Annotated[bool | None, Field(description="`true`, `false` or `null`")] = None
    rotate: Annotated[
        float | None, Field(ge=0, le=180, description="an angle in degrees from 0 to 180")
    ] = None
    scale: Annotated[
        float | None, Field(ge=0, lt=1, description="a fraction below 1, or `null`")
    ] = None


class ImageSettings(Settings):
    normalize: Normalize = "auto"
    augment: Annotated[
        AugmentSettings | None, Field(description="a mapping with shift, flip, rotate, scale")
    ] = None


class IdxSettings(ImageSettings):
    name: OptionalText = None
    root: Path = None
    prefix: Text = ""
    transpose: Switch = False
    first_label: Label = 0
    classes: Names = None


class CifarSettings(ImageSettings):
    root: Path = None


class FolderSettings(ImageSettings):
    root: Path = None
    test: Annotated[Literal["auto"] | Share, Field(description=f"`auto`, or {_SHARE}")] = 0
    size: Annotated[
        Pixels | Annotated[list[Pixels], Field(min_length=2, max_length=2)] | None,
        Field(description="a number of pixels, `[height, width]` or `null`"),
    ] = None
    channels: Annotated[Literal[1, 3], Field(description="`1` or `3`")] = 3
    in_memory: Annotated[Literal["auto"] | bool, Field(description="`auto`, `true` or `false`")] = (
        "auto"
    )
    masks: Annotated[str | None, Field(description="the name of a folder, or `null`")] = None
    images: Annotated[str, Field(description="the name of a folder")] = "images"
    classes: Annotated[
        Annotated[int, Field(ge=1, le=256)] | Annotated[list[str], Field(min_length=1)] | None,
        Field(description="a number to 256, a list of names or `null`"),
    ] = None
    ignore: Annotated[
        int | None, Field(ge=0, le=255, description="a pixel's value from 0 to 255, or `null`")
    ] = 255


class CsvSettings(Settings):
    root: Path = None
    test: Annotated[str | Share | None, Field(description=f"a path, {_SHARE}, or `null`")] = 0.2
    target: Annotated[
        str | int | Annotated[list[str | int], Field(min_length=1)] | None,
        Field(description="a column, by name or by number from 0, or a list of them"),
    ] = None
    features: Annotated[
        list[str | int] | None,
        Field(min_length=1, description="a list of columns, or `null`"),
    ] = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1, description="one character")] = ","
    header: Switch = True
    missing: Annotated[
        Literal["mean", "drop"] | None, Field(description="`mean`, `drop` or `null`")
    ] = None
    task: Annotated[
        Literal["auto", "classification", "regression"],
        Field(description="`auto`, `classification` or `regression`"),
    ] = "auto"
    normalize: Normalize = "auto"


class NpzSettings(ImageSettings):
    normalize: Normalize = "none"
    root: Path = None
    inputs: Annotated[
        dict[str, str] | None,
        Field(description="a mapping from the model's inputs to the file's arrays, or `null`"),
    ] = None
    target: OptionalText = None
    test: Share = 0.2
    layout: Annotated[
        Literal["auto", "channels_first", "channels_last"],
        Field(description="`auto`, `channels_first` or `channels_last`"),
    ] = "auto"
    task: Annotated[
        Literal["auto", "classification", "regression"],
        Field(description="`auto`, `classification` or `regression`"),
    ] = "auto"
    classes: Names = None


class LanguageSettings(Settings):
    level: Annotated[
        Literal["characters", "bytes"], Field(description="`characters` or `bytes`")
    ] = "characters"
    context: Count = 128
    stride: OptionalCount = None
    validation: Annotated[Fraction, Field(description="a fraction below 1")] = 0.1
    test: Annotated[Fraction, Field(description="a fraction below 1")] = 0.0


class TextSettings(LanguageSettings):
    path: Annotated[
        str | Annotated[list[str], Field(min_length=1)] | None,
        Field(description="a file, a folder, or a list of files"),
    ] = None


class RandomSettings(Settings):
    train: Whole = 512
    validation: Whole = 128
    test: Whole = 128
    classes: Annotated[
        Classes | None, Field(description="a whole number from 1 to 1,000,000, or `null`")
    ] = None
    vocabulary: OptionalCount = None
    task: Annotated[
        Literal["classification", "regression"],
        Field(description="`classification` or `regression`"),
    ] = "classification"
    seed: Seed = 0


KINDS: Mapping[str, type[Settings]] = {
    "mnist5k": ImageSettings,
    "idx": IdxSettings,
    "cifar10": CifarSettings,
    "cifar100": CifarSettings,
    "image_folder": FolderSettings,
    "csv": CsvSettings,
    "npz": NpzSettings,
    "text": TextSettings,
    "python_docs": LanguageSettings,
    "random": RandomSettings,
}
AnySettings = TypeVar("AnySettings", bound=Settings)


def read_settings(model: type[AnySettings], settings: Mapping[str, object]) -> AnySettings:
    """The `data` group's values → the options of one kind.

    Raises RunError: NS605, once for each option that is unknown or has a wrong value.
    """
    try:
        return model.model_validate(dict(settings))
    except ValidationError as error:
        raise RunError(diagnose(error, settings, model)) from None


def settings_of(settings: Mapping[str, object]) -> Settings:
    """The options, checked, as the model of their kind: `batch_size`, `workers` and so on.

    Raises RunError: NS605.
    """
    source = settings.get("source")
    found = data_registry.find(source) if isinstance(source, str) else None
    if found is not None:
        model = found.options
        assert issubclass(model, Settings), "it is made so where data is registered"
        return read_settings(model, settings)
    if not isinstance(source, str) or source not in KINDS:
        names = (*KINDS, *data_registry.visible())
        help = did_you_mean(str(source), names) or f"there are {', '.join(names)}"
        loaded = data_registry.find_loaded(str(source))
        if loaded is not None:
            help = f"plugins=[{loaded.plugin}] has it"
        fact = f"there is no source of data `{source}`"
        raise RunError(Diagnostic("NS605", fact, override_span("source", source), help=help))
    return read_settings(KINDS[source], settings)
