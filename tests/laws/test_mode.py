"""What follows the mode follows it however it is passed: by name, in its place, in `from`, …"""

from __future__ import annotations

import json

import pytest
import torch

import netspec
from netspec.ops import catalog
from netspec.ops.signatures import signatures_of

MODE, RATE = "training", "dropout_p"
# Arguments before the mode or the rate, in their order, and the inputs among them.
PLAIN = {"x": "[2, 4, 6]"}
FUNCTIONS = {
    **dict.fromkeys(
        ["dropout", "dropout2d", "dropout3d", "alpha_dropout",
         "feature_alpha_dropout"], ({"x": "[2, 4, 6, 6]"}, ["x", "0.5"]),
    ),
    "dropout1d": (PLAIN, ["x", "0.5"]),
    "rrelu": (PLAIN, ["x", "0.1", "0.4"]),
    "rrelu_": (PLAIN, ["x + 1", "0.1", "0.4"]),
    "batch_norm": (
        {**PLAIN, "m": "[4]", "v": "[4]"}, ["x", "m * 1", "v * v + 1", "None", "None"],
    ),
    "scaled_dot_product_attention": (PLAIN, ["x", "x", "x", "None"]),
    "multi_head_attention_forward": (
        {"x": "[3, 2, 4]", "w": "[12, 4]", "w2": "[4, 4]"},
        ["x", "x", "x", "4", "2", "w", "None", "None", "None", "False", "0.5", "w2", "None"],
    ),
}  # fmt: skip


def _names(function: str) -> list[str]:
    operator = catalog.find_function(function)
    assert operator is not None
    return [p.name for p in signatures_of(operator)[0].parameters]


def _is_modal(function: str) -> bool:
    return bool({MODE, RATE} & set(_names(function)))


def test_all_functions_that_have_a_mode_are_in_the_table() -> None:
    assert {name for name in catalog.function_names() if _is_modal(name)} == set(FUNCTIONS)


def _flow(values: list[str]) -> str:
    return "[" + ", ".join(f'"={value}"' for value in values) + "]"


def _ways(function: str, before: list[str], last: str | None) -> dict[str, str]:
    """Layers that all mean one call; `last` is what stands for the mode or the rate."""
    names = _names(function)
    own = MODE if MODE in names else RATE
    given = [*before, *([last] if last else [])]
    named = dict(zip(names, before, strict=False)) | ({own: last} if last else {})
    tensors = names[: 3 if names[0] == "query" else 1]
    plain = {name: value for name, value in named.items() if name not in tensors}
    flow = _flow([named[name] for name in tensors])
    keys = ", ".join(f'{name}: "={value}"' for name, value in plain.items())
    by_name = ", ".join(f"{name}={value}" for name, value in named.items())
    ways = {
        "expression, by name": f'{{o: "={function}({by_name})"}}',
        "expression, in its place": f'{{o: "={function}({", ".join(given)})"}}',
        "layer, by name": f"{{o: {{call: {function}, from: {flow}, {keys}}}}}",
        "layer, in args": f"{{o: {{call: {function}, from: {flow}, args: {{{keys}}}}}}}",
        "layer, in from": f"{{o: {{call: {function}, from: {_flow(given)}}}}}",
    }
    if last:
        ways["a const"] = (
            f'{{k: {{const: "={last}"}}, o: "={function}({", ".join([*before, "k"])})"}}'
        )
    return ways


def _build(function: str, layers: str) -> torch.nn.Module:
    inputs = ", ".join(f"{name}: {shape}" for name, shape in FUNCTIONS[function][0].items())
    text = f"netspec: 1\nname: Net\nargs: {{rate: 0.5}}\ninputs: {{{inputs}}}\nlayers: {layers}\n"
    if "rate" not in layers:
        text = text.replace("args: {rate: 0.5}\n", "")
    return netspec.build(netspec.loads(text))


def _run(model: torch.nn.Module, function: str, seed: int) -> torch.Tensor:
    torch.manual_seed(7)
    inputs = [torch.randn(json.loads(shape)) for shape in FUNCTIONS[function][0].values()]
    torch.manual_seed(seed)
    value = model(*inputs)
    return value[0] if isinstance(value, tuple) else value


def _check(function: str, ways: dict[str, str], drops_in_eval: bool) -> None:
    models = {way: _build(function, layers) for way, layers in ways.items()}
    reference = models["expression, by name"]
    for way, model in models.items():
        for training in (True, False):
            reference.train(training)
            model.train(training)
            for seed in (0, 1):
                same = torch.equal(_run(model, function, seed), _run(reference, function, seed))
                assert same, (function, way, training)
        steady = torch.equal(_run(model, function, 0), _run(model, function, 1))
        assert steady is not drops_in_eval, (function, way)
        assert drops_in_eval or not torch.equal(
            _run(model.train(), function, 0), _run(model.eval(), function, 0)
        ), (function, way)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_it_is_off_in_eval_mode(function: str) -> None:
    before = FUNCTIONS[function][1]
    last = "0.5" if MODE not in _names(function) else None
    _check(function, _ways(function, before, last), drops_in_eval=False)


@pytest.mark.parametrize("function", [f for f in FUNCTIONS if MODE not in _names(f)])
@pytest.mark.parametrize("rate", ["rate", "0.25 * 2", "1 / x.shape[0]", "rate if x.ndim else 0"])
def test_a_rate_that_is_computed_is_off_in_eval_mode(function: str, rate: str) -> None:
    _check(function, _ways(function, FUNCTIONS[function][1], rate), drops_in_eval=False)


@pytest.mark.parametrize("function", [f for f in FUNCTIONS if f != "batch_norm"])
def test_what_the_writer_says_of_the_mode_is_done(function: str) -> None:
    last = "True" if MODE in _names(function) else "0.5 if training else 0.4"
    ways = _ways(function, FUNCTIONS[function][1], last)
    ways.pop("a const")
    _check(function, ways, drops_in_eval=True)


def test_a_rate_of_a_block_that_depends_on_a_size() -> None:
    model = netspec.build(
        netspec.loads(
            """
            netspec: 1
            name: Net
            inputs: {x: [N, 4, 6]}
            blocks:
              B:
                args: {p: 0.5}
                layers:
                  o: "=scaled_dot_product_attention(_, _, _, None, p)"
            layers:
              b: {block: B, p: "=1 / (1 + x.shape[0])"}
            """
        )
    ).eval()
    x = torch.randn(3, 4, 6)
    assert torch.equal(model(x), model(x))
    assert not torch.equal(model.train()(x), model(x))
