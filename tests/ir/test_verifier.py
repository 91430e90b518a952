"""Each thing that holds of programs, broken once: the verifier says so in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

import netspec
from netspec import pipeline
from netspec.emit.fold import fold
from netspec.ir.expr import Call, CallPart, Expr, Part, Value
from netspec.ir.graph import (
    Assign,
    Child,
    Graph,
    Init,
    Loop,
    New,
    NewGraph,
    NewInstance,
    NewList,
    NewModule,
    NewSequence,
    Program,
)
from netspec.ir.lower.values import UNKNOWN
from netspec.ir.traversal import graphs_of
from netspec.ir.verifier import verify_graph, verify_program
from netspec.ops import catalog
from netspec.pipeline import compile_spec
from tests.test_cases import OK, options_of

SPEC = """
netspec: 1
name: Net
inputs: {x: [N, 4]}
blocks:
  Add:
    inputs: [a, b]
    layers: {fc: {module: Linear, out_features: 4}, sum: =fc + b}
layers:
  fc: {module: Linear, out_features: 4, init: {weight: zeros_}}
  tied: {module: Linear, out_features: 4, tie: {weight: fc.weight}}
  scale: {param: "=ones(4)"}
  add: {block: Add, from: [tied, x]}
  chain: {layers: {one: {module: Linear, out_features: 4}, two: {act: relu}}}
  many: {repeat: 2, layers: {fc: {module: Linear, out_features: 4}, sum: =fc + x}}
  lstm: {module: LSTM, hidden_size: 4, from: "=many[None] * scale"}
  out: =lstm[0][0] + x
"""


@cache
def program() -> Program:
    return compile_spec(netspec.loads(SPEC)).program


def root(found: Program) -> Graph:
    assert isinstance(found.root.new, NewGraph)
    return found.root.new.graph


def with_graph(**changes: object) -> Program:
    """The program with something else in its outermost graph."""
    found = program()
    new = NewGraph(replace(root(found), **changes))  # type: ignore[arg-type]
    return replace(found, root=replace(found.root, new=new))


def with_child(name: str, **changes: object) -> Program:
    children = root(program()).children
    return with_graph(
        children=tuple(replace(c, **changes) if c.name == name else c for c in children)  # type: ignore[arg-type]
    )


def child(name: str) -> Child:
    return next(child for child in root(program()).children if child.name == name)


def with_step(name: str, **changes: object) -> Program:
    """The program with something else in the statement of this name."""
    body = root(program()).body
    assert any(name in step.names for step in body)
    return with_graph(body=tuple(replace(s, **changes) if name in s.names else s for s in body))


def step(name: str) -> Assign:
    found = next(step for step in root(program()).body if name in step.names)
    assert isinstance(found, Assign)
    return found


def loop() -> Loop:
    return next(step for step in root(program()).body if isinstance(step, Loop))


def with_loop(**changes: object) -> Program:
    return with_step(loop().names[0], **changes)


def with_new(name: str, new: New) -> Program:
    return with_child(name, new=new)


def elsewhere() -> object:
    place = child("fc").place
    assert place is not None
    return place.at("nowhere")


def called(name: str, *args: Expr, **kwargs: Expr) -> CallPart:
    return CallPart(Part((name,)), args, tuple(kwargs.items()))


def linear() -> NewModule:
    new = child("fc").new
    assert isinstance(new, NewModule)
    return new


X = Value(0)
RELU = catalog.find_function("relu")
BROKEN: dict[str, Callable[[], Program]] = {
    "defines a value again": lambda: with_step("tied", targets=step("fc").targets),
    "reads value 999 before it is there": lambda: with_step("fc", expr=Value(999)),
    "reads value": lambda: with_graph(body=root(program()).body[::-1]),
    "^outputs reads value": lambda: with_graph(outputs=Value(loop().item)),
    "has a name for each value": lambda: with_step("fc", names=("fc", "more")),
    "has a start and a name": lambda: with_loop(start=()),
    "is of a list": lambda: with_loop(part=("chain",)),
    "types for .* probes": lambda: with_step("fc", facts=step("fc").facts[:1]),
    "is not known": lambda: with_step("fc", facts=(UNKNOWN,) * len(step("fc").facts)),
    "has no type for each of its 2": lambda: with_step(
        "fc", targets=(*step("fc").targets, 999), names=("fc", "more")
    ),
    "names `gone`": lambda: with_step("fc", expr=called("gone", X)),
    "names `chain.three`": lambda: with_step("fc", expr=Part(("chain", "three"))),
    "names `many.7`": lambda: with_step("fc", expr=Part(("many", 7))),
    "have one name": lambda: with_graph(children=(*root(program()).children, child("fc"))),
    "says it is not": lambda: with_child("fc", called=False),
    "no expression names it": lambda: with_step("fc", expr=X),
    "add` calls what takes .* without .'b'": lambda: with_step("add", expr=called("add", X)),
    "b'.* with 3 values": lambda: with_step("add", expr=called("add", X, X, X)),
    "gives `a`, which is given already": lambda: with_step("add", expr=called("add", X, a=X)),
    "1` calls what takes .* without": lambda: with_loop(call=CallPart(Value(loop().item), (X,))),
    "calls a chain, which takes one value": lambda: with_step("chain", expr=called("chain", X, X)),
    "calls a NewParameter": lambda: with_graph(
        children=tuple(
            replace(c, called=True) if c.name == "scale" else c for c in root(program()).children
        ),
        body=(*root(program()).body[:1], replace(step("tied"), expr=called("scale", X))),
        outputs=X,
    ),
    "has no such parameter": lambda: with_graph(
        ties=tuple(replace(tie, source=("fc", "wait")) for tie in root(program()).ties)
    ),
    "is of TensorType": lambda: with_graph(
        ties=tuple(replace(tie, source=("fc", "bias")) for tie in root(program()).ties)
    ),
    "an `init` of .* is of no parameter": lambda: with_child(
        "fc",
        after=tuple(
            replace(s, target=("wait",)) if isinstance(s, Init) else s for s in child("fc").after
        ),
    ),
    "is no constant": lambda: with_new("fc", replace(linear(), args=(X,), names=())),
    "has no name": lambda: with_new("fc", replace(linear(), names=("in_features",) * 9)),
    "which is no class": lambda: with_new("fc", replace(linear(), operator=RELU)),
    "calls the class": lambda: with_step("fc", expr=Call(linear().operator, (X,))),
    "before there are any": lambda: with_new("fc", NewInstance(0, ())),
    "has no type": lambda: with_new("scale", replace(child("scale").new, fact=None)),  # type: ignore[arg-type]
    "is of a call": lambda: with_new("scale", replace(child("scale").new, value=X)),  # type: ignore[arg-type]
    "reads `many`, which is not there": lambda: with_new(
        "scale",
        replace(child("scale").new, value=Part(("many",))),  # type: ignore[arg-type]
    ),
    "which `<string>` has not": lambda: with_child("fc", place=elsewhere()),
    "was tried at no sizes": lambda: replace(program(), probes=()),
    "and its graph": lambda: replace(program(), inputs=()),
    "takes one input": lambda: replace(
        program(),
        root=replace(program().root, new=NewSequence(())),
        inputs=program().inputs * 2,
    ),
    "neither a graph nor a chain": lambda: replace(
        program(), root=replace(program().root, new=NewList(()))
    ),
}


def test_what_is_lowered_holds() -> None:
    verify_program(program())


BUFFERS = """
netspec: 1
inputs: {x: [N, 4]}
layers:
  base: {buffer: "=ones(4)"}
  twice: {buffer: "=base * 2"}
  out: =x * twice + base
"""


def test_a_buffer_may_be_made_of_another() -> None:
    verify_program(compile_spec(netspec.loads(BUFFERS)).program)


@pytest.mark.parametrize("sentence", BROKEN)
def test_what_is_broken_is_told(sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        verify_program(BROKEN[sentence]())


def test_every_compiled_program_is_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    """After lowering, and after activations were taken in place."""
    met: list[Program] = []
    monkeypatch.setattr(pipeline, "verify_program", met.append)
    monkeypatch.setenv("NETSPEC_VERIFY", "1")  # as in all tests
    text = SPEC.replace("out: =", "last: {act: relu, from: many}\n  out: =last + ")
    compile_spec(netspec.loads(text), act="inplace")
    assert len(met) == 2 and met[0] != met[1]


@pytest.mark.parametrize("case", OK, ids=lambda case: case.stem)
def test_statements_put_into_others_hold(case: object) -> None:
    """The pass of `emit` that gives a graph: what moved is read where it is defined."""
    found = compile_spec(case, **options_of(case)).program  # type: ignore[arg-type]
    for graph in graphs_of(found.root):
        verify_graph(fold(graph)[0], len(found.probes))
