"""Runs from Python: `netspec.train` and `netspec.evaluate`, as the commands of these names."""

from __future__ import annotations

import csv
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import torch
from omegaconf import DictConfig
from torch import nn

from netspec.errors import Diagnostic, Origin, RunError, Span
from netspec.run import folder as files
from netspec.run.checkpoint import load_checkpoint
from netspec.run.command import Place, compose, config_folders, output_folder, without_hydra
from netspec.run.eval_command import with_additions
from netspec.run.evaluate import Evaluation, write
from netspec.run.evaluate import evaluate as evaluate_settings
from netspec.run.interruption import Interrupted
from netspec.run.notebook import figures_html
from netspec.run.overrides import for_hydra, key_of, last_of_each, text_of_value
from netspec.run.run_folder_overrides import OF_FOLDER, placed
from netspec.run.run_plugins import load_for_data
from netspec.run.settings import read_eval_settings, read_settings
from netspec.run.terminal import Verbosity, figure_lines, quiet, shown
from netspec.run.training import train as train_settings

AnyPath: TypeAlias = "str | os.PathLike[str]"


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """A run that ended well: its folder, its metrics.json, and its best weights.

    `metrics` has `best`, `last` and `test`, each a mapping from names to figures, or None.
    """

    folder: Path
    metrics: Mapping[str, Any]
    plugins: tuple[str, ...] = ()

    @cached_property
    def model(self) -> nn.Module:
        """The model with its best weights, in eval mode on the CPU."""
        return load_checkpoint(self.folder, plugins=self.plugins)

    @cached_property
    def history(self) -> list[dict[str, float | None]]:
        """The rows of metrics.csv; what was not measured is None."""
        with open(self.folder / files.HISTORY, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return [{key: float(text) if text else None for key, text in row.items()} for row in rows]

    def __repr__(self) -> str:
        lines = figure_lines(self.metrics)
        return "\n".join(f"{name:<7} {text}" for name, text in [*lines, ("folder", self._place)])

    def _repr_html_(self) -> str:
        return figures_html([*figure_lines(self.metrics), ("folder", self._place)])

    @property
    def _place(self) -> str:
        return str(shown(self.folder))


def train(
    model: AnyPath | None = None,
    *,
    act: str | None = None,
    data: str | Mapping[str, object] | None = None,
    overrides: Sequence[str] = (),
    folder: AnyPath | None = None,
    plugins: Sequence[str] | None = None,
    progress: bool = True,
) -> Run:
    """Train a spec and test its best weights, as `netspec train` does.

    `model` is a spec by its name or path; `act` the form of its activations; `data` an option of
    the group `data`, or the settings of one, `{"source": "csv", "root": "table.csv"}`;
    `overrides` are any others, as they are typed after the command: `["trainer.max_epochs=3"]`.
    What is left out is as in the command. `folder` is where the run is kept, a new one below
    `outputs/` by default, and `plugins` are enabled for the run. With `progress=False` nothing is
    shown.

    The process's random numbers, threads and warnings are afterwards as they were. Raises
    SpecError and RunError for what the command would refuse, and KeyboardInterrupt, after a
    checkpoint, for Ctrl-C.
    """
    given = _given({"model": model, "act": act, "folder": folder}, data, plugins, overrides)
    told: Verbosity = "full" if progress else "silent"
    with (
        _composed("train", given, placed) as (config, typed),
        output_folder(config, False) as made,
        _process_kept(),
    ):
        own = [text for text in typed if key_of(text) not in OF_FOLDER]
        settings = read_settings(without_hydra(config), own)
        try:
            metrics = train_settings(settings, own, made, told)
        except Interrupted:
            again = f"netspec.train(overrides=['resume={shown(made)}'])"
            raise KeyboardInterrupt(f"stopped; go on with {again}") from None
        return Run(made, metrics, tuple(settings.plugins))


def evaluate(
    checkpoint: Run | AnyPath | None = None,
    *,
    act: str | None = None,
    data: str | Mapping[str, object] | None = None,
    overrides: Sequence[str] = (),
    plugins: Sequence[str] | None = None,
) -> Evaluation:
    """Measure a checkpoint, as `netspec eval` does; its `metrics` are a mapping, printed it is what
    the command tells.

    `checkpoint` is a Run, a run's folder or a checkpoint's file; without one, the overrides name
    `model`, `weights` and data. `act` is another form of the same weights; `data` as in `train`,
    and without it that of training. Nothing is written but with the override `out=FOLDER`.
    Raises SpecError, RunError.
    """
    if isinstance(checkpoint, Run):
        plugins = checkpoint.plugins if plugins is None else plugins
        checkpoint = checkpoint.folder
    given = _given({"checkpoint": checkpoint, "act": act}, data, plugins, overrides)
    with _composed("eval", given, with_additions) as (config, typed), _process_kept():
        own = [text.removeprefix("++") for text in typed]
        settings = read_eval_settings(without_hydra(config), own)
        found = evaluate_settings(settings, own)
        if settings.out is not None:
            write(found, settings.out, own)
        return found


def _given(
    named: Mapping[str, AnyPath | None],
    data: str | Mapping[str, object] | None,
    plugins: Sequence[str] | None,
    overrides: Sequence[str],
) -> list[str]:
    """Arguments → overrides as they would be typed; those that are typed come last."""
    if isinstance(overrides, str) or not all(isinstance(text, str) for text in overrides):
        raise TypeError("overrides are a list of texts, like ['trainer.max_epochs=3']")
    values = {name: os.fspath(value) for name, value in named.items() if value is not None}
    found = [f"{name}={text_of_value(value)}" for name, value in values.items()]
    if isinstance(data, str):
        found.append(f"data={text_of_value(data)}")
    elif data is not None:
        found += _settings_of_data(data)
    if plugins is not None:
        found.append(f"plugins={text_of_value(list(plugins))}")
    return [*found, *overrides]


def _settings_of_data(data: Mapping[str, object]) -> list[str]:
    source = data.get("source")
    if not isinstance(source, str):
        fact = "settings of data name their `source`"
        help = "like {'source': 'csv', 'root': 'table.csv'}"
        raise RunError(
            Diagnostic("NS605", fact, Span.of(Origin("option", "data", "data={…}")), help=help)
        )
    rest = {key: value for key, value in data.items() if key != "source"}
    return [
        f"data={text_of_value(source)}",
        *(f"data.{key}={text_of_value(value)}" for key, value in rest.items()),
    ]


@contextmanager
def _composed(
    name: str, given: Sequence[str], place: Place
) -> Iterator[tuple[DictConfig, list[str]]]:
    """The configuration with these overrides, and the overrides as Hydra was given them."""
    with config_folders(name) as (primary, searchpath):
        typed = place(last_of_each([for_hydra(text) for text in given]), False)
        load_for_data(typed)
        more = [f"hydra.searchpath=[{','.join(searchpath)}]"] if searchpath else []
        config = compose(primary, name, [*typed, *more])
        yield config, [text for text in typed if not key_of(text).startswith("hydra.")]


@contextmanager
def _process_kept() -> Iterator[None]:
    """What a run sets in this process is afterwards as it was."""
    threads = torch.get_num_threads()
    exact, warned = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    devices = range(torch.cuda.device_count())
    with warnings.catch_warnings(), torch.random.fork_rng(devices=devices):
        quiet()
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(exact, warn_only=warned)
