"""The expression language of specs: a string that starts with `=` → a checked syntax tree.

Python's own parser reads the text; what it gives is accepted only if every node is of the closed
set below. Nothing here is ever evaluated by Python: `netspec.ir` interprets the tree itself.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeGuard

from netspec.errors import Span
from netspec.language.assigned import IN_PARTS, help_for_statement

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
_QUOTED = frozenset(" ,:{}[]#&*!|>'\"%@`")  # characters for which YAML has a text in quotes
_COMPUTES = re.compile(r"[-+*/%<>!=(\[]|\b(?:if|not|and|or|is|in)\b")  # more than a name has
_PLACED = (ast.expr, ast.keyword)
_QUIET = (ast.Load, ast.And, ast.Or, *_BINARY, *_BITS, *_UNARY, *_COMPARE)
_NAMES = {
    ast.Lambda: "a lambda", ast.ListComp: "a comprehension", ast.SetComp: "a comprehension",
    ast.DictComp: "a comprehension", ast.GeneratorExp: "a comprehension",
    ast.NamedExpr: "an assignment", ast.Starred: "a star", ast.Dict: "a dict", ast.Set: "a set",
    ast.Await: "await", ast.Yield: "yield", ast.YieldFrom: "yield",
    ast.LShift: "a shift", ast.RShift: "a shift",
}  # fmt: skip


class NotAnExpression(Exception):
    """Why a text is no expression: `fact`, and the characters (from 0) that are wrong."""

    def __init__(self, fact: str, start: int = 0, width: int = 1, help: str | None = None) -> None:
        super().__init__(fact)
        self.fact = fact
        self.start = start
        self.width = width
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


def as_expression(text: str) -> str:
    """A text as an expression, as YAML has it: `=width`, `"=width * 2"`."""
    return f"={text}" if _QUOTED.isdisjoint(text) else f'"={text}"'


def could_be_expression(text: str, known: Collection[str]) -> bool:
    """Whether a text would be an expression behind a `=`, over names of which one is known."""
    if text.startswith("=") or not (text.isidentifier() or _COMPUTES.search(text)):
        return False
    names = names_in(f"={text}")
    return any(name in known for name in names)


@lru_cache(maxsize=4096)
def parse_expression(text: str) -> Expression:
    """`=a + b` → its checked tree.

    Raises NotAnExpression where the text is no Python expression, is too long or too deep, or has
    a construct that the language leaves out.
    """
    assert is_expression(text), "only a string with a leading `=` is an expression"
    body = text[1:].strip()
    shift = _shift(text)
    if not body:
        raise NotAnExpression("an expression is empty")
    if len(body) > MAX_LENGTH:
        raise NotAnExpression(f"an expression has {len(body)} characters, {MAX_LENGTH} are allowed")
    if _nesting(body) > MAX_DEPTH:
        raise NotAnExpression(f"an expression is nested deeper than {MAX_DEPTH}")
    tree = _parse(body, shift)
    _check(tree, text)
    return Expression(body, tree)


def names_in(text: str) -> frozenset[str]:
    """All names that an expression mentions; none where the text is no expression."""
    try:
        tree = parse_expression(text).tree
    except NotAnExpression:
        return frozenset()
    return frozenset(n.id for n in ast.walk(tree) if isinstance(n, ast.Name))


def narrowed(span: Span, text: str, start: int, width: int) -> Span:
    """The characters from `start` on of a text whose value has this span.

    The span as it is where the text is not written on its line letter by letter: it is folded, or
    has escapes, or no file holds it.
    """
    column = span.column - 1
    column += span.text[column : column + 1] in ('"', "'")
    if not span.line or not span.text.startswith(text, column):
        return span
    return replace(span, column=column + 1 + start, width=max(1, width))


def stretch_of(text: str, node: ast.expr | ast.keyword) -> tuple[int, int] | None:
    """Where in the text of an expression a node of its tree lies: first character, and how many.

    None where Python does not tell: inside of f-strings, before 3.12.
    """
    shift, end = _shift(text), node.end_col_offset
    if node.lineno != 1 or node.end_lineno != 1 or end is None:
        return None
    body = text[shift:].encode()
    start = shift + len(body[: node.col_offset].decode(errors="ignore"))
    part = body[node.col_offset : end].decode(errors="ignore")
    return (start, len(part)) if _is_of(part, node) else None


def name_stretch(text: str, node: ast.expr | ast.keyword) -> tuple[int, int] | None:
    """Where in the text the name lies that a call, an attribute or a named argument begins with."""
    if isinstance(node, ast.Call):
        return name_stretch(text, node.func)
    found = stretch_of(text, node)
    if found is None or not isinstance(node, (ast.Attribute, ast.keyword)):
        return found
    start, width = found
    if isinstance(node, ast.Attribute):
        return start + width - len(node.attr), len(node.attr)
    return start, len(node.arg or "")


def _is_of(part: str, node: ast.expr | ast.keyword) -> bool:
    """Whether this stretch of text is the node's."""
    if isinstance(node, ast.keyword):
        return part.startswith(node.arg or " ")
    if isinstance(node, ast.Slice):
        return True
    try:
        return ast.dump(_tree_of(part.strip())) == ast.dump(node)
    except (SyntaxError, ValueError):
        return False


def _shift(text: str) -> int:
    """How many characters stand before the first of the expression itself."""
    return len(text) - len(text[1:].lstrip())


def _parse(body: str, shift: int) -> ast.expr:
    try:
        return _tree_of(body)
    except SyntaxError as error:
        offset = shift + max(0, (error.offset or 1) - 1)
        shown = body if len(body) <= 60 else body[:59] + "…"
        help = help_for_statement(body)
        words = "it is an assignment" if help is not None else error.msg
        raise NotAnExpression(
            f"`={shown}` is not an expression: {words}", offset, 1, help
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise NotAnExpression(f"`={body[:40]}` is not an expression: {error}", shift) from None


def _tree_of(body: str) -> ast.expr:
    """Python's tree of an expression, without its warnings (of `1if x else y`)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(body, mode="eval").body


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


def _check(tree: ast.expr, text: str) -> None:
    count = 0
    stack: list[tuple[ast.AST, ast.expr | ast.keyword, int]] = [(tree, tree, 1)]
    while stack:
        node, at, depth = stack.pop()
        count += 1
        if count > MAX_NODES:
            raise NotAnExpression(f"an expression has more than {MAX_NODES} parts")
        if depth > MAX_DEPTH:
            raise NotAnExpression(f"an expression is nested deeper than {MAX_DEPTH}")
        fact = _fault_of(node)
        if fact is not None:
            start, width = stretch_of(text, at) or (_shift(text), 1)
            sets = isinstance(node, ast.Attribute) and node.attr == "__setitem__"
            raise NotAnExpression(fact, start, width, IN_PARTS if sets else None)
        inside = (child for child in ast.iter_child_nodes(node) if not isinstance(child, _QUIET))
        stack.extend((c, c if isinstance(c, _PLACED) else at, depth + 1) for c in inside)


def _fault_of(node: ast.AST) -> str | None:
    """What is wrong with a node for an expression of this language, apart from its children."""
    if not isinstance(node, _NODES):
        name = _NAMES.get(type(node), type(node).__name__.lower())
        return f"{name} is not for expressions"
    match node:
        case ast.Constant(value=bool() | None | str() | float()):
            return None
        case ast.Constant(value=value) if value is ...:
            return None
        case ast.Constant(value=int() as value):
            too_long = abs(value) >= 10**MAX_DIGITS
            return f"a number has more than {MAX_DIGITS} digits" if too_long else None
        case ast.Constant(value=value):
            return f"a {type(value).__name__} is not for expressions"
        case ast.Name(id=name) if name.startswith("_") and name != "_":
            return f"`{name}`: names with a leading underscore are not for specs"
        case ast.Attribute(attr=name) if name.startswith("_"):
            return f"`.{name}`: names with a leading underscore are not for specs"
        case ast.keyword(arg=None):
            return "a star is not for expressions"
        case ast.keyword(arg=str() as name) if name.startswith("_"):
            return f"`{name}=`: names with a leading underscore are not for specs"
        case ast.FormattedValue(format_spec=spec) if spec is not None:
            return _fault_of_format(spec)
        case ast.FormattedValue(conversion=conversion) if conversion != -1:
            return "`!r` and the like are not for f-strings"
    return None


def _fault_of_format(spec: ast.expr) -> str | None:
    match spec:
        case ast.JoinedStr(values=[ast.Constant(value=str() as text)]) if len(text) <= 4:
            return None
    return "a format in an f-string is a short literal, such as `02d`"
