"""An analysis → what is drawn: nested layers, equal copies once, what joins them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from netspec.analysis.analyse import Analysis
from netspec.analysis.model import Node
from netspec.errors import Diagnostic
from netspec.view.summary import Row, Summary


@dataclass(frozen=True, slots=True)
class Mark:
    """How a layer differs from another spec's: in which way, by what, and its path there."""

    kind: str
    facts: tuple[str, ...] = ()
    twin: str = ""


@dataclass(slots=True, eq=False)
class Card:
    """A layer or an input, `times` equal copies of it, and the layers inside of it."""

    node: Node
    row: Row | None
    times: int = 1
    inner: list[Card] = field(default_factory=list)
    mistakes: tuple[str, ...] = ()
    mark: Mark | None = None

    @property
    def parameters(self) -> int:
        """Of one copy, with what is inside of it."""
        if self.inner:
            return sum(card.times * card.parameters for card in self.inner)
        return sum(parameter.elements for parameter in self.node.parameters)


@dataclass(frozen=True, slots=True)
class Line:
    """What joins two cards, by their paths: a value, or (`is_same`) that both are one thing."""

    source: str
    target: str
    argument: str
    is_same: bool = False


@dataclass(frozen=True, slots=True)
class Drawing:
    """All that is drawn, and what is wrong."""

    name: str
    cards: tuple[Card, ...]
    lines: tuple[Line, ...]
    diagnostics: tuple[Diagnostic, ...]
    costs: Summary | None


def drawing_of(analysis: Analysis, marks: Mapping[str, Mark] | None = None) -> Drawing:
    """The picture of a spec; of a wrong one as far as it is known. `marks` are by paths."""
    costs = analysis.costs()
    rows = {} if costs is None else {row.path: row for row in costs.rows}
    drawn = _Drawn(analysis.children, rows, _mistakes(analysis), marks or {})
    cards = tuple(drawn.cards(""))
    lines = dict.fromkeys(_lines(analysis, drawn.kept))
    value = None if analysis.source is None else analysis.source.value
    named = value.get("name") if isinstance(value, dict) else None
    name = costs.name if costs is not None else named if isinstance(named, str) else "network"
    return Drawing(name, cards, tuple(lines), analysis.diagnostics, costs)


def _mistakes(analysis: Analysis) -> Mapping[tuple[str, int], list[str]]:
    found: dict[tuple[str, int], list[str]] = {}
    for diagnostic in analysis.diagnostics:
        key = (diagnostic.span.file, diagnostic.span.line)
        found.setdefault(key, []).append(f"{diagnostic.code}: {diagnostic.fact}")
    return found


@dataclass(slots=True)
class _Drawn:
    children: Mapping[str, Sequence[Node]]
    rows: Mapping[str, Row]
    mistakes: Mapping[tuple[str, int], list[str]]
    marks: Mapping[str, Mark]
    kept: dict[str, str] = field(default_factory=dict)  # an equal copy → the one that is drawn
    looks: dict[str, object] = field(default_factory=dict)

    def cards(self, path: str) -> Iterator[Card]:
        last: Card | None = None
        for node in self.children.get(path, ()):
            if last is not None and self.is_copy(last.node, node):
                last.times += 1
                self.kept[node.path] = last.node.path
                continue
            if last is not None:
                yield last
            last = self.card(node)
        if last is not None:
            yield last

    def card(self, node: Node) -> Card:
        told = self.mistakes.get((node.place.file, node.place.line), [])
        mistakes = tuple(told) if node.state == "refused" else ()
        mark = self.marks.get(node.path)
        card = Card(node, self.rows.get(node.path), mistakes=mistakes, mark=mark)
        card.inner = list(self.cards(node.path))
        return card

    def is_copy(self, a: Node, b: Node) -> bool:
        """Whether two layers beside each other are equal copies of one layer of the text."""
        same_text = a.text_path == b.text_path and a.place == b.place
        return same_text and self.look(a) == self.look(b)

    def look(self, node: Node) -> object:
        if node.path not in self.looks:
            inner = [
                (child.path.removeprefix(node.path), self.look(child))
                for child in self.children.get(node.path, ())
            ]
            output = node.output.text if node.output is not None else None
            inputs = tuple([one.text if one is not None else None for one in node.inputs])
            mark = self.marks.get(node.path)
            told = None if mark is None else (mark.kind, mark.facts)
            own = (node.operation, node.state, output, inputs, node.parameters)
            parts = (*own, told, tuple(inner))
            self.looks[node.path] = hash(parts)
        return self.looks[node.path]


def _lines(analysis: Analysis, kept: Mapping[str, str]) -> Iterator[Line]:
    for edge in analysis.edges:
        source, target = _drawn_at(edge.source, kept), _drawn_at(edge.target, kept)
        if source != target:
            yield Line(source, target, edge.argument)
    for tie in analysis.ties:
        source, target = _owner(tie.source, analysis), _owner(tie.target, analysis)
        if source and target:
            yield Line(_drawn_at(source, kept), _drawn_at(target, kept), "", is_same=True)
    for node in analysis.nodes:
        if node.kind == "use":
            around = analysis.around(node.path)
            shared = f"{around}.{node.operation}" if around else node.operation
            if shared in analysis.by_path:
                yield Line(_drawn_at(shared, kept), _drawn_at(node.path, kept), "", is_same=True)


def _owner(parameter: str, analysis: Analysis) -> str:
    return parameter if parameter in analysis.by_path else analysis.around(parameter)


def _drawn_at(path: str, kept: Mapping[str, str]) -> str:
    """Where a path is drawn: in the first of equal copies."""
    parts = path.split(".")
    at = ""
    for part in parts:
        at = f"{at}.{part}" if at else part
        at = kept.get(at, at)
    return at
