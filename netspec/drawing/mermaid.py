"""A picture as Mermaid text, which GitHub and many editors draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netspec.display import visible
from netspec.drawing.graph import Card, Drawing

_ESCAPED = str.maketrans({c: f"#{ord(c)};" for c in "\"'`<>&#;|[]{}()\\%*_~"})


def mermaid_text(graph: Drawing, depth: int = 1) -> str:
    """A flowchart of the outermost levels; what is deeper is in the card around it."""
    lines = ["flowchart TD"]
    ids: dict[str, str] = {}
    lines += _cards(graph.cards, depth, ids, "  ")
    drawn: dict[str, None] = {}
    for line in graph.lines:
        source, target = _shown(line.source, ids), _shown(line.target, ids)
        arrow = "-.-" if line.is_same else "-->"
        inside = f"{line.target}.".startswith(f"{line.source}.")
        if source and target and source != target and not inside:
            drawn[f"  {source} {arrow} {target}"] = None
    lines += drawn
    refused = [ids[card.node.path] for card in _all(graph.cards, depth) if card.mistakes]
    if refused:
        lines.append("  classDef refused stroke:#c00,stroke-width:3px")
        lines.append(f"  class {','.join(refused)} refused")
    return "\n".join(lines) + "\n"


def _cards(cards: Sequence[Card], depth: int, ids: dict[str, str], margin: str) -> Iterator[str]:
    for card in cards:
        if card.node.state == "absent":
            continue
        key = ids[card.node.path] = f"n{len(ids)}"
        label = _label(card)
        if card.inner and depth > 1:
            yield f'{margin}subgraph {key}["{label}"]'
            yield from _cards(card.inner, depth - 1, ids, f"{margin}  ")
            yield f"{margin}end"
        else:
            yield f'{margin}{key}["{label}"]'


def _all(cards: Sequence[Card], depth: int) -> Iterator[Card]:
    for card in cards:
        if card.node.state != "absent":
            yield card
        if depth > 1:
            yield from _all(card.inner, depth - 1)


def _label(card: Card) -> str:
    node = card.node
    times = f" × {card.times}" if card.times > 1 else ""
    output = node.output.text if node.output is not None else "?"
    parts = [f"{node.path}{times}", node.operation or node.kind, output, *card.mistakes]
    return "<br/>".join(visible(part).translate(_ESCAPED) for part in parts)


def _shown(path: str, ids: dict[str, str]) -> str | None:
    """The id of the innermost card that is drawn around a path."""
    while path and path not in ids:
        path = path.rpartition(".")[0]
    return ids.get(path)
