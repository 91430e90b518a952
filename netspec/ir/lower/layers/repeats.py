"""`repeat`: copies of a layer, each with its index; the first input is carried on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from netspec.ir.expr import CallPart, Expr, Part, Tuple, Value, substitute
from netspec.ir.graph import Assign, ByMode, Graph, Loop, NewList, Place
from netspec.ir.lower.calls.container_handles import ListInstance
from netspec.ir.lower.calls.handles import GraphInstance
from netspec.ir.lower.expressions.evaluate import evaluate_plain, static_value
from netspec.ir.lower.layers import containers
from netspec.ir.lower.layers.declare import is_group
from netspec.ir.lower.layers.init import lower_after
from netspec.ir.lower.layers.modifiers import asks_each_copy, loop_names
from netspec.ir.lower.refusal import Refused, refuse
from netspec.ir.lower.scope import Binding, GraphBuilder, Registration, Scope
from netspec.ir.lower.seal.chain import as_chain
from netspec.ir.lower.seal.graph import finish
from netspec.ir.lower.seal.open_slots import fill_open_slots
from netspec.ir.lower.session import Lowered, tuple_of
from netspec.ir.lower.values import Operand
from netspec.language.schema import ContainerLayer, Layer, Repeat
from netspec.limits import raised_help

Loop_ = list[dict[str, Operand]]


def lower_repeat(
    layer: Layer, name: str, scope: Scope, place: Place, inputs: list[Operand]
) -> None:
    """All copies of a repeated layer, in the container that `as` asks for."""
    rounds = None
    with scope.context.problems:
        rounds = _rounds(layer, scope, place)
    if rounds is None:
        rounds = _unknown_rounds(layer, scope)
    not_its_own = {"repeat": None, "from_": None, "as_": None, **_condition(layer)}
    copy = layer.model_copy(update={**not_its_own, "keep": True})
    copy.model_fields_set.difference_update(not_its_own)  # so that it is as plain as one alone
    names = _names(layer, rounds, scope, place)
    value: Operand | None
    if layer.holds or layer.declare:
        _declare_copies(layer, copy, name, scope, place, rounds, names)
        if _are_unknown(rounds):
            raise Refused
        return
    if not rounds:
        value = inputs[0] if len(inputs) == 1 else tuple_of(scope.context, inputs)
    elif layer.as_ == "inline" or (layer.as_ is None and not containers.registers(layer)):
        value = _inline(copy, name, scope, place, inputs, rounds, names, layer.as_ == "inline")
    else:
        value = _contained(layer, copy, name, scope, place, inputs, rounds, names)
    if value.is_unknown or _are_unknown(rounds):
        raise Refused
    scope.previous = scope.graph.assign(name, value, place, layer.keep)
    if not is_group(layer, name, scope):
        binding = scope.names.setdefault(name, Binding(place))
        binding.value = scope.previous


def _are_unknown(rounds: Loop_) -> bool:
    """Whether one copy stands for all, as a mistake before leaves open how many there are."""
    return any(value.is_unknown for variables in rounds for value in variables.values())


def _condition(layer: Layer) -> dict[str, None]:
    """A condition on the whole repeat was decided before; one on its variables is each copy's."""
    return {} if asks_each_copy(layer) else {"when": None}


def _rounds(layer: Layer, scope: Scope, place: Place) -> Loop_:
    """The loop variables of each copy."""
    const = scope.context.const
    repeat = (
        layer.repeat if isinstance(layer.repeat, Repeat) else Repeat.model_construct(n=layer.repeat)
    )
    at = place.at("repeat") if not isinstance(layer.repeat, Repeat) else place.at("repeat", "n")
    asked = repeat.n if repeat.over is None else repeat.over
    if evaluate_plain(asked, scope, at).is_unknown:
        return _unknown_rounds(layer, scope)
    if repeat.over is not None:
        items = static_value(repeat.over, scope, place.at("repeat", "over"), "`over`")
        if not isinstance(items, tuple):
            fact = f"`over` is a list, and this is `{items}`"
            raise refuse("NS214", fact, place.at("repeat", "over").span(), about=items)
        item = repeat.as_ or "w"
        return [{"i": const(i), item: const(value, item)} for i, value in enumerate(items)]
    if repeat.n is None:
        raise refuse("NS214", "`repeat` needs `n` or `over`", place.at("repeat").span())
    count = static_value(repeat.n, scope, at, "the number of copies")
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        fact = f"`repeat` is a number of copies, and `{count}` is not"
        raise refuse("NS214", fact, at.span(), about=count)
    most = scope.context.bounds.limits.layers
    if count > most:
        fact = f"`repeat` asks for {count:,} copies"
        raise refuse("NS217", fact, at.span(), raised_help("layers", most))
    index = repeat.as_ or "i"
    return [{index: const(i)} for i in range(count)]


def _unknown_rounds(layer: Layer, scope: Scope) -> Loop_:
    """One copy, for all of those whose count is not known for a mistake."""
    return [dict.fromkeys(loop_names(layer), scope.context.unknown)]


def _names(layer: Layer, rounds: Loop_, scope: Scope, place: Place) -> list[str] | None:
    repeat = layer.repeat
    if not isinstance(repeat, Repeat) or repeat.name is None or _are_unknown(rounds):
        return None
    names = []
    at = place.at("repeat", "name")
    for variables in rounds:
        name = static_value(repeat.name, _with(scope, variables), at, "a copy's name")
        if (
            not isinstance(name, str)
            or not name
            or not name.replace("-", "_").replace("_", "a").isalnum()
        ):
            raise refuse("NS210", f"`{name}` cannot be the name of a layer", at.span())
        if name in names:
            raise refuse("NS210", f"two copies are called `{name}`", at.span())
        names.append(name)
    return names


def _with(scope: Scope, variables: Mapping[str, Operand]) -> Scope:
    """The same scope with loop variables beside its args."""
    return scope.with_args({**scope.args, **variables})


def _declare_copies(
    layer: Layer,
    copy: Layer,
    name: str,
    scope: Scope,
    place: Place,
    rounds: Loop_,
    names: list[str] | None,
) -> None:
    """The copies as items of a list; with names, of a dict."""
    copy = copy.model_copy(update={"keep": layer.keep})
    slot = Registration(name, place, keep=layer.keep)
    scope.holder.add(slot)
    inner = scope.listed(name, named=names is not None)
    inner.copies = True
    for index, variables in enumerate(rounds):
        key = str(index) if names is None else names[index]
        scope.graph.steps.declare_child(
            copy, key, inner.with_args({**inner.args, **variables}), place
        )
    binding = scope.names.setdefault(name, Binding(place))
    binding.at = scope.part(name)
    binding.instance = containers.close_list(inner, name, slot, scope, place)


def _inline(
    copy: Layer,
    name: str,
    scope: Scope,
    place: Place,
    inputs: list[Operand],
    rounds: Loop_,
    names: list[str] | None,
    in_parent: bool,
) -> Operand:
    """The copies in the graph around; with `as: inline` in the container around too."""
    scope.context.at_layer.inlined = in_parent
    taps = containers.inline_taps(scope, name) if in_parent else containers.inner_taps(scope, name)
    own = names if in_parent and names is not None else []  # names that the container around has
    taps = {**taps, **{each: scope.taps[each] for each in own if each in scope.taps}}
    inner = scope.inlined(inputs[0], taps, scope.numbered if in_parent else True)
    if in_parent and names is None:
        inner.numbered = scope.numbered or not _names_children(copy)
        copy = _inlined(copy)
    if in_parent and names is not None:
        inner.numbered = False
    if not in_parent:
        inner.holder = type(scope.holder)()
    value = _chain(copy, inner, place, inputs, rounds, names)
    containers.bind_inner(inner, name, scope)
    if in_parent:
        containers.bind_numbers(inner, scope)
        scope.names.update(
            (path, binding)
            for path, binding in inner.names.items()
            if path.partition(".")[0] in own
        )
    fill_open_slots(scope.graph, inner)
    return value


def _names_children(copy: Layer) -> bool:
    """Whether the children have names of their own, which are kept."""
    return isinstance(copy, ContainerLayer) and isinstance(copy.layers, Mapping)


def _inlined(copy: Layer) -> Layer:
    """A copy that is itself a container puts its children beside those of the others."""
    return copy.model_copy(update={"as_": "inline"}) if copy.kind == "layers" else copy


def _chain(
    copy: Layer,
    inner: Scope,
    place: Place,
    inputs: list[Operand],
    rounds: Loop_,
    names: list[str] | None,
) -> Operand:
    """The copies one after the other; gives the last one's value."""
    carried = list(inputs)
    value = inputs[0]
    for index, variables in enumerate(rounds):
        name = names[index] if names else str(index)
        round_ = inner.with_args({**inner.args, **variables})
        round_.previous = carried[0]
        inner.graph.steps.lower_layer(copy, name, round_, place, partial(list, carried))
        registered = round_.last_name or name
        if registered in inner.names and inner.names[registered].refused:
            raise Refused
        if round_.previous is None:
            raise Refused
        value = round_.previous
        if _gives_as_many(value, carried):
            carried = _unpacked(value, carried, inner, place)
            value = tuple_of(inner.context, carried)
        else:
            carried = [value, *carried[1:]]
        inner.previous = carried[0]
    return value


def _gives_as_many(value: Operand, carried: list[Operand]) -> bool:
    """Whether a copy gives as many outputs as it takes inputs, more than one."""
    count = len(carried)
    return count > 1 and all(isinstance(f, tuple) and len(f) == count for f in value.facts)


def _unpacked(value: Operand, before: list[Operand], scope: Scope, place: Place) -> list[Operand]:
    """The outputs of a copy, each as a value of its own."""
    items = [
        replace(value, facts=tuple(fact[k] for fact in value.facts))  # type: ignore[index]
        for k in range(len(before))
    ]
    names = [f"{place.path[-1]}_{k}" for k in range(len(before))]
    return scope.graph.unpack(names, scope.graph.take_back(value), items, place)


def _contained(
    layer: Layer,
    copy: Layer,
    name: str,
    scope: Scope,
    place: Place,
    inputs: list[Operand],
    rounds: Loop_,
    names: list[str] | None,
) -> Operand:
    """The copies in a container: an nn.Sequential, an nn.ModuleList with a loop, or a class."""
    slot = Registration(name, place, keep=True)
    scope.holder.add(slot)
    slot.called = True
    after = lower_after(layer, scope, place) if copy.kind == "layers" else ()
    taps = list(scope.taps.get(name, ()))

    def lower(given: list[Operand]) -> tuple[GraphBuilder, Scope, Lowered]:
        graph, inner = containers.nested_graph(None, name, scope, place, given, share=False)
        try:
            inner.numbered = names is None
            inner.label, inner.copies = name, True
            inner.previous = _chain(copy, inner, place, inner.ports, rounds, names)
            return graph, inner, finish(graph, inner, None, taps, layer.as_, place)
        finally:
            scope.context.leave()

    graph, inner, lowered = lower(inputs)
    slot.after = after
    binding = scope.names.setdefault(name, Binding(place))
    binding.at = scope.part(name)
    if not lowered.graph.children and not lowered.graph.body:  # no copy's `when` holds
        del scope.holder.slots[name]
        return inputs[0] if len(inputs) == 1 else tuple_of(scope.context, inputs)
    spliced = names is None and not taps and layer.as_ is None and as_chain(lowered.graph) is None
    if spliced and name not in containers.called_names(scope) and _only_calls(lowered.graph):
        slot.new = NewList(lowered.graph.children)
        path = scope.part(name).path
        binding.instance = _items(inner, name, path)
        return _splice(lowered.graph, path, graph.sources, scope, place)
    slot.new = lowered.new

    def again(given: Sequence[Operand], at: Place) -> tuple[Lowered, Sequence[Operand]]:
        if len(given) != len(inputs):
            fact = f"`{name}` takes as many inputs as in its first call, {len(inputs)}"
            help = f"{len(given)} {'is' if len(given) == 1 else 'are'} given"
            raise refuse("NS212", fact, at.key_span(), help)
        if [o.facts for o in given] != [o.facts for o in inputs]:
            other, _, found = lower(list(given))
            return found, other.sources
        own = {o.expr.id: k for k, o in enumerate(inner.ports) if isinstance(o.expr, Value)}
        pairs = zip(graph.inputs, graph.sources, strict=True)
        return lowered, [given[own[port.id]] if port.id in own else o for port, o in pairs]

    seen = replace(scope.context.at_layer, inner=[])  # the copies are noted already
    instance = GraphInstance(name, slot, again, scope.graph, seen, after)
    binding.instance = instance
    value = instance.call(scope, binding.at, inputs, {}, place)
    return containers.bind_taps(binding, value, scope, place)


def _items(inner: Scope, name: str, path: tuple[str | int, ...]) -> ListInstance:
    bindings = [inner.names[str(i)] for i in range(inner.holder.counter)]
    return ListInstance(name, bindings, path, None)


def _only_calls(graph: Graph) -> bool:
    """Whether each statement calls the child of its turn."""
    if len(graph.body) != len(graph.children):
        return False
    return not graph.ties and all(
        isinstance(statement, Assign)
        and isinstance(statement.expr, CallPart)
        and statement.expr.target == Part((child.name,))
        for statement, child in zip(graph.body, graph.children, strict=True)
    )


def _splice(
    graph: Graph, path: tuple[str | int, ...], operands: list[Operand], scope: Scope, place: Place
) -> Operand:
    """The copies' calls in the graph around: a loop where they are alike, else one by one."""
    by: dict[int, Expr] = {
        port.id: operand.expr for port, operand in zip(graph.inputs, operands, strict=True)
    }
    loop = _as_loop(graph)
    builder = scope.graph
    if loop is not None:
        carried, call = loop
        item = builder.fresh()
        targets = tuple(builder.fresh() for _ in carried)
        inside: dict[int, Expr] = dict(by)
        inside.update({port: Value(t) for port, t in zip(carried, targets, strict=True)})
        call = CallPart(Value(item), *(
            tuple(substitute(a, inside) for a in call.args),
            tuple((k, substitute(v, inside)) for k, v in call.kwargs),
        ))  # fmt: skip
        start = tuple(by[port] for port in carried)
        last = graph.body[-1]
        builder.body.append(Loop(path, item, targets, start, call, last.names, last.facts, place))
        values = tuple(Value(target) for target in targets)
        made = values[0] if len(values) == 1 else Tuple(values)
        return Operand(made, last.facts)
    for index, statement in enumerate(graph.body):
        assert isinstance(statement, Assign), "checked by _only_calls"
        call_ = statement.expr
        assert isinstance(call_, CallPart), "checked by _only_calls"
        targets = tuple(builder.fresh() for _ in statement.targets)
        args = tuple(substitute(a, by) for a in call_.args)
        kwargs = tuple((k, substitute(v, by)) for k, v in call_.kwargs)
        expr = CallPart(Part((*path, index)), args, kwargs)
        builder.body.append(
            Assign(targets, expr, statement.names, True, statement.facts, statement.place)
        )
        by.update(zip(statement.targets, map(Value, targets), strict=True))
    assert not isinstance(graph.outputs, ByMode), "a repeat gives what its last copy gives"
    return Operand(substitute(graph.outputs, by), graph.body[-1].facts)


def _as_loop(graph: Graph) -> tuple[tuple[int, ...], CallPart] | None:
    """The carried inputs and the first call, if every call is the first with values carried on."""
    if len(graph.body) < 2:
        return None
    first = graph.body[0]
    if not isinstance(first, Assign) or not isinstance(first.expr, CallPart):
        return None
    count = len(first.targets)
    carried = tuple(port.id for port in graph.inputs[:count])
    if len(carried) != count:
        return None
    current: dict[int, Expr] = {port: Value(port) for port in carried}
    for index, statement in enumerate(graph.body):
        if not isinstance(statement, Assign) or not isinstance(statement.expr, CallPart):
            return None
        args = tuple(substitute(a, current) for a in first.expr.args)
        kwargs = tuple((k, substitute(v, current)) for k, v in first.expr.kwargs)
        if statement.expr != CallPart(Part((str(index),)), args, kwargs):
            return None
        if len(statement.targets) != count:
            return None
        current = {port: Value(t) for port, t in zip(carried, statement.targets, strict=True)}
    return carried, first.expr
