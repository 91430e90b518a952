"""Changes to a spec given outside its file: `layers.conv1.out_channels=12`, `~layers.act5`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath

from netspec.errors import Diagnostic, Origin, Span, SpecError, did_you_mean
from netspec.language.schema import expand_short
from netspec.source import Path, Plain, Source, from_mapping, read_text


@dataclass(frozen=True, slots=True)
class Override:
    """One change: the path that it reaches, the new value or `delete`, and how it was written.

    `origin` is the text that has it at the same path, where it was written in a spec.
    """

    path: tuple[str, ...]
    value: Plain = field(hash=False)
    delete: bool
    text: str
    origin: Source | None = field(default=None, compare=False, repr=False)

    @property
    def span(self) -> Span:
        """The place of an override that a caller gave."""
        written = f"the override {self.text}"
        return Span.of(Origin("override", ".".join(self.path), written))


Overrides = Mapping[str, object] | Iterable[str | Override]
_NONE = "=None"


@dataclass(frozen=True, slots=True, eq=False)
class Overridden:
    """A source with changes on it; what came from an override has its place there."""

    source: Source
    value: Plain
    overrides: tuple[Override, ...]

    @property
    def file(self) -> str:
        return self.source.file

    @property
    def text(self) -> str:
        return self.source.text

    @property
    def path(self) -> FilePath | None:
        return self.source.path

    @property
    def given(self) -> str:
        """The file that was asked for: the outermost that says overrides, else the text's own."""
        origins = [each.origin for each in self.overrides if each.origin is not None]
        return origins[-1].file if origins else self.file

    def span_of(self, path: Path) -> Span:
        origin = self._origin_of(path)
        return origin if isinstance(origin, Span) else origin.span_of(path)

    def key_span_of(self, path: Path) -> Span:
        origin = self._origin_of(path)
        return origin if isinstance(origin, Span) else origin.key_span_of(path)

    def line_of(self, path: Path) -> int:
        return self.source.line_of(path)

    def _origin_of(self, path: Path) -> Span | Source:
        """The text that has what stands at a path, or the place of an override given outside."""
        keys = tuple(str(part) for part in path)
        for override in reversed(self.overrides):
            if keys[: len(override.path)] == override.path and not override.delete:
                return override.origin or override.span
        return self.source


Text = Source | Overridden


def args_of(text: Text) -> dict[str, Plain]:
    """The args that a spec's text has, as they are written; none where it is no spec."""
    args = text.value.get("args") if isinstance(text.value, dict) else None
    return args if isinstance(args, dict) else {}


def parse_overrides(overrides: Overrides | None) -> tuple[Override, ...]:
    """`{"layers.conv1.out_channels": 12}` or `["layers.conv1.out_channels=12"]` → Overrides.

    In the written form the value is YAML, `+` before a path is allowed (the value may be new) and
    `~` deletes. Raises SpecError (NS215) where one is neither.
    """
    if overrides is None:
        return ()
    if isinstance(overrides, Mapping):
        return tuple(_from_pair(str(key), value) for key, value in overrides.items())
    if isinstance(overrides, str):
        overrides = (overrides,)
    return tuple(o if isinstance(o, Override) else _from_text(str(o)) for o in overrides)


def _from_pair(key: str, value: object) -> Override:
    plain = from_mapping({"value": value}, f"from the override {key}").value
    assert isinstance(plain, dict), "from_mapping gives a mapping"
    return Override(_path(key), plain["value"], False, f"{key}={value}")


def _from_text(text: str) -> Override:
    if text.startswith("~"):
        return Override(_path(text[1:]), None, True, text)
    key, equals, value = text.lstrip("+").partition("=")
    if not equals or not key:
        fact = f"`{text}` is not an override"
        raise SpecError(
            Diagnostic("NS215", fact, Span.whole("overrides"), help="write `path=value` or `~path`")
        )
    # an expression may hold `: ` and `, `, which YAML would read as structure
    plain: Plain = value
    if not value.startswith("="):
        read = read_text(f"value: {value}\n", f"from the override {text}").value
        assert isinstance(read, dict), "read_text gives a mapping"
        plain = read["value"]
    return Override(_path(key), plain, False, text)


def _path(key: str) -> tuple[str, ...]:
    return tuple(key.strip().split("."))


def apply_overrides(source: Text, overrides: tuple[Override, ...]) -> Text:
    """The source with the changes made, after those that it has; the source stays as it is.

    Raises SpecError (NS215) where a path leads nowhere.
    """
    if not overrides:
        return source
    value = source.value
    problems: list[Diagnostic] = []
    for override in overrides:
        try:
            value = _changed(value, _given(override), 0)
        except _NoSuchPath as error:
            fact = f"the override `{override.text}` leads nowhere: {error.fact}"
            span = override.span
            help = error.help or _told_of_include(override, source.value)
            problems.append(Diagnostic("NS215", fact, span, help=help))
    if problems:
        raise SpecError(problems)
    if isinstance(source, Overridden):
        return Overridden(source.source, value, (*source.overrides, *overrides))
    return Overridden(source, value, overrides)


def _given(override: Override) -> Override:
    """An override of args as they are declared: a null in it is given, and leaves nothing to give.

    As the default of an arg, null would mean that the arg has to be given.
    """
    match _in_declaration(override.path):
        case ("args", _) if override.value is None and not override.delete:
            return replace(override, value=_NONE)
        case ("args",) if isinstance(override.value, dict):
            args: Plain = {k: _NONE if v is None else v for k, v in override.value.items()}
            return replace(override, value=args)
        case _:
            return override


def _in_declaration(path: tuple[str, ...]) -> tuple[str, ...]:
    """A path within the spec, or within the block, that declares what it leads to."""
    while len(path) > 2 and path[0] == "blocks":
        path = path[2:]
    return path


def _told_of_include(override: Override, value: Plain) -> str | None:
    if override.path[0] != "blocks" or not isinstance(value, dict) or "include" not in value:
        return None
    files = value["include"] if isinstance(value["include"], list) else [value["include"]]
    return f"overrides do not reach the blocks of {', '.join(map(str, files))}; an arg of them does"


class _NoSuchPath(Exception):
    def __init__(self, fact: str, help: str | None = None) -> None:
        super().__init__(fact)
        self.fact = fact
        self.help = help


def _changed(value: Plain, override: Override, depth: int) -> Plain:
    if depth == len(override.path):
        return override.value
    key = override.path[depth]
    last = depth == len(override.path) - 1
    within = ".".join(override.path[:depth]) or "the spec"
    if isinstance(value, str) and depth >= 2:
        value = expand_short(value)  # type: ignore[assignment]
    if isinstance(value, dict):
        if key not in value and (override.delete or not last) and not _may_grow(key, override):
            raise _NoSuchPath(f"`{within}` has no `{key}`", did_you_mean(key, value))
        changed = dict(value)
        if last and override.delete:
            del changed[key]
        else:
            changed[key] = _changed(value.get(key, {}), override, depth + 1)
        return changed
    if isinstance(value, list):
        if not key.isdigit() or int(key) > len(value) - (override.delete or not last):
            raise _NoSuchPath(f"`{within}` is a list of {len(value)}, and has no item `{key}`")
        items = list(value)
        if last and override.delete:
            del items[int(key)]
        else:
            old = items[int(key)] if int(key) < len(items) else {}
            items[int(key) : int(key) + 1] = [_changed(old, override, depth + 1)]
        return items
    raise _NoSuchPath(f"`{within}` holds a value, and has nothing inside")


def _may_grow(key: str, override: Override) -> bool:
    return not override.delete and key in ("args", "init", "tie", "with", "blocks")
