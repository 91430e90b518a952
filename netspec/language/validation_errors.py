"""What pydantic has against a spec, in the words of this language and at its place."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import ValidationError

from netspec.errors import Diagnostic, Help, Span, did_you_mean, nearest
from netspec.language.expressions import as_expression, could_be_expression
from netspec.language.interpolated import help_for_interpolation
from netspec.language.overrides import Text
from netspec.language.schema import (
    KIND_NAMES,
    KINDS,
    VERSION,
    Block,
    Document,
    Input,
    LayerBase,
    Library,
    Repeat,
    Variant,
    kinds_of,
)  # fmt: skip
from netspec.source import Path

_EXPECTED = {
    "from": "a name, an expression or a list of them",
    "repeat": "a number, or a mapping with `n` or `over`",
    "as": "`sequential`, `list`, `dict`, `graph` or `inline`",
    "when": "a condition: `true`, `false` or an expression",
    "declare": "`true` or `false`",
    "keep": "`true` or `false`",
    "persistent": "`true` or `false`",
    "pin": "`true` or `false`",
    "tie": "a mapping from a parameter's name to another's path",
    "freeze": "`true`, `false` or an expression",
    "init": "a function of `torch.nn.init`, or a mapping from a parameter to one",
    "layers": "a mapping or a list of layers",
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
    "where": "a list of conditions: `[=H >= 32, =H % 32 == 0]`",
    "value": "an expression",
    "default": "an expression",
    "doc": "a text",
    "name": "a text",
}


# What people call the kinds of layers elsewhere.
_OTHER_KINDS = {
    "activation": "act", "nonlinearity": "act", "function": "call", "func": "call", "fn": "call",
    "op": "call", "type": "module", "class": "module", "layer": "module", "_target_": "module",
    "expression": "value", "expr": "value", "shared": "use", "ref": "use", "constant": "const",
    "children": "layers", "modules": "layers",
}  # fmt: skip
_MISSING = {
    "netspec": "the first line of a spec is `netspec: 1`",
    "inputs": "write what `forward` takes: `inputs: {x: [N, 3, 32, 32]}`",
    "layers": "write the layers, in the order in which they run",
    "blocks": "a file to include has `blocks:`",
    "shape": "write `shape: [N, 3, 32, 32]`",
}

Whole = type[Document] | type[Library] | type[Variant]  # what a file may be

_MOST = 1_000  # errors of pydantic's that are looked at; more diagnostics than any spec has shown


def diagnose(error: ValidationError, source: Text, model: Whole) -> list[Diagnostic]:
    """One diagnostic for each place that pydantic names, in the order in which it does."""
    by_place: dict[Path, dict[str, Any]] = {}
    for item in error.errors(include_url=False, include_context=False)[:_MOST]:
        path = _real_path(source.value, item["loc"])
        key = (*path, str(item["loc"][-1])) if item["type"] == "missing" else path
        by_place.setdefault(key, {**item, "path": path})
    misspelt = {(*key[:-1], near) for key in by_place for near in _meant(key, by_place)}
    by_place = {key: item for key, item in by_place.items() if key not in misspelt}
    inner = {key[:end] for key in by_place for end in range(len(key))}
    return [_diagnostic(item, source, model) for key, item in by_place.items() if key not in inner]


def _meant(key: Path, by_place: dict[Path, dict[str, Any]]) -> list[str]:
    """The missing keys that an unknown one beside them is meant to be."""
    if by_place[key]["type"] != "extra_forbidden":
        return []
    beside = [
        str(other[-1])
        for other, item in by_place.items()
        if item["type"] == "missing" and other[:-1] == key[:-1]
    ]
    return nearest(str(key[-1]), beside)


def refused_paths(error: ValidationError, source: Text) -> list[Path]:
    """The paths of the values that pydantic refuses."""
    items = error.errors(include_url=False, include_context=False)
    return [_real_path(source.value, item["loc"]) for item in items]


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


def _diagnostic(item: dict[str, Any], source: Text, model: Whole) -> Diagnostic:
    path: Path = item["path"]
    value = _value_at(source.value, path)
    if item["type"] == "union_tag_not_found" and is_layer(path):
        return _no_kind(value, path, source)
    if item["type"] == "extra_forbidden":
        known = _known_keys(source.value, path[:-1], model)
        fact = f"unknown key `{path[-1]}`{_within(path[:-1])}"
        near = did_you_mean(str(path[-1]), known) or f"known here: {', '.join(known)}"
        if model is Variant and path[-1] in Document.model_fields:
            near = "`spec` says that this is another spec with other args, and has all but those"
        return Diagnostic("NS201", fact, source.key_span_of(path), help=near)
    if item["type"] == "missing":
        key = str(item["loc"][-1])
        help = _MISSING.get(key)
        fact = f"`{key}` is missing{_within(path) or ' in the spec'}"
        return Diagnostic("NS202", fact, source.key_span_of(path), help=help)
    if path == ("netspec",):
        fact = f"version {value} of the language is not known"
        if type(value) is not int:
            fact = f"the language's version is a whole number, and this is {_kind_of(value)}"
        help = f"this netspec reads `netspec: {VERSION}`"
        return Diagnostic("NS216", fact, source.span_of(path), help=help)
    field = next((p for p in reversed(path) if isinstance(p, str) and p in _EXPECTED), None)
    expected = _EXPECTED.get(str(path[-1]) if path else "", _EXPECTED.get(field or "", "a value"))
    if path[:1] == ("outputs",) and path[-1] == "when":
        expected = "an expression"
    if path and path[-1] in KIND_NAMES and path[-1] not in _EXPECTED:
        expected = "a name"
    if path and path[-1] == "layers" and value in ({}, []):
        expected = "at least one layer"
    fact = f"`{_dotted(path)}` is {_kind_of(value)}, and {expected} is expected"
    help = _help_for(path, value) or _expression_help(source.value, path, value)
    return Diagnostic("NS205", fact, source.span_of(path), help=help)


def _expression_help(whole: Any, path: Path, value: Any) -> str | None:
    """What to write where a name or an expression lacks its `=`."""
    interpolated = help_for_interpolation(value) if isinstance(value, str) else None
    if interpolated is not None:
        return interpolated
    if not isinstance(value, str) or path[-1:] not in (("when",), ("freeze",), ("default",)):
        return None
    if not could_be_expression(value, _names_at(whole, path)):
        return None
    written = as_expression(value)
    return Help(f"write `{path[-1]}: {written}`: an expression begins with `=`", value, written)


def _names_at(whole: Any, path: Path) -> set[str]:
    """The names that an expression at this path may mention."""
    found = {"training", "i"}
    for end in range(len(path)):
        here = _value_at(whole, path[:end])
        for key in ("args", "inputs", "layers"):
            if isinstance(here, dict) and isinstance(here.get(key), (dict, list)):
                found.update(name for name in here[key] if isinstance(name, str))
    return found


def _help_for(path: Path, value: Any) -> str | None:
    """What to write in the place of a value of another type, where that is sure."""
    key = str(path[-1]) if path else ""
    expected = _EXPECTED.get(key, "")
    if "`true` or `false`" in expected:
        word = str(value).lower()
        meant = "true" if word in ("1", "yes", "on", "y", "true") else None
        meant = "false" if word in ("0", "no", "off", "n", "false") else meant
        return Help(f"write `{key}: {meant}`", str(value), meant) if meant is not None else None
    if key == "layers" and isinstance(value, str):
        return "a layer a line: `fc: {module: Linear, out_features: 4}`"
    if "from" in path[-2:] and type(value) is int:
        return _help_for_number(path, value)
    if key == "args" and isinstance(value, list) and is_layer(path[:-1]):
        return "write each argument by its name: `args: {dim: 1}`"
    if key == "as" and isinstance(value, str):
        return did_you_mean(value, ("sequential", "list", "dict", "graph", "inline"))
    if len(path) == 2 and path[0] == "inputs" and isinstance(value, (int, str)):
        return f"write `{key}: [N, 3, 32, 32]`: its sizes, and a letter where any will do"
    return None


def _help_for_number(path: Path, number: int) -> str:
    """What to write for a number in `from`, by which others count layers."""
    if number < -1:
        return "`from` has the names of layers: give that one a name"
    if number >= 0:
        return f'`from` has the names of layers: write `"{number}"` for that of a list'
    if path[-1] == "from":
        return "leave `from` out: a layer reads the one before it"
    return "write `=_` for what the layer before gives"


def _no_kind(value: Any, path: Path, source: Text) -> Diagnostic:
    if not isinstance(value, dict):
        fact = f"a layer is a mapping or a name, and `{_dotted(path)}` is {_kind_of(value)}"
        help = "write `{module: Linear, out_features: 4}`, or a name alone: `relu`"
        return Diagnostic("NS202", fact, source.span_of(path), help=help)
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
    near = [(key, k) for key in value for k in KIND_NAMES if nearest(key, (k,))]
    near = near or [(key, _OTHER_KINDS[key]) for key in value if key in _OTHER_KINDS]
    help = f"it needs one of: {', '.join(f'`{k}`' for k in KIND_NAMES)}"
    if near:
        written, meant = near[0]
        span = source.key_span_of((*path, written))
        help = Help(f"did you mean `{meant}`?", written, meant)
    return Diagnostic("NS202", f"layer `{path[-1]}` has no kind", span, help=help)


def unknown_arg(owner: str, name: str, known: Collection[str], span: Span) -> Diagnostic:
    """NS209: a spec is given an arg that it does not have."""
    help = did_you_mean(name, known) or (f"it has {', '.join(known)}" if known else "it has none")
    return Diagnostic("NS209", f"`{owner}` has no arg `{name}`", span, help=help)


def is_layer(path: Path) -> bool:
    """Whether this is the path of a layer."""
    return len(path) >= 2 and path[-2] == "layers"


def _within(path: Path) -> str:
    if not path:
        return ""
    if is_layer(path):
        return f" in layer `{path[-1]}`"
    if len(path) >= 2 and path[-2] == "blocks":
        return f" in block `{path[-1]}`"
    return f" in `{_dotted(path)}`"


def _known_keys(value: Any, path: Path, model: Whole) -> list[str]:
    owner: type[Any] = model
    if is_layer(path):
        kinds = kinds_of(_value_at(value, path))
        owner = next((kind for kind in KINDS if kind.kind in kinds), LayerBase)
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
