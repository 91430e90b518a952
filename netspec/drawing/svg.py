"""A picture as an SVG file that needs no script: for a paper, a README, a slide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from netspec.display import columns, cut, visible
from netspec.drawing.graph import Card, Drawing, Line
from netspec.drawing.layout import Layout, Point, lay_out

_LARGE, _SMALL = 13.0, 11.5  # pixels
_WIDE = 0.62  # of a monospaced character, in parts of its height
_PADDING = 12.0
_TITLE = 30.0  # the height of the title's line
_NAME, _KIND, _OUTPUT, _FACT = 40, 44, 56, 70  # columns, at most

_STYLE = """\
text { font: 13px ui-monospace, monospace; fill: #1d1d1f; }
.soft { font-size: 11.5px; fill: #6a6a70; }
.fact { font-size: 11.5px; fill: #c4271b; }
.ground { fill: #fbfbf9; } .box { fill: #fff; stroke: #d8d8d2; } .open { fill: #f2f2ec; }
.refused { fill: #fdeceb; stroke: #c4271b; stroke-width: 2; } .unknown { stroke-dasharray: 4 3; }
.bar { fill: #9db9ea; }
.line { fill: none; stroke: #6a6a70; stroke-width: 1.3; }
.same { stroke: #2f6fde; stroke-dasharray: 5 4; }
.head { fill: #6a6a70; }
@media (prefers-color-scheme: dark) {
  text { fill: #ececea; } .soft, .head { fill: #9a9aa2; } .fact { fill: #ff8479; }
  .ground { fill: #17181a; } .box { fill: #222327; stroke: #3a3b40; } .open { fill: #1c1d20; }
  .refused { fill: #3a1f1d; stroke: #ff8479; } .bar { fill: #37558f; }
  .line { stroke: #9a9aa2; } .same { stroke: #7fabff; }
}
"""


@dataclass(frozen=True, slots=True)
class _Group:
    """The cards of one level, laid out, and by path those of them that are open."""

    cards: Sequence[Card]
    lines: Sequence[Line]
    sizes: Sequence[Point]
    layout: Layout
    inner: Mapping[str, _Group]


def svg_text(graph: Drawing, depth: int = 1) -> str:
    """The outermost levels as SVG; what is deeper is in the card around it.

    What the spec says is text in it, never markup.
    """
    made = _group(graph.cards, "", depth, _lines_by_group(graph, depth))
    name = visible(graph.name)
    total = "" if graph.costs is None else f"{graph.costs.parameters:,} parameters"
    title_width = _wide(name, _LARGE) + _wide(total, _SMALL) + 3 * _PADDING
    width = max(title_width, made.layout.width)
    height = made.layout.height + _TITLE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.1f} {height:.1f}" role="img">',
        f"<title>{escape(name)}</title>",
        f"<style>\n{_STYLE}</style>",
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path class="head" d="M0,0L8,4L0,8z"/></marker></defs>',
        '<rect class="ground" width="100%" height="100%"/>',
        _text(name, _PADDING, 21, "name"),
        _text(total, 2 * _PADDING + _wide(name, _LARGE), 21, "soft"),
        f'<g transform="translate({(width - made.layout.width) / 2:.1f},{_TITLE:.0f})">',
        *_drawn(made, _most(graph.cards)),
        "</g>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _lines_by_group(graph: Drawing, depth: int) -> Mapping[str, list[Line]]:
    """The lines of each level that is drawn, by the path around it, between the cards in it."""
    around: dict[str, str] = {}
    level: list[tuple[str, Card]] = [("", card) for card in graph.cards]
    for _ in range(depth):
        around |= {card.node.path: group for group, card in level}
        level = [(card.node.path, inner) for _, card in level for inner in card.inner]
    found: dict[str, dict[Line, None]] = {}
    for line in graph.lines:
        from_, to = _chain(line.source, around), _chain(line.target, around)
        common = next((group for group in from_ if group in to), None)
        if common is None or from_[common] == to[common]:
            continue
        joined = Line(from_[common], to[common], "", line.is_same)
        found.setdefault(common, {})[joined] = None
    return {group: list(lines) for group, lines in found.items()}


def _chain(path: str, around: Mapping[str, str]) -> dict[str, str]:
    """The groups around a path, from the inside: each with the card of it that the path is in."""
    while path and path not in around:
        path = path.rpartition(".")[0]
    found: dict[str, str] = {}
    while path:
        found[around[path]] = path
        path = around[path]
    return found


def _group(
    cards: Sequence[Card], path: str, depth: int, lines: Mapping[str, Sequence[Line]]
) -> _Group:
    inner = {
        card.node.path: _group(card.inner, card.node.path, depth - 1, lines)
        for card in cards
        if card.inner and depth > 1
    }
    sizes = [_size(card, path, inner.get(card.node.path)) for card in cards]
    number = {card.node.path: index for index, card in enumerate(cards)}
    own = lines.get(path, ())
    layout = lay_out(sizes, [(number[line.source], number[line.target]) for line in own])
    return _Group(cards, own, sizes, layout, inner)


def _size(card: Card, group: str, inner: _Group | None) -> Point:
    widths = [_wide(text, size) for text, size, _ in _texts(card, group)]
    width, height = max(90.0, *widths) + 2 * _PADDING, _head(card) + 6
    if inner is None:
        return width, height
    return max(width, inner.layout.width + 20), height + inner.layout.height + 2


def _head(card: Card) -> float:
    """The height of the texts of a card."""
    return 60.0 + (16 if card.mistakes else 0)


def _texts(card: Card, group: str) -> Iterator[tuple[str, float, str]]:
    """The lines of a card: text, size, class."""
    node = card.node
    own = node.path.removeprefix(f"{group}.") if group else node.path
    times = f" × {card.times}" if card.times > 1 else ""
    yield cut(visible(own), _NAME) + times, _LARGE, "name"
    yield cut(visible(" ".join((node.operation or node.kind).split())), _KIND), _SMALL, "soft"
    output = "?" if node.output is None else node.output.text
    shown = "not there" if node.state == "absent" else output
    yield cut(visible(shown), _OUTPUT), _SMALL, "soft"
    if card.mistakes:
        yield cut(visible(card.mistakes[0]), _FACT), _SMALL, "fact"


def _most(cards: Sequence[Card]) -> int:
    """The parameters of the heaviest layer that holds no other, with its copies: a full bar."""
    inner = [_most(card.inner) if card.inner else card.times * card.parameters for card in cards]
    return max(inner, default=0)


def _drawn(group: _Group, most: int) -> Iterator[str]:
    for line, points in zip(group.lines, group.layout.paths, strict=True):
        kind = "line same" if line.is_same else "line"
        arrow = "" if line.is_same else ' marker-end="url(#arrow)"'
        path = "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
        title = escape(visible(f"{line.source} → {line.target}"))
        yield f'<path class="{kind}" d="M{path}"{arrow}><title>{title}</title></path>'
    for card, (x, y), size in zip(group.cards, group.layout.centres, group.sizes, strict=True):
        width, height = size
        yield f'<g transform="translate({x - width / 2:.1f},{y - height / 2:.1f})">'
        yield f"<title>{escape(visible(card.node.path))}</title>"
        yield from _card(card, size, group.inner.get(card.node.path), most)
        yield "</g>"


def _card(card: Card, size: Point, inner: _Group | None, most: int) -> Iterator[str]:
    width, height = size
    state = card.node.state
    kinds = ["box", *(["open"] if inner else []), *(["refused"] if card.mistakes else [])]
    kinds += ["unknown"] if state in ("open", "refused") else []
    yield (f'<rect class="{" ".join(kinds)}" width="{width:.1f}" height="{height:.1f}" rx="8"/>')
    around = card.node.path.rpartition(".")[0]
    heights = (20.0, 37.0, 53.0, 70.0)
    for (text, _, kind), y in zip(_texts(card, around), heights, strict=False):
        yield _text(text, _PADDING, y, kind)
    share = min(1.0, card.times * card.parameters / most) if most else 0.0
    if share:
        bar = max(1.0, share * (width - 2 * _PADDING))
        place = f'x="{_PADDING}" y="{height - 7:.1f}"'
        yield f'<rect class="bar" {place} width="{bar:.1f}" height="3"/>'
    if inner is not None:
        left = (width - inner.layout.width) / 2
        yield f'<g transform="translate({left:.1f},{_head(card):.0f})">'
        yield from _drawn(inner, most)
        yield "</g>"


def _text(text: str, x: float, y: float, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.0f}">{escape(text)}</text>'


def _wide(text: str, size: float) -> float:
    return columns(text) * size * _WIDE
