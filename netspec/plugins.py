"""Plugins: packages, and modules in the working folder, whose layers are enabled by name.

A plugin is an entry point of the group `netspec.layers`, or a Python module. It registers its
layers when it is imported; an entry point may also be a function that does, which is called.
Nothing is loaded by being installed, and no spec and no checkpoint enables anything.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from netspec import data_registry
from netspec.errors import Diagnostic, Origin, Span, SpecError, did_you_mean
from netspec.ops import registry

GROUP = "netspec.layers"
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_NAME = re.compile(r"[A-Za-z_][\w.-]*")
_loaded: dict[str, object] = {}


@contextlib.contextmanager
def enabled(plugins: Sequence[str] | None) -> Iterator[None]:
    """The layers of these plugins can be named inside. Raises SpecError (NS220)."""
    names = tuple(plugins or ())
    load(names)
    with registry.enable(names):
        yield


def load(plugins: Sequence[str]) -> None:
    """Imports what is not yet there; nothing is enabled. Raises SpecError (NS220)."""
    found = [_load(name) for name in dict.fromkeys(plugins)]
    problems = [problem for problem in found if problem is not None] or _clashes(plugins)
    if problems:
        raise SpecError(problems)


def installed() -> dict[str, EntryPoint]:
    """The plugins that installed packages offer, by their names; none of them is loaded."""
    return {entry.name: entry for entry in sorted(entry_points(group=GROUP), key=_name_of)}


def _name_of(entry: EntryPoint) -> str:
    return entry.name


def is_enabled(name: str) -> bool:
    """Whether what a spec or a checkpoint says it needs is there: a plugin, or a namespace."""
    if name in registry.enabled():
        return True
    return any(name in (registered.home, registered.namespace) for registered in registry.visible())


def how_to_enable(name: str) -> str:
    """A help line, which people may copy into a shell."""
    if not _NAME.fullmatch(name):
        return "the name of a plugin is like `mylib`, or `mylib.layers`"
    known = "" if name in _loaded else ", if you have it and trust it"
    return f"enable it{known}: plugins=[{name}] in a run or in Python, --plugin {name} elsewhere"


def _load(name: str) -> Diagnostic | None:
    """Loads a plugin once in a process; gives what is wrong with it."""
    if name in _loaded:
        return None
    entry = installed().get(name)
    try:
        with registry.load_as(name):
            if entry is not None:
                found = entry.load()
                if callable(found) and not isinstance(found, ModuleType):
                    found()
            else:
                found = _import(name)
    except _NotFound as error:
        return _diagnostic(name, str(error), error.help)
    except Exception as error:  # the plugin's own code
        return _failed(name, error)
    home = found.__name__ if isinstance(found, ModuleType) else name
    if not _owned_by(name):
        registry.reassign(name, home)
        data_registry.reassign(name, home)
    if not _owned_by(name) and not _registered_itself(home):
        fact = f"the plugin `{name}` registers no layers"
        return _diagnostic(name, fact, "it calls `netspec.register` where it is imported")
    _loaded[name] = found
    return None


def _owned_by(plugin: str) -> bool:
    return bool(registry.owned_by(plugin) or data_registry.owned_by(plugin))


def _registered_itself(module: str) -> bool:
    """Whether a module was imported before, and registered its layers or data then."""
    data = data_registry.owned_by(None)
    return any(registered.home == module for registered in registry.owned_by(None)) or any(
        registered.function.__module__ == module for registered in data
    )


class _NotFound(Exception):
    def __init__(self, fact: str, help: str | None) -> None:
        super().__init__(fact)
        self.help = help


def _import(name: str) -> ModuleType:
    """The module of this name, also from the working folder. Raises _NotFound."""
    if not _MODULE.fullmatch(name):
        raise _NotFound(f"`{name}` is no plugin's name", "write `mylib`, or `mylib.layers`")
    here = os.getcwd()
    root = name.partition(".")[0]
    if name not in sys.modules and not _is_there(root):
        if not any(Path(here, place).exists() for place in (f"{root}.py", root)):
            near = did_you_mean(name, _names_here()) or _listed()
            raise _NotFound(f"there is no plugin `{name}`", near)
        sys.path.append(here)  # last: a file here hides no package
        importlib.invalidate_caches()
    return importlib.import_module(name)


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _names_here() -> list[str]:
    return [*installed(), *(file.stem for file in sorted(Path().glob("*.py")))]


def _listed() -> str:
    names = ", ".join(f"`{name}`" for name in installed())
    what = f"installed are {names}" if names else "no installed package offers one"
    return f"{what}; a module in the working folder, or of a package, is one too"


def _failed(name: str, error: Exception) -> Diagnostic:
    last = traceback.extract_tb(error.__traceback__)[-1]
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _is_machinery(f.filename)]
    where = frames[-1] if frames else last
    said = str(error).strip().partition("\n")[0] or "no reason given"
    fact = f"the plugin `{name}` cannot be loaded: {type(error).__name__}: {said}"
    note = f"at {where.filename}:{where.lineno}"
    return Diagnostic("NS220", fact, _span(name), (note,))


def _is_machinery(file: str) -> bool:
    """Whether a frame is Python's import or ours, and not the plugin's."""
    own = os.path.dirname(os.path.abspath(__file__))
    return file.startswith(("<frozen", own)) or f"{os.sep}importlib{os.sep}" in file


def _clashes(names: Sequence[str]) -> list[Diagnostic]:
    """Names that two of the plugins, or a plugin and this process, both have."""
    problems = []
    owners: dict[str, str | None] = {}
    targets: dict[str, object] = {}
    for plugin in (None, *dict.fromkeys((*registry.enabled(), *names))):
        for registered in registry.owned_by(plugin):
            if registered.name not in owners:
                owners[registered.name], targets[registered.name] = plugin, registered.target
            elif (
                owners[registered.name] != plugin
                and targets[registered.name] is not registered.target
            ):
                other = owners[registered.name]
                also = f"the plugin `{other}`" if other else "this program itself"
                fact = f"the plugin `{plugin}` and {also} both register `{registered.name}`"
                help = "enable one of them, or register under a namespace: `mylib/Name`"
                problems.append(_diagnostic(plugin or "", fact, help))
    return problems


def _diagnostic(name: str, fact: str, help: str | None) -> Diagnostic:
    return Diagnostic("NS220", fact, _span(name), help=help)


def _span(name: str) -> Span:
    return Span.of(Origin("plugin", name, f"plugins=[{name!r}]"))
