"""All that a run needs, checked against each other before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from netspec import data_registry
from netspec.compiled import Compiled, check_dtype
from netspec.errors import Diagnostic, RunError, SpecError
from netspec.pipeline import compile_recipe
from netspec.recipe import Recipe
from netspec.run.batch_sizes import check_batches
from netspec.run.data.batches import epoch_length
from netspec.run.data.dataset import Data, Wanted
from netspec.run.data.settings import settings_of
from netspec.run.data.sources import open_data
from netspec.run.data.validation_errors import override_span
from netspec.run.data_compatibility import input_order, run_placed, wanted_by
from netspec.run.device import find_device
from netspec.run.freezing import freeze_at
from netspec.run.kept_spec import kept_spec
from netspec.run.lookup import refuse_missing_loggers
from netspec.run.metrics import Monitor, check_metrics, choose_metrics, choose_monitor
from netspec.run.model import ModelChoice, compile_choice, read_choice
from netspec.run.objective import Scoring, make_objective
from netspec.run.optim import Length, make_optimizer, make_schedule, try_schedule
from netspec.run.precision import weights_dtype
from netspec.run.processes import world_size
from netspec.run.settings import Settings, place_of
from netspec.run.weights import check_for_run

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


def prepare(
    settings: Settings,
    overrides: Sequence[str],
    read: Reader = open_data,
    folder: Path | None = None,
) -> Prepared:
    """Everything that can be checked before training, checked; `read` opens the data.

    A run that goes on in a folder takes the spec from there, where its files are gone.
    Raises SpecError and RunError: a spec that can't be built, data that is broken or does not fit,
    a loss, optimizer, schedule, metric or device that can't be.
    """
    _check_devices(settings, overrides)
    refuse_missing_loggers(settings, overrides)
    choice = read_choice(settings.model, overrides)
    own = kept_spec(choice, folder) if settings.resume and folder is not None else None
    try:
        compiled, data = compile_with_data(own or choice, settings, read)
    except SpecError as error:
        raise SpecError([_with_act_placed(d, overrides) for d in error.diagnostics]) from None
    _check_reach(settings)
    _check_task(settings, data, overrides)
    order = input_order(compiled, data)
    objective, classes = make_objective(compiled, data, order, settings, overrides)
    metrics = choose_metrics(settings.metrics, objective.task, overrides)
    splits = {"training": data.train, "validation": data.validation, "test": data.test}
    sizes = {name: len(split) for name, split in splits.items() if split is not None}
    check_metrics(metrics, objective.task, classes, sizes, overrides)
    validated = data.validation is not None
    monitor = choose_monitor(settings.monitor, metrics, objective.task, validated, overrides)
    _try_optimizer(compiled, data, settings, monitor, overrides)
    scoring = Scoring(order, objective, tuple(metrics), classes)
    options = settings_of(settings.data)
    check_batches(compiled, data, order, options, world_size(settings))
    _try_batch(compiled, data, order)
    _try_weights(compiled, settings, overrides)
    return Prepared(settings, overrides, choice, compiled, data, scoring, monitor)


def compile_with_data(
    choice: ModelChoice | Recipe, settings: Settings, read: Reader = open_data
) -> tuple[Compiled, Data]:
    """The model and its data: each may tell the other what it leaves open."""
    if settings.data.get("source") == "random":
        compiled = _compile(choice, settings, {})
        return compiled, read(settings.data, wanted_by(compiled, settings.output))
    data = read(settings.data, None)
    return _compile(choice, settings, data.gives), data


def _compile(
    choice: ModelChoice | Recipe, settings: Settings, gives: Mapping[str, int]
) -> Compiled:
    if isinstance(choice, Recipe):  # which has the changes, and what the data gave
        compiled = compile_recipe(choice, choice.activation)
    else:
        compiled = compile_choice(choice, settings.act, gives)
    check_dtype(compiled, weights_dtype(settings.precision))
    return compiled


def _try_optimizer(
    compiled: Compiled,
    data: Data,
    settings: Settings,
    monitor: Monitor,
    overrides: Sequence[str],
) -> None:
    model = compiled.built.empty()
    freeze_at(model, settings.freeze, place_of("freeze", overrides))
    if settings.freeze and not any(p.requires_grad for p in model.parameters()):
        fact = "all parameters are frozen, and nothing is left to train"
        raise RunError(Diagnostic("NS713", fact, place_of("freeze", overrides)))
    optimizer = make_optimizer(settings.optimizer, model, overrides)
    length = _length(settings, data)
    schedule = make_schedule(settings.scheduler, optimizer, length, monitor.mode, overrides)
    if schedule is not None:
        try_schedule(schedule, length, overrides)


def _length(settings: Settings, data: Data) -> Length:
    options, epochs = settings.trainer, settings.trainer.max_epochs
    given = settings_of(settings.data)
    least = given.batch_size if given.drop_last else 1
    batches = epoch_length(len(data.train or ()), given.batch_size, least)
    steps = max(1, math.ceil(batches / options.accumulate)) * epochs
    return Length(min(steps, options.max_steps or steps), epochs)


def _with_act_placed(diagnostic: Diagnostic, overrides: Sequence[str]) -> Diagnostic:
    """A diagnostic about the form of the activations, at the override that names it."""
    origin = diagnostic.span.origin
    if origin is None or origin.kind != "act":
        return diagnostic
    return replace(diagnostic, span=place_of("act", overrides))


def _check_devices(settings: Settings, overrides: Sequence[str]) -> None:
    """Raises RunError: NS705 for a device that is not there, NS702 for several without a way."""
    options = settings.trainer
    if options.devices > 1 and options.strategy == "auto":
        fact = f"trainer.devices is {options.devices}, and one process can train on one device"
        help = "trainer=ddp: a whole model on each; trainer=fsdp: a share of it on each"
        span = place_of("trainer.devices", overrides)
        raise RunError(Diagnostic("NS702", fact, span, help=help))
    find_device(settings.device, options.devices)


def _check_reach(settings: Settings) -> None:
    """Raises RunError (NS605) for data that the other processes of a run would not find."""
    found = data_registry.find(str(settings.data.get("source")))
    if found is not None and found.plugin is None and world_size(settings) > 1:
        fact = f"`{found.name}` is registered in this process, and the run has others"
        help = "register it in a module, and enable that: plugins=[mylib]"
        raise RunError(Diagnostic("NS605", fact, override_span("source", found.name), help=help))


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


def _check_task(settings: Settings, data: Data, overrides: Sequence[str]) -> None:
    """Raises RunError (NS702) for a task that this data can't be for: numbers may be classes."""
    numbers = ("classification", "regression")
    asked = settings.task
    if asked in ("auto", data.task) or (asked in numbers and data.task in numbers):
        return
    fact = f"{data.name} is data for {data.task}, and not for {asked}"
    raise RunError(Diagnostic("NS702", fact, place_of("task", overrides), help="task=auto"))


def _try_weights(compiled: Compiled, settings: Settings, overrides: Sequence[str]) -> None:
    """Raises RunError (NS703, NS704, NS712) where the file to start from is none, or does not fit.

    A run that is resumed has no need of it.
    """
    given = settings.weights
    if given.file is None or settings.resume:
        return
    span = place_of("weights.file", overrides)
    check_for_run(compiled.built.empty(), given.file, given.strict, given.prefix, span)


def _meta_parameters(compiled: Compiled) -> list[nn.Parameter]:
    return list(compiled.built.empty().parameters())
