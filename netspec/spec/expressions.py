"""The expression language of specs: a string that starts with `=` → a checked syntax tree.

Python's own parser reads the text; what it gives is accepted only if every node is of the closed
set below. Nothing here is ever evaluated by Python: `netspec.ir` interprets the tree itself.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeGuard

MAX_LENGTH = 2_000
MAX_DEPTH = 40
MAX_NODES = 400
MAX_DIGITS = 40

_BINARY = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.MatMult)
_BITS = (ast.BitAnd, ast.BitOr, ast.BitXor)
_UNARY = (ast.USub, ast.UAdd, ast.Not, ast.Invert)
_COMPARE = (
    ast.Eq,
    ast.NotEq,
    ast.Lt,
    ast.LtE,
    ast.Gt,
    ast.GtE,
    ast.Is,
    ast.IsNot,
    ast.In,
    ast.NotIn,
)
_NODES = (
    ast.Constant, ast.Name, ast.Attribute, ast.Call, ast.keyword, ast.Subscript, ast.Slice,
    ast.Tuple, ast.List, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp,
    ast.JoinedStr, ast.FormattedValue,
)  # fmt: skip
_QUIET = (ast.Load, ast.And, ast.Or, *_BINARY, *_BITS, *_UNARY, *_COMPARE)
_NAMES = {
    ast.Lambda: "a lambda", ast.ListComp: "a comprehension", ast.SetComp: "a comprehension",
    ast.DictComp: "a comprehension", ast.GeneratorExp: "a comprehension",
    ast.NamedExpr: "an assignment", ast.Starred: "a star", ast.Dict: "a dict", ast.Set: "a set",
    ast.Await: "await", ast.Yield: "yield", ast.YieldFrom: "yield",
    ast.LShift: "a shift", ast.RShift: "a shift",
}  # fmt: skip


class NotAnExpression(Exception):
    """Why a text is no expression: `fact`, and `offset`, the character (from 0) after the `=`."""

    def __init__(self, fact: str, offset: int = 0, help: str | None = None) -> None:
        super().__init__(fact)
        self.fact = fact
        self.offset = offset
        self.help = help


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression: its text after the `=`, and its tree."""

    text: str
    tree: ast.expr


def is_expression(value: object) -> TypeGuard[str]:
    """Whether a plain value is an expression: a string with one leading `=` (`==x` is not)."""
    return isinstance(value, str) and value.startswith("=") and not value.startswith("==")


def literal(value: object) -> object:
    """A plain value as it is meant when it is no expression: `==x` is the string `=x`."""
    if isinstance(value, str) and value.startswith("=="):
        return value[1:]
    return value


@lru_cache(maxsize=4096)
def parse_expression(text: str) -> Expression:
    """`=a + b` → its checked tree.

    Raises NotAnExpression where the text is no Python expression, is too long or too deep, or has
    a construct that the language leaves out.
    """
    assert is_expression(text), "only a string with a leading `=` is an expression"
    body = text[1:].strip()
    shift = len(text) - len(text[1:].lstrip())
    if not body:
        raise NotAnExpression("an expression is empty")
    if len(body) > MAX_LENGTH:
        raise NotAnExpression(f"an expression has {len(body)} characters, {MAX_LENGTH} are allowed")
    if _nesting(body) > MAX_DEPTH:
        raise NotAnExpression(f"an expression is nested deeper than {MAX_DEPTH}")
    tree = _parse(body, shift)
    _check(tree, shift)
    return Expression(body, tree)


def names_of(expression: Expression) -> frozenset[str]:
    """All names that an expression mentions."""
    return frozenset(n.id for n in ast.walk(expression.tree) if isinstance(n, ast.Name))


def _parse(body: str, shift: int) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(body, mode="eval").body
    except SyntaxError as error:
        offset = shift + max(0, (error.offset or 1) - 1)
        raise NotAnExpression(f"`={body}` is not an expression: {error.msg}", offset) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise NotAnExpression(f"`={body[:40]}` is not an expression: {error}", shift) from None


def _nesting(body: str) -> int:
    """An upper bound of the parser's recursion, counted before it is let loose on the text."""
    depth = deepest = run = 0
    for character in body:
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        run = run + 1 if character in "-+~" else (run if character == " " else 0)
        deepest = max(deepest, depth, run)
    return max(deepest, body.count("not ") // 2)


def _check(tree: ast.expr, shift: int) -> None:
    count = 0
    stack: list[tuple[ast.AST, int]] = [(tree, 1)]
    while stack:
        node, depth = stack.pop()
        count += 1
        if count > MAX_NODES:
            raise NotAnExpression(f"an expression has more than {MAX_NODES} parts")
        if depth > MAX_DEPTH:
            raise NotAnExpression(f"an expression is nested deeper than {MAX_DEPTH}")
        _check_node(node, shift)
        stack.extend((child, depth + 1) for child in _children(node))


def _children(node: ast.AST) -> Iterator[ast.AST]:
    return (child for child in ast.iter_child_nodes(node) if not isinstance(child, _QUIET))


def _check_node(node: ast.AST, shift: int) -> None:
    offset = shift + getattr(node, "col_offset", 0)
    if not isinstance(node, _NODES):
        _refuse(node, offset)
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (*_NODES, *_QUIET)):
            where = shift + getattr(child, "col_offset", getattr(node, "col_offset", 0))
            _refuse(child, where)
    match node:
        case ast.Constant(value=bool() | None) | ast.Constant(value=str()):
            pass
        case ast.Constant(value=value) if value is ...:
            pass
        case ast.Constant(value=int() as value):
            if abs(value) >= 10**MAX_DIGITS:
                raise NotAnExpression(f"a number has more than {MAX_DIGITS} digits", offset)
        case ast.Constant(value=float()):
            pass
        case ast.Constant(value=value):
            raise NotAnExpression(f"a {type(value).__name__} is not for expressions", offset)
        case ast.Name(id=name) if name.startswith("_") and name != "_":
            raise NotAnExpression(
                f"`{name}`: names with a leading underscore are not for specs", offset
            )
        case ast.Attribute(attr=name) if name.startswith("_"):
            raise NotAnExpression(
                f"`.{name}`: names with a leading underscore are not for specs", offset
            )
        case ast.keyword(arg=None):
            raise NotAnExpression("a star is not for expressions", offset)
        case ast.keyword(arg=str() as name) if name.startswith("_"):
            raise NotAnExpression(
                f"`{name}=`: names with a leading underscore are not for specs", offset
            )
        case ast.FormattedValue(format_spec=spec) if spec is not None:
            _check_format(spec, offset)
        case ast.FormattedValue(conversion=conversion) if conversion != -1:
            raise NotAnExpression("`!r` and the like are not for f-strings", offset)


def _check_format(spec: ast.expr, offset: int) -> None:
    match spec:
        case ast.JoinedStr(values=[ast.Constant(value=str() as text)]) if len(text) <= 4:
            return
    raise NotAnExpression("a format in an f-string is a short literal, such as `02d`", offset)


def _refuse(node: ast.AST, offset: int) -> None:
    name = _NAMES.get(type(node), type(node).__name__.lower())
    raise NotAnExpression(f"{name} is not for expressions", offset)
