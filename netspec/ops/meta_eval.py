"""What an operator makes of inputs of given types, found by running the real one on `meta`.

Shapes and dtypes are read off torch's own results, each once for an operator, its arguments and its
input types; `shape_rules` tells the few that torch takes long to tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from operator import add, mul, sub, truediv
from typing import cast

import torch
from torch import nn

from netspec.caches import Cache
from netspec.limits import pay_once, spent
from netspec.ops import catalog, registry
from netspec.ops.call_kinds import Sizes, kind_of
from netspec.ops.catalog import Operator
from netspec.ops.cpu_kernels import asks_for_cpu, check_kernel, or_on_cpu
from netspec.ops.execution import MAX_TINY, first_line, on_cpu, on_meta
from netspec.ops.few_channels import twin_of
from netspec.ops.meta_modules import (
    CpuCopy,
    MetaCall,
    elements_of,
    has_tensors,
    tensors_of,
)
from netspec.ops.process_state import silence
from netspec.ops.shape_rules import (
    SHALLOW,
    is_deep,
    of_arithmetic,
    of_layers,
    of_linear,
    of_small_ones,
)
from netspec.ops.types import (
    Fact,
    OperatorRejects,
    TensorType,
    contiguous,
    elements,
    has_tensor,
    is_contiguous,
    memo_key,
)
from netspec.ops.values import fact_of

_MAX_CHANNELS = 10_000
_TINY = ((2, 3), (3, 5))  # batch and other sizes at which an activation is asked
_A_QUESTION = 200  # the work of one, on `meta`
_A_KIND = 30  # that of looking whether such a call was tried before
_FEW_TENSORS = 8  # that a layer has; a module with more has layers of its own
_A_TENSOR = 350  # the work that each of those is
_ARITHMETIC = (add, sub, mul, truediv)
_HUGE = 1e30
_answers: Cache[object, tuple[Fact | OperatorRejects, int]] = Cache(20_000)  # and their work
_preserving: Cache[object, bool] = Cache(20_000)


def run_function(
    operator: Operator, args: tuple[Fact, ...], kwargs: tuple[tuple[str, Fact], ...]
) -> Fact:
    """The fact of a function's result. Raises OperatorRejects where torch refuses."""
    key = operator.key
    if operator.registered is not None:
        memo, target = (*key, memo_key(args), memo_key(kwargs)), operator.target
        return _run_registered(memo, operator.registered.fake, target, target, args, kwargs)
    if len(args) == 1 and catalog.is_activation_of_torch(operator.name):
        held = any(has_tensor(value) for _, value in kwargs)
        memo = (*key, memo_key(kwargs))
        if is_type_preserving(memo, operator.target, args[0], kwargs, held):
            return args[0]
    if operator.home == "init" and _fills(operator, args, kwargs):
        return args[0]
    return _run((*key, memo_key(args), memo_key(kwargs)), operator.target, args, kwargs)


def _fills(
    operator: Operator, args: tuple[Fact, ...], kwargs: tuple[tuple[str, Fact], ...]
) -> bool:
    """Whether a function of torch.nn.init takes such a tensor, whatever its sizes: asked of one.

    Not where it is given a whole number, which may have to divide a size.
    """
    if any(isinstance(value, int) for _, value in kwargs):
        return False
    key = ("fills", *operator.key, kind_of(memo_key(args), Sizes.SINGLE), memo_key(kwargs))
    memo = (*operator.key, memo_key(args), memo_key(kwargs))
    try:
        return remembered(key, lambda: _run(memo, operator.target, args, kwargs) == args[0]) is True
    except OperatorRejects:  # in words of its own sizes
        return False


def _run_registered(
    key: object,
    fake: Callable[..., object] | None,
    target: Callable[..., object],
    on_numbers: Callable[..., object],
    args: tuple[Fact, ...],
    kwargs: tuple[tuple[str, Fact], ...],
) -> Fact:
    """What registered code gives: by its fake, by itself on `meta`, or on the CPU."""
    if fake is not None:
        return _run(key, fake, args, kwargs, asks_kernel=False)
    try:
        return _run(key, target, args, kwargs, asks_kernel=False)
    except OperatorRejects:  # its code may look at numbers, which `meta` has not
        return remembered(("cpu", key), lambda: on_cpu(on_numbers, args, dict(kwargs)))


def is_type_preserving(
    key: object,
    target: Callable[..., object],
    fact: Fact,
    kwargs: tuple[tuple[str, Fact], ...] = (),
    has_channels: bool = True,
) -> bool:
    """Whether an activation or a batch norm gives what it takes, whatever the free sizes are.

    Asked of the real operator on the CPU, at two sets of tiny sizes, as every free size is; a
    decomposition on `meta` takes a hundred times as long. Where it has tensors of its own, and so a
    number of channels, these (dimension 1) stay as they are.
    """
    if not isinstance(fact, TensorType) or not fact.shape or fact.shape[1:2] > (_MAX_CHANNELS,):
        return False
    if 0 in fact.shape or not is_contiguous(fact):
        return False
    alone = tuple(size == 1 for size in fact.shape)  # a batch norm takes no single value
    found_key = (key, alone, fact.shape[1:2] if has_channels else (), fact.dtype)
    found = _preserving.get(found_key)
    if found is None:
        tiny = [_tiny_like(fact, batch, size, has_channels) for batch, size in _TINY]
        found = all(_same_on_cpu(target, kind, kwargs) for kind in tiny)
        _preserving.keep(found_key, found)
    return found


def _tiny_like(fact: TensorType, batch: int, size: int, has_channels: bool) -> TensorType:
    """The type with its channels, and as many of the rest: sizes of one stay as they are."""
    channels = fact.shape[1:2] if has_channels else (size + 1,)
    sizes = (batch, *channels, *((size,) * (len(fact.shape) - 2)))
    shape = [1 if own == 1 else tiny for own, tiny in zip(fact.shape, sizes, strict=False)]
    return contiguous(tuple(shape), fact.dtype)


def _same_on_cpu(
    target: Callable[..., object], fact: TensorType, kwargs: tuple[tuple[str, Fact], ...]
) -> bool:
    try:
        return on_cpu(target, (fact,), dict(kwargs), nullcontext, one=True) == fact
    except OperatorRejects as error:
        if "Dimension out of range" in str(error):  # softmax on `meta` does not see it
            raise
        return False


def run(key: object, target: Callable[..., object], args: tuple[Fact, ...]) -> Fact:
    """The fact of what any callable gives, which `key` identifies; for Python's own operators."""
    known = args
    if _is_plain_arithmetic(target, args):  # whatever the numbers are
        found = of_arithmetic(args)
        if found is not None:
            return found
        known = tuple([one if isinstance(one, TensorType) else type(one) for one in args])
    return _run((key, memo_key(known)), target, args, ())


def run_module(
    module: nn.Module,
    key: object,
    training: bool,
    args: tuple[Fact, ...],
    kwargs: tuple[tuple[str, Fact], ...],
) -> Fact:
    """The fact of a call of this `meta` module, which `key` identifies, in the given mode."""
    twin = CpuCopy(module, training)
    registered = registry.of_target(type(module))
    if registered is not None:
        memo = (key, training, memo_key(args), memo_key(kwargs))
        fake = registered.fake and partial(registered.fake, module.train(training))
        return _run_registered(memo, fake, MetaCall(module, training), twin, args, kwargs)
    told = _of_twin(module, training, args, kwargs)
    if told is not None:
        return told
    pointwise = len(args) == 1 and not kwargs and type(module).__module__ in _POINTWISE
    if pointwise and is_type_preserving(
        (key, training), twin, args[0], has_channels=has_tensors(module)
    ):
        return args[0]
    memo = (key, training, memo_key(args), memo_key(kwargs))
    pay_once(("layers", memo), _A_TENSOR * max(0, tensors_of(module) - _FEW_TENSORS))
    found = of_linear(module, args, kwargs)
    if found is None:
        found = of_small_ones(_run, memo, module, training, args, kwargs)
    if found is None:
        found = _run(memo, MetaCall(module, training), args, kwargs)
    small = elements_of(module) + elements(found) <= MAX_TINY
    if small and asks_for_cpu(args, dict(kwargs)):
        found = remembered(("cpu", memo), lambda: or_on_cpu(found, twin, args, dict(kwargs)))
    if is_deep(module, args, kwargs):
        twin = CpuCopy(of_layers(cast("nn.RNNBase", module), max(SHALLOW)), training)
    remembered(
        ("kernel", memo), lambda: check_kernel(memo, twin, args, dict(kwargs), found), _A_KIND
    )
    return found


def _of_twin(
    module: nn.Module,
    training: bool,
    args: tuple[Fact, ...],
    kwargs: tuple[tuple[str, Fact], ...],
) -> Fact | None:
    """What a module gives, by its twin with few channels; None where that does not tell it."""
    twin = twin_of(module)
    call = None if twin is None else twin.call(args, kwargs)
    if twin is None or call is None:
        return None
    try:
        found = run_module(twin.module, twin.key, training, call[:1], ())
    except OperatorRejects:  # in words of its own sizes
        return None
    return twin.widened(found, call[1])


_POINTWISE = tuple(f"torch.nn.modules.{kind}" for kind in ("activation", "batchnorm", "dropout"))


def _run(
    key: object,
    target: Callable[..., object],
    args: tuple[Fact, ...],
    kwargs: tuple[tuple[str, Fact], ...],
    asks_kernel: bool = True,
) -> Fact:
    return remembered(key, lambda: _result(key, target, args, dict(kwargs), asks_kernel))


def remembered(key: object, find: Callable[[], Fact], work: int = _A_QUESTION) -> Fact:
    """What `find` gives, found once; its work is paid in each check. Raises OperatorRejects."""
    answer = _answers.get(key)
    if answer is None:
        before = spent()
        pay_once(key, work)
        found: Fact | OperatorRejects
        try:
            found = find()
        except OperatorRejects as error:
            found = error
        _answers.keep(key, (found, max(work, spent() - before)))
    else:
        found, work = answer
        pay_once(key, work)
    if isinstance(found, OperatorRejects):
        raise OperatorRejects(str(found))
    return found


def _result(
    key: object,
    target: Callable[..., object],
    args: tuple[Fact, ...],
    kwargs: Mapping[str, Fact],
    asks_kernel: bool,
) -> Fact:
    try:
        with torch.no_grad(), silence():
            found = fact_of(on_meta(target, args, kwargs))
        if isinstance(target, MetaCall):
            return found
        if elements(found) <= MAX_TINY and asks_for_cpu(args, kwargs):
            found = or_on_cpu(found, target, args, kwargs)
        if asks_kernel and not _is_plain_arithmetic(target, args):
            check_kernel(key, target, args, kwargs, found)
        return found
    except NotImplementedError:
        return on_cpu(target, args, kwargs)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        if _needs_data(error):
            return on_cpu(target, args, kwargs)
        raise OperatorRejects(first_line(error)) from None
    except Exception as error:  # an operator may refuse in any way: assert, KeyError, overflow
        raise OperatorRejects(first_line(error)) from None


def _is_plain_arithmetic(target: Callable[..., object], args: tuple[Fact, ...]) -> bool:
    """Whether no number that is not huge can be refused: Python's operators on float32."""
    return target in _ARITHMETIC and all(
        value.dtype is torch.float32
        if isinstance(value, TensorType)
        else isinstance(value, (int, float)) and abs(value) < _HUGE
        for value in args
    )


def _needs_data(error: Exception) -> bool:
    text = str(error)
    return "meta" in text.lower() and ("data" in text or "item()" in text or "Meta" in text)
