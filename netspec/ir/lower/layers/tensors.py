"""`param`, `buffer` and `const`: tensors that a model registers."""

from __future__ import annotations

from typing import Any

import torch

from netspec.ir.expr import Call, Const, Expr, Training, Value, walk
from netspec.ir.graph import NewBuffer, NewParameter, Place
from netspec.ir.lower.expressions.evaluate import evaluate_plain, static_value
from netspec.ir.lower.refusal import Refused, refuse
from netspec.ir.lower.scope import Scope
from netspec.ir.lower.values import Operand
from netspec.language.schema import BufferLayer, ConstLayer, Layer, ParamLayer
from netspec.ops import catalog
from netspec.ops.types import TensorType, contiguous, elements


def lower_param(layer: ParamLayer | BufferLayer, scope: Scope, place: Place) -> Operand:
    """The value that a `param` or `buffer` layer starts with: `torch.empty(shape)`, or its own."""
    kind = layer.kind
    value = layer.param if isinstance(layer, ParamLayer) else layer.buffer
    if isinstance(value, list):
        sizes = tuple(_size(item, scope, place.at(kind, i)) for i, item in enumerate(value))
        if layer.init is None:
            fact = f"a `{kind}` of a shape has no values yet"
            help = "add `init: zeros_`, or give its value as an expression"
            raise refuse("NS502", fact, place.key_span(), help)
        count = 1
        for size in sizes:
            count *= size
        if count > scope.context.bounds.limits.elements:
            fact = f"the shape {list(sizes)} has {count:,} elements"
            help = scope.context.bounds.elements_help()
            raise refuse("NS217", fact, place.at(kind).span(), help)
        expr: Expr = _empty(sizes, value, scope, place.at(kind))
        operand = Operand(expr, (contiguous(sizes, torch.float32),) * len(scope.context.probes))
    else:
        operand = build_time(value, scope, place.at(kind), f"the value of a `{kind}`")
        if not operand.is_tensor:
            fact = f"the value of a `{kind}` is a tensor, and `{value}` is not"
            raise refuse(
                "NS205", fact, place.at(kind).span(), "write `=tensor(1.0)` or `=zeros(3)`"
            )
    fact_ = operand.facts[0]
    assert isinstance(fact_, TensorType), "checked above"
    if kind == "param" and not fact_.dtype.is_floating_point:
        fact = f"a parameter is trained, and {fact_.dtype} cannot be"
        raise refuse("NS205", fact, place.at(kind).span(), "make it a `buffer`")
    scope.context.bounds.add_layers(1, place)
    scope.context.bounds.add_elements(elements(fact_), place)
    return operand


def _empty(sizes: tuple[int, ...], value: list[Any], scope: Scope, place: Place) -> Expr:
    operator = catalog.find_function("empty")
    assert operator is not None, "`empty` is one of the factories"
    items = [evaluate_plain(item, scope, place.at(i)) for i, item in enumerate(value)]
    if not sizes:
        return Call(operator, (Const(()),))
    return Call(operator, tuple(item.expr for item in items))


def _size(item: object, scope: Scope, place: Place) -> int:
    size = static_value(item, scope, place, "a size")
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        fact = f"a size is a number, and `{size}` is not"
        raise refuse("NS205", fact, place.span(), about=size)
    return size


def build_time(value: object, scope: Scope, place: Place, what: str) -> Operand:
    """An operand that is made in `__init__`: it may use shapes and args, and no value."""
    entry, scope.entry = scope.entry, None
    try:
        operand = evaluate_plain(value, scope, place)
    finally:
        scope.entry = entry
    if operand.is_unknown:
        raise Refused
    if any(isinstance(node, (Value, Training)) for node in walk(operand.expr)):
        fact = f"{what} is made when the model is built, and reads what exists only when it runs"
        raise refuse("NS303", fact, place.span(), "make it a `value`")
    return operand


def lower_const(layer: ConstLayer, scope: Scope, place: Place) -> Operand:
    """A `const` layer's value: a plain value, or a tensor to be kept in a buffer."""
    operand = build_time(layer.const, scope, place.at("const"), "a `const`")
    fact = operand.facts[0]
    if isinstance(fact, TensorType):
        scope.context.bounds.add_elements(elements(fact), place)
    return operand


def new_state(layer: Layer, operand: Operand) -> NewParameter | NewBuffer:
    """How the tensor of a `param`, `buffer` or `const` layer is registered."""
    if isinstance(layer, ParamLayer):
        return NewParameter(operand.expr, operand.facts[0])
    persistent = isinstance(layer, BufferLayer) and layer.persistent
    return NewBuffer(operand.expr, persistent, operand.facts[0])
