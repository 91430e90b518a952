"""What modules give that take torch long on `meta`: told by their sizes, or by smaller ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from torch import nn

from netspec.ops.meta_modules import MetaCall
from netspec.ops.types import Fact, TensorType, contiguous, is_contiguous

_SHORT = (5, 7)  # sequences
SHALLOW = (2, 3)  # stacks of layers
_OF_RNNS = (
    "input_size", "hidden_size", "batch_first", "dropout", "bidirectional", "proj_size",
    "nonlinearity",
)  # fmt: skip


Args: TypeAlias = "tuple[Fact, ...]"
Named: TypeAlias = "tuple[tuple[str, Fact], ...]"
Run: TypeAlias = "Callable[[object, Callable[..., object], Args, Named], Fact]"


def of_arithmetic(args: Args) -> Fact | None:
    """What `+`, `-`, `*` and `/` give of float32 tensors that are all alike, and numbers: the same.
    None for others, which are broadcast, or laid out otherwise."""
    tensors = {fact for fact in args if isinstance(fact, TensorType)}
    fact = tensors.pop() if len(tensors) == 1 else None
    if fact is None or not is_contiguous(fact):
        return None
    return fact


def of_linear(module: nn.Module, args: Args, kwargs: Named) -> Fact | None:
    """What an nn.Linear gives: its input's sizes, the last one `out_features`. None for others,
    and for what it may refuse, or lay out as its input is.

    On `meta` torch decomposes it in Python, which takes most of a millisecond.
    """
    if type(module) is not nn.Linear or len(args) != 1 or kwargs:
        return None
    fact, weight = args[0], module.weight
    if not isinstance(fact, TensorType) or fact.dtype is not weight.dtype or not fact.shape:
        return None
    if fact.shape[-1] != weight.shape[1] or 0 in (*fact.shape, *weight.shape):
        return None
    if not is_contiguous(fact):
        return None
    return contiguous((*fact.shape[:-1], weight.shape[0]), fact.dtype)


def of_small_ones(
    run: Run,
    key: object,
    module: nn.Module,
    training: bool,
    args: Args,
    kwargs: Named,
) -> Fact | None:
    """An RNN's result by what two of few steps and layers give; None for others, and small ones.

    On `meta` torch takes each step of each layer by itself, and a thousand take two seconds.
    """
    fact = args[0] if args else None
    if not isinstance(module, nn.RNNBase) or not isinstance(fact, TensorType):
        return None
    axis = 1 if module.batch_first and len(fact.shape) == 3 else 0
    if len(fact.shape) not in (2, 3):
        return None
    steps, deep = fact.shape[axis], is_deep(module, args, kwargs)
    if steps <= max(_SHORT) and not deep:
        return None
    found = []
    for few, layers in zip(_SHORT, SHALLOW, strict=True):
        call = MetaCall(of_layers(module, layers) if deep else module, training)
        few = min(few, steps)
        short = contiguous((*fact.shape[:axis], few, *fact.shape[axis + 1 :]), fact.dtype)
        one = run((key, few, layers), call, (short, *args[1:]), kwargs)
        assert isinstance(one, tuple), "an RNN gives a tuple"
        state = _with_size(one[1], 0, module.num_layers, layers) if deep else one[1]
        found.append((_with_size(one[0], axis, steps, few), state))
    return found[0] if found[0] == found[1] else None


def is_deep(module: nn.Module, args: Args, kwargs: Named) -> bool:
    """Whether an RNN has more layers than need be asked; a state that is given has them too."""
    given_state = len(args) > 1 or bool(kwargs)
    return isinstance(module, nn.RNNBase) and module.num_layers > max(SHALLOW) and not given_state


def of_layers(module: nn.RNNBase, layers: int) -> nn.RNNBase:
    """An RNN like this one, of so many layers."""
    named = {name: vars(module)[name] for name in _OF_RNNS if vars(module).get(name)}
    named |= {"bias": module.bias, "num_layers": layers}
    return type(module)(**named, dtype=next(module.parameters()).dtype, device="meta")


def _with_size(fact: Fact, axis: int, size: int, asked: int) -> Fact:
    """What an RNN gives where `size` stands for as many steps or layers as were asked."""
    if isinstance(fact, tuple):
        return tuple(_with_size(item, axis, size, asked) for item in fact)
    assert isinstance(fact, TensorType), "an RNN gives tensors"
    grown = fact.shape[axis] // asked * size
    return replace(fact, shape=(*fact.shape[:axis], grown, *fact.shape[axis + 1 :]))
