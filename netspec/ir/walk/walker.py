"""A program run once on `meta`, statement by statement, while somebody watches.

The modules are the built model's own, and the operators torch's; only the generated `forward`s are
walked here, so that what happens belongs to a statement of the spec, whatever lines it shares.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Protocol, TypeAlias

import torch
from torch import nn
from typing_extensions import assert_never

from netspec.errors import Span
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
    Place,
    Program,
    Statement,
)
from netspec.ir.lower.expressions.numbers import BINARY, BUILTINS, COMPARE, UNARY
from netspec.ir.traversal import child_at, children_of
from netspec.ir.walk.names import join_path, kind_of_child, kind_of_statement, path_of_statement
from netspec.ir.walk.run_operator import Refuses, plain_value
from netspec.ops.overwriting import MethodOf
from netspec.ops.process_state import without_fast_path


@dataclass(frozen=True, slots=True)
class Bound:
    """A registered child with the module that it became, and its place in `state_dict`."""

    child: Child | None  # None for a module inside one of torch's
    module: Any
    path: str
    _named: dict[str, Child] = field(default_factory=dict, repr=False, compare=False)

    def below(self, path: Sequence[str | int]) -> Child | None:
        """The child at a path from here; None inside of torch's own modules."""
        first, *rest = path
        if isinstance(first, int):
            return child_at(self.child, path)
        if not self._named and self.child is not None:
            self._named.update((child.name, child) for child in children_of(self.child.new))
        return child_at(self._named.get(first), rest)

    def inner(self, key: str | int) -> Any:
        """What is registered below under this name or index; a parameter is just itself."""
        found = self.module[key] if isinstance(key, int) else getattr(self.module, key)
        if not isinstance(found, nn.Module):
            return found
        return Bound(self.below((key,)), found, join_path(self.path, str(key)))


@dataclass(frozen=True, slots=True)
class Step:
    """One statement, one child of a chain, or one call of a module within an expression."""

    path: str
    kind: str
    depth: int
    place: Place | None

    @property
    def line(self) -> int:
        return self.place.line if self.place else 0

    def span(self, program: Program) -> Span:
        """Its name in the text, or the program's file where it has no place of its own."""
        return self.place.key_span() if self.place else Span(program.source.file)

    @property
    def told(self) -> str:
        """As notes call it, with the file's name and the line."""
        if self.place is None or not self.line:
            return f"`{self.path}`"
        return f"`{self.path}` ({PurePath(self.place.span().file).name}:{self.line})"


Given: TypeAlias = tuple[tuple[Any, ...], Mapping[str, Any]]  # the arguments of a call


class Watcher(Protocol):
    """What is told of a walk, and runs what it is told of."""

    def step(self, step: Step, run: Callable[[], Any]) -> Any:
        """One step; those inside of it come while `run` runs."""

    def enter(self, bound: Bound, given: Given, run: Callable[[], Any]) -> Any:
        """A call of one of our own modules: a chain, or a class with a `forward` of its own."""

    def module(self, bound: Bound, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """A call of a module of torch's."""

    def operator(
        self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """A call of a function, a method or an operator of Python's."""

    def builtin(self, name: str, args: tuple[Any, ...]) -> Any:
        """A call of a function of Python's."""

    def meet(self, parameter: nn.Parameter) -> None:
        """A parameter is named."""


class Runs:
    """A watcher that runs everything as it is, for those that look at one thing only."""

    def step(self, step: Step, run: Callable[[], Any]) -> Any:
        return run()

    def enter(self, bound: Bound, given: Given, run: Callable[[], Any]) -> Any:
        return run()

    def module(self, bound: Bound, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        return self.call(bound.module, args, kwargs)

    def operator(
        self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        return self.call(target, args, kwargs)

    def call(
        self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """A call of either; a module's is of the module itself."""
        return target(*args, **kwargs)

    def builtin(self, name: str, args: tuple[Any, ...]) -> Any:
        return call_builtin(name, args)

    def meet(self, parameter: nn.Parameter) -> None:
        return None


@dataclass(slots=True)
class RunsInSteps(Runs):
    """The same, which knows the steps that it is in, the innermost last."""

    steps: list[Step] = field(default_factory=list)

    def step(self, step: Step, run: Callable[[], Any]) -> Any:
        self.steps.append(step)
        value = run()
        self.steps.pop()
        return value


@dataclass(slots=True)
class _Frame:
    """One call of a graph: its module, and the values so far."""

    this: Bound
    values: dict[int, Any]
    depth: int


def walk(
    program: Program, module: nn.Module, inputs: Sequence[torch.Tensor | None], watcher: Watcher
) -> Any:
    """What the program gives for these `meta` inputs, in the mode of this module, its model."""
    with without_fast_path():
        return _Walker(watcher).call(Bound(program.root, module, ""), tuple(inputs), {}, 0)


@dataclass(frozen=True, slots=True)
class _Walker:
    watcher: Watcher

    def call(
        self, bound: Bound, args: tuple[Any, ...], kwargs: Mapping[str, Any], depth: int
    ) -> Any:
        """A call of a module: ours child by child, torch's as they are."""
        match bound.child.new if bound.child else None:
            case NewGraph(graph):
                run = lambda: self._graph(graph, bound, args, kwargs, depth)  # noqa: E731
                return self.watcher.enter(bound, (args, kwargs), run)
            case NewSequence(children):
                assert len(args) == 1 and not kwargs, "a chain takes one value"
                run = lambda: self._chain(children, bound, args[0], depth)  # noqa: E731
                return self.watcher.enter(bound, (args, kwargs), run)
            case _:
                return self.watcher.module(bound, args, kwargs)

    def _chain(self, children: Sequence[Child], bound: Bound, value: Any, depth: int) -> Any:
        for child in children:
            value = self._child(bound.inner(child.name), child, value, depth)
        return value

    def _child(self, bound: Bound, child: Child, value: Any, depth: int) -> Any:
        return self.watcher.step(
            Step(bound.path, kind_of_child(child), depth, child.place),
            lambda: self.call(bound, (value,), {}, depth + 1),
        )

    def _graph(
        self,
        graph: Graph,
        bound: Bound,
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
        outputs = graph.outputs
        if isinstance(outputs, ByMode):
            outputs = outputs.train if frame.this.module.training else outputs.eval
        place = graph.place.at("outputs") if graph.place else None
        step = Step(join_path(frame.this.path, "outputs"), "outputs", frame.depth, place)
        return self.watcher.step(step, lambda: self._of(outputs, frame))

    def _statement(self, statement: Statement, frame: _Frame) -> None:
        if isinstance(statement, Loop):
            self._loop(statement, frame)
            return
        step = Step(
            path_of_statement(statement, frame.this.path),
            kind_of_statement(statement, frame.this.below),
            frame.depth,
            statement.place,
        )
        value = self.watcher.step(step, lambda: self._whole(statement, frame))
        if len(statement.targets) == 1:
            frame.values[statement.targets[0]] = value
        else:
            frame.values.update(zip(statement.targets, value, strict=True))

    def _whole(self, statement: Assign, frame: _Frame) -> Any:
        """A statement's value. The call that it consists of is no step beside its own."""
        inner = _Frame(frame.this, frame.values, frame.depth + 1)
        expr = statement.expr
        while isinstance(expr, Choice):
            holds = _python(bool, self._of(expr.condition, inner))
            expr = expr.then if holds else expr.other
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

    def _call(self, expr: CallPart, frame: _Frame) -> tuple[Bound, tuple[Any, ...], dict[str, Any]]:
        bound = self._of(expr.target, frame)
        assert isinstance(bound, Bound), "only modules are called by a CallPart"
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
                child = bound.child
                kind = kind_of_child(child) if child else type(bound.module).__name__
                return self.watcher.step(
                    Step(bound.path, kind, frame.depth, child.place if child else None),
                    lambda: self.call(bound, args, kwargs, frame.depth + 1),
                )
            case Call(function, args, kwargs):
                return self.watcher.operator(
                    function.target, self._all(args, frame), self._named(kwargs, frame)
                )
            case Method(name, receiver, args, kwargs):
                operands = (self._of(receiver, frame), *self._all(args, frame))
                named = self._named(kwargs, frame)
                return self.watcher.operator(MethodOf(name), operands, named)
            case Tuple(items):
                return self._all(items, frame)
            case ListOf(items):
                return list(self._all(items, frame))
            case DictOf(pairs):
                return self._named(pairs, frame)
            case Choice(condition, then, other):
                holds = _python(bool, self._of(condition, frame))
                return self._of(then if holds else other, frame)
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
                return self.watcher.operator(BINARY[op], operands, {})
            case Unary(op, operand):
                return self.watcher.operator(UNARY[op], (self._of(operand, frame),), {})
            case Builtin(name, args):
                return self.watcher.builtin(name, self._all(args, frame))
            case SliceOf(start, stop, step):
                parts = (start, stop, step)
                return slice(*[None if part is None else self._of(part, frame) for part in parts])
            case Attribute(of, name):
                owner = self._of(of, frame)
                found = owner.inner(name) if isinstance(owner, Bound) else getattr(owner, name)
                return self._met(found)
            case Item(of, index):
                owner, key = self._of(of, frame), self._of(index, frame)
                if isinstance(owner, Bound):
                    return owner.inner(key)
                return self.watcher.operator(operator.getitem, (owner, key), {})
            case _:
                assert_never(expr)

    def _logic(self, op: str, items: Sequence[Expr], frame: _Frame) -> Any:
        value: Any = None
        for item in items:
            value = self._of(item, frame)
            if _python(bool, value) is (op == "or"):
                break
        return value

    def _compare(self, left: Any, ops: Sequence[str], rights: Sequence[Any]) -> Any:
        found: Any = True
        for op, right in zip(ops, rights, strict=True):
            found = self.watcher.operator(COMPARE[op], (left, right), {})
            if found is False:
                break
            left = right
        return found

    def _part(self, path: Sequence[str | int], this: Bound) -> Any:
        found: Any = this
        for key in path:
            found = found.inner(key) if isinstance(found, Bound) else getattr(found, str(key))
        return self._met(found)

    def _met(self, value: Any) -> Any:
        if isinstance(value, nn.Parameter):
            self.watcher.meet(value)
        return value


def call_builtin(name: str, args: tuple[Any, ...]) -> Any:
    """What a function of Python's gives. Raises Refuses, as an operator would."""
    return _python(BUILTINS[name], *args)


def _python(function: Callable[..., Any], *args: Any) -> Any:
    """What Python makes of values that were computed. Raises Refuses, as an operator would."""
    try:
        return function(*args)
    except Exception as error:  # it may be out of bounds, or of numbers that `meta` has not
        raise Refuses(str(error)) from None
