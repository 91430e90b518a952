"""What PyYAML says against a text, in words for the one who wrote it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from yaml.error import MarkedYAMLError, YAMLError

from netspec.errors import Diagnostic, Help
from netspec.source.pasted import help_for_pasted
from netspec.source.places import Lines

_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BAD_ESCAPE = re.compile(
    r"\\U(?:(?!000|0010)|0000[dD][89a-fA-F])[0-9a-fA-F]*"
    r"|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
    r"|(?:%[89a-fA-F][0-9a-fA-F])+"
)
_NO_COLON = re.compile(r"\s*(?:- )?([\w.-]+) ?([{\[])")
_NO_SPACE = re.compile(r"\s*(?:- +)*([\w.-]+):(?=[^\s:/])")
_CLOSER = {"{": "}", "[": "]"}


@dataclass(frozen=True)
class _Trouble:
    """What the parser met: its words, the index where, and the index of what it was reading."""

    problem: str
    context: str
    at: int
    since: int
    lines: Lines
    file: str

    @property
    def char(self) -> str:
        """The character in trouble; empty at the end of the text."""
        rest = self.lines.text[self.at :]
        return rest[:1] if rest.strip() or rest[:1] == "\t" else ""

    @property
    def line(self) -> str:
        return self.lines.line(self.lines.number(self.at))

    @property
    def head(self) -> str:
        """What stands before the trouble on its line."""
        return self.line[: self.lines.column(self.at) - 1]

    @property
    def same_line(self) -> bool:
        return self.lines.number(self.at) == self.lines.number(self.since)

    def told(
        self,
        fact: str,
        at: int | None = None,
        end: int | None = None,
        note: str | None = None,
        help: str | None = None,
    ) -> Diagnostic:
        span = self.lines.span(self.file, self.at if at is None else at, end)
        return Diagnostic("NS101", fact, span, (note,) if note else (), help)


def explain(error: YAMLError, lines: Lines, file: str) -> Diagnostic:
    """The parser's error as a diagnostic in plain words, with help for the common mistakes."""
    if not isinstance(error, MarkedYAMLError):
        return unreadable_character(lines, file)
    end = len(lines.text.rstrip())
    problem, mark, context_mark = error.problem or "", error.problem_mark, error.context_mark
    at = mark.index if mark else 0
    at = at if lines.text[at : at + 1] == "\t" else min(at, end)
    since = min(context_mark.index, end) if context_mark else at
    trouble = _Trouble(problem, error.context or "", at, since, lines, file)
    said = f"{trouble.context}: {problem}"
    for words, explainer in _EXPLAINERS:
        if re.search(words, said):
            return explainer(trouble)
    return trouble.told(f"this is not YAML: {problem}")


def unreadable_character(lines: Lines, file: str) -> Diagnostic:
    """The first character that YAML does not allow in a text; not shown, lest it is obeyed."""
    found = _UNREADABLE.search(lines.text)
    assert found is not None, "the parser refused a character"
    code = ord(found[0])
    span = Lines(_UNREADABLE.sub("\ufffd", lines.text)).span(file, found.start())
    fact = f"the character U+{code:04X} is not allowed in YAML"
    help = f'inside double quotes it can be written as an escape: "\\x{code:02X}"'
    return Diagnostic("NS101", fact, span, help=help if code < 0xA0 else None)


def bad_escape(lines: Lines, file: str) -> Diagnostic:
    """The first escape that stands for no character; the parser does not say where it is."""
    found = _BAD_ESCAPE.search(lines.text)
    start, end = found.span() if found else (0, None)
    return Diagnostic("NS101", "this escape is no character", lines.span(file, start, end))


def missing_space(lines: Lines, number: int, file: str) -> Diagnostic | None:
    """A diagnostic if this line is written `key:value`."""
    found = _NO_SPACE.match(lines.line(number))
    if not found:
        return None
    start = lines.start(number)
    span = lines.span(file, start + found.start(1), start + found.end(1) + 1)
    fact = f"a space is missing after `{found[1]}:`"
    help = Help(f"write `{found[1]}: …`", f"{found[1]}:", f"{found[1]}: ")
    return Diagnostic("NS101", fact, span, help=help)


def _bad_start(trouble: _Trouble) -> Diagnostic:
    char = trouble.char
    if char == "\t":
        return _tab(trouble)
    if char in "|>":
        return trouble.told(f"a block of text (`{char}`) cannot stand inside brackets")
    what = "a backtick" if char == "`" else f"`{char}`"
    help = "put quotes around the whole value"
    return trouble.told(f"a value cannot begin with {what}", help=help)


def _tab(trouble: _Trouble) -> Diagnostic:
    return trouble.told("a tab is used as indentation", help="indent with spaces")


def _second_colon(trouble: _Trouble) -> Diagnostic:
    opened = _NO_COLON.match(trouble.head)
    if opened:
        start = trouble.lines.start(trouble.lines.number(trouble.at))
        at, end = start + opened.start(1), start + opened.end(1)
        help = f"write `{opened[1]}: {opened[2]}…`"
        return trouble.told(f"a `:` is missing after `{opened[1]}`", at=at, end=end, help=help)
    if re.search(r":\s", trouble.head):
        help = "a value that holds `: ` needs quotes around it; a mapping in one line, braces"
        return trouble.told("a second `: ` on one line", help=help)
    number = trouble.lines.number(trouble.at)
    above = number - 1
    while above and not trouble.lines.line(above).strip():
        above -= 1
    missing = above and missing_space(trouble.lines, above, trouble.file)
    if missing:
        return missing
    indent = len(trouble.head) - len(trouble.head.lstrip())
    line_up = "line it up with the other keys; only a key with nothing after its `:` can hold keys"
    return trouble.told(
        f"`{trouble.head.strip()}:` stands below a line that has a value already",
        at=trouble.lines.start(number) + indent,
        end=trouble.at + 1,
        help=help_for_pasted(trouble.line) or line_up,
    )


def _no_colon(trouble: _Trouble) -> Diagnostic:
    number = trouble.lines.number(trouble.since)
    missing = missing_space(trouble.lines, number, trouble.file)
    if missing:
        return missing
    end = trouble.lines.start(number) + len(trouble.lines.line(number).rstrip())
    help = "a line of a mapping is `key: value`, with a space after the colon"
    return trouble.told("this line has no `: `", at=trouble.since, end=end, help=help)


def _in_brackets(trouble: _Trouble) -> Diagnostic:
    text, opener, char = trouble.lines.text, trouble.lines.text[trouble.since], trouble.char
    closer = _CLOSER.get(opener, "]")
    if not char:
        return trouble.told(f"this `{opener}` is never closed", at=trouble.since)
    if char in "[{" and text[trouble.at - 1] not in " ,[{\t\r\n":
        help = "inside brackets, a value that holds any of `[ ] { } ,` needs quotes around it"
        return trouble.told(f"the value before this ends at `{char}`", help=help)
    if char in "]}":
        note = None if trouble.same_line else _opened(trouble, opener)
        help = f"write `{closer}` first"
        return trouble.told(f"`{char}` cannot close `{opener}`", note=note, help=help)
    if not trouble.same_line:
        fact = f"this `{opener}` is not closed, or a comma is missing"
        number = trouble.lines.number(trouble.at)
        note = f"line {number} has `{char}` where `,` or `{closer}` has to be"
        return trouble.told(fact, at=trouble.since, note=note)
    if char == ":":
        help = "put a comma between the items; a value that holds `: ` needs quotes around it"
        return trouble.told("a second `:` before the next comma", help=help)
    return trouble.told("a comma is missing before this")


def _opened(trouble: _Trouble, opener: str) -> str:
    return f"`{opener}` is opened on line {trouble.lines.number(trouble.since)}"


def _open_quote(trouble: _Trouble) -> Diagnostic:
    return trouble.told("this quote is never closed", at=trouble.since)


def _escape(trouble: _Trouble) -> Diagnostic:
    text = trouble.lines.text
    start = max(text.rfind("\\", trouble.since, trouble.at + 1), trouble.since)
    escape = text[start : start + 2]
    if "hex" in trouble.problem:
        digits = {"x": 2, "u": 4}.get(escape[1:], 8)
        fact = f"`{escape}` takes {digits} hexadecimal digits"
    elif "Unicode" in trouble.problem:
        fact = "this escape is no character"
    else:
        fact = f"`{escape}` is no escape of YAML"
    help = "in double quotes a backslash is written twice, in single quotes once"
    return trouble.told(fact, at=start, end=start + 2, help=help)


def _out_of_place(trouble: _Trouble) -> Diagnostic:
    if trouble.char in tuple("]}"):
        return trouble.told(f"`{trouble.char}` closes nothing")
    if trouble.head.strip():
        help = "put quotes around the whole value; a `'` inside single quotes is written twice"
        return trouble.told("this follows a value that is complete already", help=help)
    begin = f"begins on line {trouble.lines.number(trouble.since)}"
    if "block collection" in trouble.context:
        fact = f"this line is not an item of the list that {begin}"
        return trouble.told(fact, help="items begin with `- `, all in the same column")
    if trouble.char == "-":
        return trouble.told(f"a list item stands in the mapping that {begin}")
    fact = f"this line does not line up with the mapping that {begin}"
    return trouble.told(fact, help="the keys of a mapping begin in the same column")


def _inline_item(trouble: _Trouble) -> Diagnostic:
    help = "write the items on lines of their own, or all of them as `[a, b]`"
    return trouble.told("a list item cannot begin in the middle of a line", help=help)


def _no_value(trouble: _Trouble) -> Diagnostic:
    if not trouble.char:
        return trouble.told("a value is missing here")
    what = "a key" if trouble.char == ":" else "a value"
    return trouble.told(f"{what} is missing before `{trouble.char}`")


def _reserved_start(trouble: _Trouble) -> Diagnostic:
    char = trouble.lines.text[trouble.since : trouble.since + 1]
    facts = {
        "*": "`*` begins an alias in YAML, and a name has to follow",
        "&": "`&` begins an anchor in YAML, and a name has to follow",
        "!": "`!` begins a tag in YAML, and specs have none",
        "?": "`?` begins a key in YAML, and none can stand here",
    }
    fact = facts.get(char, f"this is not YAML: {trouble.problem}")
    help = f"put quotes around a value that begins with `{char}`" if char in facts else None
    return trouble.told(fact, at=trouble.since, help=help)


def _directive(trouble: _Trouble) -> Diagnostic:
    if trouble.lines.text.startswith("%") or trouble.line.startswith("%"):
        help = "leave the line out; put quotes around a key that begins with `%`"
        return trouble.told("this line is no directive that YAML knows", help=help)
    help = "the keys of a mapping begin in the same column"
    return trouble.told("this line does not belong to the document above it", help=help)


def _text_block(trouble: _Trouble) -> Diagnostic:
    char = trouble.lines.text[trouble.since : trouble.since + 1]
    help = f"the text of a block begins on the line after `{char}`"
    return trouble.told("this cannot stand here", help=help)


# The first whose words (libyaml's, or those of PyYAML's Python parser) are in the message.
_EXPLAINERS: tuple[tuple[str, Callable[[_Trouble], Diagnostic]], ...] = (
    (r"cannot start any token", _bad_start),
    (r"tab character", _tab),
    (r"mapping values are not allowed", _second_colon),
    (r"could not find expected ':'", _no_colon),
    (r"expected ',' or", _in_brackets),
    (r"quoted scalar: found unexpected", _open_quote),
    (r"escape|hexdecimal", _escape),
    (r"block (mapping|collection)", _out_of_place),
    (r"sequence entries are not allowed", _inline_item),
    (r"node content", _no_value),
    (r"(alias|anchor|tag|node): |mapping keys are not allowed", _reserved_start),
    (r"directive|document", _directive),
    (r"block scalar", _text_block),
)
