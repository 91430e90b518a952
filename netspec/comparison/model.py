"""What a comparison is made of: frozen, plain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from netspec.analysis.analyse import Analysis
from netspec.view.summary import Summary

# `affected`: its own lines say the same, and what comes in, or its sizes, differ.
Kind: TypeAlias = Literal["added", "removed", "renamed", "moved", "changed", "affected"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs: an argument, a shape, what is read; nothing where it is absent."""

    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class LayerPlace:
    """Where a spec has the name of a layer; line 0 where no file has it."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What a layer holds and costs, with all inside of it; None where it is not known."""

    parameters: int
    flops: int | None
    saved_bytes: int | None


@dataclass(frozen=True, slots=True)
class Change:
    """A layer that differs: its path and place in each of the specs, None where one lacks it.

    `kinds` is one of `added` and `removed`, or several of the others. Of a container that is added
    or removed `inside` counts the layers that are so with it, which have no change of their own.
    """

    a: str | None
    b: str | None
    operation: str
    kinds: tuple[Kind, ...]
    facts: tuple[Difference, ...] = ()
    figures_a: Figures | None = None
    figures_b: Figures | None = None
    inside: int = 0
    place_a: LayerPlace | None = None
    place_b: LayerPlace | None = None


@dataclass(frozen=True, slots=True)
class Reshaped:
    """A key of B whose tensor has another shape in A, where its key may be another one."""

    key: str
    key_in_a: str
    shape: tuple[int, ...]
    shape_in_a: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Keys:
    """How a checkpoint of A fits B: keys of B by the key of A whose tensor fits, and what has none.

    `unused` are keys of A that no key of B takes. `uncertain` are keys of B among the `new` ones of
    which A has several that could be it, or of which several would take one of A's.
    """

    carried: Mapping[str, str]
    reshaped: tuple[Reshaped, ...]
    new: tuple[str, ...]
    unused: tuple[str, ...]
    uncertain: tuple[str, ...]

    @property
    def renamed(self) -> Mapping[str, str]:
        """Of what is carried, that which has another key."""
        return {key: source for key, source in self.carried.items() if key != source}


@dataclass(frozen=True, slots=True)
class NetworkDiff:
    """Two specs, what differs from A to B in the order of B, and how A's checkpoints fit B."""

    a: Analysis
    b: Analysis
    costs_a: Summary
    costs_b: Summary
    twins: Mapping[str, str]  # from a layer's path in A to its path in B
    changes: tuple[Change, ...]
    keys: Keys

    @property
    def equal(self) -> bool:
        """Whether both are one network, with the same keys."""
        return not self.changes
