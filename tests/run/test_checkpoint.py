"""A checkpoint alone rebuilds its model; what is no whole checkpoint is told, and opens nothing."""

from __future__ import annotations

import json
import random
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import netspec
from netspec import caches
from netspec.compiled import Compiled
from netspec.errors import RunError, SpecError
from netspec.pipeline import compile_spec
from netspec.run.checkpoint import load_checkpoint, write_checkpoint

_BLOCKS = """\
netspec: 1
blocks:
  Fold:
    args: {width: 3}
    layers:
      line: {module: Linear, out_features: =width}
      norm: BatchNorm1d
      act: {act: default}
"""
_SPEC = """\
netspec: 1
name: Net
args: {width: 3}
include: [parts/blocks.yaml]
inputs: {x: [N, 4]}
layers:
  fold: {block: Fold, repeat: 2, width: =width}
  first: {module: Linear, out_features: 4, bias: false}
  last: {module: Linear, out_features: 4, bias: false, tie: {weight: first.weight}}
"""


def compiled(folder: Path) -> Compiled:
    """A spec with blocks of another file, args and overrides. Its files are gone."""
    (folder / "parts").mkdir(parents=True)
    (folder / "parts" / "blocks.yaml").write_text(_BLOCKS, encoding="utf-8")
    (folder / "net.yaml").write_text(_SPEC, encoding="utf-8")
    act = {"form": "functional", "fn": "gelu"}
    made = compile_spec(folder / "net.yaml", {"width": 4}, act, ["layers.fold.repeat=3"])
    shutil.rmtree(folder)
    return made


def saved(to: Path, made: Compiled) -> nn.Module:
    """The model, trained a little, and its checkpoint in this file."""
    model = made.built.make()
    model(torch.randn(5, 4))  # running statistics of their own
    write_checkpoint(to, model.state_dict(), made.recipe, {"note": "é"})
    return model.eval()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    path = folder / "net.safetensors"
    model = saved(path, compiled(folder / "specs"))
    torch.save(model(examples()), folder / "expected.pt")
    return path


def examples() -> Tensor:
    return torch.linspace(-2, 2, 12).view(3, 4)


_ALONE = """\
import sys, torch, netspec
model = netspec.load_checkpoint(sys.argv[1])
assert not model.training
given = model(torch.linspace(-2, 2, 12).view(3, 4))
assert torch.equal(given, torch.load(sys.argv[2]))
assert model.last.weight is model.first.weight
"""


def test_a_file_alone_is_enough(whole: Path, tmp_path: Path) -> None:
    """In another process and folder, without the spec and what it includes."""
    path = shutil.copy(whole, tmp_path / "moved.safetensors")
    expected = str(whole.parent / "expected.pt")
    command = [sys.executable, "-W", "error", "-c", _ALONE, str(path), expected]
    subprocess.run(command, check=True, cwd=tmp_path)


@pytest.mark.parametrize("act", ["module", "functional"])
def test_every_form_takes_the_weights(whole: Path, act: str) -> None:
    caches.clear()
    model = load_checkpoint(whole, act={"form": act, "fn": "gelu"})
    expected = torch.load(whole.parent / "expected.pt")
    assert torch.equal(model(examples()), expected)
    types = [type(module).__name__ for module in model.modules()]
    assert ("GELU" in types) == (act == "module")


def test_loading_twice_and_the_random_state(whole: Path) -> None:
    before = torch.get_rng_state()
    one, two = load_checkpoint(whole), netspec.load_checkpoint(whole.with_suffix(""))
    assert torch.equal(before, torch.get_rng_state())
    pairs = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    assert all(torch.equal(first, second) for first, second in pairs)


def refused(path: Path) -> str:
    with pytest.raises(RunError) as caught:
        load_checkpoint(path)
    assert len(caught.value.diagnostics) == 1
    return str(caught.value)


def test_what_is_no_checkpoint_is_told(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for content in (b"", b"\x80\x04", b"PK\x03\x04" * 20, random.Random(0).randbytes(500)):
        path.write_bytes(content)
        told = refused(path)
        assert (
            f"error[NS703]: `a.safetensors` is not a whole safetensors file of {len(content)}"
            in told
        )
    torch.save({"a": torch.zeros(2)}, path)
    assert "error[NS703]" in refused(path)
    save_file({"a": torch.zeros(2)}, path)
    assert "has weights, and no spec: it was not written by netspec" in refused(path)
    save_file({"a": torch.zeros(2)}, path, {"netspec": "{}"})
    assert "has a head that this version of netspec can't read" in refused(path)
    assert "there is no checkpoint" in refused(tmp_path / "b")
    path.write_bytes(whole.read_bytes()[:-1])
    assert "error[NS703]" in refused(path)


def test_near_names_are_offered(tmp_path: Path) -> None:
    (tmp_path / "best.safetensors").write_bytes(b"")
    assert "did you mean `best.safetensors`" in refused(tmp_path / "bets.safetensors")


def test_other_weights_are_told(tmp_path: Path) -> None:
    made = compiled(tmp_path / "specs")
    weights = dict(made.built.make().state_dict())
    weights["first.weight"] = weights["last.weight"] = torch.zeros(4, 7)
    del weights["fold.0.line.bias"]
    weights["extra.weight"] = torch.zeros(1)
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, weights, made.recipe, {})
    told = refused(path)
    assert "error[NS704]: `a.safetensors` does not fit the model" in told
    assert "`first.weight` is [4, 7] in the file, and [4, 4] here" in told
    assert "the file has no `fold.0.line.bias`" in told
    assert "the model has no `extra.weight`" in told


# Hostile files


def parts(data: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """A checkpoint's header, netspec's head in it, and its tensors."""
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    return header, json.loads(header["__metadata__"]["netspec"]), data[8 + size :]


def joined(header: dict[str, Any], head: object, rest: bytes) -> bytes:
    header["__metadata__"]["netspec"] = json.dumps(head)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + rest


def paths_in(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value if isinstance(value, list) else [])
    )
    return [path, *(inner for key, item in items for inner in paths_in(item, (*path, key)))]


_ODD = [
    None, 1, -1, 1e308, 10**30, "", "x", "\0", "\ud800", "/etc/passwd", "inplace", "{", "[1]",
    "[" * 9000, [], {}, True, ["a"], {"a": 1}, [[[1]]],
]  # fmt: skip


def damaged(data: bytes, rng: random.Random) -> bytes:
    """A checkpoint that is cut, flipped, or says something else in one place of its head."""
    kind = rng.randrange(4)
    if kind == 0:
        return data[: rng.randrange(len(data))]
    if kind == 1:
        flipped = bytearray(data)
        flipped[rng.randrange(len(data))] = rng.randrange(256)
        return bytes(flipped)
    header, head, rest = parts(data)
    *outer, last = rng.choice([path for path in paths_in(head) if path])
    owner: Any = head
    for key in outer:
        owner = owner[key]
    if rng.random() < 0.2:
        del owner[last]
    else:
        owner[last] = rng.choice(_ODD)
    return joined(header, head, rest)


def hunt(data: bytes, path: Path, seed: int, count: int) -> None:
    rng = random.Random(seed)
    for _ in range(count):
        path.write_bytes(damaged(data, rng))
        try:
            load_checkpoint(path)
        except SpecError as error:
            told = str(error)
            assert told


def test_damage_is_told(whole: Path, tmp_path: Path) -> None:
    hunt(whole.read_bytes(), tmp_path / "a.safetensors", 0, 250)


@pytest.mark.hunt
def test_much_damage_is_told(whole: Path, tmp_path: Path) -> None:
    for seed in range(20):
        hunt(whole.read_bytes(), tmp_path / "a.safetensors", seed, 500)


_HOSTILE_SPECS = [
    _SPEC.replace("parts/blocks.yaml", "{secret}"),
    _SPEC.replace("parts/blocks.yaml", "../../../../../../etc/passwd"),
    "netspec: 1\nname: P\ninputs: {x: [N, 4]}\nlayers:\n  p: {spec: {secret}}\n",
    "netspec: 1\nname: P\ninputs: {x: [N, 4]}\nlayers:\n  p: {spec: lenet}\n",
    "netspec: 1\nname: P\ninputs: {x: [N, 4]}\nlayers:\n  y: \"=open('{secret}')\"\n",
    "netspec: 1\nname: P\ninputs: {x: [N, 4]}\nlayers:\n  y: {call: load, from: '{secret}'}\n",
    "!!python/object/apply:os.system ['touch {secret}']\n",
]
_WATCHED = """\
import sys
import netspec
from netspec.errors import SpecError
netspec.load_checkpoint(sys.argv[1])  # all that is needed is imported now
opened = []
def watch(event, arguments):
    if event == "open" or event.startswith(("os.", "subprocess.", "socket.", "shutil.")):
        opened.append((event, arguments))
sys.addaudithook(watch)
for path in sys.argv[2:]:
    before = len(opened)
    try:
        netspec.load_checkpoint(path)
        sys.exit(path + " was taken")
    except SpecError as error:
        told = str(error)
    # What a look for a mistake's near names lists is no file's content.
    found = [o for o in opened[before:] if str(o[1][0]) != path and "__pycache__" not in str(o)]
    found = [o for o in found if not str(o[1][0]).endswith((".py", ".pyc"))]
    found = [o for o in found if o[0] not in ("os.listdir", "os.scandir")]
    assert not found, (path, found, told)
"""


def test_hostile_files_open_nothing(whole: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.yaml"
    secret.write_text(_BLOCKS, encoding="utf-8")
    header, head, rest = parts(whole.read_bytes())
    files = []
    for index, text in enumerate(_HOSTILE_SPECS):
        for file in (str(tmp_path / "net.yaml"), "net.yaml"):
            main = {"file": file, "path": file, "text": text.replace("{secret}", str(secret))}
            recipe = {**head["recipe"], "main": main, "named": [], "overrides": [], "args": {}}
            path = tmp_path / f"{index}{len(file)}.safetensors"
            path.write_bytes(joined(header, {**head, "recipe": recipe}, rest))
            files.append(str(path))
    command = [sys.executable, "-c", _WATCHED, str(whole), *files]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
