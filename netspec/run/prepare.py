"""All that a run needs, checked against each other before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from netspec.ops.facts import TensorType
from netspec.pipeline import Compiled
from netspec.run.data.dataset import Batch, Data, Wanted
from netspec.run.data.open import open_data
from netspec.run.loss import USUAL, Loss, make_loss
from netspec.run.matching import (
    check_classes,
    find_outputs,
    input_order,
    named_outputs,
    run_placed,
    wanted_by,
)
from netspec.run.metrics import Meter, Monitor, choose_metrics, choose_monitor
from netspec.run.model import ModelChoice, compile_choice, read_choice
from netspec.run.optim import Length, make_optimizer, make_schedule
from netspec.run.settings import Settings

Reader = Callable[[Mapping[str, object], Wanted | None], Data]


@dataclass(frozen=True, slots=True)
class Objective:
    """How outputs and target become a loss, and what the metrics are shown."""

    task: str
    loss: Mapping[str, Loss]  # in "train" and "eval" mode, where outputs may differ
    binary: bool  # two classes, told apart by one score

    def shaped(
        self, result: object, target: Tensor
    ) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
        """The outputs by name and the target as the loss takes them; what metrics take of both."""
        outputs = named_outputs(result)
        first = next(iter(outputs.values()))
        if self.task == "language":
            outputs = {name: _flat(value, target) for name, value in outputs.items()}
            target = target.reshape(-1)
            return outputs, target, next(iter(outputs.values())), target
        if self.task == "regression":
            target = target.reshape(first.shape) if target.numel() == first.numel() else target
            return outputs, target, first.reshape(len(first), -1), target.reshape(len(target), -1)
        if self.binary:
            return outputs, target.reshape(first.shape).to(first.dtype), first, target
        return outputs, target, first, target


def _flat(value: Tensor, target: Tensor) -> Tensor:
    """Outputs of each position of a text as those of as many examples."""
    if value.ndim == target.ndim + 1:
        return value.reshape(-1, value.shape[-1])
    return value


@dataclass(frozen=True, slots=True)
class Scoring:
    """How a batch goes into the model, and how what comes out is scored.

    `order` says for each input of the model which of the data's it is; `classes` is how many the
    metrics count.
    """

    order: tuple[int, ...]
    objective: Objective
    metrics: tuple[str, ...]
    classes: int

    def meter(self, wait: int = 1) -> Meter:
        return Meter(self.metrics, self.objective.task, self.classes, wait)

    def arranged(self, batch: Batch) -> Batch:
        """A batch with its inputs in the order of the model's."""
        inputs, target = batch
        return tuple(inputs[index] for index in self.order), target


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that fits together. `classes` is how many the metrics count."""

    settings: Settings
    overrides: Sequence[str]
    choice: ModelChoice
    compiled: Compiled
    data: Data
    order: tuple[int, ...]
    objective: Objective
    metrics: tuple[str, ...]
    monitor: Monitor
    classes: int

    @property
    def scoring(self) -> Scoring:
        return Scoring(self.order, self.objective, self.metrics, self.classes)

    def meter(self, wait: int = 1) -> Meter:
        return self.scoring.meter(wait)

    def arranged(self, batch: Batch) -> Batch:
        """A batch with its inputs in the order of the model's."""
        return self.scoring.arranged(batch)


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
    return Prepared(
        settings,
        overrides,
        choice,
        compiled,
        data,
        order,
        objective,
        tuple(metrics),
        monitor,
        classes,
    )


def compile_with_data(
    choice: ModelChoice, settings: Settings, read: Reader = open_data
) -> tuple[Compiled, Data]:
    """The model and its data: each may tell the other what it leaves open."""
    if settings.data.get("source") == "random":
        compiled = compile_choice(choice, settings.act)
        return compiled, read(settings.data, wanted_by(compiled))
    data = read(settings.data, None)
    return compile_choice(choice, settings.act, data.gives), data


def make_objective(
    compiled: Compiled,
    data: Data,
    order: Sequence[int],
    settings: Settings,
    overrides: Sequence[str],
) -> tuple[Objective, int]:
    """The loss in both modes, and how many classes the metrics count."""
    task = data.task if settings.task == "auto" else settings.task
    outputs = find_outputs(compiled, data, order)
    first = next(iter(outputs.eval.values()))
    count = data.gives.get("vocab_size", 0) if task == "language" else len(data.classes or ())
    binary = (
        task == "classification" and count == 2 and (len(first.shape) == 1 or first.shape[1] == 1)
    )
    check_classes(compiled, data, outputs, binary)
    bare = Objective(task, {}, binary)
    target = torch.empty((2, *data.target.shape), dtype=data.target.dtype, device="meta")
    node = settings.loss or USUAL["binary" if binary else task]
    losses = {
        mode: _loss_for(bare, types, target, node, mode, outputs.train, overrides)
        for mode, types in (("eval", outputs.eval), ("train", outputs.train))
    }
    counted = max(count, first.shape[-1] if task == "language" else 0, 2)
    return Objective(task, losses, binary), counted


def _loss_for(
    objective: Objective,
    types: Mapping[str, TensorType],
    target: Tensor,
    node: Mapping[str, Any],
    mode: str,
    in_training: Mapping[str, TensorType],
    overrides: Sequence[str],
) -> Loss:
    """The loss for the outputs of one mode.

    A loss that names outputs which eval mode does not give (an auxiliary head's) is replaced there
    by the task's usual one, on the model's first output.
    """
    result = {name: torch.empty(t.shape, dtype=t.dtype, device="meta") for name, t in types.items()}
    outputs, aimed, _, _ = objective.shaped(result, target)
    shapes = {name: (tuple(value.shape), value.dtype) for name, value in outputs.items()}
    if mode == "eval" and "layers" in node and set(types) != set(in_training):
        node = USUAL["binary" if objective.binary else objective.task]
    return make_loss(node, shapes, (tuple(aimed.shape), aimed.dtype), overrides)


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
