"""Law: what `forward` makes out of nothing is on the device of the first tensor it is given."""

from __future__ import annotations

import pytest
import torch

import netspec
from netspec.ops import catalog
from netspec.ops.arguments import ArgumentType, Either, Kind, Parameter, SequenceOf, Signature
from netspec.ops.signatures import signatures_of

_WRITTEN = {Kind.INT: "4", Kind.FLOAT: "1.0", Kind.SCALAR: "1.0", Kind.BOOL: "True",
            Kind.ANYTHING: "[1.0, 2.0]"}  # fmt: skip

_PLACES = {
    "a value": """
layers:
  o: "=CALL"
outputs: [o, x]
""",
    "within an expression": """
layers:
  o: "=[(CALL) * 1 if x.ndim > 1 else x, x][0]"
outputs: [o, x]
""",
    "a block whose first input is a tuple": """
blocks:
  B: {inputs: [pair], layers: {o: "=CALL"}}
layers:
  b: {block: B, from: "=(x.shape[0], (x, x))"}
outputs: [b, x]
""",
    "a block that takes a size alone": """
blocks:
  B: {inputs: [n], layers: {o: "=CALL", p: "=(o, n)"}}
  C: {inputs: [n], layers: {b: {block: B}}}
layers:
  b: {block: C, from: ["=x.shape[0]"]}
  c: {block: C, from: ["=x.shape[0]"]}
outputs: ["=b[0]", "=c[0]", x]
""",
    "a container": """
layers:
  pair: =(x.shape[0], 3)
  g: {from: pair, layers: {n: "=_[0]", o: "=(CALL, n)"}}
outputs: ["=g[0]", x]
""",
    "the default of an input": """
layers:
  o: =m
outputs: [o, x]
""",
}


def _calls() -> list[str]:
    """A call of each function that a spec can make a tensor with, and give no tensor to."""
    found = []
    for name in catalog.function_names():
        for signature in signatures_of(catalog.find_function(name)):
            arguments = [_written(p) for p in signature.parameters if p.required]
            makes = any(p.name in ("device", "dtype") for p in signature.parameters)
            if makes and arguments and None not in arguments:
                found.append(f"{name}({', '.join(map(str, arguments))})")
    return [*dict.fromkeys(found), "normal(0.0, 1.0, (4,))", "cat([zeros(2), tensor([1.0])])"]


def _written(parameter: Parameter) -> str | None:
    if parameter.name == "low":
        return "low=0"
    accepts: ArgumentType = parameter.accepts
    if isinstance(accepts, Either):
        accepts = accepts.options[0]
    if isinstance(accepts, SequenceOf) and accepts.item is Kind.INT:
        return f"{parameter.name}=(4,)"
    word = _WRITTEN.get(accepts) if isinstance(accepts, Kind) else None
    return None if word is None else f"{parameter.name}={word}"


def test_all_makers_are_tried() -> None:
    named = {call.partition("(")[0] for call in _calls()}
    assert {"arange", "eye", "tensor", "randperm", "hann_window", "tril_indices", "full"} <= named


@pytest.mark.parametrize("place", _PLACES)
def test_what_forward_makes_is_where_its_input_is(place: str) -> None:
    for call in _calls():
        inputs = "x: [N, 4]"
        if "default" in place:
            made = eval_shape(call)
            inputs += f", m: {{shape: {list(made.shape)}, dtype: {_name(made.dtype)}, "
            inputs += f"default: '={call}'}}"
        text = f"netspec: 1\nname: Net\ninputs: {{{inputs}}}\n{_PLACES[place]}"
        model = netspec.build(netspec.loads(text.replace("CALL", call)), device="meta")
        found = model(torch.empty(2, 4, device="meta"))
        assert all(value.device.type == "meta" for value in found), f"{call} in {place}"


def eval_shape(call: str) -> torch.Tensor:
    text = f"netspec: 1\nname: Net\ninputs: {{x: [N, 4]}}\nlayers:\n  o: '={call}'\n"
    made: torch.Tensor = netspec.build(netspec.loads(text))(torch.zeros(2, 4))
    return made


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def test_a_function_without_a_tensor_takes_a_device() -> None:
    """So that nobody adds one that makes its tensors on the CPU, whatever the model is on."""
    empty = Signature(())
    for name in catalog.function_names():
        for signature in signatures_of(catalog.find_function(name)):
            required = [p for p in signature.parameters if p.required]
            if signature == empty or signature.star is not None:
                continue
            tensors = any("TENSOR" in repr(p.accepts) for p in required)
            names = {
                p.name for s in signatures_of(catalog.find_function(name)) for p in s.parameters
            }
            assert tensors or "device" in names or name == "einsum", name
