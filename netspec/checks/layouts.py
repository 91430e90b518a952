"""Images that are declared as other tools have them, with their channels last."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from netspec.errors import Note
from netspec.ir.graph import Program
from netspec.ir.walk.run_operator import Refuses, ask, meta_inputs
from netspec.ir.walk.walker import RunsInSteps, walk
from netspec.ops.torch_internals import ConvNd

_COLOURS = (1, 3, 4)
_SMALLEST = 8  # side of an image


def notes_of_layouts(program: Program, module: nn.Module) -> tuple[Note, ...]:
    """One for each convolution that takes rows of an image for channels, unsaid.

    `module` is on `meta`.
    """
    inputs = meta_inputs(program)
    if not any(map(_looks_channels_last, inputs)):
        return ()
    watcher = _Watcher(program=program, inputs=inputs)
    try:
        with torch.no_grad():
            walk(program, module.eval(), inputs, watcher)
    except Refuses:
        pass
    return tuple(dict.fromkeys(watcher.found))


def _looks_channels_last(tensor: torch.Tensor) -> bool:
    sides = tensor.shape[1:-1]
    return len(sides) in (2, 3) and tensor.shape[-1] in _COLOURS and min(sides) >= _SMALLEST


@dataclass(slots=True)
class _Watcher(RunsInSteps):
    program: Program = field(kw_only=True)
    inputs: Sequence[torch.Tensor] = ()
    found: list[Note] = field(default_factory=list)

    def call(
        self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        if isinstance(target, ConvNd) and args:
            self._look(target, args[0])
        return ask(target, args, kwargs)[0]

    def _look(self, conv: ConvNd, given: torch.Tensor) -> None:
        ports = zip(self.program.inputs, self.inputs, strict=True)
        name = next((port.name for port, own in ports if own is given), "")
        step = self.steps[-1]
        said = step.place is not None and step.place.argument("in_channels") is not None
        if not name or said or given.dim() != conv.weight.dim() or not _looks_channels_last(given):
            return
        sides = " × ".join(map(str, given.shape[2:]))
        text = (
            f"{step.told} takes `{name}` as {given.shape[1]} channels of {sides}: torch's channels"
            f" come right after the batch, and a last size of {given.shape[-1]} looks like them"
        )
        self.found.append(Note(text, step.span(self.program)))
