"""What each layer gives, beside its line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lsprotocol import types as lsp

from netspec.analysis.analyse import Analysis
from netspec.analysis.model import Node
from netspec.display import visible
from netspec.lsp.document import Document
from netspec.source import Path

_LONGEST = 120


def hints(
    document: Document,
    analysis: Analysis,
    nodes: Mapping[Path, Sequence[Node]],
    at: lsp.Range,
    with_parameters: bool,
) -> Iterator[lsp.InlayHint]:
    """A hint at the end of each layer that begins in a range: its output, in free sizes."""
    for path, copies in nodes.items():
        if copies[0].kind == "input":
            continue
        text = _text(copies, with_parameters)
        position = _end_of(document, analysis, path)
        if text and position is not None and at.start <= position <= at.end:
            yield lsp.InlayHint(position, text, padding_left=True, kind=lsp.InlayHintKind.Type)


def _text(copies: Sequence[Node], with_parameters: bool) -> str:
    """What the copies give: the first, and the last where it gives something else."""
    given = list(dict.fromkeys(node.output.text for node in copies if node.output is not None))
    if not given:
        return ""
    text = given[0] if len(given) == 1 else f"{given[0]} … {given[-1]}"
    text = visible(text)
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}…"
    count = sum(parameter.elements for node in copies for parameter in node.parameters)
    return f"→ {text}  {count:,}" if with_parameters and count else f"→ {text}"


def _end_of(document: Document, analysis: Analysis, path: Path) -> lsp.Position | None:
    """The end of a layer's value, or of its key's line where the value stands below."""
    source = analysis.source
    if source is None or not path:
        return None
    key, value = source.key_span_of(path), source.span_of(path)
    if not key.line:
        return None
    if value.line == key.line:
        index = document.positions.index_of_place(value.line, value.column + value.width)
    else:
        index = document.positions.index_of_place(key.line, len(key.text.rstrip()) + 1)
    return document.positions.position_of(index)
