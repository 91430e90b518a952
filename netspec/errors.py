"""What can be wrong with a spec, where, and how it is told.

A mistake of the user is a `Diagnostic`; one or more of them travel in a `SpecError`.
Codes: NS1xx the text, NS2xx names and arguments, NS3xx shapes and types, NS4xx in place and
aliasing, NS5xx state; NS6xx the data of a run, NS7xx the run itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one line of a spec's text; lines and columns count from 1, in characters.

    `text` is the line itself. A value that no file holds (an override, a mapping given in Python)
    has line 0, and `file` says where it came from.
    """

    file: str
    line: int = 0
    column: int = 1
    width: int = 1
    text: str = ""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake: its code, the fact, its place, and what else helps.

    `str()` of it is the message as the user sees it, without colour.
    """

    code: str
    fact: str
    span: Span
    notes: tuple[str, ...] = ()
    help: str | None = None

    def __str__(self) -> str:
        return render(self)


class SpecError(Exception):
    """A spec that cannot be built; `diagnostics` says why, in the order of lines."""

    def __init__(self, diagnostics: Diagnostic | Iterable[Diagnostic]) -> None:
        if isinstance(diagnostics, Diagnostic):
            diagnostics = (diagnostics,)
        found = sorted(dict.fromkeys(diagnostics), key=_reading_order)
        assert found, "a SpecError needs at least one diagnostic"
        self.diagnostics: tuple[Diagnostic, ...] = tuple(found)
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        return "\n" + "\n\n".join(render(d) for d in self.diagnostics)

    def __reduce__(self) -> tuple[type[SpecError], tuple[tuple[Diagnostic, ...]]]:
        return (type(self), (self.diagnostics,))


class RunError(SpecError):
    """A run that cannot start or go on: its data, device, settings, checkpoint or folder."""


def _reading_order(diagnostic: Diagnostic) -> tuple[str, int, int]:
    span = diagnostic.span
    return (span.file, span.line, span.column)


def render(diagnostic: Diagnostic) -> str:
    """The diagnostic as plain text: the fact, the place with a caret line, then notes and help."""
    span = diagnostic.span
    lines = [f"error[{diagnostic.code}]: {diagnostic.fact}"]
    margin = " " * len(str(span.line))
    if span.line:
        lines.append(f"{margin}--> {span.file}:{span.line}:{span.column}")
        text = span.text.expandtabs(4)
        start = len(span.text[: span.column - 1].expandtabs(4))
        lines.append(f"{span.line} | {text}".rstrip())
        lines.append(f"{margin} | {' ' * start}{'^' * max(1, span.width)}")
    else:
        margin = " "
        lines.append(f"{margin}--> {span.file}")
    lines += [f"{margin} = note: {note}" for note in diagnostic.notes]
    if diagnostic.help:
        lines.append(f"{margin} = help: {diagnostic.help}")
    return "\n".join(lines)


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A help line that offers the nearest of the known names, or None where none is near."""
    near = nearest(word, tuple(known))
    if not near:
        return None
    return "did you mean " + " or ".join(f"`{name}`" for name in near) + "?"


def nearest(word: str, known: Sequence[str]) -> list[str]:
    """The known names that a typo of this word may have meant, best first, at most two."""
    known = list(dict.fromkeys(known))
    folded = {name.lower().replace("_", ""): name for name in known}
    exact = folded.get(word.lower().replace("_", ""))
    if exact is not None and exact != word:
        return [exact]
    return get_close_matches(word, known, n=2, cutoff=0.7)
