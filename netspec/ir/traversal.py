"""The way through a program: what is below what, and all expressions of a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from typing_extensions import assert_never

from netspec.ir.expr import Expr
from netspec.ir.graph import (
    Assign,
    ByMode,
    Child,
    Graph,
    Loop,
    New,
    NewBuffer,
    NewDict,
    NewGraph,
    NewInstance,
    NewList,
    NewModule,
    NewParameter,
    NewSequence,
    Statement,
)


def children_of(new: New) -> tuple[Child, ...]:
    """What is registered on a thing that is made; nothing inside of torch's own modules."""
    match new:
        case NewSequence(children) | NewList(children) | NewDict(children):
            return children
        case NewGraph(graph):
            return graph.children
        case NewModule() | NewParameter() | NewBuffer() | NewInstance():
            return ()
        case _:
            assert_never(new)


def map_children(new: New, change: Callable[[Child], Child]) -> New:
    """The same thing with `change` made to each of its children."""
    match new:
        case NewSequence(children):
            return NewSequence(tuple([change(child) for child in children]))
        case NewList(children):
            return NewList(tuple([change(child) for child in children]))
        case NewDict(children):
            return NewDict(tuple([change(child) for child in children]))
        case NewGraph(graph):
            changed = tuple([change(child) for child in graph.children])
            return NewGraph(replace(graph, children=changed))
        case NewModule() | NewParameter() | NewBuffer() | NewInstance():
            return new
        case _:
            assert_never(new)


def child_at(child: Child | None, path: Sequence[str | int]) -> Child | None:
    """The child at a path of names and indexes; None inside of torch's own modules."""
    for key in path:
        children = children_of(child.new) if child else ()
        if isinstance(key, int):
            child = children[key] if -len(children) <= key < len(children) else None
        else:
            child = next((item for item in children if item.name == key), None)
    return child


def registered_in(root: Child) -> Iterator[Child]:
    """A child and all below it, in the order in which they are registered; of a graph or container
    that stands in several places, what is in it once.
    """
    met: set[int] = set()
    waiting = [root]
    while waiting:
        child = waiting.pop()
        yield child
        holder = child.new.graph if isinstance(child.new, NewGraph) else child.new
        if id(holder) not in met:
            met.add(id(holder))
            waiting.extend(reversed(children_of(child.new)))


def graphs_of(root: Child) -> Iterator[Graph]:
    """All graphs of a program, each once, in the order in which they are registered."""
    graphs = (child.new.graph for child in registered_in(root) if isinstance(child.new, NewGraph))
    yield from {id(graph): graph for graph in graphs}.values()


def expressions_of(graph: Graph) -> list[Expr]:
    """All that a `forward` evaluates: each statement's expressions, then the outputs."""
    found = [expr for statement in graph.body for expr in expressions_in(statement)]
    return [*found, *output_expressions(graph.outputs)]


def expressions_in(statement: Statement) -> tuple[Expr, ...]:
    """What one statement evaluates; of a loop what its values start as, then its call."""
    match statement:
        case Assign(expr=expr):
            return (expr,)
        case Loop(start=start, call=call):
            return (*start, call)
        case _:
            assert_never(statement)


def output_expressions(outputs: Expr | ByMode) -> tuple[Expr, ...]:
    """The outputs of a graph: one expression, or one for each mode."""
    return (outputs.train, outputs.eval) if isinstance(outputs, ByMode) else (outputs,)
