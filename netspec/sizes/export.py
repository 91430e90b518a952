"""What torch.export is to take as dynamic, from which sizes a network is valid for."""

from __future__ import annotations

from typing import Any, TypeAlias

from torch.export import Dim

from netspec.errors import Diagnostic, Span, SpecError
from netspec.ir.graph import Program
from netspec.sizes.allowed import Allowed, allowed_by
from netspec.sizes.find import Sizes, declared_shapes
from netspec.sizes.formula import Formula, constant, symbols_of
from netspec.sizes.predicate import Predicate, compare, names_in
from netspec.sizes.question import leaves
from netspec.sizes.values import SizedType

DynamicShapes: TypeAlias = dict[str, dict[int, Any]]


def export_shapes(program: Program, sizes: Sizes) -> DynamicShapes:
    """For each input, the `Dim` of each dimension that is free; one with a single number has none.

    They begin where no layer's dimension is 1 any more, which torch.export takes for a fixed one.
    Raises SpecError (NS301) at the layer that ties several sizes, or allows what no Dim can say.
    """
    allowed = {name: _allowed(program, sizes, name) for name in sizes.free}
    dims = {name: _dim(name, one) for name, one in allowed.items() if one.least != one.most}
    shapes = declared_shapes(program)
    return {
        name: {at: dims[size] for at, size in enumerate(shape) if size in dims}
        for name, shape in shapes.items()
    }


def _allowed(program: Program, sizes: Sizes, name: str) -> Allowed:
    own: list[Predicate] = []
    for one in sizes.constraints:
        if one.mode == "train" or name not in one.names:
            continue
        about = [p for p in one.predicates if names_in(p) == {name}]
        own += about
        found = allowed_by(about, name) if about else None
        if found is None or not found.exact or len(found.rests) > 1:
            place = one.sources[0].place if one.sources else None
            fact = f"torch.export has no dynamic size for this: {one.line}"
            help = f"leave `{name}` out of `dynamic_shapes`, or give it a number in the spec"
            span = place or Span(program.source.file)
            raise SpecError(Diagnostic("NS301", fact, span, help=help))
    own += _two_or_more(sizes, name)
    return allowed_by(own, name) or Allowed(1, None, 1, (0,), True)


def _two_or_more(sizes: Sizes, name: str) -> list[Predicate]:
    """torch.export takes a dimension of 1 for one that is always 1: no layer may have one."""
    dims = {dim for layer in sizes.layers for dim in _dims(layer.value)}
    return [compare(">=", dim, constant(2)) for dim in dims if symbols_of(dim) == {name}]


def _dims(value: object) -> list[Formula]:
    return [dim for one in leaves(value) if isinstance(one, SizedType) for dim in one.dims]


def _dim(name: str, allowed: Allowed) -> Any:
    """`H`, from its least to its greatest number; where all have one rest, `4*_H + 1`."""
    rest = allowed.rest or 0
    bounds = {} if allowed.least <= 1 else {"min": -((rest - allowed.least) // allowed.period)}
    if allowed.most is not None:
        bounds["max"] = (allowed.most - rest) // allowed.period
    if allowed.period == 1:
        return Dim(name, **bounds)
    dim = allowed.period * Dim(f"_{name}", **bounds)
    return dim + rest if rest else dim
