"""A layer as JSON Schema: its kinds, its short forms, and the modifiers that mean something."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from netspec.ir.lower.layers.modifiers import MODIFIERS
from netspec.language.schema import KIND_NAMES, KINDS, LayerBase, Repeat, words_of
from netspec.ops import catalog
from netspec.view.json_schema.operators import (
    Family,
    alone,
    by_name,
    conditions_of_need,
    families,
    initialisers,
    names_of,
)
from netspec.view.json_schema.types import EXPRESSION, EXPRESSION_PATTERN, Json, Types, to

_NAME = "[A-Za-z0-9_][A-Za-z0-9_-]*"
_UPPER = "^(?:[A-Za-z][A-Za-z0-9_]*/)?[A-Z]"  # a class, maybe one of a plugin's namespace
_TEXT: Json = {"type": "string"}
_NAMED: Json = {**_TEXT, "pattern": "^[^=]", "patternErrorMessage": "a name, and no expression"}
_FLAG: Json = {"type": "boolean"}
_COUNT: Json = {"type": ["integer", "string"], "minimum": 0, "pattern": EXPRESSION_PATTERN}
_CONDITION: Json = {"type": ["boolean", "string"], "pattern": EXPRESSION_PATTERN}
_SHAPE: Json = {"type": ["array", "string"], "items": _COUNT, "pattern": EXPRESSION_PATTERN}
_OFF: Json = {"enum": [None, False, 0, "", [], {}], "doNotSuggest": True}

_REPEAT: Mapping[str, Json] = {
    "n": _COUNT,
    "over": {
        "type": ["string", "array"],
        "pattern": EXPRESSION_PATTERN,
        "allOf": [{"items": to("plain")}],
    },
    "as": _TEXT,
    "name": _TEXT,
}
_N_OR_OVER: Json = {"anyOf": [{"required": ["n"]}, {"required": ["over"]}]}


def _or_expression(name: str) -> Json:
    """A name of torch's, or an expression that gives one.

    The `anyOf` refuses nothing: editors look for names in it, and not in the `else`.
    """
    return {"anyOf": [True, to(name)], "if": to("expression"), "else": to(name)}


# What a layer's keys hold, by the kinds where it is not the same for all.
_KEYS: Mapping[str, Json] = {
    "from": {
        "type": ["string", "array", "null"],
        "allOf": [{"items": _TEXT}],
    },
    "repeat": {
        **_COUNT,
        "type": ["integer", "string", "object", "null"],
        "allOf": [to("repeat.keys"), {"if": {"type": "object"}, "then": _N_OR_OVER}],
    },
    "as": {"enum": ["sequential", "graph", "list", "dict", "inline", None]},
    "when": _CONDITION,
    "declare": _FLAG,
    "keep": _FLAG,
    "init": {
        "type": ["object", "null"],
        "additionalProperties": to("initialiser"),
    },
    "tie": {
        "type": ["object", "null"],
        "additionalProperties": _TEXT,
    },
    "freeze": _CONDITION,
    "doc": {"type": ["string", "null"]},
    "args": {
        "type": ["object", "null"],
        "additionalProperties": to("plain"),
    },
    "with": {
        "type": ["object", "null"],
        "additionalProperties": to("plain"),
    },
    "pin": _FLAG,
    "persistent": _FLAG,
    "module": _or_expression("module"),
    "call": _or_expression("function"),
    "act": _or_expression("activation"),
    "block": _TEXT,
    "spec": _NAMED,
    "layers": {"type": ["object", "array"]},
    "param": _SHAPE,
    "buffer": _SHAPE,
    "use": _NAMED,
    "value": {
        "errorMessage": "an expression is expected: it begins with `=`",
        **EXPRESSION,
    },
    "const": to("plain"),
}
_WORDS = {"module": "module", "call": "function", "act": "activation"}
_STATE = ("param", "buffer")


def keys_of(model: type[BaseModel]) -> tuple[str, ...]:
    """The keys that the language has for this: a kind of layer, a repeat, a whole file."""
    return tuple(words_of(model))


def described(model: type[BaseModel], schemas: Mapping[str, Json]) -> dict[str, Json]:
    """What each of its keys may hold, with what the language says of the key."""
    return {key: {"description": words, **schemas[key]} for key, words in words_of(model).items()}


def layer_definitions(types: Types) -> dict[str, Json]:
    """All that `#/definitions/layer` refers to, and it."""
    named = families({kind.kind: keys_of(kind) for kind in KINDS})
    found = {**conditions_of_need(), "initialiser": initialisers(types), **_containers()}
    found["repeat.keys"] = _repeat()
    conditions: dict[str, list[Json]] = {}
    for family in named:
        found[_WORDS[family.kind]] = names_of(family, _WORDS[family.kind])
        conditions[family.kind], schemas = by_name(family, types)
        found |= schemas
    for kind in KINDS:
        found[f"layer.{kind.kind}"] = _of_kind(kind, conditions.get(kind.kind, []))
    module, function, activation = named
    return found | {
        "layer": _layer(module, activation),
        "layer.short": _short(module, function),
        "layer.no-kind": _no_kind(),
    }


def _repeat() -> Json:
    return {"properties": described(Repeat, _REPEAT), "additionalProperties": False}


def _containers() -> dict[str, Json]:
    layers: Json = {
        "description": "The layers, in the order in which they run.",
        "type": ["object", "array"],
        "minProperties": 1,
        "minItems": 1,
        "allOf": [{"additionalProperties": to("layer"), "items": to("layer")}],
    }
    message = "the name of a layer is letters, digits, `_` and `-`"
    names: Json = {"pattern": f"^{_NAME}$", "patternErrorMessage": message}
    free: Json = {
        "pattern": f"^(?!(?:{'|'.join(sorted(catalog.module_members()))})$){_NAME}$",
        "patternErrorMessage": f"{message}, and no member of nn.Module",
    }
    return {
        "layers": {**layers, "propertyNames": free},
        "layers.inline": {**layers, "propertyNames": names},
    }


def _layer(module: Family, activation: Family) -> Json:
    """A short form, or a mapping: what it may hold, its first kind decides.

    The `anyOf` refuses nothing: editors complete short forms from it.
    """
    chain = to("layer.no-kind")
    for kind in reversed(KIND_NAMES):
        chain = {"if": {"required": [kind]}, "then": to(f"layer.{kind}"), "else": chain}
    words = [name for family in (module, activation) for name in alone(family)[0]]
    snippets = [{"label": word, "body": word} for word in words]
    return {
        "type": ["object", "string"],
        "errorMessage": "a layer is a mapping with a kind, a name, or an expression",
        "anyOf": [True, {"type": "string", "defaultSnippets": snippets}],
        "if": {"type": "object"},
        "then": chain,
        "else": to("layer.short"),
    }


def _no_kind() -> Json:
    properties = {key: schema for kind in KINDS for key, schema in described(kind, _KEYS).items()}
    message = f"a layer has one kind: {', '.join(KIND_NAMES)}"
    never: Json = {"type": "null", "errorMessage": message}
    return {"properties": properties, "allOf": [never]}


def _short(module: Family, function: Family) -> Json:
    """`BatchNorm2d`, `relu`, `=a + b`."""

    def named(family: Family) -> Json:
        needy = {"pattern": f"^(?:{'|'.join(alone(family)[1])})$"}
        message = f"it needs arguments: write `{{{family.kind}: …}}`"
        whole: Json = {"type": "object", "errorMessage": message}
        return {"if": needy, "then": whole, "else": to(_WORDS[family.kind])}

    name: Json = {"if": {"pattern": _UPPER}, "then": named(module), "else": named(function)}
    return {"if": {"type": "string"}, "then": {"if": to("expression"), "else": name}}


def _of_kind(kind: type[LayerBase], conditions: list[Json]) -> Json:
    """A layer of this kind. Those that name something of torch close their keys by its name."""
    own = described(kind, _KEYS)
    schema: Json = {
        "properties": {key: _key(key, kind.kind, says) for key, says in own.items()},
        "allOf": [*conditions, *_rules(kind.kind)],
    }
    if not conditions:
        schema["additionalProperties"] = to("plain") if kind.free else False
    return schema


def _key(key: str, kind: str, own: Json) -> Json:
    if kind not in MODIFIERS.get(key, (kind,)):
        return {**_OFF, "errorMessage": f"`{key}` means nothing for a `{kind}` layer"}
    if key == "init" and kind in _STATE:
        return {
            "description": "How it is initialised.",
            "if": {"not": {"type": "null"}},
            "then": to("initialiser"),
        }
    return own


def _rules(kind: str) -> list[Json]:
    """What holds between the keys of a layer."""
    has_as = {"required": ["as"], "properties": {"as": {"type": "string"}}}
    if kind == "layers":
        inline = {"required": ["as"], "properties": {"as": {"const": "inline"}}}
        any_name = {"properties": {"layers": to("layers.inline")}}
        free_name = {"properties": {"layers": to("layers")}}
        return [{"if": inline, "then": any_name, "else": free_name}]
    rules: list[Json] = [{"if": has_as, "then": {"required": ["repeat"]}}]
    if kind in _STATE:
        of_shape = {"properties": {kind: {"type": "array"}}}
        rules.append({"if": of_shape, "then": {"required": ["init"]}})
    if kind == "param":
        repeat = {"required": ["repeat"], "properties": {"repeat": {"not": {"type": "null"}}}}
        held = {"required": ["as"], "properties": {"as": {"enum": ["list", "dict"]}}}
        rules.append({"if": repeat, "then": held})
    return rules
