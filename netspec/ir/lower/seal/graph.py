"""A graph under construction → how it is made: a chain is an nn.Sequential, else it has a class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from netspec.ir.expr import (
    DictOf,
    Expr,
    Tuple,
)  # fmt: skip
from netspec.ir.graph import (
    ByMode,
    Graph,
    New,
    NewGraph,
    NewSequence,
    Place,
)  # fmt: skip
from netspec.ir.lower.layers.init import check_init, lower_paths, lower_rules
from netspec.ir.lower.refusal import Refused, refuse
from netspec.ir.lower.scope import GraphBuilder, Scope
from netspec.ir.lower.seal.chain import as_chain
from netspec.ir.lower.seal.inits import check_inits, may_be_none
from netspec.ir.lower.seal.needless import drop_needless_inputs, drop_unread, without_needless
from netspec.ir.lower.seal.open_slots import check_open_slots, fill_open_slots
from netspec.ir.lower.seal.outputs import not_there, outputs_of, tap_value
from netspec.ir.lower.seal.ties import ties_of
from netspec.ir.lower.session import Lowered
from netspec.ir.made import parameters_of


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
    main, expr = outputs_of(outputs, scope, place)
    tapped = [tap_value(path, scope, place) for path in taps]
    absent = frozenset(path for path in taps if scope.names[path].absent)
    if named and absent:
        raise not_there(min(absent), place)
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
    drop_unread(builder, expr)
    drop_needless_inputs(builder, expr)
    fill_open_slots(builder, scope)
    children = builder.holder.children()
    check_inits(children)
    by_class = lower_rules(rules, scope, place)
    by_path = lower_paths(rules, scope, place)
    graph = Graph(
        builder.name, tuple(builder.inputs), children,
        without_needless(builder, expr), expr,
        rules=may_be_none(by_class, by_path, children), inits=by_path, source=builder.source,
        place=place,
    )  # fmt: skip
    if by_path:
        known = parameters_of(NewGraph(graph))
        for step in by_path:
            check_init(step, known, builder.name, place)
    graph = replace(graph, ties=ties_of(builder, scope, graph))
    new: New = NewGraph(graph)
    chain = as_chain(graph)
    if chain is not None and form != "graph":
        new = NewSequence(chain)
    elif form == "sequential":
        fact = "this is no chain of modules, so it cannot be an nn.Sequential"
        raise refuse("NS218", fact, place.key_span(), "leave `as: sequential` out")
    return Lowered(new, graph, main, tuple(tapped), absent)
