"""Tables, and the places of their bad cells."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from netspec.errors import RunError
from netspec.run.data.dataset import Data
from netspec.run.data.sources import open_data

FLOWERS = "long,wide,kind\n1,10,rose\n2,20,lily\n3,30,rose\n4,40,lily\n"


def opened(root: Path, text: str | None = None, **options: object) -> Data:
    if text is not None:
        root.write_text(text, encoding="utf-8")
    plain = {"validation": 0, "test": 0, "normalize": "none"}
    return open_data({"source": "csv", "root": str(root), **plain, **options})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flowers.csv"


def message(root: Path, text: str | None = None, **options: object) -> str:
    with pytest.raises(RunError) as caught:
        opened(root, text, **options)
    (diagnostic,) = caught.value.diagnostics
    return str(diagnostic)


def rows(data: Data) -> tuple[list[list[float]], list[object]]:
    assert data.train
    (x,), y = data.train.batch(torch.arange(len(data.train)))
    return x.tolist(), y.tolist()


def test_texts_are_classes(path: Path) -> None:
    data = opened(path, FLOWERS)
    assert data.classes == ("lily", "rose") and data.gives == {"num_features": 2, "num_classes": 2}
    assert rows(data) == ([[1, 10], [2, 20], [3, 30], [4, 40]], [1, 0, 1, 0])
    assert data.facts["features"] == ["long", "wide"] and data.facts["targets"] == ["kind"]


def test_whole_numbers_are_classes_in_their_own_order(path: Path) -> None:
    data = opened(path, "1;10\n2;9\n", header=False, delimiter=";")
    assert data.classes == ("9", "10")
    assert rows(data) == ([[1], [2]], [1, 0])
    assert opened(path, task="regression", header=False, delimiter=";").classes is None


def test_numbers_and_several_targets_are_regression(path: Path) -> None:
    data = opened(path, FLOWERS, target="wide", features=["long"], task="regression")
    assert data.task == "regression" and data.target.shape == (1,)
    assert rows(data) == ([[1], [2], [3], [4]], [[10], [20], [30], [40]])
    both = opened(path, "a,b,c\n1,2,3\n", target=["c", 0])
    assert rows(both) == ([[2]], [[3, 1]])
    assert opened(path, "a,b\n1,1.5\n2,2\n").task == "regression"


def test_splits_and_normalisation(path: Path) -> None:
    body = "".join(f"{n},{n % 2}\n" for n in range(100))
    data = opened(path, "x,y\n" + body, test=0.2, validation=0.25, normalize="auto")
    assert data.train and data.validation and data.test
    assert [len(s) for s in (data.train, data.validation, data.test)] == [60, 20, 20]
    assert data.test.batch(torch.arange(20))[1].sum() == 10
    (x,), _ = data.train.batch(torch.arange(60))
    assert x.mean().abs() < 1e-4 and len(data.facts["mean"]) == 1


def test_a_folder_and_a_test_file(tmp_path: Path) -> None:
    for name, text in (("train", FLOWERS), ("test", FLOWERS[:25]), ("other", FLOWERS)):
        (tmp_path / f"{name}.csv").write_text(text)
    data = opened(tmp_path)
    assert data.test and len(data.test) == 1
    other = opened(tmp_path / "train.csv", test=str(tmp_path / "other.csv"))
    assert other.test and len(other.test) == 4


def test_missing_values(path: Path) -> None:
    text = "a,b,y\n1,,0\n3,4,1\n,8,1\n"
    assert message(path, text) == (
        "error[NS602]: a value of column `b` is missing\n"
        f" --> {path}:2:3\n"
        "2 | 1,,0\n"
        "  |   ^\n"
        "  = help: `data.missing=mean` fills it in, `data.missing=drop` leaves such rows out"
    )
    assert rows(opened(path, missing="drop"))[0] == [[3, 4]]
    data = opened(path, missing="mean")
    assert rows(data)[0] == [[1, 6], [3, 4], [2, 8]]
    assert data.facts["fill"] == [2, 6]


def test_a_missing_target_is_not_filled_in(path: Path) -> None:
    assert message(path, "a,y\n1,\n2,1\n", missing="mean") == (
        "error[NS602]: a value of column `y` is missing\n"
        f" --> {path}:2:3\n"
        "2 | 1,\n"
        "  |   ^\n"
        "  = help: `data.missing=drop` leaves such rows out"
    )


def test_a_bad_cell(path: Path) -> None:
    assert message(path, 'name,a,y\n"x, y",1,0\nz, big ,1\n', features=["a"]) == (
        "error[NS602]: `big` in column `a` is no number\n"
        f" --> {path}:3:3\n"
        "3 | z, big ,1\n"
        "  |   ^^^^^\n"
        "  = help: `data.features=[…]` says which columns to use"
    )
    assert message(path).splitlines()[:4] == [
        "error[NS602]: `x, y` in column `name` is no number",
        f" --> {path}:2:1",
        '2 | "x, y",1,0',
        "  | ^^^^^^",
    ]


def test_a_row_of_another_length(path: Path) -> None:
    assert message(path, "a,b\n1,2\n1,2,3\n") == (
        "error[NS602]: the row has 3 cells, and 2 are expected\n"
        f" --> {path}:3:1\n"
        "3 | 1,2,3\n"
        "  | ^^^^^"
    )


def test_an_unknown_column(path: Path) -> None:
    assert message(path, FLOWERS, target="kin") == (
        f"error[NS605]: there is no column `kin`\n --> {path}\n  = help: did you mean `kind`?"
    )
    assert message(path, FLOWERS, features=["q"]).endswith("= help: there are long, wide, kind")


def test_a_class_that_training_does_not_have(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(FLOWERS)
    (tmp_path / "test.csv").write_text("long,wide,kind\n1,2,iris\n")
    assert message(tmp_path) == (
        "error[NS604]: `iris` is none of the 2 classes to train on\n"
        f" --> {tmp_path / 'test.csv'}:2:5\n"
        "2 | 1,2,iris\n"
        "  |     ^^^^"
    )


def test_files_that_are_no_tables(path: Path, tmp_path: Path) -> None:
    assert message(path, "a,b\n") == f"error[NS602]: `flowers.csv` has no rows\n --> {path}"
    path.write_bytes(b"a,b\n\xff,1\n")
    assert message(path) == (
        "error[NS602]: the file is not UTF-8: byte 0xFF begins no character\n"
        f" --> {path}\n"
        "  = help: save it as UTF-8"
    )
    assert message(path, 'a,b\n1,"2\n').startswith(
        f"error[NS602]: the line is no csv: unexpected end of data\n --> {path}:2:1"
    )
    assert message(tmp_path / "none.csv") == (
        f"error[NS601]: there is no file `{tmp_path / 'none.csv'}`\n"
        f" --> from data.root={tmp_path / 'none.csv'}"
    )
