"""Arguments → the call that an operator's signature allows; every name and type is checked here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from netspec.errors import did_you_mean
from netspec.ir.expr import Attribute, Call, Choice, Const, Expr, ListOf, Method, Training
from netspec.ir.graph import Place
from netspec.ir.lower.context import Operand, Refused, join, refuse
from netspec.ir.lower.scope import Scope
from netspec.ops import catalog, facts
from netspec.ops.arguments import (
    DEVICE,
    TENSOR,
    TENSORS,
    Either,
    Kind,
    Misfit,
    Parameter,
    SequenceOf,
    Signature,
    describe,
    fit,
)  # fmt: skip
from netspec.ops.catalog import Operator
from netspec.ops.facts import Fact, OperatorRejects, TensorType
from netspec.ops.signatures import signatures_of


@dataclass(frozen=True, slots=True)
class Bound:
    """Operands in the order and by the names in which they are passed."""

    args: tuple[Operand, ...]
    kwargs: tuple[tuple[str, Operand], ...]
    names: tuple[str, ...] = ()  # of the positional ones

    def operands(self) -> list[Operand]:
        return [*self.args, *(operand for _, operand in self.kwargs)]


class _NoMatch(Exception):
    def __init__(self, rank: int, code: str, fact: str, key: str | None, help: str | None) -> None:
        super().__init__(fact)
        self.rank = rank
        self.code = code
        self.fact = fact
        self.key = key
        self.help = help


def bind(
    signatures: Sequence[Signature],
    what: str,
    args: Sequence[Operand],
    kwargs: Mapping[str, Operand],
    place: Place,
    spread: bool = False,
) -> Bound:
    """The operands as the first signature that takes them wants them.

    With `spread`, `args` are a layer's inputs: they fill the first parameters that no name gives
    and that take a tensor, or all go into the first if that is a list of tensors.
    Raises Refused (NS203 unknown, NS204 missing, NS205 ill-typed, NS212 too many inputs).
    """
    worst: _NoMatch | None = None
    for signature in signatures:
        try:
            if spread:
                return _bind_inputs(signature, what, args, kwargs)
            return _bind_given(signature, what, args, kwargs)
        except _NoMatch as error:
            if worst is None or error.rank > worst.rank:
                worst = error
    assert worst is not None, f"`{what}` has no signature"
    raise _refusal(worst, signatures, place)


def _refusal(error: _NoMatch, signatures: Sequence[Signature], place: Place) -> Refused:
    span = place.span()
    if error.key is not None:
        at = next((p for p in (place.at(error.key), place.at("args", error.key)) if p.exists), None)
        if at is not None:
            span = at.span() if error.code == "NS205" else at.key_span()
    help = error.help
    if error.code == "NS203" and error.key is not None:
        known = [p.name for s in signatures for p in s.parameters]
        help = did_you_mean(error.key, dict.fromkeys(known)) or help
    return refuse(error.code, error.fact, span, help)


def _fitted(
    parameter: Parameter, operand: Operand, what: str, key: str | None, rank: int
) -> Operand:
    value = fit(parameter, _marker(operand))
    if isinstance(value, Misfit):
        fact = (
            f"`{parameter.name}` of `{what}` is {_words(operand)}, and {value.expected} is expected"
        )
        raise _NoMatch(rank, "NS205", fact, key, None)
    if isinstance(operand.expr, Const) and value is not operand.facts[0]:
        origin = operand.expr.origin
        return Operand(Const(value, origin), (value,) * len(operand.facts), sized=False)
    return operand


def _marker(operand: Operand) -> object:
    return _mark(operand.facts[0])


def _mark(fact: Fact) -> object:
    if isinstance(fact, TensorType):
        return TENSOR
    if isinstance(fact, torch.device):
        return DEVICE
    if isinstance(fact, tuple):
        marks = tuple(_mark(item) for item in fact)
        return TENSORS if marks and all(mark is TENSOR for mark in marks) else marks
    return fact


def _words(operand: Operand) -> str:
    fact = operand.facts[0]
    match _mark(fact):
        case mark if mark is TENSOR:
            return "a tensor"
        case mark if mark is TENSORS:
            return "a tuple of tensors"
        case None:
            return "null"
        case bool() as value:
            return f"`{str(value).lower()}`"
        case str() as value:
            return f'the text "{value}"'
        case tuple():
            return f"`{_shown(fact)}`"
        case value:
            return f"`{value}`"


def _shown(fact: Fact) -> str:
    if isinstance(fact, tuple):
        return f"[{', '.join(_shown(item) for item in fact)}]"
    return "tensor" if isinstance(fact, TensorType) else str(fact)


def _bind_inputs(
    signature: Signature, what: str, inputs: Sequence[Operand], kwargs: Mapping[str, Operand]
) -> Bound:
    """Inputs first, then the arguments by name; positional as far as a person would write it."""
    known = {p.name: p for p in signature.parameters}
    for name in kwargs:
        if name not in known:
            raise _NoMatch(1, "NS203", f"`{what}` has no argument `{name}`", name, None)
    given: dict[str, Operand] = {}
    rest = list(inputs)
    open_parameters = [p for p in signature.parameters if p.name not in kwargs]
    first = open_parameters[0] if open_parameters else None
    if first is not None and rest and _takes_list(first) and all(o.is_tensor for o in rest):
        given[first.name] = _listed(rest)
        rest = []
    for parameter in open_parameters:
        if not rest:
            break
        if parameter.keyword_only or not _takes(parameter, rest[0]):
            continue
        given[parameter.name] = rest.pop(0)
    if rest and signature.star is None:
        fact = (
            f"`{what}` takes {_count(len(given), 'input')} here, and {len(inputs)} {_are(inputs)}"
        )
        raise _NoMatch(2, "NS212", fact, "from", None)
    return _arrange(signature, what, given, kwargs, rest)


def _arrange(
    signature: Signature,
    what: str,
    given: Mapping[str, Operand],
    kwargs: Mapping[str, Operand],
    star: Sequence[Operand],
) -> Bound:
    args: list[Operand] = []
    names: list[str] = []
    by_name: list[tuple[str, Operand]] = []
    in_order = True
    for parameter in signature.parameters:
        name = parameter.name
        operand = given.get(name, kwargs.get(name))
        if operand is None:
            if parameter.required:
                fact = f"`{what}` needs `{name}`, {describe(parameter.accepts)}"
                raise _NoMatch(3, "NS204", fact, None, None)
            in_order = False
            continue
        operand = _fitted(parameter, operand, what, name if name in kwargs else None, 4)
        in_order = in_order and not parameter.keyword_only
        if in_order and (parameter.required or name in given or star):
            args.append(operand)
            names.append(name)
        else:
            in_order = False
            by_name.append((name, operand))
    return Bound((*args, *star), tuple(by_name), tuple(names))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _are(given: Sequence[object]) -> str:
    return "is given" if len(given) == 1 else "are given"


def _takes(parameter: Parameter, operand: Operand) -> bool:
    return not isinstance(fit(parameter, _marker(operand)), Misfit)


def _takes_list(parameter: Parameter) -> bool:
    """Whether the parameter is a list of tensors, and no tensor."""
    options = (
        parameter.accepts.options if isinstance(parameter.accepts, Either) else (parameter.accepts,)
    )
    lists = any(isinstance(o, SequenceOf) and o.item is Kind.TENSOR for o in options)
    return lists and Kind.TENSOR not in options and Kind.ANYTHING not in options


def _listed(operands: list[Operand]) -> Operand:
    facts_ = tuple(tuple(column) for column in zip(*(o.facts for o in operands), strict=True))
    return Operand(ListOf(tuple(o.expr for o in operands)), facts_, *join(operands))


def _bind_given(
    signature: Signature, what: str, args: Sequence[Operand], kwargs: Mapping[str, Operand]
) -> Bound:
    """A call as an expression writes it: checked against the signature, left as it is written."""
    parameters = {p.name: p for p in signature.parameters}
    positional = [p for p in signature.parameters if not p.keyword_only]
    if len(args) > len(positional) and signature.star is None:
        most = _count(len(positional), "input")
        fact = f"`{what}` takes at most {most}, and {len(args)} {_are(args)}"
        raise _NoMatch(2, "NS212", fact, None, None)
    fitted: list[Operand] = []
    for parameter, operand in zip(positional, args, strict=False):
        fitted.append(_fitted(parameter, operand, what, None, 4))
    filled = {p.name for p in positional[: len(args)]}
    for operand in args[len(positional) :]:
        assert signature.star is not None, "checked above"
        fitted.append(_fitted(signature.star, operand, what, None, 4))
    named: list[tuple[str, Operand]] = []
    for name, operand in kwargs.items():
        if name not in parameters:
            raise _NoMatch(1, "NS203", f"`{what}` has no argument `{name}`", name, None)
        if name in filled:
            raise _NoMatch(2, "NS205", f"`{name}` of `{what}` is given twice", name, None)
        named.append((name, _fitted(parameters[name], operand, what, name, 4)))
        filled.add(name)
    for parameter in signature.parameters:
        if parameter.required and parameter.name not in filled:
            fact = f"`{what}` needs `{parameter.name}`, {describe(parameter.accepts)}"
            raise _NoMatch(3, "NS204", fact, None, None)
    return Bound(tuple(fitted), tuple(named))


def refuse_in_place(name: str, kwargs: Mapping[str, Operand], place: Place) -> None:
    """Every spelling of in place is refused, until it can be proved safe."""
    help = "leave it out: the same values come out, in new memory"
    if "inplace" in kwargs and not (
        kwargs["inplace"].static and kwargs["inplace"].facts[0] is False
    ):
        fact = f"`{name}` with `inplace` overwrites its input, which this version cannot prove safe"
        raise refuse("NS401", fact, place.source.key_span_of((*place.path, "inplace")), help)


def _refuse_overwriting(operator: Operator, place: Place) -> None:
    if catalog.overwrites(operator):
        fact = f"`{operator.name}` overwrites its input, which this version cannot prove safe"
        raise refuse("NS401", fact, place.span(), f"write `{operator.name.rstrip('_')}`")


def find_function(name: str, place: Place) -> Operator:
    """The catalog's function of this name, or Refused (NS206) with near names."""
    operator = catalog.find_function(name)
    if operator is None:
        help = did_you_mean(name, catalog.function_names())
        if catalog.find_module(name) is not None:
            help = f"`{name}` is a module: write `module: {name}`"
        raise refuse("NS206", f"there is no function `{name}`", place.span(), help)
    return operator


def check_function(name: str, kwargs: Mapping[str, Operand], place: Place) -> Operator:
    """The function of this name, which overwrites nothing. Raises Refused (NS206, NS401)."""
    operator = find_function(name, place)
    _refuse_overwriting(operator, place)
    refuse_in_place(name, kwargs, place)
    return operator


def call_function(
    name: str,
    args: Sequence[Operand],
    kwargs: Mapping[str, Operand],
    scope: Scope,
    place: Place,
    spread: bool = False,
) -> Operand:
    """A call of a function of the catalog: its arguments checked, its result's facts found."""
    operator = check_function(name, kwargs, place)
    signatures = signatures_of(operator)
    kwargs = _with_mode(args, dict(kwargs), signatures, scope)
    bound = bind(signatures, name, args, kwargs, place, spread)
    bound = _on_device(bound, signatures, scope)
    return _result(operator, bound, scope, place)


def call_method(
    name: str,
    receiver: Operand,
    args: Sequence[Operand],
    kwargs: Mapping[str, Operand],
    scope: Scope,
    place: Place,
) -> Operand:
    """`x.masked_fill(mask, 0)`: a method of the catalog on a tensor."""
    if not receiver.is_tensor:
        fact = f"`.{name}()` is a tensor's method, and this is {_words(receiver)}"
        raise refuse("NS304", fact, place.span())
    operator = catalog.find_method(name)
    if operator is None:
        help = did_you_mean(name, catalog.method_names())
        raise refuse("NS206", f"a tensor has no method `{name}` for specs", place.span(), help)
    _refuse_overwriting(operator, place)
    refuse_in_place(name, kwargs, place)
    bound = bind(signatures_of(operator), name, (receiver, *args), kwargs, place)
    return _result(operator, bound, scope, place)


def _with_mode(
    args: Sequence[Operand],
    kwargs: dict[str, Operand],
    signatures: Sequence[Signature],
    scope: Scope,
) -> dict[str, Operand]:
    """`training=` follows the module's mode, and so does a constant `dropout_p=` without it."""
    names = [p.name for s in signatures for p in s.parameters if not p.keyword_only]
    if "training" in names:
        if "training" not in kwargs and len(args) <= names.index("training"):
            kwargs["training"] = _training(scope)
    elif "dropout_p" in kwargs and kwargs["dropout_p"].static and kwargs["dropout_p"].facts[0]:
        p, mode = kwargs["dropout_p"], _training(scope)
        values = tuple(p.facts[0] if on else 0.0 for on in mode.facts)
        expr = Choice(mode.expr, p.expr, Const(0.0))
        kwargs["dropout_p"] = Operand(expr, values, sized=False, modal=True)
    return kwargs


def _training(scope: Scope) -> Operand:
    modes = tuple(probe.training for probe in scope.context.probes)
    return Operand(Training(), modes, sized=False, modal=True)


def _on_device(bound: Bound, signatures: Sequence[Signature], scope: Scope) -> Bound:
    """A factory inside of `forward` makes its tensor where the first input is."""
    if any(_has_tensor(o.facts[0]) for o in bound.operands()) or scope.entry is None:
        return bound
    if not any(p.name == "device" for s in signatures for p in s.parameters):
        return bound
    if any(name == "device" for name, _ in bound.kwargs) or not scope.entry.is_tensor:
        return bound
    device = Operand(
        Attribute(scope.entry.expr, "device"), (torch.device("meta"),) * len(scope.entry.facts)
    )
    return Bound(bound.args, (*bound.kwargs, ("device", device)), bound.names)


def _has_tensor(fact: Fact) -> bool:
    if isinstance(fact, tuple):
        return any(_has_tensor(item) for item in fact)
    return isinstance(fact, TensorType)


def _result(operator: Operator, bound: Bound, scope: Scope, place: Place) -> Operand:
    def run(index: int) -> Fact:
        args = tuple([o.facts[index] for o in bound.args])
        kwargs = tuple([(name, o.facts[index]) for name, o in bound.kwargs])
        _check_count(operator, args, dict(kwargs), place)
        return facts.run_function(operator, args, kwargs)

    def refusal(index: int, error: OperatorRejects) -> Refused:
        args = [o.facts[index] for o in bound.operands()]
        return rejection(scope, place, operator.name, args, index, error)

    found = scope.context.ask(run, refusal)
    exprs: tuple[Expr, ...] = tuple(o.expr for o in bound.args)
    named = tuple((name, o.expr) for name, o in bound.kwargs)
    sized, modal = join(bound.operands()) if bound.operands() else (False, False)
    expr: Expr
    if operator.home == "Tensor":
        expr = Method(operator.name, exprs[0], exprs[1:], named)
    else:
        expr = Call(operator, exprs, named)
    return Operand(expr, found, sized or _has_tensor(found[0]), modal)


def _check_count(
    operator: Operator, args: tuple[Fact, ...], kwargs: Mapping[str, Fact], place: Place
) -> None:
    """Bound the outputs of `unbind` and the like before torch makes them."""
    if (
        not args
        or not isinstance(args[0], TensorType)
        or max(args[0].shape, default=0) <= facts.MAX_OUTPUTS
    ):
        return
    if not _gives_list(operator):
        return
    numbers = [v for v in (*args[1:], *kwargs.values()) if isinstance(v, int) and v > 1]
    largest = max(args[0].shape)
    counted = operator.name in ("chunk", "tensor_split")
    if counted and all(n <= facts.MAX_OUTPUTS for n in numbers):
        return
    if not counted and any(largest // n <= facts.MAX_OUTPUTS for n in numbers):
        return
    fact = (
        f"`{operator.name}` could give up to {largest:,} outputs, {facts.MAX_OUTPUTS:,} are allowed"
    )
    raise refuse("NS217", fact, place.span())


def _gives_list(operator: Operator) -> bool:
    schemas = catalog.schemas_of(operator.name)
    return any(
        "Tensor[]" in str(r.type) or "List[Tensor]" in str(r.type)
        for s in schemas
        for r in s.returns
    )


def rejection(
    scope: Scope,
    place: Place,
    what: str,
    args: Iterable[Fact],
    index: int,
    error: OperatorRejects,
) -> Refused:
    """torch's refusal at one probe, as a diagnostic that names the sizes and the shapes."""
    shapes = [shape_text(fact) for fact in args if _has_tensor(fact)]
    notes = tuple([f"the input is {' and '.join(shapes)}"] if shapes else [])
    sizes = scope.context.probes[index].sizes
    if sizes:
        notes += (f"tried at {', '.join(f'{name} = {size}' for name, size in sizes)}",)
    return refuse("NS301", f"`{what}` refuses: {error}", place.span(), notes=notes)


def shape_text(fact: Fact) -> str:
    """A type as `[2, 6, 24, 24]`, with its dtype where that is not float32."""
    if isinstance(fact, TensorType):
        dtype = "" if fact.dtype is torch.float32 else f" {str(fact.dtype).removeprefix('torch.')}"
        return f"{list(fact.shape)}{dtype}"
    if isinstance(fact, tuple):
        return f"({', '.join(shape_text(item) for item in fact)})"
    return str(fact)
