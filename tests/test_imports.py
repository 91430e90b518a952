"""The import matrix: who may import whom, who alone names yaml, Hydra, exec; read off by `ast`.

And two rules of the same kind: `import netspec` is light, and no source is ignored by git. Each is
also shown at work on a planted package that breaks it.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

NETSPEC = Path(__file__).resolve().parent.parent / "netspec"

# What stands directly in netspec/, and which of its neighbours each may import besides itself.
# `__init__` is the public surface: what `import netspec` or `from netspec import build` reaches.
BELOW_CHECK = {"display", "caches", "errors", "limits", "source", "language", "ops", "ir"}
BELOW_PIPELINE = BELOW_CHECK | {"checks", "emit", "view", "explain", "request", "sizes"}
OF_A_SPEC = {"compiled", "pipeline", "spec_source"}
MAY_IMPORT: Mapping[str, set[str]] = {
    "version": set(),
    "spec_text": set(),
    "display": set(),
    "errors": {"display"},
    "caches": set(),
    "limits": {"errors"},
    "file_trace": {"limits"},
    "source": {"errors", "limits", "file_trace"},
    "language": {"errors", "limits", "file_trace", "source"},
    "ops": {"caches", "errors", "limits"},
    "ir": {"errors", "limits", "source", "language", "ops"},
    "explain": {"errors", "limits", "source", "language", "ops", "ir"},
    "checks": BELOW_CHECK,
    "emit": BELOW_CHECK,
    "view": BELOW_CHECK,
    "sizes": BELOW_CHECK,
    "find": {"errors", "file_trace", "source", "language"},
    "request": {"errors", "language", "ops", "ir"},
    "recipe": {"limits", "source", "language", "ops", "ir", "request"},
    "spec_source": BELOW_CHECK | {"file_trace", "find", "plugins"},
    "compiled": BELOW_PIPELINE | {"recipe"},
    "in_place_form": BELOW_CHECK | {"checks", "emit"},
    "data_registry": {"ops"},
    "plugins": {"errors", "ops", "data_registry"},
    "registration": {"language", "ops", "ir"},
    "pipeline": BELOW_PIPELINE
    | {"file_trace", "find", "recipe", "plugins", "spec_source", "in_place_form", "compiled"},
    "api": BELOW_PIPELINE | OF_A_SPEC | {"find"},
    "analysis": BELOW_PIPELINE | OF_A_SPEC | {"file_trace", "find", "recipe"},
    "__init__": BELOW_PIPELINE
    | {"analysis", "api", "drawing", "proof", "registration", "run", "version"},
    "reporting": {"display", "errors", "__init__"},
    "drawing": {"display", "errors", "language", "request", "view", "analysis", "comparison"},
    "comparison": {"display", "analysis", "view"},
    "lsp": BELOW_PIPELINE - {"checks", "emit", "explain"}
    | {"analysis", "find", "reporting", "spec_text", "__init__"},
    "proof": BELOW_PIPELINE | OF_A_SPEC | {"plugins"},
    "commands": BELOW_PIPELINE
    | OF_A_SPEC
    | {
        "analysis",
        "api",
        "comparison",
        "drawing",
        "file_trace",
        "find",
        "lsp",
        "reporting",
        "proof",
        "plugins",
        "spec_text",
        "__init__",
    },
    "run": BELOW_PIPELINE
    | OF_A_SPEC
    | {"analysis", "comparison"}
    | {"find", "recipe", "reporting", "plugins", "data_registry", "__init__", "version"},
    "cli": {"display", "errors", "__init__", "commands", "run"},
}
ONLY_IN: Mapping[str, set[str]] = {
    "yaml": {"source", "language"},
    "hydra": {"run"},
    "omegaconf": {"run"},
    "lightning": {"run"},
    "pytorch_lightning": {"run"},
    "lightning_fabric": {"run"},
    "pygls": {"lsp"},
    "lsprotocol": {"lsp"},
}
# An import whose name is no literal: the lazy public names, and the plugins that a run names.
DYNAMIC_IMPORT = {"__init__", "plugins"}
EXECUTING = {"exec", "eval", "compile"}
HEAVY = {"torch", "numpy", "pydantic", "yaml", "hydra", "omegaconf", "lightning"}


# The checker


@dataclass(frozen=True)
class Module:
    """A parsed file of the package, with the layer that it belongs to."""

    file: str
    package: tuple[str, ...]
    layer: str
    tree: ast.Module


def modules_in(root: Path) -> Iterator[Module]:
    for path in sorted(root.rglob("*.py")):
        inner = path.relative_to(root)
        yield Module(
            file=inner.as_posix(),
            package=(root.name, *inner.parts[:-1]),
            layer=inner.parts[0].removesuffix(".py"),
            tree=ast.parse(path.read_text(encoding="utf-8"), str(path)),
        )


def violations(root: Path) -> list[str]:
    """Every breach of the matrix in the package at this folder, as `file:line: what is wrong`."""
    found = []
    for module in modules_in(root):
        faults = [*import_faults(module, root.name), *torch_internals_in(module)]
        faults += mutable_in(module)
        found += [f"{module.file}:{line}: {fault}" for line, fault in faults]
    return found + executing_faults(root)


def import_faults(module: Module, package: str) -> Iterator[tuple[int, str]]:
    if module.layer not in MAY_IMPORT:
        yield 1, f"`{module.layer}` has no place in the import matrix"
        return
    for line, name in imports_of(module):
        if name is None:
            if module.layer not in DYNAMIC_IMPORT:
                yield line, f"`{module.layer}` may not import a name that it computes"
            continue
        first, _, rest = name.partition(".")
        if first == package:
            second = rest.partition(".")[0]
            layer = second if second in MAY_IMPORT else "__init__"
            if layer != module.layer and layer not in MAY_IMPORT[module.layer]:
                yield line, f"`{module.layer}` may not import `{layer}`"
        elif module.layer not in ONLY_IN.get(first, {module.layer}):
            yield line, f"`{module.layer}` may not import `{first}`"


# What a module may fill: the caches, and the tables of what was registered.
MUTABLE = {"caches.py", "ops/registry.py", "plugins.py", "data_registry.py"}


def mutable_in(module: Module) -> Iterator[tuple[int, str]]:
    """Empty lists, dicts and sets of a module, which only serve to be filled."""
    if module.file in MUTABLE:
        return
    for node in module.tree.body:
        value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
        literal = isinstance(value, (ast.List, ast.Dict)) and not ast.unparse(value).strip("[]{}")
        made = isinstance(value, ast.Call) and ast.unparse(value) in {"dict()", "list()", "set()"}
        if literal or made:
            yield node.lineno, "what a process remembers is a `Cache`"


TORCH_INTERNALS = "ops/torch_internals.py"


def torch_internals_in(module: Module) -> Iterator[tuple[int, str]]:
    """What a file takes of torch that torch keeps to itself; one file is there for that."""
    if module.file == TORCH_INTERNALS:
        return
    names = [(line, name) for line, name in imports_of(module) if name is not None]
    names += [
        (node.lineno, ast.unparse(node))
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr[:1] == "_" and node.attr[:2] != "__"
    ]
    for line, name in sorted(names):
        parts = name.split(".")
        if parts[0] == "torch" and parts[1:2] != ["ops"] and any(p[:1] == "_" for p in parts):
            yield line, f"`{name}` is torch's own, and stands in {TORCH_INTERNALS}"


def imports_of(module: Module) -> Iterator[tuple[int, str | None]]:
    """The line and the absolute name of all that a file imports, None for a computed name.

    Imports inside functions and under TYPE_CHECKING count: a layer that is not to be known is
    not to be known late either.
    """
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = module.package[: len(module.package) + 1 - node.level] if node.level else ()
            base = ".".join([*parts, *filter(None, [node.module])])
            # `from netspec import ir` imports netspec.ir; deeper names change nothing.
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and called_name(node) in {"import_module", "__import__"}:
            literal = node.args[0] if node.args else None
            is_text = isinstance(literal, ast.Constant) and isinstance(literal.value, str)
            yield node.lineno, literal.value if is_text else None


def called_name(node: ast.Call) -> str | None:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else None


def executing_faults(root: Path) -> list[str]:
    """The uses of eval, and of exec and compile outside the one file in emit/ that may do so."""
    uses = [(m, line, name) for m in modules_in(root) for line, name in executions_in(m.tree)]
    homes = sorted({m.file for m, _, name in uses if m.layer == "emit" and name != "eval"})
    return [
        f"{module.file}:{line}: `{name}` stands outside the one file for it"
        for module, line, name in uses
        if name == "eval" or module.file not in homes[:1]
    ]


def executing_files(root: Path) -> set[str]:
    return {m.file for m in modules_in(root) if any(n == "exec" for _, n in executions_in(m.tree))}


def executions_in(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Where the builtins exec and eval are read at all, and where the builtin compile is called.

    `model.eval()`, `re.compile(…)`, a field named `eval`, a parameter `compile` are other things.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in {"exec", "eval"}:
            if isinstance(node.ctx, ast.Load):
                yield node.lineno, node.id
        elif isinstance(node, ast.Call) and getattr(node.func, "id", None) == "compile":
            yield node.lineno, "compile"
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", None) == "builtins":
            if node.attr in EXECUTING:
                yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom) and node.module == "builtins":
            yield from ((node.lineno, a.name) for a in node.names if a.name in EXECUTING)


def heavy_imports(folder: Path) -> set[str]:
    """The heavy packages that are loaded after `import netspec`, with this folder first in line."""
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); import netspec; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    finished = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    return HEAVY & set(finished.stdout.split())


def ignored_files(repository: Path) -> list[str]:
    """The sources that a rule of .gitignore (like a bare `build/`) keeps out of git."""
    command = ["git", "ls-files", "--others", "--ignored", "--exclude-standard"]
    finished = subprocess.run(command, capture_output=True, text=True, check=True, cwd=repository)
    sources = ("netspec/", "configs/", "tests/", "scripts/", "docs/")
    return [
        name
        for name in finished.stdout.splitlines()
        if name.startswith(sources) and name.endswith((".py", ".yaml", ".md", ".typed"))
    ]


def circles(root: Path) -> list[list[str]]:
    """The groups of files that import each other, for types alone too (Tarjan, 1972)."""
    modules = {".".join((*m.package, Path(m.file).stem)): m for m in modules_in(root)}
    named = {name.removesuffix(".__init__"): name for name in modules}
    imports = {
        name: {named[found] for found in _files_imported(module, named)} - {name}
        for name, module in modules.items()
    }
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = lowest[name] = len(index)
        stack.append(name)
        for other in sorted(imports[name]):
            if other not in index:
                visit(other)
            if other in stack:
                lowest[name] = min(lowest[name], lowest[other])
        if lowest[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in imports:
        if name not in index:
            visit(name)
    return found


def _files_imported(module: Module, named: Mapping[str, str]) -> Iterator[str]:
    """The files of the package that a file imports: the longest part of each name that is one."""
    for _, name in imports_of(module):
        while name:
            if name in named:
                yield name
                break
            name = name.rpartition(".")[0]


# The package


def test_no_files_import_each_other() -> None:
    assert circles(NETSPEC) == []


def test_imports_go_one_way() -> None:
    assert violations(NETSPEC) == []


def test_one_file_executes() -> None:
    (file,) = executing_files(NETSPEC)
    assert file.startswith("emit/")


def test_importing_netspec_is_light() -> None:
    assert heavy_imports(NETSPEC.parent) == set()


@pytest.mark.skipif(not (NETSPEC.parent / ".git").exists(), reason="no git checkout")
def test_git_sees_every_source() -> None:
    assert ignored_files(NETSPEC.parent) == []


# The rules at work


def test_a_circle_is_seen(tmp_path: Path) -> None:
    late = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import netspec.ir.scope"
    files = {
        "__init__.py": "",
        "ir/__init__.py": "",
        "ir/session.py": late,
        "ir/scope.py": "from netspec.ir import memo",
        "ir/memo.py": "def f():\n    from netspec.ir.session import Session",
        "ir/graph.py": "from netspec.ir.scope import Scope",
    }
    (circle,) = circles(plant(tmp_path, files))
    assert circle == ["netspec.ir.memo", "netspec.ir.scope", "netspec.ir.session"]


def plant(folder: Path, files: Mapping[str, str]) -> Path:
    """A package of these files, as a folder named netspec."""
    root = folder / "netspec"
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


BREACHES = {
    "a memo": ("ops/writes.py", "_memo: dict[object, int] = {}", "is a `Cache`"),
    "torch's own names": (
        "ir/graph.py",
        "from torch.nn.modules.conv import _ConvNd",
        "`torch.nn.modules.conv._ConvNd` is torch's own",
    ),
    "torch's own modules": (
        "ops/values.py",
        "from torch.utils._pytree import tree_map",
        "`torch.utils._pytree.tree_map` is torch's own",
    ),
    "torch's own attributes": (
        "checks/layouts.py",
        "import torch\nx = torch._C",
        "`torch._C",
    ),
    "upwards": ("errors.py", "from netspec.source import read", "`errors` may not import `source`"),
    "ops know only errors": (
        "ops/types.py",
        "import netspec.language",
        "`ops` may not import `language`",
    ),
    "checks, emit": ("checks/unused.py", "from netspec.emit import tree", "not import `emit`"),
    "emit, view": ("emit/tree.py", "from netspec import view", "`emit` may not import `view`"),
    "view, checks": ("view/table.py", "import netspec.checks.inplace", "may not import `checks`"),
    "run is not below": ("pipeline.py", "from netspec.run.training import fit", "not import `run`"),
    "run, cli": ("run/training.py", "from netspec import cli", "`run` may not import `cli`"),
    "the surface": ("ir/lower.py", "from netspec import build_all", "not import `__init__`"),
    "the whole package": ("language/load.py", "import netspec", "may not import `__init__`"),
    "relative": ("language/load.py", "from ..ir import lower", "`language` may not import `ir`"),
    "relative, bare": ("language/load.py", "from .. import ir", "`language` may not import `ir`"),
    "late": (
        "language/load.py",
        "def f():\n    import netspec.ir",
        "`language` may not import `ir`",
    ),
    "for types": (
        "source.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import netspec.language",
        "`source` may not import `language`",
    ),
    "by text": (
        "language/load.py",
        "from importlib import import_module\nimport_module('netspec.ir')",
        "`language` may not import `ir`",
    ),
    "by a computed name": (
        "language/load.py",
        "import importlib\ndef f(name):\n    importlib.import_module(name)",
        "`language` may not import a name that it computes",
    ),
    "by __import__": ("ir/lower.py", "__import__('y' + 'aml')", "a name that it computes"),
    "a stranger": ("helpers.py", "", "`helpers` has no place in the import matrix"),
    "yaml": ("ir/lower.py", "import yaml", "`ir` may not import `yaml`"),
    "hydra": ("cli.py", "from hydra.core import utils", "`cli` may not import `hydra`"),
    "omegaconf": ("pipeline.py", "import omegaconf as o", "may not import `omegaconf`"),
    "lightning": ("view/table.py", "from lightning import Trainer", "not import `lightning`"),
    "eval": ("emit/tree.py", "eval('1')", "`eval` stands outside"),
    "eval by another name": ("ir/fold.py", "run = eval", "`eval` stands outside"),
    "exec": ("ir/lower.py", "exec('1')", "`exec` stands outside"),
    "exec of builtins": ("ir/lower.py", "import builtins\nbuiltins.exec('')", "`exec` stands"),
    "exec from builtins": ("ir/lower.py", "from builtins import exec as run", "`exec` stands"),
    "compile": ("checks/unused.py", "compile('1', '', 'eval')", "`compile` stands outside"),
}


@pytest.mark.parametrize(("file", "text", "fault"), BREACHES.values(), ids=BREACHES)
def test_a_breach_is_reported(tmp_path: Path, file: str, text: str, fault: str) -> None:
    (report,) = violations(plant(tmp_path, {file: text}))
    assert report.startswith(f"{file}:{1 + text.count(chr(10))}: ")
    assert fault in report


def test_a_second_file_that_executes_is_reported(tmp_path: Path) -> None:
    root = plant(tmp_path, {"emit/classes.py": "exec('')", "emit/tree.py": "exec('')"})
    assert violations(root) == ["emit/tree.py:1: `exec` stands outside the one file for it"]
    assert executing_files(root) == {"emit/classes.py", "emit/tree.py"}


def test_what_is_allowed_is_not_reported(tmp_path: Path) -> None:
    files = {
        "__init__.py": "from importlib import import_module\ndef f(n):\n    import_module(n)",
        "errors.py": "from __future__ import annotations\nimport re\nre.compile('a')",
        "ops/type_hints.py": "import builtins\nbuiltins.max(1, 2)",
        "source.py": "import yaml\nfrom netspec import errors",
        "language/load.py": "import yaml\nfrom netspec.language import schema\nfrom . import load",
        "ops/types.py": "import torch\nfrom ..errors import Span\nfrom netspec.ops import catalog",
        "ir/lower.py": "from netspec import errors, language, ops, source",
        "ir/graph.py": "class Outputs:\n    train: int\n    eval: int",
        "emit/classes.py": "import netspec.ir\nexec(compile('', '', 'exec'))",
        "pipeline.py": "from netspec import checks, emit, view",
        "run/training.py": "import hydra, lightning, omegaconf, netspec\nnetspec.build(1).eval()",
        "cli.py": "import netspec.run.training\ndef f(compile: bool):\n    return compile",
    }
    assert violations(plant(tmp_path, files)) == []


def test_a_heavy_import_is_reported(tmp_path: Path) -> None:
    plant(tmp_path, {"__init__.py": "from netspec import source", "source.py": "import yaml"})
    assert heavy_imports(tmp_path) == {"yaml"}


def test_an_ignored_source_is_reported(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    plant(tmp_path, {"emit/tree.py": "", "ir/lower.py": ""})
    (tmp_path / ".gitignore").write_text("emit/\n", encoding="utf-8")
    assert ignored_files(tmp_path) == ["netspec/emit/tree.py"]
