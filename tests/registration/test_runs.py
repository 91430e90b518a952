"""Runs with a layer of one's own; each command in a new process, outside of the repository."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import netspec
from tests.run.running import ended, metrics, wait_for

TEN_LINES = """\
import torch
from torch import Tensor, nn

import netspec


@netspec.register
class Gate(nn.Module):
    def __init__(self, features: int):
        super().__init__()
        self.fc = nn.Linear(features, features)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.fc(x))
"""
SPEC = """\
netspec: 1
name: Small
inputs: {x: [N, 1, 28, 28]}
layers:
  pool: {call: avg_pool2d, kernel_size: 4}
  flat: {call: flatten, start_dim: 1}
  fc1: {module: Linear, out_features: 16}
  gate: {module: Gate, features: 16}
  act: {act: relu}
  fc2: {module: Linear, out_features: 10}
"""
SHORT = (
    "model=net.yaml", "data.limit=80", "data.batch_size=32", "trainer.max_epochs=1", "threads=1",
    "device=cpu", "scheduler=none",
)  # fmt: skip
PLUGIN = "plugins=[gate_layers]"
SCRIPT = Path(sys.executable).with_name("netspec")

pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="netspec is not installed")


@dataclass(frozen=True)
class Ended:
    status: int
    said: str


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("project")
    (found / "gate_layers.py").write_text(TEN_LINES)
    (found / "net.yaml").write_text(SPEC)
    return found


def run(folder: Path, *arguments: str) -> Ended:
    """A command in a process of its own: what it says on both streams."""
    command = [SCRIPT, *arguments]
    process = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
    said = f"{process.stdout}\n{process.stderr}"
    assert "Traceback" not in said, said
    return Ended(process.returncode, said)


def train(folder: Path, *arguments: str) -> Ended:
    return run(folder, "train", *SHORT, *arguments)


@pytest.fixture(scope="module")
def trained(folder: Path) -> Path:
    """The folder of a run that ended."""
    found = train(folder, PLUGIN, "folder=run")
    assert found.status == 0, found.said
    return folder / "run"


def test_a_plugin_that_is_not_there(folder: Path) -> None:
    found = train(folder, "plugins=[gate_layer]", "folder=none")
    assert found.status == 1
    assert (
        "error[NS220]: there is no plugin `gate_layer`\n"
        " --> from the override plugins=[gate_layer]\n"
        "  = help: did you mean `gate_layers`?"
    ) in found.said


def test_training_without_the_plugin(folder: Path) -> None:
    found = train(folder, "folder=none")
    assert found.status == 1
    assert "error[NS206]: there is no module `Gate`" in found.said
    assert "net.yaml:8:18" in found.said


@pytest.mark.slow
def test_train_and_evaluate(trained: Path, folder: Path) -> None:
    assert json.loads((trained / "metrics.json").read_text())["status"] == "finished"
    found = run(folder, "eval", "checkpoint=run", PLUGIN, "threads=1", "device=cpu")
    assert found.status == 0 and "accuracy" in found.said, found.said


@pytest.mark.slow
def test_evaluate_without_the_plugin(trained: Path, folder: Path) -> None:
    found = run(folder, "eval", "checkpoint=run", "threads=1", "device=cpu")
    assert found.status == 1
    assert (
        "error[NS219]: `best.safetensors` needs layers that the plugin `gate_layers` registers"
        in found.said
    )
    assert "plugins=[gate_layers] in a run or in Python" in found.said


@pytest.mark.slow
def test_go_on(folder: Path) -> None:
    """The run's own settings say which plugins it had: they are what was typed, not a spec's."""
    stopped = folder / "stopped"
    command = [SCRIPT, "train", *SHORT, PLUGIN, "trainer.max_epochs=30", "folder=stopped"]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: (stopped / "metrics.csv").is_file(), process)
    process.send_signal(signal.SIGINT)
    assert ended(process)[0] == 130
    went_on = run(folder, "train", "resume=stopped")
    assert went_on.status == 0, went_on.said
    assert metrics(stopped)["status"] == "finished"


@pytest.mark.slow
def test_a_checkpoint_from_python(
    trained: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(netspec.SpecError, match="NS219") as caught:
        netspec.load_checkpoint("run")
    assert (
        str(caught.value)
        .strip()
        .startswith(
            "error[NS219]: `best.safetensors` needs layers that the plugin `gate_layers` registers"
        )
    )
    assert "gate_layers" not in sys.modules
    model = netspec.load_checkpoint("run", plugins=["gate_layers"])
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    del sys.modules["gate_layers"]


@pytest.mark.slow
def test_a_checkpoint_whose_module_is_gone(trained: Path, tmp_path: Path) -> None:
    """Nothing in the file is code: without the module there is no model."""
    found = run(tmp_path, "eval", f"checkpoint={trained}", PLUGIN, "device=cpu")
    assert found.status == 1 and "error[NS220]: there is no plugin `gate_layers`" in found.said


def points(folder: Path) -> Sequence[str]:
    return sorted(path.parent.name for path in folder.glob("*/metrics.json"))


@pytest.mark.slow
def test_a_sweep(folder: Path) -> None:
    found = run(folder, "train", "-m", *SHORT, PLUGIN, "seed=1,2", "folder=sweep")
    assert found.status == 0, found.said
    assert points(folder / "sweep") == ["0", "1"]


@pytest.mark.slow
def test_a_sweep_without_the_plugin_starts_nothing(folder: Path) -> None:
    found = run(folder, "train", "-m", *SHORT, "seed=1,2", "folder=none")
    assert found.status == 1 and "there is no module `Gate`" in found.said
    assert points(folder / "none") == []


@pytest.mark.slow
def test_a_sweep_in_other_processes(folder: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    launcher = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    found = run(folder, "train", "-m", *SHORT, PLUGIN, "seed=1,2", *launcher, "folder=joblib")
    assert found.status == 0, found.said
    assert points(folder / "joblib") == ["0", "1"]
