"""Layers whose result needs a gradient that torch cannot compute: a training run would stop there.

That is no mistake of the spec, as long as nobody trains through it; so it is told as a note.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from netspec.ir.graph import Program
from netspec.ir.walk.run_operator import Refuses, ask
from netspec.ir.walk.shared import shared_modules
from netspec.ir.walk.walker import Bound, Given, RunsInSteps, Step, walk
from netspec.ops.facts import TensorType, memo_key, type_of

_A_QUESTION = 10  # the work of one, beside that of a call
_MOST_WORK = 20_000


class _Enough(Exception):
    """So much was looked at."""


def notes_without_derivative(program: Program) -> tuple[str, ...]:
    """A line for each layer that ends all gradients with an error.

    One that is called again with the same types is told once, where it is first. Of a model with
    very many layers the first are looked at.
    """
    watcher = _Watcher()
    try:
        with torch.enable_grad():
            walk(program, shared_modules(program.root), _inputs(program), watcher)
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
        if any(map(_has_no_derivative, tree_leaves(value))):
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
