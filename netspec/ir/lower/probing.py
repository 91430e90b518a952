"""The sizes, modes and inputs at which a spec is tried, and what is found at each of them."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import overload

from netspec.ir.graph import Probe
from netspec.ir.lower.refusal import Refused
from netspec.ir.lower.stand_ins import StandIns
from netspec.ir.lower.values import Operand, are_same, same
from netspec.ops.types import Fact, OperatorRejects, Slice


@dataclass(slots=True, eq=False)
class Probes(Sequence[Probe]):
    """The probes of one lowering.

    The spec has to hold at the first `tried`; the others only show what differs elsewhere. `worded`
    finds the words of a refusal.
    """

    all: tuple[Probe, ...]
    tried: int
    worded: Callable[[Refused], Refused]
    partial: set[int] = field(default_factory=set)  # sizes, of those tried, that some call refused
    lost: set[int] = field(default_factory=set)  # the sizes beyond those tried that were refused
    differs_by_mode: bool = False  # some fact, and no probe is in train mode
    are_stated: bool = False  # each of those that are tried is one that `where` takes
    reached: frozenset[int] | None = None  # where the branch that is lowered is taken; None: at all
    largest: int = 0  # the largest number that some call is given
    _stand_ins: dict[int, StandIns] = field(default_factory=dict)  # by the number of the probe

    def __len__(self) -> int:
        return len(self.all)

    def __iter__(self) -> Iterator[Probe]:
        return iter(self.all)

    @overload
    def __getitem__(self, index: int) -> Probe: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Probe, ...]: ...

    def __getitem__(self, index: int | slice) -> Probe | tuple[Probe, ...]:
        return self.all[index]

    @property
    def may_miss(self) -> bool:
        """Whether some input is left out in some of them."""
        return bool(self.all[-1].left_out)

    def each(self, find: Callable[[int], Fact], given: Sequence[Operand] = ()) -> tuple[Fact, ...]:
        """What `find` makes of some operands at each probe.

        Raises what it raises at those that are tried.
        """
        return self._and_elsewhere([find(index) for index in range(self.tried)], find, given)

    def _and_elsewhere(
        self,
        found: list[Fact],
        find: Callable[[int], Fact],
        given: Sequence[Operand],
    ) -> tuple[Fact, ...]:
        """The facts that are found, with those of the probes beyond.

        Where one of those is refused, what follows a size where it is tried still does.
        """
        for index in range(self.tried, len(self.all)):
            try:
                found.append(find(index))
            except (Refused, OperatorRejects):
                self.lost.add(self.all[index].index)
                found.append(self._stand_in(index, found, given))
        return tuple(found)

    def _stand_in(self, index: int, found: Sequence[Fact], given: Sequence[Operand]) -> Fact:
        probe, alike = self.all[index], self._alike(index, range(self.tried))
        if probe.index == self.all[-1].index:  # its sizes are those of the first
            return found[alike[0]]
        return self._stand_in_from(index, alike, found, given)

    def _alike(self, index: int, among: Iterable[int]) -> list[int]:
        """Those of some probes that have the mode, and the inputs, of one."""
        kind = self.all[index].training, self.all[index].left_out
        return [n for n in among if (self.all[n].training, self.all[n].left_out) == kind]

    def _stand_in_from(
        self,
        index: int,
        alike: Sequence[int],
        found: Sequence[Fact] | Mapping[int, Fact],
        given: Sequence[Operand],
    ) -> Fact:
        probe = self.all[index]
        most = max(size for _, size in probe.sizes)
        stand_ins = self._stand_ins.setdefault(index, StandIns(most))
        made_of = [([one.facts[n] for n in alike], one.facts[index]) for one in given]
        return stand_ins.of([found[n] for n in alike], made_of)

    def doubted(self, facts: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Numbers that follow a size, and are another one at the last probe if they are nowhere.

        `T // 1000` is 0 at each size that is tried, and no 0 that could be relied on.
        """
        if not are_same(facts) or not isinstance(facts[0], (bool, int, float)):
            return facts
        last = self.all[-1].index
        other = not facts[0] if isinstance(facts[0], bool) else facts[0] + 1
        pairs = zip(self.all, facts, strict=True)
        beyond = len(self.all) > self.tried
        return tuple(other if beyond and p.index == last else fact for p, fact in pairs)

    def note_numbers(self, given: Sequence[Operand]) -> None:
        """Notes the largest known number of a call, beyond which its tensors may be other ones."""
        for operand in given:
            if operand.static:
                self.largest = max(self.largest, _largest_in(operand.facts[0]))

    @property
    def at_ones(self) -> int | None:
        """The probe of the first one's mode at which each size is 1, where it was not refused."""
        mode = self.all[0].training
        for index, probe in enumerate(self.all):
            if probe.training == mode and all(size == 1 for _, size in probe.sizes):
                return None if probe.index in self.lost else index
        return None

    @property
    def twin(self) -> int:
        """The probe that has the first one's mode, and other sizes where there are any."""
        first = self.all[0]
        others = (i for i, p in enumerate(self.all[: self.tried]) if p.index != first.index)
        return next(others, 0)

    def ask(
        self,
        run: Callable[[int], Fact],
        refusal: Callable[[int, OperatorRejects], Refused],
        train: Callable[[int], Fact] | None = None,
        given: Sequence[Operand] = (),
    ) -> tuple[Fact, ...]:
        """The facts that `run` makes of some operands at each probe.

        Raises what `refusal` makes of torch's no.

        A refusal at some sizes only is no mistake of the spec: `partial` tells which sizes failed.
        `train` finds those in train mode of what has a mode: asked where no probe is in that mode.
        """
        found = self._ask(run, refusal, given)
        if train is not None and not any(probe.training for probe in self.all):
            self._ask_in_train(train, found, refusal)
        return found

    def _ask_in_train(
        self,
        train: Callable[[int], Fact],
        found: tuple[Fact, ...],
        refusal: Callable[[int, OperatorRejects], Refused],
    ) -> None:
        """Notes where train mode gives other facts. Raises Refused where it takes no size."""
        errors = []
        for index, fact in enumerate(found[: self.tried]):
            try:
                self.differs_by_mode |= train(index) != fact
            except OperatorRejects as error:
                errors.append(error)
        refused = self.worded(refusal(0, errors[0])) if len(errors) == self.tried else None
        if refused is not None and refused.diagnostic is not None:
            notes = (*refused.diagnostic.notes, "it works in eval mode")
            raise Refused(replace(refused.diagnostic, notes=notes), *refused.diagnostics[1:])

    def _ask(
        self,
        run: Callable[[int], Fact],
        refusal: Callable[[int, OperatorRejects], Refused],
        given: Sequence[Operand],
    ) -> tuple[Fact, ...]:
        found: dict[int, Fact] = {}
        failed: dict[int, OperatorRejects] = {}
        for index in range(self.tried):
            try:
                found[index] = run(index)
            except OperatorRejects as error:
                failed[index] = error
        if failed and self._are_unreached(failed):
            known = list(found)
            for index in failed:
                alike = self._alike(index, known)
                found[index] = self._stand_in_from(index, alike, found, given)
        elif failed:
            sizes = {self.all[index].index for index in failed}
            first = next(iter(failed))
            tried = self.all[: self.tried]
            if len(sizes) < len({probe.index for probe in tried}):
                self.partial |= sizes
                failed[first].partly = True
            refused = refusal(first, failed[first])
            if len(failed) < self.tried:
                refused = self.worded(refused)
            if len(failed) < self.tried and refused.diagnostic is not None:
                works = [probe for i, probe in enumerate(tried) if i not in failed]
                note = _works_text(self.all[first], works)
                if self.are_stated and any(p.training == self.all[first].training for p in works):
                    note = f"{note}, and `where` takes both"
                diagnostic = replace(refused.diagnostic, notes=(*refused.diagnostic.notes, note))
                refused = Refused(diagnostic, *refused.diagnostics[1:])
            raise refused
        return self._and_elsewhere([found[i] for i in range(self.tried)], run, given)

    def _are_unreached(self, failed: Container[int]) -> bool:
        """Whether what failed is asked for elsewhere alone, and others tell what follows a size."""
        if self.reached is None or any(index in failed for index in self.reached):
            return False
        known = [index for index in range(self.tried) if index not in failed]
        unreached = [index for index in range(self.tried) if index in failed]
        return all(len({self.all[n].sizes for n in self._alike(i, known)}) > 1 for i in unreached)

    def asks_given(self, operand: Operand) -> bool:
        """Whether it depends on an input's being given: it differs at the same sizes and mode."""
        if operand.is_unknown or not self.may_miss:
            return False
        facts: dict[object, Fact] = {}
        pairs = zip(self.all, operand.facts, strict=True)
        return any(not same(facts.setdefault((p.index, p.training), f), f) for p, f in pairs)

    def differs_by_size(self, found: tuple[Fact, ...]) -> bool:
        """Whether it differs where the mode, and which inputs are given, are the same."""
        facts: dict[object, Fact] = {}
        pairs = zip(self.all, found, strict=True)
        return any(not same(facts.setdefault((p.training, p.left_out), f), f) for p, f in pairs)

    def narrow(self, facts: tuple[Fact, ...], truth: bool) -> None:
        """What is lowered from now on is asked for at sizes alone at which a condition holds."""
        if self.differs_by_size(facts):
            holds = {index for index, fact in enumerate(facts) if bool(fact) is truth}
            self.reached = frozenset(holds if self.reached is None else holds & self.reached)

    def where(self, facts: tuple[Fact, ...], truth: bool) -> tuple[int, ...]:
        """For each probe one at which the condition holds, of the same sizes and mode."""
        holds = [i for i, fact in enumerate(facts) if bool(fact) is truth]
        known = {(p.index, p.training, p.left_out): i for i, p in enumerate(self.all)}
        found = []
        others = [self.all[i].left_out for i in holds]
        for probe in self.all:
            nearest = min(others, key=lambda o: len(o ^ probe.left_out), default=probe.left_out)
            same = known[(probe.index, probe.training, nearest)]
            found.append(same)
        return tuple(found)


def _largest_in(fact: Fact) -> int:
    if isinstance(fact, Slice):
        return max(map(_largest_in, (fact.start, fact.stop, fact.step)))
    if isinstance(fact, tuple):
        return max(map(_largest_in, fact), default=0)
    return abs(fact) if type(fact) is int else 0


def _works_text(failed: Probe, works: Sequence[Probe]) -> str:
    """Where an operation is not refused: at other sizes, in the other mode, with an input given."""
    given = [p for p in works if (p.sizes, p.training) == (failed.sizes, failed.training)]
    if given:
        names = " and ".join(f"`{name}`" for name in sorted(failed.left_out - given[0].left_out))
        others = " and ".join(f"`{name}`" for name in sorted(given[0].left_out - failed.left_out))
        return f"it works where {names} is given" if names else f"it works without {others}"
    for probe in works:
        if probe.training == failed.training:
            return f"it works at {sizes_text(probe)}"
    return f"it works in {'train' if works[0].training else 'eval'} mode"


def sizes_text(probe: Probe) -> str:
    """The free sizes of a probe: `N = 2, T = 64`."""
    return ", ".join(f"{name} = {size}" for name, size in probe.sizes)
