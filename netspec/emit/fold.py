"""Statements that only the next one reads → expressions inside of it, as a person would write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain

from netspec.ir.expr import (
    Call,
    CallPart,
    Choice,
    Const,
    Expr,
    ListOf,
    Logic,
    Method,
    Part,
    Training,
    Tuple,
    Value,
    operands_of,
    substitute,
    values_in,
)
from netspec.ir.graph import Assign, Graph, Loop
from netspec.ir.traversal import output_expressions

_MOST_CALLS = 2  # in one another: `x + self.attn(self.ln1(x))`
_MOST_DEEP = 20  # operators of any kind in one another


def fold(graph: Graph) -> tuple[Graph, dict[int, int]]:
    """Values that only the next statement reads, and that it would not rebind, put into it.

    `wpe = self.wpe(i); x = x + wpe` is `x = x + self.wpe(i)`: a variable of its own would keep the
    value alive. Gives the lines of the expressions that moved, by the identity of each. An
    expression moves only where Python still evaluates everything in the same order.
    """
    reads = [reads_of(statement) for statement in graph.body]
    counts = Counter(chain(*reads, *map(values_in, output_expressions(graph.outputs))))
    last = last_reads(graph, reads)
    lines: dict[int, int] = {}
    body: list[Assign | Loop] = []
    for index, statement in enumerate(graph.body):
        if isinstance(statement, Assign):
            statement = _fold_into(statement, reads[index], index, body, counts, last, lines)
        body.append(statement)
    if len(body) == len(graph.body):
        return graph, lines
    return replace(graph, body=tuple(body)), lines


def _fold_into(
    statement: Assign,
    read: list[int],
    index: int,
    body: list[Assign | Loop],
    counts: Mapping[int, int],
    last: dict[int, int],
    lines: dict[int, int],
) -> Assign:
    """The statement with those before it that may move into it, which are taken off `body`."""
    first = next((value for value in read if last.get(value) == index), None)
    growing: _Growing | None = None
    moved: list[Assign] = []
    while body and isinstance(before := body[-1], Assign):
        value = before.targets[0]
        alone = len(before.targets) == 1 and not before.keep and counts.get(value) == 1
        if not alone or first == value or last.get(value) != index:
            break
        growing = growing or _Growing.of(statement.expr)
        if not growing.takes(value, before.expr):
            break
        moved.append(before)
        body.pop()
        for inner in values_in(before.expr):  # they die here now
            if last[inner] < index:
                last[inner] = index
    if not moved:
        return statement
    by: dict[int, Expr] = {}
    for before in reversed(moved):  # what moved later stands inside of what moved before it
        expr = by[before.targets[0]] = substitute(before.expr, by)
        if before.place is not None and not isinstance(expr, (Value, Const)):
            lines[id(expr)] = before.place.line
    return replace(statement, expr=substitute(statement.expr, by))


@dataclass(frozen=True, slots=True)
class _Above:
    """How many calls, and nodes of any kind, a node stands in."""

    calls: int = 0
    nodes: int = 0


@dataclass(slots=True)
class _Growing:
    """An expression that others move into: how deep it is, and what Python evaluates of it before
    the first thing that has an effect.
    """

    calls: int
    nodes: int
    _first: list[int] = field(default_factory=list)  # values
    _above: dict[int, _Above] = field(default_factory=dict)

    @classmethod
    def of(cls, expr: Expr) -> _Growing:
        """An expression into which nothing has moved yet."""
        growing = cls(*_depths(expr))
        growing.extend(expr, _Above())
        return growing

    def extend(self, expr: Expr, above: _Above) -> None:
        """Adds what is evaluated of an expression before its first effect."""
        for value, inside in _before_effects(expr, above):
            self._first.append(value)
            self._above[value] = inside

    def takes(self, value: int, expr: Expr) -> bool:
        """Puts an expression where the value is, unless order or depth forbids it."""
        above = self._above.get(value)
        if above is None:
            return False
        depths = _depths(expr)
        calls = max(self.calls, above.calls + depths[0])
        nodes = max(self.nodes, above.nodes + depths[1])
        if calls > _MOST_CALLS or nodes > _MOST_DEEP:
            return False
        self.calls, self.nodes = calls, nodes
        while self._first[-1] != value:
            self._above.pop(self._first.pop(), None)
        self._above.pop(self._first.pop())
        self.extend(expr, above)
        return True


def _depths(expr: Expr) -> tuple[int, int]:
    """How many calls, and how many nodes of any kind, lie in one another at most."""
    calls, nodes = 0, 0
    for operand in operands_of(expr):
        if not isinstance(operand, (Value, Const)):
            inner = _depths(operand)
            calls, nodes = max(calls, inner[0]), max(nodes, inner[1])
    return calls + isinstance(expr, (Call, CallPart, Method)), nodes + 1


def _before_effects(expr: Expr, above: _Above) -> Iterator[tuple[int, _Above]]:
    """The values that are read before anything is called or computed, each with what is around."""
    yield from _read_before(expr, above, [])


def _read_before(expr: Expr, above: _Above, effects: list[Expr]) -> Iterator[tuple[int, _Above]]:
    if isinstance(expr, Value):
        yield expr.id, above
        return
    if isinstance(expr, (Choice, Logic)):  # not all of it is evaluated
        effects.append(expr)
        return
    called = isinstance(expr, (Call, CallPart, Method))
    inside = _Above(above.calls + called, above.nodes + 1)
    for operand in operands_of(expr):
        yield from _read_before(operand, inside, effects)
        if effects:
            return
    if not isinstance(expr, (Const, Part, Training, ListOf, Tuple)):
        effects.append(expr)


def reads_of(statement: Assign | Loop) -> list[int]:
    if isinstance(statement, Assign):
        return values_in(statement.expr)
    inner = [v for v in values_in(statement.call) if v not in (*statement.carried, statement.item)]
    return [v for start in statement.start for v in values_in(start)] + inner


def last_reads(graph: Graph, reads: list[list[int]]) -> dict[int, int]:
    last = {value: index for index, values in enumerate(reads) for value in values}
    for expr in output_expressions(graph.outputs):
        for value in values_in(expr):
            last[value] = len(graph.body)
    return last
