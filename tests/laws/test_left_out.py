"""An input with `default: null` is None where it is left out, in whatever place it is read."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import nn

import netspec

INPUTS = "inputs: {x: [N, 4], c: {shape: [N, 4], default: NONE}}"
FC = "{module: Linear, out_features: 4}"
Meaning = Callable[[nn.Module, torch.Tensor, "torch.Tensor | None"], torch.Tensor]

# What stands in `layers`, and what it means in Python.
USES: dict[str, tuple[str, Meaning]] = {
    "a choice": (
        f"{{fc: {FC}, o: =fc if c is None else fc + c}}",
        lambda m, x, c: m.fc(x) if c is None else m.fc(x) + c,
    ),
    "the other way round": ("{o: =x * c if not (c is None) else x}", lambda m, x, c: _times(x, c)),
    "and": (
        "{o: '=x * c if c is not None and c.shape[1] == 4 else x'}", lambda m, x, c: _times(x, c)
    ),
    "or": ("{o: '=x if c is None or c.ndim == 1 else x * c'}", lambda m, x, c: _times(x, c)),
    "when": (
        "{fc: {when: =c is not None, from: c, module: Linear, out_features: 4},"
        " o: =x if fc is None else x * fc}",
        lambda m, x, c: x if c is None else x * m.fc(c),
    ),
    "when, of what it is not": (
        "{fc: {when: =c is None, module: Linear, out_features: 4}, o: =_ if c is None else _ + c}",
        lambda m, x, c: m.fc(x) if c is None else x + c,
    ),
    "a container": (
        f"{{g: {{when: =c is not None, layers: {{a: =_ - c, b: {FC}}}}}}}",
        lambda m, x, c: x if c is None else m.g.b(x - c),
    ),
    "a container that asks": (
        f"{{g: {{layers: {{a: =_ if c is None else _ - c, b: {FC}, t: {{act: tanh}}}}}}}}",
        lambda m, x, c: torch.tanh(m.g.b(x if c is None else x - c)),
    ),
    "a value made of it": (
        "{e: =None if c is None else c * 2, o: =x if e is None else x * e}",
        lambda m, x, c: x if c is None else x * (c * 2),
    ),
    "an argument": (
        "{o: {call: scaled_dot_product_attention, from: [x, x, x],"
        " attn_mask: '=None if c is None else c @ c.T'}}",
        lambda m, x, c: nn.functional.scaled_dot_product_attention(
            x, x, x, attn_mask=None if c is None else c @ c.T
        ),
    ),
    "a block": (
        "{o: {block: Add, from: [x, c]}, p: {block: Add, from: [o, =None]}}",
        lambda m, x, c: x if c is None else x + c,
    ),
    "both modes": (
        "{o: =x * c if training and c is not None else x}",
        lambda m, x, c: x * c if m.training and c is not None else x,
    ),
}  # fmt: skip
BLOCKS = "blocks: {Add: {inputs: [a, b], layers: {o: =a if b is None else a + b}}}"


def _times(x: torch.Tensor, c: torch.Tensor | None) -> torch.Tensor:
    return x if c is None else x * c


def _spec(layers: str, none: str) -> netspec.Spec:
    blocks = BLOCKS if "block:" in layers else ""
    args = "args: {nothing: =None}" if none == "=nothing" else ""
    inputs = INPUTS.replace("NONE", none)
    return netspec.loads(f"netspec: 1\nname: Net\n{args}\n{inputs}\n{blocks}\nlayers: {layers}\n")


@pytest.mark.parametrize("none", ["null", "=None", "=nothing"])
@pytest.mark.parametrize("use", USES)
def test_it_is_none_where_it_is_left_out(use: str, none: str) -> None:
    layers, meaning = USES[use]
    spec = _spec(layers, none)
    x, c = torch.randn(3, 4), torch.randn(3, 4)
    for form in ("module", "functional", "inplace"):
        model = netspec.build(spec, act=form, seed=1)
        scope: dict[str, object] = {}
        exec(compile(netspec.to_python(spec, act=form), "net.py", "exec"), scope)
        exported = scope["build_model"]()  # type: ignore[operator]
        exported.load_state_dict(model.state_dict())
        for each in (model, exported, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            for training in (True, False):
                each.train(training)
                assert torch.equal(each(x), meaning(each, x, None))
                assert torch.equal(each(x, None), meaning(each, x, None))
                assert torch.equal(each(x, c), meaning(each, x, c))
    if none == "null":
        assert netspec.verify(spec).equal


@pytest.mark.parametrize("use", ["a choice", "when", "a container", "a block"])
def test_it_is_traced_with_it_and_without_it(use: str) -> None:
    layers, meaning = USES[use]
    model = netspec.build(_spec(layers, "null")).eval()
    x, c = torch.randn(3, 4), torch.randn(3, 4)
    for given in ((x,), (x, c)):
        wanted = meaning(model, x, c if len(given) > 1 else None)
        assert torch.equal(torch.export.export(model, given).module()(*given), wanted)
        assert torch.equal(torch.jit.trace(model, given)(*given), wanted)


@pytest.mark.parametrize(
    "layers",
    [
        "{o: =x + c}", "{o: =x * c.shape[1]}", "{o: {module: Linear, out_features: 4, from: c}}",
        "{o: =x if c is None else x + c, p: =o * c}", "{o: =x + c if c is None else x}",
        "{p: {as: inline, when: =c is not None, layers: {a: =x + c, b: =a * 2}}}",
        "{p: {when: =c is not None, repeat: 2, module: Linear, out_features: 4}}",
        "{p: {module: Linear, out_features: '=3 if c is None else 4'}}",
        "{o: {call: relu, from: c}}", "{o: '=cat([x, c], 1)'}", "{o: =x if c else x}",
        "{f: {repeat: '=1 if c is None else 2', module: Linear, out_features: 4}}",
    ],
)  # fmt: skip
def test_what_would_fail_without_it_is_refused(layers: str) -> None:
    with pytest.raises(netspec.SpecError) as caught:
        netspec.build(_spec(layers, "null"))
    assert all(found.span.line for found in caught.value.diagnostics)


def test_several_that_may_be_none() -> None:
    names = "abcde"
    inputs = ", ".join(f"{name}: {{shape: [N, 4], default: null}}" for name in names)
    layers = "\n".join(f"  {n}1: =_ if {n} is None else _ + {n}" for n in names)
    spec = netspec.loads(
        f"netspec: 1\nname: N\ninputs: {{x: [N, 4], {inputs}}}\nlayers:\n{layers}\n"
    )
    model = netspec.build(spec)
    x = torch.randn(2, 4)
    assert torch.equal(model(x, None, x, None, x), x + x + x)


def test_in_place_is_decided_for_both() -> None:
    spec = _spec(f"{{fc: {FC}, a: {{act: relu}}, o: =fc if c is None else a + c}}", "null")
    model = netspec.build(spec, act="inplace", seed=0)
    x, c = torch.randn(3, 4), torch.randn(3, 4)
    assert torch.equal(model(x), model.fc(x))
    assert torch.equal(model(x, c), torch.relu(model.fc(x)) + c)


def test_a_part_may_leave_it_out_or_give_none(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "part.yaml").write_text(
        "netspec: 1\nname: P\ninputs: {x: [N, 4], c: {shape: [N, 4], default: null},"
        " d: {shape: [N, 4], default: =ones_like(x)}}\nlayers: {o: =x * d if c is None else (x + c) * d}\n"
    )
    whole = tmp_path / "whole.yaml"
    whole.write_text(
        "netspec: 1\nname: W\ninputs: {x: [N, 4], c: {shape: [N, 4], default: null}}\nlayers:\n"
        "  a: {spec: part}\n  b: {spec: part, from: [a, =None, c]}\n  e: {spec: part, from: [b, c]}\n"
    )
    model = netspec.build(whole)
    x, c = torch.randn(3, 4), torch.randn(3, 4)
    assert torch.equal(model(x), x)
    assert torch.equal(model(x, c), x * c + c)
