"""The storages that are one, when the accepted calls overwrite, and what was done with them all."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from netspec.checks.inplace.overwriting import Overwriting
from netspec.checks.inplace.region import Region
from netspec.checks.inplace.storage import Storage
from netspec.ir.walk.walker import Step


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """A storage with all that lies in it. `saves` are those of backward that stay as they were.

    `_first_save`, `_first_keep` and `_last_uses` tell at a glance that nothing stands in the way:
    a chain of n calls would ask n storages n times.
    """

    root: Storage
    members: Sequence[Storage]  # in the order in which they came in
    calls: Sequence[Overwriting]  # that overwrite it, in the order of their acceptance
    saves: Sequence[tuple[int, Step, bool]]
    _first_save: float
    _first_keep: float
    _spans: Mapping[Storage, tuple[int, int]]  # of what lies in it, among those nested in order
    _last_uses: tuple[Sequence[float], Sequence[float]]  # before and from each one

    @property
    def owned(self) -> list[Storage]:
        """Those that are not the run's own."""
        return [storage for storage in self.members if storage.kind != "value"]

    def comes_from(self, storage: Storage, call: Overwriting) -> bool:
        """Whether a storage is the call's result, or lies in it."""
        start, end = self._of_result(call)
        return start <= self._spans[storage][0] < end

    def is_saved_before(self, call: Overwriting) -> bool:
        """Whether backward needs something of it that was kept before the call."""
        return self._first_save < call.start or self._first_keep < call.start

    def is_used_after(self, call: Overwriting) -> bool:
        """Whether something of it, but for what comes of the call, is used later."""
        before, rest = self._last_uses
        start, end = self._of_result(call)
        return max(before[start], rest[end]) > call.end

    def _of_result(self, call: Overwriting) -> tuple[int, int]:
        nowhere = (0, 0)
        return nowhere if call.result is None else self._spans.get(call.result, nowhere)


@dataclass(slots=True, eq=False)
class Nesting:
    """Which storage lies in which other, at which region, and which accepted call made it so."""

    inside: dict[Storage, tuple[Storage, Region, Overwriting | None]] = field(default_factory=dict)
    _came: dict[Storage | Overwriting, int] = field(default_factory=dict)
    _turn: int = 0
    _holds: dict[Storage, list[Storage]] = field(default_factory=dict)
    _calls: dict[Storage, list[Overwriting]] = field(default_factory=dict)  # by into and result
    _groups: dict[Storage, Group] = field(default_factory=dict)

    def put(
        self, storage: Storage, into: Storage, region: Region, call: Overwriting | None
    ) -> None:
        assert storage not in self.inside, "it is made once"
        self._forget(storage, into)
        self.inside[storage] = (into, region, call)
        self._holds.setdefault(into, []).append(storage)
        self._note(storage)

    def accept(self, call: Overwriting) -> None:
        self._forget(*_ends(call))
        for storage in _ends(call):
            self._calls.setdefault(storage, []).append(call)
        self._note(call)
        if call.result is not None and call.result not in self.inside:
            self.put(call.result, call.into, call.region, call)

    def withdraw(self, call: Overwriting) -> None:
        """Undoes the acceptance of a call."""
        self._forget(*_ends(call))
        for storage in _ends(call):
            self._calls[storage].remove(call)
        if call.result is not None and self.inside.get(call.result, (None,) * 3)[2] is call:
            del self.inside[call.result]
            self._holds[call.into].remove(call.result)

    def placed(self, storage: Storage, region: Region) -> Region:
        """A region as one of the root's storage; all of a result lies where its input was."""
        while storage in self.inside:
            storage, region, _ = self.inside[storage]
        return region

    def group(self, storage: Storage) -> Group:
        """The group of a storage."""
        found = self._groups.get(storage)
        if found is None:
            while storage in self.inside:
                storage = self.inside[storage][0]
            found = self._gathered(storage)
            self._groups.update(dict.fromkeys(found.members, found))
        return found

    def _note(self, what: Storage | Overwriting) -> None:
        self._turn += 1
        self._came[what] = self._turn

    def _forget(self, *storages: Storage) -> None:
        for storage in storages:
            group = self._groups.get(storage)
            for member in group.members if group is not None else ():
                del self._groups[member]

    def _gathered(self, root: Storage) -> Group:
        nested = self._nested(root)
        members = [root, *sorted(nested[1:], key=self._came.__getitem__)]
        calls = [c for s in members for c in self._calls.get(s, ()) if c.into is s]
        calls.sort(key=self._came.__getitem__)
        saves = [save for s in members for save in s.saves if not self._is_replaced(s, save[0])]
        uses = [_last_use(storage) for storage in nested]
        return Group(
            root, members, calls, saves,
            min((time for time, _, _ in saves), default=math.inf),
            min((call.start for call in calls if call.trial.keeps), default=math.inf),
            self._spans(nested),
            ([*accumulate([0.0, *uses], max)], [*accumulate([0.0, *reversed(uses)], max)][::-1]),
        )  # fmt: skip

    def _nested(self, root: Storage) -> list[Storage]:
        """All that lies in a storage, each right behind what holds it."""
        nested: list[Storage] = []
        waiting = [root]
        while waiting:
            nested.append(waiting.pop())
            waiting += self._holds.get(nested[-1], ())
        return nested

    def _spans(self, nested: Sequence[Storage]) -> dict[Storage, tuple[int, int]]:
        """From where to where among these a storage is, with all that lies in it."""
        ends = dict.fromkeys(nested, 0)
        for number in reversed(range(len(nested))):
            storage = nested[number]
            ends[storage] = max(ends[storage], number + 1)
            if number:
                holder = self.inside[storage][0]
                ends[holder] = max(ends[holder], ends[storage])
        return {storage: (number, ends[storage]) for number, storage in enumerate(nested)}

    def _is_replaced(self, storage: Storage, time: int) -> bool:
        """Whether it was kept by a call that overwrites now, and keeps what its trial says."""
        return any(call.start <= time <= call.end for call in self._calls.get(storage, ()))


def _ends(call: Overwriting) -> Iterable[Storage]:
    return (call.into,) if call.result is None else (call.into, call.result)


def _last_use(storage: Storage) -> float:
    read = max((time for time, _, _ in storage.reads), default=0.0)
    return max(read, max((time for time, _ in storage.parts), default=0.0))
