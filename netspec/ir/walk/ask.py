"""One operator run on `meta`, and what stands in for it where `meta` has no kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from netspec.ops import facts
from netspec.ops.facts import Fact, OperatorRejects


class Refuses(Exception):
    """An operator does not take these sizes, as a batch norm does not take a batch of one."""


def ask(
    target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Any, bool]:
    """What an operator gives on `meta`, and True; without a kernel there, a value of its type.

    Raises Refuses where torch does not take the operands on any device.
    """
    try:
        return target(*args, **kwargs), True
    except Exception as error:  # an operator may refuse in any way
        refusal = error
    if not _has_no_kernel(refusal):
        raise Refuses(str(refusal)) from None
    try:
        return _like(_fact_of_call(target, args, kwargs)), False
    except OperatorRejects:
        raise Refuses(str(refusal)) from None


def _has_no_kernel(error: Exception) -> bool:
    """Whether it is `meta` that cannot do it, or asks for numbers that `meta` has not."""
    return isinstance(error, NotImplementedError) or "meta" in str(error).lower()


def _fact_of_call(
    target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Fact:
    """The type of the result, found on small CPU tensors where `meta` has no kernel."""
    given = tuple([facts.fact_of(value) for value in (*args, *kwargs.values())])
    if isinstance(target, nn.Module):
        named = tuple(zip(kwargs, given[len(args) :], strict=True))
        return facts.run_module(target, object(), True, given[: len(args)], named)

    def positional(*values: Any) -> Any:
        return target(*values[: len(args)], **dict(zip(kwargs, values[len(args) :], strict=True)))

    return facts.run(object(), positional, given)


def _like(fact: Fact) -> Any:
    """A value of this type that is part of a graph of autograd, as the real one would be."""
    value = facts.to_value(fact)
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.requires_grad_() * 1
    return tuple(_like(item) for item in fact) if isinstance(fact, tuple) else value


def fact_or_none(value: Any) -> Fact:
    """The type of a value, or None for what has none, as a module."""
    try:
        return facts.fact_of(value)
    except OperatorRejects:
        return None


def plain_value(value: Any) -> Any:
    """A constant of the program as Python has it."""
    if isinstance(value, facts.Slice):
        return facts.to_value(value)
    return tuple(map(plain_value, value)) if isinstance(value, tuple) else value
