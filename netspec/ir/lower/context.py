"""What the whole lowering of one spec shares: the probes, the form, what was found wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from netspec.errors import Diagnostic, Span
from netspec.ir.expr import Const, Expr, Tuple
from netspec.ir.graph import Graph, New, Place, Probe
from netspec.ir.limits import MAX_DEPTH, MAX_ELEMENTS, MAX_LAYERS
from netspec.ops.facts import Fact, OperatorRejects, TensorType
from netspec.spec.load import Definition, Spec

if TYPE_CHECKING:
    from netspec.ir.lower.known import KnownCall, KnownModule
    from netspec.ir.lower.reading import Layers
    from netspec.ir.lower.scope import Scope
    from netspec.spec.schema import Layer

Form = Literal["module", "functional"]


class Refused(Exception):
    """A layer cannot be lowered. Without a diagnostic, what it needs was already refused."""

    def __init__(self, diagnostic: Diagnostic | None = None) -> None:
        super().__init__(diagnostic)
        self.diagnostic = diagnostic


def refuse(
    code: str, fact: str, span: Span, help: str | None = None, notes: tuple[str, ...] = ()
) -> Refused:
    """A Refused with a diagnostic; for `raise`."""
    return Refused(Diagnostic(code, fact, span, notes, help))


@dataclass(frozen=True, slots=True)
class Operand:
    """An expression and what is known of it at each probe.

    `sized` where it depends on a free size or on a tensor's data, `modal` where on `training`.
    """

    expr: Expr
    facts: tuple[Fact, ...]
    sized: bool = True
    modal: bool = False

    @property
    def static(self) -> bool:
        return isinstance(self.expr, Const)

    @property
    def is_tensor(self) -> bool:
        return isinstance(self.facts[0], TensorType)


@dataclass(frozen=True, slots=True)
class Activation:
    """How `act:` layers are built: their form, and the function of those that don't pin theirs."""

    form: Form = "module"
    fn: str | None = None


@dataclass(frozen=True, slots=True)
class Lowered:
    """A graph as lowered for inputs of certain types: how it is made, and what a call gives."""

    new: New
    graph: Graph
    outputs: Operand
    taps: tuple[Operand, ...]
    layers: int = 0
    elements: int = 0


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps that containers take for the layers inside of them, whatever kinds those are."""

    lower_layers: Callable[[Layers, Scope, Place], None]
    lower_layer: Callable[[Layer, str, Scope, Place, Callable[[], list[Operand]]], None]
    declare_child: Callable[[Layer, str, Scope, Place], None]


@dataclass(slots=True, eq=False)
class Context:
    """The state of one lowering."""

    probes: tuple[Probe, ...]
    activation: Activation
    find_spec: Callable[[str, Place], Spec]
    steps: Steps
    problems: list[Diagnostic] = field(default_factory=list)
    parts: dict[str, Definition] = field(default_factory=dict)
    memo: dict[object, Lowered | None] = field(default_factory=dict)
    known: dict[object, KnownModule | KnownCall] = field(default_factory=dict)
    partial: set[int] = field(default_factory=set)
    layers: int = 0
    elements: int = 0
    active: set[object] = field(default_factory=set)  # blocks being lowered
    within: list[str] = field(default_factory=list)

    def enter(self, name: str, place: Place) -> None:
        """Into a block or container; `leave` comes after. Raises Refused where there is no end."""
        if len(self.within) >= MAX_DEPTH:
            fact = f"`{name}` is nested {MAX_DEPTH} deep"
            help = "a block that contains itself needs a `when` that ends it"
            raise refuse("NS211", fact, place.key_span(), help)
        self.within.append(name)

    def leave(self) -> None:
        self.within.pop()

    def const(self, value: object, origin: str | None = None) -> Operand:
        """A value known now."""
        return Operand(Const(value, origin), (value,) * len(self.probes), sized=False)

    def settle(self, expr: Expr, facts: tuple[Fact, ...], like: Operand) -> Operand:
        """A number read off a tensor: folded where it is the same at each probe, else code."""
        if all(same(fact, facts[0]) for fact in facts):
            return self.const(facts[0])
        return Operand(expr, facts, like.sized, like.modal)

    def ask(
        self, run: Callable[[int], Fact], refusal: Callable[[int, OperatorRejects], Refused]
    ) -> tuple[Fact, ...]:
        """The facts that `run` finds at each probe. Raises what `refusal` makes of torch's no.

        A refusal at some sizes only is no mistake of the spec: `partial` tells which sizes failed.
        """
        found: list[Fact] = []
        failed: dict[int, OperatorRejects] = {}
        for index in range(len(self.probes)):
            try:
                found.append(run(index))
            except OperatorRejects as error:
                failed[index] = error
        if failed:
            sizes = {self.probes[index].index for index in failed}
            if len(sizes) < len({probe.index for probe in self.probes}):
                self.partial |= sizes
            first = next(iter(failed))
            refused = refusal(first, failed[first])
            if sizes and len(failed) < len(self.probes) and refused.diagnostic is not None:
                works = next(i for i in range(len(self.probes)) if i not in failed)
                note = f"it works at {sizes_text(self.probes[works])}"
                diagnostic = replace(refused.diagnostic, notes=(*refused.diagnostic.notes, note))
                refused = Refused(diagnostic)
            raise refused
        return tuple(found)

    def report(self, refused: Refused) -> None:
        if refused.diagnostic is not None:
            self.problems.append(refused.diagnostic)

    def count_layers(self, count: int, place: Place) -> None:
        self.layers += count
        if self.layers > MAX_LAYERS:
            fact = f"the spec has more than {MAX_LAYERS:,} layers"
            raise refuse("NS217", fact, place.key_span())

    def count_elements(self, count: int, place: Place) -> None:
        self.elements += count
        if self.elements > MAX_ELEMENTS:
            fact = f"parameters and buffers have {self.elements:,} elements up to here"
            help = f"at most {MAX_ELEMENTS:,} are allowed"
            raise refuse("NS217", fact, place.key_span(), help)


def sizes_text(probe: Probe) -> str:
    """The free sizes of a probe: `N = 2, T = 64`."""
    return ", ".join(f"{name} = {size}" for name, size in probe.sizes)


def same(a: Fact, b: Fact) -> bool:
    """Equal, and of one type: 1, 1.0 and True are three values."""
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def join(operands: list[Operand]) -> tuple[bool, bool]:
    """What something made of these depends on: (sized, modal)."""
    return any(o.sized for o in operands), any(o.modal for o in operands)


def tuple_of(context: Context, items: list[Operand]) -> Operand:
    """Several operands as one tuple."""
    if all(item.static for item in items):
        return context.const(tuple(item.facts[0] for item in items))
    facts = tuple(tuple(column) for column in zip(*(item.facts for item in items), strict=True))
    sized, modal = join(items)
    return Operand(Tuple(tuple(item.expr for item in items)), facts, sized, modal)


Named = Mapping[str, Operand]
