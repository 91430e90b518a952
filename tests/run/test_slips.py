"""Slips of the finger: told at once, before torch is imported, with what was probably meant."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from netspec.cli import main
from netspec.run.data.sources import open_data
from tests.run.running import ROOT, metrics, small, trained

_NO_TORCH = """\
import sys
from netspec.cli import main
status = main(sys.argv[1:])
heavy = [name for name in ("torch", "lightning", "torchmetrics") if name in sys.modules]
print(status, heavy)
"""
_TABLE = "a,b,kind\n1,2,x\n2,3,y\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("train model=lenett", "did you mean `lenet` or `alexnet`?"),
        ("train model=nowhere/net.yaml", "nowhere/net.yaml"),
        ("train data=npz data.root=nix.npz", "there is no file `nix.npz`"),
        ("train data=csv data.root=t.csv data.target=knd", "did you mean `kind`?"),
        ("train data=csv data.root=t.csv data.features=[a,c]", "there is no column `c`"),
        ("train data=text data.path=nix.txt", "there is no text `nix.txt`"),
        ("train data=image_folder data.root=t.csv", "is a file, and a folder is expected"),
        ("train weights=nix", "there is no checkpoint `nix`"),
        ("eval checkpoint=nix", "there is no checkpoint `nix`"),
        ("eval", "netspec eval checkpoint=outputs/…"),
        ("eval model=lenet weights=t.csv", "do not tell on what they were trained"),
    ],
)
def test_what_is_not_there_is_told_before_torch_is_imported(
    arguments: str, told: str, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text(_TABLE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", _NO_TORCH, *arguments.split()],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1:] == ["1 []"], done
    assert told in done.stderr
    assert not (tmp_path / "outputs").exists() or not any((tmp_path / "outputs").rglob("*.json"))


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ("train mine.yaml", "did you mean `model=mine.yaml`?"),
        ("train lenet", "did you mean `model=lenet`?"),
        ("eval run", "did you mean `checkpoint=run`?"),
        ("eval best.safetensors", "did you mean `checkpoint=best.safetensors`?"),
        ("train nonsense", "write `key=value`"),
    ],
)
def test_a_value_without_its_key(
    arguments: str,
    meant: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/metrics.json").write_text("{}", encoding="utf-8")
    assert main(arguments.split()) == 1
    assert meant in capsys.readouterr().err


def test_help_calls_the_command_as_its_user_does(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("train", "eval"):
        assert main([command, "--help"]) == 0
        told = capsys.readouterr().out
        assert (
            f"netspec {command} " in told
            and "python train" not in told
            and "python eval" not in told
        )


def test_one_name_needs_no_brackets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "plugins=no_such_plugin"]) == 1
    assert "there is no plugin `no_such_plugin`" in capsys.readouterr().err
    found = trained(tmp_path / "run", small(tmp_path), "metrics=f1")
    assert set(found["test"]) == {"loss", "f1"}


def test_no_scheduler(tmp_path: Path) -> None:
    for name in ("null", "none"):
        found = trained(tmp_path / name, small(tmp_path), f"scheduler={name}")
        assert found["last"]["lr"] == 0.001


def test_fewer_epochs_than_were_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    trained(run, small(tmp_path))
    said = {**metrics(run), "status": "interrupted"}
    (run / "metrics.json").write_text(json.dumps(said), encoding="utf-8")
    assert main(["train", f"resume={run}", "trainer.max_epochs=2"]) == 1
    told = capsys.readouterr().err
    assert "this run has trained 3 epochs, and trainer.max_epochs is 2" in told
    assert main(["train", f"resume={run}", "trainer.max_epochs=3"]) == 0, "its test was left"


def test_the_mend_of_a_wrong_input_is_an_override(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "model=resnet18", f"folder={tmp_path / 'run'}"]) == 1
    assert "help: 'model.inputs.x=[N, 1, 28, 28]'" in capsys.readouterr().err


def test_threads_that_wait_asleep(tmp_path: Path) -> None:
    """Unless the environment says how: spinning ones take the processors from each other."""
    script = "import os, netspec.cli as c\nc.main(['train', 'nonsense'])\nprint(*("
    script += "os.environ.get(n) for n in ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')))"
    for own, wanted in ({}, "passive None"), ({"GOMP_SPINCOUNT": "7"}, "None 7"):
        done = subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONPATH": str(ROOT), **own},
            cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.strip() == wanted


def test_an_undivided_folder_of_images_has_a_test_split(tmp_path: Path) -> None:
    from PIL import Image

    def fill(folder: Path) -> None:
        for name in ("cat", "dog"):
            (folder / name).mkdir(parents=True)
            for index in range(20):
                Image.new("L", (4, 4), index).save(folder / name / f"{index}.png")

    fill(tmp_path / "flat")
    fill(tmp_path / "divided/train")
    own = {"source": "image_folder", "channels": 1, "validation": 0.25, "test": "auto"}
    flat = open_data({**own, "root": str(tmp_path / "flat")})
    assert [len(s or ()) for s in (flat.train, flat.validation, flat.test)] == [24, 8, 8]
    assert flat.test is not None
    _, labels = flat.test.batch(torch.arange(8))
    assert labels.bincount().tolist() == [4, 4]
    divided = open_data({**own, "root": str(tmp_path / "divided")})
    assert divided.test is None
    asked = open_data({**own, "root": str(tmp_path / "divided"), "test": 10})
    assert [len(s or ()) for s in (asked.train, asked.validation, asked.test)] == [22, 8, 10]


def test_args_that_the_data_gives_pass_a_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (
        "netspec: 1\nname: Net\nargs: {{num_classes: null{more}}}\ninputs: {{x: [N, 4]}}\n"
        "layers:\n  fc: {{module: Linear, out_features: =num_classes}}\n{layer}"
    )
    (tmp_path / "net.yaml").write_text(text.format(more="", layer=""), encoding="utf-8")
    assert main(["check", "--no-cache", "net.yaml"]) == 0
    wrong = text.format(more="", layer="  b: {module: Linear, in_features: 7, out_features: 1}\n")
    (tmp_path / "net.yaml").write_text(wrong, encoding="utf-8")
    assert main(["check", "--no-cache", "net.yaml"]) == 1
    assert "checked with num_classes=10, which a run's data gives" in capsys.readouterr().out
    other = text.format(more=", width: null", layer="")
    (tmp_path / "net.yaml").write_text(other, encoding="utf-8")
    assert main(["check", "--no-cache", "net.yaml"]) == 1
    assert "`Net` needs `width`" in capsys.readouterr().out
