"""Why a network does not run on data of some size: what that breaks, and what would do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from typing import TypeAlias

from torch import Tensor

from netspec.compiled import Compiled
from netspec.errors import Diagnostic
from netspec.sizes.find import declared_shapes, find_sizes
from netspec.sizes.predicate import Predicate, holds, names_in

# Of which free sizes it is, and whether it holds at some.
SizeCondition: TypeAlias = tuple[Set[str], Callable[[Mapping[str, int]], bool]]

_FARTHEST = 4096
_LARGEST_STEP = 512


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
    mode = "eval" if training else "train"
    predicates = [p for one in sizes.constraints if one.mode != mode for p in one.predicates]
    conditions = [_condition_of(each) for each in predicates]
    name, shape = next(iter(shapes.items()))
    mends = [nearest_sizes(shape, found, conditions), _padding(name, shape, found, conditions)]
    mend = "; or ".join(filter(None, mends))
    valid = [f"valid for: {one.line}" for one in broken]
    notes = (*diagnostic.notes, f"the sizes are {here}", *valid)
    return replace(diagnostic, notes=notes, help=mend or diagnostic.help)


def _condition_of(predicate: Predicate) -> SizeCondition:
    return names_in(predicate), lambda sizes: holds(predicate, sizes)


def nearest_sizes(
    shape: Sequence[int | str], found: Mapping[str, int], conditions: Sequence[SizeCondition]
) -> str | None:
    """The nearest larger sizes for which all holds, where each can be told by itself.

    `shape` is that of the input that a run can resize, with the names of its free sizes.
    """
    nearest = {}
    for letter, size in found.items():
        fitting = (n for n in range(size, _FARTHEST) if _are_met(conditions, letter, n))
        nearest[letter] = next(fitting, size)
    if not all(met(nearest) for names, met in conditions if names <= nearest.keys()):
        return None
    changed = [f"{letter} = {size}" for letter, size in nearest.items() if size != found[letter]]
    sides = [nearest.get(one, 0) if isinstance(one, str) else one for one in shape[2:]]
    numbers = f"{', '.join(changed)} would do"
    if len(sides) != 2 or not all(sides):  # no image
        return numbers
    image = str(sides[0]) if sides[0] == sides[1] else f"[{sides[0]},{sides[1]}]"
    return f"{numbers}: data.size={image} resizes the images of a folder"


def _are_met(conditions: Sequence[SizeCondition], letter: str, size: int) -> bool:
    """Whether all that is said of one size alone holds."""
    return all(met({letter: size}) for names, met in conditions if names == {letter})


def _padding(
    name: str,
    shape: Sequence[int | str],
    found: Mapping[str, int],
    conditions: Sequence[SizeCondition],
) -> str | None:
    """The layer that fills an input up to multiples, where they are all that is asked for."""
    amounts = []
    for dim, letter in reversed([*enumerate(shape)][2:]):
        step = _step(letter, found[letter], conditions) if isinstance(letter, str) else 1
        if step is None:
            return None
        amounts += ["0", f"-{name}.shape[{dim}] % {step}" if step > 1 else "0"]
    if set(amounts) == {"0"}:
        return None
    return f'`{{call: pad, pad: "=({", ".join(amounts)})"}}` as the first layer'


def _step(letter: str, size: int, conditions: Sequence[SizeCondition]) -> int | None:
    """Of what the sizes from this one on have to be multiples; None where it is something else."""
    met = [n for n in range(size, size + 2 * _LARGEST_STEP) if _are_met(conditions, letter, n)]
    step = met[1] - met[0] if len(met) > 1 else 0
    multiples = [n for n in range(size, size + 2 * _LARGEST_STEP) if step and n % step == 0]
    return step if step and met == multiples else None
