"""A text that is no YAML, half written: as much of it as can be read all the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from netspec.errors import Diagnostic, SpecError
from netspec.source import Source, read_text

_TRIES = 24


def read_tolerantly(
    text: str, file: str, path: Path | None
) -> tuple[Source | None, tuple[Diagnostic, ...]]:
    """The source, and what is wrong with the text.

    Where it is no YAML the lines that are wrong are left out; if the rest cannot be read either, it
    is what stands before the mistake, or before the layer in which that is.
    """
    try:
        return read_text(text, file, path), ()
    except SpecError as error:
        problems = error.diagnostics
    lines = text.splitlines(keepends=True)
    wrong = sorted({d.span.line for d in problems if 1 <= d.span.line <= len(lines)})
    if not wrong:
        return None, problems
    for candidate in _candidates(lines, wrong):
        try:
            return read_text(candidate, file, path), problems
        except SpecError:
            continue
    return None, problems


def _candidates(lines: Sequence[str], wrong: Sequence[int]) -> Iterator[str]:
    """Texts to be tried, the longest first; each line of them stands where it stood."""
    left_out = set(wrong)
    yield "".join(_blank(line) if n in left_out else line for n, line in enumerate(lines, 1))
    first = wrong[0]
    end = _end_of_entry(lines, first)
    yield "".join([*lines[: first - 1], *map(_blank, lines[first - 1 : end]), *lines[end:]])
    start = first - 1
    for _ in range(_TRIES):
        yield "".join(lines[:start])
        if start == 0:
            return
        start = _before(lines, start)


def _blank(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]


def _indent(line: str) -> int | None:
    """How far a line is indented; None for one that says nothing."""
    said = line.strip()
    return None if not said or said.startswith("#") else len(line) - len(line.lstrip(" "))


def _end_of_entry(lines: Sequence[str], number: int) -> int:
    """The last line of what begins on a line: those that follow, and are indented deeper."""
    own = _indent(lines[number - 1]) or 0
    end = number
    while end < len(lines):
        indent = _indent(lines[end])
        if indent is not None and indent <= own:
            break
        end += 1
    return end


def _before(lines: Sequence[str], start: int) -> int:
    """The line (from 0) where the last entry of the first `start` lines begins."""
    last = next((n for n in range(start - 1, -1, -1) if _indent(lines[n]) is not None), None)
    return 0 if last is None else last
