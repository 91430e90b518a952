"""What a layer looks like, whatever its name and place: by it a renamed or moved one is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from netspec.analysis.analyse import Analysis
from netspec.analysis.calls import OUTPUTS, LayerCall
from netspec.analysis.model import Node

_NO_CALL = LayerCall("")


class Looks:
    """The looks of a spec's layers. A container's is of what is in it, and not of its class."""

    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis
        self._looks: dict[str, int] = {}
        self._parts: dict[str, Counter[int]] = {}
        self._stored = _owners(analysis)

    def children(self, path: str) -> Sequence[Node]:
        """The layers that are there inside of one."""
        return children_of(self.analysis, path)

    def look(self, node: Node) -> int:
        """Equal for layers that do the same with tensors of the same shapes."""
        if node.path not in self._looks:
            inner = tuple(self.look(child) for child in self.children(node.path))
            call = self.analysis.calls.get(node.path, _NO_CALL)
            arguments = tuple(sorted(call.arguments.items()))
            if inner:
                given = self.analysis.calls.get(f"{node.path}.{OUTPUTS}", _NO_CALL)
                self._looks[node.path] = hash((inner, arguments, given.target))
            else:
                shapes = tuple((p.name, p.shape, p.dtype) for p in node.parameters)
                self._looks[node.path] = hash((operation(node, call), arguments, shapes))
        return self._looks[node.path]

    def has_state(self, node: Node) -> bool:
        """Whether keys of the state dict belong to it, or to what is in it."""
        return node.path in self._stored

    def likeness(self, node: Node) -> Counter[int]:
        """How often each look is among what has no layers of its own in it."""
        if node.path not in self._parts:
            children = self.children(node.path)
            found = Counter() if children else Counter([self.look(node)])
            for child in children:
                found.update(self.likeness(child))
            self._parts[node.path] = found
        return self._parts[node.path]


def children_of(analysis: Analysis, path: str) -> Sequence[Node]:
    """The layers that are there inside of one."""
    return [n for n in analysis.children.get(path, ()) if n.state != "absent"]


def below(analysis: Analysis, node: Node) -> Iterator[Node]:
    """A layer and all that are in it."""
    yield node
    for child in children_of(analysis, node.path):
        yield from below(analysis, child)


def owner_of(analysis: Analysis, key: str) -> str:
    """The path of the layer that has a key of the state dict."""
    return key if key in analysis.by_path else analysis.around(key)


def operation(node: Node, call: LayerCall | None) -> str:
    """What a layer without layers in it calls; of a folded value its text."""
    return call.target if call is not None and call.target else f"{node.kind} {node.operation}"


def similarity(a: Counter[int], b: Counter[int]) -> float:
    """What two have in common, from 0 to 1 (Dice, 1945)."""
    total = a.total() + b.total()
    return 2 * (a & b).total() / total if total else 1.0


def own_name(path: str, around: str) -> str:
    """A path within the one that it lies in."""
    return path[len(around) + 1 :] if around else path


def _owners(analysis: Analysis) -> Mapping[str, None]:
    found: dict[str, None] = {}
    for key in analysis.tensors:
        at = owner_of(analysis, key)
        while at and at not in found:
            found[at] = None
            at = analysis.around(at)
    return found
