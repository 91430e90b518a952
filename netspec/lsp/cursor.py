"""What is written around the cursor, in a text that may be half written: no YAML parser reads it.

A scan by lines follows block mappings by their indentation, and flow ones by their brackets; it
keeps the keys of each mapping, with the scalars behind them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from netspec.source import Path

Entries = Mapping[str | int, str]  # a scalar as it is written; nothing for a collection

_KEY = re.compile(r"""("[^"]*"|'[^']*'|[^\s\-#:,\[\]{}'"&*!|>%@`][^:#]*?)\s*:(?=\s|$)""")
_DASH = re.compile(r"-(\s+|$)")
_BLOCK_TEXT = re.compile(r"[|>][-+0-9]*\s*(?:#.*)?$")
_FLOW = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*"?|'(?:[^']|'')*'?)|(?P<mark>[{}\[\],]|:(?=[\s,{}\[\]]|$))"""
    r"""|(?P<note>(?:(?<=\s)|^)\#.*)|(?P<space>\s+)|(?P<plain>(?:[^\s,{}\[\]:]|:(?![\s,{}\[\]]|$))+)"""
)


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the cursor stands.

    `path` is that of the mapping or list around it, `key` that whose value is written (None where a
    key is, or an item of a list), `text` what is written of the key or the value before the cursor.
    `entries` has the keys of all collections of the text, by their paths.
    """

    path: Path
    key: str | None
    text: str
    in_list: bool
    entries: Mapping[Path, Entries]

    @property
    def here(self) -> Entries:
        """The entries of the mapping or list around it."""
        return self.entries.get(self.path, {})


def cursor_at(text: str, index: int) -> Cursor | None:
    """What stands around an index of the text; None in a comment or a block of text."""
    before = _Scan()
    start = text.rfind("\n", 0, index) + 1
    before.lines(text[:start])
    found = before.at_end(text[start:index])
    if found is None:
        return None
    path, key, typed, in_list = found
    whole = _Scan()
    whole.lines(text)
    merged = {at: {**before.entries.get(at, {}), **own} for at, own in whole.entries.items()}
    return Cursor(path, key, typed, in_list, {**before.entries, **merged})


@dataclass(slots=True)
class _Block:
    """A block collection: the column of its keys or dashes."""

    indent: int
    path: Path
    count: int | None = None  # the items so far, of a list


@dataclass(slots=True)
class _Flow:
    """A flow collection that is open."""

    path: Path
    is_list: bool
    key: str | None = None
    text: str = ""
    count: int = 0


@dataclass(slots=True)
class _Scan:
    entries: dict[Path, dict[str | int, str]] = field(default_factory=dict)
    blocks: list[_Block] = field(default_factory=list)
    flows: list[_Flow] = field(default_factory=list)
    opened: tuple[int, Path] = (-1, ())  # the last key without a value, and its column
    flow_indent: int = 0
    text_indent: int | None = None  # of the key whose value is a block of text
    in_note: bool = False

    def lines(self, text: str) -> None:
        for line in text.splitlines():
            self.line(line)

    def line(self, line: str) -> None:
        said = line.lstrip(" ")
        indent = len(line) - len(said)
        if not said:
            return
        if self.text_indent is not None:
            if indent > self.text_indent:
                return
            self.text_indent = None
        if self.flows and indent <= self.flow_indent and _KEY.match(said):
            self.flows.clear()  # a bracket was left open
        if self.flows:
            self.flow(line)
        elif not said.startswith("#"):
            self.block(said, indent)

    def block(self, said: str, indent: int) -> None:
        dash = _DASH.match(said)
        self.unwind(indent, is_list=dash is not None)
        if dash is not None:
            item = self.item(indent)
            self.opened = (indent, item)
            rest = said[dash.end() :]
            if _KEY.match(rest):
                self.block(rest, indent + dash.end())
            else:
                self.value(rest, indent, item)
            return
        key = _KEY.match(said)
        if key is None:
            return
        if not self.blocks or self.blocks[-1].indent < indent:
            self.blocks.append(_Block(indent, self.opened[1]))
        path = (*self.blocks[-1].path, key[1].strip("\"'"))
        self.opened = (indent, path)
        self.value(said[key.end() :], indent, path)

    def unwind(self, indent: int, is_list: bool) -> None:
        while self.blocks and (
            self.blocks[-1].indent > indent
            or (self.blocks[-1].indent == indent and not is_list and self._in_list())
        ):
            self.blocks.pop()

    def _in_list(self) -> bool:
        return self.blocks[-1].count is not None

    def item(self, indent: int) -> Path:
        """The path of a new item of the list at this column."""
        top = self.blocks[-1] if self.blocks else None
        if top is None or top.indent < indent or top.count is None:
            top = _Block(indent, self.opened[1], -1)
            self.blocks.append(top)
        assert top.count is not None, "it is a list"
        top.count += 1
        return (*top.path, top.count)

    def value(self, rest: str, indent: int, path: Path) -> None:
        said = rest.strip()
        own = self.entries.setdefault(path[:-1], {})
        own[path[-1]] = ""
        if _BLOCK_TEXT.fullmatch(said):
            self.text_indent = indent
        elif said[:1] in ("{", "["):
            self.flow_indent = indent
            self.flows.append(_Flow(path, said[0] == "["))
            self.entries.setdefault(path, {})
            self.flow(rest.lstrip()[1:])
        elif said and not said.startswith("#"):
            own[path[-1]] = re.sub(r"\s#.*", "", said)

    def flow(self, line: str) -> None:
        self.in_note = False
        for found in _FLOW.finditer(line):
            if not self.flows:
                return
            mark = found["mark"]
            if mark is not None:
                self.mark(mark)
            elif found["note"] is not None:
                self.in_note = True
            elif found["space"] is None or self.flows[-1].text:
                self.flows[-1].text += found[0]

    def mark(self, mark: str) -> None:
        top = self.flows[-1]
        if mark in "{[":
            path = self.child(top)
            self.flows.append(_Flow(path, mark == "["))
            self.entries.setdefault(path, {})
            self.entries.setdefault(path[:-1], {})[path[-1]] = ""
        elif mark == ":":
            top.key, top.text = top.text.strip().strip("\"'"), ""
        else:
            self.finish(top)
            if mark in "}]":
                self.flows.pop()

    def child(self, flow: _Flow) -> Path:
        return (*flow.path, flow.count if flow.is_list else flow.key or "")

    def finish(self, flow: _Flow) -> None:
        """An entry ends, with a comma or the bracket."""
        said = flow.text.strip()
        own = self.entries.setdefault(flow.path, {})
        if flow.is_list and said:
            own[flow.count] = said
        elif flow.key is not None and (said or flow.key not in own):
            own[flow.key] = said
        elif said and not flow.is_list:
            own[said] = ""
        flow.key, flow.text, flow.count = None, "", flow.count + 1

    def at_end(self, line: str) -> tuple[Path, str | None, str, bool] | None:
        """What is written at the end of this line, which is the last one, and cut off there."""
        said = line.lstrip(" ")
        indent = len(line) - len(said)
        if self.text_indent is not None and (indent > self.text_indent or not said):
            return None
        if self.flows and indent <= self.flow_indent and _KEY.match(said):
            self.flows.clear()
        if not self.flows and said:
            if said.startswith("#"):
                return None
            self.block(said, indent)
        elif self.flows:
            self.flow(line)
        if self.flows:
            top = self.flows[-1]
            return None if self.in_note else (top.path, top.key, top.text, top.is_list)
        return self.at_end_of_block(said, indent)

    def at_end_of_block(self, said: str, indent: int) -> tuple[Path, str | None, str, bool] | None:
        if self.text_indent is not None or re.search(r"\s#", said):
            return None
        dash = _DASH.match(said)
        while dash is not None:
            said, indent = said[dash.end() :], indent + dash.end()
            dash = _DASH.match(said)
            if dash is None and not _KEY.match(said):
                return self.opened[1][:-1], None, said, True
        key = _KEY.match(said)
        if key is not None:
            path = self.opened[1]
            return path[:-1], str(path[-1]) if path else None, said[key.end() :].lstrip(), False
        self.unwind(indent, is_list=False)
        if self.opened[0] < indent and (not self.blocks or self.blocks[-1].indent < indent):
            return self.opened[1], None, said, False
        return (self.blocks[-1].path if self.blocks else ()), None, said, False
