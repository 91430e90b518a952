"""The options of the data, and the files that hold their defaults."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from netspec.errors import RunError
from netspec.run.data.dataset import Field, Wanted
from netspec.run.data.settings import settings_of
from netspec.run.data.sources import open_data
from netspec.source import read_source

CONFIGS = sorted((Path(__file__).resolve().parents[3] / "configs/run/data").glob("*.yaml"))


def messages(**settings: object) -> list[str]:
    with pytest.raises(RunError) as caught:
        open_data(settings)
    return [str(diagnostic) for diagnostic in caught.value.diagnostics]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_option_stands_in_its_file(path: Path) -> None:
    value = read_source(path).value
    assert isinstance(value, dict)
    assert set(value) == set(type(settings_of(value)).model_fields)


def test_an_unknown_source() -> None:
    assert messages(source="mnist5") == [
        "error[NS605]: there is no source of data `mnist5`\n"
        " --> from data.source=mnist5\n"
        "  = help: did you mean `mnist5k`?"
    ]


def test_unknown_keys() -> None:
    assert messages(source="mnist5k", batchsize=3) == [
        "error[NS605]: unknown key `batchsize` in `data`\n"
        " --> from data.batchsize=3\n"
        "  = help: did you mean `batch_size`?"
    ]
    assert messages(source="mnist5k", augment={"turn": 3}) == [
        "error[NS605]: unknown key `turn` in `data.augment`\n"
        " --> from data.augment.turn=3\n"
        "  = help: known here: shift, flip, rotate, scale"
    ]


@pytest.mark.parametrize(
    ("key", "value", "shown", "expected"),
    [
        ("batch_size", 0, "0", "a whole number from 1"),
        ("batch_size", "64", "64", "a whole number from 1"),
        ("workers", -1, "-1", "a whole number from 0 to 1,024"),
        ("validation", 1.5, "1.5", "a fraction below 1, or a number of examples"),
        ("shuffle", 1, "1", "`true` or `false`"),
        ("normalize", [1.0], "[1.0]", "`auto`, `none`, `[mean, std]` or `[[mean, …], [std, …]]`"),
        ("eval_batch_size", 0, "0", "a whole number from 1, or `null`"),
    ],
)
def test_a_wrong_value(key: str, value: object, shown: str, expected: str) -> None:
    assert messages(source="mnist5k", **{key: value}) == [
        f"error[NS605]: `data.{key}` is `{shown}`, and {expected} is expected\n"
        f" --> from data.{key}={shown}"
    ]


@pytest.mark.parametrize(("value", "shown"), [("a", "a"), ([1], "[1]"), ([], "[]")])
def test_wrong_names_of_classes(value: object, shown: str) -> None:
    assert messages(source="idx", classes=value) == [
        f"error[NS605]: `data.classes` is `{shown}`, and a list of names, or `null` is expected\n"
        f" --> from data.classes={shown}"
    ]


def test_a_wrong_value_inside_augment() -> None:
    assert messages(source="mnist5k", augment={"shift": -1}) == [
        "error[NS605]: `data.augment.shift` is `-1`, "
        "and a number of pixels to 1,024, or `null` is expected\n"
        " --> from data.augment.shift=-1"
    ]


def test_moments_that_do_not_fit() -> None:
    assert messages(source="mnist5k", normalize=[[0.5, 0.5], [1.0, 1.0]]) == [
        "error[NS605]: `data.normalize` does not fit data with 1 channels\n"
        " --> from data.normalize=[[0.5,0.5],[1.0,1.0]]\n"
        "  = help: give 1 means and 1 deviations above 0, or one of each for all"
    ]


def test_random_examples_fit_the_model() -> None:
    images = Field("x", (3, 8, 8), torch.float32)
    wanted = Wanted((images,), Field("y", (5,), torch.float32))
    data = open_data({"source": "random", "train": 7, "test": 0}, wanted)
    assert data.train and data.test is None and data.gives == {"num_classes": 5}
    (x,), y = data.train.batch(torch.arange(7))
    assert x.shape == (7, 3, 8, 8) and y.shape == (7,) and y.max() < 5
    again = open_data({"source": "random", "train": 7}, wanted)
    assert again.train and torch.equal(again.train.batch(torch.arange(7))[0][0], x)


def test_random_tokens_masks_and_numbers() -> None:
    tokens = Wanted((Field("x", (6,), torch.int64),), Field("y", (6, 11), torch.float32))
    data = open_data({"source": "random"}, tokens)
    assert data.task == "language" and data.target.shape == (6,) and data.train
    (x,), y = data.train.batch(torch.arange(512))
    assert x.dtype == torch.int64 and x.max() == y.max() == 10
    picture = Field("x", (1, 4, 4), torch.float32)
    masks = Wanted((picture,), Field("y", (2, 4, 4), torch.float32))
    assert open_data({"source": "random"}, masks).task == "segmentation"
    numbers = open_data({"source": "random", "task": "regression"}, masks)
    assert numbers.target == Field(None, (2, 4, 4), torch.float32)


def test_random_needs_an_output_or_classes() -> None:
    wanted = Wanted((Field("x", (4,), torch.float32),), None)
    with pytest.raises(RunError) as caught:
        open_data({"source": "random"}, wanted)
    assert str(caught.value.diagnostics[0]) == (
        "error[NS605]: `random` cannot see the model's output, so it needs `data.classes`\n"
        " --> from data.classes=null"
    )
    assert open_data({"source": "random", "classes": 3}, wanted).gives == {"num_classes": 3}
