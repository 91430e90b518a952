"""All that a run needs, checked against each other before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from netspec.pipeline import Compiled
from netspec.run.data.dataset import Data, Wanted
from netspec.run.data.open import open_data
from netspec.run.matching import input_order, run_placed, wanted_by
from netspec.run.metrics import Monitor, choose_metrics, choose_monitor
from netspec.run.model import ModelChoice, compile_choice, read_choice
from netspec.run.objective import Scoring, make_objective
from netspec.run.optim import Length, make_optimizer, make_schedule
from netspec.run.settings import Settings

Reader = Callable[[Mapping[str, object], Wanted | None], Data]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run whose parts fit together."""

    settings: Settings
    overrides: Sequence[str]
    choice: ModelChoice
    compiled: Compiled
    data: Data
    scoring: Scoring
    monitor: Monitor


def prepare(settings: Settings, overrides: Sequence[str], read: Reader = open_data) -> Prepared:
    """Everything that can be checked before training, checked; `read` opens the data.

    Raises SpecError and RunError: a spec that can't be built, data that is broken or does not fit,
    a loss, optimizer, schedule, metric or device that can't be.
    """
    choice = read_choice(settings.model, overrides)
    compiled, data = compile_with_data(choice, settings, read)
    order = input_order(compiled, data)
    objective, classes = make_objective(compiled, data, order, settings, overrides)
    metrics = choose_metrics(settings.metrics, objective.task, overrides)
    validated = data.validation is not None
    monitor = choose_monitor(settings.monitor, metrics, objective.task, validated, overrides)
    _try_optimizer(compiled, settings, monitor, overrides)
    _try_batch(compiled, data, order)
    scoring = Scoring(order, objective, tuple(metrics), classes)
    return Prepared(settings, overrides, choice, compiled, data, scoring, monitor)


def compile_with_data(
    choice: ModelChoice, settings: Settings, read: Reader = open_data
) -> tuple[Compiled, Data]:
    """The model and its data: each may tell the other what it leaves open."""
    if settings.data.get("source") == "random":
        compiled = compile_choice(choice, settings.act)
        return compiled, read(settings.data, wanted_by(compiled, settings.output))
    data = read(settings.data, None)
    return compile_choice(choice, settings.act, data.gives), data


def _try_optimizer(
    compiled: Compiled, settings: Settings, monitor: Monitor, overrides: Sequence[str]
) -> None:
    with torch.device("meta"):
        model = compiled.built.make()
    optimizer = make_optimizer(settings.optimizer, model, overrides)
    length = Length(1000 * settings.trainer.max_epochs, settings.trainer.max_epochs)
    make_schedule(settings.scheduler, optimizer, length, monitor.mode, overrides)


def _try_batch(compiled: Compiled, data: Data, order: Sequence[int]) -> None:
    """Two real examples through the model: values out of an embedding's range show only so."""
    examples = data.train or data.validation or data.test
    if examples is None or len(examples) < 2:
        return
    if sum(p.numel() for p in _meta_parameters(compiled)) > 20_000_000:
        return  # it would be built twice; the first step tells as much
    inputs, _ = examples.batch(torch.arange(2))
    with torch.random.fork_rng(devices=[]):
        model: nn.Module = compiled.built.make().eval()
        run_placed(model, [inputs[index] for index in order], compiled)


def _meta_parameters(compiled: Compiled) -> list[nn.Parameter]:
    with torch.device("meta"):
        return list(compiled.built.make().parameters())
