"""A name in all texts that know it: its definition, its uses, and a new name for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from netspec.analysis.analyse import Analysis
from netspec.analysis.model import Name
from netspec.errors import Diagnostic, Span
from netspec.lsp.document import same_file
from netspec.lsp.hover import name_at

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class FoundName:
    """A name: its definition, its places in all texts, and the one that was pointed at."""

    name: Name
    at: Span
    places: tuple[Span, ...]


def find_name(
    analysis: Analysis, line: int, column: int, others: Iterable[Analysis]
) -> FoundName | None:
    """The name at a place; `others` are the analyses of texts that may use it, too."""
    name = name_at(analysis, line, column)
    if name is None or analysis.source is None:
        return None
    places = [name.definition, *name.uses]
    for other in others:
        for known in other.names:
            if known.kind == name.kind and _is_same(known.definition, name.definition):
                places += known.uses
    distinct = {(span.file, span.line, span.column): span for span in places if span.line}
    at = next(
        span
        for span in (name.definition, *name.uses)
        if span.file == analysis.source.file
        and span.line == line
        and span.column <= column <= span.column + span.width
    )
    return FoundName(name, at, tuple(distinct.values()))


def _is_same(a: Span, b: Span) -> bool:
    return (a.line, a.column) == (b.line, b.column) and same_file(a.file, b.file)


def stretch_of_name(span: Span, name: str) -> tuple[int, int] | None:
    """From which column to which a name stands at its place, without quotes around it.

    None where it is not written there letter by letter, as in an expression over several lines.
    """
    start = span.column - 1
    start += span.text[start : start + 1] in ('"', "'")
    end = start + len(name)
    after = span.text[end : end + 1]
    if span.text[start:end] != name or after.isalnum() or after == "_":
        return None
    return start + 1, end + 1


def name_alone(span: Span, name: str) -> Span:
    """The place of a name without quotes around it."""
    found = stretch_of_name(span, name)
    return span if found is None else replace(span, column=found[0], width=found[1] - found[0])


def renamed(text: str, places: Iterable[Span], name: str, new: str) -> str | None:
    """A text with its places of a name rewritten; None where one of them can't be."""
    lines = text.splitlines(keepends=True)
    for span in sorted(places, key=lambda s: (s.line, s.column), reverse=True):
        found = stretch_of_name(span, name)
        if found is None:
            return None
        line = lines[span.line - 1]
        lines[span.line - 1] = line[: found[0] - 1] + new + line[found[1] - 1 :]
    return "".join(lines)


def why_not(name: Name, new: str) -> str | None:
    """Why something cannot be a new name; None where it can."""
    if not _NAME.fullmatch(new):
        return "a name is letters, digits, `_` and `-`"
    if name.kind in ("arg", "input") and not new.isidentifier():
        return f"the name of an {name.kind} is letters, digits and `_`, and begins with no digit"
    return None


def new_mistakes(before: Iterable[Diagnostic], after: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    """What is wrong after a change and was not before it."""
    known = {(each.code, each.span.line) for each in before}
    return (each for each in after if (each.code, each.span.line) not in known)


Analyse = Callable[[str, str, Mapping[str, str]], Analysis]  # of a text, its file, those beside it


def unfit(
    new: str, texts: Mapping[str, str], changed: Mapping[str, str], analyse: Analyse
) -> str | None:
    """What would be wrong after a name was changed; None where nothing is."""
    for file, text in texts.items():
        before, after = analyse(text, file, {}), analyse(changed[file], file, changed)
        for mistake in new_mistakes(before.diagnostics, after.diagnostics):
            return f"`{new}` does not fit: {mistake.fact} ({file}:{mistake.span.line})"
        if len(after.nodes) != len(before.nodes) or len(after.edges) != len(before.edges):
            return f"`{new}` would make another network of {file}"
    return None
