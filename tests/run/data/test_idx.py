"""IDX files and the data set that netspec brings along."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest
import torch

from netspec.errors import RunError
from netspec.run.data.sources import open_data

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def idx(*shape: int, values: bytes | None = None) -> bytes:
    head = bytes((0, 0, 8, len(shape))) + struct.pack(f">{len(shape)}I", *shape)
    size = torch.Size(shape).numel()
    return head + (bytes(n % 256 for n in range(size)) if values is None else values)


def write(folder: Path, name: str = "{}-{}-idx{}-ubyte", packed: bool = False) -> None:
    """Four files: 6 images to train on with labels 0 1 2 0 1 2, and 3 to test on."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = bytes((0, 1, 2))
    for word, count in (("train", 6), ("t10k", 3)):
        images, numbers = idx(count, 2, 3), idx(count, values=labels * (count // 3))
        for what, dimensions, data in (("images", 3, images), ("labels", 1, numbers)):
            path = folder / (name.format(word, what, dimensions) + (".gz" if packed else ""))
            path.write_bytes(gzip.compress(data) if packed else data)


def opened(root: Path, **options: object):
    return open_data({"source": "idx", "root": str(root), "validation": 0, **options})


def message(root: Path, **options: object) -> str:
    with pytest.raises(RunError) as caught:
        opened(root, **options)
    (diagnostic,) = caught.value.diagnostics
    return str(diagnostic)


def test_the_embedded_digits() -> None:
    data = open_data({"source": "mnist5k", "validation": 400})
    assert data.name == "mnist5k" and data.task == "classification"
    assert data.classes == tuple("0123456789")
    assert data.inputs[0].shape == (1, 28, 28) and data.inputs[0].name is None
    assert data.gives["num_classes"] == 10 and data.gives["in_channels"] == 1
    train, validation, test = data.train, data.validation, data.test
    assert train and validation and test
    assert [len(split) for split in (train, validation, test)] == [3600, 400, 1000]
    for split, each in ((train, 360), (validation, 40), (test, 100)):
        (images,), labels = split.batch(torch.arange(len(split)))
        assert images.shape == (len(split), 1, 28, 28) and images.dtype == torch.float32
        assert labels.bincount().tolist() == [each] * 10
    (images,), _ = train.batch(torch.arange(3600))
    assert images.mean().abs() < 1e-4 and (images.std() - 1).abs() < 1e-3


@pytest.mark.parametrize("folder", ["", "raw", "MNIST/raw", "MNIST"])
@pytest.mark.parametrize("packed", [False, True])
def test_files_are_found_where_people_have_them(tmp_path: Path, folder: str, packed: bool) -> None:
    write(tmp_path / folder, packed=packed)
    data = opened(tmp_path, name="MNIST", normalize="none")
    assert data.train and data.test
    (images,), labels = data.train.batch(torch.tensor([5, 0]))
    torch.testing.assert_close(images[1, 0], torch.arange(6.0).view(2, 3) / 255)
    assert labels.tolist() == [2, 0]
    assert len(data.test) == 3


def test_names_with_a_point_and_with_a_prefix(tmp_path: Path) -> None:
    write(tmp_path / "a", name="{}-{}.idx{}-ubyte")
    assert opened(tmp_path / "a").name == "a"
    write(tmp_path / "b", name="emnist-letters-{}-{}-idx{}-ubyte")
    data = opened(tmp_path / "b", prefix="emnist-letters-", transpose=True, normalize="none")
    assert data.inputs[0].shape == (1, 3, 2)
    assert data.train
    (images,), _ = data.train.batch(torch.tensor([0]))
    torch.testing.assert_close(images[0, 0], torch.arange(6.0).view(2, 3).T / 255)


def test_test_files_may_be_missing_and_splits_are_limited(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    data = opened(tmp_path, validation=3, limit=2)
    assert data.test is None
    assert data.train and data.validation
    assert len(data.train) == len(data.validation) == 2


def test_the_split_is_stratified_and_repeats(tmp_path: Path) -> None:
    write(tmp_path)
    data = opened(tmp_path, validation=0.5)
    assert data.validation
    assert sorted(data.validation.batch(torch.arange(3))[1].tolist()) == [0, 1, 2]
    again = opened(tmp_path, validation=0.5)
    assert again.validation
    everything = torch.arange(3)
    one, two = data.validation.batch(everything), again.validation.batch(everything)
    assert torch.equal(one[0][0], two[0][0])


def test_normalize_as_written(tmp_path: Path) -> None:
    write(tmp_path)
    data = opened(tmp_path, normalize=[0.5, 0.25])
    assert data.train and data.facts["mean"] == [0.5]
    (images,), _ = data.train.batch(torch.tensor([0]))
    torch.testing.assert_close(images[0, 0], (torch.arange(6.0).view(2, 3) / 255 - 0.5) / 0.25)


def test_a_missing_folder() -> None:
    text = message(Path("/nowhere/mnist"))
    assert text == (
        "error[NS601]: there is no folder `/nowhere/mnist`\n --> from data.root=/nowhere/mnist"
    )
    with pytest.raises(RunError) as caught:
        open_data({"source": "idx"})
    assert str(caught.value.diagnostics[0]) == (
        "error[NS601]: no folder is given: `data.root` is `null`\n --> from data.root=null"
    )


def test_a_missing_file(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    assert message(tmp_path) == (
        "error[NS601]: there is no file `train-labels-idx1-ubyte`\n"
        f" --> {tmp_path}\n"
        f"  = note: looked in `{tmp_path}`\n"
        "  = note: `train-labels.idx1-ubyte` would do as well, and either with `.gz`"
    )


@pytest.mark.parametrize("packed", [False, True])
def test_a_truncated_file(tmp_path: Path, packed: bool) -> None:
    write(tmp_path, packed=packed)
    ending = ".gz" if packed else ""
    path = tmp_path / f"train-images-idx3-ubyte{ending}"
    short = idx(6, 2, 3)[:-10]
    path.write_bytes(gzip.compress(short) if packed else short)
    assert message(tmp_path) == (
        f"error[NS602]: `{path.name}` is truncated\n"
        f" --> {path}\n"
        "  = note: 6×2×3 is 36 bytes, and 26 are there"
    )


def test_a_gzip_file_that_ends_early_or_is_broken(tmp_path: Path) -> None:
    write(tmp_path, packed=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(bytes(idx(6, 2, 3)))[:30])
    assert "is truncated" in message(tmp_path)
    whole = bytearray(gzip.compress(idx(6, 2, 3)))
    whole[-6] ^= 1
    path.write_bytes(bytes(whole))
    assert message(tmp_path) == (
        f"error[NS602]: `{path.name}` is a broken gzip file: "
        f"Error -3 while decompressing data: incorrect data check\n --> {path}"
    )


def test_other_files_that_are_wrong(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    for content, text in (
        (b"PK\x03\x04", "`train-images-idx3-ubyte` is no IDX file of 3 dimensions of bytes"),
        (idx(6, 2, 3)[:7], "`train-images-idx3-ubyte` ends within its header"),
        (idx(6, 2, 3) + b"x", "`train-images-idx3-ubyte` is longer than its header says"),
        (idx(0, 2, 3), "`train-images-idx3-ubyte` holds no examples"),
        (idx(0xFFFFFFFF, 0xFFFF, 0xFFFF, values=b""), "`train-images-idx3-ubyte` is truncated"),
        (idx(5, 2, 3), "there are 5 images in `train-images-idx3-ubyte`, and 6 labels"),
    ):
        path.write_bytes(content)
        assert message(tmp_path).splitlines()[0] == f"error[NS602]: {text}"


def test_a_label_that_is_no_class(tmp_path: Path) -> None:
    write(tmp_path)
    assert message(tmp_path, classes=["a", "b"]) == (
        "error[NS604]: label 2 of example 2 is none of the 2 classes\n"
        f" --> {tmp_path}\n"
        "  = help: labels go from 0 to 1"
    )
    assert "label -1 of example 0" in message(tmp_path, first_label=1)


def test_too_many_for_validation(tmp_path: Path) -> None:
    write(tmp_path)
    assert message(tmp_path, validation=6) == (
        "error[NS605]: `data.validation` takes 6 examples, and there are 6 to take from\n"
        " --> from data.validation=6"
    )


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_all_of_fashion_mnist() -> None:
    data = opened(DEBIAN, validation=5000)
    assert data.train and data.validation and data.test
    assert [len(s) for s in (data.train, data.validation, data.test)] == [55000, 5000, 10000]
