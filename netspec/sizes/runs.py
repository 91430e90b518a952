"""A whole model run with numbers on `meta`, to hold what was found with symbols against it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from netspec.ir.graph import Program
from netspec.ir.walk.run_operator import Refuses, ask
from netspec.ir.walk.walker import Bound, RunsInSteps, Step, walk
from netspec.ops.types import TensorType
from netspec.sizes.follow import Followed
from netspec.sizes.formula import value_at
from netspec.sizes.question import mapped
from netspec.sizes.values import SizedType

Shapes = Mapping[str, tuple[int | str, ...]]


@dataclass(slots=True)
class _Values(RunsInSteps):
    """Notes the value of each step, by its path."""

    values: list[tuple[str, Any]] = field(default_factory=list)

    def step(self, step: Step, run: Callable[[], Any]) -> Any:
        index = len(self.values)
        self.values.append((step.path, None))
        value = run()
        self.values[index] = step.path, _shapes(value)
        return value

    def module(self, bound: Bound, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        return ask(bound.module, args, kwargs)[0]

    def operator(
        self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        return ask(target, args, kwargs)[0]


def _shapes(value: Any) -> Any:
    """Tensors' sizes alone: a number may follow which way a condition went."""

    def leaf(one: Any) -> Any:
        return tuple(one.shape) if isinstance(one, torch.Tensor) else None

    return mapped(value, leaf)


def run_model(
    program: Program, module: nn.Module, shapes: Shapes, sizes: Mapping[str, int], training: bool
) -> list[tuple[str, Any]] | None:
    """The sizes that each step gives, the model's own output last; None where it doesn't run."""
    module.train(training)
    inputs = []
    for port in program.inputs:
        fact = port.facts[0]
        assert isinstance(fact, TensorType), "an input is a tensor"
        shape = [sizes[s] if isinstance(s, str) else s for s in shapes[port.name]]
        inputs.append(torch.empty(shape, dtype=fact.dtype, device="meta"))
    values = _Values()
    try:
        with torch.no_grad():
            output = walk(program, module, inputs, values)
    except Refuses:
        return None
    return [*values.values, ("", _shapes(output))]


def says_the_same(
    followed: Followed, found: Sequence[tuple[str, Any]], sizes: Mapping[str, int]
) -> bool:
    """Whether each step gave, at these sizes, what its formulas say."""

    def leaf(one: Any) -> Any:
        if not isinstance(one, SizedType):
            return None
        return tuple([value_at(dim, sizes) for dim in one.dims])

    expected = [(given.step.path, mapped(given.value, leaf)) for given in followed.given]
    expected.append(("", mapped(followed.output, leaf)))
    return expected == [(path, _plain(value)) for path, value in found]


def _plain(value: Any) -> Any:
    return mapped(value, lambda one: one)
