"""The law of identity: a value is computed once per call, however it is written, whoever reads it.

Over random specs, a model calls each module as often as the interpreter does, and draws as often.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import netspec
from tests.compare import compare_values
from tests.laws.interpreter import Reference
from tests.laws.search import Search, law, over
from tests.laws.strategies import Case, specs
from tests.laws.test_laws import FORMS, SEED


class Draws(TorchDispatchMode):
    """Counts the operators that draw random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += torch.Tag.nondeterministic_seeded in func.tags
        return func(*args, **(kwargs or {}))


def counts(model: Any, root: nn.Module, inputs: Sequence[Tensor]) -> dict[str, object]:
    """How often one call in each mode calls torch's own modules, by path, and draws."""
    calls: Counter[str] = Counter()
    ours = [
        (name, m)
        for name, m in root.named_modules()
        if type(m).__module__.startswith("torch.nn.modules")
    ]
    handles = [
        m.register_forward_hook(lambda *_, name=name: calls.update([name]))
        for name, m in ours if not isinstance(m, (nn.Sequential, nn.ModuleList))
    ]  # fmt: skip
    found: dict[str, object] = {}
    for mode in (True, False):
        calls.clear()
        model.train(mode)
        with Draws() as draws, torch.no_grad():
            model(*inputs)
        found["train" if mode else "eval"] = (dict(sorted(calls.items())), draws.count)
    for handle in handles:
        handle.remove()
    return found


def check(case: Case) -> None:
    inputs = case.tensors()
    reference = Reference(case.document).make(SEED, *inputs)
    expected = counts(reference, reference.root.thing, inputs)
    model = netspec.build(case.document, seed=SEED)
    assert counts(model, model, inputs) == expected


@law(120, 2000)
def test_each_value_is_computed_once(examples: Search) -> None:
    over(examples, specs(), check)


PLACES = {
    "value": {"o": {"value": "=_ - _", "from": "=EFFECT"}},
    "item of a list": {"o": {"value": "=_ - _", "from": ["=EFFECT"]}},
    "absent": {"a": {"when": False, "call": "relu", "from": "=EFFECT"}, "o": "=a - a"},
    "absent, of an arg": {"a": {"when": "=flag", "module": "Tanh", "from": "=EFFECT"}, "o": "=_ - a"},
    "absent container": {"a": {"when": False, "layers": ["Tanh"], "from": "=EFFECT"}, "o": "=a - a"},
    "absent repeat": {"a": {"repeat": 0, "module": "Tanh", "from": "=EFFECT"}, "o": "=a - a"},
    "inline": {"a": {"as": "inline", "layers": {"b": "=_ - _"}, "from": "=EFFECT"}, "o": "=a * 1"},
    "no module": {"a": {"layers": {"b": "=_ - _", "c": "=_ * 2"}, "from": "=EFFECT"}, "o": "=a * 1"},
    "repeat": {"o": {"repeat": 2, "value": "=_ - _", "from": "=EFFECT"}},
    "stays in a repeat": {"o": {"repeat": 3, "call": "sub", "from": ["=x * 1", "=EFFECT"]}},
    "stays in a list": {"o": {"repeat": 3, "block": "Pair", "from": ["=x * 1", "=EFFECT"]}},
    "run-time condition": {"o": {"value": "=_ - _", "when": "=training", "from": "=EFFECT"}},
    "argument": {"o": {"call": "sub", "other": "=_", "from": "=EFFECT"}},
    "argument of a block": {"o": {"block": "Pair", "from": ["=EFFECT", "=_"]}},
    "argument of a block, called twice": {"b": {"block": "Scaled", "gain": "=EFFECT"}, "o": "=b(x) + b"},
    "only its shape": {"s": "=(EFFECT).shape[1]", "o": "=x * s"},
    "only its rank": {"o": "=x * (EFFECT).dim()"},
}  # fmt: skip
EFFECTS = ("randn_like(x)", "dropout(x)", "bn(x)", "enc(x)", "x.bernoulli(0.5)", "rrelu(x)")


SCALED = {
    "args": {"gain": None},
    "layers": {"fc": {"module": "Linear", "out_features": 4}, "o": "=fc * gain"},
}
DECLARED = {
    "bn": {"module": "BatchNorm1d", "declare": True},
    "enc": {"layers": ["BatchNorm1d", "Dropout"], "declare": True},
}


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("name", PLACES)
def test_wherever_it_is_written(name: str, effect: str) -> None:
    flag = {"flag": {"value": "=x * 1 if flag else x * 2", "keep": True}}
    declared = {key: layer for key, layer in DECLARED.items() if key in effect}
    pair = {"fc": {"module": "Linear", "out_features": 4}, "o": "=fc - y"}
    document = {
        "netspec": 1, "args": {"flag": False}, "inputs": {"x": ["N", 4]},
        "blocks": {"Pair": {"inputs": ["x", "y"], "layers": pair}, "Scaled": SCALED},
        "layers": {**declared, **filled(PLACES[name], effect), "is": flag["flag"]},
        "outputs": "o",
    }  # fmt: skip
    inputs = [torch.randn(3, 4)]
    for form in FORMS:
        model = netspec.build(document, act=form, seed=SEED)
        expected = Reference(document).make(SEED, *inputs)
        assert compare_values(outputs(model, inputs), outputs(expected, inputs)) == []
        assert counts(model, model, inputs) == counts(expected, expected.root.thing, inputs)


def outputs(model: Any, inputs: Sequence[Tensor]) -> list[object]:
    """What it gives in each mode, the numbers drawn from one seed."""
    found = []
    for mode in (True, False):
        torch.manual_seed(5)
        with torch.no_grad():
            found.append(model.train(mode)(*inputs))
    return found


def filled(value: Any, effect: str) -> Any:
    """A plain value with an expression in the place of EFFECT."""
    if isinstance(value, str):
        return value.replace("EFFECT", effect)
    if isinstance(value, dict):
        return {key: filled(item, effect) for key, item in value.items()}
    return [filled(item, effect) for item in value] if isinstance(value, list) else value
