"""A call of an operator with facts: on `meta`, and with small numbers on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

import torch

from netspec.ops import execution_limits
from netspec.ops.process_state import own_random_state, silence
from netspec.ops.torch_internals import import_dynamo_late, tree_map
from netspec.ops.types import Fact, OperatorRejects, TensorType, elements, has_tensor
from netspec.ops.values import (
    MANY,
    UNIT,
    fact_of,
    go_back,
    has_whole_numbers,
    in_a_graph,
    to_value,
    with_floats,
)

MAX_TINY = 1_000_000  # elements of a call that the CPU is asked


def on_meta(
    target: Callable[..., object], args: tuple[Fact, ...], kwargs: Mapping[str, Fact]
) -> object:
    """What a call gives on `meta`. Raises whatever the operator raises."""
    import_dynamo_late()
    positional = [to_value(a) for a in args]
    named = {name: to_value(value) for name, value in kwargs.items()}
    large = execution_limits.is_large((*positional, *named.values()))
    with execution_limits.OnMeta() if large else nullcontext():
        if any(has_tensor(a) for a in (*args, *kwargs.values())):
            return target(*positional, **named)
        if target is torch.normal:  # the only factory that does not heed the context below
            named["device"] = "meta"
        with torch.device("meta"):
            return target(*positional, **named)


def on_cpu(
    target: Callable[..., object],
    args: tuple[Fact, ...],
    kwargs: Mapping[str, Fact],
    bounds: Callable[[], AbstractContextManager[object]] = execution_limits.OnCpu,
    one: bool = False,
    backward: bool = False,
) -> Fact:
    """The fact of an operator from small tensors on the CPU: of zeros, of ones, of many numbers.

    With `one`, of the first of these that it takes; with `backward`, its gradient has to go back,
    too. Raises OperatorRejects where it refuses all, or where its result's shape depends on values.
    """
    if sum(elements(a) for a in (*args, *kwargs.values())) > MAX_TINY:
        raise OperatorRejects("it has no `meta` facts, and the inputs are too large to try it on")
    found: list[Fact] = []
    refusal: Exception | None = None
    backward = backward and _takes_numbers_alone(target, args, kwargs, bounds)
    # Only zeros and ones where several tensors have to agree: ctc_loss trusts its lengths.
    alone = sum(isinstance(a, (TensorType, tuple)) for a in (*args, *kwargs.values())) == 1
    fills = (0, 1, MANY) if alone else (0, 1)
    for fill in (*fills, UNIT) if one else fills:
        try:
            grad = torch.enable_grad() if backward else torch.no_grad()
            with grad, own_random_state(), silence():
                positional = [to_value(a, fill) for a in args]
                named = {name: to_value(value, fill) for name, value in kwargs.items()}
                if backward:
                    positional, named = tree_map(in_a_graph, (positional, named))
                with bounds():
                    result = target(*positional, **named)
                    if backward:
                        go_back(result)
                found.append(fact_of(result))
            if one:
                break
        except Exception as error:  # an operator may refuse in any way
            refusal = error
    if not found:
        assert refusal is not None, "it gave nothing, so it refused"
        raise OperatorRejects(first_line(refusal))
    if any(fact != found[0] for fact in found):
        raise OperatorRejects("the shape of its result depends on the values of its input")
    return found[0]


def _takes_numbers_alone(
    target: Callable[..., object],
    args: tuple[Fact, ...],
    kwargs: Mapping[str, Fact],
    bounds: Callable[[], AbstractContextManager[object]],
) -> bool:
    """Whether no tensor has indexes, offsets or lengths: it may as well be of floats.

    A backward pass looks at the numbers of those, and these are made up.
    """
    if not any(map(has_whole_numbers, (*args, *kwargs.values()))):
        return True
    floats = {name: with_floats(value) for name, value in kwargs.items()}
    try:
        on_cpu(target, tuple(map(with_floats, args)), floats, bounds, one=True)
    except OperatorRejects:
        return False
    return True


def first_line(error: Exception) -> str:
    text = str(error).strip()
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
