"""The calls of a run that could overwrite their input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from netspec.checks.inplace.cpu_trial import Trial
from netspec.checks.inplace.region import Region
from netspec.checks.inplace.storage import Storage
from netspec.ir.walk.walker import Step


@dataclass(frozen=True, slots=True)
class Entered:
    """A call of one of our own modules that is not over: since when, and its path."""

    since: int
    path: str


@dataclass(frozen=True, slots=True, eq=False)
class Overwriting:
    """One call that could overwrite its input, run out of place from `start` to `end`."""

    key: str
    step: Step
    name: str
    explicit: bool
    start: int
    end: int
    into: Storage
    region: Region
    result: Storage | None
    of_view: bool  # as autograd sees it
    same_strides: bool  # the result lies in memory as the input does
    within: tuple[Entered, ...]
    trial: Trial
    unchanged: bool = False  # it writes the same bytes, which torch counts all the same
    argument: bool = False  # it is overwritten beside what the call gives


@dataclass(frozen=True, slots=True)
class Record:
    """A whole run at one probe; `formless` are activations that have no form in place."""

    calls: tuple[Overwriting, ...]
    formless: Mapping[str, Step]
    copies: tuple[Storage, ...]  # those that have a `copied`
