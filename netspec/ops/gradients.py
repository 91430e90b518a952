"""Of which tensors torch gives no gradient: some calls refuse one that requires grad, and the
derivative of others ends in an error. Asked of torch on `meta`, once for a kind of call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import torch

from netspec.ops import execution_limits, meta_eval
from netspec.ops.call_kinds import kind_of
from netspec.ops.process_state import own_random_state, silence
from netspec.ops.torch_internals import tree_leaves, tree_map
from netspec.ops.types import Fact, count_tensors, memo_key
from netspec.ops.values import fact_of, go_back, in_a_graph, to_value

REFUSED = re.compile("not differentiable with respect to|not support automatic differentiat")
_MISSING = re.compile("derivative for .* not implemented")


def refuses_gradients(
    key: object,
    target: Callable[..., object],
    args: tuple[Fact, ...],
    kwargs: tuple[tuple[str, Fact], ...],
) -> bool:
    """Whether torch refuses a call, which `key` identifies, where all its tensors require grad.

    Asked only of calls with several: no operator has a first tensor without a gradient.
    """
    if count_tensors((args, kwargs)) < 2:
        return False
    memo = ("refuses", key, kind_of((memo_key(args), memo_key(kwargs))))

    def refuses() -> bool:
        positional = [tree_map(in_a_graph, to_value(fact)) for fact in args]
        named = {n: tree_map(in_a_graph, to_value(fact)) for n, fact in kwargs}
        return REFUSED.search(_refusal(target, positional, named, goes_back=False)) is not None

    return meta_eval.remembered(memo, refuses) is True


def lacks_derivative(
    target: Callable[..., object], args: tuple[object, ...], kwargs: Mapping[str, object]
) -> bool:
    """Whether a call of these `meta` tensors has a derivative for some of them alone, and not for
    all that require grad: that of `igamma` is with respect to its second one."""
    trained = [t.requires_grad for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
    if not any(trained) or len(trained) < 2:
        return False
    given = tuple([fact_of(value) for value in (*args, *kwargs.values())])
    memo = ("lacks", target, *kwargs, tuple(trained), kind_of(memo_key(given)))

    def lacks() -> bool:
        positional, named = tree_map(_alone, (args, dict(kwargs)))
        return _MISSING.search(_refusal(target, positional, named, goes_back=True)) is not None

    return meta_eval.remembered(memo, lacks) is True


def _refusal(
    target: Callable[..., object],
    args: Sequence[object],
    kwargs: Mapping[str, object],
    goes_back: bool,
) -> str:
    """torch's words where it refuses a call, or the way back from it; none where it takes it."""
    try:
        with torch.enable_grad(), own_random_state(), silence(), execution_limits.OnMeta():
            result = target(*args, **kwargs)
            if goes_back:
                go_back(result)
    except Exception as error:  # an operator may refuse in any way
        return str(error)
    return ""


def _alone(value: object) -> object:
    """A tensor outside of the graph that made it, which requires grad where it does."""
    if not isinstance(value, torch.Tensor) or not value.requires_grad:
        return value
    return in_a_graph(value.detach())
