"""What an analysis is made of: frozen, plain, with a place for everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from netspec.errors import Span

State: TypeAlias = Literal["known", "refused", "open", "absent"]
NameKind: TypeAlias = Literal["layer", "block", "arg", "input"]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor; a free size, or what follows one, is a text: `("N", 64, "T/2")`."""

    shape: tuple[int | str, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Named:
    """A dict of values, in its order."""

    items: tuple[tuple[str, Data], ...]


@dataclass(frozen=True, slots=True)
class Other:
    """A value that is no tensor: a number that follows a free size is a text, as in a shape."""

    value: bool | int | float | str | None


Data: TypeAlias = "Tensor | Named | Other | tuple[Data, ...]"


@dataclass(frozen=True, slots=True)
class Type:
    """The type of a value, as a text for people (`[N, 64, T/2]`) and as data."""

    text: str
    data: Data


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter, by its path below its layer."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def elements(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor of the state dict; `first_key` is the first of the keys that have it, if tied."""

    shape: tuple[int, ...]
    dtype: str
    first_key: str


@dataclass(frozen=True, slots=True)
class InPlace:
    """Whether a call overwrites its input, and why, or why not."""

    taken: bool
    asked_for: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Node:
    """An input or a layer, in each of its copies.

    `path` is unique in the model (`layer1.0.conv1`), `operation` what it calls (`Conv2d`, a block's
    name, an expression), `text_path` where the text has it, and `place` its name there. The state
    is `known` where its types are, `refused` where a mistake is in it, `open` where a mistake
    before it leaves its types open, `absent` where its `when` is false. `inputs` are what comes in,
    and a type in them is None where it is open.
    """

    path: str
    kind: str
    operation: str
    place: Span
    text_path: tuple[str | int, ...]
    state: State
    inputs: tuple[Type | None, ...] = ()
    output: Type | None = None
    parameters: tuple[Parameter, ...] = ()
    in_place: InPlace | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """A value that goes from an input or a layer to a layer, as this argument of it.

    `argument` is a position or a name; nothing for what an expression reads.
    """

    source: str
    target: str
    argument: str


@dataclass(frozen=True, slots=True)
class Tie:
    """Two parameters that are one: paths in the model."""

    target: str
    source: str
    place: Span


@dataclass(frozen=True, slots=True)
class Name:
    """A name of the text: where it is defined, and all places that use it."""

    name: str
    kind: NameKind
    definition: Span
    uses: tuple[Span, ...]
