"""An .npz file of arrays → Data."""

from __future__ import annotations

import lzma
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy
import torch
from torch import Tensor

from netspec.errors import Diagnostic, Origin, RunError, Span, did_you_mean
from netspec.run.data.augment import Augment
from netspec.run.data.dataset import Data, Field
from netspec.run.data.images import (
    BYTE,
    augment_of,
    check_labels,
    class_names,
    image_facts,
    image_gives,
)
from netspec.run.data.in_memory import Arrays, Column, column
from netspec.run.data.normalize import Moments, Scale, moments_for, scale_of
from netspec.run.data.paths import existing, refuse_too_large
from netspec.run.data.settings import NpzSettings
from netspec.run.data.split import held_out, limited

_LAYOUTS = (  # of arrays for each split: Keras's, and MedMNIST's
    {
        "train": ("x_train", "y_train"),
        "validation": ("x_val", "y_val"),
        "test": ("x_test", "y_test"),
    },
    {
        "train": ("train_images", "train_labels"),
        "validation": ("val_images", "val_labels"),
        "test": ("test_images", "test_labels"),
    },
)
_TARGETS = ("y", "target", "targets", "label", "labels")
_CHANNELS = (1, 3, 4)
_ZIP = b"PK\x03\x04"
# What zipfile and numpy raise at archives and headers that are damaged, or lie.
_UNREADABLE = (
    OSError, ValueError, EOFError, KeyError, TypeError, IndexError, AttributeError, SyntaxError,
    OverflowError, MemoryError, RuntimeError, NotImplementedError, struct.error, zlib.error,
    lzma.LZMAError, zipfile.BadZipFile, tokenize.TokenError,
)  # fmt: skip

_Array: TypeAlias = numpy.ndarray[Any, Any]
_Split: TypeAlias = tuple[dict[str | None, Tensor], Tensor]


def npz_data(settings: NpzSettings) -> Data:
    """A file → Data. Raises RunError: NS601, NS602, NS604, NS605 for arrays it does not have."""
    path = existing(settings.root, "root", "file")
    arrays = _read(path)
    found = _splits(arrays, settings, path)
    names = list(found["train"][0])
    classes = None
    if _is_classes(found["train"][1], settings, path):
        labels = {name: _labels(target) for name, (_, target) in found.items()}
        classes = class_names(settings.classes, labels["train"], str(path))
        for split in labels.values():
            check_labels(split, len(classes), str(path))
        found = {name: (inputs, labels[name]) for name, (inputs, _) in found.items()}
    else:
        found = {name: (inputs, _numbers(target)) for name, (inputs, target) in found.items()}
    splits = _divided(found, settings, stratify=classes is not None)
    scales = {name: _scale(splits["train"][0][name], settings) for name in names}
    return _data(path.stem, settings, splits, scales, classes)


def _data(
    name: str,
    settings: NpzSettings,
    splits: Mapping[str, _Split],
    scales: Mapping[str | None, tuple[Moments | None, Scale | None]],
    classes: tuple[str, ...] | None,
) -> Data:
    inputs, target = splits["train"]
    task = "regression" if classes is None else "classification"
    examples = {
        split: Arrays(
            tuple(_column(values, scales[name][1]) for name, values in arrays.items()), wanted
        )
        for split, (arrays, wanted) in splits.items()
    }
    first = next(iter(inputs))
    shape = tuple(inputs[first].shape[1:])
    is_image = len(inputs) == 1 and len(shape) == 3 and inputs[first].dtype != torch.int64
    gives: dict[str, int] = {} if classes is None else {"num_classes": len(classes)}
    facts: dict[str, object] = {"task": task, "classes": list(classes) if classes else None}
    if is_image:
        gives |= image_gives(shape)
        facts |= image_facts(shape, scales[first][0])
    elif len(inputs) == 1 and len(shape) == 1:
        gives["num_features"] = shape[0]
    facts["inputs"] = {
        key or "": {"mean": list(m.mean), "std": list(m.std)} for key, (m, _) in scales.items() if m
    }
    return Data(
        name=name,
        task=task,
        inputs=tuple(
            Field(key, tuple(values.shape[1:]), _dtype(values)) for key, values in inputs.items()
        ),
        target=Field(None, tuple(target.shape[1:]), target.dtype),
        classes=classes,
        train=examples["train"],
        validation=examples.get("validation"),
        test=examples.get("test"),
        augment=_augment(settings, scales[first][1], shape, is_image),
        gives=gives,
        facts=facts,
    )


def _read(path: Path) -> dict[str, _Array]:
    try:
        if not path.is_file():
            raise ValueError("it is no plain file")
        with path.open("rb") as file:  # numpy leaves a broken one open
            if file.read(4) == _ZIP:
                with zipfile.ZipFile(file) as archive:
                    refuse_too_large(path, sum(item.file_size for item in archive.infolist()))
            file.seek(0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of sizes that overflow, which it refuses then
                loaded = numpy.load(file, allow_pickle=False)
                if isinstance(loaded, numpy.ndarray):
                    raise ValueError("it is a single array, and no archive of them")
                return {name: _numbered(loaded[name]) for name in loaded.files}
    except _UNREADABLE as error:
        said = str(error).partition("\n")[0] or type(error).__name__
        fact = f"`{path.name}` cannot be read: {said}"
        help = "save it with `numpy.savez`, without arrays of objects"
        raise RunError(Diagnostic("NS602", fact, Span(str(path)), help=help)) from None


def _numbered(array: _Array | bytes) -> _Array:
    if isinstance(array, bytes):
        raise ValueError("it holds a file that is no array")
    return array


def _splits(
    arrays: dict[str, _Array],
    settings: NpzSettings,
    path: Path,
) -> dict[str, _Split]:
    if settings.inputs is None and settings.target is None:
        for layout in _LAYOUTS:
            if set(layout["train"]) <= set(arrays):
                return {
                    split: _split({None: x}, y, arrays, settings, path)
                    for split, (x, y) in layout.items()
                    if x in arrays and y in arrays
                }
    target = settings.target or next((name for name in _TARGETS if name in arrays), None)
    if target is None:
        fact = "none of the arrays is called like a target"
        help = f"say `data.target=…`: there are {', '.join(arrays)}"
        raise RunError(Diagnostic("NS605", fact, Span(str(path)), help=help))
    others = [name for name in arrays if name != target]
    inputs: dict[str | None, str] = {name: name for name in others}
    if settings.inputs is not None:
        inputs = dict(settings.inputs.items())
    elif len(others) == 1:
        inputs = {None: others[0]}
    if not inputs:
        raise RunError(Diagnostic("NS605", "there is no array for the inputs", Span(str(path))))
    return {"train": _split(inputs, target, arrays, settings, path)}


def _split(
    inputs: Mapping[str | None, str],
    target: str,
    arrays: dict[str, _Array],
    settings: NpzSettings,
    path: Path,
) -> _Split:
    names = (target, *inputs.values())
    unknown = next((name for name in names if name not in arrays), None)
    if unknown is not None:
        help = did_you_mean(unknown, arrays) or f"there are {', '.join(arrays)}"
        fact = f"there is no array `{unknown}`"
        raise RunError(Diagnostic("NS605", fact, Span(str(path)), help=help))
    for name in names:
        if not arrays[name].size or not arrays[name].ndim:
            fact = f"array `{name}` holds no examples"
            raise RunError(Diagnostic("NS602", fact, Span(str(path))))
        if len(arrays[name]) != len(arrays[target]):
            fact = f"array `{name}` has {len(arrays[name]):,} examples, and `{target}` "
            fact += f"{len(arrays[target]):,}"
            raise RunError(Diagnostic("NS602", fact, Span(str(path))))
    values = {
        key: _input(arrays[name], name, settings.layout, path) for key, name in inputs.items()
    }
    return values, _tensor(arrays[target], target, path)


def _tensor(array: _Array, name: str, path: Path) -> Tensor:
    """Bytes stay bytes, other integers become int64, and what has a point float32."""
    kind = array.dtype.kind
    if kind not in "biuf":
        fact = f"array `{name}` is of `{array.dtype}`, and numbers are expected"
        raise RunError(Diagnostic("NS602", fact, Span(str(path))))
    if array.dtype == numpy.uint8:
        return torch.from_numpy(numpy.ascontiguousarray(array))
    if array.dtype == numpy.uint64 and array.max() > numpy.iinfo(numpy.int64).max:
        fact = f"array `{name}` holds {array.max():,}, more than 64 bits with a sign can"
        raise RunError(Diagnostic("NS602", fact, Span(str(path))))
    wanted = numpy.int64 if kind in "iu" else numpy.float32
    return torch.from_numpy(numpy.ascontiguousarray(array.astype(wanted)))


def _input(array: _Array, name: str, layout: str, path: Path) -> Tensor:
    values = _tensor(array, name, path)
    if values.dtype == torch.uint8 and values.ndim == 3:
        return values.unsqueeze(1)
    if values.ndim != 4:
        return values
    guessed = values.shape[3] in _CHANNELS and values.shape[1] not in _CHANNELS
    last = guessed if layout == "auto" else layout == "channels_last"
    return values.permute(0, 3, 1, 2).contiguous() if last else values


def _is_classes(target: Tensor, settings: NpzSettings, path: Path) -> bool:
    whole = not target.dtype.is_floating_point
    single = target.ndim == 1 or (target.ndim == 2 and target.shape[1] == 1)
    if settings.task == "classification" and not (whole and single):
        fact = f"the target is {target.dtype} of shape {list(target.shape)}, and no classes"
        help = "one whole number for each example is expected"
        raise RunError(Diagnostic("NS605", fact, Span(str(path)), help=help))
    return settings.task != "regression" and whole and single


def _labels(target: Tensor) -> Tensor:
    return target.reshape(-1).long()


def _numbers(target: Tensor) -> Tensor:
    return (target.unsqueeze(1) if target.ndim == 1 else target).float()


def _divided(
    found: Mapping[str, _Split], settings: NpzSettings, stratify: bool
) -> dict[str, _Split]:
    splits = dict(found)
    options = {"test": settings.test, "validation": settings.validation}
    for name, share in options.items():
        if name not in splits and share:
            inputs, target = splits["train"]
            labels = target if stratify else None
            kept, taken = held_out(len(target), share, settings.split_seed, labels, name)
            splits["train"] = _at((inputs, target), kept)
            if len(taken):
                splits[name] = _at((inputs, target), taken)
    return {
        name: _at(split, limited(torch.arange(len(split[1])), settings.limit))
        for name, split in splits.items()
    }


def _at(split: _Split, positions: Tensor) -> _Split:
    inputs, target = split
    return {name: values[positions] for name, values in inputs.items()}, target[positions]


def _scale(values: Tensor, settings: NpzSettings) -> tuple[Moments | None, Scale | None]:
    """Bytes are divided by 255, and whole numbers stay as they are."""
    if values.dtype == torch.int64:
        return None, None
    unit = BYTE if values.dtype == torch.uint8 else 1.0
    shape = tuple(values.shape[1:]) or (1,)
    if values.ndim < 2:
        return None, None
    moments = moments_for(settings.normalize, values, shape[0], unit)
    if moments is None and unit == 1:
        return None, None
    plain = Moments((0.0,) * shape[0], (1.0,) * shape[0])
    return moments, scale_of(moments or plain, shape, unit)


def _column(values: Tensor, scale: Scale | None) -> Column:
    if scale is None and values.dtype == torch.uint8:
        values = values.float() / BYTE
    return column(values, scale)


def _dtype(values: Tensor) -> torch.dtype:
    return torch.int64 if values.dtype == torch.int64 else torch.float32


def _augment(
    settings: NpzSettings, scale: Scale | None, shape: tuple[int, ...], is_image: bool
) -> Augment | None:
    plain = Scale(torch.tensor(1.0), torch.tensor(0.0))
    if is_image:
        return augment_of(settings, scale or plain, shape[0])
    if augment_of(settings, plain, 1) is not None:
        fact = "only data with one input, and that of images, can be augmented"
        raise RunError(
            Diagnostic("NS605", fact, Span.of(Origin("override", "data.augment", "data.augment")))
        )
    return None
