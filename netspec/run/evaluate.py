"""`netspec eval`: a checkpoint on a split of some data → its metrics, classes and confusions."""

from __future__ import annotations

import errno
import math
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from netspec.errors import Diagnostic, RunError, Span, SpecError
from netspec.pipeline import Compiled
from netspec.run.checkpoint import Checkpoint, find_checkpoint, load_weights, read_checkpoint
from netspec.run.command import run_command, typed_overrides
from netspec.run.data.dataset import Data, Examples
from netspec.run.data.open import open_data, settings_of
from netspec.run.device import find_device
from netspec.run.enabling import plugins_of_run
from netspec.run.folder import CHECKPOINTS, told_if_full, write_json
from netspec.run.matching import input_order, wanted_by
from netspec.run.measure import Measured, measure_split
from netspec.run.metrics import choose_metrics
from netspec.run.objective import Scoring, make_objective
from netspec.run.other_data import check_same_classes, data_settings, with_own_characters
from netspec.run.overrides import key_of, parsed
from netspec.run.record import versions
from netspec.run.scores import ClassScore, class_scores, confusion_lines, score_lines
from netspec.run.settings import EvalSettings, read_eval_settings
from netspec.run.terminal import console, quiet
from netspec.run.trained import Trained, read_trained
from netspec.tell.terminal import print_error

EVALUATION = "evaluation.json"
EVALUATIONS = "evaluations"
_OWN_CHANGE = re.compile(r"(?:data|act)\.[^=]+=.*", re.S)
_PATH = re.compile(r"(checkpoint|out)=(.*)", re.S)
_BARE = re.compile(r"[\w./~:+-]+")  # what Hydra takes without quotes


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

    def scores(self) -> list[ClassScore] | None:
        if self.confusion is None or self.classes is None:
            return None
        return class_scores(self.confusion, self.classes)


def eval_command(arguments: Sequence[str]) -> int:
    """Evaluate a checkpoint; gives the exit status."""
    return run_command("eval", eval_job, [_quoted(text) for text in arguments], _placed)


def _quoted(argument: str) -> str:
    """A path as Hydra takes it: one that has blanks, commas or `=` in quotes."""
    match = _PATH.fullmatch(argument)
    if match is None or _BARE.fullmatch(match[2]) or match[2][:1] in ("'", '"', ""):
        return argument
    escaped = match[2].replace("\\", "\\\\").replace('"', '\\"')
    return f'{match[1]}="{escaped}"'


def _placed(overrides: Sequence[str], many: bool) -> list[str]:
    """The overrides, with keys of data and act as additions: they may change what the checkpoint
    has, which Hydra does not see."""
    if many:
        fact = "an evaluation is of one checkpoint: there is no sweep of them"
        help = "call it once for each, or compare the runs with `netspec report`"
        raise RunError(Diagnostic("NS702", fact, Span("-m"), help=help))
    changes = [text for text in overrides if _OWN_CHANGE.fullmatch(text)]
    for text in changes:
        parsed(text)
    return [f"++{text}" if text in changes else text for text in overrides]


def eval_job(config: DictConfig) -> None:
    """The job that Hydra starts: evaluates, tells, and writes evaluation.json."""
    quiet()
    overrides = [text.removeprefix("++") for text in typed_overrides()]
    try:
        if OmegaConf.is_missing(config, "checkpoint"):
            help = "python eval.py checkpoint=outputs/…, a run's folder or a .safetensors file"
            span = Span("the command line")
            raise RunError(Diagnostic("NS702", "no checkpoint is named", span, help=help))
        settings = read_eval_settings(config, overrides)
        _refuse_written(settings.out)
        checkpoint = read_checkpoint(find_checkpoint(settings.checkpoint))
        with plugins_of_run(settings.plugins, overrides):
            found = evaluate(checkpoint, settings, overrides)
        tell(found)
        folder = _folder(settings.out, found.checkpoint)
        write(found, folder, overrides)
    except SpecError as error:
        print_error(error)
        sys.exit(1)
    console().print(f"folder  {folder}", markup=False)


def evaluate(
    checkpoint: Checkpoint, settings: EvalSettings, overrides: Sequence[str]
) -> Evaluation:
    """A checkpoint's weights on one split.

    On the data of training, with the same batch size, device and precision, the figures are those
    of its run to the last digit. Raises SpecError, RunError.
    """
    device = find_device(settings.device).torch
    trained = read_trained(checkpoint)
    threads = settings.threads or trained.run.threads
    if threads:
        torch.set_num_threads(threads)
    compiled = checkpoint.compile(_act(checkpoint, settings))
    chosen = data_settings(trained, settings.data, overrides)
    data = _open(chosen, compiled, trained)
    examples = _split(data, settings.split)
    scoring = make_scoring(compiled, data, trained, settings, overrides)
    with torch.random.fork_rng(devices=[]):
        model = compiled.built.make()
    load_weights(model, checkpoint)
    if settings.compile:
        model.compile()
    precision = settings.precision or trained.run.precision
    begun = time.monotonic()
    measured = measure_split(scoring, model, examples, settings_of(chosen), device, precision)
    return Evaluation(
        checkpoint.path,
        compiled.program.name,
        _form(compiled),
        data.name,
        settings.split,
        len(examples),
        str(device),
        precision,
        scoring.objective.task,
        _metrics(measured, scoring.objective.task),
        data.classes,
        None if measured.confusion is None else measured.confusion.tolist(),
        round(time.monotonic() - begun, 3),
    )


def _act(checkpoint: Checkpoint, settings: EvalSettings) -> dict[str, str] | None:
    """The form that was asked for; what it leaves out is as in the checkpoint."""
    if settings.act is None:
        return None
    own = checkpoint.recipe.activation
    fn = settings.act.fn or own.fn
    form = settings.act.form or own.form
    return {"form": form} if fn is None else {"form": form, "fn": fn}


def _form(compiled: Compiled) -> str:
    activation = compiled.recipe.activation
    return activation.form if activation.fn is None else f"{activation.form}, {activation.fn}"


def _open(chosen: Mapping[str, Any], compiled: Compiled, trained: Trained) -> Data:
    """The data, which means the same as that of training. Raises RunError."""
    if chosen.get("source") == "random":
        return open_data(chosen, wanted_by(compiled))
    data = open_data(chosen)
    if trained.run.task == "auto" and data.task != trained.task:
        fact = f"{data.name} is for {data.task}, and the checkpoint for {trained.task}"
        raise RunError(Diagnostic("NS603", fact, Span("the run's data")))
    input_order(compiled, data)
    check_same_classes(trained, data)
    return with_own_characters(trained, data) if data.task == "language" else data


def _split(data: Data, name: str) -> Examples:
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    found = splits[name]
    if found is not None:
        return found
    there = [f"split={key}" for key, value in splits.items() if value is not None]
    fact = f"{data.name} has no {name} split"
    help = f"there is {' and '.join(there)}"
    raise RunError(Diagnostic("NS601", fact, Span(f"from split={name}"), help=help))


def make_scoring(
    compiled: Compiled,
    data: Data,
    trained: Trained,
    settings: EvalSettings,
    overrides: Sequence[str],
) -> Scoring:
    """The loss and the metrics of training, unless others are asked for. Raises RunError."""
    order = input_order(compiled, data)
    objective, classes = make_objective(compiled, data, order, trained.run, overrides)
    asked = trained.metrics_asked if isinstance(settings.metrics, str) else settings.metrics
    metrics = choose_metrics(asked, objective.task, overrides)
    return Scoring(order, objective, tuple(metrics), classes)


def _metrics(measured: Measured, task: str) -> dict[str, float]:
    found = dict(measured.metrics)
    if task == "language":
        loss = found["loss"]
        found["perplexity"] = math.exp(loss) if loss < 700 else math.inf
    return found


# Where it is told and kept


def tell(found: Evaluation) -> None:
    """The figures, the classes and the confusions, on the terminal."""
    lines = [
        f"checkpoint  {found.checkpoint}",
        f"model       {found.model}, activations as {found.act}",
        f"data        {found.data}: {found.examples:,} {found.split}",
        f"device      {found.device}, {found.precision}",
        "",
        "  ".join(_figure(found, name, value) for name, value in found.metrics.items()),
    ]
    scores = found.scores()
    if scores is not None and found.confusion is not None and found.classes is not None:
        lines += ["", *score_lines(scores)]
        lines += ["", *confusion_lines(found.confusion, found.classes)]
    console().print("\n".join([*lines, ""]), markup=False)


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
        return _new_folder(parent) if out is None else _made(Path(out))


def _new_folder(parent: Path) -> Path:
    """A folder that was not there before, by the time of day."""
    first = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for name in (first, *(f"{first}_{number}" for number in range(2, 1000))):
        try:
            (parent / name).mkdir(parents=True)
        except FileExistsError:
            continue
        return parent / name
    raise AssertionError("a thousand evaluations end in one second")


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


def write(found: Evaluation, folder: Path, overrides: Sequence[str]) -> None:
    """evaluation.json. Raises RunError (NS706) where nothing can be written."""
    scores = found.scores()
    plain = {
        **asdict(found),
        "checkpoint": str(found.checkpoint),
        "per_class": None if scores is None else [asdict(score) for score in scores],
        "overrides": [text for text in overrides if key_of(text) not in ("checkpoint", "out")],
        "versions": versions(),
        "written": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    write_json(folder / EVALUATION, plain)
