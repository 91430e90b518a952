"""What an evaluation measures: a checkpoint as it was trained, or a spec with a file of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from netspec.compiled import Compiled, check_dtype
from netspec.errors import Diagnostic, RunError, Span
from netspec.run.checkpoint import Checkpoint, load_own, read_checkpoint
from netspec.run.checkpoint_path import find_checkpoint
from netspec.run.data.dataset import Data
from netspec.run.data.settings import Settings as DataSettings
from netspec.run.data.settings import settings_of
from netspec.run.data.sources import open_data
from netspec.run.data_compatibility import input_order, wanted_by
from netspec.run.evaluation_data import check_same_classes, data_settings, with_own_characters
from netspec.run.evaluation_settings import as_run, refuse_both
from netspec.run.metrics import choose_metrics
from netspec.run.model import read_choice
from netspec.run.objective import Scoring, make_objective
from netspec.run.precision import weights_dtype
from netspec.run.preflight import compile_with_data
from netspec.run.settings import (
    EvalSettings,
    Settings,
    place_of,
)
from netspec.run.training_info import Trained, read_trained
from netspec.run.weights import Loaded, load_for_run


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A model with its weights, and the data and scoring that measure it."""

    path: Path  # of the weights
    compiled: Compiled
    model: nn.Module
    data: Data
    options: DataSettings
    scoring: Scoring
    precision: str
    loaded: Loaded | None = None  # where they are of no checkpoint


def find_subject(settings: EvalSettings, overrides: Sequence[str]) -> Subject:
    """What the settings name. Raises SpecError, RunError for what can't be, or does not fit."""
    with torch.random.fork_rng(devices=[]):
        if settings.checkpoint is not None:
            refuse_both(settings, overrides)
            checkpoint = read_checkpoint(find_checkpoint(settings.checkpoint))
            return _of_checkpoint(checkpoint, settings, overrides)
        return _of_weights(settings, overrides)


def _of_checkpoint(
    checkpoint: Checkpoint, settings: EvalSettings, overrides: Sequence[str]
) -> Subject:
    trained = read_trained(checkpoint)
    _use_threads(settings.threads or trained.run.threads)
    compiled = checkpoint.compile(_act(checkpoint, settings))
    chosen = data_settings(trained, settings.data, overrides)
    data = _open(chosen, compiled, trained)
    asked = trained.metrics_asked if isinstance(settings.metrics, str) else settings.metrics
    scoring = _scoring(compiled, data, trained.run, asked, overrides)
    model = compiled.built.make()
    load_own(model, checkpoint)
    precision = settings.precision or trained.run.precision
    check_dtype(compiled, weights_dtype(precision))
    return Subject(checkpoint.path, compiled, model, data, settings_of(chosen), scoring, precision)


def _of_weights(settings: EvalSettings, overrides: Sequence[str]) -> Subject:
    """A spec with the weights of a file, on data that has to be named."""
    run = as_run(settings)
    _use_threads(settings.threads)
    compiled, data = compile_with_data(read_choice(run.model, overrides), run)
    scoring = _scoring(compiled, data, run, settings.metrics, overrides)
    model = compiled.built.make()
    given = settings.weights
    assert given.file is not None, "as_run refuses an evaluation without"
    span = place_of("weights.file", overrides)
    loaded = load_for_run(model, given.file, given.strict, given.prefix, span)
    options, precision = settings_of(run.data), run.precision
    path = Path(loaded.file)
    return Subject(path, compiled, model, data, options, scoring, precision, loaded)


def _use_threads(threads: int | None) -> None:
    if threads:
        torch.set_num_threads(threads)


def _act(checkpoint: Checkpoint, settings: EvalSettings) -> dict[str, str] | None:
    """The form that was asked for; what it leaves out is as in the checkpoint."""
    if settings.act is None:
        return None
    own = checkpoint.recipe.activation
    fn = settings.act.fn or own.fn
    form = settings.act.form or own.form
    return {"form": form} if fn is None else {"form": form, "fn": fn}


def _open(chosen: Mapping[str, Any], compiled: Compiled, trained: Trained) -> Data:
    """The data, which means the same as that of training. Raises RunError."""
    if chosen.get("source") == "random":
        return open_data(chosen, wanted_by(compiled))
    data = open_data(chosen)
    if trained.run.task == "auto" and data.task != trained.task:
        fact = f"{data.name} is for {data.task}, and the checkpoint for {trained.task}"
        raise RunError(Diagnostic("NS603", fact, Span.whole("run's data")))
    input_order(compiled, data)
    check_same_classes(trained, data)
    return with_own_characters(trained, data) if data.task == "language" else data


def _scoring(
    compiled: Compiled,
    data: Data,
    run: Settings,
    asked: str | Sequence[str],
    overrides: Sequence[str],
) -> Scoring:
    """The loss of the run, and the metrics that are asked for. Raises RunError."""
    order = input_order(compiled, data)
    objective, classes = make_objective(compiled, data, order, run, overrides)
    metrics = choose_metrics(asked, objective.task, overrides)
    return Scoring(order, objective, tuple(metrics), classes)
