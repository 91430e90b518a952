"""Arrays of .npz files."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
import torch

from netspec.errors import RunError
from netspec.run.data.dataset import Data, Field
from netspec.run.data.sources import open_data


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.npz"


def opened(path: Path, **options: object) -> Data:
    plain = {"validation": 0, "test": 0}
    return open_data({"source": "npz", "root": str(path), **plain, **options})


def message(path: Path, **options: object) -> str:
    with pytest.raises(RunError) as caught:
        opened(path, **options)
    (diagnostic,) = caught.value.diagnostics
    return str(diagnostic)


def pixels(*shape: int) -> numpy.ndarray:
    return numpy.arange(numpy.prod(shape), dtype=numpy.uint8).reshape(shape)


def test_bytes_are_images(path: Path) -> None:
    numpy.savez(path, x=pixels(4, 2, 3), y=numpy.array([0, 1, 2, 1]))
    data = opened(path, augment={"shift": 1})
    assert data.inputs == (Field(None, (1, 2, 3), torch.float32),)
    assert data.classes == ("0", "1", "2") and data.train and data.augment
    (x,), y = data.train.batch(torch.tensor([0, 3]))
    torch.testing.assert_close(x[0, 0], torch.arange(6.0).view(2, 3) / 255)
    assert y.tolist() == [0, 1]
    assert opened(path, normalize="auto").facts["mean"] == [round(11.5 / 255, 6)]


@pytest.mark.parametrize(
    ("shape", "layout", "expected"),
    [
        ((2, 5, 6, 3), "auto", (3, 5, 6)),
        ((2, 3, 5, 6), "auto", (3, 5, 6)),
        ((2, 3, 5, 3), "auto", (3, 5, 3)),
        ((2, 3, 5, 3), "channels_last", (3, 3, 5)),
    ],
)
def test_layouts(path: Path, shape: tuple[int, ...], layout: str, expected: object) -> None:
    numpy.savez(path, x=pixels(*shape), y=numpy.array([0, 1]))
    assert opened(path, layout=layout).inputs[0].shape == expected


@pytest.mark.parametrize("names", [("x_{}", "y_{}"), ("{}_images", "{}_labels")])
def test_splits_of_its_own(path: Path, names: tuple[str, str]) -> None:
    arrays = {}
    for split, count in (("train", 4), ("val", 3), ("test", 2)):
        arrays[names[0].format(split)] = pixels(count, 2, 2)
        arrays[names[1].format(split)] = numpy.zeros((count, 1), numpy.uint8)
    numpy.savez(path, **arrays)
    data = opened(path, validation=0.5, test=0.5)
    assert data.train and data.validation and data.test
    assert [len(s) for s in (data.train, data.validation, data.test)] == [4, 3, 2]
    assert data.target == Field(None, (), torch.int64)


def test_several_inputs_by_name(path: Path) -> None:
    left, right = numpy.ones((3, 2)), numpy.arange(6).reshape(3, 2)
    numpy.savez(path, left=left, right=right, y=numpy.array([0.5, 1.5, 2.5]))
    data = opened(path)
    assert data.inputs == (
        Field("left", (2,), torch.float32),
        Field("right", (2,), torch.int64),
    )
    assert data.task == "regression" and data.target == Field(None, (1,), torch.float32)
    chosen = opened(path, inputs={"b": "right", "a": "left"})
    assert [field.name for field in chosen.inputs] == ["b", "a"] and chosen.train
    (b, a), _ = chosen.train.batch(torch.tensor([2]))
    assert b.tolist() == [[4, 5]] and a.tolist() == [[1, 1]]


def test_held_out_shares(path: Path) -> None:
    numpy.savez(path, x=numpy.random.rand(20, 2), y=numpy.arange(20) % 2)
    data = opened(path, test=0.2, validation=4)
    assert data.train and data.validation and data.test
    assert [len(s) for s in (data.train, data.validation, data.test)] == [12, 4, 4]


def test_arrays_that_are_not_there(path: Path) -> None:
    numpy.savez(path, images=pixels(2, 2, 2), kinds=numpy.array([0, 1]))
    assert message(path) == (
        "error[NS605]: none of the arrays is called like a target\n"
        f" --> {path}\n"
        "  = help: say `data.target=…`: there are images, kinds"
    )
    assert message(path, target="kind") == (
        f"error[NS605]: there is no array `kind`\n --> {path}\n  = help: did you mean `kinds`?"
    )


def test_arrays_that_are_wrong(path: Path) -> None:
    numpy.savez(path, x=pixels(3, 2), y=numpy.array([0, 1]))
    assert message(path) == (f"error[NS602]: array `x` has 3 examples, and `y` 2\n --> {path}")
    numpy.savez(path, x=numpy.array(["a", "b"]), y=numpy.array([0, 1]))
    assert message(path) == (
        f"error[NS602]: array `x` is of `<U1`, and numbers are expected\n --> {path}"
    )
    numpy.savez(path, x=pixels(2, 2), y=numpy.array([0, 1]))
    assert "label 1 of example 1 is none of the 1 classes" in message(path, classes=["a"])
    assert message(path, augment={"shift": 1}).startswith(
        "error[NS605]: only data with one input, and that of images, can be augmented"
    )


def test_objects_are_not_loaded(path: Path) -> None:
    numpy.savez(path, x=numpy.array([{}, []], dtype=object), y=numpy.array([0, 1]))
    assert message(path) == (
        "error[NS602]: `data.npz` cannot be read: Object arrays cannot be loaded when "
        "allow_pickle=False\n"
        f" --> {path}\n"
        "  = help: save it with `numpy.savez`, without arrays of objects"
    )
    path.write_bytes(path.read_bytes()[:80])
    assert message(path).startswith("error[NS602]: `data.npz` cannot be read: ")
    with path.open("wb") as file:
        numpy.save(file, numpy.zeros(3))
    assert message(path).startswith(
        "error[NS602]: `data.npz` cannot be read: it is a single array, and no archive of them"
    )
