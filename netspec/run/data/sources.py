"""The `data` group of a run → Data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from netspec import data_registry
from netspec.errors import Diagnostic, RunError
from netspec.run.data.cifar import cifar_data
from netspec.run.data.dataset import Data, Wanted
from netspec.run.data.idx import embedded_data, idx_data
from netspec.run.data.npz import npz_data
from netspec.run.data.random_data import random_data
from netspec.run.data.registered import registered_data
from netspec.run.data.settings import FolderSettings, RandomSettings, settings_of
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


_READERS: Mapping[str, Callable[[Any], Data]] = {
    "mnist5k": embedded_data,
    "idx": idx_data,
    "cifar10": cifar_data,
    "cifar100": cifar_data,
    "image_folder": _folder_data,
    "csv": csv_data,
    "npz": npz_data,
    "text": text_data,
    "python_docs": python_docs_data,
}


def open_data(settings: Mapping[str, object], wanted: Wanted | None = None) -> Data:
    """The data that the settings describe; `source` says of which kind it is.

    `wanted` is what `random` makes examples for. Raises RunError: NS601 for missing files, NS602
    for broken ones, NS604 for labels that are no classes, NS605 for options.
    """
    options = settings_of(settings)
    if isinstance(options, RandomSettings):
        assert wanted is not None, "random data is made for a model, whose sizes are to be given"
        return random_data(options, wanted)
    found = data_registry.find(options.source)
    return _READERS[options.source](options) if found is None else registered_data(found, options)
