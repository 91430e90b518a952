"""What a run does with its settings, and what it leaves in its folder."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
import yaml
from PIL import Image

from netspec.cli import main
from netspec.run.checkpoint import load_checkpoint, read_checkpoint
from tests.run.running import (
    ROOT,
    SPEC,
    TINY,
    bit_equal,
    contents,
    ended,
    metrics,
    rows,
    same_run,
    small,
    started,
    trained,
    weights,
)


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (ROOT / "configs/run" / group).glob("*.yaml"))


def spec(text: str, folder: Path) -> str:
    return small(folder, f"netspec: 1\nname: Small\n{text}")


# The folder


def test_the_folder(tmp_path: Path) -> None:
    run = tmp_path / "run"
    found = trained(run, small(tmp_path), "seed=3")
    names = ["run.yaml", "spec.yaml", "summary.txt", "metrics.json", "metrics.csv", "curves.svg"]
    made = {name for name in contents(run) if name != ".lock"}
    assert made == {*names, "checkpoints/best.safetensors", "checkpoints/last.safetensors"}
    assert len(rows(run)) == 3
    with open(run / "metrics.csv", encoding="utf-8", newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert {name: float(value) for name, value in last.items()} == found["last"]
    best = max(rows(run), key=lambda row: float(row["val_accuracy"]))
    assert found["best"]["epoch"] == int(best["epoch"])
    assert read_checkpoint(run / "checkpoints/best.safetensors").info["metrics"] == found["best"]
    assert found["seed"] == 3 and found["epochs"] == 3 and found["error"] is None
    assert set(found["versions"]) >= {"netspec", "torch", "python"}
    model = load_checkpoint(run)
    assert sum(p.numel() for p in model.parameters()) == found["parameters"]
    assert f"{found['parameters']:,}" in (run / "summary.txt").read_text(encoding="utf-8")
    assert (run / "curves.svg").read_text(encoding="utf-8").startswith("<svg")
    settings = yaml.safe_load((run / "run.yaml").read_text(encoding="utf-8"))
    assert settings["seed"] == 3 and settings["data"]["limit"] == 80


def test_the_spec_trains_again(tmp_path: Path) -> None:
    """spec.yaml is the whole model, overrides included."""
    trained(tmp_path / "one", small(tmp_path), "model.layers.fc1.out_features=9")
    trained(tmp_path / "two", f"model={tmp_path / 'one' / 'spec.yaml'}")
    assert bit_equal(weights(tmp_path / "one"), weights(tmp_path / "two"))


# The trainer


def test_early_stopping(tmp_path: Path) -> None:
    stop = ("trainer.early_stopping=2", "trainer.max_epochs=9", "optimizer.lr=1e-9")
    found = trained(tmp_path / "run", small(tmp_path), *stop, "monitor=val_accuracy")
    assert found["epochs"] == found["best"]["epoch"] + 2 < 9


def test_gradients_are_clipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []

    monkeypatch.setattr(torch.optim.SGD, "step", _watched(torch.optim.SGD.step, norms))
    trained(tmp_path / "free", small(tmp_path), "optimizer=sgd")
    assert max(norms) > 0.06
    norms.clear()
    trained(tmp_path / "clip", small(tmp_path), "optimizer=sgd", "trainer.gradient_clip=0.05")
    assert len(norms) == 9 and max(norms) <= 0.0501


def _watched(step: Any, norms: list[float]) -> Any:
    def watched(self: Any, closure: Any = None) -> Any:
        loss = closure() if closure else None
        grads = [p.grad for group in self.param_groups for p in group["params"]]
        norms.append(float(torch.nn.utils.get_total_norm(grads)))
        step(self)
        return loss

    return watched


def test_accumulated_batches_are_one(tmp_path: Path) -> None:
    """Two batches of 16 to a step are one of 32, where nothing looks at a whole batch."""
    plain = [line for line in SPEC.splitlines(True) if "Norm" not in line and "Drop" not in line]
    model = small(tmp_path, "".join(plain))
    even = ("data.limit=64", "data.augment=null", "optimizer=sgd", "trainer.max_epochs=2")
    trained(tmp_path / "one", model, *even, "data.batch_size=32")
    trained(tmp_path / "two", model, *even, "data.batch_size=16", "trainer.accumulate=2")
    assert rows(tmp_path / "two")[-1]["step"] == "4"
    for name, value in weights(tmp_path / "one").items():
        torch.testing.assert_close(weights(tmp_path / "two")[name], value)


def test_rows_in_between(tmp_path: Path) -> None:
    trained(tmp_path / "run", small(tmp_path), "trainer.log_every=2", "trainer.validate_every=2")
    found = [(row["epoch"], row["step"], row["val_loss"] != "") for row in rows(tmp_path / "run")]
    assert found == [
        ("1", "2", False),
        ("1", "3", False),
        ("2", "4", False),
        ("2", "6", False),
        ("2", "6", True),
        ("3", "8", False),
        ("3", "9", False),
    ]


@pytest.mark.parametrize("steps", [2, 3, 4])
def test_max_steps(tmp_path: Path, steps: int) -> None:
    found = trained(tmp_path / "run", small(tmp_path), f"trainer.max_steps={steps}")
    last = rows(tmp_path / "run")[-1]
    assert last["step"] == str(steps) and last["val_loss"] != ""
    assert found["status"] == "finished" and float(last["lr"]) == pytest.approx(0)


def test_max_minutes(tmp_path: Path) -> None:
    more = ("trainer.max_epochs=100000", "trainer.max_minutes=0.01")
    found = trained(tmp_path / "run", small(tmp_path), *more)
    assert found["status"] == "finished" and 0.5 < found["last"]["seconds"] < 10


def test_tensorboard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    arguments = [*TINY, small(tmp_path), "logger=tensorboard", f"folder={run}"]
    status = main(["train", *arguments])
    if find_spec("tensorboard") or find_spec("tensorboardX"):
        assert status == 0 and list(run.rglob("events.out.*"))
    else:
        assert status == 1 and "pip install 'netspec[tensorboard]'" in capsys.readouterr().err


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true", "bf16-true"])
def test_precision(tmp_path: Path, precision: str) -> None:
    found = trained(tmp_path / "run", small(tmp_path), f"precision={precision}")
    kept = next(iter(weights(tmp_path / "run").values())).dtype
    kinds = {"64-true": torch.float64, "bf16-true": torch.bfloat16}
    assert found["precision"] == precision and kept == kinds.get(precision, torch.float32)


def test_a_layer_that_does_not_run_in_the_precision_is_told_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SPEC.replace("  norm:", "  wide: =fc1 @ zeros(16, 16)\n  norm:")
    model, run = small(tmp_path, text), tmp_path / "run"
    assert main(["train", *TINY, model, "precision=bf16-true", f"folder={run}"]) == 1
    told = capsys.readouterr().err
    assert "error[NS301]: `wide` does not run in bfloat16" in told and "small.yaml:8:3" in told
    assert not (run / "checkpoints").exists()
    trained(run, model, "precision=32-true")


@pytest.mark.slow
def test_compiled(tmp_path: Path) -> None:
    model = small(tmp_path)
    status, out, err = ended(
        started(*TINY, model, "compile=true", f"folder={tmp_path / 'run'}"), 300
    )
    assert status == 0, (out, err)
    trained(tmp_path / "eager", model)
    assert list(weights(tmp_path / "run")) == list(weights(tmp_path / "eager"))


def test_from_other_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = small(tmp_path)
    trained(tmp_path / "one", model)
    more = (f"weights={tmp_path / 'one'}", "optimizer.lr=0", "scheduler=none")
    trained(tmp_path / "two", model, *more)
    best = weights(tmp_path / "one", "best")
    ours = weights(tmp_path / "two")
    assert all(torch.equal(ours[name], best[name]) for name in ours if "fc" in name)
    bad = ["model.layers.fc1.out_features=9", f"folder={tmp_path / 'three'}"]
    assert main(["train", *TINY, model, *more, *bad]) == 1
    assert "NS704" in capsys.readouterr().err


# Groups of the configuration


@pytest.mark.parametrize("name", options("optimizer"))
def test_every_optimizer(tmp_path: Path, name: str) -> None:
    groups = "optimizer.groups={*.bias: {weight_decay: 0}}"
    trained(tmp_path / "run", small(tmp_path), f"optimizer={name}", "trainer.max_epochs=1", groups)


@pytest.mark.parametrize("name", options("scheduler"))
def test_every_scheduler(tmp_path: Path, name: str) -> None:
    trained(tmp_path / "run", small(tmp_path), f"scheduler={name}", "trainer.log_every=1")
    rates = {float(row["lr"]) for row in rows(tmp_path / "run")}
    assert (len(rates) == 1) == (name in ("none", "plateau"))


CLASSES = {"cross_entropy", "cross_entropy_module", "nll_loss", "by_task"}
REGRESSION = """\
inputs: {x: [N, 3]}
layers:
  fc1: {module: Linear, out_features: 8}
  act: {act: tanh}
  fc2: {module: Linear, out_features: 1}
"""
BINARY = REGRESSION.replace("tanh", "relu")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    values = numpy.random.default_rng(0).normal(size=(120, 3))
    lines = [f"{a},{b},{c},{a - 2 * b + 0.5},{'yes' if a > c else 'no'}" for a, b, c in values]
    path.write_text("\n".join(["a,b,c,value,label", *lines]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("name", options("loss"))
def test_every_loss(tmp_path: Path, table: Path, name: str) -> None:
    more = [f"loss={name}", "trainer.max_epochs=1"]
    if name in CLASSES:
        trained(tmp_path / "run", small(tmp_path), *more)
        return
    binary = name.startswith("binary")
    target = "label" if binary else "value"
    data = ["data=csv", f"data.root={table}", f"data.target={target}", "data.features=[a,b,c]"]
    found = trained(tmp_path / "run", spec(REGRESSION, tmp_path), *more, *data)
    assert ("accuracy" if binary else "mae") in found["test"]


def test_module_and_call_are_equal(tmp_path: Path) -> None:
    trained(tmp_path / "one", small(tmp_path), "loss=cross_entropy")
    trained(tmp_path / "two", small(tmp_path), "loss=cross_entropy_module")
    same_run(tmp_path / "one", tmp_path / "two")


# Tasks


def test_regression(tmp_path: Path, table: Path) -> None:
    data = ["data=csv", f"data.root={table}", "data.target=value", "data.features=[a,b,c]"]
    more = ["trainer.max_epochs=60", "optimizer.lr=0.02", "data.limit=null"]
    found = trained(tmp_path / "run", spec(REGRESSION, tmp_path), *data, *more)
    assert found["monitor"] == {"name": "val_mae", "mode": "min"}
    assert found["test"]["r2"] > 0.8


def test_binary_with_one_score(tmp_path: Path, table: Path) -> None:
    data = ["data=csv", f"data.root={table}", "data.target=label", "data.features=[a,b,c]"]
    more = ["trainer.max_epochs=60", "optimizer.lr=0.02", "data.limit=null"]
    found = trained(tmp_path / "run", spec(BINARY, tmp_path), *data, *more)
    assert found["test"]["accuracy"] > 0.7


def test_language(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat.\n" * 60, encoding="utf-8")
    sizes = ["model.args.width=16", "model.args.depth=1", "model.args.heads=2"]
    more = ["data=text", f"data.path={text}", "data.context=16", "optimizer.lr=0.01"]
    found = trained(tmp_path / "run", "model=char_gpt", *sizes, *more, "model.args.context=16")
    assert found["monitor"]["name"] == "val_loss"
    assert found["last"]["val_loss"] < found["best"]["val_loss"] + 1
    assert rows(tmp_path / "run")[0]["val_loss"] > rows(tmp_path / "run")[-1]["val_loss"]


SEGMENTS = """\
inputs: {x: [N, 1, 8, 8]}
layers:
  conv: {module: Conv2d, out_channels: 4, kernel_size: 3, padding: 1}
  act: {act: relu}
  scores: {module: Conv2d, out_channels: 2, kernel_size: 1}
"""


def test_segmentation_ignores_pixels(tmp_path: Path) -> None:
    """The figures count the known pixels alone: with all wrong ones unknown, all are right."""
    root = tmp_path / "data"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    draw = numpy.random.default_rng(0)
    for index in range(40):
        image = draw.integers(0, 256, (8, 8), dtype="uint8")
        mask = numpy.full((8, 8), 255, dtype="uint8")  # no class
        mask[2:4] = 1
        Image.fromarray(image).save(root / "images" / f"{index}.png")
        Image.fromarray(mask).save(root / "masks" / f"{index}.png")
    data = ["data=image_folder", f"data.root={root}", "data.masks=masks", "data.channels=1"]
    data += ["data.size=8", "data.classes=2", "data.validation=0.25"]
    more = ["optimizer.lr=0.05", "data.limit=null", "metrics=[accuracy,iou]"]
    found = trained(tmp_path / "run", spec(SEGMENTS, tmp_path), *data, *more)
    assert found["test"]["accuracy"] == 1.0 and found["best"]["val_accuracy"] == 1.0


def test_a_loss_of_several_outputs(tmp_path: Path) -> None:
    data = ("model=train_outputs", "data=random", "data.train=64", "data.validation=32")
    found = trained(tmp_path / "one", *data, "data.test=32")
    assert found["test"]["loss"] > 0
    layers = {
        "a": {"call": "cross_entropy", "from": ["logits", "target"]},
        "b": {"call": "cross_entropy", "from": ["aux", "target"]},
        "sum": {"value": "=a + 0.3 * b"},
    }
    (tmp_path / "configs/run/loss").mkdir(parents=True)
    text = yaml.safe_dump({"layers": layers})
    (tmp_path / "configs/run/loss/both.yaml").write_text(text, encoding="utf-8")
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        trained(tmp_path / "two", *data, "data.test=32", "loss=both")
    finally:
        os.chdir(before)
    assert not bit_equal(weights(tmp_path / "one"), weights(tmp_path / "two"))
    first = rows(tmp_path / "two")[0]
    assert float(first["train_loss"]) > float(rows(tmp_path / "one")[0]["train_loss"])


# Anywhere


def test_an_experiment_says_what_is_not_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "configs/run/experiment").mkdir(parents=True)
    text = "# @package _global_\nseed: 5\noptimizer: {lr: 0.25}\n"
    (tmp_path / "configs/run/experiment/mine.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    found = trained(tmp_path / "one", small(tmp_path), "experiment=mine")
    assert found["seed"] == 5
    run = (tmp_path / "one" / "run.yaml").read_text(encoding="utf-8")
    assert "lr: 0.25" in run and "seed: 5" in run
    assert trained(tmp_path / "two", small(tmp_path), "experiment=mine", "seed=7")["seed"] == 7


def test_own_configuration_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "configs/run/data").mkdir(parents=True)
    (tmp_path / "configs/model").mkdir()
    text = (ROOT / "configs/run/data/mnist5k.yaml").read_text(encoding="utf-8")
    (tmp_path / "configs/run/data/mine.yaml").write_text(
        text.replace("augment: ", "augment: null  #").partition("augment:")[0] + "augment: null\n",
        encoding="utf-8",
    )
    (tmp_path / "configs/model/mine.yaml").write_text(SPEC, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["train", "model=mine", "data=mine", *TINY]) == 0
    (run,) = tmp_path.glob("outputs/*/*")
    assert metrics(run)["spec"] == "mine"


@pytest.mark.slow
def test_from_a_wheel(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    made = subprocess.run(
        [*command, "-w", str(tmp_path / "wheel"), str(ROOT)], capture_output=True, text=True
    )
    if made.returncode and "hatchling" in made.stderr:
        command.remove("--no-build-isolation")
        made = subprocess.run(
            [*command, "-w", str(tmp_path / "wheel"), str(ROOT)], capture_output=True, text=True
        )
    assert made.returncode == 0, made.stderr
    (wheel,) = (tmp_path / "wheel").glob("*.whl")
    site = tmp_path / "site"
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(site)], check=True)
    here = tmp_path / "here"
    here.mkdir()
    code = "import sys; from netspec.cli import main; sys.exit(main(sys.argv[1:]))"
    for arguments in (["train", *TINY, "folder=run"], ["eval", "checkpoint=run", "device=cpu"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=here,
            env={**os.environ, "PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    assert metrics(here / "run")["status"] == "finished"
    code = """if True:
        import netspec
        from netspec import find
        from netspec.commands import parameter_index

        assert all("site" in find.path_of(name) for name in find.spec_names())
        model = netspec.build("resnet101", args={"num_classes": 5}, device="meta")
        file = find.path_of("resnet101")
        print(model.fc.out_features, parameter_index.parameters_of([file])[file])
    """
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "5 44549160\n", done.stderr
