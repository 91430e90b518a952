"""A value that a refusal tells of: its sizes by letter, and the layers that led to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePath

from netspec.explain.rules.attempt import Given
from netspec.ir.graph import Place
from netspec.ir.lower.probing import sizes_text
from netspec.ir.lower.provenance import Step, history_of
from netspec.ir.lower.scope import Scope
from netspec.ir.lower.values import Operand
from netspec.language.schema import expand_short
from netspec.ops.shapes import dimensions_text, shape_text
from netspec.ops.types import Fact, TensorType

_MOST_CHAINS = 4


class Look:
    """How the sizes of one refusal are told: free ones by letter, or as numbers where only some
    sizes fail.
    """

    def __init__(self, scope: Scope, index: int, partly: bool) -> None:
        probes = scope.context.probes
        self.scope, self.index, self.partly = scope, index, partly
        others = [
            i for i, probe in enumerate(probes)
            if probe.training == probes[index].training and probe.index != probes[index].index
        ]  # fmt: skip
        self.twin = others[0] if others and not partly else index
        self.probe = probes[index]
        self.sizes, self.others = dict(self.probe.sizes), dict(probes[self.twin].sizes)
        doubted = probes[-1].index if len(probes) > probes.tried else None
        self.more = [  # the other runs, of which nothing is made up
            i for i in others
            if probes[i].index != doubted and probes[i].index not in probes.lost
            and probes[i].left_out == self.probe.left_out
        ]  # fmt: skip

    def text(self, facts: Sequence[Fact], unclear: str = "?") -> str:
        """A value, with its sizes by letter."""
        more = [(facts[i], dict(self.scope.context.probes[i].sizes)) for i in self._more(facts)]
        here, other = facts[self.index], facts[self.twin]
        return shape_text(here, other, self.sizes, self.others, unclear, more)

    def text_of(self, operand: Operand) -> str:
        """A plain value, with its sizes by letter."""
        return self.text(operand.facts, str(operand.facts[self.index]))

    def _more(self, facts: Sequence[Fact]) -> list[int]:
        return [] if self.partly else [i for i in self.more if i < len(facts)]

    def given(self, parameter: str, operand: Operand) -> tuple[Given, list[Step]]:
        """A tensor with its name, and the steps that led to it."""
        steps = history_of(operand, self.scope)
        fact = operand.facts[self.index]
        assert isinstance(fact, TensorType), "only tensors are told of"
        last = steps[-1] if steps else Step("it", operand.facts, "expression", None)
        first = steps[0] if steps else last
        declared = self._sizes(first.facts) if first.role == "input" else ()
        sizes = self._sizes(operand.facts)
        made_by = _made_by(last.place) if last.role == "layer" else ""
        return Given(parameter, last.name, fact, sizes, last.role, declared, made_by), steps

    def _sizes(self, facts: tuple[Fact, ...]) -> tuple[str, ...]:
        fact, other = facts[self.index], facts[self.twin]
        if not isinstance(fact, TensorType):
            return ()
        if not isinstance(other, TensorType) or len(other.shape) != len(fact.shape):
            other = fact
        more = [
            (each.shape, dict(self.scope.context.probes[i].sizes))
            for i in self._more(facts)
            if isinstance(each := facts[i], TensorType)
        ]
        shapes = fact.shape, other.shape
        return tuple(dimensions_text(*shapes, self.sizes, self.others, None, more))

    def notes(
        self, shown: Iterable[tuple[Given, list[Step]]], quoted: bool = False
    ) -> tuple[str, ...]:
        """A chain of shapes for each tensor, and the sizes tried where the fact has them."""
        chains = list(dict.fromkeys(tuple(steps) for _, steps in shown if steps))
        long = 4 if len(chains) == 1 else 3
        notes = [self._chain(chain, long) for chain in chains[:_MOST_CHAINS]]
        if len(chains) > _MOST_CHAINS:
            notes.append(f"and {len(chains) - _MOST_CHAINS} more")
        if (self.partly or quoted) and self.sizes:
            notes.append(f"tried at {sizes_text(self.probe)}")
        return tuple(notes)

    def _chain(self, steps: Sequence[Step], long: int) -> str:
        """`x` [N, 1, 28, 28] → … → `flat` [N, 256]   (lenet.yaml:12)."""
        told = [step for step in steps if step.facts]
        if len(told) > long:
            tail = told[-2:] if long > 3 else told[-1:]
            texts = [self._step(told[0]), "…", *map(self._step, tail)]
        else:
            texts = [self._step(step) for step in told]
        return " → ".join(texts) + _line_of(steps)

    def _step(self, step: Step) -> str:
        return f"`{step.name}` {self.text(step.facts)}"


def _made_by(place: Place | None) -> str:
    """The class or function of the layer that stands at a place; of other layers nothing."""
    if place is None or place.node is not None or not place.exists:
        return ""
    layer: object = place.source.value
    for key in place.path:
        layer = layer[key]  # type: ignore[index]
    found = expand_short(layer)
    if not isinstance(found, dict):
        return ""
    return str(found.get("module", found.get("call", "")))


def _line_of(steps: Sequence[Step]) -> str:
    """The line of the last step that has one, as `   (lenet.yaml:12)`."""
    place = next((step.place for step in reversed(steps) if step.place is not None), None)
    line = place.line if place is not None else 0
    if place is None or not line:
        return ""
    file = place.source.file
    return f"   (line {line})" if file.startswith("<") else f"   ({PurePath(file).name}:{line})"
