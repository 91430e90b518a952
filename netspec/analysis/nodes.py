"""What lowering saw of the layers → nodes, edges and ties."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from netspec.analysis.model import (
    Data,
    Edge,
    InPlace,
    Named,
    Node,
    Other,
    Parameter,
    State,
    Tensor,
    Tie,
    Type,
)
from netspec.checks.inplace.decide import Decision
from netspec.checks.inplace.messages import verdict
from netspec.errors import Span
from netspec.ir.graph import Place, Probe
from netspec.ir.lower.program import Outcome
from netspec.ir.lower.session import Origin, Seen
from netspec.ir.lower.values import Operand
from netspec.ir.made import parameters_of
from netspec.ops.shapes import dimensions_text, shape_text, size_text
from netspec.ops.types import Fact, Mapped, TensorType, dtype_name

SpanOf = Callable[[Place], Span]
_MOST = 100_000  # nodes of one analysis; blocks inside of blocks multiply


@dataclass(frozen=True, slots=True)
class Picture:
    """The nodes in the order of the text, each before those inside of it, and what joins them."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    ties: tuple[Tie, ...]


def picture_of(outcome: Outcome, decisions: Sequence[Decision], span_of: SpanOf) -> Picture:
    """All that is known of the layers of a spec, whether or not something is wrong with it."""
    builder = _Builder(_Types(outcome.probes), {d.step.path: d for d in decisions}, span_of)
    own = [seen for seen in outcome.seen.inner if seen.place.path[:1] != ("blocks",)]
    builder.add(own, "", {})  # blocks that nothing uses are looked at too, and are no part of it
    return Picture(tuple(builder.nodes), tuple(builder.edges), tuple(builder.ties))


@dataclass(slots=True)
class _Types:
    """Facts at the probes → types with each free size by its name."""

    probes: Sequence[Probe]
    known: dict[tuple[Fact, ...], Type] = field(default_factory=dict)

    def type_of(self, operand: Operand | None) -> Type | None:
        if operand is None or operand.is_unknown or not self.probes:
            return None
        facts = operand.facts
        try:
            return self._of(facts, facts in self.known)
        except TypeError:  # a fact that has no hash
            return self._made(facts)

    def _of(self, facts: tuple[Fact, ...], known: bool) -> Type:
        if not known:
            self.known[facts] = self._made(facts)
        return self.known[facts]

    def _made(self, facts: tuple[Fact, ...]) -> Type:
        index = next((i for i, fact in enumerate(facts[: len(self.probes)]) if fact is not None), 0)
        first = self.probes[index]
        twins = [
            i for i, probe in enumerate(self.probes)
            if probe.index != first.index and (probe.training, probe.left_out)
            == (first.training, first.left_out)
        ]  # fmt: skip
        twin = twins[0] if twins else index
        sizes, others = dict(first.sizes), dict(self.probes[twin].sizes)
        fact, other = facts[index], facts[twin]
        return Type(shape_text(fact, other, sizes, others), _data(fact, other, sizes, others))


def _data(fact: Fact, other: Fact, sizes: Mapping[str, int], others: Mapping[str, int]) -> Data:
    match fact:
        case TensorType(shape=shape, dtype=dtype):
            twin = other.shape if isinstance(other, TensorType) else shape
            twin = twin if len(twin) == len(shape) else shape
            told = dimensions_text(shape, twin, sizes, others)
            named = [int(one) if one.isdigit() else one for one in told]
            return Tensor(tuple(named), dtype_name(dtype))
        case tuple():
            twins = other if isinstance(other, tuple) and len(other) == len(fact) else fact
            return tuple(_data(a, b, sizes, others) for a, b in zip(fact, twins, strict=True))
        case Mapped(items=items):
            same = isinstance(other, Mapped) and len(other.items) == len(items)
            found = other.items if same and isinstance(other, Mapped) else items
            pairs = zip(items, found, strict=True)
            return Named(tuple((k, _data(a, b, sizes, others)) for (k, a), (_, b) in pairs))
        case bool() | float() | str() | None:
            return Other(fact)
        case int():
            text = size_text(fact, other if isinstance(other, int) else fact, sizes, others)
            return Other(text if text != str(fact) else fact)
        case _:
            return Other(str(fact))


@dataclass(slots=True)
class _Builder:
    types: _Types
    decisions: Mapping[str, Decision]
    span_of: SpanOf
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    ties: list[Tie] = field(default_factory=list)
    paths: dict[Seen, str] = field(default_factory=dict)  # of the instance that is added
    own: dict[tuple[Seen, ...], tuple[Parameter, ...]] = field(default_factory=dict)

    def add(self, inner: Sequence[Seen], prefix: str, passed: Mapping[str, Sequence[str]]) -> None:
        """The layers inside of one; `passed` has the paths from which its inputs come."""
        taken: set[str] = set()
        listed = list(_registered_here(inner))
        there = {seen.name for seen in listed if not seen.absent}
        for seen in listed:
            path = f"{prefix}{seen.name}"
            if path in taken or len(self.nodes) >= _MOST:
                continue  # the same layer, seen a second time
            if seen.absent and seen.name in there:
                continue  # it takes no number, and the next layer has the one that it would have
            taken.add(path)
            self.paths[seen] = path
            self._add(seen, path, passed)

    def _add(self, seen: Seen, path: str, passed: Mapping[str, Sequence[str]]) -> None:
        output = None if seen.refused else self.types.type_of(seen.value)
        self.nodes.append(
            Node(
                path, seen.kind, seen.operation, self.span_of(seen.place), seen.place.path,
                _state(seen), tuple([self.types.type_of(o) for o in seen.inputs]), output,
                tuple(self._parameters(seen)), self._in_place(path),
            )
        )  # fmt: skip
        for argument, origin in seen.reads:
            sources = self._sources(origin, passed)
            self.edges += [Edge(source, path, argument) for source in sources if source != path]
        for target, (reference, place) in seen.ties.items():
            source = self._tied(path, reference)
            self.ties.append(Tie(f"{path}.{target}", source, self.span_of(place)))
        given = {
            name: [one for origin in origins for one in self._sources(origin, passed)]
            for name, origins in seen.passed.items()
        }
        self.add(seen.inner, f"{path}.", given or passed)

    def _sources(self, origin: Origin, passed: Mapping[str, Sequence[str]]) -> Sequence[str]:
        if isinstance(origin, str):
            return passed.get(origin, ())
        path = self.paths.get(_giving(origin))
        return () if path is None else (path,)

    def _parameters(self, seen: Seen) -> Iterator[Parameter]:
        if seen.kind in ("param", "buffer") and seen.value is not None:
            fact = seen.value.facts[0]
            if seen.kind == "param" and isinstance(fact, TensorType):
                yield Parameter("", fact.shape, dtype_name(fact.dtype))
            return
        new = seen.new() if seen.new is not None else None
        if new is None:
            return
        for name, fact in parameters_of(new).items():
            if isinstance(fact, TensorType):
                yield Parameter(name, fact.shape, dtype_name(fact.dtype))

    def _in_place(self, path: str) -> InPlace | None:
        decision = self.decisions.get(path)
        if decision is None:
            return None
        return InPlace(decision.obstacle is None, decision.explicit, verdict(decision))

    def _tied(self, path: str, reference: str) -> str:
        """The path that a tie's reference means: of a layer beside it, else further out."""
        first = reference.partition(".")[0]
        known, around = set(self.paths.values()), path.split(".")[:-1]
        while around and ".".join([*around, first]) not in known:
            around.pop()
        return ".".join([*around, reference])


def _registered_here(inner: Iterable[Seen]) -> Iterator[Seen]:
    """The layers that have a place here: those of an inline group in the place of the group."""
    for seen in inner:
        here = seen.inlined and not seen.absent
        if here:
            yield from _registered_here(seen.inner)
        if not here or (seen.refused and not any(one.refused for one in seen.inner)):
            yield seen  # of a group that is wrong itself, beside what is right in it


def _giving(seen: Seen) -> Seen:
    """The layer that a value comes from: of an inline group, which has no place, the last one."""
    while seen.inlined:
        last = next((one for one in reversed(seen.inner) if one.value and not one.absent), None)
        if last is None:
            break
        seen = last
    return seen


def _state(seen: Seen) -> State:
    if seen.absent:
        return "absent"
    if seen.refused:
        return "refused" if _has_mistake(seen) else "open"
    return "known"


def _has_mistake(seen: Seen) -> bool:
    return seen.mistaken or any(inner.refused and _has_mistake(inner) for inner in seen.inner)
