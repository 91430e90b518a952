"""Inputs that a caller may leave out: what they are then."""

from __future__ import annotations

from netspec.ir.expr import Choice, Comparison, Const
from netspec.ir.graph import Place
from netspec.ir.lower.expressions.evaluate import evaluate
from netspec.ir.lower.refusal import refuse
from netspec.ir.lower.scope import Scope
from netspec.ir.lower.values import Operand
from netspec.language.schema import Input
from netspec.ops.types import TensorType

_NONE = "=None"


def default_of(declared: object) -> str | None:
    """The expression that an input is where it is left out; None where it has to be given."""
    if not isinstance(declared, Input) or "default" not in declared.model_fields_set:
        return None
    return declared.default or _NONE


def may_be_none(declared: object) -> bool:
    """Whether the text says that an input is None where it is left out."""
    default = default_of(declared)
    return default is not None and default[1:].strip() == _NONE[1:]


def or_default(given: Operand, default: str, name: str, scope: Scope, place: Place) -> Operand:
    """An input, or the value of its default where it is None."""
    value = evaluate_default(default, given, name, scope, place)
    if value.static and value.facts[0] is None:  # by what an arg is, for one
        scope.context.none_inputs.add(name)
        return given
    missing = Comparison(given.expr, ("is",), (Const(None),))
    chosen = Operand(Choice(missing, value.expr, given.expr), given.facts)
    return scope.graph.assign(name, chosen, place)


def evaluate_default(
    default: str, given: Operand | None, name: str, scope: Scope, place: Place
) -> Operand:
    """The value of a default, which has the type that the input is declared with.

    Raises Refused where it has another one (NS205, NS301), or overwrites something (NS406).
    """
    at = place.at("default")
    context = scope.context
    before, context.overwrites = context.overwrites, False
    value = evaluate(default, scope, at)
    if context.overwrites:  # a check in place runs the model with all inputs, and would not see it
        fact = f"the default of `{name}` overwrites a value, which is not checked there"
        raise refuse("NS406", fact, at.span(), "write what computes the same in new memory")
    context.overwrites = before
    if value.is_unknown or given is None or (value.static and value.facts[0] is None):
        return value
    tried = context.probes.tried
    for own, wanted in zip(value.facts[:tried], given.facts[:tried], strict=True):
        assert isinstance(wanted, TensorType), "an input is a tensor"
        if not isinstance(own, TensorType):
            raise refuse("NS205", f"the default of `{name}` is not a tensor", at.span())
        if (own.shape, own.dtype) != (wanted.shape, wanted.dtype):
            fact = f"`{name}` is {_shown(wanted)}, and its default is {_shown(own)}"
            raise refuse("NS301", fact, at.span())
    return value


def _shown(fact: TensorType) -> str:
    return f"{list(fact.shape)} of {str(fact.dtype).removeprefix('torch.')}"
