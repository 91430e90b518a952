"""IDX files, the format of MNIST and of the data sets made like it → Data.

The format: two bytes 0, the type of a number (8: an unsigned byte), the number of dimensions, then
each dimension as 4 bytes, highest first, and the numbers (http://yann.lecun.com/exdb/mnist).
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from netspec.errors import Diagnostic, RunError, Span
from netspec.run.data.dataset import Data
from netspec.run.data.images import Images, Splits, check_labels, class_names, image_data
from netspec.run.data.paths import bytes_of, existing, refuse_too_large
from netspec.run.data.settings import IdxSettings, ImageSettings

EMBEDDED = Path(__file__).resolve().parent / "files"

_UNSIGNED_BYTE = 8
_DEFLATED = 1_032  # bytes that gzip makes of one, at most
_GZIP = b"\x1f\x8b"


def idx_data(settings: IdxSettings) -> Data:
    """A folder of four IDX files → Data; the test files may be missing.

    Raises RunError: NS601 for missing files, NS602 for broken ones, NS604 for wrong labels.
    """
    root = existing(settings.root, "root", "folder")
    train = _split(root, settings, ("train",))
    assert train is not None, "a missing training split is an error"
    test = _split(root, settings, ("t10k", "test"))
    place = str(root)
    classes = class_names(settings.classes, train.labels, place)
    for split in (train, test):
        if split is not None:
            check_labels(split.labels, len(classes), place)
    return image_data(settings.name or root.name, settings, Splits(train, test=test), classes)


def embedded_data(settings: ImageSettings) -> Data:
    """The data set that netspec brings along, by the name of its source."""
    own = {"root": str(EMBEDDED / settings.source), "name": settings.source}
    return idx_data(IdxSettings(**{**dict(settings), **own}))


def _split(root: Path, settings: IdxSettings, words: tuple[str, ...]) -> Images | None:
    images = _find(root, settings, words, "images", 3)
    labels = _find(root, settings, words, "labels", 1)
    if images is None and labels is None and "train" not in words:
        return None
    if images is None or labels is None:
        raise RunError(_missing(root, settings, words, "images" if images is None else "labels"))
    pixels, numbers = read_idx(images, 3), read_idx(labels, 1).long()
    if len(pixels) != len(numbers):
        fact = f"there are {len(pixels):,} images in `{images.name}`, and {len(numbers):,} labels"
        raise RunError(Diagnostic("NS602", fact, Span(str(labels))))
    if settings.transpose:
        pixels = pixels.transpose(1, 2).contiguous()
    return Images(pixels.unsqueeze(1), numbers - settings.first_label)


def _folders(root: Path, name: str | None) -> Iterator[Path]:
    """Where people have the files below the folder that they name."""
    named = (root / name, root / name / "raw") if name else ()
    yield from (root, root / "raw", *named, root / "gzip")


def _find(
    root: Path, settings: IdxSettings, words: tuple[str, ...], what: str, dimensions: int
) -> Path | None:
    for folder in _folders(root, settings.name):
        for word in words:
            stem = f"{settings.prefix}{word}-{what}"
            for ending in (f"-idx{dimensions}-ubyte", f".idx{dimensions}-ubyte"):
                for packed in ("", ".gz"):
                    path = folder / f"{stem}{ending}{packed}"
                    if os.path.isfile(path):
                        return path
    return None


def _missing(root: Path, settings: IdxSettings, words: tuple[str, ...], what: str) -> Diagnostic:
    dimensions = 3 if what == "images" else 1
    name = f"{settings.prefix}{words[0]}-{what}-idx{dimensions}-ubyte"
    folders = [str(folder) for folder in _folders(root, settings.name) if os.path.isdir(folder)]
    notes = (
        f"looked in {', '.join(f'`{folder}`' for folder in folders)}",
        f"`{name.replace('-idx', '.idx')}` would do as well, and either with `.gz`",
    )
    return Diagnostic("NS601", f"there is no file `{name}`", Span(str(root)), notes=notes)


def read_idx(path: Path, dimensions: int) -> Tensor:
    """One IDX file, packed by gzip or not → its bytes, with as many dimensions as expected.

    Raises RunError: NS602 for what is not such a file, or not a whole one.
    """
    data = bytes_of(path)
    reader = _Packed(path, data) if data.startswith(_GZIP) else _Plain(data)
    head = reader.read(4)
    if head != bytes((0, 0, _UNSIGNED_BYTE, dimensions)):
        expected = bytes((0, 0, _UNSIGNED_BYTE, dimensions)).hex()
        fact = f"`{path.name}` is no IDX file of {dimensions} dimensions of bytes"
        begins = f"begins with `{head.hex()}` and not with `{expected}`" if head else "is empty"
        note = f"it {begins}"
        raise RunError(Diagnostic("NS602", fact, Span(str(path)), notes=(note,)))
    sizes = reader.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        fact = f"`{path.name}` ends within its header"
        raise RunError(Diagnostic("NS602", fact, Span(str(path))))
    shape = struct.unpack(f">{dimensions}I", sizes)
    expected_bytes = math.prod(shape)
    refuse_too_large(path, min(expected_bytes, reader.most()))
    payload = reader.read(min(expected_bytes, reader.most()) + 1)
    if len(payload) != expected_bytes or not expected_bytes:
        raise RunError(_wrong_size(path, shape, len(payload)))
    return torch.frombuffer(bytearray(payload), dtype=torch.uint8).view(shape)


def _wrong_size(path: Path, shape: tuple[int, ...], found: int) -> Diagnostic:
    expected = math.prod(shape)
    shown = "×".join(str(size) for size in shape)
    if not expected:
        what = "no examples" if not shape[0] else f"examples of no pixels: {shown}"
        return Diagnostic("NS602", f"`{path.name}` holds {what}", Span(str(path)))
    if found > expected:
        fact = f"`{path.name}` is longer than its header says"
        note = f"{shown} is {expected:,} bytes, and more follow"
    else:
        fact = f"`{path.name}` is truncated"
        note = f"{shown} is {expected:,} bytes, and {found:,} are there"
    return Diagnostic("NS602", fact, Span(str(path)), notes=(note,))


class _Plain:
    """Bytes, read piece by piece."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    def most(self) -> int:
        """How many bytes can follow."""
        return len(self._data)

    def read(self, count: int) -> bytes:
        piece, self._data = bytes(self._data[:count]), self._data[count:]
        return piece


class _Packed:
    """Bytes packed by gzip, unpacked no further than they are asked for."""

    def __init__(self, path: Path, data: bytes) -> None:
        self._path = path
        self._data = data
        self._unpack = zlib.decompressobj(wbits=31)

    def most(self) -> int:
        """How many bytes can follow, however well they are packed."""
        return (len(self._data) + 1) * _DEFLATED

    def read(self, count: int) -> bytes:
        """The next bytes, fewer where the file ends."""
        try:
            piece = self._unpack.decompress(self._data, count)
        except zlib.error as error:
            fact = f"`{self._path.name}` is a broken gzip file: {error}"
            raise RunError(Diagnostic("NS602", fact, Span(str(self._path)))) from None
        self._data = self._unpack.unconsumed_tail
        return piece
