"""`netspec.register_data`: a function of one's own gives the splits of a data set."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints, overload

import torch
from pydantic import Field as Option
from pydantic import create_model
from torch import Tensor
from torch.utils.data import default_collate

from netspec import data_registry
from netspec.data_registry import RegisteredData
from netspec.errors import Diagnostic, RunError
from netspec.ops import registry
from netspec.run.data.dataset import Batch, Data, Examples, Field, digest
from netspec.run.data.images import image_gives
from netspec.run.data.in_memory import Arrays, Column
from netspec.run.data.settings import KINDS, Settings
from netspec.run.data.split import held_out, limited
from netspec.run.data.validation_errors import override_span

Function = TypeVar("Function", bound=Callable[..., Any])
_NAME = re.compile(r"(?:[A-Za-z]\w*/)?[A-Za-z]\w*")
_SPLITS = ("train", "validation", "test")
_SAMPLE = 16  # examples of a split that stand for all of it, where they are read as needed


@overload
def register_data(function: Function, name: str | None = None) -> Function: ...


@overload
def register_data(
    function: str | None = None, name: None = None
) -> Callable[[Function], Function]: ...


def register_data(function: Any = None, name: str | None = None) -> Any:
    """Register a function that gives a data set, under its own name or `name`; gives it back.

    As a decorator, `@register_data` or `@register_data("mylib/blobs")`, or as a call. Then
    `data=blobs` chooses it, and its arguments are options: `data.count=300`; each needs an
    annotation of a plain type, and a default. `batch_size`, `validation` and what else all data
    have are there as well.

    It gives a mapping with `train`, and `validation` and `test` if it has them: each a tuple of
    tensors `(inputs…, target)`, or a dataset of torch's kind, with `len` and items
    `(input, target)` that are tensors or numbers; several inputs are a tuple or, by their names in
    the spec, a mapping. `classes` in the mapping are the names of the classes.
    A target that is one whole number means classification, floats regression, whole numbers in two
    dimensions segmentation, in one dimension language.

    Raises TypeError and ValueError for what can't be registered.
    """
    if function is None or isinstance(function, str):
        wanted = function

        def decorate(found: Function) -> Function:
            _register(found, wanted)
            return found

        return decorate
    _register(function, name)
    return function


def _register(function: Callable[..., Any], name: str | None) -> None:
    if not inspect.isfunction(function):
        raise TypeError(f"{function!r} is no function: data is registered as one that gives it")
    name = function.__name__ if name is None else name
    if not _NAME.fullmatch(name):
        raise ValueError(f"`{name}` is no name for data: write `name`, or `library/name`")
    if name in KINDS:
        raise ValueError(f"`{name}` is a source of data already: give it a namespace")
    hints = get_type_hints(function)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        own = parameter.name
        if own in Settings.model_fields:
            raise ValueError(f"`{own}` of `{name}` is an option that all data have")
        if own not in hints or parameter.default is parameter.empty:
            raise TypeError(
                f"`{own}` of `{name}` needs an annotation and a default: it is an option"
            )
        shown = getattr(hints[own], "__name__", str(hints[own]))
        fields[own] = (hints[own], Option(default=parameter.default, description=f"`{shown}`"))
    options = create_model(f"Options of {name}", __base__=Settings, **fields)
    data_registry.add(RegisteredData(name, function, options, tuple(fields), registry.loading()))


def registered_data(found: RegisteredData, settings: Settings) -> Data:
    """The data of a registered function. Raises RunError (NS601, NS602, NS605)."""
    given = {name: getattr(settings, name) for name in found.own}
    try:
        splits = found.function(**given)
    except Exception as error:  # the function's own
        said = str(error).strip().partition("\n")[0] or "no reason given"
        raise _wrong(found, f"raised {type(error).__name__}: {said}", "NS602") from error
    if not isinstance(splits, Mapping) or splits.get("train") is None:
        raise _wrong(found, "gives no mapping with `train`", "NS602")
    unknown = [key for key in splits if key not in (*_SPLITS, "classes")]
    if unknown:
        raise _wrong(found, f"gives `{unknown[0]}`, which is none of {', '.join(_SPLITS)}", "NS602")
    there = {key: _examples(splits[key], key, found) for key in _SPLITS if splits.get(key)}
    fields = _fields(there["train"], found)
    inputs, target = fields
    task = _task(target)
    labels = _labels(there["train"])
    classes = _classes(splits, labels, task, found)
    if "validation" not in there and settings.validation:
        count = len(there["train"])
        stratify = labels if task == "classification" else None
        kept, taken = held_out(count, settings.validation, settings.split_seed, stratify)
        whole = there["train"]
        there |= {"train": _Part(whole, kept), "validation": _Part(whole, taken)}
    if settings.limit is not None:
        there = {
            name: _Part(each, limited(torch.arange(len(each)), settings.limit))
            for name, each in there.items()
        }
    shape = inputs[0].shape
    gives: dict[str, int] = {"num_classes": len(classes)} if classes else {}
    gives |= image_gives((shape[0], shape[1], shape[2])) if len(shape) == 3 else {}
    gives |= {"num_features": shape[0]} if len(shape) == 1 else {}
    return Data(
        name=found.name,
        task=task,
        inputs=inputs,
        target=target,
        classes=classes,
        train=there["train"],
        validation=there.get("validation"),
        test=there.get("test"),
        augment=None,
        gives=gives,
        facts={"task": task, **({"classes": list(classes)} if classes else {})},
    )


@dataclass(frozen=True)
class _Items:
    """A dataset of torch's kind."""

    items: Any
    names: tuple[str, ...] | None  # of the inputs, where they have some

    def __len__(self) -> int:
        return len(self.items)

    def batch(self, indices: Tensor) -> Batch:
        inputs, target = default_collate([self.items[int(index)] for index in indices])
        if self.names is not None:
            return tuple(inputs[name] for name in self.names), target
        return (inputs,) if isinstance(inputs, Tensor) else tuple(inputs), target

    def fingerprint(self) -> str:
        """Of some examples, evenly spaced, and of their number."""
        inputs, target = self.batch(limited(torch.arange(len(self)), _SAMPLE))
        return digest(str(len(self)).encode(), *inputs, target)


@dataclass(frozen=True)
class _Part:
    """Some examples of a split, by their positions in it."""

    whole: Examples
    positions: Tensor

    def __len__(self) -> int:
        return len(self.positions)

    def batch(self, indices: Tensor) -> Batch:
        return self.whole.batch(self.positions[indices])

    def fingerprint(self) -> str:
        return digest(self.whole.fingerprint().encode(), self.positions)


def _examples(split: Any, name: str, found: RegisteredData) -> Examples:
    if isinstance(split, tuple) and all(isinstance(part, Tensor) for part in split):
        lengths = {len(part) if part.ndim else 0 for part in split}
        if len(split) < 2 or len(lengths) != 1:
            raise _wrong(found, f"gives `{name}` tensors that are not equally long", "NS602")
        columns = tuple(Column(part.contiguous()) for part in split[:-1])
        return Arrays(columns, split[-1])
    try:
        count = len(split)
        inputs, _ = split[0]
        names = tuple(inputs) if isinstance(inputs, Mapping) else None
        examples = _Items(split, names)
        examples.batch(torch.arange(min(2, count)))
    except Exception as error:  # the dataset's own
        said = str(error).strip().partition("\n")[0]
        fact = f"gives `{name}` whose first items are no (input, target) of tensors: {said}"
        raise _wrong(found, fact, "NS602") from error
    return examples


def _fields(train: Examples, found: RegisteredData) -> tuple[tuple[Field, ...], Field]:
    inputs, target = train.batch(torch.arange(1))
    if not all(isinstance(value, Tensor) for value in (*inputs, target)):
        raise _wrong(found, "gives items that are no tensors or numbers", "NS602")
    names: Sequence[str | None] = getattr(train, "names", None) or [None] * len(inputs)
    fields = tuple(
        Field(name, tuple(value.shape[1:]), value.dtype)
        for name, value in zip(names, inputs, strict=True)
    )
    return fields, Field(None, tuple(target.shape[1:]), target.dtype)


def _task(target: Field) -> str:
    if target.dtype.is_floating_point:
        return "regression"
    return {0: "classification", 1: "language"}.get(len(target.shape), "segmentation")


def _labels(train: Examples) -> Tensor | None:
    """The classes of all examples, where they need not be read one by one."""
    if isinstance(train, Arrays):
        return train.target if train.target.ndim == 1 else None
    told = getattr(getattr(train, "items", None), "targets", None)
    if told is None:
        return None
    labels = torch.as_tensor(told)
    return labels.long() if labels.ndim == 1 and len(labels) == len(train) else None


def _classes(
    splits: Mapping[str, Any], labels: Tensor | None, task: str, found: RegisteredData
) -> tuple[str, ...] | None:
    if task not in ("classification", "segmentation"):
        return None
    told = splits.get("classes") or getattr(splits["train"], "classes", None)
    if told is not None:
        return tuple(map(str, told))
    if labels is None or not len(labels):
        raise _wrong(found, "does not tell its classes: give `classes`, their names", "NS602")
    return tuple(map(str, range(int(labels.max()) + 1)))


def _wrong(found: RegisteredData, fact: str, code: str) -> RunError:
    return RunError(Diagnostic(code, f"`{found.name}` {fact}", override_span("source", found.name)))
