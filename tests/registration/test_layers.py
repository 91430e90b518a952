"""A registered class or function in specs: a layer like torch's own."""

from __future__ import annotations

import copy
import io
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent, indent
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

import netspec
from netspec.ops import registry
from netspec.proof.verify import verification_text

FORMS = ("module", "functional", "inplace")
IMAGE = "{x: [N, 8, 6, 6]}"
ROW = "{x: [N, 4]}"


def spec(layers: str, inputs: str = IMAGE, top: str = "") -> netspec.Spec:
    indented = indent(dedent(layers).strip(), "  ")
    return netspec.loads(f"netspec: 1\nname: Net\n{top}inputs: {inputs}\nlayers:\n{indented}\n")


def told(layers: str, inputs: str = IMAGE) -> str:
    return "\n\n".join(map(str, netspec.check(spec(layers, inputs))))


def image(batch: int = 2) -> Tensor:
    return torch.randn(batch, 8, 6, 6, generator=torch.Generator().manual_seed(1))


# Where a layer may stand


NAMED = {
    "module": "se: {module: SqueezeExcite}",
    "short": "se: SqueezeExcite",
    "module with its argument": "se: {module: SqueezeExcite, channels: 8, ratio: 4}",
    "positional, from": "se: {module: SqueezeExcite, from: x}",
}
CALLED = {
    "call": "a: {call: mylib/swish, beta: 2}",
    "expression": "a: =mylib.swish(x, 2)",
    "expression by a name": "a: =mylib.swish(x, beta=2)",
    "activation": "a: {act: mylib/swish, beta: 2}",
    "the activation's class": "a: {module: mylib/Swish, beta: 2}",
    "in place, of something new": "a: {call: mylib/swish_, from: =x * 1, beta: 2}",
    "inside of another expression": "a: =mylib.swish(x * 1, 2) * 1",
}


@pytest.mark.parametrize("name", NAMED)
def test_a_class(name: str, mine: ModuleType) -> None:
    model = netspec.build(spec(NAMED[name]), seed=0)
    torch.manual_seed(0)
    twin = mine.SqueezeExcite(8)
    assert type(model.se) is mine.SqueezeExcite
    assert list(model.state_dict()) == [f"se.{key}" for key in twin.state_dict()]
    assert torch.equal(model(image()), twin(image()))


@pytest.mark.parametrize("name", CALLED)
def test_a_function(name: str, mine: ModuleType) -> None:
    model = netspec.build(spec(CALLED[name]))
    x = image()
    assert torch.equal(model(x), mine.swish(image(), 2)) and torch.equal(x, image())


def test_short_forms_of_a_namespace(mine: ModuleType) -> None:
    model = netspec.build(spec("a: mylib/Swish\nb: mylib/swish"))
    assert type(model.a) is mine.Swish
    assert torch.equal(model(image()), mine.swish(mine.swish(image())))


def test_a_layer_or_an_arg_hides_a_namespace(mine: ModuleType) -> None:
    hidden = spec("mylib: =x * 1\na: =mylib.swish(x)")
    assert "a tensor has no method `swish`" in "".join(map(str, netspec.check(hidden)))
    args = spec("a: =mylib.swish(x)", top="args: {mylib: 3}\n")
    assert [found.code for found in netspec.check(args)] != []


def test_in_blocks_and_repeats(mine: ModuleType) -> None:
    layers = """
    b:
      repeat: 2
      layers:
        conv: {module: Conv2d, out_channels: =8 * (i + 1), kernel_size: 1}
        se: SqueezeExcite
        act: {act: mylib/swish}
    """
    model = netspec.build(spec(layers))
    assert [m.fc1.in_channels for m in model.modules() if type(m) is mine.SqueezeExcite] == [8, 16]


# Sizes


def test_sizes_are_inferred_and_checked(mine: ModuleType) -> None:
    layers = "conv: {module: Conv2d, out_channels: 12, kernel_size: 1}\nse: SqueezeExcite"
    assert netspec.build(spec(layers)).se.fc1.in_channels == 12
    assert told("se: {module: SqueezeExcite, channels: 6}") == (
        "error[NS301]: `se` has `channels` 6, and its input makes it 8: `x.shape[1]`\n"
        " --> <string>:5:41\n"
        "5 |   se: {module: SqueezeExcite, channels: 6}\n"
        "  |                                         ^\n"
        "  = help: leave `channels` out, or set it to 8"
    )


def test_a_size_that_cannot_be_told(mine: ModuleType) -> None:
    assert told("se: SqueezeExcite", "{x: [N, C, 6, 6]}") == (
        "error[NS302]: `channels` of `se` is `x.shape[1]`, which depends on a free size\n"
        " --> <string>:5:3\n"
        "5 |   se: SqueezeExcite\n"
        "  |   ^^\n"
        "  = help: declare that size of the input as a number"
    )
    assert told("se: SqueezeExcite", "{x: [8]}") == (
        "error[NS302]: `channels` of `se` cannot be told from its input by `x.shape[1]`: "
        "the expression fails: index 1 is outside of 1 items\n"
        " --> <string>:5:3\n"
        "5 |   se: SqueezeExcite\n"
        "  |   ^^\n"
        "  = help: give `channels`"
    )


def test_an_argument_that_is_not_inferred_has_to_be_given(mine: ModuleType) -> None:
    assert told("d: Depth", ROW) == (
        "error[NS204]: `Depth` needs `width`, an int\n"
        " --> <string>:5:6\n"
        "5 |   d: Depth\n"
        "  |      ^^^^^\n"
        "  = help: add `width: …`"
    )


# Mistakes


def test_an_unknown_argument(mine: ModuleType) -> None:
    assert told("se: {module: SqueezeExcite, ration: 2}") == (
        "error[NS203]: `SqueezeExcite` has no argument `ration`\n"
        " --> <string>:5:31\n"
        "5 |   se: {module: SqueezeExcite, ration: 2}\n"
        "  |                               ^^^^^^\n"
        "  = help: did you mean `ratio`?"
    )
    assert told("a: {act: mylib/swish, beto: 2}") == (
        "error[NS203]: `mylib/Swish` has no argument `beto`\n"
        " --> <string>:5:25\n"
        "5 |   a: {act: mylib/swish, beto: 2}\n"
        "  |                         ^^^^\n"
        "  = help: did you mean `beta`?"
    )


def test_an_argument_of_another_type(mine: ModuleType) -> None:
    assert told("se: {module: SqueezeExcite, ratio: two}") == (
        'error[NS205]: `ratio` of `SqueezeExcite` is the text "two", and an int is expected\n'
        " --> <string>:5:38\n"
        "5 |   se: {module: SqueezeExcite, ratio: two}\n"
        "  |                                      ^^^"
    )
    assert told("a: {call: mylib/swish, beta: [1, 2]}") == (
        "error[NS205]: `beta` of `mylib/swish` is `[1, 2]`, and a number is expected\n"
        " --> <string>:5:32\n"
        "5 |   a: {call: mylib/swish, beta: [1, 2]}\n"
        "  |                                ^^^^^^"
    )


NEAR = {
    "se: SqueezExcite": "did you mean `SqueezeExcite`?",
    "se: {module: mylib/Swich}": "did you mean `mylib/Swish`?",
    "se: {call: mylib/swich}": "did you mean `mylib/swish` or `mylib/swish_`?",
    "se: {act: mylib/swich}": "did you mean `mylib/swish`?",
    "se: =mylib.swich(x)": "did you mean `mylib/swish` or `mylib/swish_`?",
    "se: {call: other/swish}": "no plugin that is enabled has layers of `other`",
    "se: {call: own_layers.swish}": (
        "a spec names what torch has, or what Python code registered, never a path"
    ),
    "se: {module: own_layers.SqueezeExcite}": (
        "a spec names what torch has, or what Python code registered, never a path"
    ),
    "se: {module: other/Thing}": "no plugin that is enabled has layers of `other`",
}


@pytest.mark.parametrize("layer", NEAR)
def test_names_that_are_near(layer: str, mine: ModuleType) -> None:
    (found,) = netspec.check(spec(layer))
    assert (found.code, found.help) == ("NS206", NEAR[layer])


def test_what_the_constructor_says(mine: ModuleType) -> None:
    """The class's own words, at the layer."""
    (found,) = netspec.check(spec("se: {module: SqueezeExcite, ratio: 0}"))
    assert "zero" in found.fact or "zero" in str(found)
    assert found.span.line == 5


# Forms


class HandWritten(nn.Module):
    """What each form has to be, written by hand."""

    def __init__(self, mine: ModuleType, form: str) -> None:
        super().__init__()
        self.form, self.mine = form, mine
        self.fc = nn.Linear(4, 4)
        if form != "functional":
            self.a = mine.Swish(beta=1.5, inplace=form == "inplace")
        self.out = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc(x)
        x = self.mine.swish(x, beta=1.5) if self.form == "functional" else self.a(x)
        return self.out(x)


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_its_hand_written_twin(form: str, mine: ModuleType) -> None:
    layers = """
    fc: {module: Linear, out_features: 4}
    a: {act: mylib/swish, beta: 1.5}
    out: {module: Linear, out_features: 2}
    """
    model = netspec.build(spec(layers, ROW), act=form, seed=0)
    torch.manual_seed(0)
    twin = HandWritten(mine, form)
    assert [name for name, _ in model.named_modules()] == [n for n, _ in twin.named_modules()]
    assert list(model.state_dict()) == list(twin.state_dict())
    results = []
    for each in (model, twin):
        x = torch.linspace(-2, 2, 12).view(3, 4).requires_grad_()
        y = each(x)
        y.square().sum().backward()
        results.append((y, x.grad, *(p.grad for p in each.parameters())))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_all_activations_become_a_registered_one(mine: ModuleType) -> None:
    layers = "fc: {module: Linear, out_features: 4}\na: {act: relu}"
    for form in FORMS:
        act = {"form": form, "fn": "mylib/swish"}
        model = netspec.build(spec(layers, ROW), act=act, seed=0)
        x = torch.ones(1, 4)
        assert torch.equal(model(x), mine.swish(model.fc(x)))
    found = netspec.verify(spec(layers, ROW), fn="mylib/swish")
    assert found.equal, verification_text(found)


# Source


def alone(folder: Path, code: str) -> str:
    """What a new process says, in this folder."""
    env = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


WHOLE = """
conv: {module: Conv2d, out_channels: 8, kernel_size: 3, padding: 1}
a: {act: mylib/swish, beta: 1.5}
se: SqueezeExcite
sum: =mylib.swish(se) + a
"""


def test_the_source_imports_what_it_needs(mine: ModuleType) -> None:
    assert netspec.to_python(spec(WHOLE), act="functional") == (
        '"""Net, written by netspec from string."""\n'
        "\n"
        "from torch import nn\n"
        "\n"
        "from own_layers import SqueezeExcite, swish\n"
        "\n"
        "\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.conv = nn.Conv2d(8, 8, 3, padding=1)\n"
        "        self.se = SqueezeExcite(8)\n"
        "\n"
        "    def forward(self, x):\n"
        "        x = self.conv(x)\n"
        "        x = swish(x, beta=1.5)\n"
        "        out = self.se(x)\n"
        "        out = swish(out) + x\n"
        "        return out\n"
        "\n"
        "\n"
        "def build_model():\n"
        "    return Net()\n"
    )


@pytest.mark.parametrize("form", FORMS)
def test_the_source_runs_alone(form: str, tmp_path: Path, mine: ModuleType) -> None:
    """In a process where netspec builds nothing: the plugin's own import is all that it needs."""
    (tmp_path / "net.py").write_text(netspec.to_python(spec(WHOLE), act=form))
    model = netspec.build(spec(WHOLE), act=form, seed=0)
    torch.save((image(), model(image())), tmp_path / "expected.pt")
    said = alone(
        tmp_path,
        "import torch, net\n"
        "torch.manual_seed(0)\n"
        "model = net.build_model()\n"
        "x, y = torch.load('expected.pt')\n"
        "assert torch.equal(model(x), y)\n"
        "print(' '.join(model.state_dict()))",
    )
    assert said.split() == list(model.state_dict())


def test_two_of_one_name_are_told_apart(mine: ModuleType) -> None:
    def swish(x: Tensor) -> Tensor:
        return -x

    swish.__qualname__ = "swish"
    swish.__module__ = "another_module"
    netspec.register(swish, "other/swish")
    layers = "a: {call: mylib/swish}\nb: {call: other/swish}"
    x = image()
    assert torch.equal(netspec.build(spec(layers))(x), -mine.swish(x))
    source = netspec.to_python(spec(layers))
    assert "from another_module import swish as other_swish\n" in source
    assert "from own_layers import swish as mylib_swish\n" in source


def test_a_layer_and_a_model_of_the_same_name(mine: ModuleType, tmp_path: Path) -> None:
    text = "netspec: 1\nname: SqueezeExcite\ninputs: {x: [N, 8, 6, 6]}\nlayers:\n"
    named = netspec.loads(text + "  SqueezeExcite_: SqueezeExcite\n  a: {call: relu}\n")
    assert netspec.build(named)(image()).shape == image().shape
    (tmp_path / "net.py").write_text(netspec.to_python(named))
    alone(tmp_path, "import net, torch\nnet.build_model()(torch.ones(2, 8, 6, 6))")


def test_what_no_file_can_import() -> None:
    """It can be built and run, and copied; the source is refused."""

    @netspec.register
    def local(x: Tensor) -> Tensor:
        return x * 2

    given = spec("a: {call: local}", ROW)
    assert torch.equal(netspec.build(given)(torch.ones(1, 4)), torch.full((1, 4), 2.0))
    with pytest.raises(netspec.SpecError) as caught:
        netspec.to_python(given)
    path = f"{__name__}.test_what_no_file_can_import.<locals>.local"
    assert str(caught.value).strip() == (
        f"error[NS221]: no file can import `local`, which was registered as `{path}`\n"
        " --> <string>\n"
        "  = help: move it to the top of a module, and register it there"
    )


# Copies


COPIES: dict[str, Callable[[nn.Module], nn.Module]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("form", FORMS)
def test_copies(how: str, form: str, mine: ModuleType) -> None:
    model = netspec.build(spec(WHOLE), act=form, seed=0)
    copied = COPIES[how](model)
    assert type(copied) is type(model)
    assert torch.equal(copied(image()), model(image()))


def test_a_pickle_in_another_process(mine: ModuleType, tmp_path: Path) -> None:
    """It imports what it needs, as every pickle does; where that is not there, it says so."""
    model = netspec.build(spec(WHOLE), seed=0)
    torch.save(model, tmp_path / "model.pt")
    torch.save((image(), model(image())), tmp_path / "expected.pt")
    code = (
        "import torch\n"
        "model = torch.load('model.pt', weights_only=False)\n"
        "x, y = torch.load('expected.pt')\n"
        "print(torch.equal(model(x), y), type(model.se).__module__)"
    )
    assert alone(tmp_path, code) == "True own_layers"
    (tmp_path / "own_layers.py").unlink()
    with pytest.raises(AssertionError, match="own_layers"):
        alone(tmp_path, code)


def test_a_pickle_of_a_model_without_modules_of_its_own(mine: ModuleType, tmp_path: Path) -> None:
    """Functions alone: nothing in the pickle names the module but the recipe."""
    model = netspec.build(spec("a: {call: mylib/swish}\nb: =mylib.swish(a) + a"))
    torch.save(model, tmp_path / "model.pt")
    code = (
        "import torch\n"
        "model = torch.load('model.pt', weights_only=False)\n"
        "print(model(torch.zeros(1, 8, 6, 6)).sum().item())"
    )
    assert alone(tmp_path, code) == "0.0"


def test_a_copy_after_all_was_registered_anew(mine: ModuleType) -> None:
    model = netspec.build(spec(WHOLE), seed=0)
    data = pickle.dumps(model)
    again = sys.modules[mine.__name__]
    exec(compile(Path(str(again.__file__)).read_text(), str(again.__file__), "exec"), vars(again))
    netspec.build(spec(WHOLE), seed=0)
    assert torch.equal(copy.deepcopy(model)(image()), model(image()))
    assert torch.equal(pickle.loads(data)(image()), model(image()))


# Where nothing has numbers


@pytest.mark.parametrize("layer", ["{module: Depth, width: 4}", "Limit", "limit"])
@pytest.mark.parametrize("form", FORMS)
def test_layers_that_look_at_numbers(layer: str, form: str, mine: ModuleType) -> None:
    """They have no `meta` path: their facts are found on small tensors of the CPU."""
    layers = f"d: {layer}\nfc: {{module: Linear, out_features: 2}}\na: {{act: relu}}"
    given = spec(layers, ROW)
    before = torch.get_rng_state()
    assert netspec.check(given, act=form) == ()
    assert torch.equal(torch.get_rng_state(), before)
    model = netspec.build(given, act=form)
    assert model.fc.in_features == 4 and model(torch.ones(3, 4)).shape == (3, 2)
    empty = netspec.build(given, act=form, device="meta")
    assert all(p.device.type == "meta" for p in empty.parameters())
    assert list(empty.state_dict()) == list(model.state_dict())


def test_looking_at_numbers_draws_the_same_from_a_seed(mine: ModuleType) -> None:
    given = spec("d: {module: Depth, width: 4}", ROW)
    torch.manual_seed(0)
    twin = mine.Depth(4)
    for _ in range(2):
        model = netspec.build(given, seed=0)
        assert all(
            torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True)
        )


def test_meta(mine: ModuleType) -> None:
    empty = netspec.build(spec(WHOLE), device="meta")
    assert {p.device.type for p in empty.parameters()} == {"meta"}
    assert empty(torch.empty(2, 8, 6, 6, device="meta")).shape == (2, 8, 6, 6)


# Several outputs


def test_several_outputs(mine: ModuleType) -> None:
    layers = """
    p: {module: Pyramid, channels: 8}
    low: {call: interpolate, from: "=p[2]", size: "=p[0].shape[2:]"}
    sum: "=p[0] + low"
    halves: {call: halves, dim: 1}
    out: "=halves[0] - halves[1]"
    """
    model = netspec.build(spec(layers), seed=0)
    one, _, three = model.p(image())
    whole = one + nn.functional.interpolate(three, one.shape[2:])
    assert torch.equal(model(image()), whole[:, :2] - whole[:, 2:])
    found = netspec.verify(spec(layers))
    assert found.equal, verification_text(found)


def test_an_output_that_is_not_there(mine: ModuleType) -> None:
    (found,) = netspec.check(spec('p: {module: Pyramid, channels: 8}\na: "=p[3]"'))
    assert found.span.line == 6


def test_several_outputs_as_the_models_own(mine: ModuleType) -> None:
    model = netspec.build(spec("p: {module: Pyramid, channels: 8}"))
    assert [tuple(y.shape) for y in model(image())] == [(2, 4, 6, 6), (2, 4, 3, 3), (2, 4, 2, 2)]


# Gradients where something is overwritten, and a function of Python's holds what it likes

AROUND = {
    "behind": "fc: {{module: Linear, out_features: 4}}\nf: {layer}\na: {{act: {act}}}",
    "before": "fc: {{module: Linear, out_features: 4}}\na: {{act: {act}}}\nf: {layer}",
    "between two": "fc: {{module: Linear, out_features: 4}}\na: {{act: {act}}}\nf: {layer}\n"
    "b: {{act: {act}}}\nlast: {{module: Linear, out_features: 4}}",
    "behind a view": "fc: {{module: Linear, out_features: 4}}\nf: {layer}\n"
    "v: {{call: view, from: f, size: [-1, 2, 2]}}\na: {{act: {act}}}",
    "beside": "fc: {{module: Linear, out_features: 4}}\nf: {layer}\na: {{act: {act}, from: fc}}\n"
    "s: =a + f",
}
HOLDERS = (
    "saved", "held", "held_output", "mylib/Held", "=held(fc) * 1", "Faked", "blind", "blind_view",
)  # fmt: skip


@pytest.mark.parametrize("act", ["relu", "sigmoid", "mylib/swish"])
@pytest.mark.parametrize("where", AROUND)
@pytest.mark.parametrize("layer", HOLDERS)
def test_in_place_breaks_no_gradient(layer: str, where: str, act: str, mine: ModuleType) -> None:
    if layer.startswith("="):
        layer = f"'{layer}'" if "{" in layer else layer
        if where not in ("behind", "beside"):
            return
    if layer == "Faked":

        def fake(module: nn.Module, x: Tensor) -> Tensor:
            return x.new_empty(x.shape)

        netspec.register(mine.Faked, fake=fake)
    given = spec(AROUND[where].format(layer=layer, act=act), ROW)
    found = []
    for form in ("module", "inplace"):
        model = netspec.build(given, act=form, seed=0)
        x = torch.linspace(-1, 1, 12).view(3, 4).requires_grad_()
        y = model(x)
        y.square().sum().backward()
        found.append([y.detach(), x.grad, *(p.grad for p in model.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True)), netspec.to_python(
        given, act="inplace"
    )


def test_a_checkpoint_of_weights_alone(mine: ModuleType) -> None:
    one = netspec.build(spec(WHOLE), seed=0)
    other = netspec.build(spec(WHOLE), act="functional", seed=1)
    file = io.BytesIO()
    torch.save(one.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file))
    assert torch.equal(one(image()), other(image()))


def test_a_trial_in_place_is_of_the_code_that_was_registered(mine: ModuleType) -> None:
    """Whether a function may overwrite is remembered, and not for another of its name."""

    def twice(x: Tensor) -> Tensor:
        return x * 2

    def wrong_(x: Tensor) -> Tensor:
        return x.mul_(3)

    def right_(x: Tensor) -> Tensor:
        return x.mul_(2)

    given = spec("fc: {module: Linear, out_features: 4}\na: {call: twice_}", ROW)
    netspec.register(twice, inplace=right_)
    assert netspec.check(given) == ()
    registry.forget()
    netspec.register(twice, inplace=wrong_)
    assert [found.code for found in netspec.check(given)] == ["NS405"]


def test_a_trial_in_place_is_of_the_arguments_of_a_class() -> None:
    """They stand in no `extra_repr`, and decide what is kept for the backward pass."""

    class Pick(nn.Module):
        def __init__(self, cube: bool = False, inplace: bool = False) -> None:
            super().__init__()
            self.cube, self.inplace = cube, inplace

        def forward(self, x: Tensor) -> Tensor:
            if self.cube:
                return x.copy_(x**3) if self.inplace else x**3
            return x.relu_() if self.inplace else x.relu()

    def pick(x: Tensor, cube: bool = False) -> Tensor:
        return x**3 if cube else x.relu()

    netspec.register(pick)
    netspec.register(Pick, function=pick)
    layers = "fc: {module: Linear, out_features: 4}\na: {act: pick, cube: %s}"
    found = {}
    for cube in ("false", "true"):
        model = netspec.build(spec(layers % cube, ROW), act="inplace", seed=0)
        model(torch.ones(2, 4)).sum().backward()
        found[cube] = model.a.inplace
    assert found == {"false": True, "true": False}


def test_what_a_layer_gives_of_its_own_is_not_overwritten() -> None:
    """A buffer that comes out as it is would be another after the first call."""

    class Table(nn.Module):
        table: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("table", -torch.ones(3, 4))

        def forward(self, x: Tensor) -> Tensor:
            return self.table

    netspec.register(Table)
    layers = "t: {module: Table, from: x}\na: {act: relu}\nb: =a + x"
    model = netspec.build(spec(layers, "{x: [3, 4]}"), act="inplace")
    model(torch.ones(3, 4))
    assert torch.equal(model.t.table, -torch.ones(3, 4)) and model.a.inplace is False


def test_what_lies_in_its_input_in_one_mode_alone() -> None:
    """As a drop path, which gives its input in eval mode."""

    class Path(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2 if self.training else x

    netspec.register(Path)
    layers = "fc: {module: Linear, out_features: 4}\np: Path\na: {act: relu}\ns: =a + fc"
    found = netspec.verify(spec(layers, ROW))
    assert found.equal, verification_text(found)
    assert netspec.build(spec(layers, ROW), act="inplace").a.inplace is False


def test_what_a_layer_keeps_of_its_result_is_not_overwritten() -> None:
    class Keep(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            self.last = x * 2
            return self.last

    netspec.register(Keep)
    model = netspec.build(spec("k: Keep\na: {act: relu}", ROW), act="inplace")
    model(-torch.ones(3, 4))
    assert model.k.last.min() == -2


def test_a_check_draws_no_random_numbers() -> None:
    def weighed(x: Tensor, weight: Tensor) -> Tensor:
        return x * weight

    class Weighed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.rand(1))

        def forward(self, x: Tensor) -> Tensor:
            return weighed(x, self.weight)

    netspec.register(weighed)
    netspec.register(Weighed, function=weighed)
    before = torch.get_rng_state()
    assert netspec.check(spec("a: {act: weighed}", ROW)) == ()
    assert torch.equal(torch.get_rng_state(), before)


def test_names_in_a_spec_hide_no_function(mine: ModuleType) -> None:
    """A layer, an input and a model may be called as a function is."""
    x = image()
    layers = "swish: {call: mylib/swish}\nb: =mylib.swish(swish) + swish"
    once = mine.swish(x)
    assert torch.equal(netspec.build(spec(layers))(x), mine.swish(once) + once)
    hidden = spec("a: =mylib.swish(swish) + swish", "{swish: [N, 8, 6, 6]}")
    assert torch.equal(netspec.build(hidden)(x), once + x)
    block = "blocks: {SqueezeExcite: {layers: [SqueezeExcite, relu]}}\n"
    model = netspec.build(spec("a: {block: SqueezeExcite}", top=block))
    assert model(x).shape == x.shape
