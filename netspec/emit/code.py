"""Expressions of a graph → Python syntax."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field

from typing_extensions import assert_never

from netspec.emit.classes import Registration
from netspec.emit.nodes import Nodes
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
from netspec.ir.lower.expressions.numbers import OF_MATH

_BINARY: Mapping[str, type[ast.operator]] = {
    "+": ast.Add, "-": ast.Sub, "*": ast.Mult, "/": ast.Div, "//": ast.FloorDiv, "%": ast.Mod,
    "**": ast.Pow, "@": ast.MatMult, "&": ast.BitAnd, "|": ast.BitOr, "^": ast.BitXor,
}  # fmt: skip
_UNARY: Mapping[str, type[ast.unaryop]] = {
    "-": ast.USub, "+": ast.UAdd, "not": ast.Not, "~": ast.Invert,
}  # fmt: skip
_COMPARE: Mapping[str, type[ast.cmpop]] = {
    "==": ast.Eq, "!=": ast.NotEq, "<": ast.Lt, "<=": ast.LtE, ">": ast.Gt, ">=": ast.GtE,
    "is": ast.Is, "is not": ast.IsNot, "in": ast.In, "not in": ast.NotIn,
}  # fmt: skip


@dataclass(slots=True)
class Code:
    """Expressions of one graph as code; slots are literals, parameters or `self`'s attributes."""

    nodes: Nodes
    literals: tuple[Const | str, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)
    in_init: bool = False
    moved: Mapping[int, int] = field(default_factory=dict)  # expression → line, by identity
    used: dict[str, None] = field(default_factory=dict)  # parameters that `forward` reads

    def code(self, expr: Expr) -> ast.expr:
        """The expression as syntax; what moved from another statement stands on its own line."""
        n = self.nodes
        if self.moved and id(expr) in self.moved:
            line, n.line = n.line, self.moved[id(expr)]
            made = self._code(expr)
            n.line = line
            return made
        return self._code(expr)

    def _code(self, expr: Expr) -> ast.expr:
        n = self.nodes
        match expr:
            case CallPart(target, args, kwargs):
                return n.call(self.code(target), *self._arguments(args, kwargs))
            case Value(id):
                return n.name(self.names[id])
            case Const(value=Registration(index)):
                return self._slot(index)
            case Const(value):
                return n.literal(value)
            case Part(path):
                return self._part(path)
            case Call(operator, args, kwargs):
                return n.call(n.function(operator), *self._arguments(args, kwargs))
            case Binary(op, left, right):
                return ast.BinOp(
                    self.code(left), _BINARY[op](), self.code(right), lineno=n.line, col_offset=0
                )
            case Method(name, receiver, args, kwargs):
                function = n.attribute(self.code(receiver), name)
                return n.call(function, *self._arguments(args, kwargs))
            case Item(of, index_):
                return n.item(self.code(of), self.code(index_))
            case Training():
                return n.attribute(n.name("self"), "training")
            case Tuple(items):
                return n.tuple_([self.code(item) for item in items])
            case ListOf(items):
                return n.list_([self.code(item) for item in items])
            case DictOf(pairs):
                keys: list[ast.expr | None] = [n.constant(key) for key, _ in pairs]
                return ast.Dict(keys, [self.code(v) for _, v in pairs], lineno=n.line, col_offset=0)
            case SliceOf(start, stop, step):
                parts = [None if part is None else self.code(part) for part in (start, stop, step)]
                return ast.Slice(*parts, lineno=n.line, col_offset=0)
            case Builtin(name, args):
                of_math = name in OF_MATH
                called = n.attribute(n.name("math"), name) if of_math else n.name(name)
                return n.call(called, [self.code(arg) for arg in args])
            case Attribute(of, name):
                return n.member(self.code(of), name)
            case Unary(op, operand):
                return ast.UnaryOp(_UNARY[op](), self.code(operand), lineno=n.line, col_offset=0)
            case Comparison(left, ops, rights):
                found = [_COMPARE[op]() for op in ops]
                others = [self.code(right) for right in rights]
                return ast.Compare(self.code(left), found, others, lineno=n.line, col_offset=0)
            case Logic(op, items):
                kind = ast.And() if op == "and" else ast.Or()
                values = [self.code(item) for item in items]
                return ast.BoolOp(kind, values, lineno=n.line, col_offset=0)
            case Choice(condition, then, other):
                return ast.IfExp(
                    self.code(condition), self.code(then), self.code(other),
                    lineno=n.line, col_offset=0,
                )  # fmt: skip
            case _:
                assert_never(expr)

    def _slot(self, index: int) -> ast.expr:
        found = self.literals[index]
        if isinstance(found, Const):
            return self.nodes.literal(found.value)
        if self.in_init:
            return self.nodes.name(found)
        self.used[found] = None
        return self.nodes.attribute(self.nodes.name("self"), found)

    def _part(self, path: tuple[str | int, ...]) -> ast.expr:
        node: ast.expr = self.nodes.name("self")
        for part in path:
            if isinstance(part, int):
                node = self.nodes.item(node, self.nodes.constant(part))
            else:
                node = self.nodes.member(node, part)
        return node

    def _arguments(
        self, args: tuple[Expr, ...], kwargs: tuple[tuple[str, Expr], ...]
    ) -> tuple[list[ast.expr], list[tuple[str, ast.expr]]]:
        return [self.code(a) for a in args], [(k, self.code(v)) for k, v in kwargs]
