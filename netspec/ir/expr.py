"""The expressions of a graph: a closed set of frozen nodes, each an expression of Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from typing_extensions import assert_never

from netspec.ops.catalog import Operator
from netspec.ops.types import memo_key


@dataclass(frozen=True, slots=True, eq=False)
class Const:
    """A value known when the model is built. `origin` is the spec's arg that it came from.

    1, 1.0 and True are three constants.
    """

    value: object
    origin: str | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Const) and memo_key(self.value) == memo_key(other.value)

    def __hash__(self) -> int:
        return hash(memo_key(self.value))


@dataclass(frozen=True, slots=True)
class Value:
    """A value of the graph: an input, or what a statement assigns."""

    id: int


@dataclass(frozen=True, slots=True)
class Part:
    """A registered child: `self.conv1`, or with an index `self.linears[0]`."""

    path: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Training:
    """`self.training`."""


@dataclass(frozen=True, slots=True)
class Tuple:
    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class ListOf:
    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class DictOf:
    items: tuple[tuple[str, Expr], ...]


@dataclass(frozen=True, slots=True)
class SliceOf:
    start: Expr | None
    stop: Expr | None
    step: Expr | None


@dataclass(frozen=True, slots=True)
class Call:
    """A function of torch."""

    operator: Operator
    args: tuple[Expr, ...]
    kwargs: tuple[tuple[str, Expr], ...] = ()


@dataclass(frozen=True, slots=True)
class Method:
    """A tensor's method."""

    name: str
    receiver: Expr
    args: tuple[Expr, ...]
    kwargs: tuple[tuple[str, Expr], ...] = ()


@dataclass(frozen=True, slots=True)
class CallPart:
    """A call of a module: a Part, or a Value that holds one."""

    target: Expr
    args: tuple[Expr, ...]
    kwargs: tuple[tuple[str, Expr], ...] = ()


@dataclass(frozen=True, slots=True)
class Builtin:
    """`len`, `min`, `max`, `int`, `abs`, `range`, … of Python, `sqrt` and such of `math`."""

    name: str
    args: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Attribute:
    of: Expr
    name: str


@dataclass(frozen=True, slots=True)
class Item:
    of: Expr
    index: Expr


@dataclass(frozen=True, slots=True)
class Unary:
    op: str
    operand: Expr


@dataclass(frozen=True, slots=True)
class Binary:
    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Comparison:
    left: Expr
    ops: tuple[str, ...]
    rights: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Logic:
    op: str
    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """`then if condition else other`."""

    condition: Expr
    then: Expr
    other: Expr


Expr: TypeAlias = (
    Const | Value | Part | Training | Tuple | ListOf | DictOf | SliceOf | Call | Method | CallPart
    | Builtin | Attribute | Item | Unary | Binary | Comparison | Logic | Choice
)  # fmt: skip


def rebuild(expr: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """The same node with `change` made to each of its operands."""
    match expr:
        case Const() | Value() | Part() | Training():
            return expr
        case Tuple(items):
            return Tuple(tuple(map(change, items)))
        case ListOf(items):
            return ListOf(tuple(map(change, items)))
        case DictOf(pairs):
            return DictOf(_changed(pairs, change))
        case SliceOf(start, stop, step):
            return SliceOf(*(part and change(part) for part in (start, stop, step)))
        case Call(operator, args, kwargs):
            return Call(operator, tuple(map(change, args)), _changed(kwargs, change))
        case Method(name, receiver, args, kwargs):
            return Method(
                name, change(receiver), tuple(map(change, args)), _changed(kwargs, change)
            )
        case CallPart(target, args, kwargs):
            return CallPart(change(target), tuple(map(change, args)), _changed(kwargs, change))
        case Builtin(name, args):
            return Builtin(name, tuple(map(change, args)))
        case Attribute(of, name):
            return Attribute(change(of), name)
        case Item(of, index):
            return Item(change(of), change(index))
        case Unary(op, operand):
            return Unary(op, change(operand))
        case Binary(op, left, right):
            return Binary(op, change(left), change(right))
        case Comparison(left, ops, rights):
            return Comparison(change(left), ops, tuple(map(change, rights)))
        case Logic(op, items):
            return Logic(op, tuple(map(change, items)))
        case Choice(condition, then, other):
            return Choice(change(condition), change(then), change(other))
        case _:
            assert_never(expr)


def _changed(
    pairs: tuple[tuple[str, Expr], ...], change: Callable[[Expr], Expr]
) -> tuple[tuple[str, Expr], ...]:
    return tuple((name, change(value)) for name, value in pairs)


def operands_of(expr: Expr) -> tuple[Expr, ...]:
    """The operands of a node, in the order in which Python evaluates them."""
    match expr:
        case Value() | Const() | Part() | Training():
            return ()
        case CallPart(target, args, kwargs):
            return (target, *args, *[value for _, value in kwargs])
        case Call(_, args, kwargs):
            return (*args, *[value for _, value in kwargs])
        case Method(_, receiver, args, kwargs):
            return (receiver, *args, *[value for _, value in kwargs])
        case Tuple(items) | ListOf(items) | Logic(_, items) | Builtin(_, items):
            return items
        case DictOf(pairs):
            return tuple([value for _, value in pairs])
        case SliceOf(start, stop, step):
            return tuple([part for part in (start, stop, step) if part is not None])
        case Attribute(of, _):
            return (of,)
        case Item(of, index):
            return (of, index)
        case Unary(_, operand):
            return (operand,)
        case Binary(_, left, right):
            return (left, right)
        case Comparison(left, _, rights):
            return (left, *rights)
        case Choice(condition, then, other):
            return (condition, then, other)
        case _:
            assert_never(expr)


def walk(expr: Expr) -> Iterator[Expr]:
    """The node and all below it."""
    stack = [expr]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(operands_of(node)))


def values_in(expr: Expr) -> list[int]:
    """The ids of all values that an expression reads, in order, with repeats."""
    if isinstance(expr, Value):
        return [expr.id]
    found: list[int] = []
    stack = [*reversed(operands_of(expr))]
    while stack:
        node = stack.pop()
        if isinstance(node, Value):
            found.append(node.id)
        elif not isinstance(node, (Const, Part, Training)):
            stack.extend(reversed(operands_of(node)))
    return found


def substitute(expr: Expr, by: Mapping[int, Expr]) -> Expr:
    """The expression with some values replaced."""
    if isinstance(expr, Value):
        return by.get(expr.id, expr)
    return rebuild(expr, lambda operand: substitute(operand, by))
