"""One run, from settings to a folder with its results."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.profilers import PassThroughProfiler
from torch import nn

from netspec.errors import Diagnostic, RunError, Span
from netspec.run import folder as files
from netspec.run.checkpoint import load_own, read_checkpoint
from netspec.run.data.batches import Batches
from netspec.run.data.settings import settings_of
from netspec.run.device import Device, find_device
from netspec.run.evaluate_split import Measured, measure_split
from netspec.run.initial_model import Start, make_start
from netspec.run.loggers.session import Trackers, best_figures, tracked
from netspec.run.optim import Length
from netspec.run.preflight import Prepared, prepare
from netspec.run.processes import Workers, rank, world_size
from netspec.run.progress import Bar, Lines, TerminalBar, View
from netspec.run.report.curves import curves_svg
from netspec.run.resume import refuse_changed, refuse_taken, resumable
from netspec.run.run_callback import Keeper, SafeIO
from netspec.run.run_metadata import Record, describe_run, write_start
from netspec.run.run_plugins import enabled_for_run
from netspec.run.sample import sample_text
from netspec.run.settings import Settings
from netspec.run.strategy import find_strategy
from netspec.run.sweeper_direction import Direction, check_direction
from netspec.run.task import Task
from netspec.run.terminal import Verbosity, console, say, shown, tell_start

Metrics = dict[str, Any]
_SAMPLE = 400  # characters that a language model writes at the end


@dataclass(frozen=True, slots=True)
class Loaders:
    """The batches of training and validation."""

    train: Batches
    validation: Batches | None


def train(
    settings: Settings,
    overrides: Sequence[str],
    folder: Path,
    told: Verbosity = "full",
    sought: Direction | None = None,
) -> Metrics:
    """Train, test the best weights, and leave everything in the folder; gives its metrics.json.

    `told` is what is said on the way: a brief run leaves out its start and its epochs; `sought` is
    which way a sweeper that is given the best figure looks.

    A folder that has a finished run is refused, unless the run is resumed: then its results are
    given as they are. Raises SpecError and RunError for what can't be, Interrupted for Ctrl-C.
    """
    if settings.resume and files.status_of(folder) == "finished":
        refuse_changed(folder, settings)
        if told == "full":
            say(f"{shown(folder)} is finished already; its results:")
        return files.read_metrics(folder) or {}
    if settings.threads:
        torch.set_num_threads(settings.threads)
    device = find_device(settings.device, settings.trainer.devices)
    with enabled_for_run(settings.plugins, settings.limits, overrides):
        prepared = prepare(settings, overrides, folder=folder)
        check_direction(sought, prepared.monitor, overrides)
        if rank():
            return _train(prepared, device, folder, told)
        with files.held(folder):
            refuse_taken(folder, settings)
            with Workers(settings, overrides, folder):
                return _train(prepared, device, folder, told)


def _train(prepared: Prepared, device: Device, folder: Path, told: Verbosity) -> Metrics:
    settings = prepared.settings
    info = describe_run(prepared)
    resumed = resumable(prepared, info, folder)
    start = make_start(prepared, resumed is not None)
    loaders = _loaders(prepared)
    record = Record(folder, prepared, info, device)
    keeper = Keeper(folder, prepared, info)
    trackers: Trackers | None = None  # the first process's
    with ExitStack() as stack:
        stack.enter_context(record.told_how_it_ends(keeper))
        if not rank():
            write_start(folder, prepared, start, record, resumed is not None)
            if told == "full":
                tell_start(_start_lines(prepared, start, record, folder))
            going_on = resumed is not None
            loggers = tracked(settings.logger, folder, info["run"], going_on, prepared.overrides)
            trackers = stack.enter_context(loggers)
            keeper.listeners.append(trackers.log)
        trainer = _trainer(prepared, device, folder, keeper, info, told)
        options = settings_of(settings.data)
        length = _length(settings, loaders.train)
        examples = prepared.data.train
        assert examples is not None, "make_loaders refuses data without a training split"
        task = Task(start.model, prepared, length, len(examples), options.batch_size)
        torch.manual_seed(settings.seed + rank())  # dropout differs among processes
        try:
            trainer.fit(
                task, loaders.train, loaders.validation, ckpt_path=resumed, weights_only=False
            )
        except _UNRESTORED as error:
            if resumed is None or keeper.begun:
                raise
            raise RunError(_unrestored(resumed, error)) from None
        if trackers is None:
            return {}
        metrics = _finish(prepared, device, folder, keeper, record, told)
        trackers.best = best_figures(metrics)
        return metrics


# What is raised where a checkpoint has another state than a run's.
_UNRESTORED = (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError)


def _unrestored(path: Path, error: Exception) -> Diagnostic:
    said = str(error).strip().partition("\n")[0]
    fact = (
        f"`{path.name}` has a state that training can't go on from: {type(error).__name__}, {said}"
    )
    help = f"start a new run from its weights: weights={path}"
    return Diagnostic("NS703", fact, Span(str(path)), help=help)


def _start_lines(prepared: Prepared, start: Start, record: Record, folder: Path) -> dict[str, str]:
    data = prepared.data
    sizes = [
        f"{len(split):,} {name}"
        for name, split in (
            ("train", data.train),
            ("validation", data.validation),
            ("test", data.test),
        )
        if split is not None
    ]
    name = prepared.compiled.program.name
    form = prepared.settings.act.form
    return {
        "model": f"{name}, {record.parameters:,} parameters, activations as {form}",
        **{name: "; ".join(lines) for name, lines in start.lines().items()},
        "data": f"{data.name}: {', '.join(sizes)}",
        "device": f"{record.device.torch}, {prepared.settings.precision}",
        "folder": str(shown(folder)),
    }


def _loaders(prepared: Prepared) -> Loaders:
    settings = prepared.settings
    options = settings_of(settings.data)
    data = prepared.data
    if data.train is None:
        raise RunError(
            Diagnostic("NS601", f"{data.name} has nothing to train on", Span.whole("run's data"))
        )
    shared: dict[str, Any] = {
        "rank": rank(),
        "world": world_size(settings),
        "workers": options.workers,
        "pin_memory": torch.cuda.is_available(),
    }
    training = Batches(
        _Arranged(data.train, prepared),
        options.batch_size,
        shuffle=options.shuffle,
        seed=settings.seed,
        augment=data.augment,
        drop_last=options.drop_last,
        training=True,
        **shared,
    )
    if len(training) == 0:
        fact = f"{data.name} has {len(data.train)} examples to train on, fewer than processes"
        raise RunError(Diagnostic("NS605", fact, Span.whole("run's data")))
    validation = None
    if data.validation is not None:
        size = options.eval_batch_size or options.batch_size
        validation = Batches(
            _Arranged(data.validation, prepared), size, shuffle=False, seed=0, **shared
        )
    return Loaders(training, validation)


class _NoProfiler(PassThroughProfiler):
    """Measures nothing, and costs a step nothing: Lightning enters it thirty times."""

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()


class _Arranged:
    """Examples with their inputs in the model's order."""

    def __init__(self, examples: Any, prepared: Prepared) -> None:
        self.examples = examples
        self.order = prepared.scoring.order

    def __len__(self) -> int:
        return len(self.examples)

    def batch(self, indices: torch.Tensor) -> Any:
        inputs, target = self.examples.batch(indices)
        return tuple(inputs[index] for index in self.order), target

    def fingerprint(self) -> str:
        found: str = self.examples.fingerprint()
        return found


def _length(settings: Settings, batches: Batches) -> Length:
    epochs = settings.trainer.max_epochs
    steps = math.ceil(len(batches) / settings.trainer.accumulate) * epochs
    return Length(min(steps, settings.trainer.max_steps or steps), epochs)


def _trainer(
    prepared: Prepared,
    device: Device,
    folder: Path,
    keeper: Keeper,
    info: Mapping[str, Any],
    told: Verbosity,
) -> Trainer:
    settings = prepared.settings
    options = settings.trainer
    batch_size = settings_of(settings.data).batch_size
    bar = Bar(_view(options.bar if told != "silent" else False), batch_size, prepared.monitor.name)
    if not rank():
        keeper.listeners.append(bar.show if told == "full" else bar.note)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice is about choices that are the run's
        return Trainer(
            accelerator="gpu" if device.kind == "cuda" else device.kind,
            devices=device.which,
            strategy=find_strategy(options.strategy, device, world_size(settings)),
            precision=settings.precision,
            max_epochs=options.max_epochs,
            min_epochs=0,
            max_steps=-1,  # the Keeper stops: a Trainer that counts steps resumes an epoch early
            gradient_clip_val=options.gradient_clip,
            accumulate_grad_batches=options.accumulate,
            check_val_every_n_epoch=options.validate_every,
            deterministic="warn" if options.deterministic else False,
            num_sanity_val_steps=0,
            profiler=_NoProfiler(),
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            logger=False,
            callbacks=[bar, keeper],
            plugins=[SafeIO(prepared, info)],
            default_root_dir=folder,
            inference_mode=True,
        )


def _view(asked: Literal["auto"] | bool) -> View:
    """Where the run is drawn: a notebook's cell, a terminal, or the lines of a file."""
    terminal = console()
    if rank():
        return Lines(terminal)
    if terminal.is_jupyter:
        from netspec.run.notebook import NotebookView

        return NotebookView(bool(asked))
    visible = terminal.is_terminal if asked == "auto" else asked
    return TerminalBar(terminal) if visible else Lines(terminal)


def _write_sample(
    prepared: Prepared, model: nn.Module, folder: Path, device: Device, told: Verbosity
) -> None:
    facts = prepared.data.facts
    if "characters" not in facts and "bytes" not in facts:
        return
    try:
        text = sample_text(model.to(device.torch), facts, length=_SAMPLE)
    except RunError as error:
        if told != "silent":
            say(f"\nno sample: {error.diagnostics[0].fact}")
        return
    files.write_text(folder / files.SAMPLE, text)
    if told != "silent":
        say(f"\na sample, as the model writes it:\n{text}\n")


def _finish(
    prepared: Prepared,
    device: Device,
    folder: Path,
    keeper: Keeper,
    record: Record,
    told: Verbosity,
) -> Metrics:
    """The best weights on the test split, the curves, and metrics.json."""
    best = folder / files.BEST
    tested: Measured | None = None
    fresh = prepared.compiled.built.make()
    load_own(fresh, read_checkpoint(best if best.is_file() else folder / files.LAST))
    if prepared.data.test is not None:
        options = settings_of(prepared.settings.data)
        precision = prepared.settings.precision
        tested = measure_split(
            prepared.scoring, fresh, prepared.data.test, options, device.torch, precision
        )
    if prepared.scoring.objective.task == "language":
        _write_sample(prepared, fresh, folder, device, told)
    title = f"{prepared.compiled.program.name} on {prepared.data.name}"
    files.write_text(folder / files.CURVES, curves_svg(keeper.rows, title))
    return record.finished(keeper, tested)
