"""Several processes give what one gives, and end together."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from netspec.cli import main
from tests.run.running import (
    SPEC,
    TINY,
    bit_equal,
    ended,
    metrics,
    resumed,
    row_count,
    rows,
    small,
    started,
    trained,
    wait_for,
    weights,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]
# Without dropout, whose random numbers are each process's own; batches whose last one is odd.
PLAIN = "".join(line for line in SPEC.splitlines(True) if "Dropout" not in line)
NORMLESS = "".join(line for line in PLAIN.splitlines(True) if "BatchNorm" not in line)
ODD = ("data.limit=81", "data.augment=null", "data.eval_batch_size=32", "trainer.log_every=1")


def close(one: Path, other: Path, rel: float = 1e-4) -> None:
    """Two runs with the same rows within float noise."""
    ours, theirs = rows(one), rows(other)
    assert len(ours) == len(theirs) > 2
    for row, expected in zip(ours, theirs, strict=True):
        for key, value in row.items():
            if value == "" or expected[key] == "":
                assert value == expected[key], key
            else:
                assert float(value) == pytest.approx(float(expected[key]), rel=rel), key


def run_as(folder: Path, spec: str, *overrides: str) -> Path:
    """A run in processes of its own, which must end well."""
    status, out, err = ended(started(*TINY, *ODD, spec, *overrides, f"folder={folder}"), 240)
    assert status == 0, (out, err)
    return folder


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_are_as_one(tmp_path: Path, strategy: str) -> None:
    spec = small(tmp_path, NORMLESS)
    trained(tmp_path / "one", *ODD, spec)
    two = run_as(tmp_path / "two", spec, f"trainer={strategy}")
    close(two, tmp_path / "one")
    assert metrics(two)["test"]["accuracy"] == metrics(tmp_path / "one")["test"]["accuracy"]
    assert metrics(two)["parameters"] == metrics(tmp_path / "one")["parameters"]
    for name, value in weights(tmp_path / "one", "best").items():
        assert weights(two, "best")[name] == pytest.approx(value, rel=1e-3, abs=1e-5)
    assert main(["eval", f"checkpoint={two}", f"out={tmp_path / 'out'}", "device=cpu"]) == 0
    import json

    figures = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert figures["metrics"] == metrics(two)["test"]


def test_accumulated_over_two(tmp_path: Path) -> None:
    spec = small(tmp_path, NORMLESS)
    more = ("trainer.accumulate=2", "trainer.gradient_clip=0.1")
    trained(tmp_path / "one", *ODD, spec, *more)
    close(run_as(tmp_path / "two", spec, "trainer=ddp", *more), tmp_path / "one")


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_resumed_together(tmp_path: Path, strategy: str) -> None:
    """Dropout and batch norm included: to the same bits as without an interruption."""
    kind = [*TINY, *ODD, small(tmp_path), f"trainer={strategy}", "trainer.checkpoint_every=1"]
    kind.append("trainer.max_epochs=12")
    for name in ("whole", "cut"):
        folder = tmp_path / name
        process = started(*kind, f"folder={folder}")
        if name == "cut":
            wait_for(lambda folder=folder: row_count(folder) > 5, process, 180)  # type: ignore[misc]
            workers = children(process.pid)
            process.kill()
            ended(process)
            gone(workers)
            status, out, err = ended(started(f"resume={folder}"), 240)
        else:
            status, out, err = ended(process, 240)
        assert status == 0, (out, err)
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    for which in ("best", "last"):
        assert bit_equal(weights(tmp_path / "cut", which), weights(tmp_path / "whole", which))


# They end together


def children(pid: int) -> list[int]:
    """The processes that this one started, and those that they did."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    own = [int(child) for child in found]
    return [*own, *(grandchild for child in own for grandchild in children(child))]


def gone(pids: Sequence[int], seconds: float = 30) -> None:
    """Fails where one of the processes is still there after a while."""
    end = time.monotonic() + seconds
    while left := [pid for pid in pids if alive(pid)]:
        if time.monotonic() > end:
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"still there: {left}")
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def running(tmp_path: Path, strategy: str) -> tuple[subprocess.Popen[str], list[int]]:
    """A long run of two processes in its second epoch or later, and the workers."""
    kind = [*TINY, small(tmp_path), f"trainer={strategy}", "trainer.max_epochs=100000"]
    process = started(*kind, f"folder={tmp_path / 'run'}")
    wait_for(lambda: row_count(tmp_path / "run") > 1, process, 180)
    workers = children(process.pid)
    assert workers
    return process, workers


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_worker_dies(tmp_path: Path, strategy: str) -> None:
    process, workers = running(tmp_path, strategy)
    os.kill(workers[0], signal.SIGKILL)
    status, _, err = ended(process, 60)
    assert status == 1 and "Traceback" not in err, err
    assert metrics(tmp_path / "run")["status"] == "failed"
    gone(workers)


def test_the_first_dies(tmp_path: Path) -> None:
    process, workers = running(tmp_path, "ddp")
    process.kill()
    ended(process)
    gone(workers, 60)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(tmp_path: Path, number: int) -> None:
    """As a terminal does it: Ctrl-C goes to all of them."""
    process, workers = running(tmp_path, "ddp")
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    status, _, err = ended(process, 60)
    assert status == 130 and "go on with" in err and "Traceback" not in err, err
    assert metrics(tmp_path / "run")["status"] == "interrupted"
    gone(workers)
    done = metrics(tmp_path / "run")["epochs"] + 1
    resumed(tmp_path / "run", f"trainer.max_epochs={done}")
    assert metrics(tmp_path / "run")["status"] == "finished"


def test_an_error_in_all(tmp_path: Path) -> None:
    bad = ("trainer=ddp", "optimizer=sgd", "optimizer.lr=1e30", f"folder={tmp_path / 'run'}")
    process = started(*TINY, small(tmp_path), *bad)
    status, _, err = ended(process, 120)
    assert status == 1 and "NS708" in err and "Traceback" not in err, err
    assert shutil.which("true")
    assert metrics(tmp_path / "run")["status"] == "failed"
