"""What a comparison is made of: a spec, its original, inputs, and what is known to differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypedDict

from torch import Tensor, nn

from tests.compare import call_plainly
from tests.twins.registry import floats

Size = tuple[int, ...]  # height and width, or the lengths of the sequences
# in the order in which they are asked
Question = Literal["keys", "shapes", "seed", "eval", "train", "gradients", "buffers"]


def images(count: int, size: Size) -> tuple[Tensor, ...]:
    """A batch of RGB images."""
    return (floats(count, 3, *size),)


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """A change of the spec's args or text, and the first question that has to notice it."""

    args: Mapping[str, object] = field(default_factory=dict)
    overrides: Mapping[str, object] = field(default_factory=dict)
    at: Question


@dataclass(frozen=True, kw_only=True)
class Case:
    """A spec with these args beside its original, which draws from torch's global generator."""

    spec: str  # found by its name
    args: Mapping[str, object] = field(default_factory=dict)
    package: str  # where the original comes from; "" where it is written by hand here
    original: Callable[[], nn.Module]  # for `args`
    inputs: Callable[[int, Size], tuple[Tensor, ...]] = images  # for a batch size and a size
    sizes: tuple[Size, ...]  # eval at each; train at the first
    call: Callable[..., object] = call_plainly  # original, *inputs -> what the spec's model gives
    source: tuple[str, ...]  # dotted names, whose source text is the original's
    wrong: Wrong

    # What is known of one seed. "same": equal parameters; "alike": the same distributions.
    seed: Literal["same", "alike"] = "same"
    draws: int = 4  # models drawn to compare distributions
    own_buffers: tuple[str, ...] = ()  # buffers that only the spec has; they are not saved
    their_buffers: tuple[str, ...] = ()  # buffers that only the original has; not saved either

    # The original for the spec's own defaults, where `args` make it another; and a usual input.
    full: Callable[[], nn.Module] | None = None
    full_inputs: Callable[[int, Size], tuple[Tensor, ...]] | None = None  # where others than these
    usual: Size
    meta: bool = True  # false: its constructor reads what is in tensors

    def __str__(self) -> str:
        return "-".join([self.spec, *(f"{k}={v}".replace(" ", "") for k, v in self.args.items())])


class SameArguments(TypedDict):
    """The fields of a case whose spec and whose original take the same arguments."""

    args: Mapping[str, object]
    original: Callable[[], nn.Module]


def same_arguments(make: Callable[..., nn.Module], args: Mapping[str, object]) -> SameArguments:
    return {"args": args, "original": partial(make, **args)}


def batches(case: Case) -> list[tuple[Tensor, ...]]:
    """Two batch sizes at least, and every size."""
    first, *others = case.sizes
    return [case.inputs(2, first), *(case.inputs(3, size) for size in others or [first])]


def at_defaults(case: Case) -> tuple[Callable[[], nn.Module], Callable[[int], tuple[Tensor, ...]]]:
    """The original for the spec's own defaults, and its usual inputs for a batch size."""
    inputs = case.full_inputs or case.inputs
    return case.full or case.original, lambda count: inputs(count, case.usual)
