"""The catalog as JSON Schema: the names of modules, functions and activations; their arguments.

Each `module: X` has a schema of its own, chosen by `if`: editors complete the arguments of the one
that is named, and point at the argument that it does not have. An `anyOf` over all would say only
that nothing fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from torch import nn

from netspec.ir.lower.calls.input_sizes import INFERRED
from netspec.language.schema import KIND_NAMES
from netspec.ops import catalog
from netspec.ops.arguments import Parameter, Signature
from netspec.ops.catalog import Operator
from netspec.ops.signatures import forward_signature_of, signatures_of
from netspec.ops.type_hints import either
from netspec.view.json_schema.types import Json, Types, same_text, to
from netspec.view.operator_words import shown

_TOLD = ", told by the input where it is left out"
_FILLED = frozenset({"training"})  # netspec gives it by itself, from the mode


@dataclass(frozen=True, slots=True)
class Family:
    """The operators that one kind of layer names: `module: Conv2d`."""

    kind: str
    keys: tuple[str, ...]  # the language's own keys in such a layer
    operators: Mapping[str, Operator]  # by the name that the layer gives


def families(keys_of: Mapping[str, tuple[str, ...]]) -> tuple[Family, ...]:
    """The kinds whose layers name something of torch, with their own keys."""
    found: dict[str, tuple[Iterable[str], Callable[[str], Operator | None]]] = {
        "module": (catalog.module_names(), catalog.find_module),
        "call": (catalog.function_names(), catalog.find_function),
        "act": (catalog.activation_names(), catalog.module_of_activation),
    }
    return tuple(
        Family(kind, keys_of[kind], {name: _found(find(name)) for name in names})
        for kind, (names, find) in found.items()
    )


def _found(operator: Operator | None) -> Operator:
    assert operator is not None, "the catalog finds the names that it lists"
    return operator


def names_of(family: Family, what: str) -> Json:
    """The names that such a layer may give, each with what torch says of it."""
    return _names(family.operators, f"there is no {what} of this name for specs")


def _names(operators: Mapping[str, Operator], message: str) -> Json:
    """One of these names. Editors complete from the snippets, and show what the `anyOf` finds.

    That refuses nothing. An `enum` would have the language server say all names in an error, and
    show all when it is asked for one; and it asks every branch of an `anyOf` for every layer, so
    that 700 of them take 7 ms.
    """
    words = {name: shown(operator) for name, operator in operators.items()}
    consts: dict[str, Json] = {
        name: {"const": name, "markdownDescription": text} for name, text in words.items()
    }
    return {
        "type": "string",
        "pattern": f"^(?:{'|'.join(words)})$",
        "patternErrorMessage": message,
        "defaultSnippets": [
            {"label": name, "body": name, "markdownDescription": text}
            for name, text in words.items()
        ],
        "allOf": [
            {"if": {"pattern": f"^{letter}"}, "then": {"anyOf": [True, *each]}}
            for letter, each in _by_letter(consts).items()
        ],
    }


def _by_letter(schemas: Mapping[str, Json]) -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = {}
    for name, schema in schemas.items():
        found.setdefault(name[0], []).append(schema)
    return found


def alone(family: Family) -> tuple[list[str], list[str]]:
    """The names that can stand alone, as a layer's short form, and those that need arguments."""
    needy = {name for name, each in family.operators.items() if _required(each)[1]}
    names = list(family.operators)
    return [n for n in names if n not in needy], [n for n in names if n in needy]


def by_name(family: Family, types: Types) -> tuple[list[Json], dict[str, Json]]:
    """The conditions `if it is this name, then this schema`, and these schemas.

    Names whose arguments are the same share a schema. The conditions are parted by first letter:
    a checker asks all of them for every layer.
    """
    definitions: dict[str, Json] = {}
    keys: dict[str, str] = {}
    found: dict[str, Json] = {}
    for name, operator in family.operators.items():
        schema = _layer(family, operator, types)
        key = keys.setdefault(same_text(schema), f"{family.kind}.{name}")
        definitions[key] = schema
        found[name] = {"if": {"properties": {family.kind: {"const": name}}}, "then": to(key)}
    conditions: list[Json] = []
    for letter, each in _by_letter(found).items():
        definitions[f"{family.kind}s.{letter}"] = {"allOf": each}
        test = {"properties": {family.kind: {"pattern": f"^{letter}"}}}
        conditions.append({"if": test, "then": to(f"{family.kind}s.{letter}")})
    return conditions, definitions


def initialisers(types: Types) -> Json:
    """`zeros_`, or `{normal_: {std: 0.02}}`."""
    operators = {name: _found(catalog.find_init(name)) for name in catalog.init_names()}
    arguments: Json = {}
    for name, operator in operators.items():
        tensor, *rest = _parameters(operator)
        assert tensor.required, f"`{name}` takes the parameter first"
        properties = {each.name: types.of(each) for each in rest}
        arguments[name] = {"markdownDescription": shown(operator), **_closed(properties)}
    word = _names(operators, "torch.nn.init has no function of this name")
    whole = {
        "properties": arguments,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    return {
        "description": "A function of torch.nn.init, by name, or with its arguments in a mapping.",
        "type": ["string", "object"],
        "anyOf": [True, word],
        "if": {"type": "string"},
        "then": word,
        "else": whole,
    }


def _layer(family: Family, operator: Operator, types: Types) -> Json:
    """What a layer of this operator holds beside the language's own keys."""
    of_module = operator.is_module
    arguments = {
        each.name: types.of(each, _TOLD if of_module and _is_inferred(operator, each) else "")
        for each in _parameters(operator)
    }
    own: Json = dict.fromkeys(family.keys, True)
    own["args"] = {**_closed(arguments), "doNotSuggest": True}  # the kind does, once
    if family.kind == "module":
        own["with"] = {**_of_call(operator, types), "doNotSuggest": True}
    taken = {*own, *KIND_NAMES}
    free = {name: schema for name, schema in arguments.items() if name not in taken}
    schema: Json = {"properties": {**own, **free}, "additionalProperties": False}
    first, required = _required(operator)
    if required:
        keys = list(dict.fromkeys("args" if name in taken else name for name in required))
        complete: Json = to("several-inputs") if first else to("has-args")
        if first:
            complete = {"anyOf": [complete, {"required": [first]}]}
        schema |= {"if": complete, "else": {"required": keys}}
    return schema


def conditions_of_need() -> dict[str, Json]:
    """Where a layer is not asked for its arguments: they may stand elsewhere."""
    listed = {"required": ["from"], "properties": {"from": {"type": "array"}}}
    return {
        "has-args": {"required": ["args"]},
        "several-inputs": {"anyOf": [to("has-args"), listed]},
    }


def _closed(properties: Mapping[str, object]) -> Json:
    return {"type": ["object", "null"], "properties": properties, "additionalProperties": False}


def _of_call(operator: Operator, types: Types) -> Json:
    """The keyword arguments of a module's call."""
    signature = forward_signature_of(cast("type[nn.Module]", operator.target))
    return _closed({each.name: types.of(each) for each in signature.parameters})


def _parameters(operator: Operator) -> Sequence[Parameter]:
    """The parameters of all overloads, each name once, with all types that it has in them."""
    found: dict[str, Parameter] = {}
    signatures = signatures_of(operator)
    for each in (parameter for signature in signatures for parameter in signature.parameters):
        known = found.get(each.name)
        if known is None:
            found[each.name] = each
            continue
        found[each.name] = Parameter(
            each.name, either(known.accepts, each.accepts), known.required and each.required,
            default=each.default if known.required else known.default,
        )  # fmt: skip
    return tuple(found.values())


def _required(operator: Operator) -> tuple[str | None, list[str]]:
    """Which arguments a layer must have, if its one input fills the parameter named first.

    A module's inputs fill none. A function's input fills the first parameter that must be given.
    """
    signatures = signatures_of(operator)
    if operator.is_module:
        (signature,) = signatures
        return None, [
            p.name for p in signature.parameters if p.required and not _is_inferred(operator, p)
        ]
    needs = [_must_be_given(signature) for signature in signatures]
    firsts = {need[0] for need in needs if need}
    if len(firsts) != 1 or not all(needs):
        return None, []
    rest = [name for name in needs[0][1:] if all(name in need[1:] for need in needs)]
    return firsts.pop(), rest


def _must_be_given(signature: Signature) -> list[str]:
    return [p.name for p in signature.parameters if p.required and p.name not in _FILLED]


def _is_inferred(operator: Operator, parameter: Parameter) -> bool:
    rules = INFERRED if operator.registered is None else operator.registered.infer
    return parameter.required and parameter.name in rules
