"""Sweeps: checked before they start, whole at the end, continued where they were cut."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from netspec.cli import main
from tests.run.running import (
    TINY,
    bit_equal,
    ended,
    metrics,
    small,
    started,
    trained,
    wait_for,
    weights,
)

SHORT = (*TINY, "trainer.max_epochs=1")


def swept(folder: Path, *overrides: str) -> int:
    """The status of a sweep in this process."""
    return main(["train", "-m", *SHORT, *overrides, f"folder={folder}"])


def points(folder: Path) -> list[dict[str, Any]]:
    found = json.loads((folder / "points.json").read_text(encoding="utf-8"))
    assert isinstance(found, list)
    return found


def jobs(folder: Path) -> list[str]:
    """The folders in which something was run."""
    return sorted(path.parent.name for path in folder.glob("*/metrics.json"))


def told(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert "Traceback" not in err, err
    return f"{out}\n{err}"


def test_module_and_functional_are_equal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert swept(run, "model=lenet", "act=module,functional", "seed=1,2") == 0
    found = {
        (point["overrides"][-2], point["overrides"][-1]): run / point["folder"]
        for point in points(run)
    }
    by = {(metrics(f)["act"], metrics(f)["seed"]): f for f in found.values()}
    assert len(by) == 4
    for seed in (1, 2):
        one, other = by["module", seed], by["functional", seed]
        assert metrics(one)["test"] == metrics(other)["test"]
        assert bit_equal(weights(one), weights(other))
    assert metrics(by["module", 1])["test"] != metrics(by["module", 2])["test"]
    shown = told(capsys)
    assert "act=functional" in shown and "±" in shown
    for name in ("report.html", "report.csv"):
        assert (run / name).is_file(), sorted(run.iterdir())


def test_a_wrong_point_starts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    sizes = ("model.layers.conv2.out_channels=16,32", "model.layers.fc1.in_features=256")
    assert swept(run, "model=lenet", *sizes) == 1
    shown = told(capsys)
    assert "point 1 of 2: model.layers.conv2.out_channels=32" in shown
    assert "point 0" not in shown
    text = (Path(__file__).parents[2] / "configs/model/lenet.yaml").read_text(encoding="utf-8")
    line = 1 + [row.strip().startswith("fc1:") for row in text.splitlines()].index(True)
    assert f"lenet.yaml:{line}" in shown or "fc1.in_features=256" in shown
    assert "`fc1`" in shown or "fc1:" in shown
    assert jobs(run) == [] and not (run / "0").exists()


def test_all_wrong_points_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert swept(run, small(tmp_path), "model.layers.fc1.out_features=0,8,-1", "seed=1,2") == 1
    shown = told(capsys)
    assert all(f"point {index} of 6" in shown for index in (0, 1, 4, 5)), shown
    assert "point 2 of 6" not in shown and jobs(run) == []


def test_duplicates_run_once(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert swept(run, small(tmp_path), "model.layers.fc1.out_features=16,8,16", "seed=0,0") == 0
    assert [point["same_as"] for point in points(run)] == [None, 0, None, 2, 0, 0]
    assert jobs(run) == ["0", "1"]
    assert metrics(run / "1")["parameters"] < metrics(run / "0")["parameters"]


def test_preflight_can_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Then a wrong point fails when it comes, and the others are run."""
    run = tmp_path / "run"
    sizes = "model.layers.fc1.out_features=8,0,16"
    assert swept(run, small(tmp_path), sizes, "preflight=false") == 1
    assert "1 of 3 jobs failed" in told(capsys)
    status = [metrics(run / name)["status"] for name in ("0", "1", "2")]
    assert status == ["finished", "failed", "finished"]
    assert metrics(run / "1")["error"]
    assert (run / "report.html").is_file()


def test_a_failing_job_loses_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert swept(run, small(tmp_path), "optimizer=sgd", "optimizer.lr=0.1,1e30,0.01") == 1
    assert "1 of 3 jobs failed" in told(capsys)
    status = [metrics(run / name)["status"] for name in ("0", "1", "2")]
    assert status == ["finished", "failed", "finished"]
    assert "NaN" in metrics(run / "1")["error"] or "infinite" in metrics(run / "1")["error"]


def test_the_same_folder_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert swept(run, small(tmp_path), "seed=1,2") == 0
    assert swept(run, small(tmp_path), "seed=3,4") == 1
    assert "NS707" in told(capsys)


def test_batches_of_jobs(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert swept(run, small(tmp_path), "seed=1,2,3", "hydra.sweeper.max_batch_size=2") == 0
    assert jobs(run) == ["0", "1", "2"]
    assert [metrics(run / name)["seed"] for name in jobs(run)] == [1, 2, 3]


@pytest.mark.parametrize(
    "change",
    [
        "model.layers.act1.act=relu,gelu",
        "model.layers.drop.p=0.1,0.5",
        "model.layers.act1={act: relu},{act: gelu}",
    ],
)
def test_changes_of_the_spec(tmp_path: Path, change: str) -> None:
    run = tmp_path / "run"
    assert swept(run, small(tmp_path), change) == 0
    assert jobs(run) == ["0", "1"]
    assert not bit_equal(weights(run / "0"), weights(run / "1"))


def test_deletions(tmp_path: Path) -> None:
    """A layer deleted in one point, and changed in the other."""
    run = tmp_path / "run"
    assert swept(run, small(tmp_path), 'model.layers.drop="~",{call: dropout, p: 0.5}') == 0
    assert jobs(run) == ["0", "1"]
    assert "drop" not in (run / "0" / "spec.yaml").read_text(encoding="utf-8")
    assert "drop" in (run / "1" / "spec.yaml").read_text(encoding="utf-8")


def test_names_and_files(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert swept(run, f"model=lenet,{small(tmp_path).partition('=')[2]}") == 0
    sizes = [metrics(run / name)["parameters"] for name in jobs(run)]
    assert sizes == [44_426, 1_002]


def test_killed_and_continued(tmp_path: Path) -> None:
    run = tmp_path / "run"
    kind = [*TINY, small(tmp_path), "trainer.max_epochs=60", "seed=1,2,3", f"folder={run}"]
    process = started("-m", *kind)
    wait_for(lambda: (run / "1" / "metrics.csv").is_file(), process)
    process.kill()
    ended(process)
    assert metrics(run / "0")["status"] == "finished"
    assert metrics(run / "1")["status"] == "running" and not (run / "2").exists()
    first = (run / "0" / "metrics.json").stat().st_mtime_ns
    assert main(["train", "-m", f"resume={run}"]) == 0
    assert (run / "0" / "metrics.json").stat().st_mtime_ns == first
    assert [metrics(run / name)["status"] for name in ("0", "1", "2")] == ["finished"] * 3
    alone = tmp_path / "alone"
    trained(alone, small(tmp_path), "trainer.max_epochs=60", "seed=2")
    assert bit_equal(weights(run / "1"), weights(alone))


def test_ctrl_c_ends_the_sweep(tmp_path: Path) -> None:
    run = tmp_path / "run"
    kind = [*TINY, small(tmp_path), "trainer.max_epochs=1000", "seed=1,2", f"folder={run}"]
    process = started("-m", *kind)
    wait_for(lambda: (run / "0" / "metrics.csv").is_file(), process)
    process.send_signal(signal.SIGINT)
    status, _, err = ended(process)
    assert status == 130 and f"-m resume={run}" in err and "Traceback" not in err, err
    assert metrics(run / "0")["status"] == "interrupted" and not (run / "1").exists()


@pytest.mark.slow
def test_joblib(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    run = tmp_path / "run"
    launcher = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    kind = [*SHORT, small(tmp_path), "seed=1,2", *launcher, f"folder={run}"]
    status, out, err = ended(started("-m", *kind), 240)
    assert status == 0, (out, err)
    assert jobs(run) == ["0", "1"] and (run / "report.html").is_file()


@pytest.mark.slow
def test_ray(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    run = tmp_path / "run"
    kind = [*SHORT, small(tmp_path), "seed=1,2", "hydra/launcher=ray", f"folder={run}"]
    quiet = {"RAY_DEDUP_LOGS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    status, out, err = ended(started("-m", *kind, **quiet), 300)
    assert status == 0, (out, err)
    assert jobs(run) == ["0", "1"] and (run / "report.html").is_file()
