"""Text as windows of characters or bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from netspec.errors import RunError
from netspec.run.data.dataset import Data
from netspec.run.data.sources import open_data


def opened(path: object, **options: object) -> Data:
    plain = {"validation": 0.0, "context": 4}
    return open_data({"source": "text", "path": path, **plain, **options})


def message(path: object, **options: object) -> str:
    with pytest.raises(RunError) as caught:
        opened(path, **options)
    (diagnostic,) = caught.value.diagnostics
    return str(diagnostic)


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "song.txt"
    file.write_text("abcdefghij" * 10, encoding="utf-8")
    return str(file)


def test_windows_and_what_comes_next(path: str) -> None:
    data = opened(path)
    assert data.task == "language" and data.name == "song" and data.train
    assert data.gives == {"vocab_size": 10, "num_classes": 10, "context": 4}
    assert data.facts["characters"] == "abcdefghij"
    (x,), y = data.train.batch(torch.tensor([0, 1]))
    assert x.tolist() == [[0, 1, 2, 3], [2, 3, 4, 5]] and x.dtype == torch.int64
    assert y.tolist() == [[1, 2, 3, 4], [3, 4, 5, 6]]
    assert len(data.train) == 48


def test_the_end_is_held_out(path: str) -> None:
    data = opened(path, validation=0.2, test=0.1, stride=1)
    assert data.train and data.validation and data.test
    assert [len(s) for s in (data.train, data.validation, data.test)] == [66, 4, 2]
    (x,), _ = data.validation.batch(torch.tensor([0, 1]))
    assert x.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_bytes_and_several_files(path: str, tmp_path: Path) -> None:
    other = tmp_path / "more.txt"
    other.write_text("é!", encoding="utf-8")
    data = opened([path, str(other)], level="bytes", stride=1)
    assert data.gives["vocab_size"] == 256 and data.facts["bytes"] is True and data.train
    (x,), _ = data.train.batch(torch.tensor([len(data.train) - 1]))
    assert bytes(x[0].tolist()) == b"j\n\xc3\xa9"
    folder = opened(str(tmp_path))
    assert folder.facts["characters"] == "\n!abcdefghijé"


def test_the_manual_of_python() -> None:
    data = open_data({"source": "python_docs"})
    assert data.train and data.validation
    assert len(data.train) > 4000 and len(data.validation) > 200
    assert 80 < data.gives["vocab_size"] < 300


def test_what_cannot_be_read(path: str, tmp_path: Path) -> None:
    assert message(None) == (
        "error[NS601]: no text is given: `data.path` is `null`\n --> from data.path=null"
    )
    (tmp_path / "empty").mkdir()
    assert message(str(tmp_path / "empty")) == (
        f"error[NS601]: there is no `.txt` file here\n --> {tmp_path / 'empty'}"
    )
    assert message(path, context=200) == (
        "error[NS605]: a split of 100 characters has no window of 200\n"
        f" --> {path}\n"
        "  = help: a window takes 201, with the one that comes next"
    )
    Path(path).write_bytes(b"abc\xff")
    assert message(path) == (
        "error[NS602]: the text is not UTF-8: byte 0xFF begins no character\n"
        f" --> {path}\n"
        "  = help: save it as UTF-8, or read it with `data.level=bytes`"
    )
