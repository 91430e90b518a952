"""Two texts that differ in comments and white space alone say the same, elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from netspec.errors import Diagnostic
from netspec.source import Source


def moved(
    before: Source, now: Source, diagnostics: Sequence[Diagnostic]
) -> tuple[Diagnostic, ...] | None:
    """The diagnostics of the text before, in the text now; None where the texts say other things.

    None too where there are diagnostics, and lines moved: they name lines.
    """
    if (before.file, before.path) != (now.file, now.path):
        return None
    if before.text == now.text:
        return tuple(diagnostics)
    if not _same(before.value, now.value):
        return None
    if not diagnostics:
        return ()
    if before.places.lines() != now.places.lines():
        return None
    found = []
    for diagnostic in diagnostics:
        span = diagnostic.span
        if span.file != now.file or not span.line:
            return None
        text = now.places.line(span.line)
        end = span.column - 1 + span.width
        if text[:end] != span.text[:end]:
            return None
        found.append(replace(diagnostic, span=replace(span, text=text)))
    return tuple(found)


def _same(a: object, b: object) -> bool:
    """Equal, with the same types, and mappings in the same order."""
    return repr(a) == repr(b)
