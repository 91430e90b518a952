"""What `netspec.to_python` writes: torch alone runs it, and it is what runs in a built model."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import CodeType

import pytest
import torch
from torch import nn

import netspec
from netspec.pipeline import compile_spec
from tests.compare import compare_values
from tests.twins.registry import TWINS, Twin

SPECS = Path(__file__).parents[1] / "configs" / "model"
CASES = [(twin, form) for twin in TWINS for form in twin.forms]
QUICK = [(twin, form) for twin, form in CASES if not twin.slow]
WIDTH = 100


def name_of(twin: Twin, form: str) -> str:
    return f"{twin}-{form}"


def source_of(twin: Twin, form: str) -> str:
    return netspec.to_python(SPECS / f"{twin.spec}.yaml", args=dict(twin.args), act=form)


def parameters(cases: Sequence[tuple[Twin, str]]) -> list[object]:
    return [
        pytest.param(
            twin, form, id=name_of(twin, form), marks=[pytest.mark.slow] if twin.slow else []
        )
        for twin, form in cases
    ]


each_source = pytest.mark.parametrize(("twin", "form"), parameters(CASES))


# Run where there is no netspec

DESCRIBE = '''
import hashlib

import torch


def describe(model, inputs):
    """Keys, a digest of each tensor of the state, and the outputs in both modes."""
    state = model.state_dict()
    found = {"state": {key: digest(value) for key, value in state.items()}}
    found["trained"] = [name for name, p in model.named_parameters() if p.requires_grad]
    for mode in ("eval", "train"):
        model.train(mode == "train")
        torch.manual_seed(5)
        found[mode] = model(*inputs)
    return found


def digest(tensor):
    return hashlib.sha256(tensor.numpy().tobytes()).hexdigest()
'''
WITHOUT_NETSPEC = f"""
import sys
from pathlib import Path

sys.modules["netspec"] = None  # any import of it fails
{DESCRIBE}

torch.set_num_threads(1)
for file in Path(sys.argv[1]).glob("*.py"):
    namespace = {{"__name__": "exported"}}
    exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), namespace)
    torch.manual_seed(3)
    model = namespace["build_model"]()
    inputs = torch.load(file.with_suffix(".inputs"))
    torch.save(describe(model, inputs), file.with_suffix(".found"))
assert not [name for name in sys.modules if name.startswith("netspec.")]
"""


@dataclass(frozen=True)
class Exported:
    """Sources by name, and what another process found when it ran them."""

    sources: Mapping[str, str]
    found: Mapping[str, object]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("exported")
    sources = {name_of(twin, form): source_of(twin, form) for twin, form in QUICK}
    for twin, form in QUICK:
        name = name_of(twin, form)
        (folder / f"{name}.py").write_text(sources[name], encoding="utf-8")
        torch.save(twin.inputs(2), folder / f"{name}.inputs")
    command = [sys.executable, "-I", "-c", WITHOUT_NETSPEC, str(folder)]
    finished = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert finished.returncode == 0, finished.stderr
    return Exported(sources, {name: torch.load(folder / f"{name}.found") for name in sources})


@pytest.mark.parametrize(("twin", "form"), parameters(QUICK))
def test_source_runs_without_netspec(twin: Twin, form: str, exported: Exported) -> None:
    """The same keys in the same order, parameters from one seed, outputs in both modes."""
    namespace: dict[str, object] = {}
    exec(DESCRIBE, namespace)
    path = SPECS / f"{twin.spec}.yaml"
    model = netspec.build(path, args=dict(twin.args), act=form, seed=3)
    expected = namespace["describe"](model, twin.inputs(2))
    assert compare_values(exported.found[name_of(twin, form)], expected) == []


# The same tree


@each_source
def test_source_is_what_runs(twin: Twin, form: str) -> None:
    """Its bytecode is the running classes', instruction by instruction."""
    path = SPECS / f"{twin.spec}.yaml"
    compiled = compile_spec(path, args=dict(twin.args), act=form)
    namespace: dict[str, object] = {"__name__": "exported"}
    exec(source_of(twin, form), namespace)
    classes = {
        name: value
        for name, value in namespace.items()
        if isinstance(value, type) and value.__module__ == "exported"
    }
    assert list(classes) == list(compiled.built.classes)
    for name, ours in compiled.built.classes.items():
        for method in ("__init__", "forward"):
            running, written = vars(ours)[method].__code__, vars(classes[name])[method].__code__
            assert [*shape(running)] == [*shape(written)], f"{name}.{method}"


def shape(code: CodeType) -> Iterator[object]:
    """All of a code object but its places: instructions, names, constants, also of inner ones."""
    yield from (code.co_code, code.co_names, code.co_varnames, code.co_argcount)
    for constant in code.co_consts:
        yield from shape(constant) if isinstance(constant, CodeType) else [repr(constant)]


# The same bytes

DIGESTS = """
import json, sys

import netspec
from hashlib import sha256

cases = json.loads(sys.stdin.read())
found = {}
for name, path, args, form in cases:
    text = netspec.to_python(path, args=args, act=form)
    found[name] = sha256(text.encode()).hexdigest()
print(json.dumps(found))
"""


def test_same_bytes_in_every_process() -> None:
    """Under other hash seeds, and with the specs taken in another order."""
    here = {name_of(t, f): sha256(source_of(t, f).encode()).hexdigest() for t, f in CASES}
    cases = [
        (name_of(twin, form), str(SPECS / f"{twin.spec}.yaml"), dict(twin.args), form)
        for twin, form in CASES
    ]
    for seed, order in (("1", cases), ("2", cases[::-1])):
        finished = subprocess.run(
            [sys.executable, "-c", DIGESTS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            input=json.dumps(order),
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(finished.stdout) == here


# How it reads


@each_source
def test_source_is_plain(twin: Twin, form: str) -> None:
    source = source_of(twin, form)
    imports = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    assert set(imports) <= {
        "from collections import OrderedDict",
        "import torch",
        "import torch.nn.functional as F",
        "from torch import nn",
    }
    assert max(map(len, source.splitlines())) <= WIDTH
    assert source.endswith("\n") and not source.endswith("\n\n")


@pytest.fixture(scope="module")
def folder_of_sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    for twin, form in CASES:
        (folder / f"{name_of(twin, form)}.py").write_text(source_of(twin, form), encoding="utf-8")
    return folder


def ruff(*arguments: str) -> str:
    command = [sys.executable, "-m", "ruff", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def test_source_is_clean_to_a_linter(folder_of_sources: Path) -> None:
    rules = "F,E,W,I,B,C4,PERF,PIE,SIM,UP,RUF"
    options = ["--isolated", "--no-cache", "--line-length", str(WIDTH), "--select", rules]
    assert "All checks passed" in ruff("check", *options, str(folder_of_sources))


def test_source_is_laid_out_as_a_formatter_would(folder_of_sources: Path) -> None:
    """But `nn.Sequential(OrderedDict([` stays on one line, which saves a level, and so does
    `mask[:x.shape[1]]`, where the formatter sets a space after the colon."""
    options = ["--isolated", "--no-cache", "--preview", "--diff"]
    kept = ("nn.Sequential(OrderedDict([", "[:x.")
    texts = {file: file.read_text(encoding="utf-8") for file in folder_of_sources.glob("*.py")}
    files = [file for file in texts if not any(text in texts[file] for text in kept)]
    assert len(files) > len(texts) / 2
    assert ruff("format", *options, *map(str, files)) == ""


def test_instances_of_one_graph_share_a_class() -> None:
    source = netspec.to_python(SPECS / "resnet50.yaml")
    classes = [node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    assert classes == ["BottleneckDownsample", "Bottleneck", "ResNet50"]


def test_source_of_a_chain_needs_no_class() -> None:
    source = netspec.to_python(SPECS / "three_numbered.yaml", act="module")
    assert "class" not in source
    namespace: dict[str, object] = {}
    exec(source, namespace)
    assert type(namespace["build_model"]()) is nn.Sequential
