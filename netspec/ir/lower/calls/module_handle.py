"""A class of torch.nn that a layer registers: made at its first call, which may decide sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, cast

from torch import nn

from netspec.errors import Diagnostic
from netspec.ir.expr import Attribute, CallPart, Const, Expr
from netspec.ir.graph import (
    Freeze,
    Init,
    NewModule,
    Place,
)  # fmt: skip
from netspec.ir.lower.calls.bind import Bound, bind
from netspec.ir.lower.calls.collected import is_collection, with_tensors, with_tensors_where
from netspec.ir.lower.calls.functions import note_overwriting
from netspec.ir.lower.calls.input_sizes import infer, sized_inputs
from netspec.ir.lower.refusal import Refused, refuse
from netspec.ir.lower.rejections import Called, RejectedCall, RejectedConstruction, passed, rejected
from netspec.ir.lower.scope import (
    Instance,
    Registration,
    Scope,
)
from netspec.ir.lower.session import Context, KnownModule
from netspec.ir.lower.values import Operand
from netspec.limits import current
from netspec.ops import meta_eval, meta_modules
from netspec.ops.arguments import Signature
from netspec.ops.catalog import Operator
from netspec.ops.gradients import refuses_gradients
from netspec.ops.meta_modules import meta_module
from netspec.ops.signatures import forward_signature_of, signatures_of
from netspec.ops.types import Fact, OperatorRejects, memo_key, type_of
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
        memo = self._memo_key(args, kwargs, context.probes.reached)
        known = None if memo is None else context.known.get(memo)
        if isinstance(known, KnownModule):
            self._make_as(known, context)
            return Operand(CallPart(at, (args[0].expr,)), known.facts)
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
        found = context.probes.ask(run, refusal, train, bound.operands())
        context.refuses_gradients |= refuses_gradients(self.key, module, *bound.at(0))
        exprs = tuple([o.expr for o in bound.args])
        by_name = tuple([(name, o.expr) for name, o in bound.kwargs])
        if memo is not None and exprs == (args[0].expr,):
            new = self.slot.new
            assert isinstance(new, NewModule), "a module instance makes a module"
            context.known[memo] = KnownModule(
                self.operator, new, module, self.key, self.elements, found
            )
        return Operand(CallPart(at, exprs, by_name), found)

    def _memo_key(
        self,
        args: Sequence[Operand],
        kwargs: Mapping[str, Operand],
        reached: frozenset[int] | None,
    ) -> tuple[object, ...] | None:
        """What decides all of a first call of one value, None where something else does, too."""
        if self.module is not None or self.refused or self.cause is not None:
            return None
        if kwargs or len(args) != 1 or args[0].is_unknown or args[0].static:
            return None
        given: list[object] = []
        for name, operand in self.given.items():
            if not isinstance(operand.expr, Const):
                return None
            given.append((name, memo_key(operand.facts[0]), operand.expr.origin))
        return ("called", reached, *self.operator.key, *given, memo_key(args[0].facts))

    def _make_as(self, known: KnownModule, context: Context) -> None:
        """The same as one that was made before, of these arguments and for such an input."""
        place = self.slot.place
        context.bounds.add_layers(1, place)
        context.bounds.add_elements(known.elements, place)
        self.module, self.key, self.elements = known.module, known.key, known.elements
        self.slot.new, self.slot.after, self.slot.called = known.new, self.after, True

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
