"""A run's folder: whose it is, what it says of a run that did not begin or end, what goes away."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from netspec.cli import main
from netspec.run import training
from netspec.run.folder import held
from tests.run.running import (
    TINY,
    contents,
    ended,
    metrics,
    resumed,
    small,
    started,
    trained,
    wait_for,
    weights,
)

SHORT = (*TINY, "trainer.max_epochs=1")


def cut(run: Path) -> None:
    """As if the run had been interrupted after its last checkpoint."""
    path = run / "metrics.json"
    path.write_text(path.read_text().replace('"finished"', '"interrupted"'))


# Whose it is

OWN = ["metrics.json", "run.yaml", "spec.yaml", "summary.txt", "metrics.csv", "curves.svg"]
OWN += ["checkpoints/best.safetensors", "checkpoints/last.safetensors", "sample.txt"]
OF_SWEEPS = ["report.html", "report.txt", "report.csv", "points.json", "0/summary.txt"]
OTHERS = {"text": "mine\n", "json": '{"accuracy": 0.9}\n', "empty": ""}


def leave(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("name", [*OWN, *OF_SWEEPS])
@pytest.mark.parametrize("text", OTHERS)
def test_files_of_others_are_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str
) -> None:
    run = tmp_path / "run"
    leave(run / name, OTHERS[text])
    many = ("-m",) if name in OF_SWEEPS else ()
    assert main(["train", *many, *SHORT, small(tmp_path), f"folder={run}"]) == 1
    said = capsys.readouterr().err
    assert "error[NS707]: what is in this folder would be overwritten" in said, said
    assert f"`{Path(name).name}`" in said or f"`{name}`" in said, said
    after = contents(run)
    after.pop(".lock", None)
    assert after == {name: OTHERS[text].encode()}


def test_a_folder_with_other_files_is_taken(tmp_path: Path) -> None:
    run = tmp_path / "run"
    leave(run / "notes.md", "a try\n")
    trained(run, small(tmp_path), "trainer.max_epochs=1")
    assert (run / "notes.md").read_text() == "a try\n"


@pytest.mark.parametrize("name", ["report.html", "report.txt", "report.csv"])
def test_a_report_overwrites_reports_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    leave(tmp_path / "all" / "1" / "metrics.json", '{"status": "finished", "overrides": []}')
    leave(tmp_path / "all" / name, "mine\n")
    assert main(["report", str(tmp_path / "all")]) == 1
    assert f"no run has written it: `{name}`" in capsys.readouterr().err
    (tmp_path / "all" / name).unlink()
    assert main(["report", str(tmp_path / "all")]) == 0
    assert main(["report", str(tmp_path / "all")]) == 0


# What it says


def test_a_start_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first files were written, and before the first step."""
    run = tmp_path / "run"

    def fails(*_: object) -> None:
        raise RuntimeError("no such accelerator")

    with monkeypatch.context() as patched:
        patched.setattr(training, "_trainer", fails)
        assert main(["train", *SHORT, small(tmp_path), f"folder={run}"]) == 1
    assert metrics(run)["status"] == "failed"
    assert metrics(run)["error"] == "no such accelerator"
    assert resumed(run)["status"] == "finished"


@pytest.mark.parametrize("where", ["write_start", "_finish"])
def test_what_fails_later_keeps_what_was_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    run = tmp_path / "run"
    trained(run, small(tmp_path), "trainer.max_epochs=1")
    before = metrics(run)
    cut(run)
    whole = getattr(training, where)

    def fails(*arguments: object) -> None:
        whole(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(training, where, fails)
        assert main(["train", f"resume={run}"]) == 130
    after = metrics(run)
    assert after["status"] == "interrupted"
    for key in ("best", "last", "epochs"):
        assert after[key] == before[key], key
    assert resumed(run)["test"] == before["test"]


WRONG = ["data.limit=-1", "model=nope", "optimizer.lr=x", "weights=nowhere", "metrics=[nothing]"]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("many", [(), ("-m",)], ids=["run", "sweep"])
def test_what_does_not_begin_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str, many: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *many, *SHORT, wrong]) == 1
    assert not list(tmp_path.glob("*/*/*"))


# What goes away


def test_unfinished_files_of_killed_runs_go(tmp_path: Path) -> None:
    run = tmp_path / "run"
    trained(run, small(tmp_path), "trainer.max_epochs=1")
    cut(run)
    parts = [
        "checkpoints/.last.safetensors.123.part",
        "checkpoints/.best.safetensors.99999.part",
        ".metrics.json.7.part",
        ".report.html.7.part",
    ]
    others = ["notes.part", ".mine.part", "checkpoints/.a.123.part", ".data.csv.part"]
    for name in (*parts, *others):
        leave(run / name, "half")
    resumed(run)
    assert not [name for name in parts if (run / name).exists()]
    assert [name for name in others if (run / name).exists()] == others


def test_a_sweep_clears_its_own(tmp_path: Path) -> None:
    leave(tmp_path / ".points.json.12.part", "half")
    with held(tmp_path):
        assert not (tmp_path / ".points.json.12.part").exists()


# The spec that is gone


PART = """\
netspec: 1
name: Head
inputs: {x: [N, 49]}
layers:
  fc: {module: Linear, out_features: 10}
"""
WHOLE = """\
netspec: 1
name: Whole
inputs: {x: [N, 1, 28, 28]}
layers:
  pool: {call: avg_pool2d, kernel_size: 4}
  flat: {call: flatten, start_dim: 1}
  head: {spec: head.yaml}
"""


ALONE = WHOLE.replace("{spec: head.yaml}", "{module: Linear, out_features: 10}")


@pytest.mark.parametrize("gone", ["small.yaml", "head.yaml", "both", "all but the resolved text"])
def test_a_run_goes_on_without_its_spec(tmp_path: Path, gone: str) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "head.yaml").write_text(PART)
    changed = "model.layers.pool.kernel_size=4"
    model = small(tmp_path / "specs", ALONE if gone.startswith("all") else WHOLE)
    for name in ("whole", "run"):
        trained(tmp_path / name, model, changed, "trainer.max_epochs=2")
    run = tmp_path / "run"
    path = run / "metrics.json"
    path.write_text(path.read_text().replace('"finished"', '"running"'))
    if gone.startswith("all"):
        shutil.rmtree(run / "checkpoints")
        (run / "metrics.csv").unlink()
        (tmp_path / "specs" / "small.yaml").unlink()
    for name in ("small.yaml", "head.yaml"):
        if gone in (name, "both"):
            (tmp_path / "specs" / name).unlink()
    found = resumed(run)
    assert found["status"] == "finished" and found["test"] == metrics(tmp_path / "whole")["test"]
    assert {*weights(run)} == {*weights(tmp_path / "whole")}


def test_a_spec_that_is_gone_is_told_where_nothing_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(tmp_path / "run", small(tmp_path), "trainer.max_epochs=1")
    (tmp_path / "small.yaml").unlink()
    assert main(["train", f"model={tmp_path / 'small.yaml'}", f"folder={tmp_path / 'new'}"]) == 1
    assert "error[NS105]" in capsys.readouterr().err


# Ctrl-C, and again


def test_ctrl_c_twice(tmp_path: Path) -> None:
    """Says something each time, ends at once, and leaves whole files that it goes on with."""
    run = tmp_path / "run"
    kind = [*TINY, small(tmp_path), "trainer.max_epochs=3000", "data.batch_size=4"]
    process = started(*kind, "trainer.checkpoint_every=1", f"folder={run}")
    wait_for(lambda: (run / "metrics.csv").is_file(), process)
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGINT)
    status, _, err = ended(process)
    assert status == 130 and "Traceback" not in err, err
    assert "stopping after this batch, with a checkpoint; once more stops at once" in err, err
    assert f"resume={run}" in err, err
    assert metrics(run)["status"] == "interrupted"
    assert weights(run) and not list(run.rglob("*.part"))
