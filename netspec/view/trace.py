"""A program run once on `meta`, statement by statement: what each gives, and what it costs.

The modules are the built model's own, and the operators torch's; only the generated `forward`s are
walked here, so that each figure belongs to a statement of the spec, whatever lines it shares.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from typing_extensions import assert_never

from netspec.ir.expr import (
    Attribute,
    Binary,
    Builtin,
    Call,
    CallPart,
    Choice,
    Comparison,
    Const,
    DictOf,
    Expr,
    Item,
    ListOf,
    Logic,
    Method,
    Part,
    SliceOf,
    Training,
    Tuple,
    Unary,
    Value,
)
from netspec.ir.graph import (
    Assign,
    ByMode,
    Child,
    Graph,
    Loop,
    NewGraph,
    NewSequence,
    Program,
    Statement,
)
from netspec.ir.lower.numbers import BINARY, BUILTINS, COMPARE, UNARY
from netspec.ops.facts import Fact
from netspec.view.asking import MethodOf, ask, fact_or_none, plain_value
from netspec.view.meter import Cost, Meter, counting
from netspec.view.names import child_at, kind_of_child, kind_of_statement, path_of_statement


@dataclass(frozen=True, slots=True)
class Visit:
    """What one statement, or one child of a chain, gave and cost with all below it."""

    path: str
    depth: int
    kind: str
    output: Fact
    cost: Cost
    line: int


@dataclass(frozen=True, slots=True)
class Trace:
    """The visits in the order of the run, each before those below it, and what all cost."""

    visits: tuple[Visit, ...]
    total: Cost


@dataclass(frozen=True, slots=True)
class _Bound:
    """A registered child with the module that it became, and its place in `state_dict`."""

    child: Child | None  # None for a module inside one of torch's
    module: Any
    path: str

    def inner(self, key: str | int) -> Any:
        """What is registered below under this name or index; a parameter is just itself."""
        found = self.module[key] if isinstance(key, int) else getattr(self.module, key)
        if not isinstance(found, nn.Module):
            return found
        return _Bound(child_at(self.child, (key,)), found, _join(self.path, str(key)))


@dataclass(slots=True)
class _Frame:
    """One call of a graph: its module, and the values so far."""

    this: _Bound
    values: dict[int, Any]
    depth: int


def trace(program: Program, module: nn.Module, inputs: Sequence[torch.Tensor]) -> Trace:
    """Runs the program once in train mode on these `meta` inputs, with the modules of its model.

    The module is left in train mode. Raises Refuses where an operator does not take the inputs.
    """
    module.train()
    meter = Meter()
    meter.own([*module.parameters(), *module.buffers()])
    tracer = _Tracer(meter)
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # it looks at devices
    try:
        with counting(meter):
            tracer.call(_Bound(program.root, module, ""), tuple(inputs), {}, 0)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    tracer.add_uncalled(program.root, module)
    return Trace(tuple(tracer.visits), meter.read())


@dataclass(slots=True)
class _Tracer:
    meter: Meter
    visits: list[Visit] = field(default_factory=list)

    def call(
        self, bound: _Bound, args: tuple[Any, ...], kwargs: Mapping[str, Any], depth: int
    ) -> Any:
        """A call of a module: ours child by child, torch's as they are."""
        match bound.child.new if bound.child else None:
            case NewGraph(graph):
                return self._graph(graph, bound, args, kwargs, depth)
            case NewSequence(children):
                assert len(args) == 1 and not kwargs, "a chain takes one value"
                value = args[0]
                for child in children:
                    value = self._step(bound.inner(child.name), child, value, depth)
                return value
            case _:
                self.meter.meet(bound.module.parameters())
                return self._ask(bound.module, args, kwargs)

    def _step(self, bound: _Bound, child: Child, value: Any, depth: int) -> Any:
        line = child.place.line if child.place else 0
        return self._visit(
            bound.path, kind_of_child(child), line, depth,
            lambda: self.call(bound, (value,), {}, depth + 1),
        )  # fmt: skip

    def _visit(self, path: str, kind: str, line: int, depth: int, run: Callable[[], Any]) -> Any:
        """A row for what `run` gives and costs; those inside come after it."""
        index = len(self.visits)
        before = self.meter.read()
        self.visits.append(Visit(path, depth, kind, None, Cost(), line))
        value = run()
        cost = self.meter.read() - before
        self.visits[index] = Visit(path, depth, kind, fact_or_none(value), cost, line)
        return value

    def _graph(
        self,
        graph: Graph,
        bound: _Bound,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        depth: int,
    ) -> Any:
        frame = _Frame(bound, {}, depth)
        for port, value in zip(graph.inputs, args):  # noqa: B905  the others are named
            frame.values[port.id] = value
        for port in graph.inputs[len(args) :]:
            frame.values[port.id] = kwargs[port.name]
        for statement in graph.body:
            self._statement(statement, frame)
        return self._outputs(graph, frame)

    def _outputs(self, graph: Graph, frame: _Frame) -> Any:
        """What a graph gives; a row where that costs something of its own."""
        outputs = graph.outputs.train if isinstance(graph.outputs, ByMode) else graph.outputs
        before = self.meter.read()
        value = self._of(outputs, frame)
        cost = self.meter.read() - before
        if cost != Cost():
            place = graph.place.at("outputs") if graph.place else None
            path = _join(frame.this.path, "outputs")
            visit = Visit(
                path, frame.depth, "=", fact_or_none(value), cost, place.line if place else 0
            )
            self.visits.append(visit)
        return value

    def _statement(self, statement: Statement, frame: _Frame) -> None:
        if isinstance(statement, Loop):
            self._loop(statement, frame)
            return
        owner = frame.this.child
        value = self._visit(
            path_of_statement(statement, frame.this.path),
            kind_of_statement(statement, owner),
            statement.place.line if statement.place else 0,
            frame.depth,
            lambda: self._whole(statement, frame),
        )
        if len(statement.targets) == 1:
            frame.values[statement.targets[0]] = value
        else:
            frame.values.update(zip(statement.targets, value, strict=True))

    def _whole(self, statement: Assign, frame: _Frame) -> Any:
        """A statement's value. The call that it consists of has no row beside its own."""
        inner = _Frame(frame.this, frame.values, frame.depth + 1)
        expr = statement.expr
        while isinstance(expr, Choice):
            expr = expr.then if self._of(expr.condition, inner) else expr.other
        if not isinstance(expr, CallPart):
            return self._of(expr, inner)
        bound, args, kwargs = self._call(expr, inner)
        return self.call(bound, args, kwargs, inner.depth)

    def _loop(self, loop: Loop, frame: _Frame) -> None:
        carried = [self._of(start, frame) for start in loop.start]
        frame.values.update(zip(loop.carried, carried, strict=True))
        listed = self._of(Part(loop.part), frame)
        for index in range(len(listed.module)):
            frame.values[loop.item] = listed.inner(index)
            found = self._of(loop.call, frame)
            values = (found,) if len(loop.carried) == 1 else found
            frame.values.update(zip(loop.carried, values, strict=True))

    def _call(
        self, expr: CallPart, frame: _Frame
    ) -> tuple[_Bound, tuple[Any, ...], dict[str, Any]]:
        bound = self._of(expr.target, frame)
        assert isinstance(bound, _Bound), "only modules are called by a CallPart"
        return bound, self._all(expr.args, frame), self._named(expr.kwargs, frame)

    def _all(self, exprs: Sequence[Expr], frame: _Frame) -> tuple[Any, ...]:
        return tuple([self._of(expr, frame) for expr in exprs])

    def _named(self, pairs: Sequence[tuple[str, Expr]], frame: _Frame) -> dict[str, Any]:
        return {name: self._of(expr, frame) for name, expr in pairs}

    def _of(self, expr: Expr, frame: _Frame) -> Any:
        """The value of an expression, as Python would compute it."""
        match expr:
            case Value(id):
                return frame.values[id]
            case Const(value):
                return plain_value(value)
            case Part(path):
                return self._part(path, frame.this)
            case Training():
                return frame.this.module.training
            case CallPart():
                bound, args, kwargs = self._call(expr, frame)
                kind = kind_of_child(bound.child) if bound.child else type(bound.module).__name__
                line = bound.child.place.line if bound.child and bound.child.place else 0
                return self._visit(
                    bound.path, kind, line, frame.depth,
                    lambda: self.call(bound, args, kwargs, frame.depth + 1),
                )  # fmt: skip
            case Call(function, args, kwargs):
                return self._ask(
                    function.target, self._all(args, frame), self._named(kwargs, frame)
                )
            case Method(name, receiver, args, kwargs):
                operands = (self._of(receiver, frame), *self._all(args, frame))
                return self._ask(MethodOf(name), operands, self._named(kwargs, frame))
            case Tuple(items):
                return self._all(items, frame)
            case ListOf(items):
                return list(self._all(items, frame))
            case DictOf(pairs):
                return self._named(pairs, frame)
            case Choice(condition, then, other):
                return self._of(then if self._of(condition, frame) else other, frame)
            case Logic(op, items):
                return self._logic(op, items, frame)
            case Comparison(left, ops, rights):
                return self._compare(self._of(left, frame), ops, self._all(rights, frame))
            case _:
                return self._operator(expr, frame)

    def _operator(
        self, expr: SliceOf | Builtin | Attribute | Item | Unary | Binary, frame: _Frame
    ) -> Any:
        match expr:
            case Binary(op, left, right):
                operands = (self._of(left, frame), self._of(right, frame))
                return self._ask(BINARY[op], operands, {})
            case Unary(op, operand):
                return self._ask(UNARY[op], (self._of(operand, frame),), {})
            case Builtin(name, args):
                return BUILTINS[name](*self._all(args, frame))
            case SliceOf(start, stop, step):
                parts = (start, stop, step)
                return slice(*[None if part is None else self._of(part, frame) for part in parts])
            case Attribute(of, name):
                owner = self._of(of, frame)
                found = owner.inner(name) if isinstance(owner, _Bound) else getattr(owner, name)
                return self._met(found)
            case Item(of, index):
                owner, key = self._of(of, frame), self._of(index, frame)
                if isinstance(owner, _Bound):
                    return owner.inner(key)
                return self._ask(operator.getitem, (owner, key), {})
            case _:
                assert_never(expr)

    def _logic(self, op: str, items: Sequence[Expr], frame: _Frame) -> Any:
        value: Any = None
        for item in items:
            value = self._of(item, frame)
            if bool(value) is (op == "or"):
                break
        return value

    def _compare(self, left: Any, ops: Sequence[str], rights: Sequence[Any]) -> Any:
        found: Any = True
        for op, right in zip(ops, rights, strict=True):
            found = self._ask(COMPARE[op], (left, right), {})
            if found is False:
                break
            left = right
        return found

    def _part(self, path: Sequence[str | int], this: _Bound) -> Any:
        found: Any = this
        for key in path:
            found = found.inner(key) if isinstance(found, _Bound) else getattr(found, str(key))
        return self._met(found)

    def _met(self, value: Any) -> Any:
        if isinstance(value, nn.Parameter):
            self.meter.meet([value])
        return value

    def _ask(
        self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        value, exact = ask(target, args, kwargs)
        if not exact:
            self.meter.guesses += 1
        return value

    def add_uncalled(self, root: Child, module: nn.Module) -> None:
        """A row for each module whose parameters no statement met."""
        for path, part in module.named_modules():
            before = self.meter.read()
            self.meter.meet(part.parameters(recurse=False))
            cost = self.meter.read() - before
            if cost.parameters:
                child = child_at(root, path.split("."))
                line = child.place.line if child and child.place else 0
                self.visits.append(Visit(path, 0, type(part).__name__, None, cost, line))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
