"""Names of the local variables of a `forward`: as few as hand-written code that rebinds `x`."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain

from netspec.emit.nodes import IMPORTED
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
from netspec.ir.graph import Assign, ByMode, Graph, Loop

_RESERVED = frozenset({"self", "len", "min", "max", "int", "float", "abs", "round", "sum", "range",
                       "getattr", "slice", *IMPORTED})  # fmt: skip
_MOST_CALLS = 2  # in one another: `x + self.attn(self.ln1(x))`
_PASSING = ("x", "out", "h")  # names of values that are rebound from layer to layer


@dataclass(slots=True)
class Names:
    """The variable of each value, and of each loop the name of its item."""

    of: dict[int, str]
    classes: frozenset[str]
    inputs: frozenset[int] = frozenset()
    _live: dict[str, int] = field(default_factory=dict)  # variable → the value that it holds

    def take(self, wish: str, value: int) -> None:
        """A variable for a new value: the name wished for, unless a living value has it."""
        base = identifier(wish)
        if base in self.classes:
            base = f"{base}_"
        name, count = base, 2
        while name in self._live:
            name = f"{base}_{count}"
            count += 1
        self.of[value] = name
        self._live[name] = value

    def rebind(self, old: int, value: int) -> None:
        """The new value takes over the variable of one that is read for the last time."""
        name = self.of[old]
        self.of[value] = name
        self._live[name] = value

    def end(self, values: Iterable[int]) -> None:
        """These values are not read any more; their names are free again."""
        for value in values:
            name = self.of[value]
            if self._live.get(name) == value:
                del self._live[name]

    def may_rebind(self, value: int) -> bool:
        """Whether a result may take over this variable: an input with a telling name keeps it."""
        return value not in self.inputs or self.of[value] in _PASSING

    def is_free(self, name: str) -> bool:
        return name not in self._live


def identifier(text: str) -> str:
    """A layer's name or path as a Python identifier that hides nothing."""
    name = re.sub(r"\W", "_", unicodedata.normalize("NFKC", text))
    if not name.isidentifier():
        name = f"x{name}"
    if keyword.iskeyword(name) or keyword.issoftkeyword(name) or name in _RESERVED:
        name = f"{name}_"
    return name


def fold(graph: Graph) -> tuple[Graph, dict[int, int]]:
    """Values that only the next statement reads, and that it would not rebind, put into it.

    `wpe = self.wpe(i); x = x + wpe` is `x = x + self.wpe(i)`: a variable of its own would keep the
    value alive. Gives the lines of the expressions that moved, by the identity of each. An
    expression moves only where Python still evaluates everything in the same order.
    """
    reads = [_reads(statement) for statement in graph.body]
    outputs = graph.outputs
    last_exprs = [outputs.train, outputs.eval] if isinstance(outputs, ByMode) else [outputs]
    counts = Counter(chain(*reads, *map(values_in, last_exprs)))
    last = _last_reads(graph, reads)
    lines: dict[int, int] = {}
    body: list[Assign | Loop] = []
    for index, statement in enumerate(graph.body):
        while body and isinstance(statement, Assign):
            before = body[-1]
            if not isinstance(before, Assign):
                break
            if not _may_move(before, statement, counts, last, index):
                break
            moved = substitute(statement.expr, {before.targets[0]: before.expr})
            if _calls_deep(moved) > _MOST_CALLS:
                break
            body.pop()
            if before.place is not None and not isinstance(before.expr, (Value, Const)):
                lines[id(before.expr)] = before.place.line
            here = last[before.targets[0]]
            for value in values_in(before.expr):  # they die here now
                if last[value] < here:
                    last[value] = here
            statement = replace(statement, expr=moved)
        body.append(statement)
    if len(body) == len(graph.body):
        return graph, lines
    return replace(graph, body=tuple(body)), lines


def _may_move(
    before: Assign, statement: Assign, counts: Mapping[int, int], last: dict[int, int], index: int
) -> bool:
    if len(before.targets) != 1 or before.keep or counts.get(before.targets[0]) != 1:
        return False
    value = before.targets[0]
    first = next((v for v in values_in(statement.expr) if last.get(v) == index), value)
    if first == value or last.get(value) != index:
        return False
    for node in evaluated(statement.expr):
        if node == Value(value):
            return True
        if not isinstance(node, (Value, Const, Part, Training, ListOf, Tuple)):
            return False
    return False


def _calls_deep(expr: Expr) -> int:
    """How many calls lie in one another at most."""
    inner = max(map(_calls_deep, operands_of(expr)), default=0)
    return inner + isinstance(expr, (Call, CallPart, Method))


def evaluated(expr: Expr) -> Iterator[Expr]:
    """The nodes below, each after its operands, as Python evaluates them."""
    if isinstance(expr, (Choice, Logic)):
        yield expr  # not all of it is evaluated
    for operand in operands_of(expr):
        yield from evaluated(operand)
    yield expr


def name_values(graph: Graph, classes: frozenset[str]) -> Names:
    """The variables of a graph's values.

    A result takes over the variable of the first operand that is read for the last time; so no
    value lives longer than in code written by hand.
    """
    reads = [list(dict.fromkeys(_reads(statement))) for statement in graph.body]
    last = _last_reads(graph, reads)
    names = Names({}, classes, frozenset(port.id for port in graph.inputs))
    for port in graph.inputs:
        names.take(port.name, port.id)
    for index, statement in enumerate(graph.body):
        dying = [v for v in reads[index] if last.get(v) == index]
        if isinstance(statement, Loop):
            _name_loop(statement, dying, names)
            continue
        keep = [v for v in dying if names.may_rebind(v)][:1]
        names.end(v for v in dying if v not in keep)
        first, *others = statement.targets
        if keep:
            names.rebind(keep[0], first)
        else:
            wishes = [statement.names[0]]
            if _is_rebound(reads, first, last):
                wishes = [name for name in _PASSING if names.is_free(name)] + wishes
            names.take(wishes[0], first)
        for target, name in zip(others, statement.names[1:], strict=True):
            names.take(name, target)
        names.end(t for t in statement.targets if t not in last)
    return names


def _name_loop(loop: Loop, dying: list[int], names: Names) -> None:
    used = set(values_in(loop.call))  # read again in each round
    for target, start in zip(loop.carried, loop.start, strict=True):
        if isinstance(start, Value) and start.id in dying and start.id not in used:
            used.add(start.id)
            names.rebind(start.id, target)
        else:
            free = [name for name in _PASSING if names.is_free(name)]
            names.take(free[0] if free else "out", target)
    names.take("layer", loop.item)
    names.end([loop.item])
    names.end(v for v in dying if v not in used)


def _reads(statement: Assign | Loop) -> list[int]:
    if isinstance(statement, Assign):
        return values_in(statement.expr)
    inner = [v for v in values_in(statement.call) if v not in (*statement.carried, statement.item)]
    return [v for start in statement.start for v in values_in(start)] + inner


def _last_reads(graph: Graph, reads: list[list[int]]) -> dict[int, int]:
    last = {value: index for index, values in enumerate(reads) for value in values}
    outputs = graph.outputs
    exprs = (outputs.train, outputs.eval) if isinstance(outputs, ByMode) else (outputs,)
    for expr in exprs:
        for value in values_in(expr):
            last[value] = len(graph.body)
    return last


def _is_rebound(reads: list[list[int]], value: int, last: dict[int, int]) -> bool:
    """Whether a later result will take this value's variable, so that its own name says little."""
    index = last.get(value, len(reads))
    if index >= len(reads):
        return False
    return next(v for v in reads[index] if last.get(v) == index) == value
