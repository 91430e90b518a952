"""What is refused, as data: the call, what it was given, and what torch or the spec has against it.

`netspec.explain` above finds the words, once one of these is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from torch import nn

from netspec.ir.graph import Place
from netspec.ir.lower.calls.bind import Bound
from netspec.ir.lower.refusal import Refused, Rejection
from netspec.ir.lower.scope import Scope
from netspec.ir.lower.values import Operand
from netspec.ops.arguments import Signature
from netspec.ops.types import Fact, OperatorRejects

# A parameter of the operation, and what it was given.
Arguments: TypeAlias = Sequence[tuple[str, Operand]]
Key: TypeAlias = int | str  # an argument: its position, or its name


@dataclass(frozen=True, slots=True, eq=False)
class Called:
    """A registered module that is called: its name, itself on `meta`, and where it is declared."""

    name: str
    module: nn.Module
    place: Place
    given: Mapping[str, Fact] = field(default_factory=dict)  # the arguments of its class


@dataclass(frozen=True, slots=True, eq=False)
class RejectedCall(Rejection):
    """torch's refusal, at one probe, of an operation that stands at `place`.

    `accepts_without` asks torch again, without one of the arguments.
    """

    scope: Scope
    place: Place
    operator: str
    arguments: Arguments
    index: int
    error: OperatorRejects
    module: Called | None = None
    accepts_without: Callable[[str], bool] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RejectedConstruction(Rejection):
    """A class of torch.nn that does not take its arguments."""

    place: Place
    name: str
    operator: str
    arguments: Mapping[str, Fact]
    error: OperatorRejects
    accepts_without: Callable[[str], bool]


@dataclass(frozen=True, slots=True, eq=False)
class RejectedInit(Rejection):
    """A function of torch.nn.init that does not take a parameter of this type."""

    place: Place
    name: str
    operator: str
    type: Fact
    error: OperatorRejects


@dataclass(frozen=True, slots=True, eq=False)
class WrongInputSize(Rejection):
    """An input-side size that the spec gives, and that the input does not have."""

    scope: Scope
    place: Place
    name: str
    operator: str
    parameter: str
    wanted: int
    operand: Operand
    dimension: int


@dataclass(frozen=True, slots=True, eq=False)
class FreeInputSize(Rejection):
    """An input-side size that is left out, and that is no fixed one."""

    scope: Scope | None
    place: Place
    name: str
    parameter: str
    operand: Operand
    dimension: int


@dataclass(frozen=True, slots=True, eq=False)
class LacksBatch(Rejection):
    """An input of the model that was declared without a batch dimension."""

    scope: Scope
    place: Place
    name: str
    operator: str
    parameter: str
    operand: Operand


@dataclass(frozen=True, slots=True, eq=False)
class RankDiffersAtOne(Rejection):
    """A result that has fewer dimensions, or more, where a free size is 1.

    `sizes` are the sizes of that dimension at the first probe and at its twin.
    """

    scope: Scope
    place: Place
    operator: str
    operand: Operand
    sizes: tuple[int, int]
    takes_dim: bool


@dataclass(frozen=True, slots=True, eq=False)
class WrongPartInput(Rejection):
    """A part that is given an input of another shape than it declares."""

    scope: Scope
    place: Place
    name: str
    declared: Sequence[int | str]
    operand: Operand


@dataclass(frozen=True, slots=True, eq=False)
class CollectionGiven(Rejection):
    """A tuple or a dict that stands where a tensor does; `key` is the argument it is given for.

    `path` leads to the first tensor in it.
    """

    scope: Scope
    place: Place
    what: str
    operand: Operand
    path: tuple[Key, ...]
    key: Key | None = None


AnyRejection: TypeAlias = (
    RejectedCall
    | RejectedConstruction
    | RejectedInit
    | WrongInputSize
    | FreeInputSize
    | LacksBatch
    | RankDiffersAtOne
    | WrongPartInput
    | CollectionGiven
)


def rejected(rejection: AnyRejection) -> Refused:
    """For `raise`: what is refused, yet without words."""
    return Refused(rejection=rejection)


def passed(bound: Bound, signature: Signature) -> Arguments:
    """The operands of a call with the parameters that take them."""
    positional = [p.name for p in signature.parameters if not p.keyword_only]
    names = [*(bound.names or positional), *("" for _ in bound.args)]
    return [*zip(names, bound.args, strict=False), *bound.kwargs]
