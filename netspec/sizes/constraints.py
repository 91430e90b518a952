"""What was needed here and there in a network → what its free sizes have to be, in few lines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import PurePath
from typing import Literal, TypeAlias

import torch

from netspec.errors import Span
from netspec.ir.walk.walker import Step
from netspec.sizes.allowed import Allowed, allowed_by, looked_at, truth
from netspec.sizes.follow import NeededBy
from netspec.sizes.formula import (
    Formula,
    Symbol,
    add,
    atom,
    atoms_of,
    constant,
    floor_div,
    symbol,
)
from netspec.sizes.predicate import (
    Predicate,
    Relation,
    Some,
    formulas_in,
    holds,
    names_in,
    split,
)
from netspec.sizes.text import predicate_text

Mode: TypeAlias = Literal["", "train", "eval"]
_GRID = (64, 64, 24, 9, 6)  # how many numbers of each of some sizes are looked at together


@dataclass(frozen=True, slots=True)
class Source:
    """The layer that needs something, and where the spec has it."""

    path: str
    place: Span | None

    @property
    def text(self) -> str:
        """`cat2, unet.yaml:33`."""
        if self.place is None or not self.place.line:
            return self.path
        return f"{self.path}, {PurePath(self.place.file).name}:{self.place.line}"


@dataclass(frozen=True, slots=True)
class Constraint:
    """What some free sizes have to be.

    `text` says it of `sizes` (`multiples of 4`), or of several together (`T <= S`), by what
    `sources` need. `mode`: only in this one. `fails`: at other sizes the model does not run; else
    it gives other sizes there than its formulas say, or takes another branch. `stated`: the spec
    says so, whether or not something needs it.
    """

    sizes: tuple[str, ...]
    text: str
    predicates: tuple[Predicate, ...]
    sources: tuple[Source, ...]
    mode: Mode
    fails: bool
    stated: bool = False

    @property
    def line(self) -> str:
        """`H, W: multiples of 4 (cat2, unet.yaml:33)`."""
        of = f"{', '.join(self.sizes)}: {self.text}" if self.sizes else self.text
        because = "; ".join(source.text for source in self.sources)
        within = {"": "", "train": "in training, ", "eval": "in eval mode, "}[self.mode]
        other = "" if self.fails else "; at others the sizes are others"
        return f"{within}{of} ({because}){other}" if because else f"{within}{of}{other}"

    @property
    def names(self) -> tuple[str, ...]:
        """All free sizes that it is about."""
        return tuple(sorted(frozenset().union(*map(names_in, self.predicates))))

    def holds(self, sizes: Mapping[str, int]) -> bool:
        """Whether it does for these sizes, of which all that it is about are there."""
        return all(holds(one, sizes) for one in self.predicates)


def stated_constraints(stated: Sequence[tuple[Predicate, Span]]) -> tuple[Constraint, ...]:
    """What a spec states, in the same few lines."""
    both = frozenset((True, False))
    needs = [_Need(one, Source("stated", span), True, both) for one, span in stated]
    return tuple([replace(one, stated=True) for one in _merged(_simplified(needs, (), ""))])


@dataclass(frozen=True, slots=True)
class _Need:
    predicate: Predicate
    source: Source
    fails: bool
    modes: frozenset[bool]


def constraints_of(
    by_mode: Mapping[bool, Sequence[NeededBy]], stated: Sequence[Predicate] = ()
) -> tuple[Constraint, ...]:
    """The constraints of a network, from what was needed in each mode; True is training.

    What follows from `stated` is left out.
    """
    needs = _gathered(by_mode)
    both = [need for need in needs if len(need.modes) == len(by_mode)]
    found = _simplified(both, list(stated), "")
    known = [*stated, *[one for constraint in found for one in constraint.predicates]]
    for training, mode in ((True, "train"), (False, "eval")):
        own = [n for n in needs if n.modes == {training} and len(by_mode) > 1]
        found += _simplified(own, known, "train" if mode == "train" else "eval")
    return tuple(_merged([one for one in found if not _follows(one, stated)]))


def _follows(one: Constraint, stated: Sequence[Predicate]) -> bool:
    """Whether what is stated of several sizes together says it, looked at on a grid."""
    about = [other for other in stated if names_in(other) & set(one.names)]
    if all(len(names_in(other)) < 2 for other in about):
        return False
    names = frozenset(one.names).union(*map(names_in, about))
    about = [other for other in stated if names_in(other) <= names]
    grid = grid_of(sorted(names), [*about, *one.predicates])
    size = len(next(iter(grid.values())))
    fits = torch.ones(size, dtype=torch.bool)
    for other in about:
        fits &= on_grid(other, grid, size)
    return bool(fits.any()) and all(
        bool(on_grid(part, grid, size)[fits].all()) for part in one.predicates
    )


def _gathered(by_mode: Mapping[bool, Sequence[NeededBy]]) -> list[_Need]:
    """Each predicate once, with who needed it first."""
    found: dict[Predicate, _Need] = {}
    for training, needed in by_mode.items():
        for one in needed:
            for part in map(reduced, split(one.need.predicate)):
                before = found.get(part)
                if before is None:
                    source = source_of(one.step)
                    found[part] = _Need(part, source, one.need.fails, frozenset({training}))
                else:
                    modes = before.modes | {training}
                    fails = before.fails or one.need.fails
                    found[part] = replace(before, modes=modes, fails=fails)
    return list(found.values())


def reduced(one: Predicate) -> Predicate:
    """A comparison with zero without the free sizes and the number that all its terms have."""
    if not isinstance(one, Relation) or not one.formula.terms:
        return one
    common = set(atoms_of(Formula(one.formula.terms[:1])))
    for atoms, _ in one.formula.terms:
        common &= set(atoms)
    free = [atom(size) for size in sorted(common, key=repr) if isinstance(size, Symbol)]
    formula = one.formula
    for size in free:
        formula = floor_div(formula, size)
    number = math.gcd(*[factor for _, factor in formula.terms])
    return Relation(one.sign, floor_div(formula, constant(number)))


def source_of(step: Step | None) -> Source:
    if step is None:
        return Source("", None)
    return Source(step.path, step.place.key_span() if step.place else None)


def _simplified(needs: Sequence[_Need], known: Sequence[Predicate], mode: Mode) -> list[Constraint]:
    """One size by itself first, then what is about several."""
    found: list[Constraint] = []
    single: dict[str, list[_Need]] = {}
    several: list[_Need] = []
    for need in needs:
        names = sorted(names_in(need.predicate))
        if len(names) == 1:
            single.setdefault(names[0], []).append(need)
        elif names:
            several.append(need)
    for name, about in single.items():
        own = [one for one in known if names_in(one) == {name}]
        found += _of_one(name, about, own, mode)
    given = [*known, *[one for constraint in found for one in constraint.predicates]]
    for need in _independent(several, given):
        predicate = _plainer(need.predicate)
        found.append(
            Constraint(
                (), predicate_text(predicate), (need.predicate,), (need.source,), mode, need.fails
            )
        )
    return found


def _of_one(
    name: str, needs: Sequence[_Need], known: Sequence[Predicate], mode: Mode
) -> list[Constraint]:
    every = [*known, *[need.predicate for need in needs]]
    end, _ = looked_at(every)
    before = truth(known, name, end)
    vectors = [truth([need.predicate], name, end) for need in needs]
    kept = _minimal(before, vectors)
    if not kept:
        return []
    allowed = allowed_by([*known, *[needs[number].predicate for number in kept]], name)
    if allowed is None or not allowed.exact:
        return [
            Constraint(
                (), predicate_text(needs[n].predicate), (needs[n].predicate,),
                (needs[n].source,), mode, needs[n].fails,
            )
            for n in kept
        ]  # fmt: skip
    return _told(name, allowed, [(needs[n], vectors[n]) for n in kept], mode)


def _minimal(before: torch.Tensor, vectors: Sequence[torch.Tensor]) -> list[int]:
    """The numbers of some that say all that all of them say; the weaker ones go first."""
    whole = before.clone()
    for vector in vectors:
        whole &= vector
    kept = list(range(len(vectors)))
    for number in sorted(kept, key=lambda n: (-int(vectors[n].sum()), n)):
        rest = before.clone()
        for other in kept:
            if other != number:
                rest &= vectors[other]
        if bool((rest == whole).all()):
            kept.remove(number)
    return kept


def _told(
    name: str,
    allowed: Allowed,
    needs: Sequence[tuple[_Need, torch.Tensor]],
    mode: Mode,
) -> list[Constraint]:
    """A constraint for the rests, one for the least number and one for the greatest."""
    found: list[Constraint] = []

    def tell(text: str, about: Sequence[_Need]) -> None:
        sources = tuple(dict.fromkeys(need.source for need in about))
        predicates = tuple(need.predicate for need in about)
        fails = all(need.fails for need in about)
        found.append(Constraint((name,), text, predicates, sources, mode, fails))

    kinds: dict[str, list[_Need]] = {"rest": [], "least": [], "most": []}
    for need, vector in needs:
        if not bool(vector[allowed.least - 1 : allowed.most].all()):
            kinds["rest"].append(need)
            continue
        if not bool(vector[: allowed.least - 1].all()):
            kinds["least"].append(need)
        if allowed.most is not None and not bool(vector[allowed.most :].all()):
            kinds["most"].append(need)
    if allowed.most == allowed.least:
        tell(f"exactly {allowed.least}", [need for need, _ in needs])
        return found
    if kinds["rest"]:
        tell(_rests_text(allowed), kinds["rest"])
    if kinds["least"]:
        tell(f"at least {allowed.least}", kinds["least"])
    if kinds["most"]:
        tell(f"at most {allowed.most}", kinds["most"])
    return found


def _rests_text(allowed: Allowed) -> str:
    period, rests = allowed.period, allowed.rests
    if rests == (0,):
        return f"multiples of {period}"
    if period == 2:
        return "odd"
    listed = " or ".join(map(str, rests))
    return (
        f"{listed} more than a multiple of {period}"
        if len(rests) <= 4
        else (
            f"not {' or '.join(str(r) for r in range(period) if r not in rests)} more than"
            f" a multiple of {period}"
        )
    )


def _independent(needs: Sequence[_Need], known: Sequence[Predicate]) -> list[_Need]:
    """Those about several sizes that don't follow from the others, looked at on a grid."""
    if not needs:
        return []
    names = sorted(frozenset().union(*[names_in(need.predicate) for need in needs]))
    grid = grid_of(names, [*known, *[need.predicate for need in needs]])
    size = len(next(iter(grid.values())))
    before = torch.ones(size, dtype=torch.bool)
    for one in known:
        if names_in(one) <= grid.keys():
            before &= on_grid(one, grid, size)
    vectors = [on_grid(need.predicate, grid, size) for need in needs]
    return [needs[number] for number in _minimal(before, vectors)]


def on_grid(one: Predicate, grid: Mapping[str, torch.Tensor], size: int) -> torch.Tensor:
    """Whether a predicate holds, at each point of a grid."""
    found = holds(one, grid)
    if isinstance(found, bool):
        return torch.full((size,), found)
    assert isinstance(found, torch.Tensor), "a predicate of tensors"
    return found


def grid_of(names: Sequence[str], predicates: Sequence[Predicate]) -> dict[str, torch.Tensor]:
    """Sizes of each name, all with all: small ones, and those about the numbers that are named."""
    count = _GRID[min(len(names), len(_GRID)) - 1]
    numbers = sorted(
        {
            abs(factor) + step
            for one in predicates
            for formula in formulas_in(one)
            for _, factor in formula.terms
            for step in (-1, 0, 1)
            if 1 <= abs(factor) + step <= 1 << 20
        }
    )
    own = {}
    for name in names:
        mine = [one for one in predicates if names_in(one) == {name}]
        end, _ = looked_at(mine)
        fine = (truth(mine, name, end).nonzero().flatten() + 1).tolist()
        near = fine[: count // 2] + fine[count // 2 :: max(1, len(fine) // (count // 4 + 1))]
        small = list(range(1, count // 4 + 2))
        turns = _turns(mine, name, end)[: count // 2]
        picked = {*near, *small, *turns, *numbers[: count // 4 + 1]}
        own[name] = sorted(picked)[: 2 * count]
    every = torch.tensor(list(product(*[own[name] for name in names])))
    return {name: every[:, index] for index, name in enumerate(names)}


def _turns(predicates: Sequence[Predicate], name: str, end: int) -> list[int]:
    """The sizes next to which one of these begins or ends to hold."""
    found: list[int] = []
    for one in predicates:
        value = truth([one], name, end)
        turns = (value[1:] != value[:-1]).nonzero().flatten() + 1
        ends = [*turns[:2].tolist(), *turns[-1:].tolist()]
        found += [size for turn in ends for size in (turn, turn + 1)]
    return list(dict.fromkeys(found))


def _plainer(one: Predicate) -> Predicate:
    """`N != 1 or H >= 33` in place of a product of sizes that is not one."""
    if not isinstance(one, Relation) or one.sign != "!=":
        return one
    terms = dict(one.formula.terms)
    products = [(p, f) for p, f in one.formula.terms if p]
    if len(products) != 1 or abs(products[0][1]) != 1 or terms.get((), 0) * products[0][1] != -1:
        return one
    items: list[Predicate] = []
    for part in dict.fromkeys(products[0][0]):
        at_least_two: Predicate = Relation(">=", add(atom(part), constant(-2)))
        names = sorted(names_in(at_least_two))
        allowed = allowed_by([at_least_two], names[0]) if len(names) == 1 else None
        if allowed and allowed.exact and allowed.period == 1 and allowed.most is None:
            at_least_two = Relation(">=", add(symbol(names[0]), constant(-allowed.least)))
        items.append(at_least_two)
    return Some(tuple(items))


def _merged(found: Sequence[Constraint]) -> list[Constraint]:
    """Those that say the same of several sizes, for the same reasons, as one."""
    merged: dict[object, Constraint] = {}
    for one in found:
        key = (one.text, one.sources, one.mode, one.fails) if one.sizes else one
        before = merged.get(key)
        if before is None:
            merged[key] = one
        else:
            sizes = tuple(sorted(before.sizes + one.sizes))
            predicates = before.predicates + one.predicates
            merged[key] = replace(before, sizes=sizes, predicates=predicates)
    return list(merged.values())
