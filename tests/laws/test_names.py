"""A name that a spec writes is in the keys of the state_dict, or the spec is refused."""

from __future__ import annotations

import copy
import itertools
import pickle

import pytest
import torch
from torch import nn

import netspec

AS = (None, "sequential", "graph", "list", "dict", "inline")
LINEAR = {"module": "Linear", "in_features": 4, "out_features": 4}


def _children(kind: str) -> dict[str, object]:
    """What a container may hold: children with names, with numbers, or copies with names."""
    named = {"cls": dict(LINEAR), "box": dict(LINEAR)}
    match kind:
        case "names":
            return {"layers": named}
        case "numbers":
            return {"layers": list(named.values())}
        case "copies":
            return {"repeat": 2, **LINEAR}
        case "named copies":
            return {"repeat": {"over": ["cls", "box"], "name": "=w"}, **LINEAR}
        case "copies of names":
            return {"repeat": 2, "layers": named}
        case _:
            return {"repeat": {"over": ["first", "second"], "name": "=w"}, "layers": named}


KINDS = ("names", "numbers", "copies", "named copies", "copies of names", "named copies of names")


def _written(kind: str) -> set[str]:
    names = {"cls", "box"} if "names" in kind or kind == "named copies" else set()
    return names | ({"first", "second"} if kind == "named copies of names" else set())


def _spec(inner: dict[str, object], outer: str | None) -> dict[str, object]:
    group: dict[str, object] = {"group": inner}
    if outer == "list":
        group = {"trunk": {"layers": [inner]}}
    elif outer is not None:
        group = {"trunk": {"as": outer, "layers": {"group": inner}}}
    return {"netspec": 1, "name": "Net", "inputs": {"x": ["N", 4]}, "layers": group}


@pytest.mark.parametrize("outer", [None, "graph", "list", "dict", "inline"])
@pytest.mark.parametrize("declare", [False, True])
def test_a_written_name_is_in_the_keys_or_refused(outer: str | None, declare: bool) -> None:
    accepted = 0
    for kind, form in itertools.product(KINDS, AS):
        inner = {**_children(kind), "keep": True}
        if form is not None:
            inner["as"] = form
        if declare:
            inner["declare"] = True
        spec = _spec(inner, outer)
        if outer in (None, "graph"):  # what is only held gives no value
            layers = spec["layers"] if outer is None else spec["layers"]["trunk"]["layers"]
            layers["out"] = "=x * 1" if outer is None else "=_ * 1"
        try:
            model = netspec.build(spec)
        except netspec.SpecError as error:
            assert all(found.code.startswith("NS") for found in error.diagnostics)
            continue
        accepted += 1
        parts = {part for key in model.state_dict() for part in key.split(".")}
        lost = _written(kind) - parts
        assert not lost, (kind, form, declare, outer, list(model.state_dict()))
    assert accepted or outer == "dict"


DICT = """
netspec: 1
name: Net
args: {kind: box}
inputs: {x: [N, 4]}
layers:
  heads:
    as: dict
    layers:
      cls:  {module: Linear, out_features: 4, freeze: true}
      box:  {module: Linear, out_features: 4, init: {weight: zeros_}}
      gate: {act: relu}
      deep: {layers: [{module: Linear, out_features: 4}, {act: tanh}]}
      more: {as: dict, layers: {a-b: {module: Linear, out_features: 4}}}
      list: {as: list, layers: [{module: Linear, out_features: 4}]}
  scales: {as: dict, layers: {b: {param: [4], init: ones_}, a: {param: =zeros(4)}}}
  towers: {as: dict, repeat: {over: [up, down], name: =w}, module: Linear, out_features: 4}
  tied:   {module: Linear, out_features: 4, tie: {weight: heads.cls.weight}, from: x}
  used:   {use: heads.cls, from: x}
  again:  {use: heads.list.0}
  sum:    "=tied + heads[kind](heads.gate(again)) * scales.a + scales['b'] + heads.deep(x)"
  last:   "=towers.up(towers['down'](sum)) + heads.more['a-b'](x) / len(heads)"
  inner:  {layers: {d: "=heads.cls(_) + scales.a + heads['more']['a-b'](_)"}}
init: {towers.up.bias: ones_}
"""


@pytest.mark.parametrize("form", ["module", "functional", "inplace"])
def test_a_dict_is_whole(form: str) -> None:
    spec = netspec.loads(DICT)
    model = netspec.build(spec, act=form, seed=0)
    assert isinstance(model.heads, nn.ModuleDict)
    assert isinstance(model.scales, nn.ParameterDict)
    assert list(model.scales) == ["b", "a"]
    assert not model.heads.cls.weight.requires_grad
    assert model.tied.weight is model.heads.cls.weight
    assert not model.heads["box"].weight.any()
    assert model.towers["up"].bias.eq(1).all()
    scope: dict[str, object] = {}
    exec(compile(netspec.to_python(spec, act=form), "net.py", "exec"), scope)
    exported = scope["build_model"]()  # type: ignore[operator]
    assert list(exported.state_dict()) == list(model.state_dict())
    exported.load_state_dict(model.state_dict())
    x = torch.randn(3, 4)
    for other in (exported, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(x), model(x))
    model(x).sum().backward()
    assert torch.equal(torch.export.export(model, (x,)).module()(x), model(x))
    assert torch.equal(torch.jit.trace(model, x)(x), model(x))


def test_a_mistake_in_an_item_has_its_place() -> None:
    text = DICT.replace("tanh", "tanhh").replace("zeros_", "zeroes_")
    with pytest.raises(netspec.SpecError) as caught:
        netspec.build(netspec.loads(text))
    assert {found.span.line for found in caught.value.diagnostics} == {11, 13}


def test_an_input_size_of_an_item_is_the_one_of_its_first_call() -> None:
    text = """
        netspec: 1
        name: Net
        inputs: {x: [N, 4]}
        layers:
          heads: {as: dict, layers: {b: {module: Linear, out_features: 5}, a: {module: BatchNorm1d}}}
          o: "=heads.a(heads.b(x))"
    """
    model = netspec.build(netspec.loads(text))
    assert model.heads.b.in_features == 4
    assert model.heads.a.num_features == 5


# A chain in a chain: what is said of its layers happens, at whatever depth


def _nested(depth: int, layer: str, kind: str) -> str:
    for level in range(depth):
        inner = (
            f"[{layer}, {{act: relu}}]"
            if kind == "list"
            else f"{{l{level}: {layer}, a: {{act: relu}}}}"
        )
        layer = f"{{layers: {inner}}}"
    return layer


@pytest.mark.parametrize("root", [True, False])
@pytest.mark.parametrize("kind", ["list", "mapping"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_init_and_freeze_in_a_chain_in_a_chain(depth: int, kind: str, root: bool) -> None:
    linear = "{module: Linear, out_features: 4, init: {weight: ones_, bias: {constant_: {val: 3}}}"
    linear += ", freeze: true}"
    text = f"netspec: 1\nname: Net\ninputs: {{x: [N, 4]}}\nlayers:\n  a: {_nested(depth, linear, kind)}\n"
    text += "" if root else "  b: =a + x\n"
    spec = netspec.loads(text)
    scope: dict[str, object] = {}
    exec(compile(netspec.to_python(spec), "net.py", "exec"), scope)
    for model in (netspec.build(spec), scope["build_model"]()):  # type: ignore[operator]
        assert isinstance(model.a, nn.Sequential)
        (layer,) = (m for m in model.modules() if isinstance(m, nn.Linear))
        assert layer.weight.eq(1).all()
        assert layer.bias.eq(3).all()
        assert not layer.weight.requires_grad
