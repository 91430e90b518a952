"""A null that somebody writes is None; only what nobody says takes its default."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

import netspec
from netspec.cli import main
from netspec.commands.spec_argument import Changes, compile_given
from netspec.run.model import compile_choice, read_choice
from netspec.run.overrides import for_hydra
from netspec.run.settings import ActSettings

# What an arg is when nobody says anything: a value of each kind, none, and one that is computed.
DEFAULTS = ["BatchNorm1d", "2", "[1, 2]", "=None", "=width * 2", "null"]

_SPEC = """
netspec: 1
name: Net
args: {width: 4, norm: DEFAULT}
inputs: {x: [N, 4]}
layers:
  fc: {module: Linear, out_features: 4}
  n: {when: =norm is not None, module: Identity}
  w: {module: Linear, out_features: =width}
"""
_BLOCK = """
netspec: 1
name: Net
inputs: {x: [N, 4]}
blocks:
  B:
    args: {width: 4, norm: DEFAULT}
    layers:
      fc: {module: Linear, out_features: =width}
      n: {when: =norm is not None, module: Identity}
layers:
  b: LAYER
"""
_NESTED = """
netspec: 1
name: Net
args: {norm: LayerNorm}
inputs: {x: [N, 4]}
blocks:
  Outer:
    args: {norm: BatchNorm1d}
    blocks:
      B:
        args: {width: 4, norm: DEFAULT}
        layers:
          fc: {module: Linear, out_features: =width}
          n: {when: =norm is not None, module: Identity}
    layers:
      b: {block: B, norm: =norm}
  Again: {layers: {n: {when: =norm is not None, module: =norm}}, args: {norm: null}}
layers:
  o: {block: Outer, norm: =norm}
  a: {block: Again, norm: =norm}
"""

Say = Callable[[str, Path], nn.Module]  # the default, a folder → a model that was told null


def _spec(default: str, folder: Path) -> Path:
    file = folder / "part.yaml"
    file.write_text(_SPEC.replace("DEFAULT", default))
    return file


def _by_layer(layer: str, text: str = _BLOCK) -> Say:
    def say(default: str, folder: Path) -> nn.Module:
        written = text.replace("DEFAULT", default).replace("LAYER", layer)
        return netspec.build(netspec.loads(written))

    return say


def _by_args(default: str, folder: Path) -> nn.Module:
    return netspec.build(_spec(default, folder), args={"norm": None})


def _by_nested_args(default: str, folder: Path) -> nn.Module:
    return netspec.build(netspec.loads(_NESTED.replace("DEFAULT", default)), args={"norm": None})


def _by_override(override: object, text: str = _SPEC) -> Say:
    def say(default: str, folder: Path) -> nn.Module:
        spec = netspec.loads(text.replace("DEFAULT", default).replace("LAYER", "{block: B}"))
        return netspec.build(spec, overrides=override)  # type: ignore[arg-type]

    return say


def _by_part(default: str, folder: Path) -> nn.Module:
    _spec(default, folder)
    whole = folder / "whole.yaml"
    whole.write_text(
        "netspec: 1\nname: W\ninputs: {x: [N, 4]}\nlayers:\n  p: {spec: part, norm: null}\n"
    )
    return netspec.build(whole)


def _by_variant(default: str, folder: Path) -> nn.Module:
    _spec(default, folder)
    whole = folder / "variant.yaml"
    whole.write_text("netspec: 1\nspec: part\nargs: {norm: null}\n")
    return netspec.build(whole)


def _by_option(default: str, folder: Path) -> nn.Module:
    changes = Changes("module", {"norm": None}, (), {"norm": "norm=null"})
    return compile_given(str(_spec(default, folder)), changes).built.make()


def _by_run(default: str, folder: Path) -> nn.Module:
    node = {"spec": str(_spec(default, folder))}
    choice = read_choice(node, [for_hydra("model.args.norm=null")])
    return compile_choice(choice, ActSettings(form="module"), {"norm": 3}).built.make()


def _by_experiment(default: str, folder: Path) -> nn.Module:
    node = {"spec": str(_spec(default, folder)), "args": {"norm": None}}
    return compile_choice(
        read_choice(node, []), ActSettings(form="module"), {"norm": 3}
    ).built.make()


WAYS: dict[str, Say] = {
    "a block's arg": _by_layer("{block: B, norm: null}"),
    "an expression": _by_layer("{block: B, norm: =None}"),
    "in args": _by_layer("{block: B, args: {norm: null}}"),
    "an empty value": _by_layer("{block: B, norm: }"),
    "through blocks": _by_nested_args,
    "args=": _by_args,
    "--arg": _by_option,
    "an override": _by_override(["args.norm=null"]),
    "an empty override": _by_override(["args.norm="]),
    "a mapping of overrides": _by_override({"args.norm": None}),
    "an override of all args": _by_override({"args": {"norm": None, "width": 4}}),
    "an override of a block": _by_override(["blocks.B.args.norm=null"], _BLOCK),
    "an override of a layer": _by_override(["layers.b.norm=null"], _BLOCK),
    "a layer's args": _by_override(["+layers.b.args.norm=null"], _BLOCK),
    "a part": _by_part,
    "a variant": _by_variant,
    "a run": _by_run,
    "an experiment": _by_experiment,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("default", DEFAULTS)
def test_null_is_none_however_it_is_said_and_whatever_stands_there(
    way: str, default: str, tmp_path: Path
) -> None:
    if default == "null" and way == "an override of a layer":
        default = "=None"  # else the spec alone asks for it, which is well tested
    kinds = {type(module) for module in WAYS[way](default, tmp_path).modules()}
    assert nn.Identity not in kinds
    assert nn.Linear in kinds


@pytest.mark.parametrize("default", [d for d in DEFAULTS if d != "null"])
def test_what_nobody_says_takes_its_default(default: str, tmp_path: Path) -> None:
    kinds = {type(module) for module in netspec.build(_spec(default, tmp_path)).modules()}
    assert (nn.Identity in kinds) is (default != "=None")
    kinds = {type(module) for module in _by_layer("{block: B}")(default, tmp_path).modules()}
    assert (nn.Identity in kinds) is (default != "=None")


def test_a_declared_null_still_has_to_be_given(tmp_path: Path) -> None:
    with pytest.raises(netspec.SpecError, match="needs `norm`"):
        netspec.build(_spec("null", tmp_path))
    with pytest.raises(netspec.SpecError, match="needs `norm`"):
        _by_layer("{block: B}")("null", tmp_path)


def test_the_command_line_says_null(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(_spec("BatchNorm1d", tmp_path))
    for change in (["--arg", "norm=null"], ["--set", "args.norm=null"]):
        assert main(["export", file, *change]) in (None, 0)
        assert "Identity" not in capsys.readouterr().out
    assert main(["export", file]) in (None, 0)
    assert "Identity" in capsys.readouterr().out


# null where a layer takes an argument is None there too: torch's word on it, never a default.
_TAKEN = {
    "{module: AvgPool1d, kernel_size: 2, stride: null}": "AvgPool1d(2, stride=None)",
    "{module: AvgPool1d, kernel_size: 2, args: {stride: null}}": "AvgPool1d(2, stride=None)",
    "{act: softmax, dim: 1, pin: true}": "Softmax(dim=1)",
    "{call: clamp, min: null, max: 1.0}": "clamp(x, min=None, max=1.0)",
    "{call: clamp, from: [x, =None, =1.0]}": "None, 1.0",
    '"=clamp(x, None, 1.0)"': "None, 1.0",
    "{module: MultiheadAttention, num_heads: 2, from: [x, x, x], with: {attn_mask: null}}":
        "attn_mask=None",
}  # fmt: skip
_REFUSED = [
    "{module: Linear, out_features: 4, bias: null}",
    "{module: Linear, out_features: 4, in_features: null}",
    "{module: Linear, out_features: null}",
    "{module: LayerNorm, eps: null}",
    "{call: dropout, p: null}",
    '"=dropout(x, None)"',
    "{act: leaky_relu, negative_slope: null}",
    "{module: Linear, out_features: 4, when: null}",
    "{module: Linear, out_features: 4, freeze: null}",
    "{module: Linear, out_features: 4, init: {weight: null}}",
]


@pytest.mark.parametrize("layer", _TAKEN)
def test_an_argument_that_is_null_is_none(layer: str) -> None:
    text = f"netspec: 1\nname: Net\ninputs: {{x: [N, 4, 4]}}\nlayers:\n  o: {layer}\n"
    assert _TAKEN[layer] in netspec.to_python(netspec.loads(text))


@pytest.mark.parametrize("form", ["module", "functional", "inplace"])
@pytest.mark.parametrize("layer", _REFUSED)
def test_an_argument_that_cannot_be_none_is_refused(layer: str, form: str) -> None:
    text = f"netspec: 1\nname: Net\ninputs: {{x: [N, 4, 4]}}\nlayers:\n  o: {layer}\n"
    with pytest.raises(netspec.SpecError) as caught:
        netspec.build(netspec.loads(text), act=form)
    assert all(found.span.line == 5 for found in caught.value.diagnostics)
