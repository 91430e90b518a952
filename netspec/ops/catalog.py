"""The closed table of what a spec can name, made from the installed torch.

It is the one place that decides: a name is one identifier, looked up here, and nothing ever walks
`getattr` along a user's string (`F.importlib`, `F.torch` and `torch.os` exist). In it are

- as a layer: the classes of `torch.nn`, but base classes, containers, lazy and parallel ones;
- as a method: what torch lists as overridable in `Tensor` and has an ATen schema that gives
  tensors, the casts (`float`), and a few more;
- as a function: the same of `torch`, if torch documents it, its functions written in Python, the
  public functions of `torch.nn.functional` that give tensors, a list of factories, each method;
- as an initialiser: the functions of `torch.nn.init` that end in an underscore; the dtypes;
- as a layer or a function: what Python code registered (`netspec.register`), by `ops/registry.py`.

Where a rule lets through what reaches a tensor's storage, autograd's state, hosts or devices, the
name stands in a short set below. `tests/test_hostile.py` holds the table against torch's own lists.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules import activation
from torch.nn.modules.lazy import LazyModuleMixin
from torch.overrides import get_overridable_functions

from netspec.ops import registry
from netspec.ops.process_state import silence
from netspec.ops.registry import Registered, RegisteredKind
from netspec.ops.torch_internals import schemas_for

Home = Literal["nn", "F", "torch", "Tensor", "init", "registered"]


@dataclass(frozen=True, slots=True)
class Operator:
    """One thing of torch's: written `nn.Conv2d`, `F.max_pool2d`, `torch.cat`, `x.masked_fill`.

    Or one that Python code `registered`; then code calls it by its `symbol` alone.
    """

    name: str
    home: Home
    target: Callable[..., object]
    registered: Registered | None = None
    symbol: str = ""

    @property
    def key(self) -> tuple[object, ...]:
        """What tells it from every other, whatever is registered later."""
        if self.registered is None:
            return (self.home, self.name)
        return (self.home, self.name, self.registered)

    @property
    def is_module(self) -> bool:
        return isinstance(self.target, type)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Classes of torch.nn that are no layer: the base classes, the containers (a spec has its own words
# for them), and what moves tensors between devices or wants a process group. Lazy classes are left
# out by their base class: netspec infers what they would.
_NO_LAYER = _names("""
    Module RNNBase RNNCellBase Container Sequential ModuleList ModuleDict ParameterList
    ParameterDict DataParallel SyncBatchNorm
""")

# Operators with a schema that returns tensors, and which are left out all the same.
_STORAGE = _names("""
    set_ resize resize_ resize_as resize_as_ resize_as_sparse_ sparse_resize_
    sparse_resize_and_clear_ as_strided as_strided_ as_strided_copy as_strided_scatter
    slice_inverse
""")
_AUTOGRAD_STATE = _names("requires_grad_ detach_")
_DEVICES = _names("cpu cuda pin_memory to_mkldnn")
_FIRST_CLASS_DIMENSIONS = _names("index")
_QUANTIZED = _names("quantized_batch_norm quantized_max_pool1d quantized_max_pool2d")
_LEFT_OUT = _STORAGE | _AUTOGRAD_STATE | _DEVICES | _FIRST_CLASS_DIMENSIONS | _QUANTIZED

# Functions that make tensors; torch does not list them as overridable. The other `*_like` are.
_FACTORIES = _names("""
    arange zeros ones full eye linspace logspace tril_indices triu_indices empty tensor
    rand randn randint randperm normal rand_like randn_like randint_like
    bartlett_window blackman_window hamming_window hann_window kaiser_window
""")

# Methods that torch does not list as overridable, and which networks use.
_MORE_METHODS = _names("new_zeros new_ones new_full new_empty unflatten")

# torch.functional makes these by `boolean_dispatch`, which leaves another module's name on them.
_DISPATCHED = _names("unique unique_consecutive")


def find_module(name: str) -> Operator | None:
    """The layer class of this name in `torch.nn`, or the one that was registered."""
    return _modules().get(name) or _registered("module", name)


def find_function(name: str) -> Operator | None:
    """What `call: name` calls: of `torch.nn.functional`, else of `torch`, else a Tensor method.

    Or a function that was registered.
    """
    return _functions().get(name) or _registered("function", name)


def _registered(kind: RegisteredKind, name: str) -> Operator | None:
    registered = registry.find(kind, name)
    return None if registered is None else operator_of(registered)


def operator_of(registered: Registered) -> Operator:
    """What was registered as an operator."""
    return Operator(
        registered.name, "registered", registered.target, registered, registry.symbol_of(registered)
    )


def find_method(name: str) -> Operator | None:
    """The Tensor method of this name."""
    return _methods().get(name)


def find_init(name: str) -> Operator | None:
    """The initialiser of this name in `torch.nn.init`, those that end in an underscore."""
    return _inits().get(name)


def find_dtype(name: str) -> torch.dtype | None:
    """The dtype of this name: `float32`, `long`."""
    return _dtypes().get(name)


def module_names() -> tuple[str, ...]:
    """The names that `find_module` knows, sorted."""
    return _with_registered(_sorted_modules(), "module")


def function_names() -> tuple[str, ...]:
    """The names that `find_function` knows, sorted."""
    return _with_registered(_sorted_functions(), "function")


def _with_registered(names: tuple[str, ...], kind: RegisteredKind) -> tuple[str, ...]:
    more = [registered.name for registered in registry.visible(kind)]
    return tuple(sorted((*names, *more))) if more else names


@cache
def _sorted_modules() -> tuple[str, ...]:
    return tuple(sorted(_modules()))


@cache
def _sorted_functions() -> tuple[str, ...]:
    return tuple(sorted(_functions()))


@cache
def method_names() -> tuple[str, ...]:
    """The names that `find_method` knows, sorted."""
    return tuple(sorted(_methods()))


@cache
def init_names() -> tuple[str, ...]:
    """The names that `find_init` knows, sorted."""
    return tuple(sorted(_inits()))


@cache
def dtype_names() -> tuple[str, ...]:
    """The names that `find_dtype` knows, sorted."""
    return tuple(sorted(_dtypes()))


def overwrites(operator: Operator) -> bool:
    """Whether the operator writes into its first input, as torch's trailing underscore says."""
    return not operator.is_module and operator.name.endswith("_")


def module_of_activation(function: str) -> Operator | None:
    """The class that computes what this function computes: `relu` gives `nn.ReLU`."""
    found = _activations().get(function)
    if found is not None:
        return found
    registered = _registered_activations().get(function)
    return None if registered is None else find_module(registered)


def function_of_activation(module: str) -> Operator | None:
    """The function that computes what this class computes: `ReLU` gives `F.relu`."""
    found = _functions_of_activations().get(module)
    if found is not None:
        return found
    registered = [name for name, cls in _registered_activations().items() if cls == module]
    return find_function(registered[0]) if registered else None


def is_activation_of_torch(function: str) -> bool:
    """Whether this is the function of one of torch's own activations."""
    return function in _activations()


def activation_names() -> tuple[str, ...]:
    """The function names of activations that exist in both forms, sorted."""
    return tuple(sorted((*_activations(), *_registered_activations())))


def _registered_activations() -> dict[str, str]:
    """The functions of the activations that were registered, with their classes."""
    present = registry.visible("module")
    return {
        registered.function: registered.name
        for registered in present
        if registered.function is not None
    }


@cache
def module_members() -> frozenset[str]:
    """What `nn.Module` has, and a layer's name would hide; not what torch.compile adds later."""
    return frozenset(name for name in dir(nn.Module()) if not name.startswith("___"))


@cache
def dict_members() -> frozenset[str]:
    """What an nn.ModuleDict or an nn.ParameterDict has and no item may be called: `keys`, `pop`."""
    return frozenset((*dir(torch.nn.ModuleDict()), *dir(torch.nn.ParameterDict())))


@cache
def schemas_of(name: str) -> tuple[torch.FunctionSchema, ...]:
    """The ATen schemas of an operator that give tensors and want no output to write into."""
    return tuple(schema for schema in schemas_for(name) if _gives_tensors(schema))


def _gives_tensors(schema: torch.FunctionSchema) -> bool:
    if any(argument.is_out for argument in schema.arguments):
        return False
    return any("Tensor" in str(result.type) for result in schema.returns)


@cache
def _modules() -> Mapping[str, Operator]:
    return {
        name: Operator(name, "nn", value)
        for name, value in vars(nn).items()
        if isinstance(value, type)
        and issubclass(value, nn.Module)
        and not issubclass(value, LazyModuleMixin)
        and name not in _NO_LAYER
    }


@cache
def _methods() -> Mapping[str, Operator]:
    listed = {id(f) for f in get_overridable_functions()[torch.Tensor]}
    names = [name for name, value in _members(torch.Tensor) if id(value) in listed]
    casts = [name for name in names if name in _dtypes()]
    tensors = [name for name in names if _is_open(name) and schemas_of(name)]
    return {
        name: Operator(name, "Tensor", getattr(torch.Tensor, name))
        for name in (*casts, *tensors, *_MORE_METHODS)
    }


@cache
def _functions() -> Mapping[str, Operator]:
    return {**_methods(), **dict(_of_torch()), **dict(_of_functional())}


def _of_torch() -> Iterator[tuple[str, Operator]]:
    overridable = get_overridable_functions()
    listed = {id(f) for home in (torch, torch.functional) for f in overridable[home]}
    for name, value in vars(torch).items():
        if id(value) not in listed or not _is_open(name):
            continue
        if isinstance(value, types.FunctionType):
            known = value.__module__ == "torch.functional" or name in _DISPATCHED
        else:
            known = _is_documented(value) and bool(schemas_of(name))
        if known:
            yield name, Operator(name, "torch", value)
    for name in _FACTORIES:
        yield name, Operator(name, "torch", getattr(torch, name))


def _is_documented(value: object) -> bool:
    """What torch does not document are raw kernels, which trust the shapes that they are given.

    `native_batch_norm` with a short `running_mean` reads and writes beyond it.
    """
    return isinstance(value, types.BuiltinFunctionType) and bool(value.__doc__)


def _of_functional() -> Iterator[tuple[str, Operator]]:
    for name, value in vars(F).items():
        if not _is_open(name):
            continue
        if isinstance(value, types.FunctionType):
            returns = value.__annotations__.get("return", torch.Tensor)
            known = value.__module__ == F.__name__ and returns is not None
        else:
            known = isinstance(value, types.BuiltinFunctionType) and bool(
                schemas_of(value.__name__)
            )
        if known:
            yield name, Operator(name, "F", value)


def _is_open(name: str) -> bool:
    return not name.startswith("_") and name not in _LEFT_OUT


def _members(home: type) -> Iterator[tuple[str, object]]:
    for name in dir(home):
        yield name, getattr(home, name)


@cache
def _inits() -> Mapping[str, Operator]:
    return {
        name: Operator(name, "init", value)
        for name, value in vars(nn.init).items()
        if isinstance(value, types.FunctionType) and name.endswith("_") and not name.startswith("_")
    }


@cache
def _dtypes() -> Mapping[str, torch.dtype]:
    """Those of ordinary tensors; quantized ones have a scale, and memory of their own kind."""
    named = {name: value for name, value in vars(torch).items() if isinstance(value, torch.dtype)}
    return {name: dtype for name, dtype in named.items() if _is_of_tensors(dtype)}


def _is_of_tensors(dtype: torch.dtype) -> bool:
    try:
        with silence():
            torch.empty_strided((1,), (1,), dtype=dtype, device="meta")
    except (NotImplementedError, RuntimeError):
        return False
    return True


@cache
def _activations() -> Mapping[str, Operator]:
    """Classes of torch.nn.modules.activation by the function of the same name, spelling aside."""
    functions = {name.replace("_", ""): name for name, _ in _of_functional() if name[-1] != "_"}
    pairs = {}
    for name, operator in _modules().items():
        function = functions.get(name.lower())
        if function and cast(type, operator.target).__module__ == activation.__name__:
            pairs[function] = operator
    return pairs


@cache
def _functions_of_activations() -> Mapping[str, Operator]:
    return {operator.name: _functions()[function] for function, operator in _activations().items()}
