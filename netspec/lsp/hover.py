"""What is known of what the pointer is on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydantic import BaseModel

from netspec.analysis.analyse import Analysis
from netspec.analysis.model import Name, Node
from netspec.errors import Span
from netspec.language.schema import KIND_NAMES, KINDS, Block, Document, Input, Repeat, words_of
from netspec.lsp.markdown import code, operator_words
from netspec.lsp.scope import operator_named, operator_of, parameters_of, role_of
from netspec.ops import catalog
from netspec.ops.arguments import describe
from netspec.source import Path, Plain, Source
from netspec.view.operator_words import parameter_text
from netspec.view.summary import Row, Summary
from netspec.view.table import bytes_text, flops_text

_SHOWN = 8  # parameters, copies


def hover(
    analysis: Analysis,
    nodes: Mapping[Path, Sequence[Node]],
    rows: Mapping[str, Row],
    costs: Summary | None,
    line: int,
    column: int,
) -> str | None:
    """Markdown on what stands at a place of the text, counted from 1; None where nothing does."""
    source = analysis.source
    if source is None:
        return None
    path = source.path_at(line, column)
    at_key = _within(source.key_span_of(path), line, column) if path else False
    at_value = _within(source.span_of(path), line, column) if path else False
    if not at_key and not at_value:
        return None
    name = name_at(analysis, line, column)
    if name is not None and name.kind in ("layer", "input"):
        copies = _defined(nodes, name)
        if copies:
            return "\n\n".join(_of_layer(copies, rows, costs))
    if name is not None:
        return f"{name.kind} {code(name.name)}" + _default(analysis, name)
    return _of_key(source, path, nodes, rows, costs)


def name_at(analysis: Analysis, line: int, column: int) -> Name | None:
    """The name that is defined or used at a place."""
    source = analysis.source
    for name in analysis.names if source is not None else ():
        for span in (name.definition, *name.uses):
            if source and span.file == source.file and _within(span, line, column):
                return name
    return None


def _within(span: Span, line: int, column: int) -> bool:
    return span.line == line and span.column <= column <= span.column + span.width


def _defined(nodes: Mapping[Path, Sequence[Node]], name: Name) -> Sequence[Node]:
    for copies in nodes.values():
        place = copies[0].place
        if (place.line, place.column) == (name.definition.line, name.definition.column):
            return copies
    return ()


def _default(analysis: Analysis, name: Name) -> str:
    source = analysis.source
    if name.kind != "arg" or source is None or name.definition.file != source.file:
        return ""
    path = source.path_at(name.definition.line, name.definition.column)
    value = _value_at(source, path)
    return ": it has to be given" if value is None else f" = {code(str(value))}"


def _value_at(source: Source, path: Path) -> Plain:
    value = source.value
    for step in path:
        if isinstance(value, dict):
            value = value.get(str(step))
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def _of_key(
    source: Source,
    path: Path,
    nodes: Mapping[Path, Sequence[Node]],
    rows: Mapping[str, Row],
    costs: Summary | None,
) -> str | None:
    if path in nodes:
        return "\n\n".join(_of_layer(nodes[path], rows, costs))
    layer, key = _value_at(source, path[:-1]), str(path[-1])
    value = _value_at(source, path)
    if role_of(path) == "layer" and isinstance(value, str):  # a short form of a block that is idle
        operator = operator_named(value)
        return None if operator is None else operator_words(operator)
    if role_of(path[:-1]) == "layer" and isinstance(layer, dict):
        entries: dict[str | int, str] = {k: v for k, v in layer.items() if isinstance(v, str)}
        operator = operator_of(entries)
        if key in KIND_NAMES and key != "layers":
            parts = [operator_words(operator)] if operator is not None else []
            parts += _of_layer(nodes[path[:-1]], rows, costs) if path[:-1] in nodes else []
            return "\n\n".join(parts) or None
        for parameter in parameters_of(operator) if operator is not None else ():
            if parameter.name == key:
                return f"`{parameter_text(parameter)}`: {describe(parameter.accepts)}"
        kind = next((one for one in KINDS if one.kind in layer), None)
        return None if kind is None else _words(kind, key)
    models: dict[str, type[BaseModel]] = {
        "document": Document, "block": Block, "input": Input, "repeat": Repeat,
    }  # fmt: skip
    model = models.get(role_of(path[:-1]))
    return None if model is None else _words(model, key)


def _words(model: type[BaseModel], key: str) -> str | None:
    words = words_of(model)
    return f"`{key}`: {words[key]}" if key in words else None


def _of_layer(
    copies: Sequence[Node], rows: Mapping[str, Row], costs: Summary | None
) -> Iterator[str]:
    """The paragraphs about a layer, of all copies that the text stands for."""
    first = copies[0]
    yield f"{code(first.path)} {first.kind} {code(first.operation) if first.operation else ''}"
    if len(copies) > 1:
        yield f"{len(copies)} copies, up to {code(copies[-1].path)}"
    yield _types(first)
    others = [n for n in copies[1:] if _types(n) != _types(first)]
    if others:
        yield f"{_types(others[-1])} in {code(others[-1].path)}"
    owner = operator_named(first.operation) if first.kind in ("module", "call") else None
    if first.kind == "act":
        owner = catalog.module_of_activation(first.operation)
    if owner is not None:
        yield operator_words(owner)
    figures = ", ".join(_figures(first, rows.get(first.path)))
    if figures:
        sizes = ", ".join(f"{n} = {s}" for n, s in costs.probe) if costs is not None else ""
        yield f"{figures} at {sizes}" if sizes and first.path in rows else figures
    if first.in_place is not None:
        yield f"in place: {code(first.in_place.reason)}"


def _types(node: Node) -> str:
    match node.state:
        case "absent":
            return "its `when` is false: it is not there"
        case "refused":
            return "refused"
        case "open":
            return "open: a mistake before it leaves its type open"
    given = code(node.output.text) if node.output is not None else "nothing"
    taken = " × ".join(code(one.text) if one is not None else "?" for one in node.inputs)
    return f"{taken} → {given}" if taken else given


def _figures(node: Node, row: Row | None) -> Iterator[str]:
    if node.parameters:
        shapes = [f"{p.name or 'itself'} {list(p.shape)}" for p in node.parameters[:_SHOWN]]
        more = f", … {len(node.parameters)} in all" if len(node.parameters) > _SHOWN else ""
        count = sum(parameter.elements for parameter in node.parameters)
        yield f"{count:,} parameters ({code(', '.join(shapes) + more)})"
    if row is not None:
        about = "≈ " if row.approximate else ""
        yield f"{about}{flops_text(row.flops)}"
        yield f"{about}{bytes_text(row.saved_bytes)} held for backward"
