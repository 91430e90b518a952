"""What can be wrong with a spec, where, and how it is told.

A mistake of the user is a `Diagnostic`; one or more of them travel in a `SpecError`.
Codes: NS1xx the text, NS2xx names and arguments, NS3xx shapes and types, NS4xx in place and
aliasing, NS5xx state; NS6xx the data of a run, NS7xx the run itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, TypeVar

from netspec.display import PLAIN, Look, Style, excerpt, paint, visible, wrapped

_LONGEST = 1_000  # characters of a fact, a note, a help that are shown: a spec's texts may be long

# Among how many names, and of how many characters, a near one is looked for: it takes a while.
_COMPARED_NAMES = 2_000
_COMPARED = 64


# What is given as a whole: where no one place of it is meant.
Whole = Literal[
    "checkpoint's model", "command line", "overrides", "run's configuration", "run's data",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from that stands in no file: what kind of thing, and which one.

    `written` is how messages call it: `args={'width': …}`, `the override layers.a.p=0.1`.
    """

    kind: Literal["act", "arg", "dtype", "limit", "option", "override", "plugin", "size"] | Whole
    name: str
    written: str


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one line of a spec's text; lines and columns count from 1, in characters.

    `text` is the line itself. A value that no file holds (an override, a mapping given in Python)
    has line 0, `file` tells people where it came from, and `origin` programs.
    """

    file: str
    line: int = 0
    column: int = 1
    width: int = 1
    text: str = ""
    origin: Origin | None = None

    @classmethod
    def of(cls, origin: Origin) -> Span:
        """The place of what a caller gave."""
        return cls(f"from {origin.written}", origin=origin)

    @classmethod
    def whole(cls, kind: Whole, key: str = "") -> Span:
        """The place of something that a caller gave as a whole, or of one key of it."""
        written = f"the {kind}, {key}" if key else f"the {kind}"
        return cls(written, origin=Origin(kind, key, written))


@dataclass(frozen=True, slots=True)
class Fix:
    """One edit that may mend a mistake: what stands at `span` becomes `replacement`."""

    title: str
    span: Span
    replacement: str

    def apply(self, text: str) -> str:
        """The text with the edit made; the text is the one that the span is of."""
        lines = text.splitlines(keepends=True)
        line, start = lines[self.span.line - 1], self.span.column - 1
        changed = line[:start] + self.replacement + line[start + self.span.width :]
        return "".join([*lines[: self.span.line - 1], changed, *lines[self.span.line :]])


@dataclass(frozen=True, slots=True)
class Related:
    """Another place that a mistake is about, and what is there."""

    span: Span
    fact: str


@dataclass(frozen=True, slots=True)
class Note:
    """What is worth a look and no mistake: the line that people read, and its place."""

    text: str
    span: Span


_HelpType = TypeVar("_HelpType", bound="Help")


class Help(str):
    """A help text that knows what it would have one write.

    `word` is what stands in the text, at the diagnostic's place, and each of `instead` may stand
    there; with none of them the entry whose key the word is may be left out.
    """

    word: str
    instead: tuple[str, ...]

    def __new__(cls: type[_HelpType], text: str, word: str = "", *instead: str) -> _HelpType:
        made = super().__new__(cls, text)
        made.word, made.instead = word, instead
        return made


class GiveArg(Help):
    """A help to give an arg: here as Python does; each other way of calling has its own words."""

    name: str
    or_else: str

    def __new__(cls, name: str, or_else: str) -> GiveArg:
        made = super().__new__(cls, f"pass args={{'{name}': …}}{or_else}")
        made.name, made.or_else = name, or_else
        return made

    def __reduce__(self) -> tuple[type[GiveArg], tuple[str, str]]:
        return GiveArg, (self.name, self.or_else)

    def by(self, way: str) -> str:
        """The help with another way to give it."""
        return f"{way}{self.or_else}"


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
    related: tuple[Related, ...] = ()
    severity: Literal["error"] = "error"

    def __str__(self) -> str:
        return render(self)

    @property
    def fixes(self) -> tuple[Fix, ...]:
        """The edits that its help speaks of, the likeliest first; none where the help is general
        or the text is not in a file."""
        return tuple(_fixes(self.help, self.span)) if isinstance(self.help, Help) else ()

    @property
    def page(self) -> str:
        """The page of its code, below the folder of the documentation."""
        return f"errors/{self.code}.md"


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

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in the place of our frames."""
        return str(self).strip().split("\n")

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
    text = "did you mean " + " or ".join(f"`{name}`" for name in near) + "?"
    return Help(text, word, *near)


def _fixes(help: Help, span: Span) -> Iterator[Fix]:
    start, stop = span.column - 1, span.column - 1 + span.width
    found = [
        one for one in re.finditer(re.escape(help.word), span.text[:stop])
        if one.start() >= start and not _goes_on(span.text, *one.span())
    ]  # fmt: skip
    if not span.line or not help.word or len(found) != 1:
        return
    begin, end = found[0].span()
    if not help.instead:
        begin, end = _entry(span.text, begin, end)
        yield Fix(f"leave `{help.word}` out", _stretch(span, begin, end), "")
    for instead in help.instead:
        quoted = span.text[begin - 1 : begin] in ("'", '"') and instead[:1] == '"'
        at = _stretch(span, begin - quoted, end + quoted)
        yield Fix(f"write `{instead.strip()}`", at, instead)


def _goes_on(text: str, start: int, end: int) -> bool:
    """Whether a word is part of a longer one."""
    before, after = text[start - 1 : start], text[end : end + 1]
    first, last = text[start], text[end - 1]
    return (_in_word(before) and _in_word(first)) or (_in_word(last) and _in_word(after))


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _entry(line: str, start: int, end: int) -> tuple[int, int]:
    """Where the entry of a key lies on its line, with the comma that parts it from others."""
    value = re.compile(r"\s*:\s*[^,{}\[\]#]*[^,{}\[\]#\s]").match(line, end)
    end = end if value is None else value.end()
    before = re.search(r",\s*$", line[:start])
    if before is not None:
        return before.start(), end
    after = re.compile(r"\s*,\s*").match(line, end)
    return start, end if after is None else after.end()


def _stretch(span: Span, start: int, end: int) -> Span:
    return Span(span.file, span.line, start + 1, end - start, span.text)


def nearest(word: str, known: Sequence[str]) -> list[str]:
    """The known names that a typo of this word may have meant, best first, at most two."""
    known = list(dict.fromkeys(known))
    folded = {name.lower().replace("_", ""): name for name in known}
    exact = folded.get(word.lower().replace("_", ""))
    if exact is not None and exact != word:
        return [exact]
    short = [name for name in known if len(name) <= _COMPARED][:_COMPARED_NAMES]
    return get_close_matches(word[: 2 * _COMPARED], short, n=2, cutoff=0.7)
