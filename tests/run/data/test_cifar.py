"""CIFAR in its four forms, and pickles that want to run something."""

from __future__ import annotations

import contextlib
import os
import pickle
import tarfile
from pathlib import Path

import numpy
import pytest
import torch

from netspec.errors import RunError
from netspec.run.data.dataset import Data
from netspec.run.data.sources import open_data

PIXELS = numpy.arange(2 * 3072, dtype=numpy.uint64).astype(numpy.uint8).reshape(2, 3072)
BATCHES = [f"data_batch_{number}" for number in range(1, 6)]


def opened(root: Path, source: str = "cifar10") -> Data:
    settings = {"source": source, "root": str(root), "validation": 0, "normalize": "none"}
    return open_data(settings)


def message(root: Path, source: str = "cifar10") -> str:
    with pytest.raises(RunError) as caught:
        opened(root, source)
    (diagnostic,) = caught.value.diagnostics
    return str(diagnostic)


def binary(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in (*BATCHES, "test_batch"):
        records = b"".join(bytes([label]) + PIXELS[label].tobytes() for label in (0, 1))
        (folder / f"{name}.bin").write_bytes(records)
    (folder / "batches.meta.txt").write_text("\n".join("abcdefghij") + "\n\n")
    return folder


def pickled(folder: Path, protocol: int = 2) -> Path:
    folder.mkdir(parents=True)
    content = {b"data": PIXELS, b"labels": [0, 1], b"filenames": [b"a.png", b"b.png"]}
    for name in (*BATCHES, "test_batch"):
        (folder / name).write_bytes(pickle.dumps(content, protocol))
    meta = {b"label_names": [letter.encode() for letter in "abcdefghij"]}
    (folder / "batches.meta").write_bytes(pickle.dumps(meta, protocol))
    return folder


def packed(folder: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w:gz") as file:
        file.add(folder, folder.name)
    return archive


def check(data: Data) -> None:
    assert data.train and data.test
    assert len(data.train) == 10 and len(data.test) == 2
    (images,), labels = data.train.batch(torch.tensor([3]))
    expected = torch.from_numpy(PIXELS[1].copy()).view(3, 32, 32) / 255
    torch.testing.assert_close(images[0], expected)
    assert labels.tolist() == [1]


@pytest.mark.parametrize("make", [binary, pickled])
@pytest.mark.parametrize("form", ["folder", "parent", "archive", "parent of archive", "renamed"])
def test_each_form(tmp_path: Path, make, form: str) -> None:
    name, archive = {
        binary: ("cifar-10-batches-bin", "cifar-10-binary.tar.gz"),
        pickled: ("cifar-10-batches-py", "cifar-10-python.tar.gz"),
    }[make]
    folder = make(tmp_path / "unpacked" / name)
    (tmp_path / "packed").mkdir()
    root = {
        "folder": folder,
        "parent": folder.parent,
        "archive": packed(folder, tmp_path / archive),
        "parent of archive": packed(folder, tmp_path / "packed" / archive).parent,
        "renamed": packed(folder, tmp_path / "mine.tgz"),
    }[form]
    data = opened(root)
    check(data)
    assert data.classes == tuple("abcdefghij")


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_each_protocol(tmp_path: Path, protocol: int) -> None:
    check(opened(pickled(tmp_path / "data", protocol)))


def test_cifar100(tmp_path: Path) -> None:
    records = b"".join(bytes([19, label]) + PIXELS[label].tobytes() for label in (0, 1))
    for name in ("train.bin", "test.bin"):
        (tmp_path / name).write_bytes(records)
    data = opened(tmp_path, "cifar100")
    assert data.train and data.gives["num_classes"] == 100
    assert data.train.batch(torch.arange(2))[1].tolist() == [0, 1]


class Malice:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch netspec_was_here",)


def test_a_pickle_that_wants_to_run_something(tmp_path: Path) -> None:
    folder = pickled(tmp_path / "data")
    (folder / "data_batch_2").write_bytes(pickle.dumps({b"data": Malice()}))
    name = f"{os.system.__module__}.system"
    assert message(folder) == (
        f"error[NS602]: `data_batch_2` is a pickle that wants to run `{name}`\n"
        f" --> {folder}\n"
        "  = help: the real file holds arrays, lists and texts alone: fetch it again"
    )
    assert not Path("netspec_was_here").exists()


def test_broken_pickles(tmp_path: Path) -> None:
    folder = pickled(tmp_path / "data")
    path = folder / "data_batch_2"
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    assert message(folder) == (
        f"error[NS602]: `data_batch_2` is no whole pickle: pickle data was truncated\n --> {folder}"
    )
    path.write_bytes(pickle.dumps([1, 2]))
    assert message(folder) == (
        "error[NS602]: `data_batch_2` has no `data` of bytes with `labels` of whole numbers\n"
        f" --> {folder}"
    )
    path.write_bytes(pickle.dumps({b"data": PIXELS, b"labels": [1]}))
    assert message(folder) == (
        "error[NS602]: `data_batch_2` has 1 labels, and its data the shape (2, 3072)\n"
        f" --> {folder}\n"
        "  = help: a row of 3,072 bytes for each label is expected"
    )


@pytest.mark.parametrize("cut", range(0, 700, 7))
def test_any_cut_or_changed_pickle_is_told(tmp_path: Path, cut: int) -> None:
    folder = pickled(tmp_path / "data")
    path = folder / "data_batch_1"
    whole = bytearray(path.read_bytes())
    at = cut if cut < 350 else len(whole) - (cut - 349)
    path.write_bytes(bytes(whole[:at]))
    assert "NS602" in message(folder)
    whole[at] ^= 0x55
    path.write_bytes(bytes(whole))
    with contextlib.suppress(RunError):
        opened(folder)


def test_a_truncated_batch_and_a_missing_one(tmp_path: Path) -> None:
    folder = binary(tmp_path / "data")
    path = folder / "data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:-1])
    assert message(folder) == (
        "error[NS602]: `data_batch_3.bin` is truncated\n"
        f" --> {folder}\n"
        "  = note: its 6,145 bytes are no whole number of records of 3,073"
    )
    path.unlink()
    assert message(folder) == (f"error[NS601]: there is no file `data_batch_3.bin`\n --> {folder}")


def test_nothing_here_and_a_broken_archive(tmp_path: Path) -> None:
    assert message(tmp_path) == (
        "error[NS601]: there is no cifar10 here\n"
        f" --> {tmp_path}\n"
        "  = note: looked for `cifar-10-batches-bin`, `cifar-10-binary.tar.gz`, "
        "`cifar-10-batches-py`, `cifar-10-python.tar.gz`"
    )
    archive = packed(binary(tmp_path / "data"), tmp_path / "cifar-10-binary.tar.gz")
    archive.write_bytes(archive.read_bytes()[:200])
    assert message(archive).startswith(
        "error[NS602]: `cifar-10-binary.tar.gz` is no whole tar archive: "
    )
