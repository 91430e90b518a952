"""A checkpoint carried to a spec with other names: what is in it, what is left, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import netspec
from netspec.cli import main
from netspec.compiled import Compiled
from netspec.pipeline import compile_spec
from netspec.run.checkpoint import write_checkpoint

LENET = Path("configs/model/lenet.yaml").read_text(encoding="utf-8")
RENAMED = LENET.replace("conv1", "stem").replace("fc3", "head").replace("outputs: head", "")
_LINES = [line for line in LENET.splitlines() if line.startswith("  ")]
_INNER = [line for line in _LINES if line.strip().startswith(("conv", "act1", "act2", "pool"))]
MOVED = "\n".join(
    [
        LENET.partition("layers:\n")[0] + "layers:",
        "  features:",
        "    layers:",
        *(f"    {line}" for line in _INNER),
        *(line for line in _LINES if line not in _INNER),
        "",
    ]
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "renamed.yaml").write_text(RENAMED, encoding="utf-8")
    (tmp_path / "moved.yaml").write_text(MOVED, encoding="utf-8")
    model = netspec.build("lenet", seed=3)
    save_file(model.state_dict(), tmp_path / "lenet.safetensors")
    torch.save(model.state_dict(), tmp_path / "lenet.pt")
    return tmp_path


def carried(folder: Path, after: str, checkpoint: str = "lenet.safetensors", *more: str) -> int:
    return main([
        "diff", "lenet", str(folder / after), "--checkpoint", str(folder / checkpoint),
        "--out", str(folder / "out.safetensors"), *more,
    ])  # fmt: skip


@pytest.mark.parametrize("after", ["renamed.yaml", "moved.yaml"])
@pytest.mark.parametrize("checkpoint", ["lenet.safetensors", "lenet.pt"])
def test_it_loads_strictly_and_gives_the_same(
    folder: Path, after: str, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert carried(folder, after, checkpoint) == 0
    assert "10 of 10 tensors" in capsys.readouterr().out
    model = netspec.build(folder / after)
    model.load_state_dict(load_file(folder / "out.safetensors"), strict=True)
    images = torch.rand(2, 1, 28, 28)
    assert torch.equal(model(images), netspec.build("lenet", seed=3)(images))


def test_a_checkpoint_of_netspec_stays_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compiled: Compiled = compile_spec("lenet")
    weights = netspec.build("lenet", seed=3).state_dict()
    write_checkpoint(
        folder / "own.safetensors", weights, compiled.recipe, {"epoch": 4}, {"step": 1}
    )
    assert carried(folder, "renamed.yaml", "own.safetensors") == 0
    assert "it is a checkpoint of the second spec" in capsys.readouterr().out
    model = netspec.load_checkpoint(folder / "out.safetensors")
    images = torch.rand(2, 1, 28, 28)
    assert torch.equal(model(images), netspec.build("lenet", seed=3).eval()(images))
    assert "stem.weight" in model.state_dict()
    with safe_open(folder / "out.safetensors", framework="pt") as file:
        assert not any(key.startswith("~") for key in file.keys())  # noqa: SIM118


def test_what_cannot_be_carried_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wider = RENAMED.replace("out_features: 84", "out_features: 90")
    (folder / "wider.yaml").write_text(wider, encoding="utf-8")
    assert carried(folder, "wider.yaml") == 1
    out = capsys.readouterr().out
    assert "wrote" in out and "7 of 10 tensors, 3 of them under other names" in out
    assert "of other shapes: fc2.weight, [84, 120] there and [90, 120] here" in out
    assert "strict=False" in out
    loaded = netspec.load_weights(
        netspec.build(folder / "wider.yaml"), folder / "out.safetensors", strict=False
    )
    assert len(loaded.loaded) == 7


def test_a_layer_that_is_new_has_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = LENET.replace("  act1:", "  bn1: BatchNorm2d\n  act1:")
    (folder / "more.yaml").write_text(more, encoding="utf-8")
    assert carried(folder, "more.yaml") == 1
    assert "the first spec has none: bn1.weight" in capsys.readouterr().out


def test_no_file_is_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "out.safetensors").write_bytes(b"mine")
    assert carried(folder, "renamed.yaml") == 2
    assert "is there already" in capsys.readouterr().err
    assert (folder / "out.safetensors").read_bytes() == b"mine"
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize(
    ("checkpoint", "code"),
    [
        ("nosuch.safetensors", "NS703"),
        ("wrong.safetensors", "NS703"),
        ("other.safetensors", "NS704"),
    ],
)
def test_a_checkpoint_that_is_none_of_the_first_spec(
    folder: Path, checkpoint: str, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "wrong.safetensors").write_bytes(b"no tensors")
    save_file({"a.weight": torch.zeros(2)}, folder / "other.safetensors")
    assert carried(folder, "renamed.yaml", checkpoint) == 2
    assert f"error[{code}]" in capsys.readouterr().err
    assert not (folder / "out.safetensors").exists()


class Runs:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("run",)


def test_nothing_but_tensors_is_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"conv1.weight": Runs()}, folder / "evil.pt")
    assert carried(folder, "renamed.yaml", "evil.pt") == 2
    out, err = capsys.readouterr()
    assert "NS712" in err and "run" not in out


def test_where_it_cannot_be_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main([
        "diff", "lenet", str(folder / "renamed.yaml"),
        "--checkpoint", str(folder / "lenet.safetensors"), "--out", str(folder / "no" / "out"),
    ])  # fmt: skip
    assert status == 2 and "can't be written: no such file" in capsys.readouterr().err


def test_tied_weights_are_carried_once_and_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (
        "netspec: 1\ninputs: {x: [N, 4]}\nlayers:\n  a: {module: Linear, out_features: 4}\n"
        "  b: {module: Linear, out_features: 4, tie: {weight: a.weight}}\n"
    )
    (tmp_path / "a.yaml").write_text(before, encoding="utf-8")
    after = before.replace("  a:", "  first:").replace("a.weight", "first.weight")
    (tmp_path / "b.yaml").write_text(after, encoding="utf-8")
    model = netspec.build(tmp_path / "a.yaml", seed=1)
    torch.save(model.state_dict(), tmp_path / "a.pt")
    status = main([
        "diff", str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml"),
        "--checkpoint", str(tmp_path / "a.pt"), "--out", str(tmp_path / "b.safetensors"),
    ])  # fmt: skip
    assert status == 0, capsys.readouterr()
    twin = netspec.build(tmp_path / "b.yaml")
    twin.load_state_dict(load_file(tmp_path / "b.safetensors"))
    x = torch.rand(2, 4)
    assert torch.equal(model(x), twin(x))
