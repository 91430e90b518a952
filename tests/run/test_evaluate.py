"""`netspec eval`: the figures of training again, to the last digit, and other data, told apart."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from netspec.cli import main
from netspec.run.checkpoint import read_checkpoint
from netspec.run.classification_report import class_scores, confusion_lines, score_lines
from netspec.run.data.idx import EMBEDDED
from tests.run.small_runs import TEXT, copied, digits, language


def evaluated(folder: Path, *arguments: str) -> dict[str, Any]:
    """The evaluation.json of an evaluation into this folder."""
    assert main(["eval", *arguments, f"out={folder}", "device=cpu"]) == 0
    found = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What is told of an evaluation that can't be."""
    assert main(["eval", *arguments]) == 1
    told = capsys.readouterr().err
    assert "Traceback" not in told
    return told


def trained(run: Path) -> dict[str, Any]:
    found = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("act", [None, "module", "functional"])
def test_figures_are_those_of_the_run(tmp_path: Path, act: str | None) -> None:
    form = [] if act is None else [f"act={act}"]
    found = evaluated(tmp_path / "out", f"checkpoint={digits()}", *form)
    assert found["metrics"] == trained(digits())["test"]
    assert found["act"] == (act or "module")
    assert sum(map(sum, found["confusion"])) == found["examples"] == 1000
    assert found["classes"] == list("0123456789")
    assert {row["support"] for row in found["per_class"]} == {100}


@pytest.mark.parametrize("run", [digits, language])
def test_validation_is_that_of_the_run(tmp_path: Path, run: Any) -> None:
    found = evaluated(tmp_path / "out", f"checkpoint={run()}", "split=validation")
    best = trained(run())["best"]
    for name in ("loss", "accuracy"):
        assert found["metrics"][name] == best[f"val_{name}"]


def test_language_has_a_perplexity(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = evaluated(tmp_path / "out", f"checkpoint={language()}")
    test = trained(language())["test"]
    assert found["metrics"] == {**test, "perplexity": math.exp(test["loss"])}
    assert " nats" in capsys.readouterr().out
    assert found["confusion"] is None


def test_a_checkpoint_alone_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = copied(digits(), tmp_path / "a folder, with=signs")
    monkeypatch.chdir(alone.parent)
    found = evaluated(tmp_path / "out", f"checkpoint={alone.parent / 'alone'}")
    assert found["metrics"] == trained(digits())["test"]


def test_asked_metrics(tmp_path: Path) -> None:
    found = evaluated(tmp_path / "out", f"checkpoint={digits()}", "metrics=[f1,kappa]", "threads=1")
    assert list(found["metrics"]) == ["loss", "f1", "kappa"]
    mean = sum(row["f1"] for row in found["per_class"]) / 10
    assert found["metrics"]["f1"] == pytest.approx(mean, abs=1e-6)


def test_changed_keys_stand_on_top_of_the_data_of_training(tmp_path: Path) -> None:
    found = evaluated(tmp_path / "out", f"checkpoint={digits()}", "data.limit=50")
    assert found["examples"] == 50 and found["data"] == "mnist5k"


def test_other_data_is_normalised_as_in_training(tmp_path: Path) -> None:
    """The same files as other data: the mean of its other training split must not matter."""
    root = EMBEDDED / "mnist5k"
    keys = [f"data.root={root}", "data.validation=0.5"]
    found = evaluated(tmp_path / "out", f"checkpoint={digits()}", "data=idx", *keys)
    assert found["metrics"] == trained(digits())["test"]


def test_nothing_is_overwritten_and_nothing_littered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    os.link(digits() / "checkpoints/best.safetensors", run / "checkpoints/best.safetensors")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    for _ in range(2):
        assert main(["eval", f"checkpoint={run}", "data.limit=10"]) == 0
    assert len(list(run.glob("evaluations/*/evaluation.json"))) == 2
    assert list(work.iterdir()) == []
    out = run / "evaluations" / "mine"
    evaluated(out, f"checkpoint={run}", "data.limit=10")
    before = (out / "evaluation.json").read_bytes()
    assert "NS707" in refused(capsys, f"checkpoint={run}", f"out={out}")
    assert (out / "evaluation.json").read_bytes() == before


def test_a_folder_that_can_not_be_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.touch()
    run = f"checkpoint={digits()}"
    for out in (file, file / "below"):
        told = refused(capsys, run, "data.limit=10", f"out={out}")
        assert f"error[NS707]: `{file}` is a file, and no folder" in told
    told = refused(capsys, run, "data.limit=10", f"out={tmp_path / ('a' * 300)}")
    assert "error[NS707]: this can't be a folder: file name too long" in told


def npz(path: Path, shape: Sequence[int], classes: int) -> Path:
    images = numpy.zeros((20, *shape), numpy.uint8)
    labels = numpy.arange(20) % classes
    numpy.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    return path


def test_other_classes_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = npz(tmp_path / "a.npz", (28, 28, 1), 10)
    names = "[a,b,c,d,e,f,g,h,i,j]"
    run = f"checkpoint={digits()}"
    told = refused(capsys, run, "data=npz", f"data.root={root}", f"data.classes={names}")
    assert "error[NS604]: class 0 is `a` in a, and `0` in the checkpoint" in told
    few = npz(tmp_path / "b.npz", (28, 28, 1), 5)
    told = refused(capsys, run, "data=npz", f"data.root={few}")
    assert "error[NS604]: the checkpoint knows 10 classes, and b has 5" in told


def test_other_shapes_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = npz(tmp_path / "a.npz", (32, 32, 3), 10)
    told = refused(capsys, f"checkpoint={digits()}", "data=npz", f"data.root={root}")
    assert "error[NS603]: the input `image` takes examples of [1, 28, 28]" in told


def test_another_text_has_the_characters_of_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A text with fewer characters would number them otherwise."""
    run, own = f"checkpoint={language()}", tmp_path / "own.txt"
    keys = ["data=text", f"data.path={own}", "data.context=16", "data.test=0.2"]
    own.write_text(TEXT.replace("dog", "cat"), encoding="utf-8")
    found = evaluated(tmp_path / "out", run, *keys)
    assert found["metrics"]["loss"] < 1.5
    own.write_text(TEXT.replace("dog", "DOG"), encoding="utf-8")
    told = refused(capsys, run, *keys)
    assert "characters that were not there in training: 'D', 'G', 'O'" in told
    told = refused(capsys, run, *keys, "data.level=bytes")
    assert "error[NS604]" in told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "error[NS702]: no checkpoint is named"),
        (["checkpoint=nowhere"], "error[NS703]: there is no checkpoint `nowhere`"),
        (["{run}", "split=tests"], "error[NS702]: `split` can't be `tests`"),
        (["{run}", "metrics=[acuracy]"], "did you mean `accuracy`"),
        (["{run}", "data=mnst"], "did you mean `mnist`"),
        (["{run}", "data.limt=3"], "did you mean `limit`"),
        (["{run}", "act=functionl"], "did you mean `functional`"),
        (["{run}", "act.fn=geluu"], "did you mean `gelu`"),
        (["{run}", "device=cuda:99"], "error[NS705]"),
        (["{run}", "precison=64-true"], "did you mean `precision`"),
        (["-m", "{run}", "act=module,functional"], "error[NS702]: an evaluation is of one"),
        (["{run}", "data=text", "data.path=nowhere.txt"], "error[NS601]"),
        (["{run}", "data.root=a=b"], "error[NS702]: `data.root=a=b` is not an override"),
    ],
)
def test_mistakes_are_told(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    given = [text.replace("{run}", f"checkpoint={digits()}") for text in arguments]
    assert said in refused(capsys, *given)


def test_a_missing_split_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = refused(capsys, f"checkpoint={language()}", "data.test=0.0")
    assert "error[NS601]: cats has no test split" in told
    assert "split=train and split=validation" in told


def test_precision(tmp_path: Path) -> None:
    found = evaluated(tmp_path / "out", f"checkpoint={digits()}", "precision=64-true")
    test = trained(digits())["test"]
    assert found["metrics"]["loss"] == pytest.approx(test["loss"], rel=1e-4)
    assert found["metrics"]["loss"] != test["loss"]


# Classes and confusions


def test_scores_of_classes() -> None:
    cat, dog, cow = class_scores([[3, 1, 0], [1, 1, 0], [0, 0, 0]], ["cat", "dog", "cow"])
    assert (cat.precision, cat.recall, cat.f1, cat.support) == (0.75, 0.75, 0.75, 4)
    assert (dog.precision, dog.recall, dog.f1, dog.support) == (0.5, 0.5, 0.5, 2)
    assert (cow.precision, cow.recall, cow.f1, cow.support) == (None, None, None, 0)
    assert score_lines([cat, cow]) == [
        "class  precision  recall      f1  support",
        "cat       0.7500  0.7500  0.7500        4",
        "cow            –       –       –        0",
    ]


def test_a_small_matrix_is_whole() -> None:
    assert confusion_lines([[13, 1], [0, 2]], ["cat", "dog"]) == [
        "true ╲ predicted  cat   dog",
        "cat               [13]    1",
        "dog                 ·    [2]",
    ]
    numbered = confusion_lines([[1, 0], [0, 2]], ["T-shirt/top", "dog"])
    assert numbered[0].split() == ["true", "╲", "predicted", "0", "1"]
    assert numbered[1].startswith("0 T-shirt/top ")


def test_of_a_large_matrix_the_worst_is_shown() -> None:
    names = [f"class{number}" for number in range(30)]
    matrix = torch.eye(30, dtype=torch.int64) * 8
    matrix[4, 7] = 2
    assert confusion_lines(matrix.tolist(), names) == [
        "true    taken for  times  of them",
        "class4  class7         2    20.0%",
    ]
    lines = score_lines(class_scores(matrix.tolist(), names))
    assert len(lines) == 22 and lines[1].startswith("class7 ") is False
    assert lines[-1] == "the 20 classes with the lowest f1, of 30"
    assert confusion_lines((torch.eye(30).long() * 8).tolist(), names) == [
        "no class was taken for another one"
    ]


def test_a_run_that_says_nonsense_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from netspec.run.checkpoint import write_checkpoint

    whole = read_checkpoint(digits() / "checkpoints" / "best.safetensors")
    for info in ({}, {**whole.info, "run": 1}, {**whole.info, "task": "cooking"}):
        path = tmp_path / "a.safetensors"
        write_checkpoint(path, whole.weights, whole.recipe, info)
        told = refused(capsys, f"checkpoint={path}")
        assert "error[NS703]: `a.safetensors` does not say how it was trained" in told
