"""Weights of a file into a model: all of it or nothing, unless what fits is asked for."""

from __future__ import annotations

import collections
import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

import netspec
from netspec.errors import RunError
from netspec.run import tensors
from netspec.run.tensors import read_tensors

_SPEC = """\
netspec: 1
name: Net
args: {classes: 7}
inputs: {x: [N, 3, 8, 8]}
layers:
  stem: {module: Conv2d, out_channels: 4, kernel_size: 3}
  norm: BatchNorm2d
  flat: {call: flatten, start_dim: 1}
  head: {module: Linear, out_features: =classes}
"""
_TIED = """\
netspec: 1
name: Tied
inputs: {x: [N, 4]}
layers:
  first: {module: Linear, out_features: 4, bias: false}
  last: {module: Linear, out_features: 4, bias: false, tie: {weight: first.weight}}
"""
State = dict[str, Tensor]


def net(seed: int, **args: int) -> nn.Module:
    return netspec.build(netspec.loads(_SPEC), args=args, seed=seed)


def state() -> State:
    """Weights that no seed of the tests gives."""
    model = net(1)
    model(torch.linspace(-1, 3, 960).view(5, 3, 8, 8))  # running statistics of its own
    return model.state_dict()


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def equal(model: nn.Module, expected: Mapping[str, Tensor]) -> bool:
    own = model.state_dict()
    return list(own) == list(expected) and all(torch.equal(own[k], expected[k]) for k in own)


def refused(model: nn.Module, path: Path, strict: bool = True, prefix: str = "") -> str:
    """The message; and nothing was loaded."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(RunError) as caught:
        netspec.load_weights(model, path, strict=strict, prefix=prefix)
    assert equal(model, before)
    return str(caught.value).strip().replace(f"{path.parent}{os.sep}", "")


# What is read


WRAPPED: Mapping[str, Callable[[State], object]] = {
    "alone": lambda found: found,
    "of Lightning": lambda found: {"epoch": 3, "state_dict": found, "optimizer_states": [{}]},
    "of torchvision": lambda found: {"model": found, "optimizer": {"lr": 0.1}, "epoch": 1},
    "of a tutorial": lambda found: {"model_state_dict": found, "loss": 0.5},
    "DDP": lambda found: before("module.", found),
    "compiled": lambda found: before("_orig_mod.", found),
    "compiled within DDP": lambda found: before("module._orig_mod.", found),
    "DDP within compiled": lambda found: before("_orig_mod.module.", found),
    "all of it": lambda found: {"state_dict": before("model.module._orig_mod.", found)},
    "a part compiled": lambda found: {
        name.replace("stem.", "stem._orig_mod."): value for name, value in found.items()
    },
}


def before(prefix: str, found: State) -> State:
    return {f"{prefix}{name}": value for name, value in found.items()}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.parametrize("new", [True, False], ids=["an archive", "a pickle"])
def test_a_state_dict_that_torch_saved(
    tmp_path: Path, wrap: Callable[[State], object], new: bool
) -> None:
    path, model = tmp_path / "net.pt", net(2)
    torch.save(wrap(state()), path, _use_new_zipfile_serialization=new)
    found = netspec.load_weights(model, path)
    assert equal(model, state())
    assert found.loaded == tuple(state())
    assert not found.reset and not found.unused


def test_safetensors(tmp_path: Path) -> None:
    model, path = net(2), tmp_path / "net.bin"  # the file's name tells nothing
    save_file(state(), path)
    found = netspec.load_weights(model, path)
    assert equal(model, state())
    assert str(found) == f"{path}: 9 of 9 tensors"


def test_what_is_taken_off_is_said(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.ckpt", {"state_dict": before("model.module.", state())})
    assert str(netspec.load_weights(net(2), path)) == (
        f"{path}: 9 of 9 tensors\n"
        "the file's weights stand under `state_dict`\n"
        "taken off the file's keys: `model.`, `module.`"
    )


def test_an_averaged_model_counts_its_steps(tmp_path: Path) -> None:
    averaged = torch.optim.swa_utils.AveragedModel(net(1))
    path = saved(tmp_path / "ema.pt", averaged.state_dict())
    assert refused(net(2), path) == (
        "error[NS704]: `ema.pt` does not fit the model\n"
        " --> ema.pt\n"
        "  = note: the model has no `n_averaged`\n"
        "  = note: `module.` was taken off the file's keys\n"
        "  = help: with strict=False what fits is loaded"
    )
    found = netspec.load_weights(net(2), path, strict=False)
    assert (len(found.loaded), found.unused) == (9, ("n_averaged",))


def test_a_models_own_prefix_is_left_alone(tmp_path: Path) -> None:
    """A model whose layers are all in one called `module`, or `model`."""
    for name in ("module", "model"):
        model = nn.Module()
        model.add_module(name, net(1))
        path = saved(tmp_path / "net.pt", before("module.", model.state_dict()))
        assert netspec.load_weights(model, path).removed == ("module.",)
        path = saved(tmp_path / "net.pt", model.state_dict())
        assert netspec.load_weights(model, path).removed == ()


def test_dtypes_are_cast_and_said(tmp_path: Path) -> None:
    half = {n: v.half() if v.is_floating_point() else v for n, v in state().items()}
    model = net(2)
    found = netspec.load_weights(model, saved(tmp_path / "net.pt", half))
    assert found.cast == {"float16 to float32": 8}
    assert equal(model, {n: v.to(state()[n].dtype) for n, v in half.items()})
    model = net(2).to(torch.bfloat16)
    found = netspec.load_weights(model, saved(tmp_path / "net.pt", state()))
    assert found.cast == {"float32 to bfloat16": 8}
    assert "cast: 8 tensors from float32 to bfloat16" in str(found)


def test_old_files_have_no_counters(tmp_path: Path) -> None:
    """`num_batches_tracked` came with torch 0.4.1; published weights are older."""
    old = {n: v for n, v in state().items() if n != "norm.num_batches_tracked"}
    found = netspec.load_weights(net(2), saved(tmp_path / "net.pt", old))
    assert str(found).splitlines() == [
        f"{tmp_path / 'net.pt'}: 8 of 9 tensors",
        "not in the file: 1 num_batches_tracked of batch norms",
    ]
    assert "`norm.running_mean`" in refused(
        net(2), saved(tmp_path / "less.pt", {n: v for n, v in old.items() if "mean" not in n})
    )


def test_tied_weights_stand_once_or_twice(tmp_path: Path) -> None:
    model = netspec.build(netspec.loads(_TIED), seed=0)
    once = {"last.weight": torch.eye(4)}
    for content in (once, {"first.weight": torch.eye(4)}, {**once, "first.weight": torch.eye(4)}):
        fresh = netspec.build(netspec.loads(_TIED), seed=0)
        found = netspec.load_weights(fresh, saved(tmp_path / "tied.pt", content))
        assert torch.equal(fresh.get_parameter("first.weight"), torch.eye(4))
        assert not found.reset
    other = {**once, "first.weight": torch.ones(4, 4)}
    told = refused(model, saved(tmp_path / "tied.pt", other))
    assert "note: `first.weight` and `last.weight` are one parameter here, and differ" in told
    found = netspec.load_weights(model, tmp_path / "tied.pt", strict=False)
    assert torch.equal(model.get_parameter("first.weight"), torch.eye(4))
    assert "with two values in the file: first.weight, last.weight (which counts)" in str(found)


def test_from_another_device_or_onto_none(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pt", state())
    empty = netspec.build(netspec.loads(_SPEC), device="meta")
    with pytest.raises(RunError, match=r"NS704.*the model is on `meta`"):
        netspec.load_weights(empty, path)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_onto_a_gpu(tmp_path: Path) -> None:
    model = net(2).cuda()
    netspec.load_weights(model, saved(tmp_path / "net.pt", state()))
    assert equal(model.cpu(), state())


def test_every_form_takes_them(tmp_path: Path) -> None:
    text = _SPEC.replace("  flat:", "  act: {act: relu}\n  flat:")
    path = saved(tmp_path / "net.pt", state())
    for act in ("module", "functional", "inplace"):
        model = netspec.build(netspec.loads(text), act=act, seed=3)
        netspec.load_weights(model, path)
        assert equal(model, state())


# What does not fit


def test_other_names_and_shapes(tmp_path: Path) -> None:
    given = {name.replace("head.", "classifier."): value for name, value in state().items()}
    given["stem.weight"] = torch.zeros(4, 1, 3, 3)
    assert refused(net(2), saved(tmp_path / "net.pt", given)) == (
        "error[NS704]: `net.pt` does not fit the model\n"
        " --> net.pt\n"
        "  = note: `stem.weight` is [4, 1, 3, 3] in the file, and [4, 3, 3, 3] here\n"
        "  = note: the file has no `head.weight`, `head.bias`\n"
        "  = note: the model has no `classifier.weight`, `classifier.bias`\n"
        "  = note: `classifier.weight` of the file may be `head.weight`\n"
        "  = note: `classifier.bias` of the file may be `head.bias`\n"
        "  = help: with strict=False what fits is loaded, and the rest stays as it was initialised"
    )


def test_a_message_has_an_end(tmp_path: Path) -> None:
    """Ten of each kind, and how many there are."""
    wide = nn.Sequential(*[nn.Linear(2, 2) for _ in range(30)])
    given = {f"{index}.weight": torch.zeros(3, 2) for index in range(20)}
    given |= {f"more.{index}": torch.zeros(1) for index in range(40)}
    told = refused(wide, saved(tmp_path / "net.pt", given))
    assert "note: and 10 more of other shapes" in told
    assert "`7.bias`, `8.bias`, `9.bias` and 30 more" in told
    assert "`more.9` and 30 more" in told
    assert len(told.splitlines()) < 20


def test_a_prefix_is_told_and_taken(tmp_path: Path) -> None:
    content = {**before("backbone.", state()), "neck.weight": torch.zeros(2)}
    path = saved(tmp_path / "net.pt", content)
    told = refused(net(2), path)
    assert told.splitlines()[-1] == (
        "  = help: keys of the file begin with `backbone.`, and the model's do not: "
        "prefix='backbone.' takes these without it"
    )
    assert "may be" not in told
    model = net(2)
    found = netspec.load_weights(model, path, prefix="backbone.")
    assert equal(model, state()) and found.unused == ("neck.weight",)


def test_a_prefix_of_nothing(tmp_path: Path) -> None:
    told = refused(net(2), saved(tmp_path / "net.pt", state()), prefix="body.")
    assert told.splitlines()[-1] == (
        "  = help: no key of the file begins with the prefix; the first is `stem.weight`"
    )


@pytest.mark.parametrize("given", ["net", "ne"])
def test_a_prefix_without_its_end(tmp_path: Path, given: str) -> None:
    path = saved(tmp_path / "net.pt", before("net.", state()))
    assert "prefix='net.' takes these without it" in refused(net(2), path, prefix=given)


def test_a_prefix_behind_a_wrappers(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pt", before("module.net.", state()))
    assert "prefix='module.net.' takes these without it" in refused(net(2), path)
    model = net(2)
    netspec.load_weights(model, path, prefix="module.net.")
    assert equal(model, state())


def test_the_folder_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=r"the folder `\.` has no checkpoints"):
        netspec.load_weights(net(2), ".")
    (tmp_path / "checkpoints").mkdir()
    save_file(state(), tmp_path / "checkpoints" / "best.safetensors")
    model = net(2)
    netspec.load_weights(model, ".")
    assert equal(model, state())


def test_weights_of_a_part_are_told(tmp_path: Path) -> None:
    whole = nn.Module()
    whole.body = net(2)
    told = refused(whole, saved(tmp_path / "net.pt", state()))
    assert told.splitlines()[-1] == (
        "  = help: these weights are of the part `body`: "
        "netspec.load_weights(model.get_submodule('body'), …) loads them there"
    )
    netspec.load_weights(whole.get_submodule("body"), tmp_path / "net.pt")
    assert equal(whole.body, state())


# What fits


def test_the_last_layer_is_reset(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pt", {**state(), "neck.weight": torch.zeros(2)})
    model, fresh = net(2, classes=3), net(2, classes=3)
    assert "`head.weight` is [7, 144] in the file, and [3, 144] here" in refused(model, path)
    found = netspec.load_weights(model, path, strict=False)
    assert str(found) == (
        f"{path}: 7 of 9 tensors\n"
        "reset: head ([7, 144] in the file, and [3, 144] here)\n"
        "not used of the file: head.weight, head.bias, neck.weight"
    )
    assert found.reset_layers() == {"head": "[7, 144] in the file, and [3, 144] here"}
    own, expected = model.state_dict(), fresh.state_dict()
    for name in own:
        wanted = expected if name.startswith("head.") else state()
        assert torch.equal(own[name], wanted[name]), name


def test_half_a_layer_is_told_by_its_keys(tmp_path: Path) -> None:
    given = {name: value for name, value in state().items() if name != "head.bias"}
    found = netspec.load_weights(net(2), saved(tmp_path / "net.pt", given), strict=False)
    assert found.reset_layers() == {"head.bias": "not in the file"}


def test_a_wrong_file_is_refused_all_the_same(tmp_path: Path) -> None:
    path = saved(tmp_path / "other.pt", {"a.weight": torch.zeros(2), "norm.weight": torch.ones(9)})
    told = refused(net(2), path, strict=False)
    assert told.startswith("error[NS704]: no parameter of `other.pt` fits the model\n")
    counters = {"norm.num_batches_tracked": torch.tensor(1), "norm.running_mean": torch.zeros(4)}
    assert "no parameter of" in refused(net(2), saved(tmp_path / "b.pt", counters), strict=False)


# What is no file of weights


def test_what_is_no_file_of_weights(tmp_path: Path) -> None:
    said = {
        "list.pt": ([torch.zeros(2)], "it holds no state dict, but one list"),
        "one.pt": (torch.zeros(2), "it holds no state dict, but one Tensor"),
        "none.pt": ({}, "its state dict is empty"),
        "epoch.pt": ({"epoch": 3}, "`epoch` is no tensor, but of type int"),
        "odd.pt": ({"model": {"a": 1.0}}, "`a` in `model` is no tensor, but of type float"),
        "sparse.pt": ({"a": torch.eye(3).to_sparse()}, "`a` is a tensor without plain numbers"),
        "meta.pt": ({"a": torch.eye(3, device="meta")}, "`a` is a tensor without plain numbers"),
    }
    for name, (content, why) in said.items():
        path = saved(tmp_path / name, content)
        told = refused(net(2), path)
        size = path.stat().st_size
        first = f"error[NS703]: `{name}` of {size:,} bytes can't be read as weights: {why}"
        assert told.splitlines()[0] == first
    with pytest.raises(RunError, match=r"NS703.*there is no checkpoint"):
        netspec.load_weights(net(2), tmp_path / "nothing.pt")


def test_code_is_refused(tmp_path: Path) -> None:
    """A whole module, a program of TorchScript, and what would run something."""
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (os.system, (f"touch {ran}",))

    needs = "holds more than tensors, and needs code to be read"
    for new in (True, False):
        for content in (net(1), {"state_dict": state(), "more": Evil()}):
            path = tmp_path / "whole.pt"
            torch.save(content, path, _use_new_zipfile_serialization=new)
            assert f"error[NS712]: `whole.pt` {needs}: `" in refused(net(2), path)
    torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(str(tmp_path / "script.pt"))
    told = refused(net(2), tmp_path / "script.pt")
    assert f"error[NS712]: `script.pt` {needs}: a TorchScript program" in told
    assert not ran.exists()


def test_no_environment_allows_it(tmp_path: Path) -> None:
    """torch has a variable that makes `torch.load` trust files; it does not here."""
    code = "import sys, netspec; netspec.load_weights(netspec.build('lenet'), sys.argv[1])"
    path = saved(tmp_path / "whole.pt", nn.Linear(2, 2))
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        env={**os.environ, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode and "error[NS712]" in done.stderr


@pytest.mark.parametrize("kind", ["archive", "pickle", "safetensors"])
def test_damaged_files(tmp_path: Path, kind: str) -> None:
    """Cut off anywhere, or with other bytes: read, or told; never another exception."""
    path = tmp_path / "whole"
    if kind == "safetensors":
        save_file(state(), path)
    else:
        torch.save(state(), path, _use_new_zipfile_serialization=kind == "archive")
    whole, chance = path.read_bytes(), random.Random(4)
    codes: collections.Counter[str] = collections.Counter()
    for number in range(150):
        data = bytearray(whole)
        if number % 2:
            data = data[: chance.randrange(len(data))]
        else:
            for _ in range(chance.randrange(1, 5)):
                data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data)
        try:
            read_tensors(path)
        except RunError as error:
            codes[error.diagnostics[0].code] += 1
    assert codes["NS703"] >= 60 and set(codes) <= {"NS703", "NS712"}, codes


# Freezing


def test_patterns_freeze_parameters() -> None:
    for patterns, expected in {
        "stem": ["stem.weight", "stem.bias"],
        "*.bias": ["stem.bias", "norm.bias", "head.bias"],
        "no*": ["norm.weight", "norm.bias"],
        "[sn]*.weight": ["stem.weight", "norm.weight"],
        "head.weight": ["head.weight"],
    }.items():
        model = net(0)
        found = netspec.freeze(model, patterns)
        frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
        assert frozen == list(found.names) == expected
    found = netspec.freeze(net(0), ["stem", "norm"])
    assert str(found) == "stem, norm: 120 of 1,135 parameters"


def test_a_path_freezes_what_is_below_it_alone() -> None:
    model = netspec.build("resnet18", device="meta")
    netspec.freeze(model, ["conv1", "layer1"])
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert "conv1.weight" in frozen and "layer1.1.bn2.bias" in frozen
    assert "layer2.0.conv1.weight" not in frozen
    assert {name.partition(".")[0] for name in frozen} == {"conv1", "layer1"}


def test_tied_parameters_are_frozen_once() -> None:
    model = netspec.build(netspec.loads(_TIED))
    assert str(netspec.freeze(model, "last")) == "last: 16 of 16 parameters"


def test_patterns_of_nothing_are_told() -> None:
    model = net(0)
    with pytest.raises(RunError) as caught:
        netspec.freeze(model, ["stem", "haed", "flat"])
    assert str(caught.value) == (
        "\nerror[NS713]: `flat` freezes nothing: no parameter has such a path\n"
        " --> from 'flat'\n"
        "  = help: there are stem, norm, head\n"
        "\n"
        "error[NS713]: `haed` freezes nothing: no parameter has such a path\n"
        " --> from 'haed'\n"
        "  = help: did you mean `head`?"
    )
    assert all(p.requires_grad for p in model.parameters())


def test_a_file_that_is_replaced_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run writes another checkpoint in the place of the one that somebody reads."""
    path, other = tmp_path / "last.safetensors", tmp_path / "other"
    save_file({"a": torch.zeros(3)}, path)
    save_file({"a": torch.ones(3), "b": torch.ones(2)}, other)
    opened: list[Path] = []

    def replaced(given: Path, framework: str) -> object:
        opened.append(given)
        found = safe_open(given, framework=framework)
        if len(opened) == 1:
            os.replace(other, path)
        return found

    monkeypatch.setattr(tensors, "safe_open", replaced)
    assert sorted(tensors.read_safetensors(path)[1]) == ["a", "b"]
    assert len(opened) == 2
