"""Input-side sizes that the shape of the input decides, and that a spec may leave out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from torch import nn

from netspec.ir.graph import Place
from netspec.ir.lower.context import Context, Operand, Refused, refuse
from netspec.ir.lower.evaluate import evaluate
from netspec.ir.lower.mismatch import free_size, wrong_size
from netspec.ir.lower.scope import Scope
from netspec.ops.arguments import Signature
from netspec.ops.catalog import Operator
from netspec.ops.facts import TensorType
from netspec.ops.signatures import forward_signature_of
from netspec.spec.expressions import names_in

# The convention of torch.nn: images and signals are N×C×…, everything else ends in its features.
# Parameter → (which input, which of its dimensions).
INFERRED: Mapping[str, tuple[int, int]] = {
    "in_channels": (0, 1),
    "num_features": (0, 1),
    "num_channels": (0, 1),
    "in_features": (0, -1),
    "input_size": (0, -1),
    "normalized_shape": (0, -1),
    "embed_dim": (0, -1),
    "d_model": (0, -1),
    "in1_features": (0, -1),
    "in2_features": (1, -1),
}


def infer(
    context: Context,
    name: str,
    operator: Operator,
    signature: Signature,
    given: Mapping[str, Operand],
    inputs: Sequence[Operand],
    place: Place,
    scope: Scope | None,
) -> dict[str, Operand]:
    """The arguments with the sizes that were left out; sizes that were given are checked.

    Of torch's classes the names tell which they are, of registered ones what was registered.
    `scope` is where the inputs come from, None where there are none.
    Raises Refused: NS301 where a given size is not the input's, NS302 where a left-out one cannot
    be told.
    """
    found = dict(given)
    if operator.offer is not None:
        rules = operator.offer.infer
        for parameter, text in rules.items():
            found |= _by_rule(name, operator, parameter, text, given, inputs, place, scope)
    else:
        rules = dict.fromkeys(INFERRED, "")
        for known in signature.parameters:
            rule = INFERRED.get(known.name)
            if rule is None or not known.required or rule[0] >= len(inputs):
                continue
            found |= _by_name(
                context, name, operator.name, known.name, rule, given, inputs, place, scope
            )
    for known in signature.parameters:
        if known.required and known.name in rules and known.name not in found:
            fact = f"`{known.name}` of `{name}` cannot be told: it is not called here"
            raise refuse("NS302", fact, place.key_span(), f"give `{known.name}`")
    return found


def _by_name(
    context: Context,
    name: str,
    operator: str,
    parameter: str,
    rule: tuple[int, int],
    given: Mapping[str, Operand],
    inputs: Sequence[Operand],
    place: Place,
    scope: Scope | None,
) -> dict[str, Operand]:
    position, dimension = rule
    sizes = [_size(fact, dimension) for fact in inputs[position].facts]
    size = sizes[0]
    if parameter in given:
        value = given[parameter].facts[0]
        if size is None or value == size or not isinstance(value, int) or scope is None:
            return {}
        raise wrong_size(
            scope, place, name, operator, parameter, value, inputs[position], dimension
        )
    if inputs[position].is_unknown:
        return {parameter: context.unknown}
    if size is None:
        fact = f"`{parameter}` of `{name}` cannot be told from its input"
        raise refuse("NS302", fact, place.key_span(), f"give `{parameter}`")
    if any(other != size for other in sizes):
        raise free_size(scope, place, name, parameter, inputs[position], dimension)
    return {parameter: context.const(size)}


def _by_rule(
    name: str,
    operator: Operator,
    parameter: str,
    text: str,
    given: Mapping[str, Operand],
    inputs: Sequence[Operand],
    place: Place,
    scope: Scope | None,
) -> dict[str, Operand]:
    """What a registered class's own expression of its inputs says about an argument."""
    if scope is None:
        return {}
    forward = forward_signature_of(cast("type[nn.Module]", operator.target))
    known = {p.name: operand for p, operand in zip(forward.parameters, inputs)}  # noqa: B905  some may be left out
    if not names_in(f"={text}") <= known.keys():
        return {}
    inside = Scope(scope.graph, scope.source, known, {})
    try:
        value = evaluate(f"={text}", inside, place)
    except Refused as refused:
        if parameter in given:
            return {}
        told = refused.diagnostic.fact if refused.diagnostic is not None else "an input is unknown"
        fact = f"`{parameter}` of `{name}` cannot be told from its input by `{text}`: {told}"
        raise refuse("NS302", fact, place.key_span(), f"give `{parameter}`") from None
    if parameter not in given:
        if not value.is_unknown and not value.static:
            fact = f"`{parameter}` of `{name}` is `{text}`, which depends on a free size"
            help = "declare that size of the input as a number"
            raise refuse("NS302", fact, place.key_span(), help)
        return {parameter: value}
    wanted = given[parameter]
    if wanted.static and value.static and wanted.facts[0] != value.facts[0]:
        fact = (
            f"`{name}` has `{parameter}` {wanted.facts[0]}, and its input makes it "
            f"{value.facts[0]}: `{text}`"
        )
        help = f"leave `{parameter}` out, or set it to {value.facts[0]}"
        raise refuse("NS301", fact, (place.argument(parameter) or place).span(), help)
    return {}


def _size(fact: object, dimension: int) -> int | None:
    if not isinstance(fact, TensorType) or len(fact.shape) < 2:
        return None
    return fact.shape[dimension]
