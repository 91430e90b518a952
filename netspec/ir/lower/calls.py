"""Calls of functions and methods of the catalog: checked, and asked for what they give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch

from netspec.errors import did_you_mean
from netspec.ir.expr import Attribute, Call, Choice, Const, Expr, Method, Training
from netspec.ir.graph import Place
from netspec.ir.lower.bind import Bound, bind, words_for
from netspec.ir.lower.context import Operand, Refused, join, refuse
from netspec.ir.lower.scope import Scope
from netspec.ops import catalog, facts
from netspec.ops.arguments import (
    Signature,
)  # fmt: skip
from netspec.ops.catalog import Operator
from netspec.ops.facts import Fact, OperatorRejects, TensorType
from netspec.ops.signatures import signatures_of


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
        at = place.at("call") if place.at("call").exists else place
        raise refuse("NS206", f"there is no function `{name}`", at.span(), help)
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
        fact = f"`.{name}()` is a tensor's method, and this is {words_for(receiver)}"
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
    elif "dropout_p" in kwargs and _is_rate(kwargs["dropout_p"]):
        p, mode = kwargs["dropout_p"], _training(scope)
        values = tuple(p.facts[0] if on else 0.0 for on in mode.facts)
        expr = Choice(mode.expr, p.expr, Const(0.0))
        kwargs["dropout_p"] = Operand(expr, values, sized=False, modal=True)
    return kwargs


def _is_rate(operand: Operand) -> bool:
    return operand.static and type(operand.facts[0]) in (int, float) and operand.facts[0] != 0


def _training(scope: Scope) -> Operand:
    modes = tuple(probe.training for probe in scope.context.probes)
    return Operand(Training(), modes, sized=False, modal=True)


def _on_device(bound: Bound, signatures: Sequence[Signature], scope: Scope) -> Bound:
    """A factory inside of `forward` makes its tensor where the first input is."""
    if any(has_tensor(o.facts[0]) for o in bound.operands()) or scope.entry is None:
        return bound
    if not any(p.name == "device" for s in signatures for p in s.parameters):
        return bound
    if any(name == "device" for name, _ in bound.kwargs) or not scope.entry.is_tensor:
        return bound
    device = Operand(
        Attribute(scope.entry.expr, "device"), (torch.device("meta"),) * len(scope.entry.facts)
    )
    return Bound(bound.args, (*bound.kwargs, ("device", device)), bound.names)


def has_tensor(fact: Fact) -> bool:
    if isinstance(fact, tuple):
        return any(has_tensor(item) for item in fact)
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
    return Operand(expr, found, sized or has_tensor(found[0]), modal)


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
    shapes = [shape_text(fact) for fact in args if has_tensor(fact)]
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
