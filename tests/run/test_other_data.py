"""Data that was replaced while a run, or a sweep, waited to go on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image

from netspec.cli import main
from netspec.run.data.sources import open_data
from tests.run.running import metrics

ROWS = "".join(f"{n % 7},{n % 5},{'ab'[n % 2]}\n" for n in range(60))
FLAT = """\
netspec: 1
name: Flat
args: {num_classes: null, num_features: null}
inputs: {x: [N, =num_features]}
layers:
  out: {module: Linear, out_features: =num_classes}
"""


def csv(folder: Path) -> dict[str, Any]:
    (folder / "t.csv").write_text(f"x,y,kind\n{ROWS}")
    return {"source": "csv", "root": str(folder / "t.csv")}


def csv_changed(folder: Path) -> None:
    (folder / "t.csv").write_text(f"x,y,kind\n{ROWS.replace('3,1,b', '3,2,b', 1)}")


def npz(folder: Path) -> dict[str, Any]:
    numpy.savez(folder / "a.npz", x=numpy.eye(20, dtype="float32"), y=numpy.arange(20) % 2)
    return {"source": "npz", "root": str(folder / "a.npz"), "validation": 0, "test": 0}


def npz_changed(folder: Path) -> None:
    """Labels alone: the same sizes and numbers of each class."""
    y = numpy.roll(numpy.arange(20) % 2, 1)
    numpy.savez(folder / "a.npz", x=numpy.eye(20, dtype="float32"), y=y)


def text(folder: Path) -> dict[str, Any]:
    (folder / "t.txt").write_text("abcdefgh" * 40)
    return {"source": "text", "path": str(folder / "t.txt"), "context": 8}


def text_changed(folder: Path) -> None:
    (folder / "t.txt").write_text("abcdefgh" * 39 + "abcdefhg")


def images(folder: Path, **more: object) -> dict[str, Any]:
    for number in range(8):
        path = folder / "images" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), number).save(path)
    return {"source": "image_folder", "root": str(folder / "images"), "validation": 2, **more}


def image_changed(folder: Path) -> None:
    path = folder / "images" / "a" / "0.png"
    Image.new("L", (4, 4), 200).save(path)
    os.utime(path, (1, 1))


def image_as_class(folder: Path) -> None:
    shutil.move(folder / "images" / "a", folder / "images" / "c")


KINDS: dict[str, tuple[Callable[[Path], dict[str, Any]], Callable[[Path], None]]] = {
    "csv": (csv, csv_changed),
    "npz": (npz, npz_changed),
    "text": (text, text_changed),
    "images": (images, image_changed),
    "images read as they are needed": (lambda f: images(f, in_memory=False), image_changed),
    "another name of a class": (images, image_as_class),
}


@pytest.mark.parametrize("kind", KINDS)
def test_other_examples_have_another_fingerprint(tmp_path: Path, kind: str) -> None:
    write, change = KINDS[kind]
    settings = write(tmp_path)
    before = open_data(settings).fingerprint
    assert open_data(settings).fingerprint == before
    change(tmp_path)
    assert open_data(settings).fingerprint != before


def test_the_same_examples_elsewhere_are_the_same(tmp_path: Path) -> None:
    """What is in memory is known by its numbers, and not by the files that they were in."""
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    here, there = (open_data(images(tmp_path / name)) for name in ("here", "there"))
    assert here.fingerprint == there.fingerprint


def begun(folder: Path, *more: str) -> list[str]:
    """What trains a small net on a table; the run in `folder` is as if it had been cut."""
    (folder / "flat.yaml").write_text(FLAT)
    csv(folder)
    short = ("threads=1", "device=cpu", "trainer.max_epochs=1", f"data.root={folder / 't.csv'}")
    return ["train", *more, f"model={folder / 'flat.yaml'}", "data=csv", *short]


def cut(run: Path) -> None:
    path = run / "metrics.json"
    path.write_text(path.read_text().replace('"finished"', '"interrupted"'))


def test_a_run_does_not_go_on_with_other_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main([*begun(tmp_path), f"folder={run}"]) == 0
    cut(run)
    assert main(["train", f"resume={run}"]) == 0
    csv_changed(tmp_path)
    cut(run)
    assert main(["train", f"resume={run}"]) == 1
    assert "error[NS709]: t has other examples than when this began" in capsys.readouterr().err
    assert metrics(run)["status"] == "interrupted"
    assert main(["train", f"resume={run}", "other_data=true", "trainer.max_epochs=2"]) == 0
    cut(run)
    assert main(["train", f"resume={run}", "trainer.max_epochs=3", "other_data=false"]) == 0


def test_a_sweep_does_not_go_on_with_other_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "sweep"
    assert main([*begun(tmp_path, "-m"), "seed=1,2", f"folder={run}"]) == 0
    shutil.rmtree(run / "1")
    csv_changed(tmp_path)
    assert main(["train", "-m", f"resume={run}"]) == 1
    assert "error[NS709]: t has other examples" in capsys.readouterr().err
    assert not (run / "1").exists()
    assert main(["train", "-m", f"resume={run}", "other_data=true"]) == 0
    assert metrics(run / "1")["status"] == "finished"
