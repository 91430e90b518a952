"""The `data` group of a run → Data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from netspec.errors import Diagnostic, RunError, did_you_mean
from netspec.run.data.complain import override_span
from netspec.run.data.dataset import Data, Wanted
from netspec.run.data.idx import embedded_data, idx_data
from netspec.run.data.settings import IdxSettings, Settings, read_settings

__all__ = ["Wanted", "open_data", "settings_of"]

_KINDS: Mapping[str, tuple[type[Settings], Callable[[Any], Data]]] = {
    "mnist5k": (IdxSettings, embedded_data),
    "idx": (IdxSettings, idx_data),
}


def open_data(settings: Mapping[str, object], wanted: Wanted | None = None) -> Data:
    """The data that the settings describe; `source` says of which kind it is.

    Raises RunError: NS601 for missing files, NS602 for broken ones, NS604 for labels that are no
    classes, NS605 for options.
    """
    options = settings_of(settings)
    _, read = _KINDS[options.source]
    return read(options)


def settings_of(settings: Mapping[str, object]) -> Settings:
    """The settings, checked: its `batch_size`, `workers` and so on are the lead's to use."""
    source = settings.get("source")
    if source not in _KINDS:
        help = did_you_mean(str(source), _KINDS) or f"there are {', '.join(_KINDS)}"
        fact = f"there is no source of data `{source}`"
        raise RunError(Diagnostic("NS605", fact, override_span("source", source), help=help))
    model, _ = _KINDS[str(source)]
    return read_settings(model, settings)
