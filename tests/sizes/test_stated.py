"""What a spec states of its free sizes: used when it is tried, proved, and respected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import event

import netspec
from netspec.cli import main
from netspec.errors import SpecError
from netspec.pipeline import compile_spec
from netspec.sizes.find import find_sizes
from netspec.sizes.stated import conditions_text
from tests.laws.constrained import constrained_specs
from tests.laws.search import Search, law, over
from tests.laws.sizes import Sized

UNET = {"inputs.x": {"shape": ["N", 3, "H", "W"], "where": ["=H % 4 == 0", "=W % 4 == 0"]}}


def _spec(where: list[str], layers: dict[str, Any], shape: tuple[Any, ...] = ("N", "T")) -> Any:
    return {"netspec": 1, "inputs": {"x": {"shape": [*shape], "where": where}}, "layers": layers}


def _tried(document: Any) -> list[dict[str, int]]:
    return [dict(probe.sizes) for probe in compile_spec(document).program.probes]


@pytest.mark.parametrize(
    "where",
    [
        ["=T % 7 == 0"], ["=T >= 300"], ["=T <= 40"], ["=T == 50"], ["=N * T <= 128"],
        ["=T > 3 * N"],
        ["=10 < T < 20 or T == 100"], ["=not T % 2 == 0"], ["=max(N, T) < 30"],
    ],
)  # fmt: skip
def test_a_spec_is_tried_at_sizes_that_it_states(where: list[str]) -> None:
    document = _spec(where, {"o": "=x + 1"})
    conditions = compile_spec(document).program.stated
    tried = _tried(document)
    assert len(tried) >= 4
    assert all(one.holds(sizes) for one in conditions for sizes in tried)


def test_two_sizes_may_be_stated_to_be_equal() -> None:
    document = _spec(["=H == W"], {"o": "=x + x.transpose(2, 3)"}, ("N", 3, "H", "W"))
    assert netspec.check(document) == ()
    assert all(sizes["H"] == sizes["W"] for sizes in _tried(document))


def test_what_is_stated_is_folded() -> None:
    layers = {"o": "=x[:, :50].shape[1] * x"}
    assert "50 * x" in netspec.to_python(_spec(["=T >= 50"], layers))
    assert "shape[1]" in netspec.to_python(_spec(["=T >= 49"], layers))


def test_a_network_may_be_made_of_what_is_stated() -> None:
    """A parameter of `min(T, 50)` columns is none without the statement."""
    layers = {"p": {"param": ["=x[:, :50].shape[1]"], "init": "ones_"}, "o": "=x[:, :50] * p"}
    assert [one.code for one in netspec.check(_spec(["=T >= 8"], layers))] == ["NS303"]
    assert netspec.check(_spec(["=T >= 50"], layers)) == ()


def test_the_least_that_is_stated_is_tried_by_build() -> None:
    layers = {"o": "=x.unfold(1, 40, 1).mean(-1)"}
    with pytest.raises(SpecError, match="`where` takes both"):
        netspec.build(_spec(["=T >= 30"], layers))
    assert netspec.build(_spec(["=T >= 40"], layers))(torch.ones(1, 40)).shape == (1, 1)


def test_a_batch_norm_that_wants_two_in_training_needs_no_statement() -> None:
    layers = {"bn": "BatchNorm2d"}
    assert netspec.check(_spec(["=H % 2 == 0"], layers, ("N", 3, "H", "W"))) == ()


def test_what_is_stated_stands_in_valid_for() -> None:
    sizes = netspec.analyse("unet", overrides=UNET).sizes()
    assert sizes is not None
    assert sizes.constraints[0].line == "H, W: multiples of 4 (stated)"
    assert sizes.constraints[0].stated
    assert not any(one.stated for one in sizes.constraints[1:])
    assert sizes.broken_by({"N": 2, "H": 30, "W": 32}, training=False) == [sizes.constraints[0]]


def test_short_forms_follow_what_is_stated() -> None:
    document = _spec(["=H % 8 == 0", "=W % 8 == 0"], {"o": "=avg_pool2d(x, 2)"}, ("N", 3, "H", "W"))
    sizes = netspec.analyse(document).sizes()
    assert sizes is not None and sizes.text(sizes.output) == "[N, 3, H/2, W/2]"


def test_export_takes_what_is_stated() -> None:
    document = _spec(["=T % 8 == 0", "=T <= 64"], {"o": "=x * 2"})
    dim = netspec.dynamic_shapes(document)["x"][1]
    assert str(dim) == "8*_T"


def test_show_refuses_sizes_that_are_not_stated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(json.dumps({"name": "Net", **_spec(["=T % 8 == 0"], {"o": "=x * 2"})}))
    assert main(["show", str(path), "--size", "T=12"]) == 1
    assert "the spec takes sizes with `T % 8 == 0` only, and not N = 1, T = 12" in (
        capsys.readouterr().err
    )
    assert main(["show", str(path), "--size", "T=16"]) == 0


def test_a_part_is_given_what_it_states(tmp_path: Path) -> None:
    text = "netspec: 1\nname: Net\ninputs: {x: {shape: [N, T], where: [=%s == 0]}}\nlayers: %s\n"
    (tmp_path / "part.yaml").write_text(text % ("T % 5", "{a: tanh}"), encoding="utf-8")
    whole = tmp_path / "whole.yaml"
    for stated, found in (("T % 2", ["NS301"]), ("T % 10", [])):
        whole.write_text(text % (stated, "{p: {spec: part}}"), encoding="utf-8")
        assert [one.code for one in netspec.check(whole)] == found


@law(20, 400)
def test_what_is_told_can_be_stated(examples: Search) -> None:
    """With its constraints stated, a spec needs no more, and tells none beside them."""
    over(examples, constrained_specs(), _state_what_is_told)


def _state_what_is_told(case: Sized) -> None:
    try:
        compiled = compile_spec(case.document)
    except SpecError:
        event("refused")
        return
    sizes = find_sizes(compiled.program, compiled.built.empty())
    needed = [one for one in sizes.constraints if one.fails and one.mode != "train"]
    if sizes.open or sizes.tried or not needed:
        event("open, or nothing is needed")
        return
    event("stated")
    where = [f"={text}" for one in needed for text in conditions_text(one)]
    shape = case.document["inputs"]["x"]
    document = {**case.document, "inputs": {"x": {"shape": shape, "where": where}}}
    assert netspec.check(document) == (), where


BRANCHES = {
    "one that no stated size takes": ("=H >= 2", "=_ if _.shape[2] > 1 else avg_pool2d(_, 2)"),
    "one that some don't take": (
        "=H >= 1",
        "=avg_pool2d(_, 2).shape[2] * _ if _.shape[2] > 1 and _.shape[3] > 1 else _",
    ),
}


@pytest.mark.parametrize("case", BRANCHES)
def test_a_branch_is_asked_at_the_sizes_that_take_it(case: str) -> None:
    where, text = BRANCHES[case]
    document = {
        "netspec": 1,
        "inputs": {"x": {"shape": ["N", 3, "H", "W"], "where": [where]}},
        "layers": {"o": text},
    }
    model = netspec.build(document)
    for shape in ((1, 3, 2, 1), (1, 3, 2, 2), (2, 3, 65, 97), (1, 3, 200, 33)):
        x = torch.ones(shape)
        scale = shape[2] // 2 if case.endswith("take") and min(shape[2:]) > 1 else 1
        assert torch.equal(model(x), scale * x)


def test_what_every_size_takes_is_asked_at_each_beside_such_a_branch() -> None:
    document = {
        "netspec": 1,
        "inputs": {"x": {"shape": ["N", 3, "H", "W"], "where": ["=H >= 1"]}},
        "layers": {
            "a": "=avg_pool2d(x, 2) if x.shape[2] > 1 and x.shape[3] > 1 else x",
            "b": {"call": "avg_pool2d", "kernel_size": 2, "from": "x"},
        },
    }
    with pytest.raises(netspec.SpecError, match="`avg_pool2d` in `b`"):
        netspec.build(document)


def test_a_branch_of_a_mode_is_asked_at_each_size() -> None:
    document = {
        "netspec": 1,
        "inputs": {"x": {"shape": ["N", 3, "H", "W"], "where": ["=H >= 1"]}},
        "layers": {"a": "=avg_pool2d(x, 4) if training else x"},
    }
    with pytest.raises(netspec.SpecError, match="`avg_pool2d` in `a`"):
        netspec.build(document)
