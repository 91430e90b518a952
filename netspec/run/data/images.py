"""Images and their labels, as bytes → Data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from netspec.errors import Diagnostic, RunError, Span
from netspec.run.data.augment import Augment
from netspec.run.data.dataset import Data, Field
from netspec.run.data.in_memory import Arrays, column
from netspec.run.data.normalize import Moments, Scale, moments_for, scale_of
from netspec.run.data.settings import ImageSettings
from netspec.run.data.split import held_out, limited

BYTE = 255.0
MOST_CLASSES = 1_000_000


@dataclass(frozen=True)
class Images:
    """Images [N, C, H, W] as bytes, and a label for each (int64)."""

    pixels: Tensor
    labels: Tensor

    def at(self, positions: Tensor) -> Images:
        return Images(self.pixels[positions], self.labels[positions])


@dataclass(frozen=True)
class Splits:
    """The splits that files hold."""

    train: Images | None
    validation: Images | None = None
    test: Images | None = None


def image_data(
    name: str, settings: ImageSettings, splits: Splits, classes: tuple[str, ...]
) -> Data:
    """Images in memory → classification data: limited, split and normalised as the settings say."""
    splits = _limited(_with_validation(splits, settings), settings.limit)
    first = next(s for s in (splits.train, splits.validation, splits.test) if s is not None)
    shape = tuple(first.pixels.shape[1:])
    known = splits.train.pixels if splits.train is not None else None
    moments = moments_for(settings.normalize, known, shape[0], BYTE)
    scale = image_scale(moments, shape)
    return Data(
        name=name,
        task="classification",
        inputs=(Field(None, shape, torch.float32),),
        target=Field(None, (), torch.int64),
        classes=classes,
        train=_examples(splits.train, scale),
        validation=_examples(splits.validation, scale),
        test=_examples(splits.test, scale),
        augment=augment_of(settings, scale, shape[0]),
        gives={"num_classes": len(classes), **image_gives(shape)},
        facts={"task": "classification", "classes": list(classes), **image_facts(shape, moments)},
    )


def image_scale(moments: Moments | None, shape: tuple[int, ...]) -> Scale:
    """The scale of bytes; without moments they come out from 0 to 1."""
    return scale_of(moments or Moments((0.0,) * shape[0], (1.0,) * shape[0]), shape, BYTE)


def image_gives(shape: tuple[int, ...]) -> Mapping[str, int]:
    channels, height, width = shape
    sizes = {"in_channels": channels, "image_height": height, "image_width": width}
    return {**sizes, "image_size": height} if height == width else sizes


def image_facts(shape: tuple[int, ...], moments: Moments | None) -> Mapping[str, Any]:
    channels, height, width = shape
    return {
        "channels": channels,
        "size": [height, width],
        "mean": list(moments.mean) if moments else None,
        "std": list(moments.std) if moments else None,
    }


def augment_of(
    settings: ImageSettings, scale: Scale, channels: int, mask: bool = False
) -> Augment | None:
    """The changes that the settings ask for, or None where they ask for none."""
    wanted = settings.augment
    if wanted is None or not (wanted.shift or wanted.flip or wanted.rotate or wanted.scale):
        return None
    return Augment(
        shift=wanted.shift or 0,
        flip=bool(wanted.flip),
        rotate=wanted.rotate or 0.0,
        scale=wanted.scale or 0.0,
        fill=scale(torch.zeros(channels, 1, 1)),
        mask=mask,
    )


def class_names(given: list[str] | None, labels: Tensor, place: str) -> tuple[str, ...]:
    """The given names, or the labels' own numbers. Raises RunError: NS604 for too few names."""
    highest = int(labels.max()) if len(labels) else 0
    if given is None and highest >= MOST_CLASSES:
        at = int(labels.argmax())
        fact = f"label {highest:,} of example {at} would make {highest + 1:,} classes"
        help = f"labels are the numbers of classes from 0, of at most {MOST_CLASSES:,}"
        raise RunError(Diagnostic("NS604", fact, Span(place), help=help))
    if given is None:
        return tuple(str(label) for label in range(highest + 1))
    check_labels(labels, len(given), place)
    return tuple(given)


def check_labels(labels: Tensor, classes: int, place: str) -> None:
    """Raises RunError: NS604 where a label is none of the classes, counted from 0."""
    wrong = ((labels < 0) | (labels >= classes)).nonzero().flatten()
    if len(wrong):
        at = int(wrong[0])
        fact = f"label {int(labels[at])} of example {at} is none of the {classes} classes"
        raise RunError(
            Diagnostic("NS604", fact, Span(place), help=f"labels go from 0 to {classes - 1}")
        )


def _with_validation(splits: Splits, settings: ImageSettings) -> Splits:
    train = splits.train
    if train is None or splits.validation is not None or not settings.validation:
        return splits
    kept, taken = held_out(
        len(train.labels), settings.validation, settings.split_seed, train.labels
    )
    return Splits(train.at(kept), train.at(taken) if len(taken) else None, splits.test)


def _limited(splits: Splits, limit: int | None) -> Splits:
    def cut(images: Images | None) -> Images | None:
        if images is None or limit is None:
            return images
        return images.at(limited(torch.arange(len(images.labels)), limit))

    return Splits(cut(splits.train), cut(splits.validation), cut(splits.test))


def _examples(images: Images | None, scale: Scale) -> Arrays | None:
    if images is None:
        return None
    return Arrays((column(images.pixels, scale),), images.labels.contiguous())
