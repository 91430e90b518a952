"""A program run in another dtype than its spec's: floating inputs, parameters and buffers have it.

What `forward` makes keeps its own dtype, `zeros` float32, and torch mixes two of them in some
operators only. So each is asked on `meta`, and as `meta` looks at shapes alone, its kernel, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from netspec.errors import Diagnostic, Span
from netspec.ir.graph import Program
from netspec.ir.walk.run_operator import Refuses, ask, meta_inputs
from netspec.ir.walk.walker import RunsInSteps, Step, walk
from netspec.ops import meta_eval
from netspec.ops.execution import first_line
from netspec.ops.torch_internals import tree_leaves
from netspec.ops.types import OperatorRejects, dtype_name
from netspec.ops.values import fact_of


def find_dtype_clash(
    program: Program, module: nn.Module, dtype: torch.dtype
) -> tuple[Diagnostic, ...]:
    """The first layer that does not run in this dtype, if there is one; `module` is on `meta`."""
    inputs = meta_inputs(program, dtype)
    watcher = _Watcher()
    try:
        with torch.no_grad():
            walk(program, module.to(dtype).eval(), inputs, watcher)
    except _Clash as clash:
        return (_told(program, clash, dtype),)
    return ()


class _Clash(Exception):
    """An operator that does not take its operands in these dtypes; the text is torch's own."""

    def __init__(self, step: Step, mixed: bool, words: str) -> None:
        super().__init__(words)
        self.step = step
        self.mixed = mixed


def _told(program: Program, clash: _Clash, dtype: torch.dtype) -> Diagnostic:
    step, name = clash.step, dtype_name(dtype)
    span = step.place.key_span() if step.place is not None else Span(program.source.file)
    first = program.inputs[0].name
    help = (
        f"what `forward` makes is float32 by itself: write `dtype={first}.dtype` where it is made"
    )
    fact = f"`{step.path}` does not run in {name}: {clash}"
    return Diagnostic("NS301", fact, span, (), help if clash.mixed else None)


class _Watcher(RunsInSteps):
    def call(
        self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        tensors = [v for v in tree_leaves((args, dict(kwargs))) if isinstance(v, torch.Tensor)]
        if isinstance(target, nn.Module):
            tensors += target.parameters()
        mixed = len({t.dtype for t in tensors if t.is_floating_point()}) > 1
        try:
            if mixed:
                _ask_kernel(target, args, kwargs)
            return ask(target, args, kwargs)[0]
        except (OperatorRejects, Refuses) as error:
            raise _Clash(self.steps[-1], mixed, first_line(error)) from None


def _ask_kernel(
    target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> None:
    """Nothing, where the CPU takes operands of several dtypes. Raises OperatorRejects."""
    try:
        given = tuple([fact_of(value) for value in args])
        named = tuple([(name, fact_of(value)) for name, value in kwargs.items()])
    except OperatorRejects:  # a value that is no fact: nothing is known of it
        return
    if isinstance(target, nn.Module):
        meta_eval.run_module(target, object(), target.training, given, named)
        return

    def call(*values: Any) -> Any:
        return target(*values[: len(args)], **dict(zip(kwargs, values[len(args) :], strict=True)))

    meta_eval.run(object(), call, (*given, *[value for _, value in named]))
