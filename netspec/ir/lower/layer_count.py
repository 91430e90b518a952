"""How many layers a spec has at least, counted before any is lowered.

Ten blocks, each of which holds the one before ten times, are a short text and 10¹⁰ layers. What has
a condition, or a number of copies that is an expression, counts as none here; the lowering counts
what it really meets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from netspec.ir.graph import Place
from netspec.ir.limits import MAX_DEPTH
from netspec.ir.lower.layers.arguments import items_of
from netspec.ir.lower.refusal import refuse
from netspec.language.load import Definition, Spec
from netspec.language.schema import BlockLayer, ContainerLayer, Layer, Layers, Repeat
from netspec.limits import current


def check_least(spec: Spec) -> None:
    """Raises Refused (NS217) at the layer by which there are too many, however they are lowered."""
    here = Place(spec.source, ("layers",))
    _Counter(current().layers)._layers(spec.document.layers, spec.blocks, here, 0)


@dataclass(slots=True)
class _Counter:
    """The layers of each block that was counted before, by id."""

    most: int
    counted: dict[int, int] = field(default_factory=dict)

    def _layers(
        self, layers: Layers, blocks: Mapping[str, Definition], place: Place, depth: int
    ) -> int:
        total = 0
        for key, layer in items_of(layers):
            total += self._layer(layer, blocks, place, key, depth)
            if total > self.most:
                fact, at = f"the spec has more than {self.most:,} layers", place.at(key)
                raise refuse("NS217", fact, at.key_span(), "each copy of a block counts")
        return total

    def _layer(
        self,
        layer: Layer,
        blocks: Mapping[str, Definition],
        around: Place,
        key: str | int,
        depth: int,
    ) -> int:
        if layer.when is not None or depth > MAX_DEPTH:
            return 0
        count = _copies(layer, self.most)
        if isinstance(layer, ContainerLayer):
            place = around.at(key, "layers")
            count *= 1 + self._layers(layer.layers, blocks, place, depth + 1)
        if isinstance(layer, BlockLayer) and layer.block in blocks:
            count *= 1 + self._block(blocks[layer.block], depth + 1)
        return count

    def _block(self, definition: Definition, depth: int) -> int:
        key = id(definition.block)
        if key not in self.counted:
            self.counted[key] = 0  # for a block that contains itself
            place = Place(definition.source, definition.path).at("layers")
            self.counted[key] = self._layers(
                definition.block.layers, definition.blocks, place, depth
            )
        return self.counted[key]


def _copies(layer: Layer, most: int) -> int:
    repeat = layer.repeat
    if repeat is None:
        return 1
    asked = (repeat.over or repeat.n) if isinstance(repeat, Repeat) else repeat
    if isinstance(asked, list):
        return len(asked)
    return asked if isinstance(asked, int) and 0 < asked <= most else 0  # told later
