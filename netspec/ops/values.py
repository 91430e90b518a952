"""Facts as values that torch can be called with, and its results as facts."""

from __future__ import annotations

from dataclasses import replace

import torch

from netspec.ops.execution_limits import check_count
from netspec.ops.torch_internals import tree_leaves
from netspec.ops.types import Fact, Mapped, OperatorRejects, Slice, TensorType

MAX_OUTPUTS = 1_000
MANY = -1  # fills a tensor with 0, 1, 2, … 9, 0, …
UNIT = -2  # fills matrices with ones on their diagonals
RANDOM = -3  # fills a tensor with numbers from 0 to 1, one of integers with 0


def has_whole_numbers(fact: Fact) -> bool:
    """Whether a tensor of integers or booleans is in it."""
    if isinstance(fact, tuple):
        return any(map(has_whole_numbers, fact))
    return isinstance(fact, TensorType) and not (
        fact.dtype.is_floating_point or fact.dtype.is_complex
    )


def with_floats(fact: Fact) -> Fact:
    """A fact with floats in the place of tensors of integers and booleans."""
    if isinstance(fact, tuple):
        return tuple(map(with_floats, fact))
    if isinstance(fact, TensorType) and has_whole_numbers(fact):
        return replace(fact, dtype=torch.float32)
    return fact


def in_a_graph(value: object) -> object:
    """A tensor as the value of a layer is: it requires grad, and is no leaf."""
    if not isinstance(value, torch.Tensor):
        return value
    differentiable = value.is_floating_point() or value.is_complex()
    return value.requires_grad_().view_as(value) * 1 if differentiable else value


def go_back(result: object) -> None:
    """A backward pass from all of a result that requires grad."""
    tensors = [t for t in tree_leaves(result) if isinstance(t, torch.Tensor) and t.requires_grad]
    if tensors:
        torch.autograd.backward(tensors, [torch.ones_like(t) for t in tensors])


def to_value(fact: Fact, fill: int | None = None) -> object:
    """A fact as something that torch can be called with: a tensor type becomes a tensor.

    The tensor is on `meta`, or with `fill` on the CPU and full of that number, or of MANY. Raises
    TooMuch for one on the CPU that would take much memory: few elements may lie far apart.
    """
    if isinstance(fact, TensorType):
        shape, stride = fact.shape, fact.stride
        if fill is None:
            return torch.empty_strided(shape, stride, dtype=fact.dtype, device="meta")
        if fill == RANDOM and (fact.dtype.is_floating_point or fact.dtype.is_complex):
            return torch.rand(shape).to(fact.dtype)
        if fill == UNIT and len(shape) > 1:
            check_count(shape[-2] * shape[-1])
            return torch.eye(*shape[-2:]).to(fact.dtype).expand(shape).clone()
        held = 1 + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
        count = max(held, 0)
        check_count(count)
        if fill == MANY:
            numbers = torch.arange(count) % 10
        else:
            numbers = torch.full((count,), {UNIT: 1, RANDOM: 0}.get(fill, fill))
        return numbers.to(fact.dtype).as_strided(shape, stride)
    if isinstance(fact, tuple):
        return tuple(to_value(item, fill) for item in fact)
    if isinstance(fact, Slice):
        return slice(fact.start, fact.stop, fact.step)
    if isinstance(fact, Mapped):
        return {name: to_value(value, fill) for name, value in fact.items}
    return fact


def fact_of(value: object) -> Fact:
    """A result as a fact: tensors become their types, lists and named tuples become tuples.

    Raises OperatorRejects for a result that is neither an ordinary tensor nor a plain value.
    """
    if isinstance(value, torch.Tensor):
        if value.layout is not torch.strided or value.is_quantized:
            kind = "quantized" if value.is_quantized else str(value.layout).removeprefix("torch.")
            raise OperatorRejects(f"it gives a {kind} tensor, which no layer can read")
        return TensorType(tuple(value.shape), tuple(value.stride()), value.dtype)
    if isinstance(value, (tuple, list)):
        if len(value) > MAX_OUTPUTS:
            raise OperatorRejects(f"it gives {len(value)} outputs, {MAX_OUTPUTS} are allowed")
        return tuple(fact_of(item) for item in value)
    if isinstance(value, dict):
        return Mapped(tuple((str(k), fact_of(v)) for k, v in value.items()))
    if value is None or isinstance(value, (bool, int, float, str, torch.dtype, torch.device)):
        return value
    raise OperatorRejects(f"it gives a {type(value).__name__}, which no layer can read")
