"""What an operator makes of inputs of given types, found by running the real one on `meta`.

Nothing here knows any operator of torch by name: shapes and dtypes are read off torch's own
results, each once for an operator, its arguments and its input types.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from copy import copy, deepcopy
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache, partial
from itertools import chain
from operator import add, mul, sub, truediv
from typing import Any, TypeAlias, cast

import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map

from netspec.limits import pay_once, spent
from netspec.ops import catalog, execution_limits, registry
from netspec.ops.catalog import Operator
from netspec.ops.process_state import own_random_state, silence, without_fast_path
from netspec.ops.unfilled import Unfilled

MAX_OUTPUTS = 1_000
MAX_TINY = 1_000_000
MANY = -1  # fills a tensor with 0, 1, 2, … 9, 0, …
UNIT = -2  # fills matrices with ones on their diagonals
RANDOM = -3  # fills a tensor with numbers from 0 to 1, one of integers with 0
_MAX_CHANNELS = 10_000
_NO_HALF = re.compile(r"not implemented for '(Half|BFloat16|ComplexHalf)'")
_WIDER = {  # what a GPU has kernels for, and the CPU not always
    torch.float16: torch.float32, torch.bfloat16: torch.float32, torch.complex32: torch.complex64,
}  # fmt: skip
_TINY = ((2, 3), (3, 5))  # batch and other sizes at which an activation is asked
_MEMO_LIMIT = 20_000
_MOST_MODULES = 2_000
_A_QUESTION = 200  # the work of one, on `meta`
_A_MODULE = 500  # and of making one there
_A_KIND = 30  # that of looking whether such a call was tried before
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
_EXACT = 8  # numbers up to it tell kinds of calls apart; of sizes above it there are smaller ones
_FEW_TENSORS = 8  # that a layer has; a module with more has layers of its own
_A_TENSOR = 350  # the work that each of those is
_STATE = ("_parameters", "_buffers")
_SHORT = (5, 7)  # sequences
_SHALLOW = (2, 3)  # stacks of layers
_OF_RNNS = (
    "input_size", "hidden_size", "batch_first", "dropout", "bidirectional", "proj_size",
    "nonlinearity",
)  # fmt: skip
_FLOAT = "float"  # what a float's key begins with


@dataclass(frozen=True, slots=True)
class TensorType:
    """A tensor's shape, strides (both in elements) and dtype."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True, slots=True)
class Slice:
    """A slice as a value that can be hashed (Python's own cannot before 3.12)."""

    start: Fact
    stop: Fact
    step: Fact


@dataclass(frozen=True, slots=True)
class Mapped:
    """A dict of values, in its order."""

    items: tuple[tuple[str, Fact], ...]


Fact: TypeAlias = (
    "TensorType | Slice | Mapped | bool | int | float | str"
    " | torch.dtype | torch.device | tuple[Fact, ...] | object | None"
)


class OperatorRejects(Exception):
    """An operator does not take these inputs; the text is torch's own.

    `partly` where it takes the inputs of other sizes, or in the other mode.
    """

    partly = False


@lru_cache(1024)
def contiguous(shape: tuple[int, ...], dtype: torch.dtype) -> TensorType:
    """The type of a freshly made tensor of this shape."""
    stride = []
    step = 1
    for size in reversed(shape):
        stride.append(step)
        step *= max(size, 1)
    return TensorType(shape, tuple(reversed(stride)), dtype)


_ARITHMETIC = (add, sub, mul, truediv)
_HUGE = 1e30

_memo: dict[object, Fact | OperatorRejects] = {}
_taken: set[object] = set()  # kinds of calls that the CPU took
_work: dict[object, int] = {}  # of what was not found at once
_modules: dict[object, nn.Module] = {}
_arguments: dict[nn.Module, tuple[tuple[Fact, ...], Mapping[str, Fact]]] = {}  # of registered ones


def forget() -> None:
    """Drop all that was found so far; a benchmark of the first time needs it."""
    _memo.clear()
    _taken.clear()
    _work.clear()
    _modules.clear()
    _arguments.clear()


def run_function(
    operator: Operator, args: tuple[Fact, ...], kwargs: tuple[tuple[str, Fact], ...]
) -> Fact:
    """The fact of a function's result. Raises OperatorRejects where torch refuses."""
    key = operator.key
    if operator.registered is not None:
        memo, target = (*key, memo_key(args), memo_key(kwargs)), operator.target
        return _run_registered(memo, operator.registered.fake, target, target, args, kwargs)
    pointwise = len(args) == 1 and catalog.is_activation_of_torch(operator.name)
    if pointwise and is_type_preserving((*key, memo_key(kwargs)), operator.target, args[0], kwargs):
        return args[0]
    return _run((*key, memo_key(args), memo_key(kwargs)), operator.target, args, kwargs)


def _run_registered(
    key: object,
    fake: Callable[..., object] | None,
    target: Callable[..., object],
    on_cpu: Callable[..., object],
    args: tuple[Fact, ...],
    kwargs: tuple[tuple[str, Fact], ...],
) -> Fact:
    """What registered code gives: by its fake, by itself on `meta`, or on the CPU."""
    if fake is not None:
        return _run(key, fake, args, kwargs, asks_kernel=False)
    try:
        return _run(key, target, args, kwargs, asks_kernel=False)
    except OperatorRejects:  # its code may look at numbers, which `meta` has not
        return remembered(("cpu", key), lambda: _on_cpu(on_cpu, args, dict(kwargs)))


def is_type_preserving(
    key: object,
    target: Callable[..., object],
    fact: Fact,
    kwargs: tuple[tuple[str, Fact], ...] = (),
) -> bool:
    """Whether an activation or a batch norm gives what it takes, whatever the free sizes are.

    Asked of the real operator on the CPU, at two sets of tiny sizes, as every free size is; a
    decomposition on `meta` takes a hundred times as long. Channels (dimension 1) stay as they are.
    """
    if not isinstance(fact, TensorType) or not fact.shape or fact.shape[1:2] > (_MAX_CHANNELS,):
        return False
    if 0 in fact.shape or fact.stride != contiguous(fact.shape, fact.dtype).stride:
        return False
    alone = tuple(size == 1 for size in fact.shape)  # a batch norm takes no single value
    found_key = ("keeps", key, alone, fact.shape[1:2], fact.dtype)
    found = _memo.get(found_key)
    if found is None:
        tiny = [_tiny_like(fact, batch, size) for batch, size in _TINY]
        found = _memo[found_key] = all(_same_on_cpu(target, kind, kwargs) for kind in tiny)
    return found is True


def _tiny_like(fact: TensorType, batch: int, size: int) -> TensorType:
    """The type with its channels, and as many of the rest: sizes of one stay as they are."""
    sizes = (batch, *fact.shape[1:2], *((size,) * (len(fact.shape) - 2)))
    shape = [1 if own == 1 else tiny for own, tiny in zip(fact.shape, sizes, strict=False)]
    return contiguous(tuple(shape), fact.dtype)


def _same_on_cpu(
    target: Callable[..., object], fact: TensorType, kwargs: tuple[tuple[str, Fact], ...]
) -> bool:
    try:
        return _on_cpu(target, (fact,), dict(kwargs), nullcontext, one=True) == fact
    except OperatorRejects as error:
        if "Dimension out of range" in str(error):  # softmax on `meta` does not see it
            raise
        return False


def run(key: object, target: Callable[..., object], args: tuple[Fact, ...]) -> Fact:
    """The fact of what any callable gives, which `key` identifies; for Python's own operators."""
    known = args
    if _is_plain_arithmetic(target, args):  # whatever the numbers are
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
    twin = _CpuCopy(module, training)
    registered = registry.of_target(type(module))
    if registered is not None:
        memo = (key, training, memo_key(args), memo_key(kwargs))
        fake = registered.fake and partial(registered.fake, module.train(training))
        return _run_registered(memo, fake, _MetaCall(module, training), twin, args, kwargs)
    pointwise = len(args) == 1 and not kwargs and type(module).__module__ in _POINTWISE
    if pointwise and is_type_preserving((key, training), twin, args[0]):
        return args[0]
    memo = (key, training, memo_key(args), memo_key(kwargs))
    pay_once(("layers", memo), _A_TENSOR * max(0, tensors_of(module) - _FEW_TENSORS))
    found = _by_small_ones(memo, module, training, args, kwargs)
    if found is None:
        found = _run(memo, _MetaCall(module, training), args, kwargs)
    small = elements_of(module) + elements(found) <= MAX_TINY
    if small and _asks_for_cpu(args, dict(kwargs)):
        found = remembered(("cpu", memo), lambda: _or_on_cpu(found, twin, args, dict(kwargs)))
    if _is_deep(module, args, kwargs):
        twin = _CpuCopy(_of_layers(cast("nn.RNNBase", module), max(_SHALLOW)), training)
    remembered(
        ("kernel", memo), lambda: _check_kernel(memo, twin, args, dict(kwargs), found), _A_KIND
    )
    return found


def _by_small_ones(
    key: object,
    module: nn.Module,
    training: bool,
    args: tuple[Fact, ...],
    kwargs: tuple[tuple[str, Fact], ...],
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
    steps, deep = fact.shape[axis], _is_deep(module, args, kwargs)
    if steps <= max(_SHORT) and not deep:
        return None
    found = []
    for few, layers in zip(_SHORT, _SHALLOW, strict=True):
        call = _MetaCall(_of_layers(module, layers) if deep else module, training)
        few = min(few, steps)
        short = contiguous((*fact.shape[:axis], few, *fact.shape[axis + 1 :]), fact.dtype)
        one = _run((key, few, layers), call, (short, *args[1:]), kwargs)
        assert isinstance(one, tuple), "an RNN gives a tuple"
        state = _with_size(one[1], 0, module.num_layers, layers) if deep else one[1]
        found.append((_with_size(one[0], axis, steps, few), state))
    return found[0] if found[0] == found[1] else None


def _is_deep(
    module: nn.Module, args: tuple[Fact, ...], kwargs: tuple[tuple[str, Fact], ...]
) -> bool:
    """Whether an RNN has more layers than need be asked; a state that is given has them too."""
    given_state = len(args) > 1 or bool(kwargs)
    return isinstance(module, nn.RNNBase) and module.num_layers > max(_SHALLOW) and not given_state


def _of_layers(module: nn.RNNBase, layers: int) -> nn.RNNBase:
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


def has_mode(module: nn.Module) -> bool:
    """Whether the module, or one inside of it, looks at its mode: train or eval."""
    return any(map(_asks_for_mode, [cast("Hashable", type(part)) for part in module.modules()]))


@cache
def _asks_for_mode(cls: Hashable) -> bool:
    """What was registered may ask in any way; of torch's own classes the code says whether."""
    assert isinstance(cls, type), "a module's class"
    if registry.of_target(cls) is not None:
        return True
    own = cls.__mro__[: cls.__mro__.index(nn.Module)]
    codes = (getattr(value, "__code__", None) for part in own for value in vars(part).values())
    return any(code is not None and "training" in code.co_names for code in codes)


@dataclass(slots=True)
class _MetaCall:
    """A call of a `meta` module in the given mode."""

    module: nn.Module
    training: bool

    def __call__(self, *args: object, **kwargs: object) -> object:
        if self.module.training is not self.training:
            self.module.train(self.training)
        with without_fast_path():
            return self.module(*args, **kwargs)


_POINTWISE = ("torch.nn.modules.activation", "torch.nn.modules.batchnorm")


@dataclass(slots=True)
class _CpuCopy:
    """A `meta` module's twin on the CPU, made when it is first called; with other `sizes`."""

    module: nn.Module
    training: bool
    sizes: Mapping[int, int] = field(default_factory=dict)
    made: nn.Module | None = None

    def __call__(self, *args: object, **kwargs: object) -> object:
        if self.made is None and not _has_tensors(self.module):
            self.made = self.module.train(self.training)
        elif self.made is None and self.sizes:
            self.made = _leaf_like(self.module, self.sizes, "cpu").train(self.training)
        elif self.made is None:
            if elements_of(self.module) > MAX_TINY:
                raise OperatorRejects("its parameters are too large to try it on the CPU")
            self.made = _on_cpu_device(self.module).train(self.training)
        return self.made(*args, **kwargs)


def _has_tensors(module: nn.Module) -> bool:
    return any(True for _ in chain(module.parameters(), module.buffers()))


def _on_cpu_device(module: nn.Module) -> nn.Module:
    """A copy of a `meta` module on the CPU, its numbers whatever they are."""
    if registry.of_target(type(module)) is not None:
        if module in _arguments:
            args, kwargs = _arguments[module]  # what it holds beside its state has numbers, too
            return _new_on_cpu(type(module), args, kwargs)
        return deepcopy(module).to_empty(device="cpu")
    if not _holds_state_alone(module):
        return deepcopy(module).to_empty(device="cpu")
    return _leaf_like(module, {}, "cpu")


def _holds_state_alone(module: nn.Module) -> bool:
    """Whether all its tensors are its own parameters and buffers; an RNN lists them once more."""
    others = [value for name, value in vars(module).items() if name not in _STATE]
    return not module._modules and not any(isinstance(v, torch.Tensor) for v in tree_leaves(others))


def _leaf_like(module: nn.Module, sizes: Mapping[int, int], device: str) -> nn.Module:
    """A copy of a module without children, full of zeros."""

    def zeros(tensor: torch.Tensor) -> torch.Tensor:
        shape = [sizes.get(n, n) for n in tensor.shape]
        return torch.zeros(shape, dtype=tensor.dtype, device=device)

    made = copy(module)
    made._parameters = {
        name: value if value is None else nn.Parameter(zeros(value), value.requires_grad)
        for name, value in module._parameters.items()
    }
    made._buffers = {
        name: value if value is None else zeros(value) for name, value in module._buffers.items()
    }
    return made


def meta_module(
    operator: Operator, args: tuple[Fact, ...], kwargs: tuple[tuple[str, Fact], ...]
) -> tuple[nn.Module, object]:
    """An instance of a class on `meta`, made once, and a key of what it was made with.

    Raises OperatorRejects with torch's own words where the constructor refuses its arguments.
    """
    key = (*operator.key, memo_key(args), memo_key(kwargs))
    pay_once(("module", key), _A_MODULE)
    found = _modules.get(key)
    if found is not None:
        return found, key
    cls = cast("type[nn.Module]", operator.target)
    named = dict(kwargs)
    try:
        with silence():
            module = _new_on_meta(cls, args, named)
    except Exception as error:
        if operator.registered is None:
            raise OperatorRejects(first_line(error)) from None
        module = _new_on_cpu(cls, args, named).to("meta")  # its code may look at numbers
    if len(_modules) > _MOST_MODULES:
        _modules.clear()
        _arguments.clear()
    _modules[key] = module
    if operator.registered is not None:
        _arguments[module] = (args, named)
    return module, key


def _new_on_meta(
    cls: Callable[..., nn.Module], args: tuple[Fact, ...], kwargs: Mapping[str, Fact]
) -> nn.Module:
    """By its own `device` where it has one."""
    if not _has_device(cls):
        with torch.device("meta"), Unfilled():
            return cls(*args, **kwargs)
    with Unfilled():
        return cls(*args, **{**kwargs, "device": "meta"})


@cache
def _has_device(cls: Callable[..., nn.Module]) -> bool:
    return "device" in inspect.signature(cls).parameters


def _new_on_cpu(
    cls: Callable[..., nn.Module], args: tuple[Fact, ...], kwargs: Mapping[str, Fact]
) -> nn.Module:
    try:
        with own_random_state(), silence():
            return cls(*args, **kwargs)
    except Exception as error:
        raise OperatorRejects(first_line(error)) from None


def type_of(tensor: torch.Tensor) -> TensorType:
    """The type of a tensor."""
    return TensorType(tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype)


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
    found = _memo.get(key, _memo)
    if found is _memo:
        before = spent()
        pay_once(key, work)
        try:
            found = find()
        except OperatorRejects as error:
            found = error
        if len(_memo) > _MEMO_LIMIT:
            _memo.clear()
            _work.clear()
        _memo[key] = found
        if spent() - before > work:
            _work[key] = spent() - before
    else:
        pay_once(key, _work.get(key, work))
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
            found = fact_of(_on_meta(target, args, kwargs))
        if isinstance(target, _MetaCall):
            return found
        if elements(found) <= MAX_TINY and _asks_for_cpu(args, kwargs):
            found = _or_on_cpu(found, target, args, kwargs)
        if asks_kernel and not _is_plain_arithmetic(target, args):
            _check_kernel(key, target, args, kwargs, found)
        return found
    except NotImplementedError:
        return _on_cpu(target, args, kwargs)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        if _needs_data(error):
            return _on_cpu(target, args, kwargs)
        raise OperatorRejects(first_line(error)) from None
    except Exception as error:  # an operator may refuse in any way: assert, KeyError, overflow
        raise OperatorRejects(first_line(error)) from None


def _on_meta(
    target: Callable[..., object], args: tuple[Fact, ...], kwargs: Mapping[str, Fact]
) -> object:
    positional = [to_value(a) for a in args]
    named = {name: to_value(value) for name, value in kwargs.items()}
    large = execution_limits.is_large((*positional, *named.values()))
    with execution_limits.OnMeta() if large else nullcontext():
        if any(_has_tensor(a) for a in (*args, *kwargs.values())):
            return target(*positional, **named)
        if target is torch.normal:  # the only factory that does not heed the context below
            named["device"] = "meta"
        with torch.device("meta"):
            return target(*positional, **named)


def _has_tensor(fact: Fact) -> bool:
    return isinstance(fact, TensorType) or (
        isinstance(fact, tuple) and any(_has_tensor(item) for item in fact)
    )


def _on_cpu(
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
    # A backward pass looks at the numbers of indexes, offsets and lengths, and these are made up.
    backward = backward and not any(map(_has_whole_numbers, (*args, *kwargs.values())))
    # Only zeros and ones where several tensors have to agree: ctc_loss trusts its lengths.
    alone = sum(isinstance(a, (TensorType, tuple)) for a in (*args, *kwargs.values())) == 1
    fills = (0, 1, MANY) if alone else (0, 1)
    for fill in (*fills, UNIT) if one else fills:
        try:
            grad = torch.enable_grad() if backward else torch.no_grad()
            with grad, own_random_state(), silence(), bounds():
                positional = [to_value(a, fill) for a in args]
                named = {name: to_value(value, fill) for name, value in kwargs.items()}
                if backward:
                    positional, named = tree_map(in_a_graph, (positional, named))
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


def _has_whole_numbers(fact: Fact) -> bool:
    """Whether a tensor of integers or booleans is in it."""
    if isinstance(fact, tuple):
        return any(map(_has_whole_numbers, fact))
    return isinstance(fact, TensorType) and not (
        fact.dtype.is_floating_point or fact.dtype.is_complex
    )


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


def _asks_for_cpu(args: tuple[Fact, ...], kwargs: Mapping[str, Fact]) -> bool:
    """Whether dtypes matter: kernels on `meta` don't look at them, and take integers for floats."""
    facts = [*args, *kwargs.values()]
    other = any(isinstance(f, TensorType) and f.dtype is not torch.float32 for f in facts)
    return other and sum(map(elements, facts)) <= MAX_TINY


def _or_on_cpu(
    found: Fact, target: Callable[..., object], args: tuple[Fact, ...], kwargs: Mapping[str, Fact]
) -> Fact:
    """The fact from the CPU, where dtypes matter; what `meta` found, where it has no kernel."""
    if _small_one_agrees(target, args, kwargs):
        return found
    try:
        return _on_cpu(target, args, kwargs, execution_limits.on_cpu_for_a_while)
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
        _on_cpu(target, _widened(args), dict(_widened(tuple(kwargs.items()))), one=True)
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
                expected = fact_of(_on_meta(_as_meta(small), small_args, dict(small_named)))
            if _on_cpu(small, small_args, dict(small_named)) == expected:
                return True
        except Exception:  # some number fits the large sizes only
            continue
    return False


def _as_meta(target: Callable[..., object]) -> Callable[..., object]:
    """What is asked on `meta` in the place of a module's twin on the CPU."""
    if not isinstance(target, _CpuCopy):
        return target
    module = _leaf_like(target.module, target.sizes, "meta") if target.sizes else target.module
    return _MetaCall(module, target.training)


def _widened(fact: Any) -> Any:
    """A fact with the dtypes that every kernel has."""
    if isinstance(fact, TensorType):
        return replace(fact, dtype=_WIDER.get(fact.dtype, fact.dtype))
    if isinstance(fact, tuple):
        return tuple(map(_widened, fact))
    return _WIDER.get(fact, fact) if isinstance(fact, torch.dtype) else fact


def _check_kernel(
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
    kind = kind_of(key)
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
            _on_cpu(small_target, small_args, dict(small_named), bounds, True, backward=True)
        except OperatorRejects:  # of these sizes; its own are asked next
            continue
        _note_taken(kind)
        return
    held = elements_of(target.module) if isinstance(target, _CpuCopy) else 0
    calls: list[_Call] = [(target, args, named)]
    if held + sum(map(elements, (*args, *kwargs.values(), found))) > MAX_TINY:
        calls = [c for c in smaller_calls(target, args, named, _MEDIUM) if _is_taken_on_meta(*c)]
    refusals = [error for call in calls if (error := _refusal_on_cpu(*call)) is not None]
    if refusals and len(refusals) == len(calls):
        raise refusals[-1]
    _note_taken(kind)


def _refusal_on_cpu(
    target: Callable[..., object],
    args: tuple[Fact, ...],
    kwargs: tuple[tuple[str, Fact], ...],
    backward: bool = True,
) -> OperatorRejects | None:
    """The CPU's refusal of a call, if it is one that other devices share."""
    named = dict(kwargs)
    try:
        _on_cpu(
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
            _on_meta(_as_meta(target), args, dict(kwargs))
    except Exception:  # an operator may refuse in any way
        return False
    return True


def _note_taken(kind: object) -> None:
    if len(_taken) > _MEMO_LIMIT:
        _taken.clear()
    _taken.add(kind)


def _has_large(fact: Fact) -> bool:
    if isinstance(fact, tuple):
        return any(map(_has_large, fact))
    return type(fact) is int and abs(fact) > execution_limits.LARGE


_Call: TypeAlias = "tuple[Callable[..., object], tuple[Fact, ...], tuple[tuple[str, Fact], ...]]"


def smaller_calls(
    target: Callable[..., object],
    args: tuple[Fact, ...],
    kwargs: tuple[tuple[str, Fact], ...],
    most: int = _EXACT,
) -> Iterator[_Call]:
    """The same call with smaller sizes: of a module's parameters too, then of its inputs alone.

    Sizes that are equal stay equal, and others different.
    """
    sizes = set(_sizes_in((args, kwargs)))
    own: set[int] = set()
    if isinstance(target, _CpuCopy):
        tensors = target.module.state_dict(keep_vars=True).values()
        own = {size for tensor in tensors for size in tensor.shape}
        if own and _holds_state_alone(target.module):
            smaller = _fewer(sizes | own, most)
            small = _CpuCopy(target.module, target.training, smaller)
            yield small, _resized(args, smaller), _resized(kwargs, smaller)
    smaller = _fewer(sizes - own, most)
    if smaller:
        yield target, _resized(args, smaller), _resized(kwargs, smaller)


def _fewer(sizes: Iterable[int], most: int) -> dict[int, int]:
    """A size just above `most` for each larger one, in their order."""
    large = sorted(size for size in sizes if size > most)
    return {size: most + number for number, size in enumerate(large, start=1)}


def _sizes_in(fact: Fact) -> Iterator[int]:
    if isinstance(fact, TensorType):
        yield from fact.shape
    elif isinstance(fact, tuple):
        for item in fact:
            yield from _sizes_in(item)


def _resized(fact: Any, sizes: Mapping[int, int]) -> Any:
    if isinstance(fact, TensorType):
        return contiguous(tuple([sizes.get(size, size) for size in fact.shape]), fact.dtype)
    return tuple([_resized(item, sizes) for item in fact]) if isinstance(fact, tuple) else fact


def kind_of(key: Any) -> object:
    """A memo's key without what differs among calls of a kind.

    Of sizes it holds which are equal, 0 or 1; large numbers are all one, and so are fractions on
    the same side of 0 and of 1, where a probability ends.
    """
    labels: dict[int, int] = {}

    def kind(part: Any) -> object:
        if isinstance(part, TensorType):
            in_order = part.stride == contiguous(part.shape, part.dtype).stride
            sizes = [n if n < 2 else labels.setdefault(n, len(labels) + 2) for n in part.shape]
            return tuple(sizes), in_order, part.dtype
        if isinstance(part, tuple) and part[:1] == (_FLOAT,):
            return _side_of(float(part[1]))
        if isinstance(part, tuple):
            return tuple([kind(item) for item in part])
        if type(part) is int and abs(part) > _EXACT:
            return "many" if part > 0 else "few"
        return part

    return kind(key)


def _side_of(number: float) -> object:
    """Where a fraction lies among 0 and 1; what is none tells itself."""
    if not math.isfinite(number) or number in (0, 1):
        return (_FLOAT, repr(number))
    return (_FLOAT, "below 0" if number < 0 else "above 1" if number > 1 else "between")


def _is_plain_arithmetic(target: Callable[..., object], args: tuple[Fact, ...]) -> bool:
    """Whether no number that is not huge can be refused: Python's operators on float32."""
    return target in _ARITHMETIC and all(
        value.dtype is torch.float32
        if isinstance(value, TensorType)
        else isinstance(value, (int, float)) and abs(value) < _HUGE
        for value in args
    )


def elements(fact: Fact) -> int:
    """How many elements a value's tensors have."""
    if isinstance(fact, TensorType):
        return math.prod(fact.shape)
    return sum(elements(item) for item in fact) if isinstance(fact, tuple) else 0


@lru_cache(maxsize=4096)
def elements_of(module: nn.Module) -> int:
    """How many elements a module's parameters and buffers have."""
    tensors = [*module.parameters(), *module.buffers()]
    return sum(tensor.numel() for tensor in tensors)


@lru_cache(maxsize=4096)
def tensors_of(module: nn.Module) -> int:
    """How many parameters a module and all inside of it have."""
    return sum(1 for _ in module.parameters())


def _needs_data(error: Exception) -> bool:
    text = str(error)
    return "meta" in text.lower() and ("data" in text or "item()" in text or "Meta" in text)


def first_line(error: Exception) -> str:
    text = str(error).strip()
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def to_value(fact: Fact, fill: int | None = None) -> object:
    """A fact as something that torch can be called with: a tensor type becomes a tensor.

    The tensor is on `meta`, or with `fill` on the CPU and full of that number, or of MANY.
    """
    if isinstance(fact, TensorType):
        shape, stride = fact.shape, fact.stride
        if fill is None:
            return torch.empty_strided(shape, stride, dtype=fact.dtype, device="meta")
        if fill == RANDOM and (fact.dtype.is_floating_point or fact.dtype.is_complex):
            return torch.rand(shape).to(fact.dtype)
        if fill == UNIT and len(shape) > 1:
            return torch.eye(*shape[-2:]).to(fact.dtype).expand(shape).clone()
        held = 1 + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
        count = max(held, 0)
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


def memo_key(fact: object) -> object:
    """A key that tells 1, 1.0 and True apart."""
    if isinstance(fact, tuple):
        return tuple([memo_key(item) for item in fact])
    if isinstance(fact, float):
        return (_FLOAT, repr(fact))  # 0.0 and -0.0 are two, nan is one
    if isinstance(fact, bool):
        return ("bool", fact)
    return fact
