"""Data sets that Python code registered for runs, by the name that `data=` gives.

What is registered while a plugin is loaded is the plugin's, and there where the plugin is enabled;
all else is this process's own, and always there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from netspec.ops import registry


@dataclass(frozen=True, slots=True, eq=False)
class RegisteredData:
    """A function that gives the splits of a data set, and the model of its options."""

    name: str
    function: Callable[..., Any]
    options: type[BaseModel]
    own: tuple[str, ...]  # the options that are the function's arguments
    plugin: str | None


_all: dict[tuple[str | None, str], RegisteredData] = {}


def add(registered: RegisteredData) -> None:
    """Keep a registration; the same function again takes the place of the one before.

    Raises ValueError where another one has its name.
    """
    key = (registered.plugin, registered.name)
    before = _all.get(key)
    if before is not None and _path(before) != _path(registered):
        raise ValueError(f"data `{registered.name}` is registered already, by {_path(before)}")
    _all[key] = registered


def _path(registered: RegisteredData) -> str:
    return f"{registered.function.__module__}.{registered.function.__qualname__}"


def find(name: str) -> RegisteredData | None:
    """What is visible under this name."""
    for plugin in (None, *registry.enabled()):
        found = _all.get((plugin, name))
        if found is not None:
            return found
    return None


def find_loaded(name: str) -> RegisteredData | None:
    """What any plugin that was loaded, or this process, has under this name."""
    return next((each for each in _all.values() if each.name == name), None)


def visible() -> list[str]:
    """The names that are visible."""
    there = (None, *registry.enabled())
    return sorted({name for plugin, name in _all if plugin in there})


def owned_by(plugin: str | None) -> list[RegisteredData]:
    """What a plugin registered, enabled or not; for None, this process's own."""
    return [registered for registered in _all.values() if registered.plugin == plugin]


def reassign(plugin: str, module: str) -> None:
    """What this module registered while another plugin was loaded is this plugin's as well."""
    for registered in list(_all.values()):
        own = f"{registered.function.__module__}.".startswith(f"{module}.")
        if registered.plugin is not None and own:
            add(replace(registered, plugin=plugin))


def forget(name: str) -> None:
    """Drop what is registered under a name; for tests."""
    for key in [key for key in _all if key[1] == name]:
        del _all[key]
