"""Two evaluations of the same inputs, and the first layer that gives other values in the second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from netspec.ir.graph import Program
from netspec.ir.walk.walker import Runs, Step, walk
from netspec.ops.process_state import own_random_state
from netspec.proof.compare import named_tensors, same


@dataclass
class _Notes(Runs):
    """What each step gave, in the order in which they ended."""

    steps: list[tuple[Step, list[torch.Tensor]]] = field(default_factory=list)

    def step(self, step: Step, run: Callable[[], Any]) -> Any:
        value = run()
        self.steps.append((step, [tensor.clone() for _, tensor in named_tensors(value, "")]))
        return value


def changed_step(
    program: Program, model: nn.Module, inputs: Sequence[torch.Tensor], seeds: tuple[int, int]
) -> Step | None:
    """The first step whose values are others in the second evaluation; None where all are equal.

    Each evaluation draws its random numbers from its own seed.
    """
    model = deepcopy(model).eval()
    runs: list[list[tuple[Step, list[torch.Tensor]]]] = []
    for seed in seeds:
        notes = _Notes()
        with own_random_state(), torch.no_grad():
            torch.manual_seed(seed)
            walk(program, model, [x.clone() for x in inputs], notes)
        runs.append(notes.steps)
    for (step, first), (_, second) in zip(runs[0], runs[1], strict=True):
        if len(first) != len(second) or not all(map(same, first, second)):
            return step
    return None
