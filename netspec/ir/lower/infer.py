"""Input-side sizes that the shape of the input decides, and that a spec may leave out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netspec.ir.graph import Place
from netspec.ir.lower.context import Context, Operand, refuse
from netspec.ops.arguments import Signature
from netspec.ops.facts import TensorType

# The convention of torch.nn: images and signals are N×C×…, everything else ends in its features.
# Parameter → (which input, which of its dimensions).
_SIZES: Mapping[str, tuple[int, int]] = {
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
_WORDS = {1: "channels", -1: "features"}


def infer(
    context: Context,
    name: str,
    signature: Signature,
    given: Mapping[str, Operand],
    inputs: Sequence[Operand],
    place: Place,
) -> dict[str, Operand]:
    """The arguments with the sizes that were left out; sizes that were given are checked.

    Raises Refused: NS301 where a given size is not the input's, NS302 where a left-out one cannot
    be told.
    """
    found = dict(given)
    for parameter in signature.parameters:
        rule = _SIZES.get(parameter.name)
        if rule is None or not parameter.required or rule[0] >= len(inputs):
            continue
        position, dimension = rule
        sizes = [_size(fact, dimension) for fact in inputs[position].facts]
        size = sizes[0]
        if parameter.name in given:
            _check(name, parameter.name, given[parameter.name], size, dimension, inputs, place)
        elif size is None:
            fact = f"`{parameter.name}` of `{name}` cannot be told from its input"
            raise refuse("NS302", fact, place.key_span(), f"give `{parameter.name}`")
        elif any(other != size for other in sizes):
            fact = f"`{parameter.name}` of `{name}` depends on a free size of the input"
            help = "declare that size of the input as a number"
            raise refuse("NS302", fact, place.key_span(), help)
        else:
            found[parameter.name] = context.const(size)
    for parameter in signature.parameters:
        if parameter.required and parameter.name in _SIZES and parameter.name not in found:
            fact = f"`{parameter.name}` of `{name}` cannot be told: it is not called here"
            raise refuse("NS302", fact, place.key_span(), f"give `{parameter.name}`")
    return found


def _size(fact: object, dimension: int) -> int | None:
    if not isinstance(fact, TensorType) or len(fact.shape) < 2:
        return None
    return fact.shape[dimension]


def _check(
    name: str,
    parameter: str,
    given: Operand,
    size: int | None,
    dimension: int,
    inputs: Sequence[Operand],
    place: Place,
) -> None:
    value = given.facts[0]
    if size is None or value == size or not isinstance(value, int):
        return
    shape = inputs[0].facts[0].shape if isinstance(inputs[0].facts[0], TensorType) else ()
    fact = f"`{name}` expects {value} input {_WORDS[dimension]}, and its input has {size}"
    help = f"leave `{parameter}` out, or set it to {size}"
    notes = (f"the input is {list(shape)}",)
    raise refuse("NS301", fact, place.source.span_of((*place.path, parameter)), help, notes)
