"""What `netspec.register` takes, and the words with which it refuses all else."""

from __future__ import annotations

import functools
import importlib
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import netspec
from netspec.emit.nodes import IMPORTED
from netspec.ops import registry


class Scale(nn.Module):
    def __init__(self, channels: int, start: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels, 1, 1), start))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class Plain(nn.Module):
    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return x if y is None else x + y


class NoForward(nn.Module):
    pass


class Untold(nn.Module):
    def __init__(self, channels, ratio, name="a", bias=True, width=None):  # type: ignore[no-untyped-def]
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x


class Wrapped(nn.Module):
    def __init__(self, inner: nn.Module, by: Callable[[Tensor], Tensor]) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x


class Nothing:
    pass


def twice(x: Tensor, by: float = 2.0) -> Tensor:
    return x * by


def twice_(x: Tensor, by: float = 2.0) -> Tensor:
    return x.mul_(by)


def triple(x: Tensor) -> Tensor:
    return x * 3


def triple_(x: Tensor, by: float = 3.0) -> Tensor:
    return x.mul_(by)


def untold(x: Tensor, by) -> Tensor:  # type: ignore[no-untyped-def]
    return x * by


def of_nothing() -> Tensor:
    return torch.zeros(1)


class Twice(nn.Module):
    def __init__(self, by: float = 2.0, inplace: bool = False) -> None:
        super().__init__()
        self.by, self.inplace = by, inplace

    def forward(self, x: Tensor) -> Tensor:
        return twice_(x, self.by) if self.inplace else twice(x, self.by)


class Wide(nn.Module):
    def __init__(self, by: float = 2.0, width: int = 3) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x


a_lambda = lambda x: x  # noqa: E731

LONG = "L" * 101

REFUSED: dict[str, tuple[type[Exception], Callable[[], Any], str]] = {
    "no module": (
        TypeError,
        lambda: netspec.register(Nothing),
        "`Nothing` is no nn.Module: a layer is one, or a function",
    ),
    "no forward": (
        TypeError,
        lambda: netspec.register(NoForward),
        "`NoForward` has no `forward`",
    ),
    "nn.Module itself": (
        TypeError,
        lambda: netspec.register(nn.Module, "mylib/Module"),
        "`Module` has no `forward`",
    ),
    "an instance": (
        TypeError,
        lambda: netspec.register(nn.ReLU(), "mylib/relu"),
        "ReLU() is neither a class of nn.Module nor a function: write a function around it",
    ),
    "a partial": (
        TypeError,
        lambda: netspec.register(functools.partial(len), "mylib/len"),
        "functools.partial(<built-in function len>) is neither a class of nn.Module nor a "
        "function: write a function around it",
    ),
    "a lambda": (
        TypeError,
        lambda: netspec.register(a_lambda, "mylib/f"),
        "a lambda has no name: write a function",
    ),
    "types that are not told": (
        TypeError,
        lambda: netspec.register(Untold),
        "`Untold.__init__` does not tell the type of `channels`, `ratio`: annotate it, like "
        "`channels: int`",
    ),
    "a function's types that are not told": (
        TypeError,
        lambda: netspec.register(untold),
        "`untold` does not tell the type of `by`: annotate it, like `by: int`",
    ),
    "what no spec can write": (
        TypeError,
        lambda: netspec.register(Wrapped),
        "`Wrapped.__init__` wants `inner`, `by` of a type that no spec can write: give it a "
        "default",
    ),
    "a function of nothing": (
        TypeError,
        lambda: netspec.register(of_nothing),
        "`of_nothing` takes nothing: a layer takes at least one tensor",
    ),
    "a fake that is none": (
        TypeError,
        lambda: netspec.register(twice, fake="zeros"),  # type: ignore[call-overload]
        "`fake` of `twice` is no function",
    ),
    "a function in place alone": (
        ValueError,
        lambda: netspec.register(twice_),
        "`twice_` ends in an underscore, as what overwrites its input does: give it as "
        "`inplace=` of the function that computes the same in new memory",
    ),
    "infer of a function": (
        TypeError,
        lambda: netspec.register(twice, infer={"by": "x.shape[1]"}),
        "`infer` is for constructor arguments, and `twice` is a function",
    ),
    "infer of no argument": (
        ValueError,
        lambda: netspec.register(Scale, infer={"chanels": "x.shape[1]"}),
        "`infer` has `chanels`, which `Scale` does not take",
    ),
    "infer that is no expression": (
        ValueError,
        lambda: netspec.register(Scale, infer={"channels": "x.shape["}),
        "`infer` of `channels`: `=x.shape[` is not an expression: '[' was never closed",
    ),
    "infer of another input": (
        ValueError,
        lambda: netspec.register(Scale, infer={"channels": "y.shape[1]"}),
        "`infer` of `channels` names `y`, and `forward` takes `x`",
    ),
    "infer that calls": (
        ValueError,
        lambda: netspec.register(Scale, infer={"channels": "x.size(1)"}),
        "`infer` of `channels` calls something: it may only look at shapes",
    ),
    "inplace of a class": (
        TypeError,
        lambda: netspec.register(Scale, inplace=twice_),
        "`inplace` is for functions; of a class, let `__init__` take `inplace: bool = False`",
    ),
    "inplace that is no function": (
        TypeError,
        lambda: netspec.register(twice, inplace=Twice),
        "`inplace` of `twice` is no function",
    ),
    "inplace of other arguments": (
        TypeError,
        lambda: netspec.register(triple, inplace=triple_),
        "`triple_` takes ['x', 'by'], and `triple`, in whose place it is, ['x']",
    ),
    "function of a function": (
        TypeError,
        lambda: netspec.register(twice, function=triple),
        "`function` is for the class of an activation; register the class with it",
    ),
    "a function that is not registered": (
        ValueError,
        lambda: netspec.register(Twice, function=twice),
        "register `twice` first, then `Twice` with it",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    kind, call, words = REFUSED[name]
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == words
    assert registry.owned_by(None) == []


def test_a_function_with_other_arguments_than_its_class() -> None:
    netspec.register(twice)
    with pytest.raises(TypeError) as caught:
        netspec.register(Wide, function=twice)
    assert str(caught.value) == "`Wide` takes `width`, and its function `twice` does not"
    assert [registered.name for registered in registry.owned_by(None)] == ["twice"]


NO_NAMES = {
    "": "`` is no name for a layer: write `Name`, or `library/Name`",
    "a b": "`a b` is no name for a layer: write `Name`, or `library/Name`",
    "9x": "`9x` is no name for a layer: write `Name`, or `library/Name`",
    "_x": "`_x` is no name for a layer: write `Name`, or `library/Name`",
    "a.b": "`a.b` is no name for a layer: write `Name`, or `library/Name`",
    "a/b/c": "`a/b/c` is no name for a layer: write `Name`, or `library/Name`",
    "mylib/": "`mylib/` is no name for a layer: write `Name`, or `library/Name`",
    "/Scale": "`/Scale` is no name for a layer: write `Name`, or `library/Name`",
    "Scale\n": "`Scale\n` is no name for a layer: write `Name`, or `library/Name`",
    LONG: f"`{LONG}` is no name for a layer: write `Name`, or `library/Name`",
    "class": "`class` cannot be a layer's name: `class` means something else",
    "mylib/None": "`mylib/None` cannot be a layer's name: `None` means something else",
    "torch/Scale": "`torch/Scale` cannot be a layer's name: `torch` means something else",
    "nn/Scale": "`nn/Scale` cannot be a layer's name: `nn` means something else",
    "training": "`training` cannot be a layer's name: `training` means something else",
}
OF_TORCH = {
    "Linear": "`torch.nn.Linear`",
    "Sequential": "`torch.nn.Sequential`",  # of torch's, and no spec can name it
    "relu": "`torch.nn.functional.relu`",
    "cat": "`torch.cat`",
    "masked_fill": "`torch.Tensor.masked_fill`",
    "len": "a name of expressions",
    "float32": "a name of expressions",
}


@pytest.mark.parametrize("name", NO_NAMES, ids=repr)
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(ValueError, match="`") as caught:
        netspec.register(Scale, name)
    assert str(caught.value) == NO_NAMES[name]
    assert registry.owned_by(None) == []


@pytest.mark.parametrize("name", IMPORTED)
def test_names_that_generated_code_imports(name: str) -> None:
    with pytest.raises(ValueError, match="means something else"):
        netspec.register(Scale, f"{name}/Scale")


@pytest.mark.parametrize("name", OF_TORCH)
def test_names_of_torch(name: str) -> None:
    with pytest.raises(ValueError, match="already") as caught:
        netspec.register(twice, name)
    told = f"`{name}` is {OF_TORCH[name]} already: give it a namespace, like `mylib/{name}`"
    assert str(caught.value) == told
    netspec.register(twice, f"mylib/{name}")


@pytest.mark.parametrize("name", ["Scale", "mylib/Scale"])
def test_a_name_that_is_taken(name: str) -> None:
    netspec.register(Scale, name)
    for other in (Plain, twice):
        with pytest.raises(ValueError, match="already") as caught:
            netspec.register(other, name)
        home = f"by `{__name__}`: {__name__}.Scale"
        assert str(caught.value) == f"`{name}` is registered already, {home}"
    assert [registered.target for registered in registry.owned_by(None)] == [Scale]


def test_the_name_of_a_twin_is_taken_too() -> None:
    netspec.register(twice, inplace=twice_)
    with pytest.raises(ValueError, match="already") as caught:
        netspec.register(Plain, "twice_")
    home = f"by `{__name__}`: {__name__}.twice_"
    assert str(caught.value) == f"`twice_` is registered already, {home}"


def test_a_twin_whose_name_is_taken_registers_neither() -> None:
    def relu6(x: Tensor) -> Tensor:
        return x

    def other_(x: Tensor) -> Tensor:
        return x

    netspec.register(Plain, "mine_")
    with pytest.raises(ValueError, match="`mine_` is registered already"):
        netspec.register(relu6, "mine", inplace=other_)
    assert [registered.name for registered in registry.owned_by(None)] == ["mine_"]


# What works


def test_a_decorator_and_a_call_give_the_target_back() -> None:
    assert netspec.register(Scale) is Scale
    assert netspec.register(Plain, "mylib/Plain") is Plain
    assert netspec.register()(twice) is twice
    assert netspec.register("mylib/triple")(triple) is triple
    assert netspec.register(infer={})(Wide) is Wide
    found = {
        registered.name: (registered.kind, registered.target, registered.home)
        for registered in registry.owned_by(None)
    }
    assert found == {
        "Scale": ("module", Scale, __name__),
        "mylib/Plain": ("module", Plain, __name__),
        "twice": ("function", twice, __name__),
        "mylib/triple": ("function", triple, __name__),
        "Wide": ("module", Wide, __name__),
    }


def test_the_same_code_again() -> None:
    for _ in range(2):
        netspec.register(Scale, infer={"channels": "x.shape[1]"})
        netspec.register(twice, inplace=twice_)
        netspec.register(Twice, function=twice)
    assert len(registry.owned_by(None)) == 4


def test_a_module_that_is_loaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a notebook: the code is another, at the same place, and it counts."""
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "loaded_again.py"
    text = (
        "import netspec\n\n@netspec.register\ndef shift(x, by: float = 1.0):\n    return x + by\n"
    )
    file.write_text(text)
    module = importlib.import_module("loaded_again")
    spec = netspec.loads("netspec: 1\ninputs: {x: [2]}\nlayers:\n  a: {call: shift}\n")
    x = torch.zeros(2)
    assert netspec.build(spec)(x).tolist() == [1, 1]
    file.write_text(text.replace("x + by", "x - by"))
    importlib.reload(module)
    assert netspec.build(spec)(x).tolist() == [-1, -1]
    assert [registered.name for registered in registry.owned_by(None)] == ["shift"]


def test_in_a_script() -> None:
    """What `__main__` defines can be named; that no file can import it is for the export."""
    main = types.ModuleType("__main__")
    main.__dict__["netspec"] = netspec
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "__main__", main)
        code = "@netspec.register\ndef shift(x, by: float = 1.0):\n    return x + by\n"
        exec(code, main.__dict__)
    (registered,) = registry.owned_by(None)
    assert (registered.name, registered.home, registered.is_importable) == (
        "shift",
        "__main__",
        False,
    )


FORMS = ("module", "functional", "inplace")


def built(layers: str, shape: str = "[N, 3, 4, 4]", **options: Any) -> nn.Module:
    text = f"netspec: 1\nname: Net\ninputs: {{x: {shape}}}\nlayers:\n{layers}"
    return netspec.build(netspec.loads(text), **options)


def test_infer() -> None:
    netspec.register(Scale, infer={"channels": "x.shape[1]"})
    assert built("  s: Scale\n").s.weight.shape == (3, 1, 1)
    assert built("  s: {module: Scale, channels: 3}\n").s.weight.shape == (3, 1, 1)


def test_fake_is_asked_in_the_place_of_the_target() -> None:
    def strange(x: Tensor, by: int = 2) -> Tensor:
        assert x.device.type != "meta", "never called with tensors without numbers"
        return x.repeat(1, by)

    def fake(x: Tensor, by: int = 2) -> Tensor:
        return x.new_empty(x.shape[0], x.shape[1] * by)

    netspec.register(strange, fake=fake)
    layers = "  a: {call: strange, by: 3}\n  b: {module: Linear, out_features: 2}\n"
    model = built(layers, "[N, 4]")
    assert model.b.in_features == 12 and model(torch.ones(5, 4)).shape == (5, 2)


def test_fake_of_a_class_takes_the_module_first() -> None:
    class Repeat(nn.Module):
        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

        def forward(self, x: Tensor) -> Tensor:
            assert x.device.type != "meta", "never called with tensors without numbers"
            return x.repeat(1, self.by)

    def fake(module: Repeat, x: Tensor) -> Tensor:
        return x.new_empty(x.shape[0], x.shape[1] * module.by)

    netspec.register(Repeat, "mylib/Repeat", fake=fake)
    layers = "  a: {module: mylib/Repeat, by: 3}\n  b: {module: Linear, out_features: 2}\n"
    model = built(layers, "[N, 4]")
    assert model.b.in_features == 12 and model(torch.ones(5, 4)).shape == (5, 2)


def test_inplace_registers_the_twin() -> None:
    netspec.register(twice, "mylib/scaled", inplace=twice_)
    assert [registered.name for registered in registry.owned_by(None)] == [
        "mylib/scaled",
        "mylib/scaled_",
    ]
    x = torch.ones(2, 3)
    model = built("  a: =x + 1\n  b: {call: mylib/scaled_, by: 3}\n", "[2, 3]")
    assert model(x).tolist() == [[6.0] * 3] * 2 and x.tolist() == [[1.0] * 3] * 2


@pytest.mark.parametrize("space", ["", "mylib/"])
def test_function_makes_an_activation_of_a_class(space: str) -> None:
    netspec.register(twice, f"{space}twice", inplace=twice_)
    netspec.register(Twice, f"{space}Twice", function=twice)
    layers = f"  fc: {{module: Linear, out_features: 4}}\n  a: {{act: {space}twice, by: 4}}\n"
    forms = {form: built(layers, "[N, 3]", act=form, seed=0) for form in FORMS}
    assert isinstance(forms["module"].a, Twice) and not hasattr(forms["functional"], "a")
    x = torch.ones(2, 3)
    assert torch.equal(forms["module"](x), forms["functional"](x))
    assert torch.equal(forms["module"](x), forms["inplace"](x))
    assert forms["inplace"].a.inplace is True


def test_an_argument_called_out() -> None:
    """A name that torch's own functions keep for the tensor to write into is like any other."""

    class Project(nn.Module):
        def __init__(self, out: int) -> None:
            super().__init__()
            self.out = out

        def forward(self, x: Tensor) -> Tensor:
            return x[:, : self.out]

    netspec.register(Project)
    assert built("  a: {module: Project, out: 2}\n", "[N, 3]")(torch.ones(1, 3)).shape == (1, 2)
