"""An interrupted run goes on to the very same end, wherever it was cut."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from netspec.cli import main
from netspec.run import checkpoint, folder
from tests.run.running import (
    ROOT,
    TINY,
    bit_equal,
    contents,
    ended,
    metrics,
    resumed,
    row_count,
    rows,
    same_run,
    small,
    started,
    trained,
    wait_for,
    weights,
)

EACH = "trainer.checkpoint_every=1"


@pytest.fixture
def cuts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """Copies of the run's folder as a SIGKILL would leave it, after each file that is written."""
    taken: list[Path] = []
    whole = folder.replace_file
    run = tmp_path / "run"
    counted = count()

    def replace_file(path: Path, fill: Callable[[Path], None]) -> None:
        whole(path, fill)
        if path.is_relative_to(run):
            taken.append(tmp_path / "cuts" / f"{next(counted):03}-{path.name}")
            shutil.copytree(run, taken[-1], ignore=shutil.ignore_patterns(".lock"))

    with monkeypatch.context() as patched:
        patched.setattr(folder, "replace_file", replace_file)
        patched.setattr(checkpoint, "replace_file", replace_file)
        yield taken


def after_checkpoints(cuts: list[Path]) -> list[Path]:
    return [cut for cut in cuts if cut.name.endswith("last.safetensors")]


def test_from_every_moment(tmp_path: Path, cuts: list[Path]) -> None:
    """After each file that a run writes, it could be killed."""
    trained(tmp_path / "run", small(tmp_path), EACH, "trainer.max_epochs=2", "trainer.log_every=2")
    moments = list(cuts)
    assert len(moments) > 15
    for cut in moments:
        if (cut / "metrics.json").is_file():
            resumed(cut)
            same_run(cut, tmp_path / "run")


KINDS = {
    "adam, cosine": (),
    "accumulate": ("trainer.accumulate=2", "trainer.log_every=1"),
    "sgd, step": ("optimizer=sgd", "scheduler=step", "optimizer.lr=0.05"),
    "onecycle": ("scheduler=onecycle", "optimizer=sgd", "trainer.accumulate=2"),
    "plateau": ("scheduler=plateau", "scheduler.patience=0", "scheduler.threshold=10"),
    "warmup": ("scheduler.warmup=4", "trainer.gradient_clip=0.05"),
    "no augmentation": ("data.augment=null", "scheduler=none", "optimizer=rmsprop"),
    "early stopping": ("trainer.early_stopping=2", "trainer.max_epochs=9", "optimizer.lr=1e-9"),
    "max_steps": ("trainer.max_steps=5",),
    "validate_every": ("trainer.validate_every=2", "monitor=val_loss"),
    "bf16": ("precision=bf16-mixed", "optimizer=adamw"),
    "no validation": ("data.validation=0",),
    "functional": ("act=functional", "metrics=[f1,accuracy,kappa]"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run(tmp_path: Path, cuts: list[Path], kind: str) -> None:
    trained(tmp_path / "run", small(tmp_path), EACH, *KINDS[kind])
    checkpoints = after_checkpoints(cuts)
    assert len(checkpoints) >= 5
    chosen = {1, 2, len(checkpoints) - 1}  # amid an epoch, at its end, at the run's end
    for cut in [checkpoints[index] for index in sorted(chosen)]:
        resumed(cut)
        same_run(cut, tmp_path / "run")


@pytest.mark.slow
def test_with_data_workers(tmp_path: Path, cuts: list[Path]) -> None:
    trained(tmp_path / "run", small(tmp_path), EACH, "data.workers=2", "trainer.max_epochs=2")
    alone = tmp_path / "alone"
    trained(alone, small(tmp_path), EACH, "trainer.max_epochs=2")
    same_run(tmp_path / "run", alone)
    for cut in after_checkpoints(cuts)[1:2]:
        resumed(cut)
        same_run(cut, alone)


def test_resumed_twice(tmp_path: Path, cuts: list[Path]) -> None:
    """A run that is cut again after it went on."""
    trained(tmp_path / "run", small(tmp_path), EACH)
    shutil.move(tmp_path / "run", tmp_path / "whole")
    shutil.copytree(after_checkpoints(cuts)[1], tmp_path / "run")
    cuts.clear()
    resumed(tmp_path / "run")
    again = after_checkpoints(cuts)[2]
    resumed(again)
    same_run(again, tmp_path / "whole")


@pytest.mark.parametrize(("number", "accumulate"), [(signal.SIGINT, 1), (signal.SIGTERM, 3)])
def test_signals_at_any_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, accumulate: int
) -> None:
    """A signal in the middle of a batch loses nothing, also between the batches of a step."""
    from netspec.run.task import Task

    kind = (small(tmp_path), f"trainer.accumulate={accumulate}", "data.batch_size=16")
    trained(tmp_path / "whole", *kind)
    step = Task.training_step
    for at in (3, 4, 9):
        steps = 0

        def training_step(self: Task, batch: Any, index: int, at: int = at) -> Any:
            nonlocal steps
            steps += 1
            if steps == at + 1:
                os.kill(os.getpid(), number)
            return step(self, batch, index)

        run = tmp_path / f"run{at}"
        with monkeypatch.context() as patched:
            patched.setattr(Task, "training_step", training_step)
            assert main(["train", *TINY, *kind, f"folder={run}"]) == 130
        assert metrics(run)["status"] == "interrupted"
        resumed(run)
        same_run(run, tmp_path / "whole")


def test_signals_are_given_back(tmp_path: Path) -> None:
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    trained(tmp_path / "good", small(tmp_path), "trainer.max_epochs=1")
    assert [signal.getsignal(number) for number in numbers] == before
    bad = ("optimizer=sgd", "optimizer.lr=1e30", f"folder={tmp_path / 'bad'}")
    assert main(["train", *TINY, small(tmp_path), *bad]) == 1
    assert [signal.getsignal(number) for number in numbers] == before


@pytest.fixture(scope="module")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A run that takes some seconds, and how it was called."""
    made = tmp_path_factory.mktemp("long")
    arguments = [*TINY, small(made), "trainer.max_epochs=100", "trainer.checkpoint_every=2"]
    trained(made / "whole", *arguments)
    return made / "whole", arguments


def test_killed(tmp_path: Path, long_run: tuple[Path, list[str]]) -> None:
    """A real SIGKILL, twice."""
    whole, arguments = long_run
    run = tmp_path / "run"
    process = started(*arguments, f"folder={run}")
    wait_for(lambda: row_count(run) >= 5, process)
    process.kill()
    ended(process)
    assert metrics(run)["status"] == "running" and row_count(run) < 99
    process = started(f"resume={run}")
    before = row_count(run)
    wait_for(lambda: row_count(run) > before, process)
    process.kill()
    ended(process)
    resumed(run)
    same_run(run, whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_told_how_to_go_on(tmp_path: Path, long_run: tuple[Path, list[str]], number: int) -> None:
    whole, arguments = long_run
    process = started(*arguments, "folder=a run", cwd=tmp_path)
    run = tmp_path / "a run"
    wait_for(lambda: row_count(run) >= 2, process)
    process.send_signal(number)
    status, _, err = ended(process)
    assert status == 130 and "Traceback" not in err
    assert metrics(run)["status"] == "interrupted"
    weights(run)
    told = err.rpartition("go on with: ")[2].strip()
    words = shlex.split(told)
    assert words[0] == "python" and (tmp_path / words[1]).samefile(ROOT / "train.py")
    status, out, err = ended(started(*words[2:], cwd=tmp_path))
    assert status == 0, (out, err)
    same_run(run, whole)


def test_resume_true_takes_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuts: list[Path]
) -> None:
    trained(tmp_path / "run", small(tmp_path), EACH)
    monkeypatch.chdir(tmp_path)
    older, newer = tmp_path / "outputs/1/1", tmp_path / "outputs/1/2"
    shutil.copytree(after_checkpoints(cuts)[0], older)
    shutil.copytree(after_checkpoints(cuts)[1], newer)
    os.utime(older / "metrics.json", (1, 1))
    assert main(["train", "resume=true"]) == 0
    assert metrics(older)["status"] == "running"
    same_run(newer, tmp_path / "run")


# What is broken is not taken


def test_half_a_checkpoint(tmp_path: Path, cuts: list[Path]) -> None:
    trained(tmp_path / "run", small(tmp_path), EACH)
    cut = after_checkpoints(cuts)[3]
    whole = (cut / "checkpoints/last.safetensors").read_bytes()
    (cut / "checkpoints/.last.safetensors.123.part").write_bytes(whole[:1000])
    resumed(cut)
    same_run(cut, tmp_path / "run")


@pytest.mark.parametrize("kept", [0, 7, 200, 5000, -1])
def test_a_truncated_checkpoint(
    tmp_path: Path, cuts: list[Path], capsys: pytest.CaptureFixture[str], kept: int
) -> None:
    trained(tmp_path / "run", small(tmp_path), "trainer.max_epochs=1")
    cut = after_checkpoints(cuts)[0]
    last = cut / "checkpoints/last.safetensors"
    last.write_bytes(last.read_bytes()[:kept])
    assert main(["train", f"resume={cut}"]) == 1
    told = capsys.readouterr().err
    assert "NS703" in told and "last.safetensors" in told and "Traceback" not in told


def test_nothing_to_go_on_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", f"resume={tmp_path}"]) == 1
    assert "NS709" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change", ["seed=5", "optimizer=sgd", "data.batch_size=8", "act=functional"]
)
def test_another_run_is_not_gone_on_with(
    tmp_path: Path, cuts: list[Path], capsys: pytest.CaptureFixture[str], change: str
) -> None:
    trained(tmp_path / "run", small(tmp_path), "trainer.max_epochs=2")
    cut = after_checkpoints(cuts)[0]
    before = contents(cut)
    assert main(["train", f"resume={cut}", change]) == 1
    assert "NS709" in capsys.readouterr().err
    after = contents(cut)
    after.pop(".lock", None)
    assert after == before


def test_more_epochs(tmp_path: Path) -> None:
    """A finished run is what it is: asked to go on, it gives its figures."""
    trained(tmp_path / "run", small(tmp_path))
    before = contents(tmp_path / "run")
    resumed(tmp_path / "run")
    assert contents(tmp_path / "run") == before


def test_finished_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kind = [*TINY, small(tmp_path), f"folder={tmp_path / 'run'}"]
    assert main(["train", *kind]) == 0
    before = contents(tmp_path / "run")
    assert main(["train", *kind]) == 1
    assert "NS707" in capsys.readouterr().err
    assert contents(tmp_path / "run") == before


def test_two_runs_in_one_folder(
    tmp_path: Path, long_run: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    _, arguments = long_run
    run = tmp_path / "run"
    process = started(*arguments, "trainer.max_epochs=4000", f"folder={run}")
    try:
        wait_for(lambda: row_count(run) >= 1, process)
        assert main(["train", *arguments, f"folder={run}"]) == 1
        assert main(["train", f"resume={run}"]) == 1
    finally:
        process.kill()
        ended(process)
    assert capsys.readouterr().err.count("NS707") == 2


# Seeds


def test_seeds(tmp_path: Path) -> None:
    kind = (small(tmp_path), "trainer.max_epochs=2")
    for name, more in {
        "one": ("seed=1",),
        "again": ("seed=1",),
        "other": ("seed=2",),
        "functional": ("seed=1", "act=functional"),
    }.items():
        trained(tmp_path / name, *kind, *more)
    for same in ("again", "functional"):
        same_run(tmp_path / "one", tmp_path / same)
    assert not bit_equal(weights(tmp_path / "one"), weights(tmp_path / "other"))
    assert rows(tmp_path / "one") != rows(tmp_path / "other")
