"""Runs of a small network in this process or in one of their own, and what they leave behind."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from netspec.cli import main
from netspec.run.checkpoint import read_checkpoint

ROOT = Path(__file__).resolve().parents[2]
TINY = ("data.limit=80", "data.batch_size=32", "trainer.max_epochs=3", "threads=1", "device=cpu")
SPEC = """\
netspec: 1
name: Small
inputs: {x: [N, 1, 28, 28]}
layers:
  pool: {call: avg_pool2d, kernel_size: 4}
  flat: {call: flatten, start_dim: 1}
  fc1: {module: Linear, out_features: 16}
  norm: BatchNorm1d
  act1: {act: relu}
  drop: {module: Dropout, p: 0.3}
  fc2: {module: Linear, out_features: 10}
"""
Weights = Mapping[str, torch.Tensor]


def small(folder: Path, text: str = SPEC) -> str:
    """The override for a spec that is written into this folder."""
    path = folder / "small.yaml"
    path.write_text(text, encoding="utf-8")
    return f"model={path}"


def trained(folder: Path, *overrides: str) -> dict[str, Any]:
    """The metrics.json of a run in this process, which must end well."""
    assert main(["train", *TINY, *overrides, f"folder={folder}"]) == 0
    return metrics(folder)


def resumed(folder: Path, *overrides: str) -> dict[str, Any]:
    """The metrics.json of a run that went on in its folder, and ended well."""
    assert main(["train", f"resume={folder}", *overrides]) == 0
    return metrics(folder)


def metrics(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def rows(folder: Path) -> list[dict[str, str]]:
    """metrics.csv without the seconds, which no two runs share."""
    with open(folder / "metrics.csv", encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    return [{key: value for key, value in row.items() if key != "seconds"} for row in found]


def weights(folder: Path, which: str = "last") -> Weights:
    return read_checkpoint(folder / "checkpoints" / f"{which}.safetensors").weights


def bit_equal(one: Weights, other: Weights) -> bool:
    """Whether all tensors are the same, bit for bit."""
    return list(one) == list(other) and all(
        value.dtype == other[name].dtype and torch.equal(value, other[name])
        for name, value in one.items()
    )


def same_run(one: Path, other: Path) -> None:
    """Two runs gave the same: rows, best and last weights, optimizer, figures of the test."""
    assert rows(one) == rows(other), f"{rows(one)}\n{rows(other)}"
    for which in ("last", "best"):
        assert bit_equal(weights(one, which), weights(other, which)), which
    assert optimizer_bits(one) == optimizer_bits(other), "optimizers"
    ours, theirs = metrics(one), metrics(other)
    assert ours["status"] == "finished", ours
    for key in ("status", "test", "epochs", "parameters", "monitor"):
        assert ours[key] == theirs[key], key
    assert _timeless(ours["best"]) == _timeless(theirs["best"])


def optimizer_bits(folder: Path) -> str:
    state = read_checkpoint(folder / "checkpoints" / "last.safetensors").state
    assert state is not None
    return repr(_listed([state["optimizer_states"], state["netspec"]["schedule"]]))


def _listed(value: object) -> object:
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: _listed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_listed(item) for item in value]
    return value


def _timeless(row: Mapping[str, float] | None) -> dict[str, float] | None:
    return row and {key: value for key, value in row.items() if key != "seconds"}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# Runs in a process of their own


def started(*arguments: str, cwd: Path = ROOT, **env: str) -> subprocess.Popen[str]:
    """`python train.py …`, with pipes to its output, in a session of its own."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str], seconds: float = 120) -> tuple[int, str, str]:
    """Exit status, stdout and stderr; a process that does not end is killed, and fails the test."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"still there after {seconds} s\n{out}\n{err}") from None
    return process.returncode, out, err


def wait_for(what: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 90) -> None:
    """Until it holds; fails where the process ends before, or it takes too long."""
    end = time.monotonic() + seconds
    while not what():
        if process.poll() is not None:
            raise AssertionError(f"ended before that: {ended(process)}")
        if time.monotonic() > end:
            process.kill()
            raise AssertionError(f"not after {seconds} s: {ended(process)}")
        time.sleep(0.02)


def row_count(folder: Path) -> int:
    path = folder / "metrics.csv"
    return len(path.read_text(encoding="utf-8").splitlines()) - 1 if path.is_file() else 0
