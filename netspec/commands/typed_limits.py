"""The limits that were typed behind --limit. Nothing here imports torch."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable

from netspec.errors import SpecError
from netspec.limits import raised, read_limits
from netspec.reporting.terminal import print_error


def with_limits(options: Namespace, command: Callable[[Namespace], int]) -> int:
    """The command's exit status, with the limits that were typed behind --limit."""
    try:
        limits = read_limits(dict(options.limits), "--limit ")
    except SpecError as error:
        print_error(error)
        return 2
    with raised(limits):
        return command(options)
