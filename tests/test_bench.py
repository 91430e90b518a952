"""The benchmarks run: a short round of each prints its tables and writes its figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("script", "tables", "words"),
    [
        ("bench_build", {"build", "stages", "layers", "first"}, ["ResNet-50, cold", "µs a layer"]),
        ("bench_forward", {"forward", "noise", "operations"}, ["LeNet, batch 1, module, forward"]),
        ("bench_import", {"ratios", "programs"}, ["alone does not import torch"]),
        (
            "bench_memory",
            {"forms", "torchvision"},
            ["MobileNetV2", "held for backward, torchvision"],
        ),
        ("bench_train", {"steps", "beyond"}, ["`train.py`, the bar drawn", "of the minima"]),
    ],
)
def test_a_quick_round_prints_its_tables(
    script: str, tables: set[str], words: list[str], tmp_path: Path
) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, f"scripts/{script}.py", "--quick", "--json", str(figures)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert ("| ratio of medians |" in run.stdout) == (script != "bench_memory")
    for word in words:
        assert word in run.stdout
    found = json.loads(figures.read_text(encoding="utf-8"))
    assert {"machine", "python", "torch", "date"} <= set(found)
    assert set(found["tables"]) == tables
    assert all(found["tables"].values())
