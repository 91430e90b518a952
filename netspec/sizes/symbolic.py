"""A question asked of torch with symbols: formulas of what comes out, and what was assumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from netspec.ops.torch_internals import DispatchMode, SymbolicSizes, quiet_fakes, sympy_of
from netspec.sizes.formula import Formula, constant, of_filled, symbol, times, value_at
from netspec.sizes.from_sympy import NotSymbolic, formula_of, predicate_of
from netspec.sizes.predicate import Predicate
from netspec.sizes.question import Number, Question, by_name, leaves, mapped
from netspec.sizes.real import NoSuchSizes, run_at
from netspec.sizes.values import SizedType, dense_strides

_MANY_KERNELS = 100  # of which a call is looked at for loops over a size


def ask_symbolic(question: Question) -> tuple[Any, list[Predicate]]:
    """What comes out, with a SizedType for each tensor, and what torch assumed.

    Raises NotSymbolic, with a text that says why.
    """
    symbolic = SymbolicSizes()
    sizes = [symbolic.size(f"s{i}", hint) for i, hint in enumerate(question.hints)]
    symbols = {str(sympy_of(size)): symbol(f"s{i}") for i, size in enumerate(sizes)}
    given = by_name(sizes)
    try:
        with symbolic.mode(), torch.no_grad(), quiet_fakes():
            leaf = lambda one: _argument(one, given)  # noqa: E731
            args = tuple([mapped(arg, leaf) for arg in question.args])
            kwargs = {name: mapped(arg, leaf) for name, arg in question.kwargs}
            value = question.target(*args, **kwargs)
    except Exception as error:  # torch may fail in any way with symbols
        raise NotSymbolic(_reason(error)) from None
    try:
        assumed = [predicate_of(expr, symbols) for expr in symbolic.assumed()]
        return mapped(value, lambda one: _result(one, symbols)), assumed
    except RecursionError:
        raise NotSymbolic("a formula that is too long") from None


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:120] if lines else type(error).__name__


def _argument(one: Any, sizes: Mapping[str, Any]) -> Any:
    if isinstance(one, Number):
        return value_at(one.formula, sizes)
    if not isinstance(one, SizedType):
        return one
    dims = [value_at(dim, sizes) for dim in one.dims]
    strides = [value_at(stride, sizes) for stride in one.all_strides]
    return torch.empty_strided(dims, strides, dtype=one.dtype, device="meta")


def _result(one: Any, symbols: Mapping[str, Formula]) -> Any:
    if isinstance(one, torch.Tensor):
        dims = tuple([formula_of(sympy_of(size), symbols) for size in one.shape])
        steps = [formula_of(sympy_of(step), symbols) for step in one.stride()]
        strides = tuple(map(of_filled, steps))
        return with_order(dims, strides, one.dtype)
    if isinstance(one, torch.SymInt):
        found = formula_of(sympy_of(one), symbols)
        return Number(found) if found.number is None else found.number
    if isinstance(one, (torch.SymBool, torch.SymFloat)):
        raise NotSymbolic("a number that is no size")
    return one


def with_order(
    dims: tuple[Formula, ...], strides: tuple[Formula, ...], dtype: torch.dtype
) -> SizedType:
    """The type, with the order of its dimensions where it has no gaps."""
    usual = tuple(range(len(dims)))
    if strides == dense_strides(dims, usual):
        return SizedType(dims, dtype)
    left, order = list(usual), list[int]()
    step = constant(1)
    while left:
        found = next((dim for dim in reversed(left) if strides[dim] == step), None)
        if found is None:
            return SizedType(dims, dtype, strides=strides)
        order.insert(0, found)
        left.remove(found)
        step = times(step, dims[found])
    return SizedType(dims, dtype, order=tuple(order))


class _Count(DispatchMode):  # type: ignore[no-untyped-call]
    kernels: int

    def __init__(self) -> None:
        super().__init__()
        self.kernels = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.kernels += 1
        return func(*args, **(kwargs or {}))


def loops(question: Question) -> bool:
    """Whether a call runs more kernels where a size is greater: symbols would unroll it."""
    if not _may_loop(question):
        return False
    try:
        before = _kernels(question, question.hints)
        if before < _MANY_KERNELS:
            return False
        more = [
            _kernels(question, [hint + (j == i) for j, hint in enumerate(question.hints)])
            for i in range(len(question.hints))
        ]
    except NoSuchSizes:
        return False
    return any(count > before for count in more)


def _may_loop(question: Question) -> bool:
    """Modules alone run so many kernels, and functions that take lists of tensors."""
    many = isinstance(question.target, nn.Module)
    return many or sum(isinstance(one, torch.Tensor) for one in leaves(question.args)) > 4


def _kernels(question: Question, sizes: Sequence[int]) -> int:
    count = _Count()
    with count:
        run_at(question, sizes)
    return count.kernels
