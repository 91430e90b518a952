"""Metrics of torchmetrics, by the names that a run uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torchmetrics
from torch import Tensor
from torchmetrics import classification as c

from netspec.errors import Diagnostic, RunError, did_you_mean
from netspec.run.data.augment import NO_CLASS
from netspec.run.settings import place_of

MOST_PAIRED = 10_000  # classes whose pairs are counted: 0.8 GB
Mode = Literal["min", "max"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A metric: how it is made for so many classes, whether more is better, what it looks at."""

    make: Callable[[int], torchmetrics.Metric]
    larger_is_better: bool
    scores: bool = False  # scores of every class, not only the best one
    examples: int = 1  # that it needs
    pairs: bool = False  # counts how often each class is taken for each


def _classes(cls: type, **options: Any) -> Callable[[int], torchmetrics.Metric]:
    def make(count: int) -> torchmetrics.Metric:
        metric: torchmetrics.Metric = cls(
            count, validate_args=False, ignore_index=NO_CLASS, **options
        )
        return metric

    return make


_OF_CLASSES: Mapping[str, Kind] = {
    "accuracy": Kind(_classes(c.MulticlassAccuracy, average="micro"), True),
    "balanced_accuracy": Kind(_classes(c.MulticlassAccuracy, average="macro"), True, pairs=True),
    "f1": Kind(_classes(c.MulticlassF1Score, average="macro"), True, pairs=True),
    "precision": Kind(_classes(c.MulticlassPrecision, average="macro"), True, pairs=True),
    "recall": Kind(_classes(c.MulticlassRecall, average="macro"), True, pairs=True),
    "kappa": Kind(_classes(c.MulticlassCohenKappa), True, pairs=True),
    "top5": Kind(_classes(c.MulticlassAccuracy, average="micro", top_k=5), True, scores=True),
}
_OF_VALUES: Mapping[str, Kind] = {
    "mae": Kind(lambda _: torchmetrics.MeanAbsoluteError(), False),
    "mse": Kind(lambda _: torchmetrics.MeanSquaredError(), False),
    "rmse": Kind(lambda _: torchmetrics.MeanSquaredError(squared=False), False),
    "r2": Kind(lambda _: torchmetrics.R2Score(), True, examples=2),
}
KINDS: Mapping[str, Mapping[str, Kind]] = {
    "classification": _OF_CLASSES,
    "segmentation": {
        "accuracy": _OF_CLASSES["accuracy"],
        "iou": Kind(_classes(c.MulticlassJaccardIndex, average="macro"), True, pairs=True),
        "f1": _OF_CLASSES["f1"],
    },
    "language": {"accuracy": _OF_CLASSES["accuracy"], "top5": _OF_CLASSES["top5"]},
    "regression": _OF_VALUES,
}
USUAL: Mapping[str, tuple[str, ...]] = {
    "classification": ("accuracy",),
    "segmentation": ("iou", "accuracy"),
    "language": ("accuracy",),
    "regression": ("mae", "r2"),
}


@dataclass(frozen=True, slots=True)
class Monitor:
    """What makes a checkpoint the best: a column of metrics.csv, and its better direction."""

    name: str
    mode: Mode

    def better(self, new: float, old: float | None) -> bool:
        if new != new:
            return False
        return old is None or (new > old if self.mode == "max" else new < old)


def choose_metrics(asked: str | Sequence[str], task: str, overrides: Sequence[str]) -> list[str]:
    """The names of a run's metrics. Raises RunError (NS702) for one that the task has not."""
    if isinstance(asked, str):
        return list(USUAL[task])
    known = KINDS[task]
    problems = [
        Diagnostic(
            "NS702",
            f"{task} has no metric `{name}`",
            place_of("metrics", overrides),
            help=did_you_mean(name, known) or f"there are {', '.join(known)}",
        )
        for name in asked
        if name not in known
    ]
    if problems:
        raise RunError(problems)
    return list(dict.fromkeys(asked))


def check_metrics(
    metrics: Sequence[str],
    task: str,
    classes: int,
    sizes: Mapping[str, int],
    overrides: Sequence[str],
) -> None:
    """Raises RunError (NS702) for a metric that can't be taken of splits of these sizes, or of so
    many classes: it would fail at the end of the first epoch."""
    place = place_of("metrics", overrides)
    for name in metrics:
        kind = KINDS[task][name]
        if kind.pairs and classes > MOST_PAIRED:
            fact = f"`{name}` counts pairs of classes, and of {classes:,} there are too many"
            raise RunError(Diagnostic("NS702", fact, place, help="metrics=[accuracy]"))
        for split, size in sizes.items():
            if size < kind.examples:
                fact = f"`{name}` needs {kind.examples} examples, and the {split} split has {size}"
                others = [n for n in KINDS[task] if KINDS[task][n].examples <= size]
                help = f"metrics=[{','.join(others[:2])}]; or another size of the split"
                raise RunError(Diagnostic("NS702", fact, place, help=help))


def choose_monitor(
    asked: str, metrics: Sequence[str], task: str, validated: bool, overrides: Sequence[str]
) -> Monitor:
    """What is monitored: of validation data where there is some, else of training.

    Raises RunError (NS702) for a name that is not measured.
    """
    side = "val" if validated else "train"
    modes: dict[str, Mode] = {f"{side}_{name}": _mode(KINDS[task][name]) for name in metrics}
    modes[f"{side}_loss"] = "min"
    if asked == "auto":
        name = f"{side}_loss" if task == "language" else next(iter(modes))
        return Monitor(name, modes[name])
    name = asked if asked in modes else f"{side}_{asked}"
    if name not in modes:
        help = did_you_mean(asked, modes) or f"there are {', '.join(modes)}"
        fact = f"`{asked}` is not measured"
        raise RunError(Diagnostic("NS702", fact, place_of("monitor", overrides), help=help))
    return Monitor(name, modes[name])


def _mode(kind: Kind) -> Mode:
    return "max" if kind.larger_is_better else "min"


_LITTLE = 128  # scores of an example, up to which they may wait as they are
_MOST_HELD = 2**22  # numbers that may wait


class Meter(torch.nn.Module):
    """The mean loss and the metrics of what was seen since `reset`.

    Values wait until there are enough of them, so that a training step costs almost nothing. Which
    ones are handed on together depends on them alone, not on when the state was looked at.
    """

    def __init__(self, names: Sequence[str], task: str, classes: int, wait: int = 1) -> None:
        super().__init__()
        kinds = KINDS[task]
        self.kinds = {name: kinds[name] for name in names}
        self.metrics = torch.nn.ModuleDict({name: kinds[name].make(classes) for name in names})
        self.mean = torchmetrics.MeanMetric(nan_strategy="ignore").set_dtype(torch.float64)
        self.by_scores = any(kind.scores for kind in self.kinds.values())
        self.of_classes = task != "regression"
        self.wait = wait
        self.waiting: list[tuple[Tensor, int, Tensor, Tensor]] = []
        self.held = 0  # elements that wait

    def add(self, loss: Tensor, output: Tensor, target: Tensor) -> None:
        """One batch: its mean loss, its output (classes in dimension 1) and target."""
        seen = output.detach()
        if self.of_classes and not self.by_scores and seen.numel() > _LITTLE * len(seen):
            seen = to_classes(seen)  # of few scores, many batches at once
        self.waiting.append((loss.detach(), len(target), seen, target))
        self.held += seen.numel()
        if len(self.waiting) >= self.wait or self.held > _MOST_HELD:
            self.fold_if_equal()

    def fold_if_equal(self) -> None:
        """Hand on what waits."""
        if not self.waiting:
            return
        losses = torch.stack([loss for loss, *_ in self.waiting])
        weights = torch.tensor([count for _, count, *_ in self.waiting], device=losses.device)
        self.mean.set_dtype(torch.float64)  # which it forgets when it is moved to a device
        self.mean.update(losses.double(), weights.double())
        seen = torch.cat([seen for *_, seen, _ in self.waiting])
        target = torch.cat([target for *_, target in self.waiting])
        self._forget()
        if self.of_classes and not self.by_scores and seen.is_floating_point():
            seen = to_classes(seen)
        for name, metric in self._all()[1:]:
            scored = self.by_scores and not self.kinds[name].scores and self.of_classes
            metric.update(to_classes(seen) if scored else seen, target)

    def stay_local(self) -> None:
        """Measure what this process alone sees."""
        for _, metric in self._all():
            metric.distributed_available_fn = _alone

    def values(self) -> dict[str, float]:
        """The loss and each metric, over all processes."""
        self.fold_if_equal()
        return {name: float(metric.compute()) for name, metric in self._all()}

    def _forget(self) -> None:
        self.waiting.clear()
        self.held = 0

    def reset(self) -> None:
        self._forget()
        for _, metric in self._all():
            metric.reset()

    def state(self) -> dict[str, Any]:
        """All that was seen so far, as nested plain values and tensors."""
        seen = {name: dict(metric.metric_state) for name, metric in self._all()}
        return {"seen": seen, "waiting": list(self.waiting)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        for name, metric in self._all():
            for key, value in state["seen"][name].items():
                setattr(metric, key, value.to(metric.device))
            metric._update_count = 1
        device = self.mean.device
        self.waiting = [
            (loss.to(device), count, output.to(device), target.to(device))
            for loss, count, output, target in state["waiting"]
        ]

    def _all(self) -> list[tuple[str, Any]]:
        return [("loss", self.mean), *self.metrics.items()]


def _alone() -> bool:
    return False


def to_classes(output: Tensor) -> Tensor:
    """The class that scores best; of a single score, whether it is positive."""
    if output.ndim == 1:
        return (output > 0).long()
    if output.shape[1] == 1:
        return (output[:, 0] > 0).long()
    return output.argmax(1)
