"""Layers whose result needs a gradient that torch cannot compute: a training run would stop there.

That is no mistake of the spec, as long as nobody trains through it; so it is told as a note.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from netspec.ir.graph import Program
from netspec.ir.walk.run_operator import Refuses, ask
from netspec.ir.walk.walker import RunsInSteps, Step, walk
from netspec.ops.facts import TensorType

_MOST_CALLS = 2_000


class _Enough(Exception):
    """So many calls were looked at."""


def notes_without_derivative(program: Program, module: nn.Module) -> tuple[str, ...]:
    """A line for each layer that ends all gradients with an error; `module` is on `meta`.

    Of a model with very many layers the first are looked at.
    """
    watcher = _Watcher()
    try:
        with torch.enable_grad():
            walk(program, module.train(), _inputs(program), watcher)
    except Refuses:  # a batch norm takes no batch of one in train mode
        return ()
    except _Enough:
        pass
    return tuple(map(_note, watcher.found.values()))


def _note(step: Step) -> str:
    where = ""
    if step.place is not None and step.line:
        where = f" ({PurePath(step.place.span().file).name}:{step.line})"
    return f"`{step.path}`{where} has no derivative: `backward` through it raises"


def _inputs(program: Program) -> list[torch.Tensor]:
    found = []
    for port in program.inputs:
        fact = port.facts[0]
        assert isinstance(fact, TensorType), "an input is a tensor"
        made = torch.empty_strided(fact.shape, fact.stride, dtype=fact.dtype, device="meta")
        found.append(made)
    return found


@dataclass(slots=True)
class _Watcher(RunsInSteps):
    found: dict[str, Step] = field(default_factory=dict)
    calls: int = 0

    def call(
        self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        self.calls += 1
        if self.calls > _MOST_CALLS:
            raise _Enough
        value, _ = ask(target, args, kwargs)
        if any(map(_has_no_derivative, tree_leaves(value))):
            self.found.setdefault(self.steps[-1].path, self.steps[-1])
        return value


def _has_no_derivative(value: object) -> bool:
    node = value.grad_fn if isinstance(value, torch.Tensor) else None
    return node is not None and node.name().endswith("::NotImplemented")
