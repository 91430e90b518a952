"""What a layer registers, ready to be called: modules of torch, graphs of our own, lists of them.

A left-out size, and with it how the module is made, may be known only at the first call; so an
instance fills its slot then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar, TypeAlias, cast

from torch import nn

from netspec.errors import Diagnostic, did_you_mean
from netspec.ir.expr import Attribute, CallPart, Const, Expr, Item, Part, Value
from netspec.ir.graph import (
    Child,
    Freeze,
    Init,
    New,
    NewBuffer,
    NewDict,
    NewGraph,
    NewInstance,
    NewList,
    NewModule,
    NewParameter,
    NewSequence,
    Place,
)  # fmt: skip
from netspec.ir.lower.calls.bind import Bound, bind
from netspec.ir.lower.calls.collected import is_collection, with_tensors, with_tensors_where
from netspec.ir.lower.calls.functions import call_function, note_overwriting
from netspec.ir.lower.calls.input_sizes import infer, sized_inputs
from netspec.ir.lower.refusal import Refused, refuse
from netspec.ir.lower.rejections import Called, RejectedCall, RejectedConstruction, passed, rejected
from netspec.ir.lower.scope import (
    Binding,
    GraphBuilder,
    Instance,
    Module,
    Registration,
    Scope,
)
from netspec.ir.lower.session import Context, Lowered, Seen
from netspec.ir.lower.values import Operand, join
from netspec.limits import current
from netspec.ops import meta_eval, meta_modules
from netspec.ops.arguments import Signature
from netspec.ops.catalog import Operator
from netspec.ops.gradients import refuses_gradients
from netspec.ops.meta_modules import meta_module
from netspec.ops.signatures import forward_signature_of, signatures_of
from netspec.ops.types import Fact, OperatorRejects, type_of
from netspec.ops.wrapping import check_wrapped_module

# What is said of a refusal that has a cause elsewhere, as `act.fn` is for an activation.
Cause: TypeAlias = Callable[[Diagnostic], Diagnostic]


@dataclass(slots=True, eq=False)
class ModuleInstance(Instance):
    """A class of torch.nn with its arguments; made at the first call, which may decide sizes."""

    name: str
    operator: Operator
    given: dict[str, Operand]
    slot: Registration
    after: tuple[Init | Freeze, ...] = ()
    key: object = None
    module: nn.Module | None = None
    elements: int = 0
    arguments: tuple[tuple[Fact, ...], dict[str, Fact]] | None = None  # as the class takes them
    refused: bool = False
    cause: Cause | None = None

    def call(
        self,
        scope: Scope,
        at: Expr,
        args: Sequence[Operand],
        kwargs: Mapping[str, Operand],
        place: Place,
    ) -> Operand:
        with nullcontext() if self.cause is None else scope.context.problems.caused(self.cause):
            return self._call(scope, at, args, kwargs, place)

    def _call(
        self,
        scope: Scope,
        at: Expr,
        args: Sequence[Operand],
        kwargs: Mapping[str, Operand],
        place: Place,
    ) -> Operand:
        context = scope.context
        signature = forward_signature_of(cast("type[nn.Module]", self.operator.target))
        own = signatures_of(self.operator)[0]
        misplaced = kwargs and _names(own) & kwargs.keys() - _names(signature)
        sized = sized_inputs(self.operator, own)
        replaced = with_tensors((signature,), self.name, args, kwargs, scope, place, tensors=sized)
        if replaced is not None:
            self._made(scope, [context.unknown] * len(args))  # its arguments are checked yet
            raise replaced.refused
        module = None if misplaced else self._made(scope, args)
        self.slot.called = True
        at_names = place.at("with") if kwargs and place.at("with").exists else place
        beside = (own, "`{0}` is given beside `module`, not in `with`")
        bound = bind((signature,), self.name, args, kwargs, at_names, elsewhere=beside)
        if module is None or bound.is_unknown:
            raise Refused

        def run(
            index: int, called: nn.Module = module, key: object = self.key, train: bool = False
        ) -> Fact:
            mode = train or context.probes[index].training
            found = meta_eval.run_module(called, key, mode, *bound.at(index))
            check_wrapped_module(called, bound.args[0].facts[index] if bound.args else None)
            return found

        def accepts(args: list[Operand], kwargs: dict[str, Operand], index: int) -> bool:
            assert module is not None, "it was called"
            other = Bound(tuple(args), tuple(kwargs.items()))
            try:
                meta_eval.run_module(
                    module, self.key, context.probes[index].training, *other.at(index)
                )
            except OperatorRejects:
                return False
            return True

        def refusal(index: int, error: OperatorRejects) -> Refused:
            assert module is not None, "it was called"
            if any(map(is_collection, bound.operands())):
                what, by_name = f"`{self.name}`", dict(bound.kwargs)
                takes = partial(accepts, index=index)
                found = with_tensors_where(takes, what, bound.args, by_name, scope, place)
                if found is not None:
                    return found.refused
            called = Called(self.name, module, self.slot.place, self._values())
            given, operator = passed(bound, signature), self.operator.name

            def accepts_without(name: str) -> bool:
                return self._accepts(name, lambda other: run(index, *other))

            return rejected(
                RejectedCall(scope, place, operator, given, index, error, called, accepts_without)
            )

        train = partial(run, train=True) if meta_modules.has_mode(module) else None
        found = context.probes.ask(run, refusal, train)
        context.refuses_gradients |= refuses_gradients(self.key, module, *bound.at(0))
        exprs = tuple([o.expr for o in bound.args])
        by_name = tuple([(name, o.expr) for name, o in bound.kwargs])
        return Operand(CallPart(at, exprs, by_name), found)

    def _made(self, scope: Scope, inputs: Sequence[Operand]) -> nn.Module | None:
        """The module, or None where it was refused; then the names of its call are checked yet."""
        if self.refused:
            return None
        with scope.context.problems:
            return self.module or self.make(scope.context, inputs, scope)
        self.refused = True
        return None

    def make(
        self, context: Context, inputs: Sequence[Operand], scope: Scope | None = None
    ) -> nn.Module:
        """The module on `meta`; fills the slot. Raises Refused where arguments are wrong.

        `scope` is where the inputs come from, if there are any.
        """
        cls, place = self.operator.target, self.slot.place
        signatures = signatures_of(self.operator)
        name = self.operator.name
        self.arguments = None
        given = infer(
            context, self.name, self.operator, signatures[0], self.given, inputs, place, scope
        )
        forward = forward_signature_of(cast("type[nn.Module]", cls))
        its = (forward, "`{0}` is an argument of its call: write `with: {{{0}: …}}`")
        bound = bind(signatures, self.operator.name, (), given, place, True, its)
        if bound.is_unknown:
            raise Refused
        note_overwriting(self.operator, bound.args, dict(bound.kwargs), context, place)
        args = tuple(o.facts[0] for o in bound.args)
        kwargs = {name: o.facts[0] for name, o in bound.kwargs}
        _bound_inner_layers({**dict(zip(bound.names, args, strict=True)), **kwargs}, place)
        self.arguments = (args, kwargs)
        try:
            module, self.key = meta_module(self.operator, args, tuple(kwargs.items()))
        except OperatorRejects as error:
            values = {name: operand.facts[0] for name, operand in given.items()}
            without = lambda one: self._accepts(one, lambda _: None)  # noqa: E731
            raise rejected(
                RejectedConstruction(place, self.name, name, values, error, without)
            ) from None
        context.bounds.add_layers(1, place)
        self.elements = meta_modules.elements_of(module)
        context.bounds.add_elements(self.elements, place)
        exprs = tuple(o.expr for o in bound.args)
        named = tuple((name, o.expr) for name, o in bound.kwargs)
        self.module = module
        self.slot.new = NewModule(self.operator, exprs, named, bound.names)
        self.slot.after = self.after
        return module

    def _values(self) -> dict[str, Fact]:
        return {name: operand.facts[0] for name, operand in self.given.items()}

    def _accepts(self, left_out: str, use: Callable[[tuple[nn.Module, object]], object]) -> bool:
        """Whether torch takes the same without one of the arguments that have a default."""
        if self.arguments is None or left_out not in self.arguments[1]:
            return False
        args, kwargs = self.arguments
        rest = {name: value for name, value in kwargs.items() if name != left_out}
        try:
            use(meta_module(self.operator, args, tuple(rest.items())))
        except OperatorRejects:
            return False
        return True

    def parameter(self, context: Context, at: Expr, name: str, place: Place) -> Operand | None:
        if self.refused:
            raise Refused
        module = self.module or self.make(context, ())
        tensor = dict(module.named_parameters(recurse=False)).get(name)
        if tensor is None:
            tensor = dict(module.named_buffers(recurse=False)).get(name)  # type: ignore[assignment]
        if tensor is None:
            return None
        self.slot.called = True
        return Operand(Attribute(at, name), (type_of(tensor),) * len(context.probes))


def _names(signature: Signature) -> set[str]:
    return {parameter.name for parameter in signature.parameters}


def _bound_inner_layers(arguments: Mapping[str, object], place: Place) -> None:
    """An RNN's or a Transformer's own layers count before torch makes them, even on `meta`."""
    most = current().inner_layers
    for name, value in arguments.items():
        if "num" in name and "layers" in name and isinstance(value, int) and value > most:
            fact = f"`{name}` is {value:,}, and at most {most} are allowed"
            raise refuse("NS217", fact, place.source.span_of((*place.path, name)))


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


@dataclass(slots=True, eq=False)
class ListInstance(Instance):
    """A ModuleList or ParameterList: registered, indexed, not called."""

    name: str
    children: list[Binding]
    path: tuple[str | int, ...]
    slot: Registration | None  # None for the copies of a repeat, which are called, and made already

    @property
    def items(self) -> int | None:
        return len(self.children) if self.slot is not None else None

    def made_of(self, children: tuple[Child, ...]) -> NewList | NewDict:
        """How it is made, of children that are."""
        return NewList(children)

    def close(self) -> None:
        """Fills the slot, once all children are made."""
        if self.slot is not None and self.slot.holder is not None:
            children = self.slot.holder.children()
            self.slot.new = self.made_of(children)
            self.slot.called = any(child.called for child in children)

    def call(
        self,
        scope: Scope,
        at: Expr,
        args: Sequence[Operand],
        kwargs: Mapping[str, Operand],
        place: Place,
    ) -> Operand:
        fact = f"`{self.name}` is a ModuleList, which has no forward and cannot be called"
        raise refuse("NS207", fact, place.span(), f"call an item of it: `{self.name}[0](x)`")

    def child(
        self, scope: Scope, module: Module, position: Operand, place: Place
    ) -> Operand | Module | None:
        if self.slot is None:
            return None
        if position.is_unknown:
            return position
        if not position.static or not isinstance(position.facts[0], int):
            fact = f"an index into `{self.name}` must be a number known when the model is built"
            raise refuse("NS303", fact, place.span())
        index, count = position.facts[0], len(self.children)
        if not -count <= index < count:
            fact = f"`{self.name}[{index}]` is outside: it has {count} items, 0 to {count - 1}"
            raise refuse("NS305", fact, place.span())
        at = _item_of(module.binding.at, index % count)
        return _item(self.children[index], at, f"{self.name}[{index}]", scope)


@dataclass(slots=True, eq=False)
class DictInstance(ListInstance):
    """A ModuleDict or ParameterDict: registered, its items reached by their names, not called."""

    has_named_items: ClassVar[bool] = True
    names: tuple[str, ...] = ()
    absent: Mapping[str, Binding] = field(default_factory=dict)  # the items whose `when` is false

    def made_of(self, children: tuple[Child, ...]) -> NewList | NewDict:
        return NewDict(children)

    def call(
        self,
        scope: Scope,
        at: Expr,
        args: Sequence[Operand],
        kwargs: Mapping[str, Operand],
        place: Place,
    ) -> Operand:
        fact = f"`{self.name}` is a ModuleDict, which has no forward and cannot be called"
        first = self.names[0] if self.names else "name"
        raise refuse("NS207", fact, place.span(), f"call an item of it: `{self.name}.{first}(x)`")

    def child(
        self, scope: Scope, module: Module, position: Operand, place: Place
    ) -> Operand | Module | None:
        if position.is_unknown:
            return position
        name = position.facts[0]
        if not position.static or not isinstance(name, str):
            fact = f"an item of `{self.name}` is reached by a name known when the model is built"
            raise refuse("NS303", fact, place.span(), f"it has {', '.join(self.names)}")
        if name in self.absent:
            binding = self.absent[name]
            return binding.value or Module(binding, f"{self.name}.{name}")
        if name not in self.names:
            help = did_you_mean(name, self.names) or f"it has {', '.join(self.names)}"
            raise refuse("NS207", f"`{self.name}` has no item `{name}`", place.span(), help)
        binding = self.children[self.names.index(name)]
        at = _item_of(module.binding.at, name)
        return _item(binding, at, f"{self.name}.{name}", scope)


def _item(binding: Binding, at: Expr, name: str, scope: Scope) -> Operand | Module:
    """An item of a list or a dict, as it is reached at `at`: its value, or what may be called."""
    if binding.refused:
        return scope.context.unknown
    if binding.instance is None:
        assert binding.value is not None, "a parameter has a value"
        return Operand(at, binding.value.facts)
    return Module(Binding(binding.place, None, binding.instance, at), name)


def _item_of(container: Expr | None, index: int | str) -> Expr:
    """How an item is reached: through its list here, which a graph around may have handed in."""
    if isinstance(container, Part):
        return Part((*container.path, index))
    assert isinstance(container, Value), "a list is a part, or was handed in"
    return Item(container, Const(index))


def made_by(binding: Binding | None) -> Callable[[], New | None] | None:
    """How what a name registers is made, to be asked when all of it is lowered."""
    instance = binding.instance if binding is not None else None
    if isinstance(instance, WeightedActivation):
        instance = instance.holder
    if not isinstance(instance, (ModuleInstance, GraphInstance, ListInstance)):
        return None
    slot = instance.slot
    return None if slot is None else lambda: slot.new


def parameters_of(new: New, prefix: str = "") -> dict[str, Fact]:
    """The parameters (and their types) below something that is made, by their dotted names."""
    children: tuple[Child, ...]
    match new:
        case NewModule(operator, args, kwargs):
            module, _ = meta_module(operator, *_constants(args, kwargs))
            return {
                f"{prefix}{name}": type_of(p)
                for name, p in module.named_parameters(remove_duplicate=False)
            }
        case NewSequence(children=inner) | NewList(children=inner) | NewDict(children=inner):
            children = inner
        case NewGraph(graph):
            children = graph.children
        case NewParameter(fact=fact) | NewBuffer(fact=fact):
            return {prefix.removesuffix("."): fact}
        case NewInstance():
            raise AssertionError("instances are made after lowering")
    found: dict[str, Fact] = {}
    for child in children:
        found |= parameters_of(child.new, f"{prefix}{child.name}.")
    return found


def meta_modules_of(new: New) -> Iterator[nn.Module]:
    """The modules of torch below something that is made, on `meta`."""
    match new:
        case NewModule(operator, args, kwargs):
            yield from meta_module(operator, *_constants(args, kwargs))[0].modules()
        case NewSequence(children) | NewList(children) | NewDict(children):
            for child in children:
                yield from meta_modules_of(child.new)
        case NewGraph(graph):
            for child in graph.children:
                yield from meta_modules_of(child.new)
        case NewParameter() | NewBuffer() | NewInstance():
            return


def _constants(
    args: tuple[Expr, ...], kwargs: tuple[tuple[str, Expr], ...]
) -> tuple[tuple[Fact, ...], tuple[tuple[str, Fact], ...]]:
    def value(expr: Expr) -> Fact:
        assert isinstance(expr, Const), "a constructor's arguments are constants"
        return expr.value

    return (tuple(value(a) for a in args), tuple((name, value(v)) for name, v in kwargs))
