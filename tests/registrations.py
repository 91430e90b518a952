"""What a test, or a page of the docs, registers and loads: not there before it, nor after it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from netspec import data_registry, plugins
from netspec.ops import registry


class Registrations:
    """Layers, data and plugins that are there inside of it alone; none at first."""

    def __init__(self) -> None:
        self._own: list[dict[Any, Any]] = [{} for _ in _kept()]

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Inside, what was registered inside before; after it, what was there outside."""
        before = _exchanged(self._own)
        try:
            yield
        finally:
            self._own = _exchanged(before)


def _exchanged(entries: list[dict[Any, Any]]) -> list[dict[Any, Any]]:
    before = [dict(each) for each in _kept()]
    for each, new in zip(_kept(), entries, strict=True):
        each.clear()
        each.update(new)
    return before


def _kept() -> tuple[dict[Any, Any], ...]:
    return (registry._all, registry._by_target, data_registry._all, plugins._loaded)
