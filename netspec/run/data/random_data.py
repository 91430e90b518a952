"""The model's own sizes → Data of random numbers, for trying a model without any files."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from netspec.errors import Diagnostic, RunError
from netspec.run.data.dataset import Data, Field, Wanted
from netspec.run.data.in_memory import Arrays, Column
from netspec.run.data.seeded import generator_for
from netspec.run.data.settings import RandomSettings
from netspec.run.data.validation_errors import override_span

_BYTES = 4  # of a number
_MOST = 1 << 34  # bytes that are made up


@dataclass(frozen=True)
class _Target:
    task: str
    field: Field
    classes: int  # 0 for numbers


def random_data(settings: RandomSettings, wanted: Wanted) -> Data:
    """Random inputs of the model's own shapes, with targets that fit its output.

    Floats are normal; integers go up to `vocabulary`. Raises RunError: NS605 where the model's
    output is not known and no `classes` are given.
    """
    target = _target(settings, wanted)
    _refuse_too_many(settings, wanted)
    vocabulary = settings.vocabulary or (target.classes if target.task == "language" else 2)
    counts = (settings.train, settings.validation, settings.test)
    splits = [
        _examples(count, wanted, target, vocabulary, generator_for(settings.seed, number))
        if count
        else None
        for number, count in enumerate(min(c, settings.limit or c) for c in counts)
    ]
    named = target.task in ("classification", "segmentation")
    classes = tuple(str(number) for number in range(target.classes)) if named else None
    return Data(
        name="random",
        task=target.task,
        inputs=wanted.inputs,
        target=target.field,
        classes=classes,
        train=splits[0],
        validation=splits[1],
        test=splits[2],
        augment=None,
        gives={"num_classes": target.classes} if target.classes else {},
        facts={"task": target.task, **({"classes": list(classes)} if classes else {})},
    )


def _refuse_too_many(settings: RandomSettings, wanted: Wanted) -> None:
    """Raises RunError (NS605) where the numbers would not fit in the memory."""
    each = sum(math.prod(field.shape) for field in wanted.inputs) * _BYTES
    for option in ("train", "validation", "test"):
        count = min(getattr(settings, option), settings.limit or _MOST)
        if count * each > _MOST:
            fact = f"`data.{option}` is {count:,} examples of {each:,} bytes, and at most "
            fact += f"{_MOST:,} bytes are made up"
            raise RunError(Diagnostic("NS605", fact, override_span(option, count)))


def _target(settings: RandomSettings, wanted: Wanted) -> _Target:
    output = wanted.output
    if output is None:
        if settings.classes is None or settings.task == "regression":
            fact = "`random` cannot see the model's output, so it needs `data.classes`"
            raise RunError(Diagnostic("NS605", fact, override_span("classes", settings.classes)))
        return _Target("classification", Field(None, (), torch.int64), settings.classes)
    if settings.task == "regression" or not output.shape:
        return _Target("regression", Field(None, output.shape, torch.float32), 0)
    tokens = bool(wanted.inputs) and not wanted.inputs[0].dtype.is_floating_point
    if len(output.shape) == 2 and tokens:
        field = Field(None, output.shape[:1], torch.int64)
        return _Target("language", field, settings.classes or output.shape[1])
    task = "classification" if len(output.shape) == 1 else "segmentation"
    field = Field(None, output.shape[1:], torch.int64)
    return _Target(task, field, settings.classes or output.shape[0])


def _examples(
    count: int, wanted: Wanted, target: _Target, vocabulary: int, generator: torch.Generator
) -> Arrays:
    inputs = tuple(Column(_values(count, f, vocabulary, generator)) for f in wanted.inputs)
    return Arrays(inputs, _values(count, target.field, target.classes, generator))


def _values(count: int, field: Field, below: int, generator: torch.Generator) -> Tensor:
    shape = (count, *field.shape)
    if field.dtype.is_floating_point:
        return torch.randn(shape, generator=generator).to(field.dtype)
    if field.dtype == torch.bool:
        return torch.rand(shape, generator=generator) < 0.5
    return torch.randint(max(1, below), shape, generator=generator).to(field.dtype)
