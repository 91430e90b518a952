"""Records → which calls may overwrite their input, and what stands in the way of the others.

A call that overwrites makes one storage of its input and its result. So a decision depends on those
before it: calls are decided in the order of the run, each together with all accepted ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from netspec.checks.inplace.group import Group, Nesting
from netspec.checks.inplace.overwriting import Overwriting, Record
from netspec.checks.inplace.region import overlap
from netspec.checks.inplace.storage import AT_THE_END
from netspec.ir.walk.walker import Step


class Reason(Enum):
    """Why a value must not be overwritten."""

    STATE = "NS401"  # it is a parameter or a buffer
    INPUT = "NS402"  # it is the caller's
    SAVED = "NS403"  # autograd needs it for the backward pass
    READ = "NS404"  # it is read again
    TORCH = "NS405"  # torch refuses, or computes something else


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What stands in the way. `by` is the step that reads or keeps the value; `text` is torch's."""

    reason: Reason
    what: str
    by: Step | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """A call and what was decided. `obstacle` is None where it may overwrite its input.

    `other_bits`: gradients, or values that follow, are others in the last bits. `copies`: torch
    copies the value first, so that no memory is saved in training. `argument`: it is one that the
    call overwrites beside what it gives, as running statistics.
    """

    key: str
    step: Step
    name: str
    explicit: bool
    obstacle: Obstacle | None
    other_bits: bool = False
    copies: bool = False
    argument: bool = False


def decide(records: Sequence[Record]) -> tuple[Decision, ...]:
    """A decision for each call that could overwrite, in the order of the run; the same in all runs.

    Calls that the spec asks for come first: what they overwrite is as the spec says, and an
    activation has to give way.
    """
    grouped: dict[str, list[tuple[int, Overwriting]]] = {}
    for number, record in enumerate(records):
        for call in record.calls:
            grouped.setdefault(call.key, []).append((number, call))
    runs = [_run_of(record) for record in records]
    explicit = [key for key, calls in grouped.items() if calls[0][1].explicit]
    for key in explicit:
        for number, call in grouped[key]:
            runs[number].accept(call)
    decisions: dict[str, Decision] = {}
    for key, calls in grouped.items():
        if key not in explicit:
            decisions[key] = _decide(calls, runs)
    for key in explicit:
        obstacle = _first(runs[number].obstacle(call) for number, call in grouped[key])
        decisions[key] = _told(grouped[key], obstacle)
    formless = {path: step for record in records for path, step in record.formless.items()}
    found = [decisions[key] for key in grouped]
    return (*found, *[_formless(path, step) for path, step in formless.items()])


def _decide(calls: Sequence[tuple[int, Overwriting]], runs: Sequence[_Run]) -> Decision:
    """Accepted where that is right in each run, and leaves right what was accepted before."""
    for number, call in calls:
        outer = runs[number].entered_with(call)
        if outer is not None:
            return _told(calls, outer)
    for number, call in calls:
        runs[number].accept(call)
    obstacle = _first(runs[number].obstacle(call) for number, call in calls)
    if obstacle is None:
        obstacle = _first(
            runs[n].obstacle(other) for n, call in calls for other in runs[n].beside(call)
        )
    if obstacle is None and any(_other_bits(call) for _, call in calls):
        text = "in place the last bits are others, of its gradient or of what follows"
        obstacle = Obstacle(Reason.TORCH, "", text=text)
    if obstacle is not None:
        for number, call in calls:
            runs[number].withdraw(call)
    return _told(calls, obstacle)


def _told(calls: Sequence[tuple[int, Overwriting]], obstacle: Obstacle | None) -> Decision:
    call = calls[0][1]
    return Decision(
        call.key, call.step, call.name, call.explicit, obstacle,
        any(_other_bits(c) for _, c in calls), any(c.trial.copies for _, c in calls),
        call.argument,
    )  # fmt: skip


def _other_bits(call: Overwriting) -> bool:
    """Whether the last bits are others, of the gradient or of what is computed with the result.

    Where a view is overwritten, autograd adds up the gradients of it and of its base in another
    order, and lays them out anew; where the strides are others, kernels go another way.
    """
    return call.of_view or not (call.trial.equal_gradient and call.same_strides)


def _formless(path: str, step: Step) -> Decision:
    obstacle = Obstacle(Reason.TORCH, "", text=f"`{step.kind}` has no form in place")
    return Decision(path, step, step.kind, False, obstacle)


def _first(obstacles: Iterable[Obstacle | None]) -> Obstacle | None:
    return next((obstacle for obstacle in obstacles if obstacle is not None), None)


@dataclass(frozen=True, slots=True)
class _Run:
    """One run, as it is when the accepted calls overwrite.

    Where a call makes one storage of two, it stands here; where sizes or strides could, nothing
    does.
    """

    nesting: Nesting

    def accept(self, call: Overwriting) -> None:
        self.nesting.accept(call)

    def withdraw(self, call: Overwriting) -> None:
        self.nesting.withdraw(call)

    def beside(self, call: Overwriting) -> list[Overwriting]:
        """The other accepted calls that overwrite the same storage."""
        return [other for other in self.nesting.group(call.into).calls if other is not call]

    def entered_with(self, call: Overwriting) -> Obstacle | None:
        """The outermost of our modules that was given the value, and would change it.

        Whoever calls that module alone, or recomputes it for a checkpoint, would see it.
        """
        born = self.nesting.group(call.into).root.born
        outer = next((e for e in call.within if e.path and e.since >= born), None)
        if outer is None:
            return None
        return Obstacle(Reason.READ, f"it is what `{outer.path}` is given")

    def obstacle(self, call: Overwriting) -> Obstacle | None:
        """Why this call may not overwrite, given all that is accepted."""
        group = self.nesting.group(call.into)
        for storage in group.owned:
            reason = Reason.INPUT if storage.kind == "input" else Reason.STATE
            return Obstacle(reason, f"the {storage.kind} `{storage.name}`")
        used = not call.unchanged and group.is_used_after(call)
        return (
            (self._saved(call, group) if group.is_saved_before(call) else None)
            or (self._read(call, group) if used else None)
            or _tried(call)
            or (self._used(call, group) if used else None)
        )

    def _saved(self, call: Overwriting, group: Group) -> Obstacle | None:
        for time, step, result in group.saves:
            if time < call.start:
                return Obstacle(Reason.SAVED, "result" if result else "input", step)
        for other in group.calls:
            if other.start < call.start and other.trial.keeps:
                return Obstacle(Reason.SAVED, "result", other.step)
        return None

    def _read(self, call: Overwriting, group: Group) -> Obstacle | None:
        """The first later reader of the bytes as they were."""
        written = self.nesting.placed(call.into, call.region)
        for storage in group.members:
            if group.comes_from(storage, call):
                continue
            for time, region, step in storage.reads:
                if time > call.end and overlap(written, self.nesting.placed(storage, region)):
                    what = "at the end" if time == AT_THE_END else ""
                    return Obstacle(Reason.READ, what, step)
        return None

    def _used(self, call: Overwriting, group: Group) -> Obstacle | None:
        """The first later use of one of several views, whatever bytes it has."""
        for storage in group.members:
            if not group.comes_from(storage, call):
                for time, step in storage.parts:
                    if time > call.end:
                        text = "views that one call gave cannot be used once it is overwritten"
                        return Obstacle(Reason.TORCH, "", step, text)
        return None


def _run_of(record: Record) -> _Run:
    nesting = Nesting()
    for copy in record.copies:
        assert copy.copied is not None, "it is a copy"
        nesting.put(copy, copy.copied.storage, copy.copied.region, None)
    return _Run(nesting)


def _tried(call: Overwriting) -> Obstacle | None:
    if call.trial.refusal is not None:
        return Obstacle(Reason.TORCH, "", text=call.trial.refusal)
    if not call.trial.equal:
        return Obstacle(Reason.TORCH, "", text="in place it gives other values")
    return None
