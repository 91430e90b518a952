"""Loggers beside metrics.csv, read back by their own libraries: the figures of the file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netspec.cli import main
from netspec.run.loggers.session import flat
from tests.run.running import TINY, contents, metrics, rows, small, trained

KNOWN = ("tensorboard", "wandb", "mlflow", "comet", "trackio")


def test_several_at_once_have_the_rows_of_the_csv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorBoard's events, W&B without a network, MLflow in a folder."""
    pytest.importorskip("tensorboard")
    pytest.importorskip("wandb")
    pytest.importorskip("mlflow")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    store = (tmp_path / "mlruns").as_uri()
    run = tmp_path / "run"
    found = trained(
        run,
        small(tmp_path),
        "logger=[tensorboard,wandb,mlflow]",
        f"logger.mlflow.tracking_uri='{store}'",
    )
    written = rows(run)
    steps = [int(row["step"]) for row in written]
    for name in ("train_loss", "val_accuracy", "lr"):
        wanted = [(step, float(row[name])) for step, row in zip(steps, written, strict=True)]
        assert _close(_tensorboard(run, name), wanted), name
        assert _mlflow(store, run, name) == wanted
        assert _wandb(run, name) == wanted
    client, key = _client(store), json.loads((run / "loggers.json").read_text())["mlflow"]
    told = client.get_run(key)
    assert told.info.status == "FINISHED" and told.data.params["optimizer.lr"] == "0.001"
    assert told.data.metrics["best/test_accuracy"] == found["test"]["accuracy"]


def test_a_run_that_goes_on_goes_on_in_its_loggers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    store = (tmp_path / "mlruns").as_uri()
    run = tmp_path / "run"
    logger = ("logger=mlflow", f"logger.mlflow.tracking_uri='{store}'")
    trained(run, small(tmp_path), *logger)
    said = {**metrics(run), "status": "interrupted"}
    (run / "metrics.json").write_text(json.dumps(said), encoding="utf-8")
    assert main(["train", f"resume={run}", "trainer.max_epochs=5"]) == 0
    assert [step for step, _ in _mlflow(store, run, "val_loss")] == [3, 6, 9, 12, 15]
    assert len(_client(store).search_runs(["0", *_experiments(store)])) == 1


@pytest.mark.parametrize("name", KNOWN)
def test_a_missing_package_is_told_before_anything_is_made(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("netspec.run.loggers.settings.find_spec", lambda _: None)
    assert main(["train", *TINY, f"logger={name}"]) == 1
    told = capsys.readouterr().err
    assert f"logger={name} needs the package" in told
    assert f"pip install 'netspec[{name}]'" in told
    assert main(["train", "-m", *TINY, "seed=1,2", f"logger={name}"]) == 1
    assert f"pip install 'netspec[{name}]'" in capsys.readouterr().err
    assert not [path for path in contents(tmp_path) if "lock" not in path]


def test_a_logger_that_can_not_begin_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mlflow")
    wrong = ["logger=mlflow", "logger.mlflow.tracking_uri=nonsense://here"]
    run = tmp_path / "run"
    assert main(["train", *TINY, small(tmp_path), *wrong, f"folder={run}"]) == 1
    assert "error[NS702]: logger=mlflow can't begin" in capsys.readouterr().err
    assert metrics(run)["status"] == "failed"


def test_wrong_options_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "logger=wandb", "logger.wandb.mode=somehow"]) == 1
    assert "`logger.wandb.mode` can't be `somehow`" in capsys.readouterr().err
    assert main(["train", "logger=wand"]) == 1
    assert "did you mean `wandb`?" in capsys.readouterr().err


def test_settings_become_parameters() -> None:
    nested = {"a": {"b": 1, "c": None}, "d": [1, 2], "e": True}
    assert flat(nested) == {"a.b": 1, "d": "[1, 2]", "e": True}


def test_no_logger_is_imported_that_was_not_asked_for(tmp_path: Path) -> None:
    script = (
        "import sys, netspec.run.training\n"
        "print([n for n in ('wandb', 'mlflow', 'comet_ml', 'trackio') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def _close(one: list[tuple[int, float]], other: list[tuple[int, float]]) -> bool:
    """Whether they are equal as float32, which is what events hold."""
    return [(step, pytest.approx(value, rel=1e-6)) for step, value in other] == one


def _tensorboard(run: Path, name: str) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def _client(store: str) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(store)


def _experiments(store: str) -> list[str]:
    return [found.experiment_id for found in _client(store).search_experiments()]


def _mlflow(store: str, run: Path, name: str) -> list[tuple[int, float]]:
    key = json.loads((run / "loggers.json").read_text(encoding="utf-8"))["mlflow"]
    return [(item.step, item.value) for item in _client(store).get_metric_history(key, name)]


def _wandb(run: Path, name: str) -> list[tuple[int, float]]:
    """What an offline run of W&B has in its file: records of its own, in LevelDB's log format."""
    from wandb.proto import wandb_internal_pb2

    (file,) = run.rglob("run-*.wandb")
    found: list[tuple[int, float]] = []
    for data in _records(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            items = {i.key or ".".join(i.nested_key): i.value_json for i in record.history.item}
            if name in items:
                found.append((record.history.step.num, json.loads(items[name])))
    return found


def _records(data: bytes) -> Iterator[bytes]:
    """The records of a log: chunks of at most a block, each with checksum, length and type."""
    block, head, at, part = 32768, 7, 7, b""  # the file begins with a header of seven bytes
    while at + head <= len(data):
        if block - at % block < head:
            at += block - at % block
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        part += data[at + head : at + head + length]
        at += head + length
        if kind in (1, 4):  # whole, or the last of several
            yield part
            part = b""
