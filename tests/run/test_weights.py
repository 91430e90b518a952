"""Runs that start from weights, and train a part of them."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

import netspec
from netspec.cli import main
from netspec.run.checkpoint import read_checkpoint
from netspec.run.data.idx import EMBEDDED
from netspec.run.overrides import as_written, for_hydra
from netspec.run.settings import Settings
from tests.run.running import (
    SPEC,
    TINY,
    bit_equal,
    metrics,
    optimizer_bits,
    resumed,
    same_run,
    small,
    trained,
    weights,
)

BODY = "freeze=[fc1,norm]"
STILL = ("optimizer.lr=0", "scheduler=none")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on ten digits."""
    folder = tmp_path_factory.mktemp("first")
    trained(folder / "run", small(folder), "seed=7")
    return folder / "run"


def three_digits(folder: Path) -> tuple[str, ...]:
    """Data of three classes, and the spec for it."""
    images, labels = (
        gzip.decompress((EMBEDDED / "mnist5k" / f"train-{name}-ubyte.gz").read_bytes())
        for name in ("images-idx3", "labels-idx1")
    )
    y = numpy.frombuffer(labels[8:], "uint8")
    x = numpy.frombuffer(images[16:], "uint8").reshape(-1, 28, 28)
    numpy.savez(folder / "three.npz", x=x[y < 3][:100], y=y[y < 3][:100])
    data = ("data=npz", f"data.root={folder / 'three.npz'}", "data.normalize=auto")
    return (small(folder), "model.layers.fc2.out_features=3", *data)


def loose(first: Path) -> tuple[str, str]:
    return (f"weights={first}", "weights.strict=false")


# What a run begins with


def test_another_number_of_classes(
    tmp_path: Path, first: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last layer is the seed's; what was loaded and reset is said wherever the run is told."""
    run, task = tmp_path / "run", three_digits(tmp_path)
    found = trained(run, *task, *loose(first), *STILL)
    file = first / "checkpoints" / "best.safetensors"
    given, ours = read_checkpoint(file).weights, weights(run)
    assert all(torch.equal(ours[n], given[n]) for n in ("fc1.weight", "fc1.bias", "norm.weight"))
    trained(tmp_path / "fresh", *task, *STILL)
    fresh = weights(tmp_path / "fresh")
    assert all(torch.equal(ours[name], fresh[name]) for name in ("fc2.weight", "fc2.bias"))
    assert not torch.equal(fresh["fc1.weight"], given["fc1.weight"])
    reason = "[10, 16] in the file, and [3, 16] here"
    assert found["weights"] == {
        "file": str(file),
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "loaded": 7,
        "reset": {"fc2.weight": reason, "fc2.bias": "[10] in the file, and [3] here"},
        "unused": ["fc2.weight", "fc2.bias"],
    }
    lines = [f"{file}: 7 of 9 tensors", f"reset: fc2 ({reason})"]
    lines.append("not used of the file: fc2.weight, fc2.bias")
    summary = (run / "summary.txt").read_text(encoding="utf-8")
    assert summary.endswith("\nweights\n" + "".join(f"  {line}\n" for line in lines))
    assert f"weights  {'; '.join(lines)}\n" in capsys.readouterr().out


def test_what_is_frozen_stays(tmp_path: Path, first: Path) -> None:
    """Only the rest is the optimizer's; running statistics of frozen layers move, as in torch."""
    run = tmp_path / "run"
    found = trained(run, *three_digits(tmp_path), *loose(first), BODY)
    given, ours = weights(first, "best"), weights(run)
    frozen = [n for n in given if n.partition(".")[0] in ("fc1", "norm") and "running" not in n]
    assert [n for n in frozen if not torch.equal(given[n], ours[n])] == ["norm.num_batches_tracked"]
    assert not torch.equal(given["norm.running_mean"], ours["norm.running_mean"])
    state = read_checkpoint(run / "checkpoints" / "last.safetensors").state
    assert state is not None
    (optimizer,) = state["optimizer_states"]
    assert len(optimizer["state"]) == 2, "fc2's weight and bias"
    assert found["frozen"] == {"patterns": ["fc1", "norm"], "parameters": 832}
    assert found["parameters"] == 883
    summary = (run / "summary.txt").read_text(encoding="utf-8")
    assert summary.endswith("\nfrozen\n  fc1, norm: 832 of 883 parameters\n")
    trained(tmp_path / "all", *three_digits(tmp_path), *loose(first))
    assert not torch.equal(weights(tmp_path / "all")["fc1.weight"], given["fc1.weight"])


def test_every_form_begins_and_ends_alike(tmp_path: Path, first: Path) -> None:
    task = (*three_digits(tmp_path), *loose(first), BODY, "data.batch_size=64")
    for act in ("module", "functional", "inplace"):
        trained(tmp_path / act, *task, f"act={act}")
        assert bit_equal(weights(tmp_path / act), weights(tmp_path / "module"))
        assert metrics(tmp_path / act)["test"] == metrics(tmp_path / "module")["test"]


def test_a_prefix_and_one_pattern(tmp_path: Path, first: Path) -> None:
    model = netspec.load_checkpoint(first)
    content = {f"net.{name}": value for name, value in model.state_dict().items()}
    torch.save({"state_dict": content}, tmp_path / "lit.ckpt")
    given = (f"weights={tmp_path / 'lit.ckpt'}", "weights.prefix=net.", "freeze=*.bias", *STILL)
    found = trained(tmp_path / "run", small(tmp_path), *given)
    assert (found["weights"]["loaded"], found["weights"]["reset"]) == (9, {})
    assert found["frozen"] == {"patterns": ["*.bias"], "parameters": 42}
    assert torch.equal(weights(tmp_path / "run")["fc1.weight"], content["net.fc1.weight"])


def test_without_either_nothing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = trained(tmp_path / "run", small(tmp_path), "trainer.max_epochs=1")
    assert found["weights"] is None and found["frozen"] is None
    assert "weights  " not in capsys.readouterr().out
    assert "\nweights" not in (tmp_path / "run" / "summary.txt").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_several_processes(tmp_path: Path, first: Path, strategy: str) -> None:
    task = (*three_digits(tmp_path), *loose(first), BODY, "trainer.max_epochs=1")
    run = tmp_path / "run"
    found = trained(run, *task, f"trainer={strategy}", "trainer.devices=2")
    given, ours = weights(first, "best"), weights(run)
    for name in ("fc1.weight", "fc1.bias", "norm.weight", "norm.bias"):
        assert torch.equal(given[name], ours[name]), name
    assert found["frozen"]["parameters"] == 832 and found["weights"]["loaded"] == 7


# Afterwards


def test_the_file_is_not_needed_again(tmp_path: Path, first: Path) -> None:
    """Not to go on, nor to load or evaluate what was trained; what is frozen stays frozen."""
    file = Path(shutil.copy(first / "checkpoints" / "best.safetensors", tmp_path / "w.safetensors"))
    task = (*three_digits(tmp_path), f"weights={file}", "weights.strict=false", BODY)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    begun = trained(whole, *task, "scheduler=none")
    trained(cut, *task, "scheduler=none", "trainer.max_epochs=1")
    path = cut / "metrics.json"
    path.write_text(path.read_text().replace('"finished"', '"interrupted"'), encoding="utf-8")
    file.unlink()
    found = resumed(cut, "trainer.max_epochs=3")
    same_run(whole, cut)
    assert optimizer_bits(whole) == optimizer_bits(cut)
    assert found["weights"] == begun["weights"] and found["frozen"] == begun["frozen"]
    assert netspec.load_checkpoint(cut).get_parameter("fc2.weight").shape == (3, 16)
    assert main(["eval", f"checkpoint={cut}", "device=cpu", f"out={tmp_path / 'out'}"]) == 0


def test_a_run_that_saved_nothing_begins_anew(
    tmp_path: Path, first: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cut before its first checkpoint, it takes the weights again, and says if they are gone."""
    file = Path(shutil.copy(first / "checkpoints" / "best.safetensors", tmp_path / "w.safetensors"))
    run = tmp_path / "run"
    trained(run, small(tmp_path), f"weights={file}")
    path = run / "metrics.json"
    path.write_text(path.read_text().replace('"finished"', '"interrupted"'), encoding="utf-8")
    shutil.rmtree(run / "checkpoints")
    assert resumed(run)["weights"]["loaded"] == 9
    path.write_text(path.read_text().replace('"finished"', '"interrupted"'), encoding="utf-8")
    shutil.rmtree(run / "checkpoints")
    file.unlink()
    assert main(["train", f"resume={run}"]) == 1
    assert "NS703" in capsys.readouterr().err


# Sweeps


def swept(folder: Path, *overrides: str) -> int:
    return main(["train", "-m", *TINY, "trainer.max_epochs=1", *overrides, f"folder={folder}"])


def test_a_sweep_over_weights(tmp_path: Path, first: Path) -> None:
    run = tmp_path / "run"
    given = f"weights=null,{first},{first}/checkpoints/last"
    assert swept(run, small(tmp_path), given, *STILL, BODY) == 0
    loaded = [metrics(run / name)["weights"] for name in ("0", "1", "2")]
    assert loaded[0] is None
    assert [Path(found["file"]).stem for found in loaded[1:]] == ["best", "last"]
    points = json.loads((run / "points.json").read_text(encoding="utf-8"))
    assert f"weights={first}" in points[1]["overrides"]


def test_a_sweep_with_a_wrong_file_starts_nothing(
    tmp_path: Path, first: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pt")
    assert swept(run, small(tmp_path), f"weights={first},{tmp_path}/other.pt") == 1
    told = capsys.readouterr().err
    assert "NS704" in told and "in point 1 of 2" in told and "point 0" not in told
    assert not list(run.glob("*/metrics.json"))


# Evaluation


def evaluated(folder: Path, *arguments: str) -> dict[str, Any]:
    assert main(["eval", *arguments, f"out={folder}", "device=cpu"]) == 0
    found = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def test_weights_without_a_checkpoint(
    tmp_path: Path, first: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The figures are those of the checkpoint that has them."""
    torch.save(netspec.load_checkpoint(first).state_dict(), tmp_path / "net.pt")
    data = ("data=mnist5k", "data.normalize=[0.1, 0.3]")
    bare = (small(tmp_path), f"weights={tmp_path / 'net.pt'}", *data)
    found = evaluated(tmp_path / "one", *bare)
    assert f"weights     {tmp_path / 'net.pt'}: 9 of 9 tensors\n" in capsys.readouterr().out
    expected = evaluated(tmp_path / "two", f"checkpoint={first}", *data)
    assert found["metrics"] == expected["metrics"]
    assert found["examples"] == 1000 and found["checkpoint"] == str(tmp_path / "net.pt")
    assert found["overrides"][1] == f"weights={tmp_path / 'net.pt'}"
    change = "model.layers.fc1.out_features=9"
    assert main(["eval", *bare, change, f"out={tmp_path / 'three'}"]) == 1
    assert "NS704" in capsys.readouterr().err
    gelu = evaluated(tmp_path / "four", *bare, "act=functional", "act.fn=gelu")
    assert gelu["act"] == "functional, gelu" and gelu["metrics"] != found["metrics"]


# How it is written


def test_weights_is_one_key_of_several() -> None:
    for typed, given in {
        "weights=a/b.pt": "weights.file=a/b.pt",
        "weights=a,null": "weights.file=a,null",
        "weights.strict=false": "weights.strict=false",
        "weights={file: a}": "weights={file: a}",
    }.items():
        assert for_hydra(typed) == for_hydra(for_hydra(typed)) == given
        assert as_written(given) == typed


@pytest.mark.parametrize(
    ("weights", "freeze", "expected"),
    [
        ("a.pt", "conv1", ("a.pt", ["conv1"])),
        (None, None, (None, [])),
        ({"file": "a.pt", "strict": False}, ["a", "b"], ("a.pt", ["a", "b"])),
    ],
)
def test_both_may_be_short_in_a_file(
    weights: object, freeze: object, expected: tuple[str | None, Sequence[str]]
) -> None:
    names = ("model", "data", "loss", "optimizer", "scheduler")
    groups: dict[str, object] = {name: {} for name in names}
    rest = {"act": {"form": "module"}, "trainer": {"max_epochs": 1}}
    found = Settings.model_validate({**groups, **rest, "weights": weights, "freeze": freeze})
    assert (found.weights.file, found.freeze) == expected


def test_the_small_spec_is_as_these_tests_count() -> None:
    assert len(netspec.build(netspec.loads(SPEC)).state_dict()) == 9
