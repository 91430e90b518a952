"""Which expressions do more than give a value: call a module, draw a number, overwrite."""

from __future__ import annotations

from functools import cache

from netspec.ir.expr import Call, CallPart, Expr, Method, walk
from netspec.ops import catalog
from netspec.ops.catalog import Operator
from netspec.ops.randomness import draws
from netspec.ops.signatures import signatures_of


def has_effects(expr: Expr) -> bool:
    """Whether it makes a difference that an expression is computed, and how often."""
    return any(map(_has_effect, walk(expr)))


def _has_effect(node: Expr) -> bool:
    match node:
        case CallPart():
            return True
        case Call(operator):
            return _is_impure(operator)
        case Method(name):
            return draws(name) or (name.endswith("_") and not name.endswith("__"))
        case _:
            return False


@cache
def _is_impure(operator: Operator) -> bool:
    """Whether a function draws, overwrites, has a mode, or is code of somebody else's."""
    if operator.registered is not None or draws(operator.name) or catalog.overwrites(operator):
        return True
    parameters = (p for signature in signatures_of(operator) for p in signature.parameters)
    return any(p.name in ("training", "train", "inplace") for p in parameters)
