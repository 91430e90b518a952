"""A graph under construction → how it is made: a chain is an nn.Sequential, else it has a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from torch import nn

from netspec.errors import Help, did_you_mean
from netspec.ir.expr import (
    CallPart,
    Choice,
    Const,
    DictOf,
    Expr,
    Part,
    Training,
    Tuple,
    Value,
    values_in,
)  # fmt: skip
from netspec.ir.graph import (
    Assign,
    ByMode,
    Child,
    Graph,
    New,
    NewGraph,
    NewSequence,
    Place,
    Statement,
    Tie,
)  # fmt: skip
from netspec.ir.lower.calls.handles import (
    GraphInstance,
    ListInstance,
    ModuleInstance,
    WeightedActivation,
    parameters_of,
)
from netspec.ir.lower.expressions.evaluate import static_value
from netspec.ir.lower.layers.arguments import reference
from netspec.ir.lower.layers.tensors import check_init, lower_paths, lower_rules
from netspec.ir.lower.refusal import Refused, refuse
from netspec.ir.lower.scope import Binding, GraphBuilder, PendingTie, Scope, undefined
from netspec.ir.lower.seal.inits import check_inits, may_be_none
from netspec.ir.lower.session import Lowered, tuple_of
from netspec.ir.lower.values import Operand, join
from netspec.ir.traversal import expressions_in, output_expressions
from netspec.language.expressions import as_expression, is_expression
from netspec.ops.types import Mapped


def finish(
    builder: GraphBuilder,
    scope: Scope,
    outputs: object,
    taps: list[str],
    form: str | None,
    place: Place,
    rules: Mapping[str, object] | None = None,
    named: bool = False,
) -> Lowered:
    """The graph, how it is made, and what a call of it gives.

    Raises Refused where a layer in it was refused, or the container cannot have the form asked for.
    """
    if any(binding.refused for binding in scope.names.values()):
        check_open_slots(scope)
        raise Refused
    main, expr = _outputs(outputs, scope, place)
    tapped = [tap_value(path, scope, place) for path in taps]
    absent = frozenset(path for path in taps if scope.names[path].absent)
    if named and absent:
        raise _not_there(min(absent), place)
    if tapped:
        values = {path: operand.expr for path, operand in zip(taps, tapped, strict=True)}

        def beside(own: Expr) -> Expr:
            if named:
                return DictOf((("output", own), *values.items()))
            return Tuple((own, *values.values()))

        if isinstance(expr, ByMode):
            expr = ByMode(beside(expr.train), beside(expr.eval))
        else:
            expr = beside(expr)
    _drop_unread(builder, expr)
    _drop_needless_inputs(builder, expr)
    fill_open_slots(builder, scope)
    children = builder.holder.children()
    check_inits(children)
    by_class = lower_rules(rules, scope, place)
    by_path = lower_paths(rules, scope, place)
    graph = Graph(
        builder.name, tuple(builder.inputs), children,
        _without_needless(builder, expr), expr,
        rules=may_be_none(by_class, by_path, children), inits=by_path, source=builder.source,
        place=place,
    )  # fmt: skip
    if by_path:
        known = parameters_of(NewGraph(graph))
        for step in by_path:
            check_init(step, known, builder.name, place)
    graph = replace(graph, ties=_ties(builder, scope, graph))
    new: New = NewGraph(graph)
    chain = as_chain(graph)
    if chain is not None and form != "graph":
        new = NewSequence(chain)
    elif form == "sequential":
        fact = "this is no chain of modules, so it cannot be an nn.Sequential"
        raise refuse("NS218", fact, place.key_span(), "leave `as: sequential` out")
    return Lowered(new, graph, main, tuple(tapped), absent)


def _drop_unread(builder: GraphBuilder, outputs: Expr | ByMode) -> None:
    """What stands for no layer, and nothing reads, is not computed."""
    if not any(isinstance(one, Assign) and one.unnamed for one in builder.body):
        return
    read = _values_in(output_expressions(outputs))
    kept: list[Statement] = []
    for statement in reversed(builder.body):
        if isinstance(statement, Assign) and statement.unnamed and statement.targets[0] not in read:
            continue
        read |= _values_in(expressions_in(statement))
        kept.append(statement)
    builder.body[:] = reversed(kept)


def _values_in(exprs: Sequence[Expr]) -> set[int]:
    return {value for expr in exprs for value in values_in(expr)}


def _drop_needless_inputs(builder: GraphBuilder, outputs: Expr | ByMode) -> None:
    """A nested container takes what its layers read, and nothing else.

    An input that only folded expressions read is none; so what nothing reads can be told.
    """
    if builder.outer is None:
        return
    read = _values_in(output_expressions(outputs))
    for statement in builder.body:
        read |= _values_in(expressions_in(statement))
    pairs = [
        (port, operand)
        for port, operand in zip(builder.inputs, builder.sources, strict=True)
        if port.id in read
    ]
    builder.inputs[:] = [port for port, _ in pairs]
    builder.sources[:] = [operand for _, operand in pairs]


def _outputs(outputs: object, scope: Scope, place: Place) -> tuple[Operand, Expr | ByMode]:
    at = place.at("outputs")
    if outputs is None:
        if scope.previous is None:
            raise refuse("NS305", "no layer gives a value", place.key_span())
        return scope.previous, scope.previous.expr
    if isinstance(outputs, dict) and set(outputs) == {"train", "eval"}:
        train = _structure(outputs["train"], scope, at.at("train"))
        eval_ = _structure(outputs["eval"], scope, at.at("eval"))
        facts = tuple(
            (train if probe.training else eval_).facts[index]
            for index, probe in enumerate(scope.context.probes)
        )
        return Operand(train.expr, facts, *join([train, eval_])), ByMode(train.expr, eval_.expr)
    operand = _structure(outputs, scope, at)
    return operand, operand.expr


def _structure(outputs: object, scope: Scope, place: Place) -> Operand:
    if _is_conditional(outputs):
        fact = "`when` is for one output of several, and this is all of them"
        help = "write a list or a mapping around it"
        raise refuse("NS305", fact, place.at("when").key_span(), help)
    if not outputs:
        raise refuse("NS305", "`outputs` is empty", place.span(), "name a layer")
    if isinstance(outputs, (list, dict)):
        there = _those_there(outputs, scope, place)
        if not there:
            fact = "there is no output: the `when` of each is false"
            raise refuse("NS305", fact, place.span())
        named = {key: _structure(item, scope, at) for key, item, at in there}
        if isinstance(outputs, list):
            return tuple_of(scope.context, list(named.values()))
        columns = zip(*(operand.facts for operand in named.values()), strict=True)
        facts = tuple(Mapped(tuple(zip(named, column, strict=True))) for column in columns)
        expr = DictOf(tuple((key, operand.expr) for key, operand in named.items()))
        return Operand(expr, facts, *join(list(named.values())))
    assert isinstance(outputs, str), "the schema allows names, lists and mappings"
    return _output(outputs, scope, place)


def _those_there(
    outputs: list[Any] | dict[str, Any], scope: Scope, place: Place
) -> list[tuple[Any, object, Place]]:
    """Key, item and place of each part of the outputs, without those whose `when` is false."""
    found: list[tuple[Any, object, Place]] = []
    pairs = outputs.items() if isinstance(outputs, dict) else enumerate(outputs)
    for key, item in pairs:
        at = place.at(key)
        if _is_conditional(item):
            if not _is_there(item["when"], scope, at.at("when")):
                continue
            item, at = item["value"], at.at("value")
        found.append((key, item, at))
    return found


def _is_there(condition: object, scope: Scope, place: Place) -> bool:
    """Whether the `when` of an output is true. Raises Refused (NS205) where it is no expression."""
    if not isinstance(condition, str) or not is_expression(condition):
        help = None
        if isinstance(condition, str):
            help = Help(f"write `={condition}`", condition, as_expression(condition))
        fact = "an output is there when an expression is true, and this is none"
        raise refuse("NS205", fact, place.span(), help)
    return bool(static_value(condition, scope, place, "whether an output is there"))


def _is_conditional(outputs: object) -> bool:
    """Whether this part of the outputs is there only where its `when` is true."""
    return isinstance(outputs, dict) and set(outputs) == {"when", "value"}


def _output(text: str, scope: Scope, place: Place) -> Operand:
    """The value that one name or expression of `outputs` means. Raises Refused."""
    binding = None if is_expression(text) else scope.find(text)
    if binding is not None and binding.absent:
        raise _not_there(text, place)
    return reference(text, scope, place)


def _not_there(path: str, place: Place) -> Refused:
    fact = f"`{path}` is an output, and does not exist: its `when` is false"
    help = f"write `={path}` for what passes through, or `={path} if … else None`"
    if "." in path:
        help = "leave it out, or name what stands before it"
    return refuse("NS305", fact, place.span(), help)


def check_outputs(outputs: object, taps: Sequence[str], scope: Scope, place: Place) -> None:
    """The names that the outputs read, where something else is wrong already."""
    names = [] if outputs is None else _leaves(outputs, scope, place.at("outputs"))
    for text, at in names:
        with scope.context.problems:
            _output(text, scope, at)
    for path in taps:
        with scope.context.problems:
            tap_value(path, scope, place)


def _leaves(outputs: object, scope: Scope, place: Place) -> list[tuple[str, Place]]:
    if isinstance(outputs, str):
        return [(outputs, place)]
    if not isinstance(outputs, (list, dict)):
        return []
    there = []
    with scope.context.problems:
        there = _those_there(outputs, scope, place)
    return [leaf for _, item, at in there for leaf in _leaves(item, scope, at)]


def tap_value(path: str, scope: Scope, place: Place) -> Operand:
    """The value at a path inside of a finished scope."""
    binding = scope.names.get(path)
    if binding is None and scope.is_refused(path.partition(".")[0]):
        raise Refused
    if binding is None:
        raise undefined(scope, path, place)
    if binding.refused:
        raise Refused
    if binding.value is None:
        raise refuse("NS207", f"`{path}` gives no value", place.span())
    return binding.value


def fill_open_slots(builder: GraphBuilder, scope: Scope) -> None:
    """What was declared and never called: made all the same if its sizes are known."""
    for binding in scope.names.values():
        _fill(binding, builder)


def check_open_slots(scope: Scope) -> None:
    """The arguments of what is declared, and not called for a mistake elsewhere."""
    for binding in scope.names.values():
        instance = binding.instance
        children = instance.children if isinstance(instance, ListInstance) else [binding]
        for child in children:
            if child.refused or not isinstance(child.instance, ModuleInstance):
                continue
            if child.instance.module is None and not child.instance.refused:
                _check_open(child.instance, scope)


def _check_open(instance: ModuleInstance, scope: Scope) -> None:
    with scope.context.problems:
        instance.make(scope.context, [scope.context.unknown] * 3)


def _fill(binding: Binding, builder: GraphBuilder) -> None:
    instance = binding.instance
    if isinstance(instance, WeightedActivation):
        instance = instance.holder
    if isinstance(instance, ListInstance):
        for child in instance.children:
            _fill(child, builder)
        instance.close()
    elif isinstance(instance, ModuleInstance) and instance.module is None:
        instance.make(builder.context, ())
    elif isinstance(instance, GraphInstance) and instance.slot.new is None:
        fact = f"`{instance.name}` is declared, and nothing calls it"
        help = "call it, or leave it out: what it takes is not known otherwise"
        raise refuse("NS501", fact, binding.place.key_span(), help)


def _ties(builder: GraphBuilder, scope: Scope, graph: Graph) -> tuple[Tie, ...]:
    found = []
    known = parameters_of(NewGraph(graph)) if scope.ties else {}
    for pending in scope.ties:
        first, *rest = pending.reference.split(".")
        binding = (pending.scope or scope).registered(first)
        if binding is None or not isinstance(binding.at, Part):
            defer_to_outer(pending, builder, scope)
            continue
        source = (*binding.at.path, *rest)
        _check_tie(pending, source, known)
        found.append(Tie(pending.target, source, pending.place))
    return tuple(found)


def defer_to_outer(pending: PendingTie, builder: GraphBuilder, scope: Scope) -> None:
    """A tie to what lies outside of this graph is made in the graph around."""
    if builder.outer is None:
        first = pending.reference.partition(".")[0]
        raise refuse(
            "NS503", f"`{pending.reference}` is not here to tie to", pending.place.span(),
            did_you_mean(first, scope.visible()) or "name a parameter by its path: `wte.weight`",
        )  # fmt: skip
    target = (*builder.at, *pending.target)
    builder.outer.ties.append(PendingTie(target, pending.reference, pending.place))


def _check_tie(
    pending: PendingTie, source: tuple[str | int, ...], known: Mapping[str, object]
) -> None:
    facts = []
    for path in (pending.target, source):
        name = ".".join(str(part) for part in path)
        if name not in known:
            fact = f"there is no parameter `{name}` to tie"
            raise refuse("NS503", fact, pending.place.span(), did_you_mean(name, known))
        facts.append(known[name])
    if facts[0] != facts[1]:
        shapes = [list(getattr(fact, "shape", ())) for fact in facts]
        own = ".".join(str(part) for part in pending.target)
        fact = (
            f"`{own}` is {shapes[0]}, and `{pending.reference}`, to which it is tied, {shapes[1]}"
        )
        help = "tied parameters are one tensor, so their shapes are equal"
        raise refuse("NS503", fact, pending.place.span(), help)


@cache
def _sequential_members() -> frozenset[str]:
    return frozenset(dir(nn.Sequential()))


def as_chain(graph: Graph) -> tuple[Child, ...] | None:
    """The children, if the graph only hands one input from child to child in their order."""
    if len(graph.inputs) != 1 or graph.ties or graph.rules or graph.inits or not graph.children:
        return None
    if len(graph.body) != len(graph.children):
        return None
    if any(child.name in _sequential_members() for child in graph.children):
        return None
    value = graph.inputs[0].id
    for statement, child in zip(graph.body, graph.children, strict=True):
        if not isinstance(statement, Assign) or len(statement.targets) != 1:
            return None
        if statement.expr != CallPart(Part((child.name,)), (Value(value),)):
            return None
        value = statement.targets[0]
    return graph.children if graph.outputs == Value(value) else None


def _without_needless(builder: GraphBuilder, outputs: Expr | ByMode) -> tuple[Statement, ...]:
    """A layer of train mode only, which nothing reads in eval mode, gives None there."""
    if not isinstance(outputs, ByMode):
        return tuple(builder.body)
    elsewhere = set(values_in(outputs.eval))
    for statement in builder.body:
        elsewhere |= _values_in(expressions_in(statement))
    probes = builder.context.probes
    changed: list[Statement] = []
    for statement in builder.body:
        match statement:
            case Assign(targets=(target,), expr=Choice(Training(), then, _)) if (
                target not in elsewhere
            ):
                pairs = zip(statement.facts, probes, strict=True)
                facts = tuple([fact if probe.training else None for fact, probe in pairs])
                expr = Choice(Training(), then, Const(None))
                statement = replace(statement, expr=expr, facts=facts)
            case _:
                pass
        changed.append(statement)
    return tuple(changed)
