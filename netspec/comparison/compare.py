"""Two analyses → what differs between their networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from netspec.analysis.analyse import Analysis
from netspec.analysis.calls import OUTPUTS, LayerCall
from netspec.analysis.model import Node
from netspec.comparison.keys import keys_of
from netspec.comparison.looks import below, children_of, operation, own_name
from netspec.comparison.match import Matches, match
from netspec.comparison.model import Change, Difference, Figures, Kind, LayerPlace, NetworkDiff
from netspec.view.summary import Row


def compare(a: Analysis, b: Analysis) -> NetworkDiff:
    """What differs from A to B, which are both right."""
    costs_a, costs_b = a.costs(), b.costs()
    assert costs_a is not None and costs_b is not None, "a comparison is of specs that are right"
    matches = match(a, b)
    rows_a = {row.path: row for row in costs_a.rows}
    rows_b = {row.path: row for row in costs_b.rows}
    changes = tuple(_Comparing(a, b, matches, rows_a, rows_b).changes("", ""))
    keys = keys_of(a, b, matches)
    return NetworkDiff(a, b, costs_a, costs_b, matches.twins, changes, keys)


@dataclass(slots=True, eq=False)
class _Comparing:
    a: Analysis
    b: Analysis
    matches: Matches
    rows_a: Mapping[str, Row]
    rows_b: Mapping[str, Row]
    back: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.back = {b: a for a, b in self.matches.twins.items()}

    def changes(self, path_a: str, path_b: str) -> Iterator[Change]:
        """Those inside of two layers that are the same."""
        gone = self.gone_before(path_a)
        yield from gone.pop("", ())
        for node in children_of(self.b, path_b):
            twin = self.back.get(node.path)
            if twin is None:
                yield from self.added(node)
            else:
                yield from self.both(self.a.by_path[twin], node)
                yield from gone.pop(twin, ())
        for rest in gone.values():
            yield from rest
        facts = tuple(self.facts_of_outputs(path_a, path_b))
        if facts:
            at = (f"{path_a}.{OUTPUTS}".lstrip("."), f"{path_b}.{OUTPUTS}".lstrip("."))
            yield Change(*at, "outputs", ("changed",), facts)

    def gone_before(self, path_a: str) -> dict[str, list[Change]]:
        """What A alone has, by the layer after which it stood that is still there."""
        found: dict[str, list[Change]] = {}
        last = ""
        for node in children_of(self.a, path_a):
            twin = self.matches.twins.get(node.path)
            if twin is None:
                found.setdefault(last, []).extend(self.removed(node))
            elif self.b.around(twin) == self.matches.twins.get(path_a):
                last = node.path
        return found

    def added(self, node: Node) -> Iterator[Change]:
        new = [n for n in below(self.b, node) if n.path not in self.back]
        figures = _figures(node, self.rows_b)
        yield Change(
            None, node.path, _name(node), ("added",), tuple(_given(self.b, node)),
            figures_b=figures, inside=len(new) - 1, place_b=_place(node),
        )  # fmt: skip
        yield from self.moved_into(node)

    def moved_into(self, node: Node) -> Iterator[Change]:
        for child in children_of(self.b, node.path):
            twin = self.back.get(child.path)
            if twin is None:
                yield from self.moved_into(child)
            else:
                yield from self.both(self.a.by_path[twin], child)

    def removed(self, node: Node) -> Iterator[Change]:
        gone = [n for n in below(self.a, node) if n.path not in self.matches.twins]
        figures = _figures(node, self.rows_a)
        yield Change(
            node.path, None, _name(node), ("removed",), tuple(_given(self.a, node)),
            figures_a=figures, inside=len(gone) - 1, place_a=_place(node),
        )  # fmt: skip

    def both(self, one: Node, other: Node) -> Iterator[Change]:
        """What differs in a layer that both have, then inside of it."""
        kinds: list[Kind] = []
        around_a, around_b = self.a.around(one.path), self.b.around(other.path)
        stays = self.matches.twins.get(around_a) == around_b
        if stays and own_name(one.path, around_a) != own_name(other.path, around_b):
            kinds.append("renamed")
        if not stays or one.path in self.matches.reordered:
            kinds.append("moved")
        own = list(self.own_facts(one, other))
        follow = list(self.facts_that_follow(one, other))
        kinds += ["changed"] if own else ["affected"] if follow else []
        if kinds:
            yield Change(
                one.path, other.path, _name(other), tuple(kinds), (*own, *follow),
                _figures(one, self.rows_a), _figures(other, self.rows_b),
                place_a=_place(one), place_b=_place(other),
            )  # fmt: skip
        yield from self.changes(one.path, other.path)

    def own_facts(self, one: Node, other: Node) -> Iterator[Difference]:
        """What the text says differently."""
        call_a, call_b = self.a.calls.get(one.path), self.b.calls.get(other.path)
        before, after = _class(self.a, one), _class(self.b, other)
        if before != after:
            yield Difference("is", before, after)
        if call_a is None or call_b is None:
            return
        inferred = call_a.inferred & call_b.inferred if before == after else frozenset()
        for name in dict.fromkeys((*call_a.arguments, *call_b.arguments)):
            was = call_a.arguments.get(name, call_a.defaults.get(name, ""))
            now = call_b.arguments.get(name, call_b.defaults.get(name, ""))
            if was != now and name not in inferred:
                yield Difference(name, was, now)
        yield from self.reads(call_a.reads, call_b.reads)
        ties_a, ties_b = _ties(self.a, one.path), _ties(self.b, other.path)
        for name in dict.fromkeys((*ties_a, *ties_b)):
            tied, now = ties_a.get(name, ""), ties_b.get(name, "")
            if self.in_b(tied) != now:
                yield Difference(f"tie {name}", tied, now)

    def facts_that_follow(self, one: Node, other: Node) -> Iterator[Difference]:
        """What differs for what comes in, or for what was changed."""
        shapes_a, shapes_b = self.shapes(self.a, one), self.shapes(self.b, other)
        for name in dict.fromkeys((*shapes_a, *shapes_b)):
            before, after = shapes_a.get(name, ""), shapes_b.get(name, "")
            if before != after:
                yield Difference(name or "itself", before, after)
        before = one.output.text if one.output is not None else ""
        after = other.output.text if other.output is not None else ""
        if before != after:
            yield Difference("gives", before, after)

    def shapes(self, analysis: Analysis, node: Node) -> Mapping[str, str]:
        """Its own parameters: those of what is in it are told there."""
        if analysis.children.get(node.path):
            return {}
        return {parameter.name: f"{list(parameter.shape)}" for parameter in node.parameters}

    def facts_of_outputs(self, path_a: str, path_b: str) -> Iterator[Difference]:
        call_a = self.a.calls.get(f"{path_a}.{OUTPUTS}".lstrip("."))
        call_b = self.b.calls.get(f"{path_b}.{OUTPUTS}".lstrip("."))
        if call_a is None or call_b is None:
            return
        if call_a.target != call_b.target:
            yield Difference("are", _with(call_a), _with(call_b))
        else:
            yield from self.reads(call_a.reads, call_b.reads)

    def reads(self, before: Sequence[str], after: Sequence[str]) -> Iterator[Difference]:
        """Other values that are read, of those that both specs have.

        What is called within another layer's expression alone reads nothing by itself.
        """
        if not before or not after:
            return
        if len(before) != len(after):
            yield Difference("reads", ", ".join(before), ", ".join(after))
            return
        for one, other in zip(before, after, strict=True):
            now = self.in_b(one)
            if now is not None and now != other and self.is_known(other):
                yield Difference("reads", one, other)

    def in_b(self, path: str) -> str | None:
        """The path in B of a layer of A, of a block's input, or of a parameter."""
        if path in self.matches.twins:
            return self.matches.twins[path]
        around = self.a.around(path)
        twin = self.matches.twins.get(around)
        if twin is None or path in self.a.by_path:
            return None
        return f"{twin}.{own_name(path, around)}".lstrip(".")

    def is_known(self, path: str) -> bool:
        return path in self.back or (
            path not in self.b.by_path and self.b.around(path) in self.back
        )


def _place(node: Node) -> LayerPlace:
    return LayerPlace(node.place.file, node.place.line)


def _name(node: Node) -> str:
    """What a layer is, in the spec's words."""
    return node.operation or node.kind


def _class(analysis: Analysis, node: Node) -> str:
    if analysis.children.get(node.path):
        return node.operation or node.kind
    return operation(node, analysis.calls.get(node.path))


def _given(analysis: Analysis, node: Node) -> Iterator[Difference]:
    """The arguments of a layer that only one of the specs has."""
    call = analysis.calls.get(node.path)
    for name, text in call.arguments.items() if call is not None else ():
        yield Difference(name, text, text)


def _with(call: LayerCall) -> str:
    """A text with what is read in the place of each operand."""
    parts = call.target.split("•")
    return "".join(part + name for part, name in zip(parts, (*call.reads, ""), strict=False))


def _figures(node: Node, rows: Mapping[str, Row]) -> Figures:
    row = rows.get(node.path)
    parameters = sum(parameter.elements for parameter in node.parameters)
    if row is None:
        return Figures(parameters, None, None)
    return Figures(parameters, row.flops, row.saved_bytes)


def _ties(analysis: Analysis, path: str) -> Mapping[str, str]:
    return {
        tie.target[len(path) + 1 :]: tie.source
        for tie in analysis.ties
        if analysis.around(tie.target) == path
    }
