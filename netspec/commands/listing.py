"""`netspec list`: the specs that have names, the plugins that are installed, what they register."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Iterable
from fnmatch import fnmatchcase
from importlib.metadata import EntryPoint
from typing import Any

from netspec import find
from netspec.commands.parameter_index import parameters_of
from netspec.display import Look, aligned, columns, cut, padded, paint, visible
from netspec.errors import SpecError
from netspec.ops import registry
from netspec.ops.arguments import Signature
from netspec.ops.catalog import operator_of
from netspec.ops.registry import Registered
from netspec.ops.signatures import signatures_of
from netspec.plugins import enabled, installed
from netspec.reporting.terminal import look_of, print_error
from netspec.view.operator_words import sentence
from netspec.view.table import scaled

_SHORT_INPUTS = 18  # columns


def list_command(options: Namespace) -> int:
    """Print the lists, or JSON; 1 where nothing fits the filter, else 0; 2 for wrong use."""
    try:
        with enabled(options.plugin):
            found = _everything()
    except SpecError as error:
        print_error(error)
        return 2
    if options.filter is not None:
        sought = options.filter
        found = {kind: [one for one in them if _has(one, sought)] for kind, them in found.items()}
    if options.json:
        sys.stdout.write(f"{json.dumps(found, indent=2)}\n")
    elif not any(found.values()):
        sys.stderr.write(f"nothing has `{visible(options.filter)}` in its name or words\n")
        return 1
    else:
        sys.stdout.write(_text(found, look_of(sys.stdout)))
    return 0


def _has(entry: dict[str, Any], sought: str) -> bool:
    """Whether its name fits a pattern (`resnet*`), or its name or words have the text in them."""
    words = [str(entry.get(key) or "") for key in ("name", "doc", "package", "from")]
    if any(character in sought for character in "*?["):
        return fnmatchcase(words[0], sought)
    return any(sought.lower() in word.lower() for word in words)


def _everything() -> dict[str, list[dict[str, Any]]]:
    entries = installed()
    names = dict.fromkeys((*entries, *registry.enabled()))
    files = {name: find.path_of(name) for name in find.spec_names()}
    counts = parameters_of(files.values())
    return {
        "specs": [_spec(name, file, counts[file]) for name, file in files.items()],
        "plugins": [_plugin(name, entries.get(name)) for name in names],
        "layers": [_layer(registered) for registered in registry.visible()],
    }


def _spec(name: str, file: str, parameters: int | None) -> dict[str, Any]:
    """What a spec says of itself, and its file; an error's place is for `check`."""
    try:
        value: Any = find.text_of(file).value
    except SpecError:
        value = None
    document = value if isinstance(value, dict) else {}
    inputs = document.get("inputs")
    told = {
        str(key): shape.get("shape") if isinstance(shape, dict) else shape
        for key, shape in (inputs.items() if isinstance(inputs, dict) else ())
    }
    args = document.get("args")
    return {
        "name": name,
        "parameters": parameters,
        "inputs": told,
        "args": args if isinstance(args, dict) else {},
        "doc": str(document.get("doc") or "").partition("\n")[0],
        "file": os.path.relpath(file),
    }


def _plugin(name: str, entry: EntryPoint | None) -> dict[str, Any]:
    package = entry.dist.name if entry is not None and entry.dist is not None else None
    return {"name": name, "package": package, "enabled": name in registry.enabled()}


def _layer(registered: Registered) -> dict[str, Any]:
    signature = signatures_of(operator_of(registered))[0]
    return {
        "name": registered.name,
        "kind": "act"
        if registered.function
        else "call"
        if registered.kind == "function"
        else "module",
        "arguments": _arguments(signature, registered),
        "from": registered.home,
        "doc": sentence(registered.target),
    }


def _arguments(signature: Signature, registered: Registered) -> str:
    told = signature.parameters[registered.kind == "function" :]
    shown = [
        p.name if p.required else f"{p.name}={_default(p.default)}"
        for p in told
        if p.name not in registered.infer
    ]
    return ", ".join([*shown, *(f"[{name}]" for name in registered.infer)])


def _default(value: object) -> str:
    plain = value is None or isinstance(value, (bool, int, float, str))
    return json.dumps(value) if plain else "…"


def _text(found: dict[str, list[dict[str, Any]]], look: Look) -> str:
    plugins = [
        [p["name"], p["package"] or "a module", "enabled" if p["enabled"] else "not enabled"]
        for p in found["plugins"]
    ]
    layers = [
        [each["name"], each["kind"], each["arguments"], each["from"]] for each in found["layers"]
    ]
    tables = [
        *_tables_of_specs(found["specs"], look.width),
        [["plugin", "of", "here"], *plugins],
        [["layer", "kind", "arguments", "from"], *layers],
    ]
    shown = [[[visible(cell) for cell in line] for line in table] for table in tables]
    return "\n".join("\n".join([*_lines(table, look), ""]) for table in shown if len(table) > 1)


def _lines(table: list[list[str]], look: Look) -> list[str]:
    head, *body = aligned(table)
    shown = [line if look.width is None else cut(line, look.width) for line in (head, *body)]
    return [paint(look, "strong", shown[0]), *shown[1:]]


def _tables_of_specs(specs: list[dict[str, Any]], width: int | None) -> list[list[list[str]]]:
    """A table for each folder, with the folder in its head; a terminal has short numbers."""
    folders: dict[str, list[list[str]]] = {}
    for spec in specs:
        folder = os.path.dirname(spec["file"])
        counted = "parameters" if width is None else "params"
        rows = folders.setdefault(folder, [[f"spec of {folder}", counted, "inputs", "what it is"]])
        count = _count(spec["parameters"], width)
        rows.append([spec["name"], count, _shapes(spec["inputs"]), spec["doc"]])
    for rows in folders.values():
        widest = max(columns(row[1]) for row in rows)
        for row in rows:
            row[1] = padded(row[1], widest, right=True)
            if width is not None:  # what it is tells more than long inputs do
                row[2] = cut(visible(row[2]), max(_SHORT_INPUTS, width // 4))
    return list(folders.values())


def _count(parameters: int | None, width: int | None) -> str:
    if parameters is None:
        return "·"
    return f"{parameters:,}" if width is None else scaled(parameters).rstrip()


def _shapes(inputs: dict[str, Any]) -> str:
    return ", ".join(f"{name} [{', '.join(map(str, _sizes(s)))}]" for name, s in inputs.items())


def _sizes(shape: object) -> Iterable[object]:
    return shape if isinstance(shape, list) else ("?",)
