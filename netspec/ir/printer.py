"""A program → text that a person reads: one statement a line, each graph once.

```text
program Small(%x: [N, 4])  # small.yaml
  probe eval, N=2
  model = @Small

graph @Small(%x: [N, 4])  # small.yaml
  self.fc = nn.Linear(4, 8)  # line 4
  %fc = self.fc(%x) : [N, 8]  # line 4
  return %fc
```

Types have their free sizes by letters, `?` where a size follows none of them; a type that differs
by mode, or by what the caller leaves out, stands once for each. `line 4` is of the graph's file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from typing_extensions import assert_never

from netspec.ir.expr import Expr
from netspec.ir.expr_text import (
    call_text,
    expr_text,
    on_one_line,
    operator_text,
    path_text,
    plain_or_quoted,
)
from netspec.ir.graph import (
    Assign,
    ByMode,
    Child,
    Container,
    Freeze,
    Graph,
    Init,
    InitRule,
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
    Place,
    Port,
    Probe,
    Program,
    Statement,
    Tie,
    container_name,
)
from netspec.ops.shapes import shape_text
from netspec.ops.types import Fact

_INDENT = "  "


def program_text(program: Program) -> str:
    """The program: what it takes and was tried with, then its graphs, each before those in it."""
    types = _Types(program.probes)
    symbols = _Symbols(_Alike(types))
    printer = _Printer(types, symbols.of)
    blocks = [printer.program(program)]
    while symbols.waiting:
        blocks.append(printer.graph(symbols.waiting.pop(0)))
    return "\n\n".join(["\n".join(lines) for lines in blocks]) + "\n"


class _Alike:
    """Tells which graphs read the same, with all below them: they have one number."""

    def __init__(self, types: _Types) -> None:
        self._printer = _Printer(types, lambda graph: f"@{self.number(graph)}")
        self._numbers: dict[int, int] = {}
        self._texts: dict[tuple[str, ...], int] = {}

    def number(self, graph: Graph) -> int:
        if id(graph) not in self._numbers:
            text = (graph.name, *self._printer.graph(graph, "@"))
            self._numbers[id(graph)] = self._texts.setdefault(text, len(self._texts))
        return self._numbers[id(graph)]


@dataclass(slots=True)
class _Symbols:
    """The names of graphs, in the order in which they are met; `waiting` are to be written."""

    alike: _Alike
    waiting: list[Graph] = field(default_factory=list)
    _by_number: dict[int, str] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)

    def of(self, graph: Graph) -> str:
        """`@Block`; of another one of the same name `@Block#2`."""
        number = self.alike.number(graph)
        if number not in self._by_number:
            self._by_number[number] = _free(f"@{plain_or_quoted(graph.name)}", self._taken)
            self.waiting.append(graph)
        return self._by_number[number]


@dataclass(frozen=True, slots=True)
class _Printer:
    """Writes each part of a program as lines; `symbol` is what a graph is called."""

    types: _Types
    symbol: Callable[[Graph], str]

    def program(self, program: Program) -> list[str]:
        name = plain_or_quoted(program.name)
        names = _value_names([(port.id, port.name) for port in program.inputs])
        inputs = self._inputs(program.inputs, names)
        lines = [f"program {name}({inputs})  # {on_one_line(program.source.file)}"]
        lines += [f"  registered {plain_or_quoted(r.name)} = {r.path}" for r in program.registered]
        lines += [f"  probe {_probe_text(probe)}" for probe in program.probes]
        lines += ["  overwrites"] if program.overwrites else []
        return [*lines, *self._child(program.root, "model", 1, program.root.place)]

    def graph(self, graph: Graph, symbol: str | None = None) -> list[str]:
        names = _names_of(graph)
        inputs = self._inputs(graph.inputs, names)
        where = f"  # {_file_and_line(graph.place)}" if graph.place else ""
        lines = [f"graph {symbol or self.symbol(graph)}({inputs}){where}"]
        here = graph.place
        for named, group in _by_name(graph.children, "self."):
            lines += self._child(group, named, 1, here)
        lines += [_tie(tie) + _at(tie.place, here) for tie in graph.ties]
        lines += [_rule(rule) + _at(rule.place, here) for rule in graph.rules]
        lines += [f"  {_init(init, 'self')}{_at(init.place, here)}" for init in graph.inits]
        for statement in graph.body:
            lines += self._statement(statement, names, here)
        return [*lines, *_returns(graph.outputs, names)]

    def _inputs(self, ports: Sequence[Port], names: dict[int, str]) -> str:
        return ", ".join(
            f"{names[port.id]}: {self._type(port)}{' = None' * port.optional}" for port in ports
        )

    def _type(self, port: Port) -> str:
        """The type of an input; a module that the graph around hands in has no value."""
        return "module" if set(port.facts) == {None} else self.types.text(port.facts)

    def _child(self, child: Child, named: str, depth: int, here: Place | None) -> list[str]:
        """How a child is made, what is registered on it, and what is done right after."""
        marks = {"keep": child.kept, "activation": child.activation}
        made = f"{named} = {self._new(child.new)}{_marks(marks)}{_at(child.place, here)}"
        lines = [_INDENT * depth + made]
        if isinstance(child.new, Container):
            for name, inner in _by_name(child.new.children):
                lines += self._child(inner, name, depth + 1, here)
        for step in child.after:
            match step:
                case Freeze():
                    text = f"freeze {named}"
                case Init():
                    text = _init(step, named) + _at(step.place, here)
                case _:
                    assert_never(step)
            lines.append(_INDENT * (depth + 1) + text)
        return lines

    def _new(self, new: New) -> str:
        match new:
            case NewModule(operator, args, kwargs):
                return call_text(operator_text(operator), args, kwargs, {})
            case NewSequence() | NewList() | NewDict():
                return f"nn.{container_name(new)}"
            case NewGraph(graph):
                return self.symbol(graph)
            case NewParameter(value, fact):
                return f"parameter {expr_text(value, {})} : {_type_text(fact)}"
            case NewBuffer(value, persistent, fact):
                kind = "buffer" if persistent else "const"
                return f"{kind} {expr_text(value, {})} : {_type_text(fact)}"
            case NewInstance(owner):
                raise AssertionError(f"an instance of class {owner} is made after lowering")
            case _:
                assert_never(new)

    def _statement(
        self, statement: Statement, names: dict[int, str], here: Place | None
    ) -> list[str]:
        at = _at(statement.place, here)
        type_ = self.types.text(statement.facts)
        match statement:
            case Assign(targets=targets, expr=expr):
                given = ", ".join([names[target] for target in targets])
                marks = _marks({"keep": statement.keep, "unnamed": statement.unnamed})
                return [f"  {given} = {expr_text(expr, names)} : {type_}{marks}{at}"]
            case Loop(part=part, item=item, carried=carried, start=start, call=call):
                given = ", ".join([names[value] for value in carried])
                starts = ", ".join([expr_text(expr, names) for expr in start])
                return [
                    f"  for {names[item]} in {path_text(part)} with {given} = {starts}{at}",
                    f"    {given} = {expr_text(call, names)} : {type_}{at}",
                ]
            case _:
                assert_never(statement)


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two probes that differ in their free sizes alone."""

    first: int
    second: int
    sizes: dict[str, int]
    others: dict[str, int]
    probe: Probe


class _Types:
    """What a value is at all probes, as one text."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        kinds: dict[tuple[bool, frozenset[str]], list[int]] = {}
        for number, probe in enumerate(probes):
            kinds.setdefault((probe.training, probe.left_out), []).append(number)
        self._pairs = [
            _Pair(
                found[0], found[-1], dict(probes[found[0]].sizes), dict(probes[found[-1]].sizes),
                probes[found[0]],
            )
            for found in kinds.values()
        ]  # fmt: skip
        self._modes = {probe.training for probe in probes}

    def text(self, facts: Sequence[Fact]) -> str:
        """`[N, 4]`, or `[N, 4] (train) | [N] (eval)`."""
        found: dict[str, list[Probe]] = {}
        for pair in self._pairs:
            fact, other = facts[pair.first], facts[pair.second]
            text = shape_text(fact, other, pair.sizes, pair.others, unclear="?")
            found.setdefault(text, []).append(pair.probe)
        if len(found) == 1:
            return next(iter(found))
        return " | ".join([text + self._when(probes) for text, probes in found.items()])

    def _when(self, probes: Sequence[Probe]) -> str:
        """The mode that these probes share, and the inputs that are left out at all of them."""
        modes = {probe.training for probe in probes}
        said = [_mode(min(modes))] if modes < self._modes else []
        missing = frozenset.intersection(*[probe.left_out for probe in probes])
        said += [f"without {plain_or_quoted(name)}" for name in sorted(missing)]
        return f" ({', '.join(said)})" if said else ""


def _type_text(fact: Fact) -> str:
    """The type of a parameter or a buffer, which follows no free size."""
    return shape_text(fact, fact, {}, {})


def _probe_text(probe: Probe) -> str:
    sizes = [f"{plain_or_quoted(name)}={size}" for name, size in probe.sizes]
    missing = [f"without {plain_or_quoted(name)}" for name in sorted(probe.left_out)]
    return ", ".join([_mode(probe.training), *sizes, *missing])


def _mode(training: bool) -> str:
    return "train" if training else "eval"


def _names_of(graph: Graph) -> dict[int, str]:
    """A name for each value of a graph: `%conv`, of another one of the same name `%conv#2`."""
    named: list[tuple[int, str]] = [(port.id, port.name) for port in graph.inputs]
    for statement in graph.body:
        match statement:
            case Assign(targets=targets, names=names):
                named += zip(targets, names, strict=True)
            case Loop(item=item, carried=carried, names=names):
                named += [*zip(carried, names, strict=True), (item, "layer")]
            case _:
                assert_never(statement)
    return _value_names(named)


def _value_names(named: Iterable[tuple[int, str]]) -> dict[int, str]:
    taken: set[str] = set()
    return {value: _free(f"%{plain_or_quoted(name)}", taken) for value, name in named}


def _free(wish: str, taken: set[str]) -> str:
    """The name, or the same with a number; no name from a spec has a `#` outside of quotes."""
    name, count = wish, 2
    while name in taken:
        name, count = f"{wish}#{count}", count + 1
    taken.add(name)
    return name


def _by_name(children: Sequence[Child], prefix: str = "") -> Iterator[tuple[str, Child]]:
    """The children by name; `0…5` where numbered ones are made in one way in one place."""

    def key(child: Child) -> object:
        numbered = child.name.isdecimal()
        place = child.place and (id(child.place.source), child.place.path)
        return (numbered, place, _identity(child.new), child.after) if numbered else child.name

    for _, group in groupby(children, key):
        first, *others = group
        name = plain_or_quoted(first.name)
        name += f"…{others[-1].name}" if others else ""
        yield f"{prefix}{name}", first


def _identity(new: New) -> object:
    return id(new.graph) if isinstance(new, NewGraph) else new


def _tie(tie: Tie) -> str:
    return f"  tie {path_text(tie.target)} = {path_text(tie.source)}"


def _rule(rule: InitRule) -> str:
    given = [f"{key}={expr_text(value, {})}" for key, value in rule.kwargs]
    call = f"{operator_text(rule.operator)}({', '.join([rule.parameter, *given])})"
    but = f" but in {', '.join(map(plain_or_quoted, rule.but))}" if rule.but else ""
    return (
        f"  each {operator_text(rule.module)}{but}: {call}{_marks({'optional': rule.may_be_none})}"
    )


def _init(init: Init, owner: str) -> str:
    """`nn.init.zeros_(self.fc.weight[0])`."""
    target = path_text(init.target, owner)
    match init.rows:
        case None:
            pass
        case int(row):
            target += f"[{row}]"
        case (start, stop):
            target += f"[{'' if start is None else start}:{'' if stop is None else stop}]"
        case _:
            assert_never(init.rows)
    given = [f"{key}={expr_text(value, {})}" for key, value in init.kwargs]
    return f"{operator_text(init.operator)}({', '.join([target, *given])})"


def _returns(outputs: Expr | ByMode, names: dict[int, str]) -> list[str]:
    if not isinstance(outputs, ByMode):
        return [f"  return {expr_text(outputs, names)}"]
    return [
        f"  return (train) {expr_text(outputs.train, names)}",
        f"  return (eval) {expr_text(outputs.eval, names)}",
    ]


def _marks(marks: dict[str, bool]) -> str:
    said = [mark for mark, holds in marks.items() if holds]
    return f" {{{', '.join(said)}}}" if said else ""


def _at(place: Place | None, here: Place | None) -> str:
    """`  # line 4`, with the file where it is not the one of the graph around."""
    if place is None:
        return ""
    span = place.source.key_span_of(place.path)
    if here and span.line and span.file == here.source.file:
        return f"  # line {span.line}"
    return f"  # {_file_and_line(place)}"


def _file_and_line(place: Place) -> str:
    """`small.yaml:4`; of what has no line where it came from: an override, a key of a mapping."""
    span = place.source.key_span_of(place.path)
    return on_one_line(f"{span.file}:{span.line}" if span.line else span.file)
