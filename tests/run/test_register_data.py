"""Data that Python code registers: chosen by name, with options, in a plugin or in the process."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset

import netspec
from netspec import data_registry, plugins
from netspec.cli import main
from netspec.errors import RunError
from netspec.run.data.sources import open_data
from tests.registrations import Registrations

NET = """\
netspec: 1
name: Net
args: {num_classes: null}
inputs: {x: [N, 2]}
layers:
  fc: {module: Linear, out_features: 16}
  act: {act: relu}
  out: {module: Linear, out_features: =num_classes}
"""
PLUGIN = '''\
import netspec
import torch


@netspec.register_data
def blobs(count: int = 120, spread: float = 0.3):
    """Two heaps of points."""
    labels = torch.arange(count) % 2
    generator = torch.Generator().manual_seed(0)
    points = labels[:, None] + spread * torch.randn(count, 2, generator=generator)
    half = count // 2
    return {"train": (points[:half], labels[:half]), "test": (points[half:], labels[half:]),
            "classes": ["left", "right"]}
'''
QUICK = ("trainer.max_epochs=5", "optimizer.lr=0.05", "device=cpu", "threads=1")


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    with Registrations().entered():
        yield


def test_a_plugin_of_ten_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "heaps.py").write_text(PLUGIN, encoding="utf-8")
    (tmp_path / "net.yaml").write_text(NET, encoding="utf-8")
    mine = ("model=net.yaml", "data=blobs", "plugins=heaps", *QUICK)
    assert main(["train", *mine, "data.spread=0.1", "folder=run"]) == 0
    told = capsys.readouterr().out
    assert "54 train, 6 validation, 60 test" in told and "accuracy 1.0000" in told
    assert main(["eval", "checkpoint=run", "plugins=heaps"]) == 0
    assert "left" in capsys.readouterr().out
    assert main(["train", *mine, "data.spred=1"]) == 1
    assert "a run has no `data.spred`" in capsys.readouterr().err
    assert main(["train", *mine, "data.count=many"]) == 1
    assert "`data.count` is `many`, and `int` is expected" in capsys.readouterr().err
    assert main(["train", "model=net.yaml", "data=blobs", *QUICK]) == 1
    assert "plugins=[heaps] has it" in capsys.readouterr().err


class Items(Dataset[Any]):
    """Examples that are read one at a time."""

    def __init__(self, count: int, item: Callable[[int], Any]) -> None:
        self.count, self.item = count, item

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        return self.item(index)


def test_a_dataset_of_torchs_kind(tmp_path: Path) -> None:
    @netspec.register_data("tests/lazy")
    def lazy(count: int = 40) -> dict[str, Any]:
        items = Items(count, lambda i: (torch.eye(3)[i % 3, :2], i % 3))
        return {"train": items, "test": items, "classes": "abc"}

    spec = tmp_path / "net.yaml"
    spec.write_text(NET, encoding="utf-8")
    run = netspec.train(
        spec,
        data="tests/lazy",
        overrides=[*QUICK, "trainer.max_epochs=30", "data.count=60"],
        folder=tmp_path / "run",
        progress=False,
    )
    assert run.metrics["test"]["accuracy"] == 1.0 and run.model.out.out_features == 3
    assert netspec.evaluate(run).metrics == run.metrics["test"]
    other = open_data({"source": "tests/lazy", "count": 50})
    assert other.fingerprint != open_data({"source": "tests/lazy", "count": 60}).fingerprint


def test_inputs_by_their_names_and_kinds_of_targets() -> None:
    def kind(target: Any, **more: Any) -> Any:
        def own() -> Any:
            return {"train": Items(8, lambda i: ({"a": torch.zeros(3), "b": i}, target)), **more}

        netspec.register_data(own, "tests/kinds")
        found = open_data({"source": "tests/kinds", "validation": 0, "limit": 4})
        data_registry.forget("tests/kinds")
        return found

    found = kind(1.5)
    assert found.task == "regression" and [field.name for field in found.inputs] == ["a", "b"]
    assert found.train is not None and len(found.train) == 4
    assert kind(torch.zeros(4, 4).long(), classes=["x"]).task == "segmentation"
    assert kind(torch.zeros(4).long()).task == "language"


@pytest.mark.parametrize(
    ("gives", "told"),
    [
        (lambda: 1 / 0, "raised ZeroDivisionError"),
        (lambda: {"test": ()}, "gives no mapping with `train`"),
        (lambda: {"train": (torch.zeros(3, 1), torch.zeros(4))}, "not equally long"),
        (lambda: {"train": [("text", 1)]}, "no tensors or numbers"),
        (lambda: {"train": [(torch.zeros(1), 1)] * 3}, "does not tell its classes"),
        (lambda: {"train": [torch.zeros(1)] * 3}, "no (input, target)"),
        (lambda: {"train": [(torch.zeros(1), 0.5)] * 3, "tests": []}, "gives `tests`"),
    ],
)
def test_what_is_no_data_is_told(gives: Callable[[], Any], told: str) -> None:
    def own() -> Any:
        return gives()

    netspec.register_data(own, "tests/wrong")
    with pytest.raises(RunError) as caught:
        open_data({"source": "tests/wrong"})
    assert told in str(caught.value) and "NS602" in str(caught.value)


def test_what_can_not_be_registered() -> None:
    def untyped(count=3):  # type: ignore[no-untyped-def]
        return {}

    def needed(count: int) -> Any:
        return {}

    def taken(batch_size: int = 3) -> Any:
        return {}

    def fine() -> Any:
        return {}

    for wrong, error, told in (
        (untyped, TypeError, "needs an annotation and a default"),
        (needed, TypeError, "needs an annotation and a default"),
        (taken, ValueError, "an option that all data have"),
        (3, TypeError, "no function"),
    ):
        with pytest.raises(error, match=told):
            netspec.register_data(wrong, "tests/none")  # type: ignore[call-overload]
    for name in ("csv", "a b", "x/y/z"):
        with pytest.raises(ValueError, match=r"already|no name"):
            netspec.register_data(fine, name)


def test_other_processes_would_not_find_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @netspec.register_data("tests/here")
    def here() -> Any:
        return {"train": (torch.zeros(40, 2), torch.arange(40) % 2)}

    spec = tmp_path / "net.yaml"
    spec.write_text(NET, encoding="utf-8")
    more = ["trainer=ddp", f"folder={tmp_path / 'run'}", *QUICK]
    assert main(["train", f"model={spec}", "data=tests/here", *more]) == 1
    assert "is registered in this process, and the run has others" in capsys.readouterr().err


def _modules(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`heaps`, which registers data, and `whole`, a plugin that imports it."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    (folder / "heaps.py").write_text(PLUGIN, encoding="utf-8")
    (folder / "whole.py").write_text("import heaps\n", encoding="utf-8")
    monkeypatch.delitem(sys.modules, "heaps", raising=False)
    monkeypatch.setitem(plugins._loaded, "whole", sys)
    del plugins._loaded["whole"]


def test_a_module_that_was_imported_before_is_a_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _modules(tmp_path, monkeypatch)
    importlib.import_module("heaps")
    with plugins.enabled(["heaps"]):
        assert "blobs" in data_registry.visible()


def test_what_another_plugin_imported_is_a_plugin_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _modules(tmp_path, monkeypatch)
    with plugins.enabled(["whole"]):
        assert "blobs" in data_registry.visible()
    with plugins.enabled(["heaps"]):
        assert "blobs" in data_registry.visible()
    assert "blobs" not in data_registry.visible()
