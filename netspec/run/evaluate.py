"""A model on a split of some data → its metrics, classes and confusions."""

from __future__ import annotations

import errno
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from netspec.compiled import Compiled
from netspec.errors import Diagnostic, Origin, RunError, Span
from netspec.run.batch_sizes import check_evaluation
from netspec.run.classification_report import ClassScore, class_scores, confusion_lines, score_lines
from netspec.run.data.dataset import Data, Examples
from netspec.run.device import find_device
from netspec.run.evaluate_split import Measured, measure_split
from netspec.run.evaluation_target import find_subject
from netspec.run.folder import CHECKPOINTS, exclusive_folder, told_if_full, write_json
from netspec.run.metrics import check_metrics
from netspec.run.overrides import as_written, key_of
from netspec.run.run_metadata import versions
from netspec.run.run_plugins import enabled_for_run
from netspec.run.settings import EvalSettings

EVALUATION = "evaluation.json"
EVALUATIONS = "evaluations"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured, on what."""

    checkpoint: Path
    model: str
    act: str
    data: str
    split: str
    examples: int
    device: str
    precision: str
    task: str
    metrics: Mapping[str, float]
    classes: tuple[str, ...] | None
    confusion: list[list[int]] | None  # [true class][predicted class]
    seconds: float
    loaded: tuple[str, ...] = ()  # of weights without a checkpoint: what became of them

    def scores(self) -> list[ClassScore] | None:
        if self.confusion is None or self.classes is None:
            return None
        return class_scores(self.confusion, self.classes)

    def __str__(self) -> str:
        """The figures, the classes and the confusions, as the command tells them."""
        told = [f"weights     {line}" for line in self.loaded]
        lines = [
            *(told or [f"checkpoint  {self.checkpoint}"]),
            f"model       {self.model}, activations as {self.act}",
            f"data        {self.data}: {self.examples:,} {self.split}",
            f"device      {self.device}, {self.precision}",
            "",
            "  ".join(_figure(self, name, value) for name, value in self.metrics.items()),
        ]
        scores = self.scores()
        if scores is not None and self.confusion is not None and self.classes is not None:
            lines += ["", *score_lines(scores)]
            lines += ["", *confusion_lines(self.confusion, self.classes)]
        return "\n".join(lines)


def evaluate(settings: EvalSettings, overrides: Sequence[str]) -> Evaluation:
    """A checkpoint, or a spec with weights, on one split.

    A checkpoint on the data of training, with the same batch size, device and precision, has the
    figures of its run to the last digit. Nothing is written; a folder that `out` names is refused
    where it has an evaluation. Raises SpecError, RunError.
    """
    _refuse_written(settings.out)
    with enabled_for_run(settings.plugins, settings.limits, overrides):
        return _evaluation(settings, overrides)


def _evaluation(settings: EvalSettings, overrides: Sequence[str]) -> Evaluation:
    device = find_device(settings.device).torch
    subject = find_subject(settings, overrides)
    examples = _split(subject.data, settings.split)
    scoring, order = subject.scoring, subject.scoring.order
    task = scoring.objective.task
    sizes: dict[str, int] = {settings.split: len(examples)}
    check_metrics(scoring.metrics, task, scoring.classes, sizes, overrides)
    check_evaluation(subject.compiled, subject.data, order, subject.options, settings.split)
    if settings.compile:
        subject.model.compile()
    begun = time.monotonic()
    measured = measure_split(
        subject.scoring, subject.model, examples, subject.options, device, subject.precision
    )
    return Evaluation(
        subject.path,
        subject.compiled.program.name,
        _form(subject.compiled),
        subject.data.name,
        settings.split,
        len(examples),
        str(device),
        subject.precision,
        task,
        _metrics(measured, task),
        subject.data.classes,
        None if measured.confusion is None else measured.confusion.tolist(),
        round(time.monotonic() - begun, 3),
        () if subject.loaded is None else tuple(subject.loaded.lines()),
    )


def _form(compiled: Compiled) -> str:
    activation = compiled.recipe.activation
    return activation.form if activation.fn is None else f"{activation.form}, {activation.fn}"


def _split(data: Data, name: str) -> Examples:
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    found = splits[name]
    if found is not None:
        return found
    there = [f"split={key}" for key, value in splits.items() if value is not None]
    fact = f"{data.name} has no {name} split"
    help = f"there is {' and '.join(there)}"
    raise RunError(
        Diagnostic("NS601", fact, Span.of(Origin("override", "split", f"split={name}")), help=help)
    )


def _metrics(measured: Measured, task: str) -> dict[str, float]:
    found = dict(measured.metrics)
    if task == "language":
        loss = found["loss"]
        found["perplexity"] = math.exp(loss) if loss < 700 else math.inf
    return found


# Where it is told and kept


def _figure(found: Evaluation, name: str, value: float) -> str:
    unit = " nats" if name == "loss" and found.task == "language" else ""
    return f"{name} {value:.4f}{unit}"


def _refuse_written(out: str | None) -> None:
    """Raises RunError (NS707) for a folder that has an evaluation, or can't be one."""
    if out is None:
        return
    folder = Path(out)
    there = [path for path in (folder, *folder.parents) if os.path.exists(path)]
    if there and not there[0].is_dir():
        fact = f"`{there[0]}` is a file, and no folder"
    elif os.path.exists(folder / EVALUATION):
        fact = "an evaluation is in this folder"
    else:
        return
    help = "choose another folder: out=…"
    raise RunError(Diagnostic("NS707", fact, Span(str(folder)), help=help))


def _folder(out: str | None, checkpoint: Path) -> Path:
    """The folder that was asked for, or a new one in the run's. Raises RunError (NS706)."""
    inside = checkpoint.parent
    run = inside.parent if inside.name == CHECKPOINTS else inside
    parent = run / EVALUATIONS
    with told_if_full(parent):
        if out is not None:
            return _made(Path(out))
        return exclusive_folder(parent / datetime.now().strftime("%Y-%m-%d_%H-%M-%S"))


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, errno.ENOENT, errno.ELOOP, errno.EINVAL):
            raise
        fact = f"this can't be a folder: {os.strerror(error.errno).lower()}"
        help = "choose another folder: out=…"
        raise RunError(Diagnostic("NS707", fact, Span(str(folder)), help=help)) from None
    return folder


def write(found: Evaluation, out: str | None, overrides: Sequence[str]) -> Path:
    """Write evaluation.json into the folder `out`, or a new one in the run's; gives the folder.

    Raises RunError (NS706) where nothing can be written.
    """
    folder = _folder(out, found.checkpoint)
    scores = found.scores()
    plain = {
        **asdict(found),
        "checkpoint": str(found.checkpoint),
        "per_class": None if scores is None else [asdict(score) for score in scores],
        "overrides": [
            as_written(text) for text in overrides if key_of(text) not in ("checkpoint", "out")
        ],
        "versions": versions(),
        "written": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    write_json(folder / EVALUATION, plain)
    return folder
