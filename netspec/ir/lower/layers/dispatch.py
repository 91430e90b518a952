"""Layers, one after the other: each kind to what it registers and the value that it gives."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

from typing_extensions import assert_never

from netspec.errors import Help
from netspec.ir.foreign.layers import foreign_layer
from netspec.ir.graph import Place
from netspec.ir.lower.calls.functions import call_function
from netspec.ir.lower.calls.handles import made_by
from netspec.ir.lower.expressions.evaluate import evaluate, evaluate_plain, item_at, static_value
from netspec.ir.lower.expressions.mends import inner_layer
from netspec.ir.lower.expressions.operators import as_condition, check_length, choose
from netspec.ir.lower.layers import containers, memo, repeats
from netspec.ir.lower.layers.arguments import (
    arguments,
    inputs_of,
    items_of,
    name_of,
    no_expression,
    seen_of,
    values_of,
)
from netspec.ir.lower.layers.declare import declare, is_group, register_tensor, registered_name
from netspec.ir.lower.layers.modifiers import asks_each_copy, check_modifiers, condition_of
from netspec.ir.lower.layers.tensors import lower_const, lower_param
from netspec.ir.lower.refusal import Refused, TooMany, refuse
from netspec.ir.lower.scope import Binding, Scope
from netspec.ir.lower.unknown_names import undefined
from netspec.ir.lower.values import Operand
from netspec.language.expressions import as_expression, is_expression, names_in
from netspec.language.schema import (
    ActLayer,
    BlockLayer,
    BufferLayer,
    CallLayer,
    ConstLayer,
    ContainerLayer,
    ForeignLayer,
    Layer,
    LayerBase,
    Layers,
    LostLayer,
    ModuleLayer,
    ParamLayer,
    RegisteredLayer,
    SpecLayer,
    UseLayer,
    ValueLayer,
)  # fmt: skip
from netspec.limits import OutOfWork, spend, too_much_work


def lower_layers(layers: Layers, scope: Scope, place: Place) -> None:
    """All layers of one `layers:`; what is refused is reported, and its name marked."""
    scope.layers = (layers, place)
    for key, layer in items_of(layers):
        at = place.at(key)
        lower_layer(layer, str(key), scope, at, partial(inputs_of, layer, scope, at))


_A_LAYER = 60  # the work of one, beside what it asks
_NOT_PLAIN = frozenset(LayerBase.model_fields) | {"with_", "pin"}
_MEANS_MORE = _NOT_PLAIN - {"from_", "keep", "doc"}  # than what a layer reads, or who reads it


def lower_layer(
    layer: Layer, key: str, scope: Scope, place: Place, inputs: Callable[[], list[Operand]]
) -> None:
    """One layer: its name bound, its child registered, its value the next one's input."""
    seen = seen_of(layer, key, place)
    scope.context.at_layer.inner.append(seen)

    def read() -> list[Operand]:
        found = inputs()
        seen.inputs = found
        return found

    context = scope.context
    told = len(context.problems.found)
    around, context.at_layer = context.at_layer, seen
    try:
        _lower_seen(layer, key, scope, place, read)
    finally:
        context.at_layer = around
        seen.mistaken = len(context.problems.found) > told
    seen.new = made_by(scope.names.get(seen.name))


def _lower_seen(
    layer: Layer, key: str, scope: Scope, place: Place, inputs: Callable[[], list[Operand]]
) -> None:
    if layer.from_ is None or _is_read_once(layer):
        _lower(layer, key, scope, place, inputs)
        return
    before = scope.previous
    held = [scope.context.unknown]
    with scope.context.problems:
        held = [scope.graph.hold(operand, place) for operand in inputs()]
    scope.previous = held[0]  # `_` is what comes in
    _lower(layer, key, scope, place, partial(list, held))
    if not _gives_value(layer):
        scope.previous = before


def _is_read_once(layer: Layer) -> bool:
    """Whether only the call that the layer makes reads what its `from` says."""
    if layer.when is not None or layer.repeat is not None or isinstance(layer, ValueLayer):
        return False
    if isinstance(layer, ContainerLayer):
        return not containers.is_transparent(layer)
    return not any(map(_names_input, values_of(layer)))


def _names_input(value: object) -> bool:
    """Whether `_` stands in an expression of a plain value."""
    if isinstance(value, list):
        return any(map(_names_input, value))
    return is_expression(value) and "_" in value and "_" in names_in(value)


def _lower(
    layer: Layer, key: str, scope: Scope, place: Place, inputs: Callable[[], list[Operand]]
) -> None:
    name = key
    seen = scope.context.at_layer
    try:
        if layer.repeat is None:
            scope.context.bounds.add_lowerings(1, place)
            spend(_A_LAYER)
        if layer.model_fields_set & _NOT_PLAIN:
            check_modifiers(layer, place)
        whole = layer.repeat is not None and not asks_each_copy(layer)
        if whole and not _may_exist(layer, scope, place):
            _skip(layer, key, scope, place, inputs)
            return
        if layer.repeat is not None:
            name = seen.name = registered_name(key, layer, scope, place)
            repeats.lower_repeat(layer, name, scope, place, inputs())
            seen.reads = scope.graph.reads_of(seen.inputs)
            if _gives_value(layer):
                seen.value = scope.previous
            return
        condition = condition_of(layer, scope, place)
        if condition is not None and condition.static:
            if not condition.facts[0]:
                _skip(layer, key, scope, place, inputs)
                return
            condition = None
        name = seen.name = registered_name(key, layer, scope, place)
        scope.last_name = name
        binding = Binding(place) if is_group(layer, key, scope) else scope.names[name]
        doubt = condition is not None and condition.is_unknown
        context, start = scope.context, len(scope.graph.body)
        value = _lower_plain(layer, name, scope, place, inputs)
        if value is None:
            there = lambda: list(map(context.seen, inputs()))  # noqa: E731
            in_doubt = context.problems.in_doubt() if doubt else nullcontext()
            with in_doubt, context.narrowed(condition):
                value = _lower_kind(layer, name, scope, place, there, condition)
        if value is None:
            seen.value = scope.names[name].value if name in scope.names else None
            return
        if condition is not None:
            if len(scope.graph.body) > start and context.probes.asks_given(condition):
                fact = (
                    f"`{name}` is computed in several steps, and whether it is depends on an input"
                )
                help = "leave `as: inline` out; what is inside of it is read there alone"
                raise refuse("NS303", fact, place.at("when").span(), help)
            value = choose(condition, value, inputs()[0])
        if value.is_unknown:
            raise Refused
        check_length(value, place)
        seen.reads, seen.value = scope.graph.reads(value.expr), value
        binding.value = scope.graph.assign(name, value, place, layer.keep)
        scope.previous = binding.value
    except OutOfWork:
        names = [part for part in place.path if isinstance(part, str)]
        problem = too_much_work(f"checking `{names[-1]}`", place.key_span())
        scope.context.problems.add(Refused(problem))
        raise TooMany from None
    except Refused as refused:
        scope.context.problems.add(refused)
        seen.refused = True
        seen.reads = scope.graph.reads_of(seen.inputs)
        found = scope.names.setdefault(name, Binding(place))
        found.refused, found.held = True, layer.holds
        found.value = scope.context.unknown
        scope.previous = found.value if _gives_value(layer) else scope.previous
        if scope.numbered and name == key and not isinstance(layer, ParamLayer):
            scope.names.setdefault(str(scope.holder.counter), found)


def _may_exist(layer: Layer, scope: Scope, place: Place) -> bool:
    """Whether the `when` of a whole repeat holds, or is not known for a mistake before."""
    condition = as_condition(evaluate_plain(layer.when, scope, place.at("when")))
    if condition.is_unknown:
        return True
    if condition.static:
        return bool(condition.facts[0])
    return bool(static_value(layer.when, scope, place.at("when"), "`when` of a repeat"))


def _gives_value(layer: Layer) -> bool:
    match layer:
        case ParamLayer() | BufferLayer() | ConstLayer():
            return False
        case ModuleLayer() | CallLayer() | ActLayer() | BlockLayer() | SpecLayer():
            return not (layer.declare or layer.holds)
        case ContainerLayer() | UseLayer() | ValueLayer() | LostLayer() | ForeignLayer():
            return not (layer.declare or layer.holds)
        case _:
            assert_never(layer)


def _skip(
    layer: Layer, key: str, scope: Scope, place: Place, inputs: Callable[[], list[Operand]]
) -> None:
    """A layer that does not exist: its name means its input, a parameter's name `null`."""
    scope.context.at_layer.absent = True
    if isinstance(layer, (ParamLayer, BufferLayer, ConstLayer)):
        scope.names[key] = Binding(place, scope.context.const(None))
        return
    value = inputs()[0] if _gives_value(layer) and (scope.previous or layer.from_) else None
    if not (scope.numbered and key.isdigit()):  # it takes no number
        scope.names[key] = Binding(place, value, absent=True)
    if value is not None:
        scope.previous = value


def _lower_plain(
    layer: Layer, name: str, scope: Scope, place: Place, inputs: Callable[[], list[Operand]]
) -> Operand | None:
    """The value of a module, call or activation whose modifiers, as `from`, change nothing of it;
    None for others.
    """
    if not isinstance(layer, memo.Plain) or layer.model_fields_set & _MEANS_MORE:
        return None
    sources = inputs()
    unknown = any(source.is_unknown for source in sources)
    key = None if unknown else memo.key_of(layer, sources, scope.context.probes.reached)
    if key is None:
        return None
    value = memo.recall(key, name, scope, place, sources[0], layer.keep)
    if value is None:
        value = _lower_kind(layer, name, scope, place, partial(list, sources), None)
        assert value is not None, "a plain layer gives a value"
        memo.remember(key, name, scope, sources[0], value)
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
            register_tensor(layer, operand, name, scope, place)
            return None
        case ConstLayer():
            operand = lower_const(layer, scope, place)
            if operand.is_tensor:
                register_tensor(layer, operand, name, scope, place)
            else:
                scope.names[name].value = operand
            return None
        case ValueLayer(value=text):
            if not is_expression(text):
                fact = f"`value` is an expression, and `{text}` has no leading `=`"
                help = Help(f'write "={text}"', text, as_expression(text))
                raise refuse("NS205", fact, place.at("value").span(), help)
            _check_input_of_value(layer, text, place)
            return evaluate(text, scope, place.at("value"))
        case CallLayer(call=function):
            given = arguments(layer, scope, place)
            sources = inputs()
            called = name_of(function, scope, place.at("call"))
            return call_function(called, sources, given, scope, place, spread=True)
        case LostLayer():
            raise Refused
        case ForeignLayer(value=written):
            raise Refused(foreign_layer(written, place))
        case UseLayer():
            return _use(layer, scope, place, inputs())
        case ContainerLayer():
            if containers.is_transparent(layer) and (condition is None or layer.as_ == "inline"):
                return containers.lower_inline(layer, name, scope, place, inputs())
            return _lower_registered(layer, name, scope, place, inputs)
        case ModuleLayer() | ActLayer() | BlockLayer() | SpecLayer():
            return _lower_registered(layer, name, scope, place, inputs)
        case _:
            assert_never(layer)


def _lower_registered(
    layer: RegisteredLayer,
    name: str,
    scope: Scope,
    place: Place,
    inputs: Callable[[], list[Operand]],
) -> Operand | None:
    """The first call's value of what a layer registers, None where nothing calls it here."""
    if layer.declare or layer.holds:
        declare(layer, name, scope, place)
        return None
    given_to_it = _before_the_layer(inputs, scope)
    binding = declare(layer, name, scope, place)
    if given_to_it is None:
        raise Refused
    return call_registered(layer, binding, scope, place, given_to_it)


def _before_the_layer(inputs: Callable[[], list[Operand]], scope: Scope) -> list[Operand] | None:
    """The inputs, in which the layer's own name still means what it meant; None where refused."""
    with scope.context.problems:
        return inputs()
    return None


def _check_input_of_value(layer: ValueLayer, text: str, place: Place) -> None:
    """Raises Refused where a `value` layer does not read what its `from` says, or not all of it."""
    if layer.from_ is None:
        return
    if isinstance(layer.from_, list) and len(layer.from_) > 1:
        fact = f"`_` is one value, and `from` gives {len(layer.from_)}"
        help = "name the values in the expression, and leave `from` out"
        raise refuse("NS212", fact, place.at("from").key_span(), help)
    if layer.when is None and "_" not in names_in(text):
        fact = f"nothing reads what the `from` of `{place.path[-1]}` says"
        help = "write `_` for it in the expression, or leave `from` out"
        raise refuse("NS501", fact, place.at("from").key_span(), help)


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
    no_expression(layer.use, "use", place)
    at = place.at("use")
    binding = scope.find(layer.use) or item_at(layer.use, scope, at)
    inside = inner_layer(scope, layer.use.split(".")) if binding is None else None
    if inside is not None:
        fact = f"`{layer.use}` is a layer inside of another one, and `use` names one beside it"
        raise refuse("NS207", fact, at.span(), inside)
    if binding is None:
        raise undefined(scope, layer.use, at)
    if binding.refused:
        raise Refused
    if binding.instance is None or binding.at is None:
        fact = f"`{layer.use}` registers no module that could be called again"
        raise refuse("NS207", fact, at.span(), "name a `module`, `block` or `layers`")
    return binding.instance.call(scope, binding.at, inputs, _with(layer, scope, place), place)
