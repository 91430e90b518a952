"""Help lines that show what a spec writes instead; none of them is asked for but by a refusal."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import replace

from netspec.errors import Diagnostic, Help
from netspec.ir.graph import Place
from netspec.ir.lower.scope import Scope
from netspec.language.assigned import IN_PARTS, help_in_place
from netspec.language.dump import flow_text
from netspec.language.expressions import (
    NotAnExpression,
    as_expression,
    could_be_expression,
    is_expression,
    parse_expression,
)
from netspec.language.interpolated import help_for_interpolation
from netspec.language.schema import ActLayer, expand_short, kinds_of
from netspec.ops import catalog
from netspec.ops.arguments import Kind, Parameter, describe, options_of
from netspec.ops.catalog import Operator
from netspec.ops.signatures import signatures_of
from netspec.source import Plain

_LONGEST = 80  # characters of a layer that a help shows


def bare_text(text: str, scope: Scope, arg: str | None) -> str | None:
    """Of a text that does not fit where it is used, and is a name or an expression without its `=`.

    `arg` is the one that brought it there, if one did.
    """
    meant = meaning_of(text, scope)
    if meant is None:
        return help_for_interpolation(text)
    written = as_expression(text)
    if arg is not None:
        return f"write `{arg}: {written}` where `{arg}` is given: {meant}"
    return Help(f"write `{written}`: {meant}", text, written)


def meaning_of(text: str, scope: Scope) -> str | None:
    """What a text would mean behind a `=`, in words; None where it would mean nothing."""
    if text in scope.args:
        looped = scope.outer is not None and text not in scope.outer.args
        return f"{'a variable' if looped else 'an arg'} of this name is there"
    if text.isidentifier():
        return "a value of this name is there" if text in scope.visible() else None
    if not could_be_expression(text, [*scope.args, *scope.visible()]):
        return None
    return "an expression begins with `=`"


def takes_module(parameter: Parameter) -> bool:
    """Whether only a module or a function of Python would fit, which no spec hands over."""
    return not set(options_of(parameter.accepts)) - {Kind.MODULE, Kind.OPAQUE, Kind.NONE}


def inner_module(
    operator: Operator, parameter: Parameter, arguments: Mapping[str, Plain], place: Place
) -> Diagnostic:
    """Of a class that is given a module, or needs one: what is a layer of its own here.

    `arguments` are all that the spec gives to the class.
    """
    name, given = parameter.name, arguments.get(parameter.name)
    at = place.argument(name)
    span = place.key_span() if at is None else at.span()
    inner = given if isinstance(given, dict) else None
    if parameter.required:
        fact = f"`{operator.name}` needs `{name}`, {describe(parameter.accepts)}"
        if given is not None:
            fact = f"`{name}` of `{operator.name}` is a module, and a spec hands none over"
        help = _copies(operator.name, inner, arguments)
        return Diagnostic("NS204" if given is None else "NS205", fact, span, help=help)
    fact = f"`{name}` of `{operator.name}` is a module or a function, and a spec hands over neither"
    help = f"leave `{name}` out, and write it as a layer of its own"
    if inner and kinds_of(inner):
        where = "the next layer" if name == "norm" else "a layer of its own"
        help = f"leave `{name}` out, and write it as {where}: `{name}: {_short(inner)}`"
    return Diagnostic("NS205", fact, span, help=help)


def _copies(cls: str, inner: Mapping[str, Plain] | None, arguments: Mapping[str, Plain]) -> str:
    """A stack of copies of one layer, as `repeat` makes it."""
    what = f"{cls}Layer"
    if catalog.find_module(what) is None and not (inner and "module" in inner):
        return "a spec hands no module over: write what the class does as layers"
    layer: dict[str, Plain] = {"module": what, **(inner or {})}
    layer["repeat"] = arguments.get("num_layers", 2)
    help = f"a stack of layers is one that is repeated: `{flow_text(layer)}`"
    operator = catalog.find_module(str(layer["module"]))
    if operator is None or inner is not None:
        return help
    needed = [p.name for p in signatures_of(operator)[0].parameters if p.required]
    more = " and ".join(f"`{name}`" for name in needed if name != "d_model")
    return f"{help}, with its {more}" if more else help


def _short(layer: Mapping[str, Plain]) -> str:
    return str(layer["module"]) if list(layer) == ["module"] else flow_text(dict(layer))


def layer_in_argument(value: Mapping[str, Plain], place: Place) -> str | None:
    """Of a layer that is written as an argument of another one."""
    kind = next(iter(kinds_of(dict(value))), None)
    if kind is None:
        return None
    key = str(place.path[-1])
    if key == "activation" and kind in ("act", "call", "module"):
        function = catalog.function_of_activation(str(value[kind]))
        name = function.name if function is not None else value[kind]
        return f"write its name: `{key}: {name}`"
    return f"a layer is no argument: write it under `layers`, `{key}: {_short(value)}`"


def from_act_fn(layer: ActLayer, function: str, diagnostic: Diagnostic) -> Diagnostic:
    """A refusal of an activation whose function is not the one that the text of its layer says."""
    if diagnostic.code == "NS212":
        return diagnostic  # which inputs it has is no matter of the function
    note = (
        f"`{function}` is from `act.fn` (`--fn`, `act={{'fn': …}}`), in the place of `{layer.act}`"
    )
    help = f"`pin: true` keeps `{layer.act}` in this layer"
    if diagnostic.code == "NS203":
        names = ", ".join(f"`{name}`" for name in (*layer.extra, *(layer.args or {})))
        help = f"{help}; or leave {names} out"
    elif diagnostic.code == "NS301":
        help = diagnostic.help or help
    return replace(diagnostic, notes=(*diagnostic.notes, note), help=help)


def written_anew(function: str, place: Place) -> str:
    """Of a function that fills a tensor in place: the expression that gives the same as a value."""
    target, args = _filled_by(place)
    help = help_in_place(function, target, args) if target is not None else None
    return help or f"a value is made anew: {IN_PARTS}"


def _filled_by(place: Place) -> tuple[ast.expr | None, list[ast.expr]]:
    """What a call fills, and with what: of an expression, or of a `call` layer."""
    node = place.node
    if isinstance(node, ast.Call):
        values = [keyword.value for keyword in node.keywords]
        if isinstance(node.func, ast.Attribute):
            return node.func.value, [*node.args, *values]
        return (node.args[0] if node.args else None), [*node.args[1:], *values]
    layer = place.value if place.exists else None
    if not isinstance(layer, dict):
        return None, []
    read = layer.get("from", "_")
    given = layer.get("value", (layer.get("args") or {}).get("value"))
    names = read if isinstance(read, list) else [read]
    found = [_parsed(name) for name in (*names, *([] if given is None else [given]))]
    return (found[0], [one for one in found[1:] if one is not None])


def _parsed(value: object) -> ast.expr | None:
    text = str(value)
    text = text if text.startswith("=") else f"={text}"
    if not is_expression(text):
        return None
    try:
        return parse_expression(text).tree
    except NotAnExpression:
        return None


def inner_layer(scope: Scope, keys: Sequence[str | int]) -> str | None:
    """Of a path to a layer inside of another one, which calls and expressions cannot follow.

    None where no layer stands at that path.
    """
    binding = scope.find(str(keys[0])) if keys else None
    if binding is None or len(keys) < 2 or not binding.place.exists:
        return None
    outer: object = binding.place.value
    if isinstance(outer, dict) and "repeat" in outer and str(keys[1]).isdigit():
        return f"a copy is an item: `={keys[0]}[{keys[1]}](_)`"
    if isinstance(outer, dict) and "block" in outer:
        return _inside_of_block(scope, keys)
    inner = _below(outer, keys[1:])
    if inner is None:
        return None
    own = str(keys[-1]) if not str(keys[-1]).isdigit() else "_".join(map(str, keys))
    layer = expand_short(inner)
    text = flow_text({**layer, "declare": True}) if isinstance(layer, dict) else "…"
    if len(text) > _LONGEST:
        text = "{…, declare: true}"
    return (
        f"declare it before `{keys[0]}`, as `{own}: {text}`, write `{{use: {own}}}` in its place, "
        f"and call it by that name"
    )


def _below(value: object, keys: Sequence[str | int]) -> object:
    """The text of a layer by its path inside of another one; None where there is none."""
    for key in keys:
        layers = value.get("layers") if isinstance(value, dict) else None
        if isinstance(layers, dict):
            value = layers.get(str(key))
        elif isinstance(layers, list) and str(key).isdigit() and int(key) < len(layers):
            value = layers[int(key)]
        else:
            return None
    return value


def _inside_of_block(scope: Scope, keys: Sequence[str | int]) -> str | None:
    outer = scope.names[str(keys[0])].place.value if str(keys[0]) in scope.names else None
    name = outer.get("block") if isinstance(outer, dict) else None
    definition = scope.blocks.get(str(name))
    layers = definition.block.layers if definition is not None else {}
    if not isinstance(layers, Mapping) or str(keys[1]) not in layers:
        return None
    return (
        f"what is in a block is called there alone: call `{keys[1]}` in `{name}`, and give its "
        "value out by `outputs`"
    )
