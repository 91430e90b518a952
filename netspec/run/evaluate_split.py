"""A model on one split of the data, in eval mode under inference mode: the figures that count."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from netspec.run.data.augment import NO_CLASS
from netspec.run.data.batches import Batches
from netspec.run.data.dataset import Examples
from netspec.run.data.settings import Settings as DataSettings
from netspec.run.metrics import MOST_PAIRED, to_classes
from netspec.run.objective import Scoring
from netspec.run.precision import autocast, cast, weights_dtype


@dataclass(frozen=True, slots=True)
class Measured:
    """The metrics by name, and, for classes, how often each class was taken for which."""

    metrics: dict[str, float]
    confusion: Tensor | None  # [true class, predicted class], counts; not of very many


def measure_split(
    scoring: Scoring,
    model: nn.Module,
    examples: Examples,
    options: DataSettings,
    device: torch.device,
    precision: str,
) -> Measured:
    """Metrics over all examples; the model is left in eval mode on the device."""
    dtype = weights_dtype(precision)
    model.to(device, dtype).eval()
    objective = scoring.objective
    for loss in objective.loss.values():
        loss.module.to(device)
    meter = scoring.meter().to(device)
    meter.stay_local()
    of_classes = objective.task in ("classification", "segmentation")
    count = scoring.classes if of_classes and scoring.classes <= MOST_PAIRED else 0
    confusion = torch.zeros(count, count, dtype=torch.int64)
    batches = Batches(
        examples,
        options.eval_batch_size or options.batch_size,
        shuffle=False,
        seed=0,
        workers=options.workers,
    )
    with torch.inference_mode(), autocast(precision, device):
        for batch in batches:
            inputs, target = scoring.arranged(batch)
            result = model(*(cast(value, dtype, device) for value in inputs))
            outputs, aimed, shown, counted = objective.shaped(result, target.to(device))
            aimed = aimed.to(dtype) if aimed.is_floating_point() else aimed
            meter.add(objective.loss["eval"](outputs, aimed), shown, counted)
            if count:
                confusion += _pairs(to_classes(shown), counted, count)
    return Measured(meter.values(), confusion if count else None)


def _pairs(predicted: Tensor, true: Tensor, count: int) -> Tensor:
    true, predicted = true.reshape(-1).long(), predicted.reshape(-1)
    known = true != NO_CLASS
    flat = true[known] * count + predicted[known]
    return torch.bincount(flat.cpu(), minlength=count * count).reshape(count, count)
