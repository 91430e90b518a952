"""A model run in one mode → all that comes of it; two such results → what differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from netspec.ops.process_state import own_random_state


@dataclass(frozen=True, slots=True)
class Result:
    """What one forward and backward pass gave; each tensor by its name.

    `parameters` are those after the step, in train mode; `changed` are the inputs that are not as
    they were.
    """

    outputs: dict[str, torch.Tensor]
    gradients: dict[str, torch.Tensor]
    buffers: dict[str, torch.Tensor]
    parameters: dict[str, torch.Tensor]
    changed: tuple[str, ...]


_LEARNING_RATE = 0.01


def run_once(
    model: nn.Module, inputs: Sequence[tuple[str, torch.Tensor]], training: bool, seed: int
) -> Result:
    """One pass in this mode, random numbers drawn from `seed`; in train mode a step of SGD, too.

    The loss weighs each output with fixed random numbers, so that no gradient is of ones only.
    """
    model.train(training)
    model.zero_grad(set_to_none=True)
    given = [(name, x.clone().requires_grad_(_is_real(x))) for name, x in inputs]
    with own_random_state():
        torch.manual_seed(seed)
        outputs = dict(named_tensors(model(*[x for _, x in given]), ""))
        torch.manual_seed(seed)
        parts = [
            (value * torch.randn_like(value)).sum().abs()
            for value in outputs.values()
            if value.requires_grad
        ]
        if parts:
            torch.stack([part.double() for part in parts]).sum().backward()  # type: ignore[no-untyped-call]
    before = dict(inputs)
    changed = tuple(name for name, x in given if not same(x.detach(), before[name]))
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    gradients |= {f"input {name}": x.grad for name, x in given if x.grad is not None}
    weights = list(model.parameters())
    parameters: dict[str, torch.Tensor] = {}
    if training and weights:
        torch.optim.SGD(weights, lr=_LEARNING_RATE).step()
        parameters = {name: p.detach().clone() for name, p in model.named_parameters()}
    buffers = {name: b.clone() for name, b in model.named_buffers()}
    kept = {name: value.detach() for name, value in outputs.items()}
    return Result(kept, gradients, buffers, parameters, changed)


def first_difference(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> str | None:
    """The first name whose tensors are not equal, bit for bit, with how far they are apart."""
    for name in dict.fromkeys([*theirs, *ours]):
        if name not in ours or name not in theirs:
            return f"`{name}` is in one only"
        one, other = ours[name], theirs[name]
        if not same(one, other):
            return f"`{name}` differs{_distance(one, other)}"
    return None


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors are equal, NaN to NaN."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if torch.equal(one, other):
        return True
    if not (one.is_floating_point() or one.is_complex()):
        return False
    return bool(((one == other) | (one.isnan() & other.isnan())).all())


def named_tensors(value: Any, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    """All tensors in nested tuples, lists and dicts, by their paths."""
    if isinstance(value, torch.Tensor):
        yield name or "output", value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from named_tensors(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (tuple, list)):
        for number, item in enumerate(value):
            yield from named_tensors(item, f"{name}[{number}]")


def _distance(one: torch.Tensor, other: torch.Tensor) -> str:
    if one.shape != other.shape:
        return f": {list(one.shape)} and {list(other.shape)}"
    if one.dtype != other.dtype:
        return f": {one.dtype} and {other.dtype}"
    if not one.is_floating_point():
        return ""
    return f" by up to {(one - other).abs().max().item():.3g}"


def _is_real(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()
