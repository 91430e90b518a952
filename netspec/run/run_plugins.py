"""The plugins of a run, enabled for as long as it lasts, and the limits that it raises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from netspec.errors import RunError, SpecError
from netspec.limits import raised, read_limits
from netspec.plugins import enabled, load
from netspec.run.settings import place_of


@contextmanager
def enabled_for_run(
    plugins: Sequence[str], limits: Mapping[str, int], overrides: Sequence[str]
) -> Iterator[None]:
    """The run's plugins are enabled inside, and its limits hold.

    Raises RunError (NS220, or NS201 and NS205 of a limit), placed at the override.
    """
    try:
        load(plugins)
    except SpecError as error:
        span = place_of("plugins", overrides)
        raise RunError([replace(found, span=span) for found in error.diagnostics]) from None
    try:
        allowed = read_limits(limits)
    except SpecError as error:
        raise RunError(error.diagnostics) from None
    with enabled(plugins), raised(allowed):
        yield
