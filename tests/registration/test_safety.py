"""Where a plugin is enabled, a spec can name what it registered, and nothing beside it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

import netspec
from netspec import plugins
from netspec.ops import catalog, registry

TOP = "netspec: 1\nname: Net\ninputs: {x: [N, 8, 6, 6]}\nlayers:\n"
BESIDE = [
    "{module: own_layers.SqueezeExcite}",
    "{module: own_layers/SqueezeExcite}",
    "{module: mylib.Swish}",
    "{module: mylib/Swish/Swish}",
    "{module: mylib/../SqueezeExcite}",
    '{module: "mylib/Swish "}',
    "{module: mylib/nn}",
    "{module: mylib/torch}",
    "{module: HeldModule}",  # under the name that was given, and no other
    "{module: Saved}",
    "{call: own_layers.swish}",
    "{call: swish}",
    "{call: mylib/Held.apply}",
    "{call: mylib/swish.__globals__}",
    "{call: mylib/__import__}",
    "{act: own_layers.swish}",
    "{act: mylib/SqueezeExcite}",
    "=mylib.torch(x)",
    "=mylib.__class__(x)",
    "=mylib.swish.__globals__",
    "=mylib.swish.__call__(x)",
    "=mylib.swish",
    "=mylib",
    "=mylib.Swish(x)",
    "=own_layers.swish(x)",
    "=SqueezeExcite(x)",
]
_events: list[tuple[str, object]] = []
_watching = False


def _hook(event: str, args: tuple[object, ...]) -> None:
    if _watching and event in ("import", "os.system", "subprocess.Popen", "exec"):
        _events.append((event, args[0]))


sys.addaudithook(_hook)


@contextmanager
def watched() -> Iterator[list[tuple[str, object]]]:
    """What is imported and executed inside; code that is executed by its file's name."""
    global _watching
    _events.clear()
    _watching = True
    try:
        yield _events
    finally:
        _watching = False


def told(text: str) -> tuple[netspec.Diagnostic, ...]:
    try:
        return netspec.check(netspec.loads(text))
    except netspec.SpecError as error:
        return error.diagnostics


@pytest.mark.parametrize("layer", BESIDE)
def test_nothing_beside_what_was_registered(layer: str, mine: ModuleType) -> None:
    netspec.check(netspec.loads(f"{TOP}  a: SqueezeExcite\n"))
    with watched() as events:
        found = told(f"{TOP}  a: {layer}\n")
    assert found and all(each.span.line == 5 for each in found)
    assert events == []


@pytest.mark.parametrize("name", ["os", "wave", "own_layers", "antigravity", "../own_layers.py"])
def test_requires_is_never_followed(name: str, mine: ModuleType) -> None:
    registry.forget()
    for module in ("own_layers", "wave", "antigravity"):
        sys.modules.pop(module, None)
    text = TOP.replace("name: Net", f"requires: [{name}]")
    with watched() as events:
        found = netspec.check(netspec.loads(f"{text}  a: {{call: os/system}}\n"))
    assert [each.code for each in found] == ["NS219"]
    assert events == [] and not {"own_layers", "wave", "antigravity"} & set(sys.modules)


def test_the_hook_is_awake() -> None:
    sys.modules.pop("wave", None)
    with watched() as events:
        __import__("wave")
    assert ("import", "wave") in events


def test_what_is_loaded_and_not_enabled_cannot_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "import netspec\n\n@netspec.register('lib/f')\ndef f(x):\n    return x * 1\n"
    Path("lib_of_f.py").write_text(text)
    plugins.load(["lib_of_f"])
    for layer in ("{call: lib/f}", "=lib.f(x)", "lib/f"):
        (found,) = netspec.check(netspec.loads(f"{TOP}  a: {layer}\n"))
        assert found.code in ("NS206", "NS207")
    assert netspec.check(netspec.loads(f"{TOP}  a: lib/f\n"), plugins=["lib_of_f"]) == ()


def test_the_tables_of_torch_are_as_they_were(mine: ModuleType) -> None:
    """What is registered stands beside them, hides none, and goes when it is dropped."""
    having = set(catalog.module_names()), set(catalog.function_names())
    registry.forget()
    without = set(catalog.module_names()), set(catalog.function_names())
    assert without[0] < having[0] and without[1] < having[1]
    assert all(registry.find("module", name) is None for name in without[0])


def test_source_names_nothing_but_what_was_registered(mine: ModuleType) -> None:
    """A name of the spec's cannot become an import."""
    text = TOP.replace("name: Net", 'name: "own_layers import os"')
    source = netspec.to_python(netspec.loads(f"{text}  os: SqueezeExcite\n  b: mylib/swish\n"))
    imports = [line for line in source.splitlines() if line.startswith(("from", "import"))]
    assert imports == ["from torch import nn", "from own_layers import SqueezeExcite, swish"]
