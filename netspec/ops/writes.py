"""Which of its arguments a call overwrites besides the first one of an operator in place.

The running statistics of `batch_norm`, the weight of `embedding` with `max_norm`: no name tells it,
and not every schema of torch does. So the call is made on small random tensors, and what has
another version or other bytes afterwards was written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from netspec.caches import Cache
from netspec.ops.call_kinds import kind_of, smaller_calls
from netspec.ops.execution import MAX_TINY
from netspec.ops.process_state import own_random_state, silence
from netspec.ops.torch_internals import tree_leaves
from netspec.ops.types import Fact, count_tensors, elements, memo_key
from netspec.ops.values import RANDOM, to_value

_answers: Cache[object, frozenset[int]] = Cache(20_000)
_NOTHING: frozenset[int] = frozenset()


def written_tensors(
    target: Callable[..., object], args: tuple[Fact, ...], kwargs: Mapping[str, Fact]
) -> frozenset[int]:
    """The tensors that a call overwrites, numbered as they come in its arguments.

    Asked only of calls with several: what overwrites its one tensor says so in its name.
    """
    named = tuple(kwargs.items())
    if count_tensors((args, named)) < 2:
        return _NOTHING
    key = (target, kind_of((memo_key(args), memo_key(named))))
    found = _answers.get(key)
    return _answers.keep(key, _found(target, args, named)) if found is None else found


def _found(
    target: Callable[..., object], args: tuple[Fact, ...], kwargs: tuple[tuple[str, Fact], ...]
) -> frozenset[int]:
    calls = [*smaller_calls(target, args, kwargs), (target, args, kwargs)]
    for _, positional, named in calls:
        found = _tried(target, positional, dict(named))
        if found is not None:
            return found
    return _NOTHING


def _tried(
    target: Callable[..., object], args: tuple[Fact, ...], kwargs: Mapping[str, Fact]
) -> frozenset[int] | None:
    """What one call writes; None where it does not take such arguments."""
    if sum(map(elements, (*args, *kwargs.values()))) > MAX_TINY:
        return None
    with own_random_state(), silence(), torch.no_grad():
        positional = [to_value(fact, RANDOM) for fact in args]
        named = {name: to_value(fact, RANDOM) for name, fact in kwargs.items()}
        given = [v for v in tree_leaves((positional, named)) if isinstance(v, torch.Tensor)]
        before = [(tensor._version, tensor.clone()) for tensor in given]
        try:
            target(*positional, **named)
        except Exception:  # an operator may refuse in any way
            return None
        return frozenset(
            number
            for number, (tensor, (version, copy)) in enumerate(zip(given, before, strict=True))
            if tensor._version != version or not _same_bytes(tensor, copy)
        )


def _same_bytes(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.shape != other.shape:
        return False
    try:
        return torch.equal(torch.nan_to_num(one), torch.nan_to_num(other))
    except NotImplementedError:  # as for complex numbers of two halves
        return torch.equal(_bytes_of(one), _bytes_of(other))


def _bytes_of(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.reshape(-1).contiguous().view(torch.uint8)
