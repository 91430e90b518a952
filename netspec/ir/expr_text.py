"""Expressions of a graph → text: near to Python's, with values as `%name`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

import torch
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
from netspec.ops.catalog import Operator
from netspec.ops.types import Mapped, Slice

_PLAIN = re.compile(r"\w+")
# How loosely an operation holds its operands; what holds its own as loosely stands in `()`.
_LOOSENESS: dict[type, int] = {Choice: 4, Logic: 3, Comparison: 2, Unary: 1, Binary: 1}
_HOMES = {"nn": "nn.", "F": "F.", "torch": "torch.", "Tensor": "torch.Tensor.", "init": "nn.init."}


def expr_text(expr: Expr, names: Mapping[int, str]) -> str:
    """One line; an operation within another one stands in parentheses. `names` are of values."""

    def inner(operand: Expr) -> str:
        text = expr_text(operand, names)
        loose = _LOOSENESS.get(type(operand), 0)
        return f"({text})" if loose and loose >= _LOOSENESS.get(type(expr), 1) else text

    def listed(items: Iterable[Expr]) -> list[str]:
        return [expr_text(item, names) for item in items]

    def call(function: str, args: Iterable[Expr], kwargs: Iterable[tuple[str, Expr]]) -> str:
        return call_text(function, args, kwargs, names)

    match expr:
        case Const(value):
            return const_text(value)
        case Value(id):
            return names[id]
        case Part(path):
            return path_text(path)
        case Training():
            return "self.training"
        case Tuple(items):
            return _tuple(listed(items))
        case ListOf(items):
            return f"[{', '.join(listed(items))}]"
        case DictOf(pairs):
            return _dict([(key, expr_text(value, names)) for key, value in pairs])
        case SliceOf(start, stop, step):
            parts = (start, stop, step)
            return _slice([None if part is None else inner(part) for part in parts])
        case Call(operator, args, kwargs):
            return call(operator_text(operator), args, kwargs)
        case Method(name, receiver, args, kwargs):
            return call(f"{inner(receiver)}.{name}", args, kwargs)
        case CallPart(target, args, kwargs):
            return call(inner(target), args, kwargs)
        case Builtin(name, args):
            return call(name, args, ())
        case Attribute(of, name):
            return f"{inner(of)}.{plain_or_quoted(name)}"
        case Item(of, index):
            return f"{inner(of)}[{_index(index, names)}]"
        case Unary(op, operand):
            return f"{op} {inner(operand)}" if op.isalpha() else f"{op}{inner(operand)}"
        case Binary(op, left, right):
            return f"{inner(left)} {op} {inner(right)}"
        case Comparison(left, ops, rights):
            compared = [f" {op} {inner(right)}" for op, right in zip(ops, rights, strict=True)]
            return inner(left) + "".join(compared)
        case Logic(op, items):
            return f" {op} ".join(map(inner, items))
        case Choice(condition, then, other):
            return f"{inner(then)} if {inner(condition)} else {inner(other)}"
        case _:
            assert_never(expr)


def call_text(
    function: str,
    args: Iterable[Expr],
    kwargs: Iterable[tuple[str, Expr]],
    names: Mapping[int, str],
) -> str:
    """`function(a, key=b)`."""
    given = [expr_text(arg, names) for arg in args]
    given += [f"{key}={expr_text(value, names)}" for key, value in kwargs]
    return f"{function}({', '.join(given)})"


def const_text(value: object) -> str:
    """A constant as Python has it; of what Python has no word for, its class alone."""
    match value:
        case tuple():
            return _tuple([const_text(item) for item in value])
        case Mapped(items):
            return _dict([(key, const_text(item)) for key, item in items])
        case Slice(start, stop, step):
            ends = (start, stop, step)
            return _slice([None if end is None else const_text(end) for end in ends])
        case bool() | int() | float() | str() | None | torch.dtype() | torch.device():
            return repr(value)
        case _ if value is ...:
            return "..."
        case _:
            return f"<{type(value).__name__}>"


def operator_text(operator: Operator) -> str:
    """`nn.Conv2d`, `F.relu`; what was registered by the name that code calls it by."""
    if operator.registered is not None:
        return operator.symbol
    return f"{_HOMES[operator.home]}{operator.name}"


def path_text(path: Sequence[str | int], owner: str = "self") -> str:
    """`self.layers[0].weight`; a name that is no plain word is quoted."""
    text = owner
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{plain_or_quoted(key)}"
    return text.removeprefix(".")


def plain_or_quoted(name: str) -> str:
    """A name from the spec, so that nothing in it ends its line or hides what is around it."""
    return name if _PLAIN.fullmatch(name) else json.dumps(name)


def on_one_line(text: str) -> str:
    """The name of a file, or an override: as it is, or quoted where a terminal would obey it."""
    return text if text.isprintable() else json.dumps(text)


def _index(index: Expr, names: Mapping[int, str]) -> str:
    """What stands in `[…]`, where a tuple needs no parentheses."""
    match index:
        case Tuple((first, second, *rest)):
            return ", ".join([expr_text(item, names) for item in (first, second, *rest)])
        case Const(value=(first, second, *rest)):
            return ", ".join([const_text(item) for item in (first, second, *rest)])
        case _:
            return expr_text(index, names)


def _tuple(items: Sequence[str]) -> str:
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"


def _dict(pairs: Iterable[tuple[str, str]]) -> str:
    return f"{{{', '.join([f'{key!r}: {value}' for key, value in pairs])}}}"


def _slice(parts: Sequence[str | None]) -> str:
    start, stop, step = [part or "" for part in parts]
    return f"{start}:{stop}:{step}" if step else f"{start}:{stop}"
