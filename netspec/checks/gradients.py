"""What a model does where its parameters are trained: what torch refuses there when the model runs,
and what ends in an error when gradients go back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from netspec.errors import Diagnostic, Note
from netspec.ir.graph import Program
from netspec.ir.walk.run_operator import Refuses, RefusesGradient, ask, ask_trained, meta_inputs
from netspec.ir.walk.shared import shared_modules
from netspec.ir.walk.walker import Bound, Given, RunsInSteps, Step, Watcher, walk
from netspec.ops import gradients
from netspec.ops.torch_internals import tree_leaves
from netspec.ops.types import memo_key, type_of

_A_QUESTION = 10  # the work of one, beside that of a call
_MOST_WORK = 20_000
_ARGUMENT = re.compile("with respect to argument '(\\w+)'")


class _Enough(Exception):
    """So much was looked at."""


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
    span = refused.step.span(program)
    named = _ARGUMENT.search(str(refused))
    what = f"its `{named[1]}`" if named else "all that it is given"
    fact = f"`{refused.step.path}` raises in `forward`: torch has no gradient for {what}"
    help = "write `.detach()` after what is given there, or `freeze: true` in its layer"
    return Diagnostic("NS301", fact, span, (), help)


def notes_without_derivative(program: Program) -> tuple[Note, ...]:
    """One for each layer that ends all gradients with an error.

    One that is called again with the same types is told once, where it is first. Of a model with
    very many layers the first are looked at.
    """
    watcher = _Derivatives()
    _walk(program, shared_modules(program.root), watcher)
    return tuple([_note(step, program) for step in watcher.found.values()])


def _note(step: Step, program: Program) -> Note:
    text = f"{step.told} has no derivative: `backward` through it raises"
    return Note(text, step.span(program))


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
    work: int = 0
    known: dict[object, Any] = field(default_factory=dict)  # what calls gave, by what was given

    def enter(self, bound: Bound, given: Given, run: Callable[[], Any]) -> Any:
        key = _key_of(bound.module, given)
        if key not in self.known:
            self.known[key] = run()
        return self.known[key]

    def call(
        self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        self._spend(1)
        key = _key_of(target, (args, kwargs))
        if key in self.known:
            return self.known[key]
        self._spend(_A_QUESTION)
        value, _ = ask(target, args, kwargs)
        ends = any(map(_has_no_derivative, tree_leaves(value)))
        if ends or gradients.lacks_derivative(target, args, kwargs):
            self.found.setdefault(self.steps[-1].path, self.steps[-1])
        given = tree_leaves((args, dict(kwargs)))
        if not any(value is one for one in given):  # it may have been overwritten
            self.known[key] = value
        return value

    def _spend(self, work: int) -> None:
        self.work += work
        if self.work > _MOST_WORK:
            raise _Enough


def _key_of(target: Callable[..., Any], given: Given) -> object:
    """What the result of a call, and whether it has a derivative, depend on."""
    args, kwargs = given
    return target, _type_of(args), _type_of(dict(kwargs))


def _type_of(value: object) -> object:
    if isinstance(value, torch.Tensor):
        return type_of(value), value.requires_grad
    if isinstance(value, (tuple, list)):
        return tuple([_type_of(item) for item in value])
    if isinstance(value, dict):
        return tuple([(name, _type_of(item)) for name, item in value.items()])
    if isinstance(value, slice):
        return _type_of((value.start, value.stop, value.step))
    return memo_key(value)


def _has_no_derivative(value: object) -> bool:
    node = value.grad_fn if isinstance(value, torch.Tensor) else None
    return node is not None and node.name().endswith("::NotImplemented")
