"""What a model does where its parameters are trained: what torch refuses there when the model runs,
and what ends in an error when gradients go back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from netspec.errors import Diagnostic, Span
from netspec.ir.graph import Program
from netspec.ir.walk.run_operator import Refuses, RefusesGradient, ask, ask_trained, meta_inputs
from netspec.ir.walk.walker import RunsInSteps, Step, Watcher, walk
from netspec.ops import gradients

_MOST_CALLS = 2_000
_ARGUMENT = re.compile("with respect to argument '(\\w+)'")


class _Enough(Exception):
    """So many calls were looked at."""


class _Refused(Exception):
    """A call that torch refuses, for what is trained; the text is its own."""

    def __init__(self, step: Step, words: str) -> None:
        super().__init__(words)
        self.step = step


def find_refused_gradient(program: Program, module: nn.Module) -> list[Diagnostic]:
    """The first layer that raises in `forward` unless it runs under `no_grad`, if there is one.

    `module` is on `meta`.
    """
    for training in (True, False):
        try:
            _walk(program, module.train(training), _Refusals())
        except _Refused as refused:
            return [_told(program, refused)]
    return []


def _told(program: Program, refused: _Refused) -> Diagnostic:
    place = refused.step.place
    span = place.key_span() if place is not None else Span(program.source.file)
    named = _ARGUMENT.search(str(refused))
    what = f"its `{named[1]}`" if named else "all that it is given"
    fact = f"`{refused.step.path}` raises in `forward`: torch has no gradient for {what}"
    help = "write `.detach()` after what is given there, or `freeze: true` in its layer"
    return Diagnostic("NS301", fact, span, (), help)


def notes_without_derivative(program: Program, module: nn.Module) -> tuple[str, ...]:
    """A line for each layer that ends all gradients with an error; `module` is on `meta`.

    Of a model with very many layers the first are looked at.
    """
    watcher = _Derivatives()
    _walk(program, module.train(), watcher)
    return tuple(map(_note, watcher.found.values()))


def _note(step: Step) -> str:
    return f"{step.told} has no derivative: `backward` through it raises"


def _walk(program: Program, module: nn.Module, watcher: Watcher) -> None:
    """One run with gradients, as far as it goes: a batch norm may refuse a batch in train mode."""
    try:
        with torch.enable_grad():
            walk(program, module, meta_inputs(program), watcher)
    except (Refuses, _Enough):
        return


class _Refusals(RunsInSteps):
    def call(
        self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        try:
            return ask_trained(target, args, kwargs)[0]
        except RefusesGradient as refusal:
            raise _Refused(self.steps[-1], str(refusal)) from None


@dataclass(slots=True)
class _Derivatives(RunsInSteps):
    found: dict[str, Step] = field(default_factory=dict)
    calls: int = 0

    def call(
        self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        self.calls += 1
        if self.calls > _MOST_CALLS:
            raise _Enough
        value, _ = ask(target, args, kwargs)
        ends = any(map(_has_no_derivative, tree_leaves(value)))
        if ends or gradients.lacks_derivative(target, args, kwargs):
            self.found.setdefault(self.steps[-1].path, self.steps[-1])
        return value


def _has_no_derivative(value: object) -> bool:
    node = value.grad_fn if isinstance(value, torch.Tensor) else None
    return node is not None and node.name().endswith("::NotImplemented")
