"""Whether the model runs on every batch that the run will give it, asked before the first step.

Of 129 examples in batches of 64 the last batch is one example, of which batch norm has no variance
in training, and whose dimension `squeeze` takes away. The model is asked on `meta`, in the mode and
with the numbers of examples that there will be.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from netspec.compiled import Compiled
from netspec.errors import Diagnostic, RunError, Span
from netspec.ir.stated import Stated
from netspec.run.data.batches import batch_sizes
from netspec.run.data.dataset import Data, Examples
from netspec.run.data.settings import Settings as DataSettings
from netspec.run.data.validation_errors import override_span
from netspec.run.data_compatibility import (
    broken_by,
    example_batch,
    free_sizes,
    line_span,
    named_outputs,
    output_span,
    run_placed,
    tried_model,
)

_KNOWN = 2  # examples, of which `find_outputs` has asked


@dataclass(frozen=True, slots=True)
class BatchSize:
    """A number of examples that some process gets at once, and of what."""

    size: int
    training: bool
    split: str
    count: int  # examples of the split
    last: bool  # whether an epoch's last batch alone is so small
    world: int

    def __str__(self) -> str:
        what = "training" if self.training else f"the {self.split} split"
        batch = f"the last batch of {what}" if self.last else f"a batch of {what}"
        whole = batch if self.world == 1 else f"a process's share of {batch}"
        return f"{whole} has {self.size:,} example{'s' * (self.size != 1)}"


def check_batches(
    compiled: Compiled, data: Data, order: Sequence[int], options: DataSettings, world: int
) -> None:
    """Raises RunError: NS603 at the layer that can't take a batch of the run, NS605 where
    `data.drop_last` leaves nothing to train on."""
    sizes = [
        *_of_training(data, options, world),
        *_of_evaluation("validation", data.validation, options, world),
        *_of_evaluation("test", data.test, options, 1),
    ]
    _ask(compiled, data, order, options, sizes)


def check_evaluation(
    compiled: Compiled, data: Data, order: Sequence[int], options: DataSettings, split: str
) -> None:
    """As check_batches, for an evaluation of one split. Raises RunError (NS603)."""
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    sizes = _of_evaluation(split, splits[split], options, 1)
    _ask(compiled, data, order, options, sizes)


def _of_training(data: Data, options: DataSettings, world: int) -> list[BatchSize]:
    count = len(data.train or ())
    sizes = batch_sizes(count, options.batch_size, world, True, options.drop_last)
    if count and not sizes and options.drop_last:
        fact = (
            f"no batch is left to train on: {count:,} examples make none of {options.batch_size:,}"
        )
        help = f"data.batch_size={count}, or less; or data.drop_last=false"
        raise RunError(Diagnostic("NS605", fact, override_span("drop_last", True), help=help))
    return [BatchSize(size, True, "train", count, last, world) for size, last in sizes.items()]


def _of_evaluation(
    split: str, examples: Examples | None, options: DataSettings, world: int
) -> list[BatchSize]:
    count = len(examples or ())
    sizes = batch_sizes(count, options.eval_batch_size or options.batch_size, world, False)
    return [BatchSize(size, False, split, count, last, world) for size, last in sizes.items()]


def _ask(
    compiled: Compiled,
    data: Data,
    order: Sequence[int],
    options: DataSettings,
    sizes: Sequence[BatchSize],
) -> None:
    model, device = tried_model(compiled)
    known: dict[bool, dict[str, int]] = {}
    asked: set[tuple[int, bool]] = {(_KNOWN, True), (_KNOWN, False)}
    for each in sizes:
        _check_stated(compiled, data, order, options, each)
        if (each.size, each.training) in asked or (device != "meta" and each.size > _KNOWN):
            continue  # layers that look at numbers are tried on few examples: they are run
        asked.add((each.size, each.training))

        def result_of(size: int, training: bool = each.training) -> object:
            inputs = [example_batch(data.inputs[index], size, device) for index in order]
            return run_placed(model.train(training), inputs, compiled)

        if each.training not in known:
            known[each.training] = _ranks(result_of(_KNOWN))
        try:
            found = result_of(each.size)
        except RunError as error:
            raise RunError([_told(d, each, options) for d in error.diagnostics]) from None
        if _ranks(found) != known[each.training] or not _has_rows(found, each.size):
            raise RunError(_lost(compiled, result_of, each, options))


def _check_stated(
    compiled: Compiled,
    data: Data,
    order: Sequence[int],
    options: DataSettings,
    size: BatchSize,
) -> None:
    """Raises RunError (NS603) where the spec states that it takes no such batch."""

    def broken(count: int) -> list[Stated]:
        return broken_by(compiled, free_sizes(compiled, data, order, count))

    for one in broken(size.size):
        help = _mend(size, options, lambda sizes: not any(map(broken, sizes)))
        raise RunError(Diagnostic("NS603", f"{size}, and {one.told}", one.span, help=help))


def _ranks(result: object) -> dict[str, int]:
    return {name: value.ndim for name, value in named_outputs(result).items()}


def _has_rows(result: object, size: int) -> bool:
    """Whether the first output has a row for each example."""
    first = next(iter(named_outputs(result).values()))
    return first.ndim > 0 and len(first) == size


# What is said


def _told(diagnostic: Diagnostic, size: BatchSize, options: DataSettings) -> Diagnostic:
    """Why the model does not run on a batch, told of that batch."""
    said = diagnostic.fact.partition(": ")[2] or diagnostic.fact
    help = _mend(size, options)
    return replace(diagnostic, fact=f"{size}, and the model does not run on it: {said}", help=help)


def _lost(
    compiled: Compiled, result_of: Callable[[int], object], size: BatchSize, options: DataSettings
) -> Diagnostic:
    """What is said where the output for a batch is of another shape than it is for others."""
    usual, here = (_traced(compiled, result_of, count) for count in (_KNOWN, size.size))
    for before, step in zip(usual, here, strict=False):
        if len(step.shape) != len(before.shape):
            fact = f"{size}, and `{step.name}` takes its dimension away with the others of size 1"
            note = f"it gives {list(step.shape)}, and {list(before.shape)} for {_KNOWN} examples"
            help = f"name the dimensions that go: `dim: …`; or {_mend(size, options)}"
            return Diagnostic("NS603", fact, step.span, (note,), help)
    shape = list(next(iter(named_outputs(result_of(size.size)).values())).shape)
    fact = f"{size}, and the model gives {shape} for it, and not one row each"
    return Diagnostic("NS603", fact, output_span(compiled), help=_mend(size, options))


def _mend(
    size: BatchSize, options: DataSettings, fit: Callable[[Mapping[int, bool]], bool] | None = None
) -> str:
    """The options that spare the run such a batch: one as small, or one that does not `fit`."""
    fit = fit or (lambda sizes: min(sizes) > size.size)
    option = "data.batch_size" if size.training else "data.eval_batch_size"
    given = options.batch_size if size.training else options.eval_batch_size or options.batch_size
    other = _other_size(size, given, fit)
    mends = [f"{option}={other}"] if other else []
    if size.training and size.last:
        mends.insert(0, "data.drop_last=true leaves it out")
    return "; or ".join(mends) or "it takes more examples"


def _other_size(
    size: BatchSize, given: int, fit: Callable[[Mapping[int, bool]], bool]
) -> int | None:
    """The next larger size of batches that all fit, if there is one that is near."""
    for other in range(given + 1, 2 * given + 2 * size.size * size.world + 2):
        sizes = batch_sizes(size.count, other, size.world, size.training)
        if sizes and fit(sizes):
            return other
    return None


# Where a dimension is lost


@dataclass(frozen=True, slots=True)
class _Step:
    """A function of torch that a line of the spec calls, and the shape that it gives."""

    span: Span
    name: str
    shape: tuple[int, ...]


class _Trace(TorchFunctionMode):
    """Keeps what each call of torch below a line of the spec gives."""

    def __init__(self, compiled: Compiled) -> None:
        super().__init__()
        self.files = {kept.file: kept.text for kept in compiled.recipe.texts()}
        self.steps: list[_Step] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            frame: FrameType | None = sys._getframe(1)
            while frame is not None and frame.f_code.co_filename not in self.files:
                frame = frame.f_back
            if frame is not None:
                file = frame.f_code.co_filename
                span = line_span(file, frame.f_lineno, self.files[file])
                name = getattr(func, "__name__", str(func))
                self.steps.append(_Step(span, name, tuple(result.shape)))
        return result


def _traced(compiled: Compiled, result_of: Callable[[int], object], size: int) -> list[_Step]:
    trace = _Trace(compiled)
    with torch.random.fork_rng(devices=[]), trace:
        result_of(size)
    return trace.steps
