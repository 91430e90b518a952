"""The one way in which diagnostics reach a screen."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TextIO

from netspec.display import Look
from netspec.errors import Diagnostic, SpecError, render

_USUAL_WIDTH = 80


def look_of(stream: TextIO) -> Look:
    """How text is laid out on a stream: as wide as its terminal, and in colour if it has colours.

    NO_COLOR, FORCE_COLOR and TERM=dumb are honoured, in this order.
    """
    terminal = stream.isatty()
    return Look(_width_of(stream) if terminal else None, _has_colours(terminal))


def _has_colours(terminal: bool) -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return terminal and os.environ.get("TERM") != "dumb"


def _width_of(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or _USUAL_WIDTH
    except (OSError, ValueError):
        return _USUAL_WIDTH


def tell(diagnostics: Iterable[Diagnostic], stream: TextIO) -> None:
    """Write the diagnostics, with an empty line between two of them."""
    look = look_of(stream)
    text = "\n\n".join(render(diagnostic, look) for diagnostic in diagnostics)
    stream.write(f"{text}\n" if text else "")
    stream.flush()


def print_error(error: SpecError) -> None:
    """The message alone on stderr, without a traceback."""
    tell(error.diagnostics, sys.stderr)
