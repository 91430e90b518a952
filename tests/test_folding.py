"""What is folded is what Python gives, with its type; and what is remembered tells 1 from True."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

import netspec
from netspec import caches
from netspec.errors import SpecError

FORMS = ("module", "functional", "inplace")


def model_of(layers: dict[str, Any], act: str = "module", **more: Any) -> Any:
    document = {"netspec": 1, "inputs": {"x": ["N", 8]}, "layers": layers, **more}
    return netspec.build(document, act=act, seed=0)


# Expressions without values

FOLDED = (
    "1 < n < 3", "3 > n > 1", "1 <= n <= 1", "0 < n < 2 < 4", "1 < n != 3 < 5", "n < 3 > 1",
    "1 == n == True", "n in (1, 2) in ((True,), 3)", "not 1 < n < 3", "n is None",
    "n is not None", "n == 2 and n", "n > 2 or 5", "1 if n > 1 else True", "(n, 4)[n - 2]",
    "((1, 2) + (n,))[-1]", "len((n, n, 1))", "n // 2 % 3", "-n ** 2", "max(n, 1.5)",
    "min(n, True)", "sum((n, 1, 2))", "round(n / 3, 1)", "int(n * 1.5)", "float(n)",
)  # fmt: skip


@pytest.mark.parametrize("text", FOLDED)
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_what_is_folded_is_what_python_gives(text: str) -> None:
    """`1 < 5 < 3` could be true: only its first operand was compared."""
    for n in (0, 1, 2, 3, 5):
        try:
            wanted = eval(text, {"n": n})  # noqa: S307
        except Exception:
            with pytest.raises(SpecError):
                folded(text, n)
        else:
            got = folded(text, n)
            assert (type(got), got) == (type(wanted), wanted), n


def folded(text: str, n: int) -> object:
    """What the expression gives as an output, beside a tensor."""
    layers = {"y": f"={text}"}
    model = model_of(layers, args={"n": n}, outputs=["=x", "y"])
    return model(torch.ones(2, 8))[1]


def test_a_chain_of_comparisons_that_runs_is_pythons() -> None:
    model = model_of({"y": "=x if 1 < x.shape[0] < 4 else -x"})
    for size in range(1, 6):
        x = torch.ones(size, 8)
        assert torch.equal(model(x), x if 1 < size < 4 else -x), size


# 1, 1.0 and True are three values


def test_a_call_with_true_is_another_than_one_with_1() -> None:
    """`full((3,), True)` after `full((3,), 1)` was taken to give integers."""
    for first, second in itertools.permutations(("1", "1.0", "True"), 2):
        caches.clear()
        layers = {
            "a": f"=full((3,), {first})",
            "same": f"=full((3,), {second}).dtype == full((3,), {first}).dtype",
            "b": "=x.sum() * (2 if same else 3)",
        }
        model = model_of(layers, outputs=["a", "b"])
        x = torch.ones(1, 8)
        assert torch.equal(model(x)[1], 3 * x.sum()), (first, second)


def test_a_block_with_true_is_another_than_one_with_1() -> None:
    blocks = {"B": {"args": {"v": None}, "layers": {"a": "=full((3,), v)", "b": "=(a, x)"}}}
    for values in itertools.permutations((1, 1.0, True)):
        layers = {f"c{k}": {"block": "B", "from": "x", "v": v} for k, v in enumerate(values)}
        outputs = [f"=c{k}[0]" for k in range(3)]
        model = model_of(layers, blocks=blocks, outputs=outputs)
        wanted = [torch.full((3,), v).dtype for v in values]
        assert [value.dtype for value in model(torch.ones(1, 8))] == wanted


def test_a_spec_with_true_is_another_than_one_with_1() -> None:
    caches.clear()
    document = {
        "netspec": 1, "args": {"v": None}, "inputs": {"x": ["N", 8]},
        "layers": {"a": "=full((3,), v)"}, "outputs": ["a", "=x"],
    }  # fmt: skip
    for v in (1, True, 1.0, (1,), (True,)):
        given = v if not isinstance(v, tuple) else v[0]
        args = {"v": given}
        made = netspec.build(document, args=args)(torch.ones(1, 8))[0]
        assert made.dtype == torch.full((3,), given).dtype, v


def test_a_layer_with_true_is_another_than_one_with_1() -> None:
    """What a plain layer came to is remembered by its arguments."""
    layers = {"a": {"call": "softmax", "dim": 1}, "b": {"call": "softmax", "dim": True}}
    (found,) = netspec.check({"netspec": 1, "inputs": {"x": ["N", 8]}, "layers": layers})
    assert (found.code, found.fact) == (
        "NS205", "`dim` of `softmax` is `true`, and an int or null is expected",
    )  # fmt: skip


def test_copies_of_a_repeat_with_true_and_1_are_no_loop() -> None:
    """The copies' calls are compared: `0` in one and `False` in another are two."""
    blocks = {"B": {"args": {"v": None}, "layers": {"fc": {"module": "Linear", "out_features": 8},
              "a": "=fc * 2 if v is False else fc"}}}  # fmt: skip
    layers = {"c": {"repeat": 2, "block": "B", "v": "=0 if i == 0 else False"}}
    model = model_of(layers, blocks=blocks)
    x = torch.ones(1, 8)
    first, second = model.get_submodule("c.0.fc"), model.get_submodule("c.1.fc")
    assert torch.equal(model(x), 2 * second(first(x)))


def test_a_container_called_again_with_true_for_1_would_be_another() -> None:
    """The second call gave what the first one has written in it."""
    made = {
        "fc": {"module": "Linear", "out_features": 8},
        "k": "=full((3,), 1 if fc.ndim < 3 else True)",
    }
    layers = {"c": {"layers": {**made, "o": "=(k, fc)"}}, "d": "=c(x[None])", "o": "=d[0] + c[0]"}
    document = {"netspec": 1, "inputs": {"x": ["N", 8]}, "layers": layers, "outputs": ["o", "=x"]}
    (found,) = netspec.check(document)
    assert (found.code, found.help) == ("NS305", "its shapes decide what it is made of")


def test_a_choice_between_1_and_true_is_made_when_the_model_runs() -> None:
    model = model_of({"a": "=full((3,), 1 if training else True)", "o": "=(a, x)"})
    assert model.train()(torch.ones(1, 8))[0].dtype == torch.int64
    assert model.eval()(torch.ones(1, 8))[0].dtype == torch.bool


# The strides after what keeps a type

VIEWS = (
    "x[:, :3]", "x.T", "x[:, ::2]", "x[::2]", "x.unsqueeze(1).transpose(1, 2)",
    "x.unsqueeze(2).expand(-1, -1, 2)", "x",
)  # fmt: skip
KEEPING: tuple[dict[str, Any], ...] = (
    {"call": "relu"}, {"act": "tanh"}, {"module": "ReLU"}, {"call": "softmax", "dim": -1},
    {"call": "gelu"},
)  # fmt: skip


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("layer", KEEPING, ids=lambda layer: "-".join(map(str, layer.values())))
def test_strides_after_an_activation_are_torchs(view: str, layer: dict[str, Any]) -> None:
    """What a view gives is no contiguous tensor, nor is what an activation makes of every view."""
    layers = {"v": f"={view}", "r": layer, "o": "=r.view(-1)"}
    x = torch.randn(4, 8)
    try:
        wanted = activated(eval(view, {"x": x}), layer).view(-1)  # noqa: S307
    except RuntimeError:
        found = netspec.check({"netspec": 1, "inputs": {"x": ["N", 8]}, "layers": layers})
        assert [one.code for one in found] == ["NS301"]
        return
    for form in FORMS:
        assert torch.equal(model_of(layers, form)(x), wanted), form


def activated(x: Tensor, layer: dict[str, Any]) -> Tensor:
    name = str(layer.get("call") or layer.get("act") or layer["module"].lower())
    if name == "softmax":
        return x.softmax(-1)
    made: Tensor = getattr(torch, name, getattr(torch.nn.functional, name, None))(x)  # type: ignore[misc]
    return made
