"""The `data` group of a run → Data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from netspec.errors import Diagnostic, RunError, did_you_mean
from netspec.run.data.cifar import cifar_data
from netspec.run.data.dataset import Data, Wanted
from netspec.run.data.idx import embedded_data, idx_data
from netspec.run.data.npz import npz_data
from netspec.run.data.random_data import random_data
from netspec.run.data.settings import (
    CifarSettings,
    CsvSettings,
    FolderSettings,
    IdxSettings,
    ImageSettings,
    LanguageSettings,
    NpzSettings,
    RandomSettings,
    Settings,
    TextSettings,
    read_settings,
)
from netspec.run.data.tabular import csv_data
from netspec.run.data.text import python_docs_data, text_data
from netspec.run.data.validation_errors import override_span

__all__ = ["Wanted", "open_data", "settings_of"]


def _folder_data(settings: FolderSettings) -> Data:
    if find_spec("PIL") is None:
        fact = "image files are read with Pillow, which is not installed"
        span = override_span("source", settings.source)
        raise RunError(Diagnostic("NS605", fact, span, help="`pip install pillow`"))
    # Late, since Pillow is needed for image files alone.
    from netspec.run.data.folder import folder_data

    return folder_data(settings)


_KINDS: Mapping[str, tuple[type[Settings], Callable[[Any], Data] | None]] = {
    "mnist5k": (ImageSettings, embedded_data),
    "idx": (IdxSettings, idx_data),
    "cifar10": (CifarSettings, cifar_data),
    "cifar100": (CifarSettings, cifar_data),
    "image_folder": (FolderSettings, _folder_data),
    "csv": (CsvSettings, csv_data),
    "npz": (NpzSettings, npz_data),
    "text": (TextSettings, text_data),
    "python_docs": (LanguageSettings, python_docs_data),
    "random": (RandomSettings, None),
}


def open_data(settings: Mapping[str, object], wanted: Wanted | None = None) -> Data:
    """The data that the settings describe; `source` says of which kind it is.

    `wanted` is what `random` makes examples for. Raises RunError: NS601 for missing files, NS602
    for broken ones, NS604 for labels that are no classes, NS605 for options.
    """
    options = settings_of(settings)
    _, read = _KINDS[options.source]
    if read is not None:
        return read(options)
    assert wanted is not None, "random data is made for a model, whose sizes are to be given"
    assert isinstance(options, RandomSettings), "the only kind that reads nothing"
    return random_data(options, wanted)


def settings_of(settings: Mapping[str, object]) -> Settings:
    """The options, checked, as the model of their kind: `batch_size`, `workers` and so on.

    Raises RunError: NS605.
    """
    source = settings.get("source")
    if not isinstance(source, str) or source not in _KINDS:
        help = did_you_mean(str(source), _KINDS) or f"there are {', '.join(_KINDS)}"
        fact = f"there is no source of data `{source}`"
        raise RunError(Diagnostic("NS605", fact, override_span("source", source), help=help))
    model, _ = _KINDS[source]
    return read_settings(model, settings)
