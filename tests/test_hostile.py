"""A spec can do no harm: it is refused at a place, quickly and cheaply, or it is a model."""

from __future__ import annotations

import ast
import operator
import os
import subprocess
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import get_overridable_functions
from torch.utils._python_dispatch import TorchDispatchMode

import netspec
from netspec import caches
from netspec.checks import gradients
from netspec.compiled import gradient_notes
from netspec.emit.module import Built
from netspec.errors import MAX_DIAGNOSTICS, Diagnostic
from netspec.ir.walk.run_operator import ask
from netspec.limits import Limits, OutOfWork, bounded
from netspec.ops import catalog, execution_limits, meta_eval
from netspec.ops.arguments import Either, Kind
from netspec.ops.meta_modules import meta_module
from netspec.ops.signatures import signatures_of
from netspec.ops.types import Fact, TensorType, contiguous
from netspec.pipeline import compile_spec
from tests import hostile
from tests.compare import compare_state, compare_values
from tests.hostile import Folder, play_in_time
from tests.test_cases import batches, model_from, run

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    """What torch imports when it is first used is not a spec's doing."""
    netspec.build(ROOT / "configs" / "model" / "lenet.yaml")
    for case in hostile.MARKED:
        netspec.check(case)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return hostile.make_folder(tmp_path_factory.mktemp("around"))


def refused(make: Callable[[], str | Path]) -> tuple[Diagnostic, ...]:
    """What is wrong with a spec, which took neither long nor much, each at a place."""
    played = play_in_time(make)
    assert played.held <= hostile.MOST_BYTES
    assert 0 < len(played.found) <= MAX_DIAGNOSTICS
    assert all(found.span.line >= 1 for found in played.found)
    places = [(found.span.file, found.span.line, found.span.column) for found in played.found]
    assert places == sorted(places)
    return played.found


# Refused


@pytest.mark.parametrize("case", hostile.MARKED, ids=lambda case: case.stem)
def test_each_marked_line_is_refused_and_no_other(case: Path) -> None:
    found = refused(lambda: case)
    assert sorted({(one.span.line, one.code) for one in found}) == sorted(hostile.marks(case))


@pytest.mark.parametrize("name", hostile.TEXTS)
def test_a_text_is_refused_at_once(name: str) -> None:
    code, make = hostile.TEXTS[name]
    assert code in {one.code for one in refused(make)}


@pytest.mark.parametrize("name", hostile.OUTSIDE, ids=lambda name: repr(name[:20]))
@pytest.mark.parametrize("key", ["include", "spec"])
def test_no_file_is_opened_but_those_of_the_folder(key: str, name: str, folder: Folder) -> None:
    main = folder.has(name) if key == "spec" else folder.includes(name)
    if key == "include" and not name:
        assert netspec.check(main) == ()  # none is named
        return
    codes = {one.code for one in refused(lambda: main)}
    assert codes <= {"NS105", "NS206", "NS213"} and "root:" not in str(netspec.check(main))


def test_includes_in_a_circle_and_by_two_ways(folder: Folder) -> None:
    assert {one.code for one in refused(lambda: folder.includes("a.yaml"))} == {"NS213"}
    folder.includes("d0.yaml")
    assert play_in_time(lambda: folder.main).found == ()


def test_there_are_enough_of_them() -> None:
    lines = sum(len(hostile.marks(case)) for case in hostile.MARKED)
    assert lines + len(hostile.TEXTS) + 2 * len(hostile.OUTSIDE) > 300


# Legal, and quick


@pytest.mark.parametrize("name", hostile.DEEP)
def test_what_is_large_and_right_is_checked_in_time(name: str) -> None:
    assert play_in_time(hostile.DEEP[name]).found == ()


def test_notes_ask_each_distinct_call_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def count(target: Callable[..., object], *given: Any) -> tuple[Any, bool]:
        asked.append(target)
        return ask(target, *given)

    compiled = compile_spec(netspec.loads(hostile.twice(8)))
    monkeypatch.setattr(gradients, "ask", count)
    assert gradient_notes(compiled) == ()
    assert len(asked) == 2  # of an input that needs no gradient, and of one that does


def test_arithmetic_is_asked_once_for_all_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    x = TensorType((2, 3), (1, 2), torch.float32)  # turned, so that torch has to be asked
    numbers: list[float] = []

    def product(fact: TensorType, number: float) -> Fact:
        return meta_eval.run(("python", "*"), operator.mul, (fact, number))

    caches.clear()
    assert product(x, 0.25) == x
    monkeypatch.setattr(meta_eval, "on_meta", lambda *given: numbers.append(given[1][1]))
    assert product(x, 0.75) == x
    assert numbers == []
    product(x, 3)  # of another type
    assert numbers == [3]


def test_a_model_on_meta_draws_no_numbers() -> None:
    drawn: list[str] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: object, args: Any = (), kwargs: Any = None
        ) -> object:
            drawn.extend([func.__name__] if "uniform" in func.__name__ else [])
            return func(*args, **(kwargs or {}))

    caches.clear()
    linear = catalog.find_module("Linear")
    assert linear is not None
    compiled = compile_spec(netspec.loads(hostile.twice(3)))
    with Watch():
        compiled.built.empty()
        meta_module(linear, (5, 6), ())
    assert drawn == []


# Legal, and nothing else happens


@pytest.mark.parametrize("act", ["module", "functional"])
@pytest.mark.parametrize("case", hostile.HARMLESS, ids=lambda case: case.stem)
def test_exported_source_imports_torch_alone_and_does_the_same(case: Path, act: str) -> None:
    source = netspec.to_python(case, act=act)
    assert source.replace("\n", "").isprintable()
    tree = ast.parse(source)
    assert set(hostile.imported(tree)) <= hostile.OURS
    assert all(
        isinstance(node, (ast.Expr, ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef))
        for node in tree.body
    )
    model, exported = netspec.build(case, act=act, seed=0), model_from(source, case)
    assert compare_state(model, exported) == []
    for batch in batches(case):
        assert compare_values(run(model, batch), run(exported, batch)) == []


@pytest.mark.parametrize("case", hostile.HARMLESS, ids=lambda case: case.stem)
def test_the_globals_of_a_model_are_torch_and_its_own(case: Path) -> None:
    compiled = compile_spec(case)
    built: Built = compiled.built
    names = set(built.make.__globals__) - {"__builtins__", *built.classes}
    assert names <= {"torch", "nn", "F", "math", "OrderedDict", "build_model"}


# Below an audit hook


def audited(*arguments: str) -> Mapping[str, list[str]]:
    """What the process that plays everything tells, by heading."""
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.hostile", *arguments]
    found = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=True)
    told: dict[str, list[str]] = {}
    heading = ""
    for line in found.stdout.splitlines():
        if line.startswith("  "):
            told[heading].append(line.strip())
        else:
            heading = line
            told[heading] = []
    return told


def test_nothing_is_imported_opened_or_executed_that_a_spec_names() -> None:
    told = audited()
    assert told["breaches"] == []
    assert {"open", "compile", "exec"} <= set(told["seen"])  # the hook was awake
    assert [name for name in told["imported"] if not _comes_with_torch(name)] == []


def _comes_with_torch(name: str) -> bool:
    package = name.partition(".")[0]
    own = {"torch", "sympy", "mpmath", "numpy", "netspec", "_remote_module_non_scriptable"}
    return package in own | sys.stdlib_module_names or package.startswith("_cython_")


def test_a_planted_breach_is_seen() -> None:
    breaches = "\n".join(audited("--plant")["breaches"])
    for what in ("import ('wave'", "os.system", "/etc/hostname", "exec (<code object <module>"):
        assert what in breaches


# The table of names

FORBIDDEN = [
    "load", "save", "open", "exec", "eval", "compile", "import", "importlib", "os", "sys", "io",
    "subprocess", "socket", "ctypes", "pickle", "jit", "hub", "ops", "classes", "utils",
    "library", "package", "multiprocessing", "distributed", "backends", "cuda", "cpu", "xpu",
    "mps", "from_file", "from_numpy", "from_buffer", "frombuffer", "from_dlpack", "to_dlpack",
    "numpy", "tolist", "item", "data", "data_ptr", "storage", "untyped_storage", "set_",
    "resize_", "resize_as_", "as_strided", "as_strided_", "as_strided_copy",
    "as_strided_scatter", "share_memory_", "pin_memory", "apply_", "map_", "map2_", "apply",
    "vmap", "cond", "while_loop", "backward", "register_hook",
    "register_post_accumulate_grad_hook", "requires_grad_", "retain_grad", "detach_", "grad",
    "grad_fn", "manual_seed", "seed", "set_rng_state", "set_default_dtype", "set_num_threads",
    "set_printoptions", "no_grad", "enable_grad", "set_grad_enabled", "inference_mode",
    "autocast", "autograd", "func", "fx", "export", "onnx", "compiler", "is_tensor", "type",
    "new", "module_load", "__reduce_ex__", "__setstate__", "__array__", "__dlpack__"
]  # fmt: skip


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_can_open_run_or_reach_storage_has_no_name(name: str) -> None:
    finders = (catalog.find_module, catalog.find_function, catalog.find_method, catalog.find_init)
    assert [find.__name__ for find in finders if find(name) is not None] == []


def test_every_function_is_an_operator_a_factory_or_of_torch_nn() -> None:
    overridable = get_overridable_functions()
    listed = {id(f) for home in (torch.Tensor, torch, torch.functional) for f in overridable[home]}
    for name in catalog.function_names():
        operator = catalog.find_function(name)
        assert operator is not None
        target = operator.target
        of_functional = (
            isinstance(target, types.FunctionType)
            and target.__module__ == F.__name__
            and vars(F)[name] is target
        )
        has_schema = bool(catalog.schemas_of(getattr(target, "__name__", name)))
        written = isinstance(target, types.FunctionType) and (
            target.__module__ in ("torch.functional", "torch._tensor", "torch._jit_internal")
        )
        known = name in catalog._FACTORIES or name in catalog.dtype_names()
        assert (
            of_functional
            or known
            or name in catalog._MORE_METHODS
            or (id(target) in listed and (has_schema or written))
            or (operator.home == "F" and has_schema)
        ), name


def test_every_class_is_a_layer_of_torch_nn() -> None:
    for name in catalog.module_names():
        operator = catalog.find_module(name)
        assert operator is not None
        cls = operator.target
        assert isinstance(cls, type) and issubclass(cls, nn.Module) and vars(nn)[name] is cls
        assert cls.__module__.startswith("torch.nn.modules.") and cls is not nn.Module


def test_no_argument_of_a_class_is_a_callable_a_device_or_anything() -> None:
    """A spec cannot write a module or a callable (`OPAQUE`), nor is any text looked up by torch."""
    open_ = {Kind.ANYTHING, Kind.DEVICE}
    for name in catalog.module_names():
        operator = catalog.find_module(name)
        assert operator is not None
        for signature in signatures_of(operator):
            for parameter in signature.parameters:
                accepts = parameter.accepts
                options = accepts.options if isinstance(accepts, Either) else (accepts,)
                assert not open_ & {o for o in options if isinstance(o, Kind)}, (name, parameter)


# What torch may do while it is only asked


def test_steps_are_counted_on_meta() -> None:
    x = torch.empty(10, device="meta")
    with bounded(Limits(work=1_000)), execution_limits.OnMeta(), pytest.raises(OutOfWork):
        list(map(torch.t, [x] * 1_000))


def test_memory_is_bounded_on_the_cpu() -> None:
    x = torch.zeros(10, dtype=torch.int64)
    with execution_limits.OnCpu(), pytest.raises(execution_limits.TooMuch, match="too large"):
        torch.bincount(x, minlength=10**10)
    with execution_limits.OnCpu(), pytest.raises(execution_limits.TooMuch, match="elements"):
        torch.normal(0.0, 1.0, (10**6, 10**6))
    with execution_limits.OnCpu():
        assert torch.bincount(x, minlength=20).shape == (20,)


@pytest.mark.parametrize("layers", [2, 6])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_long_or_deep_sequence_gives_what_torch_gives(
    kind: type[nn.RNNBase], batch_first: bool, layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = {"num_layers": layers, "bidirectional": True, "batch_first": batch_first}
    module = kind(4, 3, **args, device="meta")
    for shape in ((30, 30, 4), (30, 4), (4, 6, 4)):
        fact = contiguous(shape, torch.float32)
        caches.clear()
        short = meta_eval.run_module(module, ("long", kind), False, (fact,), ())
        with monkeypatch.context() as patch:
            patch.setattr(meta_eval, "of_small_ones", lambda *_: None)
            caches.clear()
            assert meta_eval.run_module(module, ("long", kind), False, (fact,), ()) == short
