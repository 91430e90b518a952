"""Layers, one after the other: each kind to what it registers and the value that it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial

from torch import nn

from netspec.errors import did_you_mean
from netspec.ir.graph import NewModule, Place
from netspec.ir.lower import containers, known, repeats
from netspec.ir.lower.bind import call_function, check_function, refuse_in_place
from netspec.ir.lower.context import Operand, Refused, refuse
from netspec.ir.lower.evaluate import choose, evaluate, evaluate_plain, static_value
from netspec.ir.lower.instances import (
    FunctionInstance,
    Instance,
    ModuleInstance,
    WeightedActivation,
)
from netspec.ir.lower.scope import Binding, PendingTie, Scope, Slot
from netspec.ir.lower.state import lower_after, lower_const, lower_param, new_state
from netspec.ops import catalog
from netspec.ops.catalog import Operator
from netspec.spec.expressions import is_expression, names_of, parse_expression
from netspec.spec.schema import (
    ActLayer,
    BlockLayer,
    BufferLayer,
    CallLayer,
    ConstLayer,
    ContainerLayer,
    Layer,
    ModuleLayer,
    ParamLayer,
    Repeat,
    SpecLayer,
    UseLayer,
    ValueLayer,
)  # fmt: skip

Layers = Sequence[Layer] | Mapping[str, Layer]


@cache
def _members() -> frozenset[str]:
    return frozenset(dir(nn.Module()))


def items_of(layers: Layers) -> Iterator[tuple[str | int, Layer]]:
    """The layers with the keys by which the text has them."""
    return iter(layers.items()) if isinstance(layers, Mapping) else enumerate(layers)


def lower_layers(layers: Layers, scope: Scope, place: Place) -> None:
    """All layers of one `layers:`; what is refused is reported, and its name marked."""
    for key, layer in items_of(layers):
        at = place.at(key)
        lower_layer(layer, str(key), scope, at, partial(inputs_of, layer, scope, at))


def lower_layer(
    layer: Layer, key: str, scope: Scope, place: Place, inputs: Callable[[], list[Operand]]
) -> None:
    """One layer: its name bound, its child registered, its value the next one's input."""
    name = key
    try:
        if layer.model_fields_set & _NOT_PLAIN:
            check_modifiers(layer, place)
        whole = layer.repeat is not None and not asks_each_copy(layer)
        if whole and not static_value(layer.when, scope, place.at("when"), "`when` of a repeat"):
            _skip(layer, key, scope, place, inputs)
            return
        if layer.repeat is not None:
            name = _registered_name(key, layer, scope, place)
            repeats.lower_repeat(layer, name, scope, place, inputs())
            return
        condition = _condition(layer, scope, place)
        if condition is not None and condition.static:
            if not condition.facts[0]:
                _skip(layer, key, scope, place, inputs)
                return
            condition = None
        name = _registered_name(key, layer, scope, place)
        scope.last_name = name
        value = _lower_plain(layer, name, scope, place, inputs)
        if value is None:
            value = _lower_kind(layer, name, scope, place, inputs, condition)
        binding = scope.names[name]
        if value is None:
            return
        if condition is not None:
            value = choose(condition, value, inputs()[0])
        binding.value = scope.graph.assign(name, value, place, layer.keep)
        scope.previous = binding.value
    except Refused as refused:
        scope.context.report(refused)
        found = scope.names.setdefault(name, Binding(place))
        found.refused = True
        scope.previous = None if _gives_value(layer) else scope.previous
        scope.broken = scope.broken or _gives_value(layer)
        if scope.numbered and name == key and not isinstance(layer, ParamLayer):
            scope.names.setdefault(str(scope.holder.counter), found)


_STATEFUL = ("module", "act", "block", "spec", "layers")
_MODIFIERS = {
    "init": (*_STATEFUL, "param", "buffer"),
    "freeze": (*_STATEFUL, "param"),
    "tie": _STATEFUL,
    "declare": _STATEFUL,
    "args": ("module", "call", "act", "block", "spec"),
    "from": ("module", "call", "act", "block", "spec", "layers", "use", "value"),
    "repeat": ("module", "call", "act", "block", "spec", "layers", "use", "value", "param"),
}


_NOT_PLAIN = frozenset(Layer.model_fields) | {"with_", "pin"}


def check_modifiers(layer: Layer, place: Place) -> None:
    """Each modifier means something for this kind of layer. Raises Refused (NS218)."""
    given = layer.model_fields_set
    for name, kinds in _MODIFIERS.items():
        field = "from_" if name == "from" else name
        if field in given and layer.kind not in kinds and getattr(layer, field):
            fact = f"`{name}` means nothing for a `{layer.kind}` layer"
            help = f"it is for {', '.join(kinds)}"
            raise refuse("NS218", fact, place.source.key_span_of((*place.path, name)), help)
    if layer.as_ is not None and layer.repeat is None and layer.kind != "layers":
        fact = f"`as` goes with `repeat` or `layers`, and `{place.path[-1]}` has neither"
        raise refuse("NS218", fact, place.source.key_span_of((*place.path, "as")))
    if layer.kind == "param" and layer.repeat is not None and layer.as_ != "list":
        fact = "a repeated `param` is a list of parameters"
        raise refuse("NS218", fact, place.key_span(), "add `as: list`")


def _gives_value(layer: Layer) -> bool:
    silent = isinstance(layer, (ParamLayer, BufferLayer, ConstLayer))
    return not (silent or layer.declare or layer.as_ == "list")


def _condition(layer: Layer, scope: Scope, place: Place) -> Operand | None:
    if layer.when is None:
        return None
    condition = evaluate_plain(layer.when, scope, place.at("when"))
    if condition.is_tensor or condition.sized:
        on = "a tensor's values" if condition.is_tensor else "a free size"
        fact = f"whether `{place.path[-1]}` exists depends on {on}"
        help = "a condition is on args, known sizes or `training`"
        raise refuse("NS303", fact, place.at("when").span(), help)
    return condition


def asks_each_copy(layer: Layer) -> bool:
    """Whether the `when` of a repeat is asked for each copy: it names the loop's variables."""
    if layer.when is None:
        return True
    repeat = layer.repeat
    own = {"i", (repeat.as_ or "w") if isinstance(repeat, Repeat) else "i", "training"}
    if not isinstance(layer.when, str) or not is_expression(layer.when):
        return False
    return bool(own & names_of(parse_expression(layer.when)))


def _skip(
    layer: Layer, key: str, scope: Scope, place: Place, inputs: Callable[[], list[Operand]]
) -> None:
    """A layer that does not exist: its name means its input, a parameter's name `null`."""
    if isinstance(layer, (ParamLayer, BufferLayer, ConstLayer)):
        scope.names[key] = Binding(place, scope.context.const(None))
        return
    value = inputs()[0] if _gives_value(layer) and (scope.previous or layer.from_) else None
    scope.names[key] = Binding(place, value)
    if value is not None:
        scope.previous = value


def _registered_name(key: str, layer: Layer, scope: Scope, place: Place) -> str:
    name = key
    if scope.numbered and not (layer.as_ == "inline" and _container(layer)):
        name = str(scope.holder.counter)
        scope.holder.counter += 1
        if not key.isdigit():
            scope.names[key] = scope.names.setdefault(name, Binding(place))
    if name in _members():
        fact = f"`{name}` is a member of nn.Module, and a layer would hide it"
        raise refuse("NS210", fact, place.key_span(), help=f"call it `{name}_`")
    binding = scope.names.get(name)
    if binding is None or binding.value is not None or binding.instance is not None:
        scope.names[name] = Binding(place)
    return name


def _container(layer: Layer) -> bool:
    return isinstance(layer, ContainerLayer) or layer.repeat is not None


def inputs_of(layer: Layer, scope: Scope, place: Place) -> list[Operand]:
    """The values that a layer reads: those of `from`, else the one before."""
    if layer.from_ is None:
        if scope.broken and scope.previous is None:
            raise Refused
        if scope.previous is None:
            raise refuse("NS207", "nothing comes before, so `from` is needed", place.key_span())
        return [scope.previous]
    if isinstance(layer.from_, str):
        return [reference(layer.from_, scope, place.at("from"))]
    return [reference(name, scope, place.at("from", i)) for i, name in enumerate(layer.from_)]


def reference(text: str, scope: Scope, place: Place) -> Operand:
    """A name, a path (`layer4.1.sum`) or an expression → its value."""
    if is_expression(text):
        return evaluate(text, scope, place)
    return scope.value(text, place)


def _lower_plain(
    layer: Layer, name: str, scope: Scope, place: Place, inputs: Callable[[], list[Operand]]
) -> Operand | None:
    """The value of a module, call or activation without modifiers; None for other layers."""
    if layer.kind not in ("module", "call", "act") or layer.model_fields_set & _NOT_PLAIN:
        return None
    if scope.broken and scope.previous is None:
        return None
    sources = inputs()
    key = known.key_of(layer, sources)
    if key is None:
        return None
    value = known.recall(key, name, scope, place, sources[0])
    if value is None:
        value = _lower_kind(layer, name, scope, place, partial(list, sources), None)
        assert value is not None, "a plain layer gives a value"
        known.remember(key, name, scope, sources[0], value)
    return value


def _lower_kind(
    layer: Layer,
    name: str,
    scope: Scope,
    place: Place,
    inputs: Callable[[], list[Operand]],
    condition: Operand | None,
) -> Operand | None:
    """The layer's value, not yet assigned, or None where it gives none."""
    match layer:
        case ParamLayer() | BufferLayer():
            operand = lower_param(layer, scope, place)
            _register_tensor(layer, operand, name, scope, place)
            return None
        case ConstLayer():
            operand = lower_const(layer, scope, place)
            if operand.is_tensor:
                _register_tensor(layer, operand, name, scope, place)
            else:
                scope.names[name].value = operand
            return None
        case ValueLayer(value=text):
            with_input = scope if layer.from_ is None else replace(scope, previous=inputs()[0])
            if not is_expression(text):
                fact = f"`value` is an expression, and `{text}` has no leading `=`"
                raise refuse("NS205", fact, place.at("value").span(), f'write "={text}"')
            return evaluate(text, with_input, place.at("value"))
        case CallLayer(call=function):
            given = arguments(layer, scope, place)
            check_function(function, given, place)
            return call_function(function, inputs(), given, scope, place, spread=True)
        case UseLayer():
            return _use(layer, scope, place, inputs())
        case _:
            pass
    transparent = isinstance(layer, ContainerLayer) and containers.is_transparent(layer)
    if transparent and (condition is None or layer.as_ == "inline"):
        assert isinstance(layer, ContainerLayer), "only containers are transparent"
        return containers.lower_inline(layer, name, scope, place, inputs())
    binding = declare(layer, name, scope, place)
    if layer.declare or layer.as_ == "list":
        return None
    return call_registered(layer, binding, scope, place, inputs())


def call_registered(
    layer: Layer, binding: Binding, scope: Scope, place: Place, inputs: list[Operand]
) -> Operand:
    """The first call of what a layer registered, with the keyword arguments of its `with`."""
    assert binding.instance is not None and binding.at is not None, "declared just before"
    named = _with(layer, scope, place)
    value = binding.instance.call(scope, binding.at, inputs, named, place)
    return containers.bind_taps(binding, value, scope, place)


def _with(layer: Layer, scope: Scope, place: Place) -> dict[str, Operand]:
    given = getattr(layer, "with_", None) or {}
    return {k: evaluate_plain(v, scope, place.at("with", k)) for k, v in given.items()}


def _use(layer: UseLayer, scope: Scope, place: Place, inputs: list[Operand]) -> Operand:
    binding = scope.find(layer.use)
    at = place.at("use")
    if binding is None:
        help = did_you_mean(layer.use, scope.visible())
        raise refuse("NS207", f"`{layer.use}` is not defined here", at.span(), help)
    if binding.refused:
        raise Refused
    if binding.instance is None or binding.at is None:
        fact = f"`{layer.use}` registers no module that could be called again"
        raise refuse("NS207", fact, at.span(), "name a `module`, `block` or `layers`")
    return binding.instance.call(scope, binding.at, inputs, _with(layer, scope, place), place)


def _register_tensor(layer: Layer, operand: Operand, name: str, scope: Scope, place: Place) -> None:
    slot = Slot(
        name, place, new_state(layer, operand), lower_after(layer, scope, place), keep=layer.keep
    )
    scope.holder.add(slot)
    binding = scope.names[name]
    binding.at = scope.part(name)
    binding.value = Operand(binding.at, operand.facts)


def arguments(layer: Layer, scope: Scope, place: Place) -> dict[str, Operand]:
    """The layer's own arguments: its free keys, and those in `args`."""
    found = {key: evaluate_plain(v, scope, place.at(key)) for key, v in layer.extra.items()}
    for key, value in (layer.args or {}).items():
        if key in found:
            fact = f"`{key}` is given twice, once in `args`"
            raise refuse("NS205", fact, place.source.key_span_of((*place.path, "args", key)))
        found[key] = evaluate_plain(value, scope, place.at("args", key))
    return found


def static_arguments(layer: Layer, scope: Scope, place: Place) -> dict[str, Operand]:
    """The arguments of something that is constructed: all known when the model is built."""
    found = arguments(layer, scope, place)
    for key, operand in found.items():
        if not operand.static:
            on = "a tensor" if operand.is_tensor else "a free size or the mode"
            fact = f"`{key}` depends on {on}, and a module's arguments are known when it is built"
            raise refuse("NS303", fact, place.at(key).span())
    return found


def declare_child(layer: Layer, key: str, scope: Scope, place: Place) -> None:
    """A child of a list: declared, not called; its number is its name."""
    if layer.when is not None:
        condition = _condition(layer, scope, place)
        if condition is not None and condition.static and not condition.facts[0]:
            return
    if layer.repeat is not None:
        raise refuse("NS218", "in a list, repeat the list itself", place.key_span())
    check_modifiers(layer, place)
    name = scope.last_name = _registered_name(key, layer, scope, place)
    if isinstance(layer, ParamLayer):
        operand = lower_param(layer, scope, place)
        _register_tensor(layer, operand, name, scope, place)
        return
    declare(layer, name, scope, place)


def declare(layer: Layer, name: str, scope: Scope, place: Place) -> Binding:
    """Registers what a layer registers, without calling it."""
    binding = scope.names.setdefault(name, Binding(place))
    binding.at = scope.part(name)
    for target, source in (layer.tie or {}).items():
        path = (*scope.part(name).path, *target.split("."))
        scope.ties.append(PendingTie(path, source, place.at("tie", target)))
    match layer:
        case ModuleLayer(module=cls):
            operator = _find_module(cls, place.at("module"))
            binding.instance = _module(layer, operator, name, scope, place)
        case ActLayer():
            binding.instance = _activation(layer, name, scope, place)
        case BlockLayer():
            binding.instance = containers.block_instance(layer, name, scope, place)
        case SpecLayer():
            binding.instance = containers.spec_instance(layer, name, scope, place)
        case ContainerLayer(as_="list"):
            binding.instance = containers.list_instance(layer, name, scope, place)
        case ContainerLayer():
            binding.instance = containers.container_instance(layer, name, scope, place)
        case _:
            fact = f"a `{layer.kind}` layer cannot be declared or put in a list"
            raise refuse("NS218", fact, place.key_span())
    return binding


def _find_module(name: str, place: Place) -> Operator:
    operator = catalog.find_module(name)
    if operator is None:
        help = did_you_mean(name, catalog.module_names())
        if catalog.find_function(name) is not None:
            help = f"`{name}` is a function: write `call: {name}`"
        if "." in name:
            help = "a module is named by itself: `Conv2d`, not `torch.nn.Conv2d`"
        raise refuse("NS206", f"there is no module `{name}`", place.span(), help)
    return operator


def _module(
    layer: Layer, operator: Operator, name: str, scope: Scope, place: Place
) -> ModuleInstance:
    given = static_arguments(layer, scope, place)
    slot = Slot(name, place, keep=layer.keep)
    scope.holder.add(slot)
    return ModuleInstance(name, operator, given, slot, lower_after(layer, scope, place))


def _activation(layer: ActLayer, name: str, scope: Scope, place: Place) -> Instance:
    activation = scope.context.activation
    function = layer.act if layer.pin or activation.fn is None else activation.fn
    operator = catalog.module_of_activation(function)
    at = place.at("act")
    if operator is None:
        help = did_you_mean(function, catalog.activation_names())
        if function.endswith("_") and catalog.module_of_activation(function.rstrip("_")):
            fact = f"`{function}` overwrites its input, which this version cannot prove safe"
            raise refuse("NS401", fact, at.span(), f"write `act: {function.rstrip('_')}`")
        named = catalog.function_of_activation(function)
        if named is not None:
            help = f"an activation is named by its function: `{named.name}`"
        raise refuse("NS206", f"there is no activation `{function}`", at.span(), help)
    given = static_arguments(layer, scope, place)
    refuse_in_place(function, given, place)
    weights = weights_of(operator)
    if activation.form == "module" or weights:
        module = _module(layer, operator, name, scope, place)
        if activation.form == "module":
            return module
        return WeightedActivation(function, module, weights)
    if layer.init is not None or layer.tie is not None:
        raise refuse("NS502", f"`{function}` has no parameters", place.key_span())
    if scope.indexed:  # a ModuleList has no gaps: something has to stand at this number
        identity = catalog.find_module("Identity")
        assert identity is not None, "torch.nn has Identity"
        new = NewModule(identity, (), ())
        scope.holder.add(Slot(name, place, new, called=True))
    return FunctionInstance(function, given)


@cache
def weights_of(operator: Operator) -> tuple[str, ...]:
    """The parameters of an activation's module: PReLU's `weight`."""
    try:
        module = operator.target()
    except TypeError:
        return ()
    assert isinstance(module, nn.Module), "an activation's module is one"
    return tuple(name for name, _ in module.named_parameters())
