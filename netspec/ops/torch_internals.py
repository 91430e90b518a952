"""Names of torch that it keeps to itself: every use of one in netspec goes through here.

Each is held by a test of its own, which names it when a version of torch has it no more.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from types import FunctionType
from typing import Any

import torch
import torch._decomp.decompositions
import torch._refs.nn.functional
import torch._refs.special
from torch._compile import _disable_dynamo
from torch._jit_internal import boolean_dispatched
from torch.nn.modules.batchnorm import _NormBase as NormBase
from torch.nn.modules.conv import _ConvNd as ConvNd
from torch.nn.modules.conv import _ConvTransposeNd as ConvTransposeNd
from torch.nn.modules.padding import _CircularPadNd as CircularPadNd
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

__all__ = [
    "CircularPadNd",
    "ConvNd",
    "ConvTransposeNd",
    "DispatchMode",
    "NormBase",
    "SymbolicSizes",
    "boolean_dispatched",
    "import_dynamo_late",
    "is_one_of_several",
    "quiet_fakes",
    "schemas_for",
    "sympy_of",
    "tree_flatten",
    "tree_leaves",
    "tree_map",
    "tree_unflatten",
    "without_dispatch",
    "without_functions",
    "without_modes",
]


class DispatchMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees each kernel that runs inside.

    torch's own keeps `torch.compile` out of what it does with one, and for that imports
    `torch._dynamo`, which takes half a second; what runs in these is never compiled.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]


@cache
def import_dynamo_late() -> None:
    """What computes facts on `meta` imports `torch._dynamo` no more.

    Much of it is kept out of what `torch.compile` traces, and its first call imports the compiler
    for that, which takes a second. Where nobody has imported it, nothing is traced.
    """
    modules = (torch._refs, torch._refs.nn.functional, torch._refs.special)
    stack = [f for m in (*modules, torch._decomp.decompositions) for f in vars(m).values()]
    seen: set[int] = set()
    while stack:
        function = stack.pop()
        if not isinstance(function, FunctionType) or id(function) in seen:
            continue
        seen.add(id(function))
        around = [cell.cell_contents for cell in function.__closure__ or ()]
        stack += around
        if function.__code__ is _KEPT_OUT:
            kept_out = around[function.__code__.co_freevars.index("fn")]
            if not hasattr(kept_out, "__dynamo_disable"):
                kept_out.__dynamo_disable = _imports_late(kept_out, function)


_KEPT_OUT = _disable_dynamo(lambda: None).__code__


def _imports_late(kept_out: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if "torch._dynamo" not in sys.modules:
            return kept_out(*args, **kwargs)
        vars(kept_out).pop("__dynamo_disable", None)  # and torch makes its own
        return function(*args, **kwargs)

    return call


def without_modes() -> AbstractContextManager[object]:
    """No mode that is active sees what runs inside."""
    context: AbstractContextManager[object] = _disable_current_modes()
    return context


def without_dispatch() -> AbstractContextManager[object]:
    """No mode of kernels sees what runs inside; one of functions does."""
    context: AbstractContextManager[object] = torch._C._DisableTorchDispatch()
    return context


def without_functions() -> AbstractContextManager[object]:
    """No mode of functions sees what runs inside."""
    context: AbstractContextManager[object] = torch._C.DisableTorchFunction()
    return context


def schemas_for(name: str) -> list[torch.FunctionSchema]:
    """The schemas of all overloads of an ATen operator; none for a name that it has not."""
    found: list[torch.FunctionSchema] = torch._C._jit_get_schemas_for_operator(f"aten::{name}")
    return found


def is_one_of_several(tensor: torch.Tensor) -> bool:
    """Whether a tensor is a view that came with others, or a view of such a one.

    Autograd takes none of them any more, once anything has overwritten a part of their memory.
    """
    if not tensor._is_view():
        return False
    found = torch._C._autograd._get_creation_meta(tensor)
    return found == torch._C._autograd.CreationMeta.MULTI_OUTPUT_NODE


class SymbolicSizes:
    """Sizes that torch computes with as symbols, and what it had to assume of them.

    Tensors made within `mode()` hold no memory and may have such sizes; what is given stands for
    all numbers of zero and more (of any, where its hint is less), and is taken as its `hint` where
    torch decides by a number.
    """

    def __init__(self) -> None:
        from torch._subclasses.fake_tensor import FakeTensorMode  # which take long to import
        from torch.fx.experimental.symbolic_shapes import ShapeEnv

        self._env = ShapeEnv(duck_shape=False, specialize_zero_one=False)
        self._mode = FakeTensorMode(shape_env=self._env, allow_non_fake_inputs=True)

    def mode(self) -> AbstractContextManager[object]:
        """Within it, operators compute types alone."""
        mode: AbstractContextManager[object] = self._mode
        return mode

    def size(self, name: str, hint: int) -> Any:
        """A symbol for a size, as a `torch.SymInt`."""
        from torch.fx.experimental.symbolic_shapes import DimDynamic

        source = _named_source(name)
        made = self._env.create_symbol(
            hint,
            source,
            DimDynamic.DYNAMIC,
            None,
            positive=True if hint >= 0 else None,
            do_not_specialize_zero_one=True,
        )
        return self._env.create_symintnode(made, hint=hint, source=source)

    def assumed(self) -> list[Any]:
        """What was assumed of the symbols so far, as expressions of sympy."""
        return [guard.expr for guard in self._env.guards]


@cache
def _named_source(name: str) -> Any:
    from torch._guards import Source

    class Named(Source):
        @property
        def _name_template(self) -> str:
            return name

    return Named()


def sympy_of(size: Any) -> Any:
    """The expression of a `torch.SymInt`; of a number, the number."""
    return size.node.expr if isinstance(size, torch.SymInt) else size


@contextmanager
def quiet_fakes() -> Iterator[None]:
    """torch logs an operator that it can't ask symbolically before it raises: no news here."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before
