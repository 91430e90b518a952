"""What a run aims at: a loss over outputs and target, and the metrics that score them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from netspec.compiled import Compiled
from netspec.errors import Diagnostic, RunError, did_you_mean
from netspec.ops.types import TensorType
from netspec.run.data.dataset import Batch, Data
from netspec.run.data_compatibility import check_classes, find_outputs, named_outputs
from netspec.run.loss import USUAL, Loss, make_loss
from netspec.run.metrics import Meter
from netspec.run.settings import Settings, place_of


@dataclass(frozen=True, slots=True)
class Objective:
    """How outputs and target become a loss, and what the metrics are shown."""

    task: str
    loss: Mapping[str, Loss]  # in "train" and "eval" mode, where outputs may differ
    binary: bool  # two classes, told apart by one score
    first: str | None = None  # the output that the usual loss and the metrics look at

    def shaped(
        self, result: object, target: Tensor
    ) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
        """The outputs by name and the target as the loss takes them; what metrics take of both."""
        outputs = named_outputs(result, self.first)
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


def make_objective(
    compiled: Compiled,
    data: Data,
    order: Sequence[int],
    settings: Settings,
    overrides: Sequence[str],
) -> tuple[Objective, int]:
    """The loss in both modes, and how many classes the metrics count."""
    task = data.task if settings.task == "auto" else settings.task
    outputs = find_outputs(compiled, data, order, settings.output)
    if settings.output is not None and settings.output not in outputs.eval:
        fact = f"the model has no output `{settings.output}`"
        help = did_you_mean(settings.output, outputs.eval) or f"it has {', '.join(outputs.eval)}"
        raise RunError(Diagnostic("NS702", fact, place_of("output", overrides), help=help))
    first = next(iter(outputs.eval.values()))
    count = data.gives.get("vocab_size", 0) if task == "language" else len(data.classes or ())
    binary = (
        task == "classification" and count == 2 and (len(first.shape) == 1 or first.shape[1] == 1)
    )
    check_classes(compiled, data, outputs, binary)
    bare = Objective(task, {}, binary, settings.output)
    target = torch.empty((2, *data.target.shape), dtype=data.target.dtype, device="meta")
    node = settings.loss or USUAL["binary" if binary else task]
    losses = {
        mode: _loss_for(bare, types, target, node, mode, outputs.train, overrides)
        for mode, types in (("eval", outputs.eval), ("train", outputs.train))
    }
    counted = max(count, first.shape[-1] if task == "language" else 0, 2)
    return Objective(task, losses, binary, settings.output), counted


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
