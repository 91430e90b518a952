"""Situations from outside that are about runs: a last batch of one, runs of the same second."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from netspec.cli import main
from netspec.run.folder import exclusive_folder
from tests.run.running import metrics, small

CASES = Path(__file__).resolve().parents[1] / "cases" / "outside"
LAST_OF_ONE = CASES / "08_last_batch_of_one.yaml"
SQUEEZE = CASES / "08b_squeeze_at_batch_one.yaml"
SECOND = Path(__file__).parent / "second_example.yaml"  # no check can tell that it wants two
SHORT = ("device=cpu", "threads=1", "trainer.max_epochs=1")
SUM = '9 |   sum: "=out + out[1].mean()"'
TRAINING = ("data.limit=129", "data.batch_size=64")
EVALUATION = ("data.limit=128", "data.eval_batch_size=127")


@pytest.mark.parametrize("many", [(), ("-m",)], ids=["run", "sweep"])
@pytest.mark.parametrize(
    ("case", "sizes", "layer", "mends"),
    [
        (
            LAST_OF_ONE,
            TRAINING,
            "13 |   bn: BatchNorm1d",
            ["data.drop_last=true", "data.batch_size="],
        ),
        (SECOND, TRAINING, SUM, ["data.drop_last=true", "data.batch_size="]),
        (SECOND, EVALUATION, SUM, ["data.eval_batch_size=128"]),
    ],
)
def test_a_last_batch_of_one_is_told_before_the_first_step(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    case: Path,
    sizes: tuple[str, ...],
    layer: str,
    mends: list[str],
    many: tuple[str, ...],
) -> None:
    run = tmp_path / "run"
    assert main(["train", *many, f"model={case}", *sizes, *SHORT, f"folder={run}"]) == 1
    said = capsys.readouterr().err
    assert "error[NS603]: the last batch of" in said and "has 1 example" in said, said
    assert layer in said and "Traceback" not in said, said
    assert all(mend in said for mend in mends), said
    assert not list(tmp_path.rglob("metrics.*"))


@pytest.mark.parametrize("many", [(), ("-m",)], ids=["run", "sweep"])
def test_a_squeeze_of_what_may_be_one_is_told_at_any_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], many: tuple[str, ...]
) -> None:
    run = tmp_path / "run"
    assert main(["train", *many, f"model={SQUEEZE}", *SHORT, f"folder={run}"]) == 1
    said = capsys.readouterr().err
    assert "error[NS303]" in said and "12 |   sq: squeeze" in said and "`dim: [2, 3]`" in said


@pytest.mark.parametrize("case", [LAST_OF_ONE, SECOND])
def test_a_batch_of_one_is_left_out(tmp_path: Path, case: Path) -> None:
    kind = (f"model={case}", *TRAINING, "data.drop_last=true", "data.eval_batch_size=64")
    kind += ("data.validation=128",)
    limit = ("data.limit=129",) if case == LAST_OF_ONE else ("data.limit=130",)
    assert main(["train", *kind, *limit, *SHORT, f"folder={tmp_path / 'run'}"]) == 0


@pytest.mark.parametrize("many", [(), ("-m",)], ids=["run", "sweep"])
def test_a_run_of_a_second_that_has_one_gets_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    top = "multirun" if many else "outputs"
    now = datetime.now()
    for second in range(120):  # whenever it begins, another one has begun then
        (tmp_path / (now + timedelta(seconds=second)).strftime(f"{top}/%Y-%m-%d/%H-%M-%S")).mkdir(
            parents=True
        )
    before = set(tmp_path.glob(f"{top}/*/*"))
    kind = (small(tmp_path), "data.limit=64", *SHORT)
    assert main(["train", *many, *kind]) == 0
    (folder,) = set(tmp_path.glob(f"{top}/*/*")) - before
    assert folder.name.endswith("-1") and folder.with_name(folder.name[:-2]) in before
    assert metrics(folder / "0" if many else folder)["status"] == "finished"


def test_folders_are_one_for_each_that_asks(tmp_path: Path) -> None:
    found: list[Path] = []
    asking = [
        threading.Thread(target=lambda: found.append(exclusive_folder(tmp_path / "a" / "12-00-00")))
        for _ in range(24)
    ]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert len({*found}) == 24 and all(path.is_dir() for path in found)
    assert {path.name for path in found} >= {"12-00-00", "12-00-00-1", "12-00-00-23"}
