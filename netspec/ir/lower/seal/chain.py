"""Graphs that are a chain of modules: an nn.Sequential."""

from __future__ import annotations

from functools import cache

from torch import nn

from netspec.ir.expr import (
    CallPart,
    Part,
    Value,
)  # fmt: skip
from netspec.ir.graph import (
    Assign,
    Child,
    Graph,
)  # fmt: skip


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
