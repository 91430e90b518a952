"""What Python code offered to specs, beside torch's own: classes and functions by their names.

An offer made while a plugin was loaded is the plugin's, and there where the plugin is enabled; any
other is this process's own, and always there. A spec reaches none of this but by a name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, Literal

OfferKind = Literal["module", "function"]


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """A class or a function under the name that specs write: `Swish`, `mylib/Swish`.

    `infer` are constructor arguments that the inputs of the call decide, as expressions. `fake`
    gives the result on `meta` in the place of the target. `function` is, of an activation's class,
    the name of its function. `home` is the plugin that offered it, or else the Python `module`.
    """

    name: str
    kind: OfferKind
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


_all: dict[tuple[str | None, OfferKind, str], Offer] = {}
_by_target: dict[int, Offer] = {}
_loading: ContextVar[str | None] = ContextVar("netspec plugin being loaded", default=None)
_enabled: ContextVar[tuple[str, ...]] = ContextVar("netspec plugins enabled", default=())
_used: ContextVar[dict[Offer, None] | None] = ContextVar("netspec offers used", default=None)


def add(offer: Offer) -> None:
    """Note an offer; one of the same target takes the place of the one before."""
    _all[offer.plugin, offer.kind, offer.name] = offer
    _by_target[id(offer.target)] = offer


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
    """These plugins' offers are there inside, beside those that are there already."""
    token = _enabled.set(tuple(dict.fromkeys((*_enabled.get(), *plugins))))
    try:
        yield
    finally:
        _enabled.reset(token)


@contextmanager
def noting() -> Iterator[dict[Offer, None]]:
    """The offers that were found by name inside, in the order of their first use."""
    used: dict[Offer, None] = {}
    token = _used.set(used)
    try:
        yield used
    finally:
        _used.reset(token)


def find(kind: OfferKind, name: str) -> Offer | None:
    """The offer of this name that is there."""
    for plugin in (None, *_enabled.get()):
        offer = _all.get((plugin, kind, name))
        if offer is not None:
            used = _used.get()
            if used is not None:
                used[offer] = None
            return offer
    return None


def present(kind: OfferKind | None = None) -> list[Offer]:
    """All offers that are there, by their names."""
    there = (None, *_enabled.get())
    found = [o for (plugin, k, _), o in _all.items() if plugin in there and kind in (None, k)]
    return sorted(found, key=lambda offer: (offer.name, offer.kind))


def adopt(plugin: str, module: str) -> None:
    """What this module registered while another plugin was loaded is this plugin's as well."""
    for offer in list(_all.values()):
        if offer.plugin is not None and (f"{offer.module}.").startswith(f"{module}."):
            add(replace(offer, plugin=plugin, home=plugin))


def namespaces() -> set[str]:
    """The namespaces of what is there."""
    return {offer.namespace for offer in present() if offer.namespace}


def owned_by(plugin: str | None) -> list[Offer]:
    """What a plugin offered, enabled or not; for None, this process's own."""
    return [offer for offer in _all.values() if offer.plugin == plugin]


def elsewhere(kind: OfferKind, name: str) -> list[str]:
    """The plugins that were loaded, are not enabled here, and have this name."""
    there = (None, *_enabled.get())
    return [p for p, k, n in _all if (k, n) == (kind, name) and p is not None and p not in there]


def of_target(target: object) -> Offer | None:
    """The offer whose class or function this is."""
    offer = _by_target.get(id(target))
    return offer if offer is not None and offer.target is target else None


def symbol_of(offer: Offer) -> str:
    """What Python code calls it: by its own name, unless another that is there has the same."""
    for other in present():
        if other.bare == offer.bare and other.target is not offer.target:
            return offer.name.replace("/", "_")
    return offer.bare


def forget(plugin: str | None = None) -> None:
    """Drop what this process, or a plugin, offered; for tests."""
    for key in [key for key in _all if key[0] == plugin]:
        _by_target.pop(id(_all.pop(key).target), None)
