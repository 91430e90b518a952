"""What a run names, looked up before torch is imported: a slip of the finger costs no seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from netspec import find
from netspec.errors import RunError
from netspec.run.checkpoint_path import find_checkpoint
from netspec.run.data.paths import existing
from netspec.run.data.settings import (
    KINDS,
    CsvSettings,
    FolderSettings,
    NpzSettings,
    TextSettings,
    settings_of,
)
from netspec.run.data.table import column_number, header_of
from netspec.run.evaluation_settings import as_run, refuse_both
from netspec.run.loggers.settings import missing_packages
from netspec.run.settings import EvalSettings, Settings, WeightsSettings, place_of


def look_up(settings: Settings, overrides: Sequence[str]) -> None:
    """Raises SpecError, RunError (NS601, NS605, NS703) for a spec, data or weights that are not
    there; what is in them is read later."""
    if not settings.resume:  # which has all of these in its folder
        _spec(settings.model)
        _weights(settings.weights, overrides)
    _data(settings.data)
    refuse_missing_loggers(settings, overrides)


def refuse_missing_loggers(settings: Settings, overrides: Sequence[str]) -> None:
    """Raises RunError (NS702) for each logger whose package is not installed."""
    missing = missing_packages(settings.logger, place_of("logger", overrides))
    if missing:
        raise RunError(missing)


def look_up_evaluated(settings: EvalSettings, overrides: Sequence[str]) -> None:
    """As look_up, for an evaluation; NS702 where it is of nothing, or of two things."""
    if settings.checkpoint is None:
        as_run(settings)
    else:
        refuse_both(settings, overrides)
        find_checkpoint(settings.checkpoint)
    _spec(settings.model or {})
    _weights(settings.weights, overrides)
    if settings.data and "source" in settings.data:
        _data(settings.data)


def _spec(node: Mapping[str, object]) -> None:
    name = node.get("spec")
    if isinstance(name, str):
        find.read(name)


def _weights(weights: WeightsSettings, overrides: Sequence[str]) -> None:
    if weights.file is not None:
        find_checkpoint(weights.file, place_of("weights.file", overrides))


def _data(settings: Mapping[str, object]) -> None:
    if settings.get("source") not in KINDS:  # a plugin's, or none: told when plugins are loaded
        return
    options = settings_of(settings)
    if isinstance(options, CsvSettings):
        _columns(existing(options.root, "root", "file"), options)
    elif isinstance(options, NpzSettings):
        existing(options.root, "root", "file")
    elif isinstance(options, FolderSettings):
        existing(options.root, "root", "folder")
    elif isinstance(options, TextSettings):
        paths = options.path if isinstance(options.path, list) else [options.path]
        for path in paths:
            existing(path, "path", "text")


def _columns(root: Path, options: CsvSettings) -> None:
    file = root / "train.csv" if root.is_dir() else root
    names = header_of(file, options.delimiter) if options.header else None
    if names is None:
        return
    targets = options.target if isinstance(options.target, list) else [options.target]
    for column in (*targets, *(options.features or ())):
        if column is not None:
            column_number(names, column, str(file))
