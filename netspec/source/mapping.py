"""A mapping given in Python → Source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from netspec.errors import MAX_DIAGNOSTICS, Diagnostic, Span, SpecError
from netspec.source.document import Path, Plain, Source
from netspec.source.limits import MAX_DEPTH, MAX_DIGITS, MAX_LENGTH, MAX_VALUES
from netspec.source.places import Lines, Places

_MAX_INT = 10**MAX_DIGITS
_HELP = "a spec holds None, bool, int, float, str, and lists and mappings of these"


def from_mapping(mapping: Mapping[str, object], file: str = "<mapping>") -> Source:
    """A mapping → Source with a copy of it in plain values; tuples become lists.

    Subclasses of the plain types become these types, keys that are ints become their text.
    Raises SpecError: NS107 for anything else, NS102 and NS103 as for text.
    """
    copier = _Copier(file)
    if not isinstance(mapping, Mapping):
        copier.stop("NS107", f"a spec is a mapping, and this is of type `{type(mapping).__name__}`")
    value = copier.mapping(mapping, ())
    if copier.problems:
        raise SpecError(copier.problems)
    return Source(file, "", None, value, Places(Lines(""), None))


class _Copier:
    def __init__(self, file: str) -> None:
        self.span = Span(file)
        self.problems: list[Diagnostic] = []
        self.values = 0

    def plain(self, value: object, path: Path) -> Plain:
        self.values += 1
        if self.values > MAX_VALUES:
            self.stop("NS103", f"the spec holds more than {MAX_VALUES:,} values")
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self.text(value, path)
        if isinstance(value, int):
            return self.integer(value, path)
        if isinstance(value, float):
            return float.__float__(value)
        if isinstance(value, Mapping):
            return self.mapping(value, path)
        if isinstance(value, (list, tuple)):
            return self.sequence(value, path)
        fact = f"`{_dotted(path)}` is of type `{type(value).__name__}`, which a spec cannot hold"
        self.refuse("NS107", fact, _HELP)
        return None

    def mapping(self, mapping: Mapping[Any, object], path: Path) -> dict[str, Plain]:
        self.enter(path)
        values: dict[str, Plain] = {}
        for key, value in mapping.items():
            name = self.key(key, path)
            if name is None:
                continue
            if name in values:
                self.refuse("NS102", f"`{_dotted((*path, name))}` is given twice")
            values[name] = self.plain(value, (*path, name))
        return values

    def sequence(self, items: Iterable[object], path: Path) -> list[Plain]:
        self.enter(path)
        return [self.plain(item, (*path, index)) for index, item in enumerate(items)]

    def enter(self, path: Path) -> None:
        if len(path) >= MAX_DEPTH:
            fact = f"`{_dotted(path[:4])}…` nests deeper than {MAX_DEPTH} levels"
            self.stop("NS103", fact, "does something in it contain itself?")

    def key(self, key: object, path: Path) -> str | None:
        if isinstance(key, str):
            return self.text(key, path)
        if isinstance(key, int) and not isinstance(key, bool):
            return str(self.integer(key, path))
        fact = f"a key of {_within(path)} is of type `{type(key).__name__}`, and has to be a text"
        self.refuse("NS107", fact)
        return None

    def text(self, value: str, path: Path) -> str:
        text = str.__str__(value)
        if len(text) > MAX_LENGTH:
            fact = f"a text in {_within(path)} has {len(text):,} characters"
            self.refuse("NS103", f"{fact}, and at most {MAX_LENGTH:,} are read")
        try:
            text.encode()
        except UnicodeEncodeError:
            fact = f"a text in {_within(path)} holds half a character (a surrogate)"
            self.refuse("NS107", fact)
        return text

    def integer(self, value: int, path: Path) -> int:
        whole = int.__index__(value)
        if abs(whole) >= _MAX_INT:
            fact = f"a number in {_within(path)} has more than {MAX_DIGITS} digits"
            self.refuse("NS103", fact)
            return 0
        return whole

    def refuse(self, code: str, fact: str, help: str | None = None) -> None:
        self.problems.append(Diagnostic(code, fact, self.span, help=help))
        if len(self.problems) >= MAX_DIAGNOSTICS:
            raise SpecError(self.problems)

    def stop(self, code: str, fact: str, help: str | None = None) -> NoReturn:
        raise SpecError([*self.problems, Diagnostic(code, fact, self.span, help=help)])


def _dotted(path: Path) -> str:
    return ".".join(map(str, path))


def _within(path: Path) -> str:
    return f"`{_dotted(path)}`" if path else "the spec"
