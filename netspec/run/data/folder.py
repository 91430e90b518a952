"""A folder of image files, a folder a class or with masks → Data."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from netspec.errors import Diagnostic, RunError, Span
from netspec.run.data.augment import NO_CLASS
from netspec.run.data.dataset import Batch, Data, Examples, Field, digest
from netspec.run.data.decode import ENDINGS, Decoder, size_for
from netspec.run.data.images import BYTE, augment_of, image_facts, image_gives, image_scale
from netspec.run.data.in_memory import Arrays, column
from netspec.run.data.normalize import Moments, Scale, moments_for
from netspec.run.data.paths import existing
from netspec.run.data.settings import FolderSettings
from netspec.run.data.split import held_out, limited

_TESTED = 0.2
_SPLITS = {"train": ("train",), "validation": ("val", "validation", "valid"), "test": ("test",)}
_MOST_BYTES = 1 << 30  # of decoded images, for `in_memory: auto`
_SAMPLE = 1000  # so many images are measured where not all are in memory


@dataclass(frozen=True)
class _Files:
    """Image files, and for each its class or its mask."""

    images: tuple[Path, ...]
    labels: Tensor | None
    masks: tuple[Path, ...]

    def at(self, positions: Tensor) -> _Files:
        chosen = positions.tolist()
        labels = None if self.labels is None else self.labels[positions]
        masks = tuple(self.masks[at] for at in chosen) if self.masks else ()
        return _Files(tuple(self.images[at] for at in chosen), labels, masks)


@dataclass(frozen=True)
class FileExamples:
    """Examples that are decoded a batch at a time."""

    files: _Files
    decoder: Decoder
    scale: Scale
    ignore: int | None

    def __len__(self) -> int:
        return len(self.files.images)

    def batch(self, indices: Tensor) -> Batch:
        files = self.files.at(indices)
        images = self.scale(self.decoder.images(files.images))
        return (images,), _targets(files, self.decoder, self.ignore).long()

    def fingerprint(self) -> str:
        files = [*self.files.images, *self.files.masks]
        labels = () if self.files.labels is None else (self.files.labels,)
        return digest("\n".join(map(_stamp, files)).encode(), *labels)


def _stamp(path: Path) -> str:
    """A file's name, size and time: what is another one where somebody writes it anew."""
    there = path.stat()
    return f"{path.name} {there.st_size} {there.st_mtime_ns}"


def folder_data(settings: FolderSettings) -> Data:
    """A folder → Data: classes from the names of its folders, or pixels' classes from masks.

    Raises RunError: NS601, NS602, NS604 for what is no class, NS605.
    """
    root = existing(settings.root, "root", "folder")
    roots = _roots(root)
    if settings.masks is None:
        classes = _classes(roots["train"])
        found = {name: _labelled(folder, classes) for name, folder in roots.items()}
    else:
        found = {name: _masked(folder, settings) for name, folder in roots.items()}
        classes = ()
    splits = _splits(found, settings, divided=roots["train"] != root)
    images = [path for files in splits.values() for path in files.images]
    decoder = Decoder(settings.channels, size_for(images, settings.size))
    if settings.masks is not None:
        classes = _mask_classes(splits, decoder, settings)
    return _data(root.name, settings, splits, decoder, classes)


def _data(
    name: str,
    settings: FolderSettings,
    splits: Mapping[str, _Files],
    decoder: Decoder,
    classes: tuple[str, ...],
) -> Data:
    shape = (settings.channels, *decoder.size)
    total = sum(len(files.images) for files in splits.values()) * shape[0] * shape[1] * shape[2]
    in_memory = total < _MOST_BYTES if settings.in_memory == "auto" else settings.in_memory
    moments = _moments(settings, splits["train"], decoder, in_memory)
    scale = image_scale(moments, shape)
    segments = settings.masks is not None
    task = "segmentation" if segments else "classification"

    def examples(split: str) -> Examples | None:
        if split not in splits:
            return None
        lazy = FileExamples(splits[split], decoder, scale, settings.ignore)
        return _held(lazy) if in_memory else lazy

    return Data(
        name=name,
        task=task,
        inputs=(Field(None, shape, torch.float32),),
        target=Field(None, decoder.size if segments else (), torch.int64),
        classes=classes,
        train=examples("train"),
        validation=examples("validation"),
        test=examples("test"),
        augment=augment_of(settings, scale, settings.channels, segments),
        gives={"num_classes": len(classes), **image_gives(shape)},
        facts={"task": task, "classes": list(classes), **image_facts(shape, moments)},
    )


def _held(lazy: FileExamples) -> Arrays:
    pixels = lazy.decoder.images(lazy.files.images)
    targets = _targets(lazy.files, lazy.decoder, lazy.ignore)
    return Arrays((column(pixels, lazy.scale),), targets)


def _targets(files: _Files, decoder: Decoder, ignore: int | None) -> Tensor:
    if files.labels is not None:
        return files.labels
    masks = decoder.masks(files.masks).to(torch.int16)
    return masks if ignore is None else masks.masked_fill_(masks == ignore, NO_CLASS)


def _moments(
    settings: FolderSettings, train: _Files, decoder: Decoder, in_memory: bool
) -> Moments | None:
    """From all training images, or where they are not in memory from some, evenly spaced."""
    values = None
    if settings.normalize == "auto":
        everything = torch.arange(len(train.images))
        sample = everything if in_memory else limited(everything, _SAMPLE)
        values = decoder.images(train.at(sample).images)
    return moments_for(settings.normalize, values, settings.channels, BYTE)


def _roots(root: Path) -> Mapping[str, Path]:
    if not (root / "train").is_dir():
        return {"train": root}
    found = {}
    for split, names in _SPLITS.items():
        folders = [root / name for name in names if (root / name).is_dir()]
        if folders:
            found[split] = folders[0]
    return found


def _splits(
    found: Mapping[str, _Files], settings: FolderSettings, divided: bool
) -> Mapping[str, _Files]:
    """The splits that are there, and those that are taken from what there is to train on."""
    splits = dict(found)
    wanted = {"test": _test_share(settings, divided), "validation": settings.validation}
    for split, share in wanted.items():
        if split in found or not share:
            continue
        train = splits["train"]
        kept, taken = held_out(len(train.images), share, settings.split_seed, train.labels, split)
        splits["train"] = train.at(kept)
        if len(taken):
            splits[split] = train.at(taken)
    return {
        name: files.at(limited(torch.arange(len(files.images)), settings.limit))
        for name, files in splits.items()
    }


def _test_share(settings: FolderSettings, divided: bool) -> float | int:
    """`auto`: a fifth of a folder that nobody has divided into train and the others."""
    if settings.test != "auto":
        return settings.test
    return 0 if divided else _TESTED


def _images_in(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and not path.is_dir()
    )


def _shown_folders(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _classes(folder: Path) -> tuple[str, ...]:
    names = tuple(name for name in _shown_folders(folder) if _images_in(folder / name))
    if not names:
        fact = "there are no folders with images here, one for each class"
        raise RunError(Diagnostic("NS601", fact, Span(str(folder))))
    return names


def _labelled(folder: Path, classes: tuple[str, ...]) -> _Files:
    paths: list[Path] = []
    labels: list[int] = []
    for name in _shown_folders(folder):
        inside = _images_in(folder / name)
        if inside and name not in classes:
            fact = f"`{name}` is none of the {len(classes)} classes to train on"
            help = f"they are {', '.join(classes)}"
            raise RunError(Diagnostic("NS604", fact, Span(str(folder / name)), help=help))
        paths += inside
        labels += [classes.index(name)] * len(inside) if inside else []
    if not paths:
        raise RunError(Diagnostic("NS601", "there are no images here", Span(str(folder))))
    return _Files(tuple(paths), torch.tensor(labels, dtype=torch.int64), ())


def _masked(folder: Path, settings: FolderSettings) -> _Files:
    assert settings.masks is not None, "only data with masks is read so"
    images, masks = folder / settings.images, folder / settings.masks
    for part in (images, masks):
        if not os.path.isdir(part):
            fact = f"there is no folder `{part.name}`"
            raise RunError(Diagnostic("NS601", fact, Span(str(folder))))
    by_stem = {path.relative_to(masks).with_suffix(""): path for path in _images_in(masks)}
    paths = _images_in(images)
    if not paths:
        raise RunError(Diagnostic("NS601", "there are no images here", Span(str(images))))
    stems = [path.relative_to(images).with_suffix("") for path in paths]
    for path, stem in zip(paths, stems, strict=True):
        if stem not in by_stem:
            fact = f"`{path.name}` has no mask in `{masks.name}`"
            raise RunError(Diagnostic("NS601", fact, Span(str(path))))
    return _Files(tuple(paths), None, tuple(by_stem[stem] for stem in stems))


def _mask_classes(
    splits: Mapping[str, _Files], decoder: Decoder, settings: FolderSettings
) -> tuple[str, ...]:
    """The classes as given, else as many as the masks hold; all masks are looked at."""
    highest = {
        path: value
        for files in splits.values()
        for path, value in _highest(files.masks, decoder.masks, settings.ignore).items()
    }
    given = settings.classes
    if given is None:
        return tuple(str(number) for number in range(max(highest.values()) + 1))
    names = tuple(map(str, range(given))) if isinstance(given, int) else tuple(given)
    for path, value in highest.items():
        if value >= len(names):
            fact = f"a pixel of `{path.name}` is {value}, none of the {len(names)} classes"
            raise RunError(Diagnostic("NS604", fact, Span(str(path))))
    return names


def _highest(
    paths: Sequence[Path], read: Callable[[Sequence[Path]], Tensor], ignore: int | None
) -> Mapping[Path, int]:
    found = {}
    for path in paths:
        values = read([path])
        kept = values if ignore is None else values[values != ignore]
        found[path] = int(kept.max()) if kept.numel() else 0
    return found
