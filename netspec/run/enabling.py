"""The plugins of a run, enabled for as long as it lasts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from netspec.errors import RunError, SpecError
from netspec.plugins import enabled, load
from netspec.run.settings import place_of


@contextmanager
def plugins_of_run(plugins: Sequence[str], overrides: Sequence[str]) -> Iterator[None]:
    """The run's plugins are enabled inside. Raises RunError (NS220), placed at the override."""
    try:
        load(plugins)
    except SpecError as error:
        span = place_of("plugins", overrides)
        raise RunError([replace(found, span=span) for found in error.diagnostics]) from None
    with enabled(plugins):
        yield
