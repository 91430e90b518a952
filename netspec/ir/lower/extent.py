"""How much of a model there is so far, and how much there may be."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from netspec.ir.graph import Place
from netspec.ir.lower.refusal import refuse
from netspec.limits import Limits, current, raised_help
from netspec.ops.types import Fact, elements


@dataclass(slots=True)
class Extent:
    """A part of a model: what it registers, the elements in that, and all layers of the text."""

    layers: int = 0
    elements: int = 0
    lowerings: int = 0  # those that register nothing, too

    def since(self, before: Extent) -> Extent:
        """What came after `before`."""
        return Extent(
            self.layers - before.layers,
            self.elements - before.elements,
            self.lowerings - before.lowerings,
        )


@dataclass(slots=True)
class Bounds:
    """The extent so far, within the limits. What would be beyond them is refused (NS217)."""

    limits: Limits = field(default_factory=current)
    used: Extent = field(default_factory=Extent)

    def now(self) -> Extent:
        """The extent at this moment, which stays as it is."""
        return replace(self.used)

    def back_to(self, before: Extent) -> None:
        """Forgets what was counted since, but for the lowerings: they were made."""
        self.used.layers, self.used.elements = before.layers, before.elements

    def add(self, part: Extent, place: Place) -> None:
        """Counts a part that is there once more."""
        self.add_layers(part.layers, place)
        self.add_elements(part.elements, place)
        self.add_lowerings(part.lowerings, place)

    def add_layers(self, count: int, place: Place) -> None:
        self.used.layers += count
        self._bound_layers(self.used.layers, place)

    def add_lowerings(self, count: int, place: Place) -> None:
        self.used.lowerings += count
        self._bound_layers(self.used.lowerings, place)

    def add_elements(self, count: int, place: Place) -> None:
        total = self.used.elements + count
        if total > self.limits.elements:
            fact = f"parameters and buffers have {total:,} elements up to here"
            raise refuse("NS217", fact, place.key_span(), self.elements_help())
        self.used.elements = total

    def check_made(self, fact: Fact, place: Place) -> None:
        """What is made while the model is built has as many elements at most as what it keeps."""
        if elements(fact) > self.limits.elements:
            made = f"this makes {elements(fact):,} elements when the model is built"
            raise refuse("NS217", made, place.span(), self.elements_help())

    def elements_help(self) -> str:
        return raised_help("elements", self.limits.elements)

    def _bound_layers(self, count: int, place: Place) -> None:
        if count > self.limits.layers:
            fact = f"the spec has more than {self.limits.layers:,} layers"
            raise refuse("NS217", fact, place.key_span())
