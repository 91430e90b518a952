"""A spec that is another one with other args: all that holds for a spec holds for it."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

import netspec
from netspec import caches
from netspec.pipeline import compile_spec

BASE = """\
netspec: 1
name: Base
args: {width: 4, depth: 1}
inputs: {x: [N, 4]}
include: parts/blocks.yaml
layers:
  body: {block: Row, width: =width, repeat: =depth}
  head: {module: Linear, out_features: 2, from: =body * 2}
"""
BLOCKS = """\
netspec: 1
blocks:
  Row: {args: {width: null}, layers: [{module: Linear, out_features: =width}, {act: relu}]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "parts").mkdir()
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "parts" / "blocks.yaml").write_text(BLOCKS)
    (tmp_path / "deep-net.yaml").write_text("netspec: 1\nspec: base\nargs: {depth: 3}\n")
    (tmp_path / "wide.yaml").write_text(
        "netspec: 1\nname: Wide\nspec: deep-net.yaml\nargs: {width: 8}\n"
    )
    return tmp_path


def test_it_has_the_layers_of_the_other_one(folder: Path) -> None:
    args = {"depth": 3, "width": 8}
    base = netspec.build(folder / "base.yaml", args=args, seed=0)
    wide = netspec.build(folder / "wide.yaml", seed=0)
    assert type(wide).__name__ == "Wide"
    assert type(netspec.build(folder / "deep-net.yaml")).__name__ == "DeepNet"
    assert list(wide.state_dict()) == list(base.state_dict())
    x = torch.randn(3, 4)
    assert torch.equal(wide(x), base(x))


def test_args_and_overrides_reach_it(folder: Path) -> None:
    model = netspec.build(
        folder / "wide.yaml",
        args={"depth": 2},
        overrides=["layers.head.out_features=5", "args.width=6"],
    )
    shapes = [tuple(p.shape) for p in model.parameters() if p.ndim == 2]
    assert shapes == [(6, 4), (6, 6), (5, 6)]


def test_a_copy_in_another_process_needs_no_file(folder: Path) -> None:
    model = netspec.build(folder / "wide.yaml", overrides={"layers.head.out_features": 3})
    data = pickle.dumps(model)
    for file in [*folder.glob("*.yaml"), *folder.glob("parts/*")]:
        file.unlink()
    caches.clear()
    again = pickle.loads(data)
    x = torch.randn(2, 4)
    assert torch.equal(again(x), model(x)) and type(again).__name__ == "Wide"


@pytest.mark.parametrize("file", ["wide.yaml", "deep-net.yaml", "base.yaml", "parts/blocks.yaml"])
def test_a_change_of_any_of_its_files_is_seen(folder: Path, file: str) -> None:
    before = compile_spec(folder / "wide.yaml")
    assert compile_spec(folder / "wide.yaml") is before
    path = folder / file
    path.write_text(path.read_text() + "doc: changed\n")
    assert compile_spec(folder / "wide.yaml") is not before


def test_two_of_one_base_are_two_parts(folder: Path) -> None:
    (folder / "thin.yaml").write_text("netspec: 1\nspec: base\nargs: {width: 2}\n")
    (folder / "pair.yaml").write_text(
        "netspec: 1\ninputs: {x: [N, 4]}\nlayers:\n"
        "  a: {spec: thin}\n  b: {spec: wide, from: x, depth: 1}\n  sum: =a + b\n"
    )
    model = netspec.build(folder / "pair.yaml")
    assert model.a.body[0][0].out_features == 2 and model.b.body[0][0].out_features == 8


def test_a_mistake_in_an_arg_is_told_in_its_own_file(folder: Path) -> None:
    path = folder / "wide.yaml"
    path.write_text("netspec: 1\nspec: base\nargs:\n  depth: 2\n  width: =4 +\n")
    (found,) = netspec.check(path)
    assert (found.code, found.span.file, found.span.line) == ("NS208", str(path), 5)


def test_what_is_wrong_with_the_other_one_is_told_there(folder: Path) -> None:
    (folder / "base.yaml").write_text(BASE.replace("Linear", "Linaer"))
    (found,) = netspec.check(folder / "wide.yaml")
    assert (found.code, Path(found.span.file).name, found.span.line) == ("NS206", "base.yaml", 8)


def test_a_circle_of_two_is_told(folder: Path) -> None:
    (folder / "base.yaml").write_text("netspec: 1\nspec: wide\n")
    (found,) = netspec.check(folder / "wide.yaml")
    assert found.code == "NS213"


def test_a_mapping_may_be_one() -> None:
    model = netspec.build({"netspec": 1, "spec": "lenet", "args": {"num_classes": 3}})
    assert type(model).__name__ == "LeNet" and model.fc3.out_features == 3


def test_a_variant_in_a_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from netspec.language.overrides import parse_overrides
    from netspec.run.model import ModelChoice, load_choice

    overrides = parse_overrides(["args.width=6"])
    spec = load_choice(ModelChoice(str(folder / "wide.yaml"), overrides))
    assert spec.document.args == {"width": 6, "depth": 3}
    with pytest.raises(netspec.SpecError, match="NS209"):
        load_choice(ModelChoice(str(folder / "wide.yaml"), parse_overrides(["args.wdth=6"])))


def test_a_part_that_is_one_is_copied_too(folder: Path) -> None:
    (folder / "pair.yaml").write_text(
        "netspec: 1\ninputs: {x: [N, 4]}\nlayers:\n  a: {spec: wide}\n  sum: =a + a\n"
    )
    model = netspec.build(folder / "pair.yaml")
    data = pickle.dumps(model)
    for file in [*folder.glob("*.yaml"), *folder.glob("parts/*")]:
        file.unlink()
    caches.clear()
    assert list(pickle.loads(data).state_dict()) == list(model.state_dict())


def test_a_long_chain_is_no_circle(folder: Path) -> None:
    for number in range(20):
        other = "base" if number == 0 else f"v{number - 1}"
        (folder / f"v{number}.yaml").write_text(f"netspec: 1\nspec: {other}\n")
    assert netspec.check(folder / "v15.yaml") == ()
    (found,) = netspec.check(folder / "v19.yaml")
    assert (found.code, found.fact) == ("NS213", "more than 16 specs are each another one")
