"""The law of overwriting: what is accepted changes nothing, and what is refused would."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import strategies as st

import netspec
from netspec.checks.inplace import cpu_trial, trace
from netspec.checks.inplace.decide import Reason, _Run
from tests.laws.in_place import NO_EVIDENCE, Tally, judge
from tests.laws.in_place_networks import Network, networks
from tests.laws.search import Search, law, over
from tests.laws.strategies import specs


@law(150, 10_000, fresh=150)
def test_accepted_is_equal_and_refused_would_not_be(examples: Search) -> None:
    tally = Tally()
    over(examples, networks(), lambda network: judge(network, tally))
    print(*tally.lines(), sep="\n")
    refused = sum(count for kind, count in tally.count.items() if kind.startswith("refused"))
    doubtful = sum(count for kind, count in tally.count.items() if kind.endswith(NO_EVIDENCE))
    assert doubtful < 0.1 * refused
    assert tally.count["accepted"] > 0.15 * tally.count["networks"]
    assert tally.count["asked for, accepted"] > 0.03 * tally.count["networks"]
    for reason in Reason:
        assert any(f"refused, {reason.name}" in kind for kind in tally.count), reason


@law(30, 1_000)
def test_any_network_is_the_same_in_place(examples: Search) -> None:
    networks_of_all: st.SearchStrategy[Network] = specs().map(lambda case: Network(case.document))
    over(examples, networks_of_all, lambda network: judge(network, Tally()))


def test_what_the_layer_right_behind_keeps_is_not_overwritten() -> None:
    """Autograd keeps a layer norm's input before the kernel runs: no time passes in between."""
    layers = {
        "fc": {"module": "Linear", "out_features": 2},
        "act": {"act": "relu6"},
        "norm": "LayerNorm",
        "over": "=act.sub_(act.mean(-1, keepdim=True))",
    }
    spec = {"netspec": 1, "inputs": {"x": ["N", 4]}, "layers": layers, "outputs": ["norm", "over"]}
    for form in ("module", "functional", "inplace"):
        assert [problem.code for problem in netspec.check(spec, act=form)] == ["NS403"], form


@pytest.mark.parametrize(
    ("first", "second"),
    [("=fc.relu_()", "=first.add_(1)"), ("=fc.sigmoid_()", "=first.mul_(2)")],
)
def test_a_result_that_a_call_in_place_keeps_is_not_overwritten(first: str, second: str) -> None:
    layers: dict[str, object] = {"fc": {"module": "Linear", "out_features": 2}}
    layers |= {"first": first, "second": second}
    spec = {"netspec": 1, "inputs": {"x": ["N", 4]}, "layers": layers, "outputs": "second"}
    assert [problem.code for problem in netspec.check(spec)] == ["NS403"]


def test_activations_in_a_row_keep_what_the_one_before_needs() -> None:
    acts = [{"act": "relu"}, {"act": "relu"}, {"act": "sigmoid"}]
    spec = {
        "netspec": 1, "inputs": {"x": [3, 4]}, "outputs": "a2",
        "layers": {"fc": {"module": "Linear", "out_features": 2}}
        | {f"a{number}": act for number, act in enumerate(acts)},
    }  # fmt: skip
    netspec.build(spec, act="inplace")(torch.ones(3, 4)).sum().backward()


def nothing(*_: Any) -> None:
    return None


OVERLOOKED: dict[str, list[tuple[Any, str]]] = {
    "what autograd keeps": [(_Run, "_saved")],
    "what is read later": [(_Run, "_read")],
    "what a part is given": [(_Run, "entered_with")],
    "views of one call": [(cpu_trial, "is_one_of_several"), (trace, "is_one_of_several")],
}


@pytest.mark.parametrize("names", OVERLOOKED.values(), ids=OVERLOOKED)
def test_the_law_can_say_no(names: list[tuple[Any, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """A checker that overlooks something is found out."""
    for owner, name in names:
        monkeypatch.setattr(owner, name, nothing)
    with pytest.raises(AssertionError):
        over(Search(600), networks(), lambda network: judge(network, Tally()))
