"""The symbols of a text, nested as it nests, and what can be folded."""

from __future__ import annotations

from collections.abc import Iterator

from lsprotocol import types as lsp

from netspec.display import visible
from netspec.language.schema import expand_short, kinds_of
from netspec.lsp.document import Document
from netspec.lsp.scope import role_of
from netspec.source import Path, Plain, Source

_KINDS = {
    "inputs": lsp.SymbolKind.Variable,
    "blocks": lsp.SymbolKind.Class,
    "layers": lsp.SymbolKind.Field,
    "args": lsp.SymbolKind.Constant,
}
_MOST = 20_000  # symbols


def symbols(document: Document, source: Source) -> list[lsp.DocumentSymbol]:
    """Inputs, args, blocks and layers, with those inside of them."""
    return list(_inside(document, source, source.value, ()))


def _inside(
    document: Document, source: Source, value: Plain, path: Path
) -> Iterator[lsp.DocumentSymbol]:
    if not isinstance(value, dict):
        return
    for group, kind in _KINDS.items():
        items = value.get(group)
        if role_of((*path, group)) == group and isinstance(items, (dict, list)):
            pairs = items.items() if isinstance(items, dict) else enumerate(items)
            for key, item in pairs:
                yield _symbol(document, source, item, (*path, group, key), kind)


def _symbol(
    document: Document, source: Source, value: Plain, path: Path, kind: lsp.SymbolKind
) -> lsp.DocumentSymbol:
    name = document.positions.range_of(source.key_span_of(path))
    _, last = source.lines_of(path)
    index = document.positions.index_of_place(last, len(source.places.line(last)) + 1)
    whole = lsp.Range(name.start, max(name.end, document.positions.position_of(index)))
    return lsp.DocumentSymbol(
        name=visible(str(path[-1])) or " ",
        kind=kind,
        range=whole,
        selection_range=name,
        detail=visible(_detail(value)) if kind == lsp.SymbolKind.Field else None,
        children=list(_inside(document, source, value, path)),
    )


def _detail(layer: Plain) -> str:
    """What a layer is: `Conv2d`, `=a + b`."""
    full = expand_short(layer) if isinstance(layer, str) else layer
    if not isinstance(full, dict):
        return ""
    kinds = kinds_of(full)
    named = full[kinds[0]] if kinds else ""
    return named if isinstance(named, str) else kinds[0]


def folds(document: Document, source: Source) -> list[lsp.FoldingRange]:
    """Each collection that takes more than a line."""
    found: list[lsp.FoldingRange] = []
    stack: list[tuple[Path, Plain]] = [((), source.value)]
    while stack and len(found) < _MOST:
        path, value = stack.pop()
        if not isinstance(value, (dict, list)):
            continue
        if path:
            first, last = source.lines_of(path)
            start = document.positions.position_of(document.positions.index_of_place(first, 1))
            end = document.positions.position_of(document.positions.index_of_place(last, 1))
            if end.line > start.line:
                found.append(lsp.FoldingRange(start.line, end.line))
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        stack += [((*path, key), item) for key, item in pairs]
    return sorted(_distinct(found), key=lambda fold: (fold.start_line, fold.end_line))


def _distinct(folds: list[lsp.FoldingRange]) -> list[lsp.FoldingRange]:
    """Each stretch of lines once: a list and its only item begin and end together."""
    return list({(fold.start_line, fold.end_line): fold for fold in folds}.values())
