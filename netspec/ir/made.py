"""What is made: its parameters and its modules, on `meta`."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from netspec.ir.expr import Const, Expr
from netspec.ir.graph import New, NewBuffer, NewModule, NewParameter
from netspec.ir.traversal import children_of
from netspec.ops.meta_modules import meta_module
from netspec.ops.types import Fact, type_of


def parameters_of(new: New, prefix: str = "") -> dict[str, Fact]:
    """The parameters (and their types) below something that is made, by their dotted names."""
    if isinstance(new, (NewParameter, NewBuffer)):
        return {prefix.removesuffix("."): new.fact}
    if isinstance(new, NewModule):
        module, _ = meta_module(new.operator, *_constants(new.args, new.kwargs))
        named = module.named_parameters(remove_duplicate=False)
        return {f"{prefix}{name}": type_of(parameter) for name, parameter in named}
    found: dict[str, Fact] = {}
    for child in children_of(new):
        found |= parameters_of(child.new, f"{prefix}{child.name}.")
    return found


def meta_modules_of(new: New) -> Iterator[nn.Module]:
    """The modules of torch below something that is made, on `meta`."""
    if isinstance(new, NewModule):
        yield from meta_module(new.operator, *_constants(new.args, new.kwargs))[0].modules()
    for child in children_of(new):
        yield from meta_modules_of(child.new)


def _constants(
    args: tuple[Expr, ...], kwargs: tuple[tuple[str, Expr], ...]
) -> tuple[tuple[Fact, ...], tuple[tuple[str, Fact], ...]]:
    def value(expr: Expr) -> Fact:
        assert isinstance(expr, Const), "a constructor's arguments are constants"
        return expr.value

    return (tuple(value(a) for a in args), tuple((name, value(v)) for name, v in kwargs))
