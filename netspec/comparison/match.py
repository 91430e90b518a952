"""Which layers of two specs are the same one: by name and look, in order, then wherever they went.

Children of layers that are the same are aligned (Needleman and Wunsch, 1970). A layer whose name
differs is the same only where nothing else could be it: of several that look alike and have other
names on both sides, each is the one in its order where both sides have as many, and else none is.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from netspec.analysis.analyse import Analysis
from netspec.analysis.model import Node
from netspec.comparison.looks import Looks, below, operation, own_name, similarity

_MOST_CELLS = 1_000_000  # of the table of one alignment; names alone decide beyond it
_LOOK, _NAME, _NUMBER = 3.0, 2.0, 0.5  # how much an equal look, name or number counts
_ENOUGH = 2.0
_SAYS_THE_SAME = 0.7  # of the look: all that the text says is equal, and what comes in is not


@dataclass(slots=True, eq=False)
class Matches:
    """From a path of A to the path of B that is the same layer; those that changed their order.

    `uncertain` are layers of B that could be several of A, or one that several of B could be.
    """

    twins: dict[str, str] = field(default_factory=dict)
    reordered: set[str] = field(default_factory=set)
    uncertain: set[str] = field(default_factory=set)


def match(a: Analysis, b: Analysis) -> Matches:
    """The layers of two specs that are the same; the empty path is each spec itself."""
    matcher = _Matcher(Looks(a), Looks(b), Matches({"": ""}))
    matcher.inside("", "")
    matcher.moved(lambda looks, n: (looks.look(n), own_name(n.path, looks.analysis.around(n.path))))
    matcher.moved(lambda looks, n: looks.look(n), alone=True)
    return matcher.found


@dataclass(slots=True, eq=False)
class _Matcher:
    a: Looks
    b: Looks
    found: Matches

    def inside(self, path_a: str, path_b: str) -> None:
        """The layers in two that are the same."""
        waiting = [(path_a, path_b)]
        while waiting:
            at_a, at_b = waiting.pop()
            inner = _Inside(self.a, self.b, at_a, at_b)
            for one, other, reordered in inner.pairs():
                self.found.twins[one.path] = other.path
                if reordered:
                    self.found.reordered.add(one.path)
                waiting.append((one.path, other.path))
            self.found.uncertain |= inner.uncertain

    def moved(self, key: Callable[[Looks, Node], Hashable], alone: bool = False) -> None:
        """What went elsewhere with its tensors: alike by a key, and as many on both sides.

        With `alone`, a single layer has to be the only one of its key.
        """
        ours = _grouped(self.a, self.found.twins, key)
        theirs = _grouped(self.b, self.found.twins.values(), key)
        for look, group in ours.items():
            taken = set(self.found.twins.values())
            free_a = [node for node in group if node.path not in self.found.twins]
            free_b = [node for node in theirs.get(look, ()) if node.path not in taken]
            free_a = [node for node in free_a if not self.stands_in(self.b, node)]
            free_b = [node for node in free_b if not self.stands_in(self.a, node)]
            many = alone and len(free_a) > 1 and not self.a.children(free_a[0].path)
            if len(free_a) != len(free_b) or many:
                self.found.uncertain |= {node.path for node in free_b if free_a}
                continue
            for one, other in zip(free_a, free_b, strict=True):
                self.found.twins[one.path] = other.path
                self.inside(one.path, other.path)

    def stands_in(self, other: Looks, node: Node) -> bool:
        """Whether the other spec has such a layer at the same path, which is then no other's."""
        there = other.analysis.by_path.get(node.path)
        if there is None or not other.has_state(there) or node.path.replace(".", "").isdigit():
            return False
        mine = self.a if other is self.b else self.b
        inner = bool(mine.children(node.path)), bool(other.children(node.path))
        if inner != (False, False):
            return inner == (True, True)
        calls, others = mine.analysis.calls, other.analysis.calls
        return operation(node, calls.get(node.path)) == operation(there, others.get(node.path))


def _grouped(
    looks: Looks, taken: Iterable[str], key: Callable[[Looks, Node], Hashable]
) -> dict[Hashable, list[Node]]:
    """What is left and has tensors, by its key, the largest first."""
    there = set(taken)
    left = [n for n in looks.analysis.nodes if looks.has_state(n) and n.path not in there]
    found: dict[Hashable, list[Node]] = {}
    for node in sorted(left, key=lambda n: -looks.likeness(n).total()):
        found.setdefault(key(looks, node), []).append(node)
    return found


def _written(looks: Looks, node: Node) -> Mapping[str, str] | None:
    """The arguments that the text says."""
    call = looks.analysis.calls.get(node.path)
    if call is None:
        return None
    return {name: text for name, text in call.arguments.items() if name not in call.inferred}


def _holds(looks: Looks, nodes: Sequence[Node], look: int) -> bool:
    """Whether one of these, or what is in them, looks so."""
    return any(looks.look(n) == look for node in nodes for n in below(looks.analysis, node))


class _Inside:
    """The children of two layers that are the same one."""

    def __init__(self, a: Looks, b: Looks, path_a: str, path_b: str) -> None:
        self.a, self.b = a, b
        self.ours, self.theirs = a.children(path_a), b.children(path_b)
        self.names = {node.path: own_name(node.path, path_a) for node in self.ours}
        self.names_b = {node.path: own_name(node.path, path_b) for node in self.theirs}
        self.uncertain: set[str] = set()
        # A number tells the place in a list: as much as a name, where both lists are as long.
        self.number = _NAME if len(self.ours) == len(self.theirs) else _NUMBER

    def pairs(self) -> list[tuple[Node, Node, bool]]:
        """What is the same, and whether its place in the order is another one."""
        start, end = self._same_ends()
        ours = self.ours[start : len(self.ours) - end]
        theirs = self.theirs[start : len(self.theirs) - end]
        middle = self._certain(self._aligned(ours, theirs))
        head = list(zip(self.ours[:start], self.theirs[:start], strict=True))
        tail_a, tail_b = self.ours[len(self.ours) - end :], self.theirs[len(self.theirs) - end :]
        straight = [*head, *middle, *zip(tail_a, tail_b, strict=True)]
        taken = {node.path for pair in straight for node in pair}
        by_name = {self.names_b[n.path]: n for n in self.theirs if n.path not in taken}
        crossed = [
            (node, by_name[self.names[node.path]], True)
            for node in self.ours
            if node.path not in taken and self._may_be(node, by_name.get(self.names[node.path]))
        ]
        return [*((one, other, False) for one, other in straight), *crossed]

    def _may_be(self, node: Node, other: Node | None) -> bool:
        if other is None or other.path in self.uncertain:
            return False
        return not self.names[node.path].isdigit() or self._score(node, other) >= _ENOUGH

    def _same_ends(self) -> tuple[int, int]:
        """How many are the same by name and look at the beginning, and at the end."""
        most = min(len(self.ours), len(self.theirs))
        start = 0
        while start < most and self._is_same(self.ours[start], self.theirs[start]):
            start += 1
        end = 0
        while end < most - start and self._is_same(self.ours[-1 - end], self.theirs[-1 - end]):
            end += 1
        return start, end

    def _is_same(self, one: Node, other: Node) -> bool:
        named = self.names[one.path] == self.names_b[other.path]
        return named and self.a.look(one) == self.b.look(other)

    def _score(self, one: Node, other: Node) -> float:
        """How much speaks for it that both are one layer."""
        if (one.kind == "input") != (other.kind == "input"):
            return 0.0
        name = self.names[one.path]
        named = name == self.names_b[other.path]
        weight = (self.number if name.isdigit() else _NAME) if named else 0.0
        return weight + _LOOK * self._alike(one, other)

    def _alike(self, one: Node, other: Node) -> float:
        if self.a.look(one) == self.b.look(other):
            return 1.0
        inner_a, inner_b = self.a.children(one.path), self.b.children(other.path)
        if inner_a and inner_b:
            if _holds(self.b, inner_b, self.a.look(one)) or _holds(
                self.a, inner_a, self.b.look(other)
            ):
                return 0.0  # one is around the other, which is the same layer within it
            return similarity(self.a.likeness(one), self.b.likeness(other))
        if inner_a or inner_b:
            return 0.0
        if self._operation(self.a, one) != self._operation(self.b, other):
            return 0.0
        return _SAYS_THE_SAME if _written(self.a, one) == _written(self.b, other) else 0.5

    def _operation(self, looks: Looks, node: Node) -> str:
        return operation(node, looks.analysis.calls.get(node.path))

    def _aligned(self, ours: Sequence[Node], theirs: Sequence[Node]) -> list[tuple[Node, Node]]:
        """The pairs that speak most for it, in the order of both."""
        if len(ours) * len(theirs) > _MOST_CELLS:
            named = {self.names_b[node.path]: node for node in theirs}
            return [
                (node, named[self.names[node.path]])
                for node in ours
                if self.names[node.path] in named
            ]
        rows = [[0.0] * (len(theirs) + 1)]
        scores = [[self._score(one, other) for other in theirs] for one in ours]
        for line in scores:
            before, row = rows[-1], [0.0]
            for j, score in enumerate(line):
                paired = before[j] + score if score >= _ENOUGH else 0.0
                row.append(max(paired, before[j + 1], row[j]))
            rows.append(row)
        found = []
        i, j = len(ours), len(theirs)
        while i and j:
            score = scores[i - 1][j - 1]
            if score >= _ENOUGH and rows[i][j] == rows[i - 1][j - 1] + score:
                i, j = i - 1, j - 1
                found.append((ours[i], theirs[j]))
            elif rows[i][j] == rows[i - 1][j]:
                i -= 1
            else:
                j -= 1
        return found[::-1]

    def _certain(self, pairs: Sequence[tuple[Node, Node]]) -> list[tuple[Node, Node]]:
        """The pairs without those of other names that something else could be as well."""
        kept = [
            (one, other) for one, other in pairs
            if self.names[one.path] == self.names_b[other.path]
        ]  # fmt: skip
        named = {node.path for pair in kept for node in pair}
        for one, other in pairs:
            if one.path in named:
                continue
            alike = self.a.look(one) == self.b.look(other)
            key = self._look if alike else self._class
            key_a, key_b = key(self.a, one), key(self.b, other)
            free_a = [node for node in self.ours if node.path not in named]
            free_b = [node for node in self.theirs if node.path not in named]
            rivals_a = [node for node in free_a if key(self.a, node) == key_a]
            rivals_b = [node for node in free_b if key(self.b, node) == key_b]
            if self.a.has_state(one) and len(rivals_a) != len(rivals_b):
                self.uncertain |= {n.path for n in rivals_b}
            else:
                kept.append((one, other))
        return kept

    def _look(self, looks: Looks, node: Node) -> Hashable:
        return looks.look(node)

    def _class(self, _: Looks, node: Node) -> Hashable:
        return node.kind, node.operation
