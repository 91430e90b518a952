"""What a call's kernel on the CPU tells that `meta` does not: of dtypes, numbers and gradients."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch

from netspec.caches import Cache
from netspec.ops import execution_limits, registry
from netspec.ops.call_kinds import AnyCall, Sizes, kind_of, smaller_calls
from netspec.ops.execution import MAX_TINY, on_cpu, on_meta
from netspec.ops.few_channels import CONVOLUTIONS
from netspec.ops.meta_modules import CpuCopy, MetaCall, elements_of, leaf_like
from netspec.ops.process_state import silence
from netspec.ops.types import Fact, OperatorRejects, TensorType, count_tensors, elements
from netspec.ops.values import fact_of

_NO_HALF = re.compile(r"not implemented for '(Half|BFloat16|ComplexHalf)'")
_WIDER = {  # what a GPU has kernels for, and the CPU not always
    torch.float16: torch.float32, torch.bfloat16: torch.float32, torch.complex32: torch.complex64,
}  # fmt: skip
_NO_ANSWER = re.compile(  # of the call itself; what may be overwritten is asked later
    "Could not run|depends on the values|too large|it makes|more than .* steps"
    "|single memory location"
)
_TOO_MUCH = re.compile("more than .* steps")
_NO_DERIVATIVE = re.compile(
    "derivative for .* not implemented|not differentiable with respect to"
    "|not support automatic differentiation"
)
_MEDIUM = 32
_FEW = 4_096  # elements with which the CPU is asked as they are

_taken: Cache[object, None] = Cache(20_000)  # kinds of calls that the CPU took


def asks_for_cpu(args: tuple[Fact, ...], kwargs: Mapping[str, Fact]) -> bool:
    """Whether dtypes matter: kernels on `meta` don't look at them, and take integers for floats."""
    facts = [*args, *kwargs.values()]
    other = any(isinstance(f, TensorType) and f.dtype is not torch.float32 for f in facts)
    return other and sum(map(elements, facts)) <= MAX_TINY


def or_on_cpu(
    found: Fact, target: Callable[..., object], args: tuple[Fact, ...], kwargs: Mapping[str, Fact]
) -> Fact:
    """The fact from the CPU, where dtypes matter; what `meta` found, where it has no kernel."""
    if _small_one_agrees(target, args, kwargs):
        return found
    try:
        return on_cpu(target, args, kwargs, execution_limits.on_cpu_for_a_while)
    except OperatorRejects as error:
        unanswered = _TOO_MUCH.search(str(error))
        if unanswered or _is_of_the_cpu(error, target, args, kwargs):
            return found
        raise


def _is_of_the_cpu(
    error: OperatorRejects,
    target: Callable[..., object],
    args: tuple[Fact, ...],
    kwargs: Mapping[str, Fact],
) -> bool:
    """Whether only the CPU has no such kernel for half precision: it has one for more."""
    if not _NO_HALF.search(str(error)):
        return False
    try:
        on_cpu(target, _widened(args), dict(_widened(tuple(kwargs.items()))), one=True)
    except OperatorRejects as other:
        # a module's own parameters stay as they are
        return "dtype" in str(other) or "type" in str(other)
    return True


def _small_one_agrees(
    target: Callable[..., object], args: tuple[Fact, ...], kwargs: Mapping[str, Fact]
) -> bool:
    """Whether the same with smaller sizes gives on the CPU what it gives on `meta`."""
    if sum(map(elements, (*args, *kwargs.values()))) <= _FEW:
        return False  # it is as small itself
    for small, small_args, small_named in smaller_calls(target, args, tuple(kwargs.items())):
        try:
            with torch.no_grad(), silence():
                expected = fact_of(on_meta(_as_meta(small), small_args, dict(small_named)))
            if on_cpu(small, small_args, dict(small_named)) == expected:
                return True
        except Exception:  # some number fits the large sizes only
            continue
    return False


def _as_meta(target: Callable[..., object]) -> Callable[..., object]:
    """What is asked on `meta` in the place of a module's twin on the CPU."""
    if not isinstance(target, CpuCopy):
        return target
    module = leaf_like(target.module, target.sizes, "meta") if target.sizes else target.module
    return MetaCall(module, target.training)


def _widened(fact: Any) -> Any:
    """A fact with the dtypes that every kernel has."""
    if isinstance(fact, TensorType):
        return replace(fact, dtype=_WIDER.get(fact.dtype, fact.dtype))
    if isinstance(fact, tuple):
        return tuple(map(_widened, fact))
    return _WIDER.get(fact, fact) if isinstance(fact, torch.dtype) else fact


def check_kernel(
    key: object,
    target: Callable[..., object],
    args: tuple[Fact, ...],
    kwargs: Mapping[str, Fact],
    found: Fact,
) -> None:
    """Nothing, where the CPU takes a call that `meta` takes. Raises OperatorRejects.

    `meta` looks at shapes alone, and the kernel at dtypes and numbers, too. It is asked once for a
    kind of call, which `key` tells, with small sizes if it takes such. Refused is what it refuses
    at its own sizes, or where those are too large to try, at medium ones that `meta` takes.
    """
    kind = kind_of(key, _telling(target, args, kwargs))
    if kind in _taken:
        return
    named = tuple(kwargs.items())
    bounds = (
        execution_limits.OnCpu
        if elements(found) > MAX_TINY or _has_large((args, named))
        else nullcontext
    )
    for small_target, small_args, small_named in smaller_calls(target, args, named):
        try:
            on_cpu(small_target, small_args, dict(small_named), bounds, True, backward=True)
        except OperatorRejects:  # of these sizes; its own are asked next
            continue
        _taken.keep(kind, None)
        return
    held = elements_of(target.module) if isinstance(target, CpuCopy) else 0
    calls: list[AnyCall] = [(target, args, named)]
    if held + sum(map(elements, (*args, *kwargs.values(), found))) > MAX_TINY:
        calls = [c for c in smaller_calls(target, args, named, _MEDIUM) if _is_taken_on_meta(*c)]
    refusals = [error for call in calls if (error := _refusal_on_cpu(*call)) is not None]
    if refusals and len(refusals) == len(calls):
        raise refusals[-1]
    _taken.keep(kind, None)


def _telling(
    target: Callable[..., object], args: tuple[Fact, ...], kwargs: Mapping[str, Fact]
) -> Sizes:
    """Which sizes a kernel may refuse that `meta` takes.

    A convolution none but empty ones, and no class of torch.nn that is given one tensor asks which
    of its sizes are equal.
    """
    if not isinstance(target, CpuCopy) or registry.of_target(type(target.module)) is not None:
        return Sizes.EQUAL
    if count_tensors((*args, *kwargs.values())) != 1:
        return Sizes.EQUAL
    return Sizes.COUNT if type(target.module) in CONVOLUTIONS else Sizes.SINGLE


def _refusal_on_cpu(
    target: Callable[..., object],
    args: tuple[Fact, ...],
    kwargs: tuple[tuple[str, Fact], ...],
    backward: bool = True,
) -> OperatorRejects | None:
    """The CPU's refusal of a call, if it is one that other devices share."""
    named = dict(kwargs)
    try:
        on_cpu(
            target, args, named, execution_limits.on_cpu_for_a_while, one=True, backward=backward
        )
    except OperatorRejects as error:
        if _NO_DERIVATIVE.search(str(error)):  # which is told in a note
            return _refusal_on_cpu(target, args, kwargs, backward=False)
        if not (_NO_ANSWER.search(str(error)) or _is_of_the_cpu(error, target, args, named)):
            return error
    return None


def _is_taken_on_meta(
    target: Callable[..., object], args: tuple[Fact, ...], kwargs: tuple[tuple[str, Fact], ...]
) -> bool:
    try:
        with torch.no_grad(), silence():
            on_meta(_as_meta(target), args, dict(kwargs))
    except Exception:  # an operator may refuse in any way
        return False
    return True


def _has_large(fact: Fact) -> bool:
    if isinstance(fact, tuple):
        return any(map(_has_large, fact))
    return type(fact) is int and abs(fact) > execution_limits.LARGE
