"""Input-side sizes that the shape of the input decides, and that a spec may leave out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from torch import nn

from netspec.ir.graph import Place
from netspec.ir.lower.expressions.evaluate import evaluate
from netspec.ir.lower.provenance import history_of
from netspec.ir.lower.refusal import Refused, refuse
from netspec.ir.lower.rejections import FreeInputSize, LacksBatch, WrongInputSize, rejected
from netspec.ir.lower.scope import Scope
from netspec.ir.lower.session import Context
from netspec.ir.lower.values import Operand
from netspec.language.expressions import as_expression, names_in
from netspec.ops.arguments import Signature
from netspec.ops.catalog import Operator
from netspec.ops.input_sizes import dimension_of
from netspec.ops.signatures import forward_signature_of
from netspec.ops.types import TensorType

# The convention of torch.nn: images and signals are N×C×… (or C×…, where a class takes no batch),
# everything else ends in its features. Parameter → (which input, which of its dimensions).
_CHANNELS = 1
INFERRED: Mapping[str, tuple[int, int]] = {
    "in_channels": (0, _CHANNELS),
    "num_features": (0, _CHANNELS),
    "num_channels": (0, _CHANNELS),
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
    Reports NS301 where a given size is not the input's, NS302 where a left-out one cannot be told;
    those are unknown then, so that the other arguments are checked yet.
    """
    question = _Question(context, name, operator, given, inputs, place, scope)
    tell = question.by_name if operator.registered is None else question.by_rule
    rules = INFERRED if operator.registered is None else operator.registered.infer
    found = dict(given)
    for parameter in signature.parameters:
        if parameter.name not in rules or (operator.registered is None and not parameter.required):
            continue
        with context.problems:
            size = tell(parameter.name)
            if parameter.name in given:
                continue
            if size is not None:
                found[parameter.name] = size
            elif parameter.required:
                raise question.not_called(parameter.name)
            continue
        found[parameter.name] = context.unknown
    return found


def sized_inputs(operator: Operator, signature: Signature) -> frozenset[int]:
    """The positions of the inputs whose shapes decide a size, and which are tensors therefore."""
    if operator.registered is not None:
        return frozenset()
    return frozenset(INFERRED[p.name][0] for p in signature.parameters if p.name in INFERRED)


@dataclass(frozen=True, slots=True)
class _Question:
    """One layer whose sizes are asked for; each way gives the size that its inputs say, or None."""

    context: Context
    name: str
    operator: Operator
    given: Mapping[str, Operand]
    inputs: Sequence[Operand]
    place: Place
    scope: Scope | None

    def not_called(self, parameter: str) -> Refused:
        """Why nothing tells the size."""
        fact = f"`{parameter}` of `{self.name}` cannot be told: it is not called here"
        condition = self.context.readings.condition(self.place)
        help = f"give `{parameter}`"
        if condition is not None:
            help = f"write `when: {as_expression(condition)}`: only then something calls it"
        return refuse("NS302", fact, self.place.key_span(), help)

    def by_name(self, parameter: str) -> Operand | None:
        """By the convention of torch.nn. Raises Refused."""
        position, dimension = INFERRED[parameter]
        if position >= len(self.inputs):
            return None
        source, what = self.inputs[position], self.operator.name
        if dimension == _CHANNELS and self._is_unbatched(parameter, source):
            dimension = self._unbatched(parameter, source)
        tried = source.facts[: self.context.probes.tried]
        given = [fact for fact in tried if fact is not None]  # None where it is left out
        sizes = [_size(fact, dimension) for fact in given or tried]
        size = sizes[0]
        if parameter in self.given:
            value = self.given[parameter].facts[0]
            if size is None or value == size or not isinstance(value, int) or self.scope is None:
                return None
            raise rejected(
                WrongInputSize(
                    self.scope, self.place, self.name, what, parameter, value, source, dimension
                )
            )
        if source.is_unknown:
            return self.context.unknown
        if size is None:
            fact = f"`{parameter}` of `{self.name}` cannot be told from its input"
            raise refuse("NS302", fact, self.place.key_span(), f"give `{parameter}`")
        if any(other != size for other in sizes):
            raise rejected(
                FreeInputSize(self.scope, self.place, self.name, parameter, source, dimension)
            )
        return self.context.const(size)

    def _is_unbatched(self, parameter: str, source: Operand) -> bool:
        """Whether the class takes an input of these dimensions as one example without a batch."""
        fact = source.facts[0]
        if not isinstance(fact, TensorType):
            return False
        return dimension_of(self.operator, parameter, len(fact.shape), (_CHANNELS, 0)) == 0

    def _unbatched(self, parameter: str, source: Operand) -> int:
        """The dimension of its channels. Raises Refused for an input of the model without batch."""
        if self.scope is None or not _lacks_batch(source, self.scope):
            return 0
        if parameter not in self.given:
            what = self.operator.name
            raise rejected(LacksBatch(self.scope, self.place, self.name, what, parameter, source))
        return _CHANNELS

    def by_rule(self, parameter: str) -> Operand | None:
        """By the expression that a class was registered with. Raises Refused."""
        value = self._evaluated(parameter)
        if value is None or value.is_unknown:
            return value
        assert self.operator.registered is not None, "it was registered"
        text = self.operator.registered.infer[parameter]
        if parameter in self.given:
            wanted = self.given[parameter]
            if wanted.static and value.static and wanted.facts[0] != value.facts[0]:
                fact = (
                    f"`{self.name}` has `{parameter}` {wanted.facts[0]}, and its input makes it "
                    f"{value.facts[0]}: `{text}`"
                )
                help = f"leave `{parameter}` out, or set it to {value.facts[0]}"
                at = self.place.argument(parameter) or self.place
                raise refuse("NS301", fact, at.span(), help)
        elif not value.static:
            fact = f"`{parameter}` of `{self.name}` is `{text}`, which depends on a free size"
            help = "declare that size of the input as a number"
            raise refuse("NS302", fact, self.place.key_span(), help)
        return value

    def _evaluated(self, parameter: str) -> Operand | None:
        """The expression's value; None where its inputs are not there."""
        assert self.operator.registered is not None, "it was registered"
        text = f"={self.operator.registered.infer[parameter]}"
        forward = forward_signature_of(cast("type[nn.Module]", self.operator.target))
        known = {p.name: o for p, o in zip(forward.parameters, self.inputs)}  # noqa: B905  some may be left out
        if self.scope is None or not names_in(text) <= known.keys():
            return None
        try:
            return evaluate(text, Scope(self.scope.graph, self.scope.source, known, {}), self.place)
        except Refused as refused:
            if parameter in self.given:
                return None
            said = self.context.problems.worded(refused).diagnostic
            told = said.fact if said is not None else "an input is unknown"
            fact = f"`{parameter}` of `{self.name}` cannot be told from its input by `{text[1:]}`"
            help = f"give `{parameter}`"
            raise refuse("NS302", f"{fact}: {told}", self.place.key_span(), help) from None


def _lacks_batch(operand: Operand, scope: Scope) -> bool:
    """Whether it comes from an input of the model that has as many sizes, and no free one."""
    steps = history_of(operand, scope)
    if not steps or steps[0].role != "input":
        return False
    types = steps[0].facts[: scope.context.probes.tried]
    shapes = {fact.shape if isinstance(fact, TensorType) else None for fact in types}
    own = operand.facts[0]
    return len(shapes) == 1 and any(
        shape is not None and isinstance(own, TensorType) and len(shape) == len(own.shape)
        for shape in shapes
    )


def _size(fact: object, dimension: int) -> int | None:
    """None where there is no such dimension."""
    if not isinstance(fact, TensorType) or not -len(fact.shape) <= dimension < len(fact.shape):
        return None
    return fact.shape[dimension]
