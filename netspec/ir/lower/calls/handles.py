"""What a layer registers, ready to be called: activations as functions, graphs of our own.

How a graph is made may be known only at its first call; so an instance fills its slot then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

from netspec.ir.expr import Attribute, CallPart, Const, Expr, Item
from netspec.ir.graph import (
    Freeze,
    Init,
    New,
    NewBuffer,
    NewGraph,
    NewParameter,
    Place,
)  # fmt: skip
from netspec.ir.lower.calls.container_handles import ListInstance
from netspec.ir.lower.calls.functions import call_function
from netspec.ir.lower.calls.module_handle import Cause, ModuleInstance
from netspec.ir.lower.refusal import refuse
from netspec.ir.lower.scope import (
    Binding,
    GraphBuilder,
    Instance,
    Registration,
    Scope,
)
from netspec.ir.lower.session import Context, Lowered, Seen
from netspec.ir.lower.values import Operand, join
from netspec.ir.made import parameters_of


@dataclass(slots=True, eq=False)
class FunctionInstance(Instance):
    """An activation in its functional form: it registers nothing, and is called like a module."""

    function: str
    given: dict[str, Operand]
    cause: Cause | None = None

    def call(
        self,
        scope: Scope,
        at: Expr,
        args: Sequence[Operand],
        kwargs: Mapping[str, Operand],
        place: Place,
    ) -> Operand:
        named = {**self.given, **kwargs}
        with nullcontext() if self.cause is None else scope.context.problems.caused(self.cause):
            return call_function(self.function, args, named, scope, place, True)


@dataclass(slots=True, eq=False)
class WeightedActivation(Instance):
    """An activation with a parameter (PReLU) as a function; its module keeps the parameter."""

    function: str
    holder: ModuleInstance
    parameters: tuple[str, ...]

    def call(
        self,
        scope: Scope,
        at: Expr,
        args: Sequence[Operand],
        kwargs: Mapping[str, Operand],
        place: Place,
    ) -> Operand:
        named = dict(kwargs)
        self.holder.call(scope, at, args, {}, place)
        for name in self.parameters:
            parameter = self.holder.parameter(scope.context, at, name, place)
            assert parameter is not None, f"the module of `{self.function}` has `{name}`"
            named[name] = parameter
        return call_function(self.function, args, named, scope, place, True)

    def parameter(self, context: Context, at: Expr, name: str, place: Place) -> Operand | None:
        return self.holder.parameter(context, at, name, place)


@dataclass(slots=True, eq=False)
class GraphInstance(Instance):
    """A block, a part or a nested container: lowered for the types of its first call's inputs.

    `lower` gives the graph for these inputs, and the values of the graph around to call it with.
    """

    name: str
    slot: Registration
    lower: Callable[[Sequence[Operand], Place], tuple[Lowered, Sequence[Operand]]]
    home: GraphBuilder
    seen: Seen
    after: tuple[Init | Freeze, ...] = ()
    input_names: tuple[str, ...] = ()  # of a block
    taps: list[Operand] = field(default_factory=list)
    absent: frozenset[str] = frozenset()  # the paths of those that no layer gives
    inputs: int = 0  # how many its first call gives

    def call(
        self,
        scope: Scope,
        at: Expr,
        args: Sequence[Operand],
        kwargs: Mapping[str, Operand],
        place: Place,
    ) -> Operand:
        for name in kwargs:
            fact = f"`{self.name}` takes its inputs by position, and `{name}` is given by name"
            raise refuse("NS203", fact, (place.argument(name) or place).key_span())
        # Of the graph that calls it, which is not always the one where it stands.
        origins = [scope.graph.origins(operand.expr) for operand in args]
        with scope.context.seeing(self._seen()):
            scope.context.at_layer.passed = dict(zip(self.input_names, origins, strict=False))
            lowered, sources = self.lower(args, place)
        if scope.graph is not self.home and any(source not in args for source in sources):
            fact = f"`{self.name}` reads values from around it, and cannot be called from in here"
            raise refuse("NS207", fact, place.span(), "make it a block, and hand them over")
        if self.slot.new is None:
            self.slot.new = lowered.new
            self.slot.after = self.after
            self.inputs = len(args)
        elif self.slot.new != lowered.new:
            fact = f"`{self.name}` would need another structure for this call than for its first"
            help = "its shapes decide what it is made of"
            if len(args) != self.inputs:
                help = f"its first call gives {self.inputs} of its inputs, and this one {len(args)}"
            raise refuse("NS305", fact, place.span(), help)
        self.slot.called = True
        passed = tuple(source.expr for source in sources)
        self.taps = list(lowered.taps)
        self.absent = lowered.absent
        outputs = lowered.outputs
        sized, modal = join([*args, *sources])
        expr: Expr = CallPart(at, passed)
        if lowered.taps:  # the call gives them beside its own value
            expr = Item(expr, Const(0))
        return replace(
            outputs, expr=expr, sized=sized or outputs.sized, modal=modal or outputs.modal
        )

    def _seen(self) -> Seen:
        """Where the layers inside are noted: at the first call with the layer that declares it."""
        if self.slot.new is not None:
            return replace(self.seen, inner=[], passed={})
        self.seen.inner.clear()
        return self.seen

    def parameter(self, context: Context, at: Expr, name: str, place: Place) -> Operand | None:
        new = self.slot.new
        if isinstance(new, NewGraph):
            for child in new.graph.children:
                if child.name == name and isinstance(child.new, (NewParameter, NewBuffer)):
                    fact = parameters_of(new).get(name)
                    if fact is not None:
                        return Operand(Attribute(at, name), (fact,) * len(context.probes))
        return None


def made_by(binding: Binding | None) -> Callable[[], New | None] | None:
    """How what a name registers is made, to be asked when all of it is lowered."""
    instance = binding.instance if binding is not None else None
    if isinstance(instance, WeightedActivation):
        instance = instance.holder
    if not isinstance(instance, (ModuleInstance, GraphInstance, ListInstance)):
        return None
    slot = instance.slot
    return None if slot is None else lambda: slot.new
