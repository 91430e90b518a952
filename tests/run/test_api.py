"""Runs from Python: what `netspec.train` and `netspec.evaluate` give, show, and leave as it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import nbformat
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

import netspec
from netspec.errors import RunError, SpecError
from netspec.run.folder import LAST
from tests.run.running import ROOT, TINY, bit_equal, metrics, rows, small, trained, weights

QUICK = ["trainer.max_epochs=2", "data.limit=80", "threads=1", "device=cpu"]


def test_a_run_is_the_commands_own(tmp_path: Path) -> None:
    spec = small(tmp_path)
    trained(tmp_path / "typed", spec, "act=functional", "seed=3")
    run = netspec.train(
        tmp_path / "small.yaml",
        act="functional",
        overrides=[*TINY, "seed=3"],
        folder=tmp_path / "called, with a comma",
    )
    assert bit_equal(weights(run.folder), weights(tmp_path / "typed"))
    assert rows(run.folder) == rows(tmp_path / "typed")
    assert run.metrics == metrics(run.folder) and run.metrics["status"] == "finished"
    assert run.history[-1] == run.metrics["last"] and len(run.history) == 3
    assert not run.model.training
    kept = weights(run.folder, "best")
    assert bit_equal({name: run.model.state_dict()[name] for name in kept}, kept)
    assert "best    epoch" in repr(run) and str(run.folder) in repr(run)


def test_an_evaluation_has_the_figures_of_the_run(tmp_path: Path) -> None:
    run = netspec.train("lenet", overrides=QUICK, folder=tmp_path / "run", progress=False)
    before = sorted(run.folder.rglob("*"))
    found = netspec.evaluate(run, act="functional")
    assert found.metrics == run.metrics["test"] == netspec.evaluate(run.folder).metrics
    assert found.confusion is not None and sum(map(sum, found.confusion)) == 80
    assert "precision  recall" in str(found)
    assert sorted(run.folder.rglob("*")) == before, "an evaluation writes nothing by itself"
    netspec.evaluate(run, overrides=["split=validation", f"out={tmp_path / 'kept'}"])
    assert json.loads((tmp_path / "kept/evaluation.json").read_text())["split"] == "validation"
    with pytest.raises(RunError, match="an evaluation is in this folder"):
        netspec.evaluate(run, overrides=[f"out={tmp_path / 'kept'}"])


def test_data_by_its_settings(tmp_path: Path) -> None:
    table = tmp_path / "a table, with 'quotes'.csv"
    lines = [f"{i % 7},{i % 3},{'ab'[i % 2]}" for i in range(80)]
    table.write_text("x,y,kind\n" + "\n".join(lines) + "\n", encoding="utf-8")
    spec = tmp_path / "net.yaml"
    spec.write_text(
        "netspec: 1\nname: Net\ninputs: {x: [N, 2]}\nlayers: {fc: {module: Linear, "
        "out_features: 2}}\n",
        encoding="utf-8",
    )
    run = netspec.train(
        spec,
        data={"source": "csv", "root": table, "target": "kind", "features": ["x", "y"]},
        overrides=["trainer.max_epochs=1", "device=cpu"],
        folder=tmp_path / "run",
        progress=False,
    )
    assert run.metrics["test"] is not None


def test_silence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    netspec.train("lenet", overrides=QUICK, folder=tmp_path / "run", progress=False)
    assert capfd.readouterr() == ("", "")
    netspec.train("lenet", overrides=QUICK, folder=tmp_path / "told")
    assert "epoch   2/2" in capfd.readouterr().out


def test_the_process_is_as_it_was(tmp_path: Path) -> None:
    """Random numbers, threads, warnings, and a Hydra of the program around."""
    configs = tmp_path / "configs"
    configs.mkdir()
    (configs / "own.yaml").write_text("a: 1\n", encoding="utf-8")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    threads, filters = torch.get_num_threads(), list(warnings.filters)
    with initialize_config_dir(config_dir=str(configs), version_base="1.3"):
        more = ["trainer.deterministic=true", "threads=1"]
        netspec.train("lenet", overrides=[*QUICK, *more], folder=tmp_path / "r", progress=False)
        assert compose("own").a == 1
    assert not GlobalHydra.instance().is_initialized()
    assert torch.equal(torch.rand(3), expected)
    assert (torch.get_num_threads(), list(warnings.filters)) == (threads, filters)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"model": "lenett"}, "there is no spec `lenett`"),
        ({"model": "lenet", "data": "mnis"}, "has no option `mnis`"),
        ({"model": "lenet", "data": {"root": "x"}}, "name their `source`"),
        ({"model": "lenet", "data": {"source": "csv", "target": object()}}, "here is a object"),
        ({"model": "lenet", "overrides": ["seed=1,2"]}, "several values, and this is no sweep"),
        ({"model": "lenet", "overrides": ["sead=1"]}, "a run has no `sead`"),
    ],
)
def test_mistakes_are_errors_of_netspec(
    given: dict[str, object], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((RunError, SpecError), match=told):
        netspec.train(**given)  # type: ignore[arg-type]
    assert not list(tmp_path.rglob("*.json")), "nothing is left of what never began"


def test_overrides_are_texts() -> None:
    for wrong in ("seed=1", [("seed", 1)]):
        with pytest.raises(TypeError, match="a list of texts"):
            netspec.train("lenet", overrides=wrong)  # type: ignore[arg-type]


def test_a_stop_is_a_keyboard_interrupt_and_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"

    def stop() -> None:
        while not (folder / LAST).is_file():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=stop, daemon=True).start()
    long = [*QUICK, "trainer.max_epochs=200"]
    with pytest.raises(KeyboardInterrupt, match="go on with netspec"):
        netspec.train("lenet", overrides=long, folder=folder, progress=False)
    assert metrics(folder)["status"] == "interrupted"
    more = [f"resume={folder}", "trainer.max_epochs=1000", "trainer.max_minutes=0.001"]
    assert netspec.train(overrides=more, progress=False).metrics["status"] == "finished"


def test_a_notebook_has_one_bar_and_one_table(tmp_path: Path) -> None:
    """In a real kernel: one output for the run, drawn anew in its place, and its figures."""
    source = (
        "import netspec\n"
        f"run = netspec.train('lenet', overrides={QUICK!r}, folder='run')\n"
    )  # fmt: skip
    cells = [nbformat.v4.new_code_cell(source), nbformat.v4.new_code_cell("run")]
    book = nbformat.v4.new_notebook(cells=cells)  # type: ignore[no-untyped-call]
    nbformat.write(book, tmp_path / "book.ipynb")  # type: ignore[no-untyped-call]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "IPYTHONDIR": str(tmp_path / "ipython")}
    done = subprocess.run(
        [sys.executable, "-c", "from nbclient.cli import main; main()", "--inplace", "book.ipynb"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = nbformat.read(tmp_path / "book.ipynb", 4).cells  # type: ignore[no-untyped-call]
    drawn = [out for out in first.outputs if "<table>" in str(out.get("data"))]
    assert len(drawn) == 1 and "<progress" not in str(drawn), "the bar is gone at the end"
    assert "val_accuracy" in str(drawn) and str(drawn).count("<tr>") == 3
    assert sum(str(out).count("\\n") for out in first.outputs) < 40, first.outputs
    assert "<td>test</td>" in second.outputs[0].data["text/html"]
