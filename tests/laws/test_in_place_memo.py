"""Equal calls are run once, and what is decided is as if each had been run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import netspec
from netspec import pipeline
from netspec.checks.inplace import check, effects, trace
from netspec.checks.inplace.decide import Decision
from netspec.emit.classes import plan_classes
from netspec.emit.module import compile_classes
from netspec.emit.tree import write_trees
from netspec.errors import SpecError
from netspec.ir.walk.run_operator import Refuses
from tests.laws.in_place import lowered
from tests.laws.in_place_networks import Document, networks
from tests.laws.search import Search, law, over
from tests.laws.strategies import specs


def no_key(*_: Any) -> None:
    return None


def decided(document: Document) -> list[tuple[Decision, ...] | str]:
    """What is decided of one program with the memo, and with every call run."""
    try:
        spec = netspec.load(document)
        program = lowered(spec)
    except SpecError:
        return []
    written = write_trees(plan_classes(program), program.source)
    found: list[tuple[Decision, ...] | str] = []
    for key_of in (effects.key_of, no_key):
        module = compile_classes(written, object(), pipeline.rebuild).empty()  # type: ignore[arg-type]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trace, "key_of", key_of)
            try:
                found.append(check.decide_in_place(program, module, True))
            except Refuses as refusal:
                found.append(str(refusal))
    return found


def agree(document: Document) -> None:
    found = decided(document)
    assert not found or found[0] == found[1]


@law(40, 3_000)
def test_decisions_are_those_of_a_whole_run(examples: Search) -> None:
    over(examples, networks(), lambda network: agree(network.document))


@law(20, 1_000)
def test_decisions_are_those_of_a_whole_run_of_any_network(examples: Search) -> None:
    over(examples, specs(), lambda case: agree(case.document))


@pytest.mark.parametrize("missing", ["reads", "saves", "copies"])
def test_the_law_can_say_no(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Effects that are told only of the first call are missed."""
    told = effects.Effects.on

    def some(self: effects.Effects, *rest: Any) -> Any:
        return told(replace(self, **{missing: ()}), *rest)

    monkeypatch.setattr(effects.Effects, "on", some)
    with pytest.raises(AssertionError):
        over(Search(400), networks(), lambda network: agree(network.document))


def chain(layer: object, count: int) -> Document:
    layers: dict[str, object] = {}
    for number in range(count):
        layers[f"fc{number}"] = {"module": "Linear", "out_features": 4}
        layers[f"act{number}"] = layer
        layers[f"sum{number}"] = f"=act{number} + 1"
        layers[f"cut{number}"] = f"=sum{number}.view(-1, 4)"
    return {"netspec": 1, "inputs": {"x": ["N", 4]}, "layers": layers, "outputs": f"cut{count - 1}"}


@pytest.mark.parametrize("layer", [{"act": "relu"}, {"module": "ReLU", "inplace": True}], ids=str)
def test_a_longer_chain_runs_no_more_kernels(
    layer: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of n equal calls one is watched; the first has the input, which is no result of a call."""
    counts = []
    for length in (4, 40):
        watched = 0
        kernel = trace._Recorder.kernel

        def counting(self: Any, *rest: Any, kernel: Any = kernel) -> None:
            nonlocal watched
            watched += 1
            kernel(self, *rest)

        with monkeypatch.context() as patch:
            patch.setattr(trace._Recorder, "kernel", counting)
            assert not netspec.check(chain(layer, length), act="inplace")
        counts.append(watched)
    assert counts[0] == counts[1] > 0
