"""What the keys of a text are about, by their paths, and which names can be used there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from netspec.language.schema import KIND_NAMES
from netspec.lsp.cursor import Entries
from netspec.ops import catalog
from netspec.ops.arguments import Parameter
from netspec.ops.catalog import Operator
from netspec.ops.signatures import signatures_of
from netspec.source import Path

Role: TypeAlias = Literal[
    "document", "inputs", "input", "blocks", "block", "layers", "layer", "repeat", "args", "with",
    "arguments", "init", "init call", "rules", "references", "tie", "other",
]  # fmt: skip

_STEPS: Mapping[Role, Mapping[str, Role]] = {
    "document": {
        "inputs": "inputs", "layers": "layers", "blocks": "blocks", "args": "args",
        "init": "rules", "outputs": "references",
    },
    "block": {
        "layers": "layers", "blocks": "blocks", "args": "args", "init": "rules",
        "outputs": "references",
    },
    "layer": {
        "layers": "layers", "repeat": "repeat", "init": "init", "args": "arguments",
        "with": "with", "tie": "tie", "from": "references",
    },
}  # fmt: skip
_ITEMS: Mapping[Role, Role] = {
    "inputs": "input", "blocks": "block", "layers": "layer", "init": "init call",
    "rules": "init call", "references": "references",
}  # fmt: skip


def role_of(path: Path) -> Role:
    """What stands at a path: a layer, the arguments of one, an input."""
    role: Role = "document"
    for step in path:
        role = _STEPS[role].get(str(step), "other") if role in _STEPS else _ITEMS.get(role, "other")
    return role


def layer_around(path: Path) -> Path | None:
    """The path of the layer in which a path lies."""
    while path:
        if role_of(path) == "layer":
            return path
        path = path[:-1]
    return None


@dataclass(frozen=True, slots=True)
class Visible:
    """The names that can be used at a place, each kind in its order."""

    layers: tuple[str, ...]
    inputs: tuple[str, ...]
    args: tuple[str, ...]
    blocks: tuple[str, ...]


def visible_at(path: Path, entries: Mapping[Path, Entries]) -> Visible:
    """The names around a path; a layer sees those that stand before it, a block its own."""
    layers: list[str] = []
    blocks: list[str] = []
    body: Path = ()
    for size in range(len(path), -1, -1):
        at = path[:size]
        if role_of(at) == "layers":
            layers += _before(entries.get(at, {}), path[size] if size < len(path) else None)
        if role_of(at) == "block":
            body = at
            break
    for size in range(len(path), -1, -1):
        blocks += _names(entries.get((*path[:size], "blocks"), {}))
    inputs = _inputs(body, entries)
    args = _names(entries.get((*body, "args"), {}))
    return Visible(tuple(layers), tuple(inputs), tuple(args), tuple(blocks))


def _before(entries: Entries, own: str | int | None) -> list[str]:
    names = _names(entries)
    return names[: names.index(own)] if isinstance(own, str) and own in names else names


def _names(entries: Entries) -> list[str]:
    return [name for name in entries if isinstance(name, str)]


def _inputs(body: Path, entries: Mapping[Path, Entries]) -> Sequence[str]:
    found = entries.get((*body, "inputs"))
    if not body:
        return _names(found or {})
    return ["x"] if found is None else [text for key, text in found.items() if type(key) is int]


def kind_of(entries: Entries) -> tuple[str, str] | None:
    """A layer's kind, and what it names."""
    return next(((k, entries[k]) for k in KIND_NAMES if k in entries), None)


def operator_of(entries: Entries) -> Operator | None:
    """The class or function that a layer names."""
    found = kind_of(entries)
    if found is None:
        return None
    kind, name = found
    match kind:
        case "module":
            return catalog.find_module(name)
        case "call":
            return catalog.find_function(name)
        case "act":
            return catalog.module_of_activation(name)
    return None


def operator_named(text: str) -> Operator | None:
    """Of a layer's short form."""
    bare = text.rpartition("/")[2]
    return catalog.find_module(text) if bare[:1].isupper() else catalog.find_function(text)


def parameters_of(operator: Operator) -> Iterator[Parameter]:
    """The parameters of all overloads, each name once."""
    found: set[str] = set()
    for signature in signatures_of(operator):
        for parameter in signature.parameters:
            if parameter.name not in found and parameter.name != "self":
                found.add(parameter.name)
                yield parameter
