"""What can be wrong with a spec, where, and how it is told.

A mistake of the user is a `Diagnostic`; one or more of them travel in a `SpecError`.
Codes: NS1xx the text, NS2xx names and arguments, NS3xx shapes and types, NS4xx in place and
aliasing, NS5xx state; NS6xx the data of a run, NS7xx the run itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from netspec.display import PLAIN, Look, Style, excerpt, paint, visible, wrapped

_LONGEST = 1_000  # characters of a fact, a note, a help that are shown: a spec's texts may be long

# Among how many names, and of how many characters, a near one is looked for: it takes a while.
_COMPARED_NAMES = 2_000
_COMPARED = 64


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


MAX_DIAGNOSTICS = 100


class SpecError(Exception):
    """A spec that cannot be built; `diagnostics` says why, in the order of lines.

    It has at most MAX_DIAGNOSTICS of them, the first.
    """

    def __init__(self, diagnostics: Diagnostic | Iterable[Diagnostic]) -> None:
        if isinstance(diagnostics, Diagnostic):
            diagnostics = (diagnostics,)
        found = sorted(dict.fromkeys(diagnostics), key=_reading_order)
        assert found, "a SpecError needs at least one diagnostic"
        self.diagnostics: tuple[Diagnostic, ...] = tuple(found[:MAX_DIAGNOSTICS])
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


def render(diagnostic: Diagnostic, look: Look = PLAIN) -> str:
    """The diagnostic as text: the fact, the place with a caret line, then notes and help.

    Of the spec's own characters only those reach it that no terminal obeys (`display.visible`).
    """
    span = diagnostic.span
    margin = " " * len(str(span.line))
    lines = _labelled(look, "error", "", f"error[{diagnostic.code}]", diagnostic.fact)
    place = f"{span.file}:{span.line}:{span.column}" if span.line else span.file
    lines.append(f"{margin}{paint(look, 'margin', '-->')} {visible(place)}")
    if span.line:
        room = None if look.width is None else look.width - len(margin) - 3
        text, carets = excerpt(span.text, span.column - 1, span.width, room)
        bar = paint(look, "margin", "|")
        number = paint(look, "margin", str(span.line))
        lines.append(f"{number} {bar} {text}".rstrip())
        indent = " " * (len(carets) - len(carets.lstrip()))
        lines.append(f"{margin} {bar} {indent}{paint(look, 'error', carets.lstrip())}")
    for note in diagnostic.notes:
        lines += _labelled(look, "note", f"{margin} = ", "note", note)
    if diagnostic.help:
        lines += _labelled(look, "help", f"{margin} = ", "help", diagnostic.help)
    return "\n".join(lines)


def _labelled(look: Look, style: Style, margin: str, label: str, text: str) -> list[str]:
    """`margin label: text`; what does not fit in a line stands below the text's beginning."""
    indent = len(margin) + len(label) + 2
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"
    lines = wrapped(text, None if look.width is None else look.width - indent)
    if style == "error":
        lines = [paint(look, "strong", line) for line in lines]
    head = f"{paint(look, 'margin', margin)}{paint(look, style, label)}: "
    return [head + lines[0], *(" " * indent + line for line in lines[1:])]


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
    short = [name for name in known if len(name) <= _COMPARED][:_COMPARED_NAMES]
    return get_close_matches(word[: 2 * _COMPARED], short, n=2, cutoff=0.7)
