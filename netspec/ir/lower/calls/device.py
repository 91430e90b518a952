"""Where `forward` makes its tensors: on the device of the first tensor that it is given."""

from __future__ import annotations

import torch

from netspec.ir.expr import Attribute, Const, Expr, Item, Value
from netspec.ir.lower.scope import Scope
from netspec.ir.lower.values import Operand
from netspec.ops.types import Fact, Mapped, TensorType

PORT = "device"
_META = torch.device("meta")


def device_of(scope: Scope) -> Operand | None:
    """The device of the scope's first input, else of another one, else that of the caller's.

    None outside of `forward`, and where no input of the model is a tensor.
    """
    if scope.entry is None:
        return None
    graph = scope.graph
    ports = (Operand(Value(port.id), port.facts) for port in graph.inputs)
    for operand in (scope.entry, *ports):
        tensor = _first_tensor(operand.expr, operand.facts)
        if tensor is not None:
            return Operand(Attribute(tensor.expr, "device"), (_META,) * len(tensor.facts))
    around = graph.outer or graph.caller
    found = device_of(around) if around is not None else None
    return None if found is None else graph.capture(PORT, PORT, found)


def _first_tensor(expr: Expr, facts: tuple[Fact, ...]) -> Operand | None:
    """The first tensor in nested tuples and dicts, which is one at each probe."""
    if all(isinstance(fact, TensorType) for fact in facts):
        return Operand(expr, facts)
    parts: list[tuple[int | str, tuple[Fact, ...]]] = []
    if all(isinstance(fact, tuple) for fact in facts):
        tuples = [fact for fact in facts if isinstance(fact, tuple)]
        for key, column in enumerate(zip(*tuples)):  # noqa: B905  in one mode it may be longer
            parts.append((key, column))
    elif all(isinstance(fact, Mapped) for fact in facts):
        dicts = [dict(fact.items) for fact in facts if isinstance(fact, Mapped)]
        parts = [(key, tuple(fact.get(key) for fact in dicts)) for key in dicts[0]]
    else:
        return None
    inner = (_first_tensor(Item(expr, Const(key)), column) for key, column in parts)
    return next((found for found in inner if found is not None), None)
