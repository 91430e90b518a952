"""Names of the local variables of a `forward`: as few as hand-written code that rebinds `x`."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from netspec.emit.fold import last_reads, reads_of
from netspec.emit.nodes import IMPORTED
from netspec.ir.expr import (
    Value,
    values_in,
)
from netspec.ir.graph import Graph, Loop

_RESERVED = frozenset({"self", "len", "min", "max", "int", "float", "abs", "round", "sum", "range",
                       "getattr", "slice", *IMPORTED})  # fmt: skip
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


def name_values(graph: Graph, classes: frozenset[str]) -> Names:
    """The variables of a graph's values.

    A result takes over the variable of the first operand that is read for the last time; so no
    value lives longer than in code written by hand.
    """
    reads = [list(dict.fromkeys(reads_of(statement))) for statement in graph.body]
    last = last_reads(graph, reads)
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


def _is_rebound(reads: list[list[int]], value: int, last: dict[int, int]) -> bool:
    """Whether a later result will take this value's variable, so that its own name says little."""
    index = last.get(value, len(reads))
    if index >= len(reads):
        return False
    return next(v for v in reads[index] if last.get(v) == index) == value
