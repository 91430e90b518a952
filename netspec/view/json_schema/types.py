"""What an argument may be, as JSON Schema: the types by which netspec checks, or an expression.

Written with an eye on yaml-language-server, the one that VS Code and Neovim have:
- `errorMessage` and `patternErrorMessage` are words of its own: what it says in place of its text.
- It inserts a list after a key that may hold one, unless `items` stands in an `allOf`.
- A flat schema (`type: [integer, string]`) gives plainer errors than an `anyOf`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TypeAlias

from netspec.ops import catalog
from netspec.ops.arguments import (
    ArgumentType,
    Choices,
    Either,
    Kind,
    Misfit,
    Parameter,
    SequenceOf,
    TupleOf,
    coerce,
    describe,
)
from netspec.ops.type_hints import either

Json: TypeAlias = dict[str, object]

EXPRESSION_PATTERN = "^=(?!=)"  # as `is_expression` has it: `==x` is the text `=x`
EXPRESSION: Json = {"type": "string", "pattern": EXPRESSION_PATTERN}
PLAIN = ("string", "number", "boolean", "null")  # a mapping is no value of an argument
_NAMES = {int: "integer", float: "number", bool: "boolean", str: "string", type(None): "null"}


def to(name: str) -> Json:
    """A reference to a definition."""
    return {"$ref": f"#/definitions/{name.replace('/', '~1')}"}  # as JSON Pointer has it


def base_definitions() -> dict[str, Json]:
    """What every other definition may refer to."""
    return {
        "expression": EXPRESSION,
        "plain": {
            "description": "A number, a text, true or false, null, a list, or an expression.",
            "type": [*PLAIN, "array"],
            "allOf": [{"items": to("plain")}],
        },
    }


@dataclass(slots=True)
class Types:
    """The argument types met so far, each defined once, under a name made of its words."""

    definitions: dict[str, Json] = field(default_factory=dict)

    def of(self, parameter: Parameter, note: str = "") -> Json:
        """The property for this parameter, with its default where JSON has it."""
        accepts = parameter.accepts
        if not parameter.required and parameter.default is None:  # `coerce` takes any default
            accepts = either(accepts, Kind.NONE)
        reference = self._reference(accepts)
        description = describe(accepts) + note
        shown: Json = {"description": description} if note else {}
        if _is_shown(parameter):
            shown["default"] = parameter.default
        return {**reference, **shown}

    def _reference(self, accepts: ArgumentType) -> Json:
        words = re.sub(r"[^a-z0-9]+", "-", describe(accepts).lower()).strip("-")
        name = f"type.{words}"
        schema = _with_words(_or_expression(accepts), describe(accepts))
        known = self.definitions.setdefault(name, schema)
        assert known == schema, f"two types are described as `{describe(accepts)}`"
        return to(name)


def _is_shown(parameter: Parameter) -> bool:
    """Whether JSON has the default, and a spec could give it: ATen has numbers for dtypes."""
    plain = type(parameter.default) in (bool, int, float, str)
    alone = Parameter(parameter.name, parameter.accepts)
    return (
        not parameter.required
        and plain
        and not isinstance(coerce(alone, parameter.default), Misfit)
    )


def _with_words(schema: Json, words: str) -> Json:
    only = schema == EXPRESSION
    message = f"{words} is expected, {'which only an' if only else 'or an'} expression"
    return {"description": words, "errorMessage": message + " gives" * only, **schema}


def _or_expression(accepts: ArgumentType) -> Json:
    """A value of this type, or an expression."""
    options = accepts.options if isinstance(accepts, Either) else (accepts,)
    if Kind.ANYTHING in options:
        return to("plain")
    names = _json_types(options)
    words = [word for option in options for word in _words(option)]
    lists = [_list(o) for o in options if isinstance(o, (SequenceOf, TupleOf))]
    if words:
        alone = {"enum": [*words, *([None] if "null" in names else [])]}
        others = [{"type": name} for name in names if name != "null"]
        return {"anyOf": [alone, *others, *lists, to("expression")]}
    if len(lists) > 1:
        return {"anyOf": [*({"type": name} for name in names), *lists, to("expression")]}
    known = names if "string" in names else [*names, "string"]
    pattern = {} if "string" in names else {"pattern": EXPRESSION_PATTERN}
    if not lists:
        return {"type": known[0] if len(known) == 1 else known, **pattern}
    bounds = {key: value for key, value in lists[0].items() if key != "type"}
    return {"type": [*known, "array"], **pattern, "allOf": [bounds]}


def _json_types(options: tuple[ArgumentType, ...]) -> list[str]:
    """The plain JSON types among the options, in a fixed order; a number covers an integer."""
    classes = {cls for option in options if isinstance(option, Kind) for cls in option.classes}
    names = [name for cls, name in _NAMES.items() if cls in classes]
    return [name for name in names if not (name == "integer" and float in classes)]


def _words(option: ArgumentType) -> tuple[str, ...]:
    if isinstance(option, Choices):
        return option.options
    return catalog.dtype_names() if option is Kind.DTYPE else ()


def _list(option: SequenceOf | TupleOf) -> Json:
    """A list of this type; its items may be expressions as well."""
    if isinstance(option, TupleOf):
        items: object = [_or_expression(item) for item in option.items]
        length: int | None = len(option.items)
    else:
        items, length = _or_expression(option.item), option.length
    bounds = {} if length is None else {"minItems": length, "maxItems": length}
    return {"type": "array", "items": items, **bounds}


def same_text(schema: object) -> str:
    """A schema as text, equal for equal schemas."""
    return json.dumps(schema, sort_keys=True)
