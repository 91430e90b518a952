"""What pydantic has against a spec, in the words of this language and at its place."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from netspec.errors import Diagnostic, did_you_mean
from netspec.source import Path
from netspec.spec.overrides import Text
from netspec.spec.schema import (
    KIND_NAMES,
    KINDS,
    VERSION,
    Block,
    Document,
    Input,
    Layer,
    Library,
    Repeat,
    kinds_of,
)  # fmt: skip

_EXPECTED = {
    "from": "a name, an expression or a list of them",
    "repeat": "a number, or a mapping with `n` or `over`",
    "as": "`sequential`, `list`, `graph` or `inline`",
    "when": "a condition: `true`, `false` or an expression",
    "declare": "`true` or `false`",
    "keep": "`true` or `false`",
    "persistent": "`true` or `false`",
    "pin": "`true` or `false`",
    "tie": "a mapping from a parameter's name to another's path",
    "freeze": "`true`, `false` or an expression",
    "init": "a function of `torch.nn.init`, or a mapping from a parameter to one",
    "layers": "a mapping or a list of layers, at least one",
    "shape": "a list of sizes",
    "inputs": "a mapping from a name to a shape",
    "outputs": "a name, or a list or mapping of them",
    "args": "a mapping",
    "with": "a mapping of arguments",
    "blocks": "a mapping of blocks",
    "include": "a file's name, or a list of them",
    "param": "a shape (a list of sizes) or an expression",
    "buffer": "a shape (a list of sizes) or an expression",
    "example": "a mapping from a free size to a number or two",
    "value": "an expression",
    "doc": "a text",
    "name": "a text",
}


def diagnose(
    error: ValidationError, source: Text, model: type[Document] | type[Library]
) -> list[Diagnostic]:
    """One diagnostic for each place that pydantic names, in the order in which it does."""
    by_place: dict[Path, dict[str, Any]] = {}
    for item in error.errors(include_url=False, include_context=False):
        path = _real_path(source.value, item["loc"])
        key = (*path, str(item["loc"][-1])) if item["type"] == "missing" else path
        by_place.setdefault(key, {**item, "path": path})
    inner = {key[:end] for key in by_place for end in range(len(key))}
    return [_diagnostic(item, source, model) for key, item in by_place.items() if key not in inner]


def _real_path(value: Any, loc: tuple[str | int, ...]) -> Path:
    """pydantic's location without the names of union members, which are no keys of the text.

    After `layers` comes the name of the union's member, then the layer's key, then its kind.
    """
    path: list[str | int] = []
    here: Any = value
    skip = 0  # how many parts are to pass before the next name of a member
    for part in loc:
        if skip == 1:
            skip = -1 if path[-1] == "layers" else 0
            continue
        inside = isinstance(here, dict) and part in here
        if inside or (isinstance(here, list) and isinstance(part, int) and part < len(here)):
            here = here[part]
            path.append(part)
            if skip == -1 or (part == "layers" and isinstance(here, (dict, list))):
                skip = 1
    return tuple(path)


def _value_at(value: Any, path: Path) -> Any:
    found: Any = value
    for part in path:
        found = found[part]
    return found


def _diagnostic(
    item: dict[str, Any], source: Text, model: type[Document] | type[Library]
) -> Diagnostic:
    path: Path = item["path"]
    value = _value_at(source.value, path)
    if item["type"] == "union_tag_not_found" and _is_layer(path):
        return _no_kind(value, path, source)
    if item["type"] == "extra_forbidden":
        known = _known_keys(source.value, path[:-1], model)
        fact = f"unknown key `{path[-1]}`{_within(path[:-1])}"
        near = did_you_mean(str(path[-1]), known) or f"known here: {', '.join(known)}"
        return Diagnostic("NS201", fact, source.key_span_of(path), help=near)
    if item["type"] == "missing":
        key = str(item["loc"][-1])
        help = "the first line of a spec is `netspec: 1`" if key == "netspec" else None
        fact = f"`{key}` is missing{_within(path) or ' in the spec'}"
        return Diagnostic("NS202", fact, source.key_span_of(path), help=help)
    if path == ("netspec",):
        fact = f"version {value!r} of the language is not known"
        help = f"this netspec reads `netspec: {VERSION}`"
        return Diagnostic("NS216", fact, source.span_of(path), help=help)
    field = next((p for p in reversed(path) if isinstance(p, str) and p in _EXPECTED), None)
    expected = _EXPECTED.get(str(path[-1]) if path else "", _EXPECTED.get(field or "", "a value"))
    if path and path[-1] in KIND_NAMES and path[-1] not in _EXPECTED:
        expected = "a name"
    fact = f"`{_dotted(path)}` is {_kind_of(value)}, and {expected} is expected"
    return Diagnostic("NS205", fact, source.span_of(path))


def _no_kind(value: Any, path: Path, source: Text) -> Diagnostic:
    if not isinstance(value, dict):
        fact = f"a layer is a mapping or a name, and `{_dotted(path)}` is {_kind_of(value)}"
        return Diagnostic("NS202", fact, source.span_of(path))
    found = kinds_of(value)
    span = source.key_span_of(path)
    if len(found) > 1:
        fact = f"layer `{path[-1]}` has {len(found)} kinds: {', '.join(f'`{k}`' for k in found)}"
        first, second = found[0], found[1]
        help = "keep one"
        if first in ("module", "call", "act", "block", "spec"):
            help = (
                f"if `{second}` is an argument of `{value[first]}`, write `args: {{{second}: …}}`"
            )
        return Diagnostic("NS202", fact, source.key_span_of((*path, second)), help=help)
    near = [k for key in value for k in KIND_NAMES if did_you_mean(key, (k,))]
    help = f"did you mean `{near[0]}`?" if near else f"one of: {', '.join(KIND_NAMES)}"
    return Diagnostic("NS202", f"layer `{path[-1]}` has no kind", span, help=help)


def _is_layer(path: Path) -> bool:
    return len(path) >= 2 and path[-2] == "layers"


def _within(path: Path) -> str:
    if not path:
        return ""
    if _is_layer(path):
        return f" in layer `{path[-1]}`"
    if len(path) >= 2 and path[-2] == "blocks":
        return f" in block `{path[-1]}`"
    return f" in `{_dotted(path)}`"


def _known_keys(value: Any, path: Path, model: type[Document] | type[Library]) -> list[str]:
    owner: type[Any] = model
    if _is_layer(path):
        kinds = kinds_of(_value_at(value, path))
        owner = next((kind for kind in KINDS if kind.kind in kinds), Layer)
    elif len(path) >= 2 and path[-2] == "blocks":
        owner = Block
    elif path and path[-1] == "repeat":
        owner = Repeat
    elif len(path) == 2 and path[0] == "inputs":
        owner = Input
    return [field.alias or name for name, field in owner.model_fields.items()]


def _dotted(path: Path) -> str:
    return ".".join(str(part) for part in path) or "the spec"


def _kind_of(value: Any) -> str:
    match value:
        case None:
            return "empty"
        case bool():
            return f"`{str(value).lower()}`"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text `{value}`" if len(value) <= 40 else "a text"
        case list():
            return "a list" if value else "an empty list"
        case dict() if not value:
            return "an empty mapping"
        case _:
            return "a mapping"
