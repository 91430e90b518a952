"""What the words of a text are, for colours: classes, functions, names, and inside expressions."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from lsprotocol import types as lsp

from netspec.analysis.analyse import Analysis
from netspec.errors import Span
from netspec.language.expressions import (
    NotAnExpression,
    is_expression,
    name_stretch,
    narrowed,
    parse_expression,
    stretch_of,
)
from netspec.lsp.document import Document
from netspec.lsp.scope import role_of
from netspec.ops import catalog
from netspec.source import Path, Plain, Source

LEGEND = lsp.SemanticTokensLegend(
    token_types=[
        "class", "function", "method", "property", "variable", "parameter", "number", "string",
        "keyword", "type",
    ],
    token_modifiers=["definition"],
)  # fmt: skip
_TYPES = {name: index for index, name in enumerate(LEGEND.token_types)}
_OF_NAMES = {"layer": "variable", "input": "variable", "arg": "parameter", "block": "type"}
_KINDS = {"module": "class", "call": "function", "act": "function"}
_MOST = 100_000


def tokens(document: Document, analysis: Analysis) -> lsp.SemanticTokens:
    """The tokens of a text, as the protocol packs them: five numbers each, relative to the last."""
    source = analysis.source
    if source is None:
        return lsp.SemanticTokens([])
    found = dict.fromkeys(_found(source, analysis), None)
    placed = sorted(
        {(s.line, s.column): (s, kind, defines) for s, kind, defines in found if s.line}.items()
    )
    data: list[int] = []
    line = character = 0
    last_end = (0, 0)
    for (number, column), (span, kind, defines) in placed[:_MOST]:
        if (number, column) < last_end:
            continue  # inside of the one before
        last_end = (number, column + span.width)
        where = document.positions.range_of(span)
        if where.end.line != where.start.line or where.end == where.start:
            continue
        start = where.start
        delta = start.character - (character if start.line == line else 0)
        width = where.end.character - start.character
        data += [start.line - line, delta, width, _TYPES[kind], int(defines)]
        line, character = start.line, start.character
    return lsp.SemanticTokens(data)


_Token = tuple[Span, str, bool]


def _found(source: Source, analysis: Analysis) -> Iterator[_Token]:
    """All tokens; of two at one place the later one counts."""
    yield from _in_values(source)
    for name in analysis.names:
        kind = _OF_NAMES[name.kind]
        if name.definition.file == source.file:
            yield name.definition, kind, True
        for use in name.uses:
            if use.width == len(name.name):
                yield use, kind, False


def _in_values(source: Source) -> Iterator[_Token]:
    stack: list[tuple[Path, Plain]] = [((), source.value)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, dict):
            stack += [((*path, key), item) for key, item in value.items() if key != "doc"]
        elif isinstance(value, list):
            stack += [((*path, index), item) for index, item in enumerate(value)]
        elif is_expression(value):
            yield from _in_expression(source.span_of(path), value)
        elif isinstance(value, str) and path:
            kind = _kind_of(path, value)
            if kind is not None:
                yield source.span_of(path), kind, False


def _kind_of(path: Path, value: str) -> str | None:
    if role_of(path) == "layer":
        return "class" if value.rpartition("/")[2][:1].isupper() else "function"
    if role_of(path[:-1]) == "layer":
        return _KINDS.get(str(path[-1]))
    return None


def _in_expression(span: Span, text: str) -> Iterator[_Token]:
    try:
        tree = parse_expression(text).tree
    except NotAnExpression:
        return
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        kind, stretch = None, None
        match node:
            case ast.Constant(value=bool() | None):
                kind, stretch = "keyword", stretch_of(text, node)
            case ast.Constant(value=int() | float()):
                kind, stretch = "number", stretch_of(text, node)
            case ast.Constant(value=str()):
                kind, stretch = "string", stretch_of(text, node)
            case ast.Call(func=ast.Name(id=name)):
                known = catalog.find_function(name) is not None
                kind, stretch = "function" if known else None, stretch_of(text, node.func)
            case ast.Call(func=ast.Attribute()):
                kind, stretch = "method", name_stretch(text, node)
            case ast.Attribute() if id(node) not in called:
                kind, stretch = "property", name_stretch(text, node)
            case ast.Name(id="training" | "_" | "inf" | "pi" | "i"):
                kind, stretch = "keyword", stretch_of(text, node)
            case ast.Name() if id(node) not in called:
                kind, stretch = "variable", stretch_of(text, node)
        if kind is not None and stretch is not None:
            found = narrowed(span, text, *stretch)
            if found is not span:
                yield found, kind, False
