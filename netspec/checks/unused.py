"""What nothing reads: a layer whose value is lost, a module that is never called."""

from __future__ import annotations

from collections.abc import Iterator

from netspec.errors import Diagnostic
from netspec.ir.expr import values_in
from netspec.ir.graph import Assign, ByMode, Child, Graph, Loop, NewGraph, NewList, NewSequence


def find_unused(root: Child) -> list[Diagnostic]:
    """NS501 for each layer that nothing reads and each declared module that nothing calls."""
    problems: list[Diagnostic] = []
    seen: set[int] = set()
    for graph in _graphs(root, seen):
        problems += _unread(graph)
        problems += _uncalled(graph.children)
    return problems


def _graphs(child: Child, seen: set[int]) -> Iterator[Graph]:
    new = child.new
    if isinstance(new, NewGraph):
        if id(new.graph) in seen:
            return
        seen.add(id(new.graph))
        yield new.graph
        children = new.graph.children
    elif isinstance(new, (NewSequence, NewList)):
        children = new.children
    else:
        return
    for inner in children:
        yield from _graphs(inner, seen)


def _unread(graph: Graph) -> Iterator[Diagnostic]:
    outputs = graph.outputs
    exprs = [outputs.train, outputs.eval] if isinstance(outputs, ByMode) else [outputs]
    for statement in graph.body:
        if isinstance(statement, Loop):
            exprs += [*statement.start, statement.call]
        else:
            exprs.append(statement.expr)
    read = {value for expr in exprs for value in values_in(expr)}
    for statement in graph.body:
        if not isinstance(statement, Assign) or statement.keep or statement.place is None:
            continue
        for target, name in zip(statement.targets, statement.names, strict=True):
            if target not in read:
                fact = f"nothing reads `{name}`"
                help = "read it, leave it out, or write `keep: true`"
                yield Diagnostic("NS501", fact, statement.place.key_span(), help=help)


def _uncalled(children: tuple[Child, ...]) -> Iterator[Diagnostic]:
    for child in children:
        if not child.called and child.place is not None and not _is_state(child):
            fact = f"`{child.name}` is declared, and nothing calls it"
            help = "call it, leave it out, or write `keep: true`"
            yield Diagnostic("NS501", fact, child.place.key_span(), help=help)


def _is_state(child: Child) -> bool:
    from netspec.ir.graph import NewBuffer, NewParameter

    return isinstance(child.new, (NewParameter, NewBuffer))
