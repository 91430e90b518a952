"""A program run once on `meta`: what each step gives, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from netspec.ir.graph import Child, Program
from netspec.ir.traversal import child_at
from netspec.ir.walk.run_operator import ask, fact_or_none
from netspec.ir.walk.walker import Bound, Runs, Step, walk
from netspec.ops.types import Fact
from netspec.view.meter import Cost, Meter, counting


@dataclass(frozen=True, slots=True)
class Visit:
    """What one statement, or one child of a chain, gave and cost with all below it."""

    path: str
    depth: int
    kind: str
    output: Fact
    cost: Cost
    line: int


@dataclass(frozen=True, slots=True)
class Trace:
    """The visits in the order of the run, each before those below it, and what all cost."""

    visits: tuple[Visit, ...]
    total: Cost


def trace(program: Program, module: nn.Module, inputs: Sequence[torch.Tensor]) -> Trace:
    """Runs the program once in train mode on these `meta` inputs, with the modules of its model.

    The module is left in train mode. Raises Refuses where an operator does not take the inputs.
    """
    module.train()
    meter = Meter()
    meter.own([*module.parameters(), *module.buffers()])
    tracer = _Tracer(meter)
    with counting(meter):
        walk(program, module, inputs, tracer)
    tracer.add_uncalled(program.root, module)
    return Trace(tuple(tracer.visits), meter.read())


@dataclass
class _Tracer(Runs):
    meter: Meter
    visits: list[Visit] = field(default_factory=list)

    def step(self, step: Step, run: Callable[[], Any]) -> Any:
        """A row for what `run` gives and costs; those inside come after it."""
        index = len(self.visits)
        before = self.meter.read()
        self.visits.append(Visit(step.path, step.depth, step.kind, None, Cost(), step.line))
        value = run()
        cost = self.meter.read() - before
        if step.kind == "outputs" and cost == Cost():
            del self.visits[index]  # only outputs that compute something are worth a row
            return value
        kind = "=" if step.kind == "outputs" else step.kind
        self.visits[index] = Visit(
            step.path, step.depth, kind, fact_or_none(value), cost, step.line
        )
        return value

    def module(self, bound: Bound, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        for parameter in bound.module.parameters():
            self.meet(parameter)
        return self.operator(bound.module, args, kwargs)

    def operator(
        self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        value, exact = ask(target, args, kwargs)
        if not exact:
            self.meter.guesses += 1
        return value

    def meet(self, parameter: nn.Parameter) -> None:
        self.meter.meet([parameter])

    def add_uncalled(self, root: Child, module: nn.Module) -> None:
        """A row for each module whose parameters no statement met."""
        for path, part in module.named_modules():
            before = self.meter.read()
            self.meter.meet(part.parameters(recurse=False))
            cost = self.meter.read() - before
            if cost.parameters:
                child = child_at(root, path.split("."))
                line = child.place.line if child and child.place else 0
                self.visits.append(Visit(path, 0, type(part).__name__, None, cost, line))
