"""Modifiers: which mean something for which kind of layer, and whether a layer exists."""

from __future__ import annotations

from collections.abc import Mapping

from netspec.ir.graph import Place
from netspec.ir.lower.calls.bind import words_for
from netspec.ir.lower.calls.collected import is_collection
from netspec.ir.lower.expressions.evaluate import evaluate_plain
from netspec.ir.lower.expressions.operators import OF_THE_MODEL, as_condition, asks_dtype
from netspec.ir.lower.refusal import refuse
from netspec.ir.lower.scope import Scope
from netspec.ir.lower.values import Operand
from netspec.language.expressions import as_expression, is_expression, names_in
from netspec.language.schema import (
    ContainerLayer,
    Layer,
    Repeat,
)  # fmt: skip

_STATEFUL = ("module", "act", "block", "spec", "layers")
MODIFIERS = {
    "init": (*_STATEFUL, "param", "buffer"),
    "freeze": (*_STATEFUL, "param"),
    "tie": _STATEFUL,
    "declare": _STATEFUL,
    "args": ("module", "call", "act", "block", "spec"),
    "from": ("module", "call", "act", "block", "spec", "layers", "use", "value"),
    "repeat": ("module", "call", "act", "block", "spec", "layers", "use", "value", "param"),
}


def check_modifiers(layer: Layer, place: Place) -> None:
    """Each modifier means something for this kind of layer. Raises Refused (NS218)."""
    given = layer.model_fields_set
    for name, kinds in MODIFIERS.items():
        field = "from_" if name == "from" else name
        if field in given and layer.kind not in kinds and getattr(layer, field):
            fact = f"`{name}` means nothing for a `{layer.kind}` layer"
            help = f"it is for {', '.join(kinds)}"
            raise refuse("NS218", fact, place.source.key_span_of((*place.path, name)), help)
    if layer.as_ is not None and layer.repeat is None and layer.kind != "layers":
        fact = f"`as` goes with `repeat` or `layers`, and `{place.path[-1]}` has neither"
        raise refuse("NS218", fact, place.source.key_span_of((*place.path, "as")))
    if layer.kind == "param" and layer.repeat is not None and not layer.holds:
        fact = "a repeated `param` is a list of parameters"
        raise refuse("NS218", fact, place.key_span(), "add `as: list`")
    _check_names(layer, place)


def _check_names(layer: Layer, place: Place) -> None:
    """What names its children is no list, and a dict names them. Raises Refused (NS218)."""
    name = place.path[-1]
    repeat = layer.repeat if isinstance(layer.repeat, Repeat) else None
    named = repeat is not None and repeat.name is not None
    if layer.repeat is None and isinstance(layer, ContainerLayer):
        named = isinstance(layer.layers, Mapping)
    what = "layers" if layer.repeat is None else "copies"
    if layer.as_ == "list" and named:
        fact = f"`{name}` names its {what}, and the items of an nn.ModuleList have numbers"
        help = "write `as: dict`, or leave the names out"
        raise refuse("NS218", fact, place.at("as").key_span(), help)
    if layer.as_ == "dict" and not named:
        fact = f"the items of an nn.ModuleDict have names, and the {what} of `{name}` have none"
        help = "make `layers` a mapping, or write `as: list`"
        if layer.repeat is not None:
            help = "write `repeat: {n: …, name: \"=f'head{i}'\"}`, or `as: list`"
        raise refuse("NS218", fact, place.at("as").key_span(), help)
    if layer.declare and layer.repeat is not None and layer.as_ not in (None, "list", "dict"):
        fact = f"the copies of `{name}` are declared, and nothing calls them one after the other"
        help = f"leave `as: {layer.as_}` out, or declare a `layers:` with the repeat inside"
        raise refuse("NS218", fact, place.at("as").key_span(), help)


def condition_of(layer: Layer, scope: Scope, place: Place) -> Operand | None:
    if layer.when is None:
        return None
    condition = as_condition(evaluate_plain(layer.when, scope, place.at("when")))
    if is_collection(condition) and isinstance(layer.when, str):
        fact = f"`when` is a condition, and this is {words_for(condition)}"
        help = f"ask whether it is there: `when: {as_expression(f'{layer.when[1:]} is not None')}`"
        raise refuse("NS303", fact, place.at("when").span(), help)
    if condition.is_tensor or condition.sized:
        on = "a tensor's values" if condition.is_tensor else "a free size"
        if asks_dtype(condition):
            on = OF_THE_MODEL
        fact = f"whether `{place.path[-1]}` exists depends on {on}"
        help = "a condition is on args, known sizes or `training`"
        raise refuse("NS303", fact, place.at("when").span(), help)
    return condition


def asks_each_copy(layer: Layer) -> bool:
    """Whether the `when` of a repeat is asked for each copy: it names the loop's variables."""
    if layer.when is None:
        return True
    own = {*loop_names(layer), "training"}
    if not isinstance(layer.when, str) or not is_expression(layer.when):
        return False
    return bool(own & names_in(layer.when))


def loop_names(layer: Layer) -> tuple[str, ...]:
    """What a repeat's variables are called: its index, or with `over` the index and the item."""
    repeat = layer.repeat
    if not isinstance(repeat, Repeat):
        return ("i",)
    return (repeat.as_ or "i",) if repeat.over is None else ("i", repeat.as_ or "w")
