"""One operator run on `meta`, and what stands in for it where `meta` has no kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from netspec.ir.graph import Program
from netspec.ops import catalog, gradients, meta_eval, registry
from netspec.ops.execution import first_line
from netspec.ops.registry import Registered
from netspec.ops.torch_internals import tree_flatten, tree_leaves, tree_map, tree_unflatten
from netspec.ops.types import Fact, OperatorRejects, Slice, TensorType
from netspec.ops.values import fact_of, to_value


class Refuses(Exception):
    """An operator does not take these sizes, as a batch norm does not take a batch of one."""


class RefusesGradient(Exception):
    """torch refuses an argument because it requires grad; the text is its own."""


def meta_inputs(program: Program, dtype: torch.dtype | None = None) -> list[torch.Tensor]:
    """The program's inputs on `meta`, and where a dtype is given the floating ones in that."""
    inputs = []
    for port in program.inputs:
        fact = port.facts[0]
        assert isinstance(fact, TensorType), "an input is a tensor"
        own = dtype if dtype is not None and fact.dtype.is_floating_point else fact.dtype
        inputs.append(torch.empty_strided(fact.shape, fact.stride, dtype=own, device="meta"))
    return inputs


def ask(
    target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Any, bool]:
    """What an operator gives on `meta`, and True; without a kernel there, a value of its type.

    False, too, where autograd may keep what nobody can see: by a fake, which has no backward pass,
    or in a `torch.autograd.Function`, which may hold a tensor in any way.
    False as well where only what requires grad is refused, as a loss's target may be.
    Raises Refuses where torch does not take the operands on any device.
    """
    try:
        return ask_trained(target, args, kwargs)
    except RefusesGradient as refusal:
        return _without_gradients(target, args, kwargs, refusal), False


def ask_trained(
    target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Any, bool]:
    """The same; raises RefusesGradient where only what requires grad is refused."""
    registered = registry.of_target(type(target) if isinstance(target, nn.Module) else target)
    if registered is not None and registered.fake is not None:
        return _by_fake(registered, target, args, kwargs), False
    try:
        value = target(*args, **kwargs)
        return value, registered is None or not _has_own_backward(value, args, kwargs)
    except Exception as error:  # an operator may refuse in any way
        refusal = error
    if gradients.REFUSED.search(str(refusal)):
        raise RefusesGradient(first_line(refusal))
    try:
        return _like(_fact_of_call(target, args, kwargs)), False
    except OperatorRejects:
        raise Refuses(str(refusal)) from None


def _without_gradients(
    target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], refusal: Exception
) -> Any:
    """What a call gives where some of its tensors must not require grad: the last ones, if any."""
    leaves, spec = tree_flatten((args, dict(kwargs)))
    for number in reversed(range(len(leaves))):
        if not _is(leaves[number]) or not leaves[number].requires_grad:
            continue
        leaves[number] = leaves[number].detach()
        positional, named = tree_unflatten(leaves, spec)
        try:
            return target(*positional, **named)
        except Exception as error:  # of those before it
            refusal = error
    raise Refuses(str(refusal))


def _by_fake(
    registered: Registered,
    target: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    """What a fake gives, in the memory that it says: its inputs', or new."""
    assert registered.fake is not None
    before = (target,) if isinstance(target, nn.Module) else ()
    try:
        value = registered.fake(*before, *args, **kwargs)
    except Exception as error:  # it may refuse in any way
        raise Refuses(str(error)) from None
    given = {t.untyped_storage()._cdata for t in tree_leaves((args, dict(kwargs))) if _is(t)}
    return tree_map(lambda t: t if not _is(t) or _lies_in(t, given) else _as_result(t), value)


def _is(value: object) -> bool:
    return isinstance(value, torch.Tensor)


def _lies_in(tensor: torch.Tensor, storages: set[int]) -> bool:
    return tensor.untyped_storage()._cdata in storages


def _as_result(tensor: torch.Tensor) -> torch.Tensor:
    if not tensor.is_floating_point():
        return tensor
    return tensor.detach().requires_grad_() * 1


def _has_own_backward(value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether a `torch.autograd.Function` of Python's is between these inputs and this value."""
    ends = {t.grad_fn for t in tree_leaves((args, dict(kwargs))) if _is(t)}
    waiting = [t.grad_fn for t in tree_leaves(value) if _is(t)]
    met = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in ends or node in met:
            continue
        met.add(node)
        if isinstance(node, torch.autograd.function.BackwardCFunction):
            return True
        waiting += [following for following, _ in node.next_functions]
    return False


def _fact_of_call(
    target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Fact:
    """The type of the result, found on small CPU tensors where `meta` has no kernel."""
    given = tuple([fact_of(value) for value in (*args, *kwargs.values())])
    positions, named = given[: len(args)], tuple(zip(kwargs, given[len(args) :], strict=True))
    if isinstance(target, nn.Module):
        return meta_eval.run_module(target, object(), target.training, positions, named)
    registered = registry.of_target(target)
    if registered is not None:
        return meta_eval.run_function(catalog.operator_of(registered), positions, named)

    def positional(*values: Any) -> Any:
        return target(*values[: len(args)], **dict(zip(kwargs, values[len(args) :], strict=True)))

    return meta_eval.run(object(), positional, given)


def _like(fact: Fact) -> Any:
    """A value of this type that is part of a graph of autograd, as the real one would be."""
    value = to_value(fact)
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.requires_grad_() * 1
    return tuple(_like(item) for item in fact) if isinstance(fact, tuple) else value


def fact_or_none(value: Any) -> Fact:
    """The type of a value, or None for what has none, as a module."""
    try:
        return fact_of(value)
    except OperatorRejects:
        return None


def plain_value(value: Any) -> Any:
    """A constant of the program as Python has it."""
    if isinstance(value, Slice):
        return to_value(value)
    return tuple(map(plain_value, value)) if isinstance(value, tuple) else value
