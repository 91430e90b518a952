"""Why a network does not run on data of some size: what that breaks, and what would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from netspec.compiled import Compiled
from netspec.errors import Diagnostic
from netspec.sizes.find import Sizes, declared_shapes, find_sizes
from netspec.sizes.predicate import holds, names_in

_FARTHEST = 4096


def with_constraints(
    diagnostic: Diagnostic, compiled: Compiled, inputs: Sequence[Tensor], training: bool
) -> Diagnostic:
    """The diagnostic of a failed run, with the constraints that these inputs' sizes break."""
    shapes = declared_shapes(compiled.program)
    found: dict[str, int] = {}
    for shape, given in zip(shapes.values(), inputs, strict=True):
        if len(shape) == given.ndim:
            pairs = zip(shape, given.shape, strict=True)
            found |= {letter: size for letter, size in pairs if isinstance(letter, str)}
    if not found or len(found) != len(dict(compiled.program.probes[0].sizes)):
        return diagnostic
    sizes = find_sizes(compiled.program, compiled.built.empty())
    broken = sizes.broken_by(found, training)
    if not broken:
        return diagnostic
    here = ", ".join(f"{name} = {size}" for name, size in found.items())
    mend = _mend(sizes, next(iter(shapes.values())), found, training)
    valid = [f"valid for: {one.line}" for one in broken]
    notes = (*diagnostic.notes, f"the sizes are {here}", *valid)
    return replace(diagnostic, notes=notes, help=mend or diagnostic.help)


def _mend(
    sizes: Sizes, shape: Sequence[int | str], found: Mapping[str, int], training: bool
) -> str | None:
    """The nearest larger sizes for which the network is valid, where each can be told by itself."""
    every = [one for one in sizes.constraints if one.mode != ("eval" if training else "train")]
    nearest = {}
    for letter, size in found.items():
        about = [p for one in every for p in one.predicates if names_in(p) == {letter}]
        fitting = (n for n in range(size, _FARTHEST) if all(holds(p, {letter: n}) for p in about))
        nearest[letter] = next(fitting, size)
    if sizes.broken_by(nearest, training):
        return None
    changed = [f"{letter} = {size}" for letter, size in nearest.items() if size != found[letter]]
    sides = [nearest[one] if isinstance(one, str) else one for one in shape[2:]]
    numbers = f"{', '.join(changed)} would do"
    if len(sides) != 2:  # no image
        return numbers
    image = str(sides[0]) if sides[0] == sides[1] else f"[{sides[0]},{sides[1]}]"
    return f"{numbers}: data.size={image} resizes the images of a folder"
