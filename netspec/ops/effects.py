"""What an operator does besides its result: aliases, what autograd saves, FLOPs; asked of torch.

One run of the real operator on `meta` tells all of it. Storages are compared by identity, which
`meta` has too. It costs about a millisecond, so it is asked for when somebody wants to know, and
remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from netspec.ops.catalog import Operator
from netspec.ops.types import Fact, OperatorRejects, TensorType, memo_key
from netspec.ops.values import to_value


@dataclass(frozen=True, slots=True)
class Effects:
    """What one call does to memory and costs, in inputs and outputs counted from 0.

    `aliases` are pairs (output, input) that share a storage. `saved_inputs` and `saved_outputs` are
    kept by autograd for the backward pass. `saved_bytes` is all that is kept, parameters aside, and
    `flops` counts two for each multiply-add, as torch's own counter does.
    """

    aliases: frozenset[tuple[int, int]]
    saved_inputs: frozenset[int]
    saved_outputs: frozenset[int]
    saved_bytes: int
    flops: int


_memo: dict[object, Effects] = {}


def effects_of_function(
    operator: Operator, args: tuple[Fact, ...], kwargs: tuple[tuple[str, Fact], ...] = ()
) -> Effects:
    """The effects of a function of the catalog on inputs of these types.

    Raises OperatorRejects where torch refuses them, or has no `meta` kernel for them.
    """
    key = (operator.home, operator.name, memo_key(args), memo_key(kwargs))
    return _remembered(key, operator.target, args, dict(kwargs), frozenset())


def effects_of_module(
    module: nn.Module,
    key: object,
    args: tuple[Fact, ...],
    kwargs: tuple[tuple[str, Fact], ...] = (),
    training: bool = True,
) -> Effects:
    """The effects of a call of this `meta` module, which `key` identifies.

    Raises OperatorRejects, as effects_of_function does.
    """
    module.train(training)
    own = frozenset(_storage(t) for t in (*module.parameters(), *module.buffers()))
    memo = ("module", key, training, memo_key(args), memo_key(kwargs))
    return _remembered(memo, module, args, dict(kwargs), own)


def _remembered(
    key: object,
    target: Callable[..., object],
    args: tuple[Fact, ...],
    kwargs: Mapping[str, Fact],
    own: frozenset[int],
) -> Effects:
    found = _memo.get(key)
    if found is None:
        found = _memo[key] = _ask(target, args, kwargs, own)
    return found


def _ask(
    target: Callable[..., object],
    args: tuple[Fact, ...],
    kwargs: Mapping[str, Fact],
    own: frozenset[int],
) -> Effects:
    positional = [_input(fact) for fact in args]
    named = {name: _input(fact) for name, fact in kwargs.items()}
    saved: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        saved[_storage(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    counter = FlopCounterMode(display=False)
    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, _given_back), counter:
            result = target(*positional, **named)
    except Exception as error:  # an operator may refuse in any way
        raise OperatorRejects(str(error).strip().partition("\n")[0]) from None
    inputs, outputs = _tensors([*positional, *named.values()]), _tensors(result)
    return Effects(
        sharing(outputs, inputs),
        frozenset(i for i, tensor in enumerate(inputs) if _storage(tensor) in saved),
        frozenset(o for o, tensor in enumerate(outputs) if _storage(tensor) in saved),
        sum(size for storage, size in saved.items() if storage not in own),
        counter.get_total_flops(),
    )


def sharing(
    outputs: Sequence[torch.Tensor], inputs: Sequence[torch.Tensor]
) -> frozenset[tuple[int, int]]:
    """The pairs (output, input), counted from 0, that lie in one storage."""
    pairs = product(enumerate(map(_storage, outputs)), enumerate(map(_storage, inputs)))
    return frozenset((o, i) for (o, out), (i, into) in pairs if out == into)


def _given_back(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def _input(fact: Fact) -> object:
    """A `meta` value that is no leaf and requires grad, as one inside of a model is."""
    if isinstance(fact, tuple):
        return tuple(_input(item) for item in fact)
    value = to_value(fact)
    if isinstance(fact, TensorType) and isinstance(value, torch.Tensor):
        differentiable = fact.dtype.is_floating_point or fact.dtype.is_complex
        return value.requires_grad_() * 1 if differentiable else value
    return value


def _tensors(value: object) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value
    if isinstance(items, (list, tuple)) or isinstance(value, dict):
        return [tensor for item in items for tensor in _tensors(item)]  # type: ignore[attr-defined]
    return []


def _storage(tensor: torch.Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata
    return address
