"""A checked program → for which sizes it is valid, and what each layer gives, as formulas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from netspec.ir.graph import Port, Program
from netspec.ops.process_state import one_thread, silence, without_collections
from netspec.ops.types import TensorType
from netspec.sizes.allowed import allowed_by
from netspec.sizes.constraints import (
    Constraint,
    Source,
    constraints_of,
    grid_of,
    on_grid,
    reduced,
    source_of,
    stated_constraints,
)
from netspec.sizes.follow import Followed, NeededBy, follow
from netspec.sizes.predicate import Predicate, holds, names_in, split
from netspec.sizes.runs import Shapes, run_model, says_the_same
from netspec.sizes.short import short_text
from netspec.sizes.stated import predicate_of
from netspec.sizes.text import value_text

_ROUNDS = 8  # in which constraints without which the model is as well are left out
_TRIES = 3  # sizes at which one is broken
_MOST_STEPS = 100_000  # of all runs together


@dataclass(frozen=True, slots=True)
class Tried:
    """A layer of which torch can't compute the sizes with symbols, and why."""

    source: Source
    reason: str


@dataclass(frozen=True, slots=True)
class LayerSizes:
    """What a layer gives: nested, with a SizedType for each tensor, a Number for each size."""

    path: str
    value: Any
    tried: bool


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a network's free sizes have to be, and what it gives then.

    `layers` are in the order of the run, in train mode. `tried` lists the layers of which numbers
    alone could be asked; `open` says what is not known, as nothing after a layer that torch can
    follow neither with symbols nor with numbers.
    """

    free: tuple[str, ...]
    constraints: tuple[Constraint, ...]
    layers: tuple[LayerSizes, ...]
    output: Any
    tried: tuple[Tried, ...]
    open: str = ""
    rests: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # for short forms

    def text(self, value: Any) -> str:
        """A value of `layers`, or the output, as people write it: `[N, 64, H/4, (W+1)//2]`."""
        return value_text(value, lambda formula: short_text(formula, self.rests))

    def broken_by(self, sizes: Mapping[str, int], training: bool) -> list[Constraint]:
        """The constraints that don't hold at these sizes in this mode."""
        other = "eval" if training else "train"
        return [one for one in self.constraints if one.mode != other and not one.holds(sizes)]


def find_sizes(program: Program, module: nn.Module) -> Sizes:
    """`module` is the program's model on `meta`, made for this; it is left in some mode."""
    free = tuple(name for name, _ in program.probes[0].sizes)
    shapes = declared_shapes(program)
    with one_thread(), without_collections(), silence():
        by_mode = {mode: follow(program, module, mode, shapes) for mode in (True, False)}
        stated = [
            (part, one.span)
            for one in program.stated
            for part in split(predicate_of(one.condition))
        ]
        found = _held_to_runs(program, module, shapes, by_mode, [one for one, _ in stated])
        constraints = (*stated_constraints(stated), *found)
    first = by_mode[True]
    tried = [
        Tried(source_of(given.step), given.tried)
        for followed in by_mode.values()
        for given in followed.given
        if given.tried
    ]
    layers = [LayerSizes(one.step.path, one.value, bool(one.tried)) for one in first.given]
    return Sizes(
        free, constraints, tuple(layers), first.output, tuple(_once(tried)), _open(by_mode),
        _rests(free, constraints),
    )  # fmt: skip


def _rests(free: Sequence[str], constraints: Sequence[Constraint]) -> Mapping[str, tuple[int, int]]:
    """The sizes that all have one rest by some number, as multiples of 4 have."""
    found = {}
    every = [p for one in constraints if not one.mode for p in one.predicates]
    for name in free:
        allowed = allowed_by([one for one in every if names_in(one) == {name}], name)
        if allowed is not None and allowed.exact and allowed.rest is not None:
            found[name] = allowed.period, allowed.rest
    return found


def declared_shapes(program: Program) -> dict[str, tuple[int | str, ...]]:
    """The shape of each input as the spec has it, expressions computed."""
    return {port.name: _declared(program, port) for port in program.inputs}


def _once(tried: Sequence[Tried]) -> Iterator[Tried]:
    """One for each line of the spec."""
    seen = set()
    for one in tried:
        place = one.source.place
        key = (place.file, place.line, place.column) if place else one.source.path
        if key not in seen:
            seen.add(key)
            yield one


def _open(by_mode: Mapping[bool, Followed]) -> str:
    for followed in by_mode.values():
        if followed.stopped:
            at = f" from {followed.stopped_at.told} on" if followed.stopped_at else ""
            return f"nothing is known{at}: {followed.stopped}"
    return ""


def _declared(program: Program, port: Port) -> tuple[int | str, ...]:
    document: Any = program.source.value
    declared = document["inputs"][port.name]
    shape = declared["shape"] if isinstance(declared, dict) else declared
    known = port.facts[0]
    assert isinstance(known, TensorType), "an input is a tensor"
    letters = dict(program.probes[0].sizes)
    pairs = zip(shape, known.shape, strict=True)
    return tuple([size if size in letters else number for size, number in pairs])


def _held_to_runs(
    program: Program,
    module: nn.Module,
    shapes: Shapes,
    by_mode: Mapping[bool, Followed],
    stated: Sequence[Predicate],
) -> tuple[Constraint, ...]:
    """The constraints beside what is stated, without those that were broken to no effect."""
    needs: dict[bool, Sequence[NeededBy]] = {m: one.needs for m, one in by_mode.items()}
    found = constraints_of(needs, stated)
    if any(followed.stopped for followed in by_mode.values()):
        return found
    runs = _Runs(program, module, shapes, by_mode)
    judged: dict[Constraint, bool] = {}
    for _ in range(_ROUNDS):
        harmless: set[Predicate] = set()
        for one in found:
            if one not in judged:
                judged[one] = _judge(runs, needs[one.mode != "eval"], one, harmless, stated)
        if not harmless:
            break
        needs = {m: [n for n in own if not _is_in(n, harmless)] for m, own in needs.items()}
        found = constraints_of(needs, stated)
    return tuple([replace(one, fails=judged.get(one, one.fails)) for one in found])


def _is_in(needed: NeededBy, harmless: set[Predicate]) -> bool:
    return all(reduced(part) in harmless for part in split(needed.need.predicate))


@dataclass(slots=True)
class _Runs:
    """Runs of the whole model with numbers, next to what its formulas say.

    A large model is run a few times: what is needed of sizes then stays as it was found.
    """

    program: Program
    module: nn.Module
    shapes: Shapes
    by_mode: Mapping[bool, Followed]
    _steps: int = _MOST_STEPS

    def at(self, sizes: Mapping[str, int], training: bool) -> bool | None:
        """Whether all is as the formulas say; None where it does not run."""
        self._steps -= len(self.by_mode[training].given)
        if self._steps < 0:
            return False
        values = run_model(self.program, self.module, self.shapes, sizes, training)
        return None if values is None else says_the_same(self.by_mode[training], values, sizes)


def _judge(
    runs: _Runs,
    needs: Sequence[NeededBy],
    one: Constraint,
    harmless: set[Predicate],
    stated: Sequence[Predicate],
) -> bool:
    """Whether the model fails where a constraint is broken; adds what turns out to be harmless."""
    training = one.mode != "eval"
    sound = {reduced(part) for n in needs if n.need.by_numbers for part in split(n.need.predicate)}
    if sound.intersection(one.predicates):
        return True
    every = [(reduced(part), n.need.fails) for n in needs for part in split(n.need.predicate)]
    sure = [part for part, fails in every if fails and part not in one.predicates]
    sure += stated
    fails = False
    for sizes in _breaking(one, sure, runs.by_mode[training].sizes):
        right = runs.at(sizes, training)
        fails |= right is None
        if right:
            broken = {part for part, _ in every if not holds(part, sizes)}
            harmless.update(broken - sound)
    return fails or one.fails


def _breaking(
    one: Constraint, others: Sequence[Predicate], hints: Mapping[str, int]
) -> Iterator[dict[str, int]]:
    """A few sizes at which this does not hold, and the others do: near ones and small ones."""
    names = list(hints)
    grid = grid_of(names, [*others, *one.predicates])
    size = len(next(iter(grid.values())))
    fits = torch.ones(size, dtype=torch.bool)
    for predicate in others:
        fits &= on_grid(predicate, grid, size)
    broken = torch.zeros(size, dtype=torch.bool)
    for predicate in one.predicates:
        broken |= ~on_grid(predicate, grid, size)
    points = torch.stack([grid[name][fits & broken] for name in names], dim=1)
    if not len(points):
        return
    home = torch.tensor([hints[name] for name in names])
    near = (points.double().log() - home.double().log()).abs().sum(1).argsort()
    small = points.sum(1).argsort()
    picked = [near[0], small[0], near[len(near) // 3], near[len(near) // 2]]
    for index in list(dict.fromkeys(map(int, picked)))[:_TRIES]:
        yield dict(zip(names, map(int, points[index]), strict=True))
