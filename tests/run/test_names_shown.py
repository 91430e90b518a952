"""Names that data gives reach no terminal, page or picture as commands."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from netspec.cli import main
from netspec.run.classification_report import class_scores, confusion_lines, score_lines
from tests.run.console import saying

SPEC = """\
netspec: 1
name: Net
args: {num_classes: null}
inputs: {x: [N, 1, 4, 4]}
layers:
  flat: {call: flatten, start_dim: 1}
  out: {module: Linear, out_features: =num_classes}
"""
NAMES = ["\x1b[31mred", "a\u202eb", "c\x9b2J", "bell\x07"]
NOT_SHOWN = {"Cc", "Cf", "Zl", "Zp"}


def controls(text: str) -> set[str]:
    return {c for c in text if unicodedata.category(c) in NOT_SHOWN and c != "\n"}


def test_names_of_classes_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "data\x1b[2J"
    for number, name in enumerate(NAMES * 4):
        (root / name).mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), 40 * (number % 4)).save(root / name / f"{number}\x1b.png")
    (tmp_path / "net.yaml").write_text(SPEC)
    kind = ["device=cpu", "threads=1", "trainer.max_epochs=2", "data.batch_size=4", "folder=run"]
    data = ["data=image_folder", f"data.root='{root}'", "data.channels=1", "data.validation=4"]
    with saying() as said:
        assert main(["train", "model=./net.yaml", *data, *kind]) == 0
        assert main(["eval", "checkpoint=run", "split=validation"]) == 0
        assert main(["predict", "run", str(root)]) == 0
        assert main(["report", "run"]) == 0
    assert "<U+001B>[31mred" in said.getvalue()
    assert not controls(said.getvalue()), controls(said.getvalue())
    for name in ("summary.txt", "report.txt", "report.html", "curves.svg"):
        text = (tmp_path / "run" / name).read_text(encoding="utf-8")
        assert not controls(text), name
    ElementTree.parse(tmp_path / "run" / "curves.svg")


@pytest.mark.parametrize("count", [4, 30])
def test_tables_of_scores(count: int) -> None:
    names = [f"{NAMES[number % 4]}{number}" for number in range(count)]
    counts = [[number + (row == number) for number in range(count)] for row in range(count)]
    lines = [*score_lines(class_scores(counts, names)), *confusion_lines(counts, names)]
    assert not controls("\n".join(lines)) and "<U+001B>" in "\n".join(lines)
