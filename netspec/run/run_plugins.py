"""The plugins of a run, enabled for as long as it lasts, and the limits that it raises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from netspec.errors import RunError, SpecError
from netspec.limits import raised, read_limits
from netspec.plugins import enabled, load
from netspec.run.overrides import key_of, value_of
from netspec.run.settings import place_of


def load_for_data(overrides: Sequence[str]) -> None:
    """Imports the plugins that are typed beside a choice of data, which one of them may have.

    Raises RunError (NS220), placed at the override.
    """
    given = {key_of(text): text for text in overrides}
    if "data" not in given or "plugins" not in given:
        return
    value = value_of(given["plugins"])
    _load([str(name) for name in value] if isinstance(value, list) else [str(value)], overrides)


def _load(plugins: Sequence[str], overrides: Sequence[str]) -> None:
    try:
        load(plugins)
    except SpecError as error:
        span = place_of("plugins", overrides)
        raise RunError([replace(found, span=span) for found in error.diagnostics]) from None


@contextmanager
def enabled_for_run(
    plugins: Sequence[str], limits: Mapping[str, int], overrides: Sequence[str]
) -> Iterator[None]:
    """The run's plugins are enabled inside, and its limits hold.

    Raises RunError (NS220, or NS201 and NS205 of a limit), placed at the override.
    """
    _load(plugins, overrides)
    try:
        allowed = read_limits(limits)
    except SpecError as error:
        raise RunError(error.diagnostics) from None
    with enabled(plugins), raised(allowed):
        yield
