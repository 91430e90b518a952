"""What Python code registered for specs, beside torch's own: classes and functions by their names.

What is registered while a plugin is loaded is the plugin's, and visible where the plugin is
enabled; all else is this process's own, and always there. A spec reaches none of this but by a
name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, Literal

RegisteredKind = Literal["module", "function"]


@dataclass(frozen=True, slots=True, eq=False)
class Registered:
    """A class or a function under the name that specs write: `Swish`, `mylib/Swish`.

    `infer` are constructor arguments that the inputs of the call decide, as expressions. `fake`
    gives the result on `meta` in the place of the target. `function` is, of an activation's class,
    the name of its function. `home` is the plugin that registered it, or else the Python `module`.
    """

    name: str
    kind: RegisteredKind
    target: Callable[..., Any]
    home: str
    plugin: str | None
    module: str  # which registered it
    infer: Mapping[str, str] = field(default_factory=dict)
    fake: Callable[..., Any] | None = None
    function: str | None = None

    @property
    def path(self) -> str:
        """Where Python finds it: `mylib.layers.Swish`."""
        return f"{self.target.__module__}.{self.target.__qualname__}"

    @property
    def is_importable(self) -> bool:
        """Whether `from module import name` gives it, in any process."""
        return self.target.__module__ != "__main__" and "." not in self.target.__qualname__

    @property
    def namespace(self) -> str:
        return self.name.rpartition("/")[0]

    @property
    def bare(self) -> str:
        return self.name.rpartition("/")[2]


_all: dict[tuple[str | None, RegisteredKind, str], Registered] = {}
_by_target: dict[int, Registered] = {}
_loading: ContextVar[str | None] = ContextVar("netspec plugin being loaded", default=None)
_enabled: ContextVar[tuple[str, ...]] = ContextVar("netspec plugins enabled", default=())
_used: ContextVar[dict[Registered, None] | None] = ContextVar(
    "netspec registrations used", default=None
)


def add(registered: Registered) -> None:
    """Keep a registration; one of the same target takes the place of the one before."""
    _all[registered.plugin, registered.kind, registered.name] = registered
    _by_target[id(registered.target)] = registered


def state() -> tuple[object, ...]:
    """What compares equal while nothing was registered, and the same plugins are enabled."""
    return (len(_all), sum(map(id, _all.values())), _enabled.get())


def loading() -> str | None:
    """The plugin that is being loaded now."""
    return _loading.get()


def enabled() -> tuple[str, ...]:
    """The plugins that are enabled here."""
    return _enabled.get()


@contextmanager
def load_as(plugin: str) -> Iterator[None]:
    """What is registered inside is this plugin's."""
    token = _loading.set(plugin)
    try:
        yield
    finally:
        _loading.reset(token)


@contextmanager
def enable(plugins: tuple[str, ...]) -> Iterator[None]:
    """What these plugins registered is visible inside, beside what is already."""
    token = _enabled.set(tuple(dict.fromkeys((*_enabled.get(), *plugins))))
    try:
        yield
    finally:
        _enabled.reset(token)


@contextmanager
def recording_use() -> Iterator[dict[Registered, None]]:
    """What was found by name inside, in the order of their first use."""
    used: dict[Registered, None] = {}
    token = _used.set(used)
    try:
        yield used
    finally:
        _used.reset(token)


def find(kind: RegisteredKind, name: str) -> Registered | None:
    """What is visible under this name."""
    for plugin in (None, *_enabled.get()):
        registered = _all.get((plugin, kind, name))
        if registered is not None:
            used = _used.get()
            if used is not None:
                used[registered] = None
            return registered
    return None


def visible(kind: RegisteredKind | None = None) -> list[Registered]:
    """All that is visible, by its names."""
    there = (None, *_enabled.get())
    found = [o for (plugin, k, _), o in _all.items() if plugin in there and kind in (None, k)]
    return sorted(found, key=lambda registered: (registered.name, registered.kind))


def reassign(plugin: str, module: str) -> None:
    """What this module registered while another plugin was loaded is this plugin's as well."""
    for registered in list(_all.values()):
        if registered.plugin is not None and (f"{registered.module}.").startswith(f"{module}."):
            add(replace(registered, plugin=plugin, home=plugin))


def namespaces() -> set[str]:
    """The namespaces of what is there."""
    return {registered.namespace for registered in visible() if registered.namespace}


def owned_by(plugin: str | None) -> list[Registered]:
    """What a plugin registered, enabled or not; for None, this process's own."""
    return [registered for registered in _all.values() if registered.plugin == plugin]


def in_other_plugins(kind: RegisteredKind, name: str) -> list[str]:
    """The plugins that were loaded, are not enabled here, and have this name."""
    there = (None, *_enabled.get())
    return [p for p, k, n in _all if (k, n) == (kind, name) and p is not None and p not in there]


def of_target(target: object) -> Registered | None:
    """The registration whose class or function this is."""
    registered = _by_target.get(id(target))
    return registered if registered is not None and registered.target is target else None


def symbol_of(registered: Registered) -> str:
    """What Python code calls it: by its own name, unless another that is there has the same."""
    for other in visible():
        if other.bare == registered.bare and other.target is not registered.target:
            return registered.name.replace("/", "_")
    return registered.bare


def forget(plugin: str | None = None) -> None:
    """Drop what this process, or a plugin, registered; for tests."""
    for key in [key for key in _all if key[0] == plugin]:
        _by_target.pop(id(_all.pop(key).target), None)
