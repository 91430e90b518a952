"""Input-side sizes that the shape of the input decides, and that a spec may leave out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netspec.ir.graph import Place
from netspec.ir.lower.context import Context, Operand, refuse
from netspec.ir.lower.mismatch import free_size, wrong_size
from netspec.ir.lower.scope import Scope
from netspec.ops.arguments import Signature
from netspec.ops.facts import TensorType

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
    operator: str,
    signature: Signature,
    given: Mapping[str, Operand],
    inputs: Sequence[Operand],
    place: Place,
    scope: Scope | None,
) -> dict[str, Operand]:
    """The arguments with the sizes that were left out; sizes that were given are checked.

    `scope` is where the inputs come from, None where there are none.
    Raises Refused: NS301 where a given size is not the input's, NS302 where a left-out one cannot
    be told.
    """
    found = dict(given)
    for parameter in signature.parameters:
        rule = INFERRED.get(parameter.name)
        if rule is None or not parameter.required or rule[0] >= len(inputs):
            continue
        position, dimension = rule
        sizes = [_size(fact, dimension) for fact in inputs[position].facts]
        size = sizes[0]
        if parameter.name in given:
            value = given[parameter.name].facts[0]
            if size is None or value == size or not isinstance(value, int) or scope is None:
                continue
            raise wrong_size(
                scope, place, name, operator, parameter.name, value, inputs[position], dimension
            )
        elif inputs[position].is_unknown:
            found[parameter.name] = context.unknown
        elif size is None:
            fact = f"`{parameter.name}` of `{name}` cannot be told from its input"
            raise refuse("NS302", fact, place.key_span(), f"give `{parameter.name}`")
        elif any(other != size for other in sizes):
            raise free_size(scope, place, name, parameter.name, inputs[position], dimension)
        else:
            found[parameter.name] = context.const(size)
    for parameter in signature.parameters:
        if parameter.required and parameter.name in INFERRED and parameter.name not in found:
            fact = f"`{parameter.name}` of `{name}` cannot be told: it is not called here"
            raise refuse("NS302", fact, place.key_span(), f"give `{parameter.name}`")
    return found


def _size(fact: object, dimension: int) -> int | None:
    if not isinstance(fact, TensorType) or len(fact.shape) < 2:
        return None
    return fact.shape[dimension]
