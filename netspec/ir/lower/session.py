"""What the whole lowering of one spec shares: the probes, the form, what was found wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from torch import nn

from netspec.errors import MAX_DIAGNOSTICS, Diagnostic
from netspec.ir.conditions import Readings
from netspec.ir.effects import has_effects
from netspec.ir.expr import Call, Const, Expr, Method, Tuple, Value
from netspec.ir.graph import Graph, New, Place, Probe
from netspec.ir.limits import MAX_DEPTH
from netspec.ir.lower.refusal import Explain, Meaning, Refused, Text, TooMany, refuse
from netspec.ir.lower.values import UNKNOWN, Operand, are_same, join, same
from netspec.language.load import Definition, Spec
from netspec.limits import Limits, current, raised_help
from netspec.ops.catalog import Operator
from netspec.ops.types import Fact, OperatorRejects, elements

Form = Literal["module", "functional", "inplace"]


_ENOUGH = 3 * MAX_DIAGNOSTICS  # one of a block is found again in each copy

# Mistakes that are ones whatever the values are.
_OF_NAMES = frozenset({"NS203", "NS204", "NS206", "NS207", "NS209", "NS210", "NS218"})


@dataclass(frozen=True, slots=True)
class Activation:
    """How `act:` layers are built: their form, and the function of those that don't pin theirs.

    `inplace` is lowered as `module`; what may overwrite is decided on the whole program.
    """

    form: Form = "module"
    fn: str | None = None


@dataclass(frozen=True, slots=True)
class Lowered:
    """A graph as lowered for inputs of certain types: how it is made, and what a call gives."""

    new: New
    graph: Graph
    outputs: Operand
    taps: tuple[Operand, ...]
    absent: frozenset[str] = frozenset()  # the paths of taps that name no layer that exists
    layers: int = 0
    elements: int = 0
    lowerings: int = 0
    takes_device: bool = False  # after its inputs, since none of them is a tensor


@dataclass(slots=True, eq=False)
class Seen:
    """What lowering saw of one layer, or of an input, whether or not it was refused in the end.

    `inner` are the layers in it: of a block those of its definition, shared between the instances
    that are alike. `reads` says which argument comes from where: another layer of the graph or one
    around it, or, as a text, an input of the block; `passed` whence those come in this instance.
    """

    name: str
    kind: str
    operation: str
    place: Place
    inputs: Sequence[Operand] = ()
    value: Operand | None = None
    new: Callable[[], New | None] | None = None
    reads: tuple[tuple[str, Origin], ...] = ()
    passed: Mapping[str, tuple[Origin, ...]] = field(default_factory=dict)
    ties: dict[str, tuple[str, Place]] = field(default_factory=dict)
    inner: list[Seen] = field(default_factory=list)
    refused: bool = False
    mistaken: bool = False  # a mistake was found in it; else it is refused for one elsewhere
    absent: bool = False


Origin: TypeAlias = "Seen | str"


@dataclass(slots=True)
class KnownModule:
    """A module layer: what it makes, and what a call gives."""

    operator: Operator
    new: New
    module: nn.Module
    key: object
    elements: int
    facts: tuple[Fact, ...]


@dataclass(slots=True)
class KnownCall:
    """A function layer: the call without its first argument, which is the input."""

    expr: Call | Method
    facts: tuple[Fact, ...]


@dataclass(slots=True, eq=False)
class Context:
    """The state of one lowering.

    The spec has to hold at the first `tried` probes; the others only show what differs elsewhere.
    """

    probes: tuple[Probe, ...]
    tried: int
    activation: Activation
    find_spec: Callable[[str, Place], Spec]
    explain: Explain
    at_layer: Seen  # the layer that is being lowered; at first the spec itself
    limits: Limits = field(default_factory=current)
    problems: list[Diagnostic] = field(default_factory=list)
    parts: dict[int, Definition] = field(default_factory=dict)
    memo: dict[object, Lowered | None] = field(default_factory=dict)
    inner: dict[object, list[Seen]] = field(default_factory=dict)  # of the blocks in the memo
    known: dict[object, KnownModule | KnownCall] = field(default_factory=dict)
    partial: set[int] = field(default_factory=set)
    differs_by_mode: bool = False  # some fact, and no probe is in train mode
    lost: set[int] = field(default_factory=set)  # the sizes beyond those tried that were refused
    overwrites: bool = False  # some call asks to overwrite its input
    refuses_gradients: bool = False  # some call takes no tensor that is trained
    layers: int = 0
    elements: int = 0
    lowerings: int = 0  # of all layers, those that register nothing too
    active: set[object] = field(default_factory=set)  # blocks being lowered
    within: list[str] = field(default_factory=list)
    lowered: set[int] = field(default_factory=set)  # the blocks, by id
    texts: dict[str, Meaning] = field(default_factory=dict)  # that stand in the place of values
    doubts: int = 0
    readings: Readings = field(default_factory=Readings)
    none_inputs: set[str] = field(default_factory=set)  # whose default came to be None
    seen_at: tuple[int, ...] | None = None  # at which probe each one's facts are looked up

    def enter(self, name: str, place: Place) -> None:
        """Into a block or container; `leave` comes after. Raises Refused where there is no end."""
        if len(self.within) >= MAX_DEPTH:
            fact = f"`{name}` is nested {MAX_DEPTH} deep"
            help = "a block that contains itself needs a `when` that ends it"
            raise refuse("NS211", fact, place.key_span(), help)
        self.within.append(name)

    def leave(self) -> None:
        self.within.pop()

    @contextmanager
    def seeing(self, seen: Seen) -> Iterator[None]:
        """What is lowered meanwhile is inside of this layer."""
        around, self.at_layer = self.at_layer, seen
        try:
            yield
        finally:
            self.at_layer = around

    @property
    def unknown(self) -> Operand:
        """In the place of a value that was refused."""
        return Operand(Value(-1), (UNKNOWN,) * len(self.probes), sized=False)

    @contextmanager
    def in_doubt(self) -> Iterator[None]:
        """What is lowered meanwhile may not exist; only its names are checked."""
        self.doubts += 1
        try:
            yield
        except Refused as refused:
            self.report(refused)
            raise Refused from None
        finally:
            self.doubts -= 1

    @contextmanager
    def caused(self, by: Callable[[Diagnostic], Diagnostic]) -> Iterator[None]:
        """What is refused meanwhile has a cause that its place does not show; `by` adds it."""
        told = len(self.problems)
        try:
            yield
        except Refused as refused:
            raise Refused(*map(by, self.worded(refused).diagnostics)) from None
        finally:
            self.problems[told:] = map(by, self.problems[told:])

    @contextmanager
    def narrowed(self, condition: Operand | None, truth: bool = True) -> Iterator[None]:
        """What is lowered meanwhile runs only where a condition is true, or is not.

        An input that is None in some probes is looked up where the condition lets it be.
        """
        before = self.seen_at
        if condition is not None and not condition.is_unknown and self._may_miss:
            self.seen_at = self._reached(condition.facts, truth)
        try:
            yield
        finally:
            self.seen_at = before

    def asks_given(self, operand: Operand) -> bool:
        """Whether it depends on an input's being given: it differs at the same sizes and mode."""
        if operand.is_unknown or not self._may_miss:
            return False
        facts: dict[object, Fact] = {}
        pairs = zip(self.probes, operand.facts, strict=True)
        return any(not same(facts.setdefault((p.index, p.training), f), f) for p, f in pairs)

    def differs_by_size(self, found: tuple[Fact, ...]) -> bool:
        """Whether it differs where the mode, and which inputs are given, are the same."""
        facts: dict[object, Fact] = {}
        pairs = zip(self.probes, found, strict=True)
        return any(not same(facts.setdefault((p.training, p.left_out), f), f) for p, f in pairs)

    @property
    def _may_miss(self) -> bool:
        return bool(self.probes[-1].left_out)

    def _reached(self, facts: tuple[Fact, ...], truth: bool) -> tuple[int, ...]:
        """For each probe one at which the condition holds, of the same sizes and mode."""
        holds = [i for i, fact in enumerate(facts) if bool(fact) is truth]
        known = {(p.index, p.training, p.left_out): i for i, p in enumerate(self.probes)}
        found = []
        others = [self.probes[i].left_out for i in holds]
        for probe in self.probes:
            nearest = min(others, key=lambda o: len(o ^ probe.left_out), default=probe.left_out)
            same = known[(probe.index, probe.training, nearest)]
            found.append(same if self.seen_at is None else self.seen_at[same])
        return tuple(found)

    def seen(self, operand: Operand) -> Operand:
        """An operand where the conditions around it hold: a tensor or None, if they decide that."""
        if self.seen_at is None or operand.static or operand.is_unknown:
            return operand
        facts = tuple(operand.facts[i] for i in self.seen_at)
        if all(fact is None for fact in facts):
            return self.const(None)
        return operand if facts == operand.facts else replace(operand, facts=facts)

    def const(self, value: object, origin: str | None = None) -> Operand:
        """A value known now."""
        return Operand(Const(value, origin), (value,) * len(self.probes), sized=False)

    def fold_if_equal(self, expr: Expr, facts: tuple[Fact, ...], like: Operand) -> Operand:
        """A number read off a tensor: folded where it is the same at each probe, else code.

        Code too where the tensor is not named, and it matters that it is computed: `=bn(x).ndim`.
        """
        if not are_same(facts):
            return Operand(expr, facts, like.sized, like.modal)
        if has_effects(expr):
            return Operand(expr, facts, sized=False)
        return self.const(facts[0])

    def each(self, find: Callable[[int], Fact]) -> tuple[Fact, ...]:
        """What `find` gives at each probe. Raises what it raises at those that are tried."""
        return self._and_elsewhere([find(index) for index in range(self.tried)], find)

    def _and_elsewhere(self, found: list[Fact], find: Callable[[int], Fact]) -> tuple[Fact, ...]:
        """The facts that are found, with those of the probes beyond.

        Where one of those is refused it tells nothing from there on: it is as at the first size.
        """
        for index in range(self.tried, len(self.probes)):
            try:
                found.append(find(index))
            except (Refused, OperatorRejects):
                self.lost.add(self.probes[index].index)
                found.append(found[self._first(self.probes[index])])
        return tuple(found)

    def doubted(self, facts: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Numbers that follow a size, and are another one at the last probe if they are nowhere.

        `T // 1000` is 0 at each size that is tried, and no 0 that could be relied on.
        """
        if not are_same(facts) or not isinstance(facts[0], (bool, int, float)):
            return facts
        last = self.probes[-1].index
        other = not facts[0] if isinstance(facts[0], bool) else facts[0] + 1
        pairs = zip(self.probes, facts, strict=True)
        beyond = len(self.probes) > self.tried
        return tuple(other if beyond and p.index == last else fact for p, fact in pairs)

    @property
    def at_ones(self) -> int | None:
        """The probe of the first one's mode at which each size is 1, where it was not refused."""
        mode = self.probes[0].training
        for index, probe in enumerate(self.probes[self.tried :], self.tried):
            if probe.training == mode and all(size == 1 for _, size in probe.sizes):
                return None if probe.index in self.lost else index
        return None

    @property
    def twin(self) -> int:
        """The probe that has the first one's mode, and other sizes where there are any."""
        first = self.probes[0]
        others = (i for i, p in enumerate(self.probes[: self.tried]) if p.index != first.index)
        return next(others, 0)

    def _first(self, like: Probe) -> int:
        """The first probe of the same mode, in which the same inputs are given."""
        kinds = [(probe.training, probe.left_out) for probe in self.probes]
        return kinds.index((like.training, like.left_out))

    def ask(
        self,
        run: Callable[[int], Fact],
        refusal: Callable[[int, OperatorRejects], Refused],
        train: Callable[[int], Fact] | None = None,
    ) -> tuple[Fact, ...]:
        """The facts that `run` finds at each probe. Raises what `refusal` makes of torch's no.

        A refusal at some sizes only is no mistake of the spec: `partial` tells which sizes failed.
        `train` finds those in train mode of what has a mode: asked where no probe is in that mode.
        """
        found = self._ask(run, refusal)
        if train is not None and not any(probe.training for probe in self.probes):
            self._ask_in_train(train, found, refusal)
        return found

    def _ask_in_train(
        self,
        train: Callable[[int], Fact],
        found: tuple[Fact, ...],
        refusal: Callable[[int, OperatorRejects], Refused],
    ) -> None:
        """Notes where train mode gives other facts. Raises Refused where it takes no size."""
        errors = []
        for index, fact in enumerate(found[: self.tried]):
            try:
                self.differs_by_mode |= train(index) != fact
            except OperatorRejects as error:
                errors.append(error)
        refused = self.worded(refusal(0, errors[0])) if len(errors) == self.tried else None
        if refused is not None and refused.diagnostic is not None:
            notes = (*refused.diagnostic.notes, "it works in eval mode")
            raise Refused(replace(refused.diagnostic, notes=notes), *refused.diagnostics[1:])

    def _ask(
        self, run: Callable[[int], Fact], refusal: Callable[[int, OperatorRejects], Refused]
    ) -> tuple[Fact, ...]:
        found: list[Fact] = []
        failed: dict[int, OperatorRejects] = {}
        for index in range(self.tried):
            try:
                found.append(run(index))
            except OperatorRejects as error:
                failed[index] = error
        if failed:
            sizes = {self.probes[index].index for index in failed}
            first = next(iter(failed))
            tried = self.probes[: self.tried]
            if len(sizes) < len({probe.index for probe in tried}):
                self.partial |= sizes
                failed[first].partly = True
            refused = refusal(first, failed[first])
            if len(failed) < self.tried:
                refused = self.worded(refused)
            if len(failed) < self.tried and refused.diagnostic is not None:
                works = [probe for i, probe in enumerate(tried) if i not in failed]
                note = _works_text(self.probes[first], works)
                diagnostic = replace(refused.diagnostic, notes=(*refused.diagnostic.notes, note))
                refused = Refused(diagnostic, *refused.diagnostics[1:])
            raise refused
        return self._and_elsewhere(found, run)

    def worded(self, refused: Refused) -> Refused:
        """A refusal whose diagnostics are there."""
        return refused if refused.rejection is None else self.explain(refused.rejection)

    def report(self, refused: Refused) -> None:
        refused = self.worded(refused)
        for diagnostic in refused.diagnostics:
            if not self.doubts or diagnostic.code in _OF_NAMES:
                self.problems.append(self._with_meaning(diagnostic, refused.texts))
        if len(self.problems) >= _ENOUGH:
            raise TooMany

    def _with_meaning(self, diagnostic: Diagnostic, texts: Mapping[Diagnostic, Text]) -> Diagnostic:
        """A diagnostic about a text, with the help of what that text would mean behind a `=`."""
        if diagnostic not in texts:
            return diagnostic
        text, arg = texts[diagnostic]
        meaning = self.texts.get(text)
        help = meaning(arg) if meaning is not None else None
        return diagnostic if help is None else replace(diagnostic, help=help)

    def count_layers(self, count: int, place: Place) -> None:
        self.layers += count
        self._bound_layers(self.layers, place)

    def count_lowerings(self, count: int, place: Place) -> None:
        self.lowerings += count
        self._bound_layers(self.lowerings, place)

    def _bound_layers(self, count: int, place: Place) -> None:
        if count > self.limits.layers:
            fact = f"the spec has more than {self.limits.layers:,} layers"
            raise refuse("NS217", fact, place.key_span())

    def check_made(self, fact: Fact, place: Place) -> None:
        """What is made while the model is built has as many elements at most as what it keeps."""
        if elements(fact) > self.limits.elements:
            made = f"this makes {elements(fact):,} elements when the model is built"
            raise refuse("NS217", made, place.span(), self.elements_help())

    def count_elements(self, count: int, place: Place) -> None:
        if self.elements + count > self.limits.elements:
            fact = f"parameters and buffers have {self.elements + count:,} elements up to here"
            raise refuse("NS217", fact, place.key_span(), self.elements_help())
        self.elements += count

    def elements_help(self) -> str:
        return raised_help("elements", self.limits.elements)


def _works_text(failed: Probe, works: Sequence[Probe]) -> str:
    """Where an operation is not refused: at other sizes, in the other mode, with an input given."""
    given = [p for p in works if (p.sizes, p.training) == (failed.sizes, failed.training)]
    if given:
        names = " and ".join(f"`{name}`" for name in sorted(failed.left_out - given[0].left_out))
        others = " and ".join(f"`{name}`" for name in sorted(given[0].left_out - failed.left_out))
        return f"it works where {names} is given" if names else f"it works without {others}"
    for probe in works:
        if probe.training == failed.training:
            return f"it works at {sizes_text(probe)}"
    return f"it works in {'train' if works[0].training else 'eval'} mode"


def sizes_text(probe: Probe) -> str:
    """The free sizes of a probe: `N = 2, T = 64`."""
    return ", ".join(f"{name} = {size}" for name, size in probe.sizes)


def tuple_of(context: Context, items: list[Operand]) -> Operand:
    """Several operands as one tuple."""
    if any(item.is_unknown for item in items):
        return context.unknown
    if all(item.static for item in items):
        return context.const(tuple(item.facts[0] for item in items))
    facts = tuple(tuple(column) for column in zip(*(item.facts for item in items), strict=True))
    return Operand(Tuple(tuple(item.expr for item in items)), facts, *join(items))
