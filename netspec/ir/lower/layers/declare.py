"""What a layer registers: its module, block, container or list, before any call."""

from __future__ import annotations

from functools import cache, partial

from torch import nn
from typing_extensions import assert_never

from netspec.ir.foreign.layers import call_help, foreign_layer
from netspec.ir.graph import NewModule, Place
from netspec.ir.lower.calls.handles import FunctionInstance, WeightedActivation, made_by
from netspec.ir.lower.calls.module_handle import Cause, ModuleInstance
from netspec.ir.lower.expressions.evaluate import static_value
from netspec.ir.lower.expressions.mends import from_act_fn, inner_module, takes_module
from netspec.ir.lower.layers import blocks, containers
from netspec.ir.lower.layers.arguments import name_of, seen_of, static_arguments
from netspec.ir.lower.layers.init import lower_after
from netspec.ir.lower.layers.modifiers import check_modifiers, condition_of
from netspec.ir.lower.layers.tensors import lower_param, new_state
from netspec.ir.lower.refusal import Refused, refuse
from netspec.ir.lower.scope import Binding, Instance, PendingTie, Registration, Scope
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
    LostLayer,
    ModuleLayer,
    ParamLayer,
    SpecLayer,
    UseLayer,
    ValueLayer,
)  # fmt: skip
from netspec.ops import catalog
from netspec.ops.arguments import Parameter
from netspec.ops.catalog import Operator
from netspec.ops.foreign_names import told_of_activation, told_of_module
from netspec.ops.overwriting import INPLACE
from netspec.ops.process_state import own_random_state
from netspec.ops.signatures import signatures_of

_STATEFUL = ("module", "act", "block", "spec", "layers", "param", "buffer")


def registered_name(key: str, layer: Layer, scope: Scope, place: Place) -> str:
    if is_group(layer, key, scope):
        return key
    name = key
    inline = layer.as_ == "inline" and _container(layer)
    if scope.indexed or (scope.numbered and not inline):
        name = _next_number(scope)
        if not scope.indexed and not key.isdigit() and layer.kind in _STATEFUL:
            fact = (
                f"`{key}` is a name, and the container around numbers what `as: inline` puts there"
            )
            help = "write the group's layers as a list, or leave `as: inline` out"
            raise refuse("NS218", fact, place.key_span(), help)
        if not key.isdigit():
            scope.names[key] = scope.names.setdefault(name, Binding(place))
    if scope.held and not scope.indexed and name in catalog.dict_members():
        fact = f"`{name}` is a member of nn.ModuleDict, and no name of an item"
        raise refuse("NS210", fact, place.key_span(), help=f"call it `{name}_`")
    if name in catalog.module_members():
        fact = f"`{name}` is a member of nn.Module, and a layer would hide it"
        raise refuse("NS210", fact, place.key_span(), help=f"call it `{name}_`")
    binding = scope.names.get(name)
    if binding is None or binding.value is not None or binding.instance is not None:
        scope.names[name] = Binding(place)
    return name


def _next_number(scope: Scope) -> str:
    scope.holder.counter += 1
    return str(scope.holder.counter - 1)


def is_group(layer: Layer, key: str, scope: Scope) -> bool:
    """Whether it is an inline item of a list, whose number names nothing: modules have numbers."""
    return layer.as_ == "inline" and _container(layer) and scope.numbered and key.isdigit()


def _container(layer: Layer) -> bool:
    return isinstance(layer, ContainerLayer) or layer.repeat is not None


def register_tensor(layer: Layer, operand: Operand, name: str, scope: Scope, place: Place) -> None:
    slot = Registration(
        name, place, new_state(layer, operand), lower_after(layer, scope, place), keep=layer.keep
    )
    scope.holder.add(slot)
    binding = scope.names[name]
    binding.at = scope.part(name)
    binding.value = Operand(binding.at, operand.facts)


def declare_child(layer: Layer, key: str, scope: Scope, place: Place) -> None:
    """A child of a list or a dict: declared, not called; in a list its number is its name."""
    if layer.when is not None:
        condition = condition_of(layer, scope, place)
        if condition is not None and condition.static and not condition.facts[0]:
            if not scope.indexed:  # in a list it takes no number
                null = scope.context.const(None) if isinstance(layer, ParamLayer) else None
                scope.names[key] = Binding(place, null, absent=True)
            return
    if layer.as_ == "inline":
        scope.last_name = _next_number(scope) if scope.indexed else key
        what = "list" if scope.indexed else "dict"
        fact = f"an item of a {what} is a module, and `as: inline` makes none"
        raise refuse("NS218", fact, place.at("as").span(), "write its layers as items")
    name = scope.last_name = registered_name(key, layer, scope, place)
    seen = seen_of(layer, name, place)
    scope.context.at_layer.inner.append(seen)
    with scope.context.seeing(seen):
        _declare_child(layer, name, scope, place)
    seen.new = made_by(scope.names.get(name))


def _declare_child(layer: Layer, name: str, scope: Scope, place: Place) -> None:
    if layer.repeat is not None:
        what = "list" if scope.indexed else "dict"
        raise refuse("NS218", f"in a {what}, repeat the {what} itself", place.key_span())
    check_modifiers(layer, place)
    if isinstance(layer, ParamLayer):
        operand = lower_param(layer, scope, place)
        register_tensor(layer, operand, name, scope, place)
        scope.context.at_layer.value = scope.names[name].value
        return
    declare(layer, name, scope, place)


def declare(layer: Layer, name: str, scope: Scope, place: Place) -> Binding:
    """Registers what a layer registers, without calling it."""
    binding = scope.names.setdefault(name, Binding(place))
    binding.at = scope.part(name)
    for target, source in (layer.tie or {}).items():
        at = place.at("tie", target)
        other = _tied_to(source, scope, at)
        if other is not None:
            path = (*scope.part(name).path, *target.split("."))
            scope.ties.append(PendingTie(path, other, at, scope))
            scope.context.at_layer.ties[target] = (other, at)
    match layer:
        case ModuleLayer(module=cls):
            at = place.at("module")
            operator = _find_module(name_of(cls, scope, at), at)
            binding.instance = _module(layer, operator, name, scope, place)
        case ActLayer():
            binding.instance = _activation(layer, name, scope, place)
        case BlockLayer():
            binding.instance = blocks.block_instance(layer, name, scope, place)
        case SpecLayer():
            binding.instance = blocks.spec_instance(layer, name, scope, place)
        case ContainerLayer(as_="list" | "dict"):
            binding.instance = containers.list_instance(layer, name, scope, place)
        case ContainerLayer():
            binding.instance = containers.container_instance(layer, name, scope, place)
        case LostLayer():
            raise Refused
        case ForeignLayer(value=written):
            raise Refused(foreign_layer(written, place))
        case CallLayer() | ValueLayer() | UseLayer() | ParamLayer() | BufferLayer() | ConstLayer():
            fact = f"a `{layer.kind}` layer cannot be declared or put in a list"
            raise refuse("NS218", fact, place.key_span())
        case _:
            assert_never(layer)
    return binding


def _tied_to(source: str, scope: Scope, place: Place) -> str | None:
    """The path that a `tie` names, or an expression in it; None where there is nothing to tie."""
    if is_expression(source) and static_value(source, scope, place, "a tie") is None:
        return None
    return name_of(source, scope, place)


def _find_module(name: str, place: Place) -> Operator:
    operator = catalog.find_module(name)
    if operator is None:
        help = call_help(name, str(place.path[-2])) or told_of_module(name)
        raise refuse("NS206", f"there is no module `{name}`", place.span(), help)
    return operator


def _module(
    layer: Layer, operator: Operator, name: str, scope: Scope, place: Place
) -> ModuleInstance:
    _refuse_inner_modules(layer, operator, place)
    given = static_arguments(layer, scope, place)
    slot = Registration(name, place, keep=layer.keep)
    scope.holder.add(slot)
    shown = name
    if scope.held and scope.label:
        shown = f"{scope.label}[{name}]" if scope.indexed else f"{scope.label}.{name}"
    return ModuleInstance(shown, operator, given, slot, lower_after(layer, scope, place))


def _refuse_inner_modules(layer: Layer, operator: Operator, place: Place) -> None:
    """Raises Refused (NS204, NS205) where a class takes a module that it needs, or is given one."""
    parameters = _of_modules(operator)
    if not parameters:
        return
    arguments = {**layer.extra, **(layer.args or {})}
    given = [p for p in parameters if p.required or arguments.get(p.name) is not None]
    if given:
        raise Refused(*(inner_module(operator, p, arguments, place) for p in given))


@cache
def _of_modules(operator: Operator) -> tuple[Parameter, ...]:
    """The parameters of a class of torch that only a module or a function of Python fits."""
    if operator.registered is not None:
        return ()
    return tuple(p for p in signatures_of(operator)[0].parameters if takes_module(p))


def _activation(layer: ActLayer, name: str, scope: Scope, place: Place) -> Instance:
    chosen = scope.context.activation.fn
    if layer.pin or chosen is None or chosen == layer.act:
        return _activation_of(name_of(layer.act, scope, place.at("act")), layer, name, scope, place)
    cause = partial(from_act_fn, layer, chosen)
    with scope.context.problems.caused(cause):
        if (layer.init or layer.tie) and not _has_weights(chosen):
            raise refuse("NS502", f"`{chosen}` has no parameters", place.key_span())
        return _activation_of(chosen, layer, name, scope, place, cause)


def _activation_of(
    function: str,
    layer: ActLayer,
    name: str,
    scope: Scope,
    place: Place,
    cause: Cause | None = None,
) -> Instance:
    at, form = place.at("act"), scope.context.activation.form
    operator = catalog.module_of_activation(function)
    if operator is None:
        if function.endswith("_") and catalog.module_of_activation(function.rstrip("_")):
            fact = "`act` names an activation, and its form is chosen when it is built"
            forms = f"write `act: {function[:-1]}`, or `call: {function}` to overwrite in any form"
            raise refuse("NS206", fact, at.span(), forms)
        help = call_help(function, str(place.path[-1])) or told_of_activation(function)
        raise refuse("NS206", f"there is no activation `{function}`", at.span(), help)
    given = static_arguments(layer, scope, place)
    if INPLACE in given:
        fact = f"the form of an activation is chosen when it is built, and `{function}` fixes it"
        help = f"leave `inplace` out, or write `module: {operator.name}`"
        raise refuse("NS406", fact, (place.argument(INPLACE) or place).key_span(), help)
    weights = weights_of(operator)
    if form != "functional" or weights:
        module = _module(layer, operator, name, scope, place)
        module.slot.activation, module.cause = True, cause
        return module if form != "functional" else WeightedActivation(function, module, weights)
    if layer.init is not None or layer.tie is not None:
        raise refuse("NS502", f"`{function}` has no parameters", place.key_span())
    if scope.indexed:  # a ModuleList has no gaps: something has to stand at this number
        identity = catalog.find_module("Identity")
        assert identity is not None, "torch.nn has Identity"
        new = NewModule(identity, (), ())
        scope.holder.add(Registration(name, place, new, called=True))
    return FunctionInstance(function, given, cause)


def _has_weights(function: str) -> bool:
    operator = catalog.module_of_activation(function)
    return operator is not None and bool(weights_of(operator))


@cache
def weights_of(operator: Operator) -> tuple[str, ...]:
    """The parameters of an activation's module: PReLU's `weight`."""
    try:
        with own_random_state():
            module = operator.target()
    except (TypeError, ValueError, RuntimeError):  # it wants arguments
        return ()
    assert isinstance(module, nn.Module), "an activation's module is one"
    return tuple(name for name, _ in module.named_parameters())
