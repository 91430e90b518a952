"""What the whole lowering of one spec shares: the probes, the form, what was found wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from torch import nn

from netspec.ir.conditions import Readings
from netspec.ir.effects import has_effects
from netspec.ir.expr import Call, Const, Expr, Method, Tuple, Value
from netspec.ir.graph import Graph, New, Place
from netspec.ir.limits import MAX_DEPTH
from netspec.ir.lower.extent import Bounds, Extent
from netspec.ir.lower.probing import Probes
from netspec.ir.lower.problems import Problems
from netspec.ir.lower.refusal import refuse
from netspec.ir.lower.values import UNKNOWN, Operand, are_same, join
from netspec.language.load import Definition, Spec
from netspec.ops.catalog import Operator
from netspec.ops.types import Fact

Form = Literal["module", "functional", "inplace"]


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
    extent: Extent = field(default_factory=Extent)
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
    inlined: bool = False  # what is in it is registered on what is around it


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
    """The state of one lowering."""

    probes: Probes
    problems: Problems
    activation: Activation
    find_spec: Callable[[str, Place], Spec]
    at_layer: Seen  # the layer that is being lowered; at first the spec itself
    bounds: Bounds = field(default_factory=Bounds)
    parts: dict[int, Definition] = field(default_factory=dict)
    memo: dict[object, Lowered | None] = field(default_factory=dict)
    inner: dict[object, list[Seen]] = field(default_factory=dict)  # of the blocks in the memo
    known: dict[object, KnownModule | KnownCall] = field(default_factory=dict)
    overwrites: bool = False  # some call asks to overwrite its input
    refuses_gradients: bool = False  # some call takes no tensor that is trained
    active: set[object] = field(default_factory=set)  # blocks being lowered
    within: list[str] = field(default_factory=list)
    lowered: set[int] = field(default_factory=set)  # the blocks, by id
    readings: Readings = field(default_factory=Readings)
    none_inputs: set[str] = field(default_factory=set)  # whose default came to be None
    seen_at: tuple[int, ...] | None = None  # at which probe each one's facts are looked up
    unknown: Operand = field(init=False)  # in the place of a value that was refused

    def __post_init__(self) -> None:
        self.unknown = Operand(Value(-1), (UNKNOWN,) * len(self.probes), sized=False)

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

    @contextmanager
    def narrowed(self, condition: Operand | None, truth: bool = True) -> Iterator[None]:
        """What is lowered meanwhile runs only where a condition is true, or is not.

        An input that is None in some probes is looked up where the condition lets it be.
        """
        before, reached = self.seen_at, self.probes.reached
        if condition is not None and not condition.is_unknown:
            self.probes.narrow(condition.facts, truth)
            if self.probes.may_miss:
                at = self.probes.where(condition.facts, truth)
                self.seen_at = at if before is None else tuple([before[i] for i in at])
        try:
            yield
        finally:
            self.seen_at, self.probes.reached = before, reached

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


def tuple_of(context: Context, items: list[Operand]) -> Operand:
    """Several operands as one tuple."""
    if any(item.is_unknown for item in items):
        return context.unknown
    if all(item.static for item in items):
        return context.const(tuple(item.facts[0] for item in items))
    facts = tuple(tuple(column) for column in zip(*(item.facts for item in items), strict=True))
    return Operand(Tuple(tuple(item.expr for item in items)), facts, *join(items))
