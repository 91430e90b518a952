"""What a layer reads: the values of its `from`, and its own arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from netspec.ir.graph import Place
from netspec.ir.lower.calls.bind import words_for
from netspec.ir.lower.expressions.evaluate import evaluate, evaluate_plain, static_value
from netspec.ir.lower.expressions.operators import OF_THE_MODEL, asks_dtype
from netspec.ir.lower.refusal import refuse
from netspec.ir.lower.scope import Scope
from netspec.ir.lower.session import Seen
from netspec.ir.lower.unknown_names import value_of_name
from netspec.ir.lower.values import Operand
from netspec.language.expressions import is_expression
from netspec.language.schema import Layer, Layers


def items_of(layers: Layers) -> Iterator[tuple[str | int, Layer]]:
    """The layers with the keys by which the text has them."""
    return iter(layers.items()) if isinstance(layers, Mapping) else enumerate(layers)


def values_of(layer: Layer) -> Iterator[object]:
    """What a layer without `when` and `repeat` is and takes, as the text has it."""
    yield getattr(layer, layer.kind, None)
    yield from layer.extra.values()
    yield from (layer.args or {}).values()
    yield from (getattr(layer, "with_", None) or {}).values()


def seen_of(layer: Layer, key: str, place: Place) -> Seen:
    """What is noted of a layer before it is lowered: its key and its kind."""
    named = getattr(layer, layer.kind, None)
    return Seen(key, layer.kind, named if isinstance(named, str) else "", place)


def inputs_of(layer: Layer, scope: Scope, place: Place) -> list[Operand]:
    """The values that a layer reads: those of `from`, else the one before.

    What is refused of them is reported, and unknown. Raises Refused where there is none.
    """
    if layer.from_ is None:
        if scope.previous is None:
            raise refuse("NS207", "nothing comes before, so `from` is needed", place.key_span())
        return [scope.context.seen(scope.previous)]
    if not layer.from_:
        fact = f"`from` is empty, and `{place.path[-1]}` needs an input"
        raise refuse("NS212", fact, place.at("from").span(), "name a layer, or leave `from` out")
    if isinstance(layer.from_, str):
        return [_reported(reference, layer.from_, scope, place.at("from"))]
    pairs = enumerate(layer.from_)
    return [_reported(reference, name, scope, place.at("from", i)) for i, name in pairs]


def _reported(
    read: Callable[[Any, Scope, Place], Operand], value: object, scope: Scope, place: Place
) -> Operand:
    """What `read` gives, or unknown where it refuses; so that the rest is checked all the same."""
    with scope.context.problems:
        return read(value, scope, place)
    return scope.context.unknown


def reference(text: str, scope: Scope, place: Place) -> Operand:
    """A name, a path (`layer4.1.sum`) or an expression → its value."""
    if is_expression(text):
        return evaluate(text, scope, place)
    return value_of_name(scope, text, place)


def name_of(text: str, scope: Scope, place: Place) -> str:
    """What a layer is: the name that its kind gives, or that an expression there gives."""
    if not is_expression(text):
        return text
    name = static_value(text, scope, place, "what a layer is")
    if not isinstance(name, str):
        fact = f"a name is expected, and `{text}` is {words_for(scope.context.const(name))}"
        raise refuse("NS205", fact, place.span())
    return name


def no_expression(text: str, kind: str, place: Place) -> None:
    """Raises Refused where what a layer names has to be read off the text, and is an expression."""
    if is_expression(text):
        fact = f"`{kind}` is a name, and `{text}` is an expression"
        help = "what a `module`, `call`, `act` or `block` layer is may be one"
        raise refuse("NS205", fact, place.at(kind).span(), help)


def arguments(layer: Layer, scope: Scope, place: Place) -> dict[str, Operand]:
    """The layer's own arguments: its free keys, and those in `args`."""
    found = {
        key: _reported(evaluate_plain, value, scope, place.at(key))
        for key, value in layer.extra.items()
    }
    for key, value in (layer.args or {}).items():
        if key in found:
            fact = f"`{key}` is given twice, once in `args`"
            scope.context.problems.add(refuse("NS205", fact, place.at("args", key).key_span()))
        else:
            found[key] = _reported(evaluate_plain, value, scope, place.at("args", key))
    return found


def static_arguments(layer: Layer, scope: Scope, place: Place) -> dict[str, Operand]:
    """The arguments of something that is constructed: all known when the model is built."""
    found = arguments(layer, scope, place)
    for key, operand in found.items():
        if operand.is_known and not operand.static:
            found[key] = scope.context.const(operand.facts[0])
        elif not operand.static and not operand.is_unknown:
            on = "a tensor" if operand.is_tensor else "a free size or the mode"
            if scope.context.probes.asks_given(operand):
                on = "whether an input is given"
            if asks_dtype(operand):
                on = OF_THE_MODEL
            fact = f"`{key}` depends on {on}, and a module's arguments are known when it is built"
            scope.context.problems.add(refuse("NS303", fact, (place.argument(key) or place).span()))
            found[key] = scope.context.unknown
    return found
