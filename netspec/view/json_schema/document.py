"""A whole spec file as JSON Schema, draft 7, which is what YAML language servers know best."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from netspec.language.schema import VERSION, Block, Document, Input, Library, Variant
from netspec.ops import catalog
from netspec.view.json_schema.layers import described, keys_of, layer_definitions
from netspec.view.json_schema.types import EXPRESSION_PATTERN, Json, Types, base_definitions, to

# An identifier of Python, which may have letters beyond ASCII; a size may be an expression, too.
_START, _REST = r"[^\s0-9!-/:-@\[-^`{-~]", r"[^\s!-/:-@\[-^`{-~]*"
_IDENTIFIER = f"^{_START}{_REST}$"
_SIZE = f"{EXPRESSION_PATTERN}|{_IDENTIFIER}"
_TEXT: Json = {"type": "string"}

_EACH_OUTPUT: Json = {"items": to("outputs"), "additionalProperties": to("outputs")}

_KEYS: Mapping[str, Json] = {
    "netspec": {"const": VERSION},
    "name": {"type": ["string", "null"]},
    "doc": {"type": ["string", "null"]},
    "args": {
        "type": "object",
        "additionalProperties": to("plain"),
    },
    "inputs": {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": _IDENTIFIER, "patternErrorMessage": "an identifier"},
        "additionalProperties": to("input"),
    },
    "spec": _TEXT,
    "requires": {
        "type": "array",
        "items": _TEXT,
    },
    "include": {
        "type": ["string", "array", "null"],
        "allOf": [{"items": _TEXT}],
    },
    "blocks": {
        "type": "object",
        "propertyNames": {"pattern": "^[A-Za-z0-9_][A-Za-z0-9_-]*$"},
        "additionalProperties": to("block"),
    },
    "layers": to("layers"),
    "outputs": {
        "type": ["string", "array", "object", "null"],
        "allOf": [_EACH_OUTPUT],
    },
    "init": {
        "type": ["object", "null"],
        "allOf": [to("init-rules")],
    },
}


def language_schema() -> dict[str, object]:
    """The language, version 1, with the modules and functions of the installed torch.

    JSON Schema draft 7; the same in every process. Names, arguments and their types come from the
    catalog and the signatures by which netspec checks.
    """
    types = Types()
    layers = layer_definitions(types)
    definitions = {
        **base_definitions(),
        "input": _input(),
        "block": _block(),
        "outputs": _outputs(),
        "init-rules": _init_rules(),
        "init-rules.class": {"type": "object", "additionalProperties": to("initialiser")},
        **layers,
        **types.definitions,
    }
    library = _only(Library, "blocks")
    variant = _only(Variant, "spec")
    whole: Json = {"required": ["netspec", "inputs", "layers"]}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": f"urn:netspec:language:{VERSION}",
        "$comment": f"Written by `netspec schema` from torch {torch.__version__}.",
        "title": f"netspec, version {VERSION}, torch {torch.__version__}",
        "description": "A neural network as a spec of netspec.",
        "type": "object",
        "properties": {**described(Variant, _KEYS), **described(Document, _KEYS)},
        "additionalProperties": False,
        "if": {"required": ["spec"]},
        "then": {**variant, "required": ["netspec", "spec"]},
        "else": {"if": library, "then": {"required": ["netspec", "blocks"]}, "else": whole},
        "definitions": definitions,
    }


def _only(model: type[Library] | type[Variant], needed: str) -> Json:
    """A file with this key, and nothing that only another kind of file has."""
    return {"required": [needed], "propertyNames": {"enum": list(keys_of(model))}}


def _input() -> Json:
    size: Json = {
        "description": "A number, the name of a free size, or an expression over args.",
        "errorMessage": "a number, the name of a free size, or an expression is expected",
        "type": ["integer", "string"],
        "minimum": 0,
        "pattern": _SIZE,
    }
    one = {"type": "integer", "minimum": 1}
    properties: dict[str, Json] = {
        "shape": {"type": "array", "items": size},
        "dtype": {
            "default": "float32",
            "enum": list(catalog.dtype_names()),
        },
        "default": {
            "type": ["string", "null"],
            "pattern": EXPRESSION_PATTERN,
        },
        "example": {
            "type": ["object", "null"],
            "additionalProperties": {
                "type": ["integer", "array"],
                "minimum": 1,
                "items": one,
                "minItems": 2,
                "maxItems": 2,
                "uniqueItems": True,
            },
        },
        "where": {
            "type": ["array", "null"],
            "items": {"type": "string", "pattern": EXPRESSION_PATTERN},
        },
    }
    return {
        "description": "The shape of an input, or a mapping with its `shape` and `dtype`.",
        "type": ["array", "object"],
        "items": size,
        "properties": described(Input, properties),
        "required": ["shape"],
        "additionalProperties": False,
    }


def _block() -> Json:
    own: dict[str, Json] = {**_KEYS, "inputs": {"type": "array", "items": _TEXT}}
    return {
        "description": "A spec inside of a spec.",
        "type": "object",
        "properties": described(Block, own),
        "required": ["layers"],
        "additionalProperties": False,
    }


def _outputs() -> Json:
    return {
        "description": "A name, a path, an expression, or a list or mapping of them; "
        "`train` and `eval` for outputs by mode.",
        "type": ["string", "array", "object"],
        "allOf": [_EACH_OUTPUT],
    }


def _init_rules() -> Json:
    """`{Linear.weight: zeros_}`, `{Linear: {weight: zeros_}}`, or the path of a layer."""
    names = catalog.module_names()
    return {
        "properties": {name: to("init-rules.class") for name in names},
        "patternProperties": {
            rf"^({'|'.join(names)})\.": to("initialiser"),
            "^[^A-Z]": {"type": ["string", "object"]},
        },
        "additionalProperties": False,
    }
