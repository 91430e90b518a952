"""What nothing reads: a layer whose value is lost, a module that is never called."""

from __future__ import annotations

from collections.abc import Iterator

from netspec.errors import Diagnostic
from netspec.ir.expr import Expr, Part, values_in, walk
from netspec.ir.graph import (
    Assign,
    ByMode,
    Child,
    Graph,
    Loop,
    NewBuffer,
    NewGraph,
    NewList,
    NewParameter,
    NewSequence,
    Place,
)


def find_unused(root: Child) -> list[Diagnostic]:
    """NS501 for each layer that nothing reads and each declared module that nothing calls."""
    problems: list[Diagnostic] = []
    seen: set[int] = set()
    for graph in _graphs(root, seen):
        problems += _unread(graph)
        problems += _uncalled(graph)
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
    exprs = _exprs(graph)
    read = {value for expr in exprs for value in values_in(expr)}
    for statement in graph.body:
        if not isinstance(statement, Assign) or statement.keep or statement.place is None:
            continue
        for target, name in zip(statement.targets, statement.names, strict=True):
            if target not in read:
                yield _diagnostic(f"nothing reads `{name}`", statement.place)


def _uncalled(graph: Graph) -> Iterator[Diagnostic]:
    """Modules that nothing calls, and parameters and buffers that nothing reads."""
    read = _parts_read(graph) if any(map(_is_state, graph.children)) else set()
    for child in graph.children:
        if isinstance(child.new, NewList) and child.called and not child.kept:
            yield from _uncalled_items(child)
        if child.place is None or child.called:
            continue
        if _is_state(child):
            if child.name not in read:
                yield _diagnostic(f"nothing reads `{child.name}`", child.place)
        else:
            yield _diagnostic(f"`{child.name}` is declared, and nothing calls it", child.place)


def _is_state(child: Child) -> bool:
    """Whether a child is read, not called: a parameter, a buffer, a list of parameters."""
    if isinstance(child.new, NewList):
        return all(isinstance(item.new, NewParameter) for item in child.new.children)
    return isinstance(child.new, (NewParameter, NewBuffer))


def _uncalled_items(listed: Child) -> Iterator[Diagnostic]:
    assert isinstance(listed.new, NewList), "only lists have items"
    for item in listed.new.children:
        if not item.called and item.place is not None and not isinstance(item.new, NewParameter):
            fact = f"`{listed.name}[{item.name}]` is declared, and nothing calls it"
            yield _diagnostic(fact, item.place)


def _diagnostic(fact: str, place: Place) -> Diagnostic:
    help = "use it, leave it out, or write `keep: true`"
    return Diagnostic("NS501", fact, place.key_span(), help=help)


def _parts_read(graph: Graph) -> set[str | int]:
    """The children that the graph's expressions and ties name."""
    nodes = (node for expr in _exprs(graph) for node in walk(expr))
    names = {node.path[0] for node in nodes if isinstance(node, Part)}
    return names | {tie.source[0] for tie in graph.ties} | {tie.target[0] for tie in graph.ties}


def _exprs(graph: Graph) -> list[Expr]:
    outputs = graph.outputs
    exprs = [outputs.train, outputs.eval] if isinstance(outputs, ByMode) else [outputs]
    for statement in graph.body:
        if isinstance(statement, Loop):
            exprs += [*statement.start, statement.call]
        else:
            exprs.append(statement.expr)
    return exprs
