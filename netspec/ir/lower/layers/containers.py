"""Nested layers, blocks and parts: each a graph of its own, or a chain that needs none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from typing_extensions import assert_never

from netspec.ir.expr import Item, Value
from netspec.ir.graph import Place
from netspec.ir.lower.calls.container_handles import DictInstance, ListInstance
from netspec.ir.lower.calls.handles import GraphInstance
from netspec.ir.lower.layers.arguments import items_of, values_of
from netspec.ir.lower.layers.init import lower_after
from netspec.ir.lower.refusal import Refused, refuse
from netspec.ir.lower.scope import Binding, GraphBuilder, Holder, Registration, Scope
from netspec.ir.lower.seal.graph import finish
from netspec.ir.lower.seal.open_slots import fill_open_slots
from netspec.ir.lower.session import Lowered
from netspec.ir.lower.values import Operand
from netspec.language.expressions import is_expression
from netspec.language.schema import (
    ActLayer,
    BlockLayer,
    BufferLayer,
    CallLayer,
    ConstLayer,
    ContainerLayer,
    ForeignLayer,
    Layer,
    Layers,
    LostLayer,
    ModuleLayer,
    ParamLayer,
    SpecLayer,
    UseLayer,
    ValueLayer,
)  # fmt: skip


def class_name(name: str) -> str:
    """`layer1` → `Layer1`, `dense_block` → `DenseBlock`, for the class of a nested container."""
    words = name.replace("-", "_").split("_")
    joined = "".join(word[:1].upper() + word[1:] for word in words)
    return joined if joined[:1].isalpha() else f"Layers{joined}"


def registers(layer: Layer) -> bool:
    """Whether a layer may put a child anywhere, in whatever form; else it needs no module."""
    match layer:
        case CallLayer() | ValueLayer() | UseLayer():
            return False
        case ContainerLayer(as_=None):
            return any(registers(child) for _, child in items_of(layer.layers))
        case ModuleLayer() | ActLayer() | BlockLayer() | SpecLayer() | ContainerLayer():
            return True
        case ParamLayer() | BufferLayer() | ConstLayer() | LostLayer() | ForeignLayer():
            return True
        case _:
            assert_never(layer)


def is_transparent(layer: ContainerLayer) -> bool:
    """Whether the children live in the graph around: `as: inline`, or none is registered."""
    if layer.as_ == "inline":
        return True
    return layer.as_ is None and not registers(layer)


def inner_taps(scope: Scope, name: str) -> dict[str, list[str]]:
    """What is read from inside of `name`, by the first part of the path within it."""
    found: dict[str, list[str]] = {}
    for path in scope.taps.get(name, ()):
        first, _, rest = path.partition(".")
        found.setdefault(first, [])
        if rest:
            found[first].append(rest)
    return found


def merge_taps(
    layers: Layers, wanted: Mapping[str, list[str]], outputs: object
) -> dict[str, list[str]]:
    """The paths into each layer that anything here reads, with those that are wanted from above."""
    found: dict[str, list[str]] = {}
    for path in [*_dotted(layers), *_dotted_outputs(outputs)]:
        first, _, rest = path.partition(".")
        if rest not in found.setdefault(first, []):
            found[first].append(rest)
    for first, rests in wanted.items():
        mine = found.setdefault(first, [])
        mine += [rest for rest in rests if rest not in mine]
    return found


def _dotted(layers: Layers) -> list[str]:
    found: list[str] = []
    for _, layer in items_of(layers):
        names = layer.from_ if isinstance(layer.from_, list) else [layer.from_ or ""]
        found += [name for name in names if "." in name and not name.startswith("=")]
        if isinstance(layer, ContainerLayer):
            counts = layer.as_ == "inline" and isinstance(layer.layers, list)
            own = set() if counts else {str(key) for key, _ in items_of(layer.layers)}
            found += [p for p in _dotted(layer.layers) if p.partition(".")[0] not in own]
    return found


def _dotted_outputs(outputs: object) -> list[str]:
    if isinstance(outputs, str):
        return [outputs] if "." in outputs and not outputs.startswith("=") else []
    items = outputs.values() if isinstance(outputs, dict) else outputs or ()
    return [path for item in items for path in _dotted_outputs(item)]  # type: ignore[attr-defined]


def lower_inline(
    layer: ContainerLayer, name: str, scope: Scope, place: Place, inputs: list[Operand]
) -> Operand:
    """A container without a module of its own: its layers, in the graph around."""
    if len(inputs) > 1:
        raise refuse(
            "NS212", f"`{name}` takes one input, and {len(inputs)} are given", place.key_span()
        )
    shares = layer.as_ == "inline"
    scope.context.at_layer.inlined = shares
    wanted = inline_taps(scope, name) if shares else inner_taps(scope, name)
    numbered = (shares and scope.numbered) or isinstance(layer.layers, list)
    inner = scope.inlined(inputs[0], merge_taps(layer.layers, wanted, None), numbered)
    if not shares:
        inner.holder = Holder()
    scope.graph.steps.lower_layers(layer.layers, inner, place.at("layers"))
    bind_inner(inner, name, scope)
    if shares:
        bind_numbers(inner, scope)
    if inner.previous is None or _any_refused(inner):
        raise Refused
    fill_open_slots(scope.graph, inner)
    return inner.previous


def bind_inner(inner: Scope, name: str, scope: Scope) -> None:
    """The wanted names of a transparent container, under their paths."""
    if inner.holder is scope.holder and scope.numbered and name.isdigit():
        return  # a number is a module's
    for path in scope.taps.get(name, ()):
        if path in inner.names:
            scope.names[f"{name}.{path}"] = inner.names[path]


def inline_taps(scope: Scope, name: str) -> dict[str, list[str]]:
    """What is read from inside of a group that has no module, by the first part of the path.

    Where the container around is numbered, a number is a module of it, in whichever group it is.
    """
    if not scope.numbered:
        return inner_taps(scope, name)
    found = {first: list(rests) for first, rests in scope.taps.items() if first.isdigit()}
    return found if name.isdigit() else {**inner_taps(scope, name), **found}


def bind_numbers(inner: Scope, scope: Scope) -> None:
    """The numbered children of an inline group, as the container's own that they are."""
    if scope.numbered:
        scope.names.update(
            (name, binding)
            for name, binding in inner.names.items()
            if name.partition(".")[0].isdigit()
        )


def _any_refused(scope: Scope) -> bool:
    return any(binding.refused for binding in scope.names.values())


def container_instance(
    layer: ContainerLayer, name: str, scope: Scope, place: Place
) -> GraphInstance:
    """Nested layers as a module of their own, which may read values from around them."""
    slot = Registration(name, place, keep=layer.keep)
    scope.holder.add(slot)
    once = name not in called_names(scope)  # else the input is another value in the next call

    def lower(inputs: Sequence[Operand], at: Place) -> tuple[Lowered, Sequence[Operand]]:
        if len(inputs) != 1:
            fact = f"`{name}` takes one input, and {len(inputs)} are given"
            raise refuse("NS212", fact, at.key_span(), "its layers read other values by name")
        graph, inner = nested_graph(layer.layers, name, scope, place, list(inputs), share=once)
        try:
            scope.graph.steps.lower_layers(layer.layers, inner, place.at("layers"))
            lowered = finish(graph, inner, None, list(scope.taps.get(name, ())), layer.as_, place)
        finally:
            scope.context.leave()
        return lowered, graph.sources

    seen = scope.context.at_layer
    return GraphInstance(name, slot, lower, scope.graph, seen, lower_after(layer, scope, place))


_CALL = re.compile(r"(\w+)\(")


def called_names(scope: Scope) -> frozenset[str]:
    """The names that the layers of a scope call, by `use` or in an expression."""
    if scope.called is None:
        scope.called = frozenset(_names_called(scope.layers[0]) if scope.layers else ())
    return scope.called


def _names_called(layers: Layers) -> Iterator[str]:
    for _, layer in items_of(layers):
        if isinstance(layer, UseLayer):
            yield layer.use
        if isinstance(layer, ContainerLayer):
            yield from _names_called(layer.layers)
        stack: list[object] = [layer.from_, layer.when, *values_of(layer)]
        while stack:
            value = stack.pop()
            if isinstance(value, list):
                stack += value
            elif is_expression(value):
                yield from _CALL.findall(value)


def _label(name: str, scope: Scope) -> str:
    """What a container is called after: itself, or where it is numbered the one around it."""
    if not name.isdigit() or not scope.label:
        return name
    return scope.label if scope.copies else f"{scope.label}{name}"


def nested_graph(
    layers: Layers | None,
    name: str,
    scope: Scope,
    place: Place,
    inputs: list[Operand],
    share: bool = True,
) -> tuple[GraphBuilder, Scope]:
    """A new graph inside of this scope's, with ports for the inputs; and its scope.

    With `share`, layers that name the input's value from around read the input's own port.
    """
    context = scope.context
    context.enter(name, place)
    graph = GraphBuilder(
        class_name(_label(name, scope)), context, scope.graph.steps, scope.source, scope
    )
    graph.at = scope.part(name).path
    names = ["x", "y", "z"]
    ports = []
    for index, operand in enumerate(inputs):
        port = graph.add_input(names[index] if index < 3 else f"x{index}", operand)
        if share and isinstance(operand.expr, Value) and isinstance(port.expr, Value):
            graph.captures[("value", operand.expr)] = port.expr
        ports.append(port)
    wanted = inner_taps(scope, name)
    taps = merge_taps(layers, wanted, None) if layers is not None else wanted
    inner = scope.of_graph(graph, ports, taps, isinstance(layers, list))
    inner.label = _label(name, scope)
    return graph, inner


def list_instance(layer: ContainerLayer, name: str, scope: Scope, place: Place) -> ListInstance:
    """`as: list`: an nn.ModuleList of declared children (or a ParameterList of parameters).

    With `as: dict` an nn.ModuleDict (or a ParameterDict).
    """
    slot = Registration(name, place, keep=layer.keep)
    scope.holder.add(slot)
    inner = scope.listed(name, named=layer.as_ == "dict")
    for key, child in items_of(layer.layers):
        at = place.at("layers", key)
        with scope.context.problems:
            scope.graph.steps.declare_child(child, str(key), inner, at)
            continue
        lost = Binding(at, scope.context.unknown, refused=True)
        inner.names[inner.last_name or str(key)] = lost
    return close_list(inner, name, slot, scope, place)


def close_list(
    inner: Scope, name: str, slot: Registration, scope: Scope, place: Place
) -> ListInstance:
    """The list or dict of what its scope declared; all parameters, or none."""
    numbers = [str(i) for i in range(inner.holder.counter)]
    names = [each for each in (numbers if inner.indexed else inner.names) if each in inner.names]
    bindings = {each: inner.names[each] for each in names if not inner.names[each].absent}
    absent = {each: binding for each, binding in inner.names.items() if binding.absent}
    parameters = [
        isinstance(b.value, Operand) and b.instance is None
        for b in bindings.values()
        if not b.refused
    ]
    what = "list" if inner.indexed else "dict"
    if any(parameters) and not all(parameters):
        fact = f"`{name}` mixes parameters and modules"
        raise refuse("NS218", fact, place.key_span(), f"a {what} holds modules, or parameters")
    slot.holder = inner.holder
    path = scope.part(name).path
    if inner.indexed:
        return ListInstance(name, list(bindings.values()), path, slot)
    return DictInstance(name, list(bindings.values()), path, slot, tuple(bindings), absent)


def bind_taps(binding: Binding, value: Operand, scope: Scope, place: Place) -> Operand:
    """Names the inner values that a call gives beside its own: `layer4.1.sum`."""
    instance = binding.instance
    if not isinstance(instance, GraphInstance) or not instance.taps:
        return value
    paths = list(scope.taps.get(instance.name, ()))
    assert isinstance(value.expr, Item), "a call with taps gives a tuple"
    value = replace(value, expr=value.expr.of)
    main, *taps = scope.graph.unpack(
        [instance.name, *(f"{instance.name}.{path}" for path in paths)],
        value, [value, *instance.taps], place,
    )  # fmt: skip
    for path, tap in zip(paths, taps, strict=True):
        absent = path in instance.absent
        scope.names[f"{instance.name}.{path}"] = Binding(place, tap, absent=absent)
    return main
