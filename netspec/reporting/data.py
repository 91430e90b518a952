"""Diagnostics for programs: plain JSON for editors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from netspec.errors import Diagnostic, Note, Span


@dataclass(frozen=True, slots=True)
class Found:
    """A diagnostic, and the spec in which it was found: the file named, or an include's owner."""

    file: str
    diagnostic: Diagnostic

    @property
    def place(self) -> str:
        """The file that it is in: an override or an arg has none, and stands in for its spec."""
        span = self.diagnostic.span
        return span.file if span.line else self.file

    @property
    def notes(self) -> list[str]:
        """The notes; the first says from where the mistake came, if that is no place in a file."""
        span = self.diagnostic.span
        elsewhere = [span.file] if not span.line and span.file != self.file else []
        return [*elsewhere, *self.diagnostic.notes]


def message_of(diagnostic: Diagnostic, notes: Iterable[str]) -> str:
    """The fact, the notes and the help, a line each, for what shows the place by itself."""
    lines = [diagnostic.fact, *(f"note: {note}" for note in notes)]
    if diagnostic.help:
        lines.append(f"help: {diagnostic.help}")
    return "\n".join(lines)


def json_of(found: Iterable[Found], notes: Iterable[Note] = ()) -> list[dict[str, object]]:
    """One mapping a diagnostic, then one a note, which has no code.

    Lines and columns count from 1, in characters; `endColumn` is the first one after. All four are
    None where the mistake is not in a line of a file.
    """
    told: list[dict[str, object]] = [
        {
            "file": one.place,
            "code": one.diagnostic.code,
            "message": one.diagnostic.fact,
            **region(one.diagnostic.span, _KEYS),
            "notes": one.notes,
            "help": one.diagnostic.help,
            "severity": one.diagnostic.severity,
            "page": one.diagnostic.page,
            "related": [
                {"file": r.span.file, "message": r.fact, **region(r.span, _KEYS)}
                for r in one.diagnostic.related
            ],
            "fixes": [
                {"title": fix.title, **region(fix.span, _KEYS), "replacement": fix.replacement}
                for fix in one.diagnostic.fixes
            ],
        }
        for one in found
    ]
    return told + list(map(_note, notes))


def _note(note: Note) -> dict[str, object]:
    return {
        "file": note.span.file,
        "code": None,
        "message": note.text,
        **region(note.span, _KEYS),
        "notes": [],
        "help": None,
        "severity": "note",
        "page": None,
        "related": [],
        "fixes": [],
    }


_KEYS = ("line", "column", "endLine", "endColumn")


def region(span: Span, keys: tuple[str, str, str, str]) -> dict[str, int | None]:
    if not span.line:
        return dict.fromkeys(keys)
    end = span.column + span.width
    return dict(zip(keys, (span.line, span.column, span.line, end), strict=True))
