"""Modules on `meta`, each made once, and their copies on the CPU."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Mapping
from copy import copy, deepcopy
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import chain
from typing import cast
from weakref import WeakKeyDictionary

import torch
from torch import nn

from netspec.caches import Cache
from netspec.limits import pay_once
from netspec.ops import registry
from netspec.ops.catalog import Operator
from netspec.ops.execution import MAX_TINY, first_line
from netspec.ops.process_state import own_random_state, silence, without_fast_path
from netspec.ops.torch_internals import tree_leaves
from netspec.ops.types import Fact, OperatorRejects, memo_key
from netspec.ops.unfilled import Unfilled

_A_MODULE = 500  # the work of making one
_STATE = ("_parameters", "_buffers")
_modules: Cache[object, nn.Module] = Cache(2_000)
_arguments: WeakKeyDictionary[nn.Module, tuple[tuple[Fact, ...], Mapping[str, Fact]]] = (
    WeakKeyDictionary()  # of what was registered
)


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
class MetaCall:
    """A call of a `meta` module in the given mode."""

    module: nn.Module
    training: bool

    def __call__(self, *args: object, **kwargs: object) -> object:
        if self.module.training is not self.training:
            self.module.train(self.training)
        with without_fast_path():
            return self.module(*args, **kwargs)


@dataclass(slots=True)
class CpuCopy:
    """A `meta` module's twin on the CPU, made when it is first called; with other `sizes`."""

    module: nn.Module
    training: bool
    sizes: Mapping[int, int] = field(default_factory=dict)
    made: nn.Module | None = None

    def __call__(self, *args: object, **kwargs: object) -> object:
        if self.made is None and not has_tensors(self.module):
            self.made = self.module.train(self.training)
        elif self.made is None and self.sizes:
            self.made = leaf_like(self.module, self.sizes, "cpu").train(self.training)
        elif self.made is None:
            if elements_of(self.module) > MAX_TINY:
                raise OperatorRejects("its parameters are too large to try it on the CPU")
            self.made = _on_cpu_device(self.module).train(self.training)
        return self.made(*args, **kwargs)


def has_tensors(module: nn.Module) -> bool:
    """Whether a module, or one inside of it, has parameters or buffers."""
    return any(True for _ in chain(module.parameters(), module.buffers()))


def _on_cpu_device(module: nn.Module) -> nn.Module:
    """A copy of a `meta` module on the CPU, its numbers whatever they are."""
    if registry.of_target(type(module)) is not None:
        if module in _arguments:
            args, kwargs = _arguments[module]  # what it holds beside its state has numbers, too
            return new_on_cpu(type(module), args, kwargs)
        return deepcopy(module).to_empty(device="cpu")
    if not holds_state_alone(module):
        return deepcopy(module).to_empty(device="cpu")
    return leaf_like(module, {}, "cpu")


def holds_state_alone(module: nn.Module) -> bool:
    """Whether all its tensors are its own parameters and buffers; an RNN lists them once more."""
    others = [value for name, value in vars(module).items() if name not in _STATE]
    return not module._modules and not any(isinstance(v, torch.Tensor) for v in tree_leaves(others))


def leaf_like(module: nn.Module, sizes: Mapping[int, int], device: str) -> nn.Module:
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
        module = new_on_cpu(cls, args, named).to("meta")  # its code may look at numbers
    _modules.keep(key, module)
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


def new_on_cpu(
    cls: Callable[..., nn.Module], args: tuple[Fact, ...], kwargs: Mapping[str, Fact]
) -> nn.Module:
    try:
        with own_random_state(), silence():
            return cls(*args, **kwargs)
    except Exception as error:
        raise OperatorRejects(first_line(error)) from None


@lru_cache(maxsize=4096)
def elements_of(module: nn.Module) -> int:
    """How many elements a module's parameters and buffers have."""
    tensors = [*module.parameters(), *module.buffers()]
    return sum(tensor.numel() for tensor in tensors)


@lru_cache(maxsize=4096)
def tensors_of(module: nn.Module) -> int:
    """How many parameters a module and all inside of it have."""
    return sum(1 for _ in module.parameters())
