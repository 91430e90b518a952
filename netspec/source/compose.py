"""The parser's events → plain values, and the places of each key and value, in one pass."""

from __future__ import annotations

import re
from typing import Any, Final, NoReturn

from yaml.error import YAMLError
from yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from netspec.errors import MAX_DIAGNOSTICS, Diagnostic, Help, Related, SpecError, did_you_mean
from netspec.source.document import Plain
from netspec.source.explain import bad_escape, explain, missing_space
from netspec.source.limits import (
    LONG,
    MAX_DEPTH,
    MAX_LENGTH,
    MAX_OFFERED,
    MAX_TAG_DIRECTIVES,
    MAX_VALUES,
)
from netspec.source.parser import NextEvent, events
from netspec.source.pasted import help_for_pasted
from netspec.source.places import Entry, Lines, Node
from netspec.source.scalars import NULLS, NUMBER_STARTS, WORDS, NumberTooLarge, number

_NOT_KEYS: Final = NULLS | {"<<"}
_TAG = re.compile(r"![^\s,\[\]{}]*")
_NO_SPACE = re.compile(r":[\[{\"']")
_NOTHING_FOLLOWS = re.compile(r"\s*[,}]")
_COMMA = re.compile(r"\s*,")


def compose(lines: Lines, file: str) -> tuple[dict[str, Plain], Entry]:
    """A text → the mapping that it is, and the places of all that is in it.

    Raises SpecError: what can be passed over is gathered, the first that cannot ends the reading.
    """
    composer = _Composer(lines, file)
    try:
        composed = composer.document()
    except YAMLError as error:
        composer.stop(explain(error, lines, file))
    except (ValueError, OverflowError):
        composer.stop(bad_escape(lines, file))
    if composer.problems:
        raise SpecError(composer.problems)
    return composed


class _Composer:
    """The state of one pass.

    The depth is counted here, while the events come in: libyaml itself dies of 100,000 brackets.
    """

    def __init__(self, lines: Lines, file: str) -> None:
        self.lines = lines
        self.file = file
        self.problems: list[Diagnostic] = []
        self.next_event: NextEvent
        self.values = 0
        # What an anchor names: value, places, count of values. None while it is being read.
        self.anchors: dict[str, tuple[Plain, Node | None, int] | None] = {}

    def document(self) -> tuple[dict[str, Plain], Entry]:
        if self.lines.text.count("%TAG") > MAX_TAG_DIRECTIVES:
            self.stop_at(0, "NS104", "there are too many `%TAG` directives")
        self.next_event = events(self.lines.text)
        self.next_event()
        if type(self.next_event()) is StreamEndEvent:
            self.stop_at(0, "NS106", "the spec is empty")
        event = self.next_event()
        start: int = event.start_mark.index
        if type(event) is not MappingStartEvent:
            self.no_mapping(event)
        value, node, end = self.inner(event, 1)
        assert isinstance(value, dict), "a mapping was begun"
        self.next_event()
        after = self.next_event()
        if not isinstance(after, StreamEndEvent):
            fact = "a second document begins here, and a spec is one"
            self.refuse("NS106", fact, after, help="leave the `---` out")
        return value, (start, end, start, end, node)

    def no_mapping(self, event: Any) -> NoReturn:
        start: int = event.start_mark.index
        if type(event) is not ScalarEvent:
            what = "an alias" if isinstance(event, AliasEvent) else "a list"
            self.stop_at(start, "NS106", f"the spec is {what}, and has to be a mapping")
        if not event.style and event.value in NULLS:
            self.stop_at(start, "NS106", "the spec is empty")
        line = self.lines.number(start)
        missing = None if event.style else missing_space(self.lines, line, self.file)
        if missing:
            self.stop(missing)
        fact = "the spec is a text, and has to be a mapping"
        self.stop_at(start, "NS106", fact, help=help_for_pasted(self.lines.text))

    def inner(self, event: Any, depth: int) -> tuple[Plain, Node | None, int]:
        """A value that is no scalar, with its places and the index where it ends."""
        if type(event) is AliasEvent:
            return self.alias(event, depth)
        if depth > MAX_DEPTH:
            self.too_deep(event)
        if event.tag is not None:
            self.tagged(event)
        before = self.values
        self.count(event, 1)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        read = self.mapping if type(event) is MappingStartEvent else self.sequence
        value, node, end = read(depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = (value, node, self.values - before)
        return value, node, end if event.flow_style else event.start_mark.index + 1

    def mapping(self, depth: int) -> tuple[dict[str, Plain], Node, int]:
        next_event = self.next_event
        values: dict[str, Plain] = {}
        places: dict[str, Entry] = {}
        height = 1
        # The type has a name of its own so that mypy does not narrow the event to the stubs' class.
        while (kind := type(key_event := next_event())) is not MappingEndEvent:
            key = self.key(key_event, depth)
            event = next_event()
            kind = type(event)
            if kind is ScalarEvent:
                value, node, end = self.scalar(event), None, event.end_mark.index
            else:
                value, node, end = self.inner(event, depth + 1)
                if node is not None and node.height >= height:
                    height = node.height + 1
            if key is None:
                continue
            if key in values:
                self.twice(key, key_event, places[key])
                continue
            values[key] = value
            start = key_event.start_mark.index
            places[key] = (start, key_event.end_mark.index, event.start_mark.index, end, node)
        return values, Node(places, height), key_event.end_mark.index

    def sequence(self, depth: int) -> tuple[list[Plain], Node, int]:
        next_event = self.next_event
        values: list[Plain] = []
        places: list[Entry] = []
        height = 1
        while (kind := type(event := next_event())) is not SequenceEndEvent:
            if kind is ScalarEvent:
                value, node, end = self.scalar(event), None, event.end_mark.index
            else:
                value, node, end = self.inner(event, depth + 1)
                if node is not None and node.height >= height:
                    height = node.height + 1
            values.append(value)
            start = event.start_mark.index
            places.append((start, end, start, end, node))
        return values, Node(places, height), event.end_mark.index

    def key(self, event: Any, depth: int) -> str | None:
        """The text of a key as it is written, or None where it cannot be one."""
        if type(event) is not ScalarEvent:
            self.refuse("NS104", "a key has to be a text", event)
            if type(event) is not AliasEvent:
                self.inner(event, depth + 1)
            return None
        key: str = event.value
        if event.tag is not None or event.anchor is not None or len(key) > LONG:
            self.scalar(event)
        if event.style:
            return key
        if key in _NOT_KEYS:
            self.refuse_key(key, event)
            return None
        if ":" in key:
            self.check_space(key, event)
        return key

    def refuse_key(self, key: str, event: Any) -> None:
        if key == "<<":
            help = "write the keys out; layers that are alike can be a block, or `repeat`"
            self.refuse("NS104", "merge keys (`<<`) are not part of specs", event, help)
        elif key:
            fact = f"`{key}` is YAML's null, and a key has to be a text"
            quoted = Help(f'put quotes around it: "{key}"', key, f'"{key}"')
            self.refuse("NS104", fact, event, help=quoted)
        else:
            self.refuse("NS104", "a key is missing before this", event)

    def check_space(self, key: str, event: Any) -> None:
        """`conv1:{…}` and `{kernel_size:3}` are YAML, and never what is meant."""
        start, end = event.start_mark.index, event.end_mark.index
        glued = _NO_SPACE.search(key)
        if glued or _NOTHING_FOLLOWS.match(self.lines.text, end):
            name = key[: glued.start()] if glued else key.partition(":")[0]
            span = self.lines.span(self.file, start, start + len(name) + 1)
            name = _short(name)
            fact = f"a space is missing after `{name}:`"
            help = Help(f"write `{name}: …`", f"{name}:", f"{name}: ")
            self.add(Diagnostic("NS101", fact, span, help=help))

    def scalar(self, event: Any) -> Plain:
        text: str = event.value
        self.values += 1
        if self.values > MAX_VALUES:
            self.too_many(event)
        if len(text) > LONG:
            self.long(event)
        if event.tag is not None:
            self.tagged(event)
        value = text if event.style else self.plain(text, event)
        if event.anchor is not None:
            self.anchors[event.anchor] = (value, None, 1 + len(text) // LONG)
        return value

    def plain(self, text: str, event: Any) -> Plain:
        if text in WORDS:
            return WORDS[text]
        if text[0] in NUMBER_STARTS:
            try:
                value = number(text)
            except NumberTooLarge as error:
                self.refuse("NS103", f"this number {error}", event)
                return None
            return text if value is None else value
        if text[0] == "=" and "(" in text:
            self.check_comma(text, event)
        return text

    def check_comma(self, text: str, event: Any) -> None:
        """`{from: =cat(a, b)}` is YAML for `from` and `b)`, and never what is meant."""
        is_open = text.count("(") > text.count(")") and not text.startswith("==")
        if is_open and _COMMA.match(self.lines.text, event.end_mark.index):
            help = "inside `{ }` and `[ ]`, put quotes around an expression with a comma in it"
            fact = f"a comma cuts the expression `{_short(text)}` short"
            self.refuse("NS108", fact, event, help)

    def alias(self, event: Any, depth: int) -> tuple[Plain, Node | None, int]:
        name, end = event.anchor, event.end_mark.index
        if name not in self.anchors:
            near = did_you_mean(name, self.anchors) if len(self.anchors) <= MAX_OFFERED else None
            help = near or "put quotes around a value that begins with `*`"
            self.refuse("NS101", f"no anchor `&{_short(name)}` comes before this", event, help)
            return None, None, end
        anchored = self.anchors[name]
        if anchored is None:
            self.refuse("NS104", f"`&{_short(name)}` contains itself", event)
            return None, None, end
        value, node, values = anchored
        if node is not None and depth - 1 + node.height > MAX_DEPTH:
            self.too_deep(event)
        self.count(event, values)
        return value, node, end

    def twice(self, key: str, event: Any, first: Entry) -> None:
        span = self.lines.span(self.file, event.start_mark.index, event.end_mark.index)
        note = f"it is first given on line {self.lines.number(first[0])}"
        before = Related(self.lines.span(self.file, *first[:2]), "it is first given here")
        fact = f"`{_short(key)}` is given twice in this mapping"
        self.add(Diagnostic("NS102", fact, span, (note,), related=(before,)))

    def tagged(self, event: Any) -> None:
        found = _TAG.search(self.lines.text, event.start_mark.index)
        assert found is not None, "a tag begins with `!`"
        span = self.lines.span(self.file, *found.span())
        help = "leave it out; quotes make a value a text"
        fact = f"`{_short(found[0])}` is a YAML tag, and specs have none"
        self.add(Diagnostic("NS104", fact, span, help=help))

    def long(self, event: Any) -> None:
        length = len(event.value)
        if length > MAX_LENGTH:
            fact = f"this text has {length:,} characters, and at most {MAX_LENGTH:,} are read"
            self.refuse("NS103", fact, event)
        self.count(event, length // LONG)

    def count(self, event: Any, values: int) -> None:
        self.values += values
        if self.values > MAX_VALUES:
            self.too_many(event)

    def too_many(self, event: Any) -> NoReturn:
        note = "an alias counts as all that it stands for"
        fact = f"the spec holds more than {MAX_VALUES:,} values"
        self.stop_at(event.start_mark.index, "NS103", fact, (note,) if self.anchors else ())

    def too_deep(self, event: Any) -> NoReturn:
        self.stop_at(event.start_mark.index, "NS103", f"this nests deeper than {MAX_DEPTH} levels")

    def add(self, diagnostic: Diagnostic) -> None:
        self.problems.append(diagnostic)
        if len(self.problems) >= MAX_DIAGNOSTICS:
            raise SpecError(self.problems)

    def refuse(self, code: str, fact: str, event: Any, help: str | None = None) -> None:
        span = self.lines.span(self.file, event.start_mark.index, event.end_mark.index)
        self.add(Diagnostic(code, fact, span, help=help))

    def stop(self, diagnostic: Diagnostic) -> NoReturn:
        raise SpecError([*self.problems, diagnostic])

    def stop_at(
        self,
        index: int,
        code: str,
        fact: str,
        notes: tuple[str, ...] = (),
        help: str | None = None,
    ) -> NoReturn:
        self.stop(Diagnostic(code, fact, self.lines.span(self.file, index), notes, help))


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
