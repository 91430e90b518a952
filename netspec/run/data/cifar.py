"""CIFAR-10 and CIFAR-100, binary or pickled, unpacked or not → Data.

The formats: https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy
import torch

from netspec.errors import Diagnostic, RunError, Span
from netspec.run.data.dataset import Data
from netspec.run.data.images import Images, Splits, check_labels, image_data
from netspec.run.data.paths import bytes_of, existing
from netspec.run.data.safe_pickle import load_plain
from netspec.run.data.settings import CifarSettings

_PIXELS = 3 * 32 * 32
_LARGEST = 1 << 30  # bytes of a file in an archive; the real ones have at most 154 MB
_NO_ARCHIVE = (
    tarfile.TarError, OSError, EOFError, ValueError, OverflowError, MemoryError, zlib.error,
    lzma.LZMAError,
)  # fmt: skip


@dataclass(frozen=True)
class _Version:
    """One of the ways in which the data is offered: its files, and what they hold."""

    pickled: bool
    folder: str
    archive: str
    train: tuple[str, ...]
    test: str
    names: str  # the file with the names of the classes
    names_key: str  # and where in it they are, if it is pickled
    labels: str  # the key of the labels, if pickled
    label_bytes: int  # before each image, if binary; the last of them counts


_VERSIONS: Mapping[str, tuple[_Version, ...]] = {
    "cifar10": (
        _Version(
            pickled=False,
            folder="cifar-10-batches-bin",
            archive="cifar-10-binary.tar.gz",
            train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
            test="test_batch.bin",
            names="batches.meta.txt",
            names_key="",
            labels="",
            label_bytes=1,
        ),
        _Version(
            pickled=True,
            folder="cifar-10-batches-py",
            archive="cifar-10-python.tar.gz",
            train=tuple(f"data_batch_{number}" for number in range(1, 6)),
            test="test_batch",
            names="batches.meta",
            names_key="label_names",
            labels="labels",
            label_bytes=0,
        ),
    ),
    "cifar100": (
        _Version(
            pickled=False,
            folder="cifar-100-binary",
            archive="cifar-100-binary.tar.gz",
            train=("train.bin",),
            test="test.bin",
            names="fine_label_names.txt",
            names_key="",
            labels="",
            label_bytes=2,
        ),
        _Version(
            pickled=True,
            folder="cifar-100-python",
            archive="cifar-100-python.tar.gz",
            train=("train",),
            test="test",
            names="meta",
            names_key="fine_label_names",
            labels="fine_labels",
            label_bytes=0,
        ),
    ),
}
_COUNTS = {"cifar10": 10, "cifar100": 100}


@dataclass(frozen=True)
class _Files:
    """The files of one version, by name, out of a folder or an archive."""

    place: str
    names: frozenset[str]
    read: Callable[[str], bytes]


def cifar_data(settings: CifarSettings) -> Data:
    """A folder or the original archive → Data. The test file may be missing.

    Raises RunError: NS601 for missing files, NS602 for broken ones, NS604 for wrong labels.
    """
    root = existing(settings.root, "root", "folder or archive")
    version, files = _find(root, settings.source)
    missing = [name for name in version.train if name not in files.names]
    if missing:
        fact = f"there is no file `{missing[0]}`"
        raise RunError(Diagnostic("NS601", fact, Span(files.place)))
    train = _joined([_images(files, name, version) for name in version.train])
    test = _images(files, version.test, version) if version.test in files.names else None
    classes = _class_names(files, version, _COUNTS[settings.source])
    for split in (train, test):
        if split is not None:
            check_labels(split.labels, len(classes), files.place)
    return image_data(settings.source, settings, Splits(train, test=test), classes)


def _find(root: Path, source: str) -> tuple[_Version, _Files]:
    for version in _VERSIONS[source]:
        if root.is_file() and root.name == version.archive:
            return version, _archived(root)
        for folder in (root, root / version.folder):
            if (folder / version.train[0]).is_file():
                return version, _unpacked(folder)
        if (root / version.archive).is_file():
            return version, _archived(root / version.archive)
    if root.is_file():
        return _version_within(root, source)
    note = "looked for " + ", ".join(f"`{v.folder}`, `{v.archive}`" for v in _VERSIONS[source])
    raise RunError(Diagnostic("NS601", f"there is no {source} here", Span(str(root)), (note,)))


def _version_within(archive: Path, source: str) -> tuple[_Version, _Files]:
    """An archive by another name: its members say which version it is."""
    files = _archived(archive)
    for version in _VERSIONS[source]:
        if version.train[0] in files.names:
            return version, files
    raise RunError(Diagnostic("NS601", f"there is no {source} in this archive", Span(files.place)))


def _unpacked(folder: Path) -> _Files:
    names = frozenset(path.name for path in folder.iterdir())
    return _Files(str(folder), names, lambda name: bytes_of(folder / name))


def _archived(path: Path) -> _Files:
    """The archive's plain files; nothing is unpacked to the disk."""
    found: dict[str, bytes] = {}
    wanted = {n for vs in _VERSIONS.values() for v in vs for n in (*v.train, v.test, v.names)}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                stream = archive.extractfile(member) if member.isreg() and name in wanted else None
                if stream is not None:
                    if member.size > _LARGEST:
                        raise ValueError(f"`{name}` would take {member.size:,} bytes")
                    found[name] = stream.read()
    except _NO_ARCHIVE as error:
        fact = f"`{path.name}` is no whole tar archive: {error}"
        raise RunError(Diagnostic("NS602", fact, Span(str(path)))) from None
    return _Files(str(path), frozenset(found), found.__getitem__)


def _images(files: _Files, name: str, version: _Version) -> Images:
    data = files.read(name)
    read = _unpickled if version.pickled else _records
    return read(data, name, files.place, version)


def _records(data: bytes, name: str, place: str, version: _Version) -> Images:
    size = version.label_bytes + _PIXELS
    if not data or len(data) % size:
        fact = f"`{name}` is truncated"
        note = f"its {len(data):,} bytes are no whole number of records of {size:,}"
        raise RunError(Diagnostic("NS602", fact, Span(place), notes=(note,)))
    records = torch.frombuffer(bytearray(data), dtype=torch.uint8).view(-1, size)
    labels = records[:, version.label_bytes - 1].long()
    return Images(records[:, version.label_bytes :].reshape(-1, 3, 32, 32), labels)


def _unpickled(data: bytes, name: str, place: str, version: _Version) -> Images:
    content = load_plain(data, name, place)
    pixels = content.get("data") if isinstance(content, dict) else None
    labels = content.get(version.labels) if isinstance(content, dict) else None
    whole = isinstance(labels, list) and all(
        type(label) is int and abs(label) < 1 << 63 for label in labels
    )
    if not (isinstance(pixels, numpy.ndarray) and pixels.dtype == numpy.uint8 and whole):
        fact = f"`{name}` has no `data` of bytes with `{version.labels}` of whole numbers"
        raise RunError(Diagnostic("NS602", fact, Span(place)))
    assert isinstance(labels, list), "checked above"
    if pixels.shape != (len(labels), _PIXELS):
        fact = f"`{name}` has {len(labels):,} labels, and its data the shape {pixels.shape}"
        help = f"a row of {_PIXELS:,} bytes for each label is expected"
        raise RunError(Diagnostic("NS602", fact, Span(place), help=help))
    values = torch.from_numpy(numpy.ascontiguousarray(pixels).copy())
    return Images(values.view(-1, 3, 32, 32), torch.tensor(labels, dtype=torch.int64))


def _class_names(files: _Files, version: _Version, count: int) -> tuple[str, ...]:
    """The names of the classes, or their numbers where the file that names them is not there."""
    if version.names not in files.names:
        return tuple(str(number) for number in range(count))
    data = files.read(version.names)
    names: Sequence[object]
    if version.pickled:
        content = load_plain(data, version.names, files.place)
        names = content.get(version.names_key, ()) if isinstance(content, dict) else ()
    else:
        names = [line for line in data.decode("utf-8", "replace").splitlines() if line.strip()]
    if len(names) != count:
        fact = f"`{version.names}` names {len(names)} classes, and there are {count}"
        raise RunError(Diagnostic("NS602", fact, Span(files.place)))
    return tuple(str(name) for name in names)


def _joined(parts: Sequence[Images]) -> Images:
    return Images(
        torch.cat([part.pixels for part in parts]), torch.cat([part.labels for part in parts])
    )
