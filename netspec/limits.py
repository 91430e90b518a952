"""How much a spec may take: how large it may be, and how much work a check of it may be.

A stranger's spec must not exhaust the machine that checks it. Whoever calls netspec can raise each
limit; a spec cannot. Work is counted, never timed, so that the same text meets the same end
everywhere: a unit is about a microsecond of a processor of 2024.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, replace

from netspec.errors import Diagnostic, Origin, Span, SpecError, did_you_mean

WORK_FOR_A_BYTE = 30  # that a longer text may take more


@dataclass(frozen=True, slots=True)
class Limits:
    """What a spec, with its blocks and parts, may have and take at most."""

    layers: int = 200_000  # after expansion; what registers nothing is counted apart
    inner_layers: int = 200  # `num_layers` of an RNN or a Transformer
    elements: int = 20_000_000_000  # of all parameters, buffers and constants
    input_elements: int = 2**40
    text: int = 1_000_000  # bytes, with those of all files that it names
    work: int = 1_250_000  # and WORK_FOR_A_BYTE more for each byte of the text


AnyLimits = Limits | Mapping[str, int] | None
_NAMES = tuple(each.name for each in fields(Limits))


class OutOfWork(BaseException):
    """A check would take more work than it may.

    No `except Exception` around a question to torch may take it for torch's answer.
    """


@dataclass(slots=True, eq=False)
class Budget:
    """The work of one check, spent by all that it asks."""

    limits: Limits
    allowed: int
    spent: int = 0
    paid: set[object] = field(default_factory=set)

    def spend(self, work: int) -> None:
        """Raises OutOfWork where it is more than what is left."""
        self.spent += work
        if self.spent > self.allowed:
            raise OutOfWork

    def pay_once(self, key: object, work: int) -> None:
        """For an answer that is remembered: it costs each check the same, and each once."""
        if key not in self.paid:
            self.paid.add(key)
            self.spend(work)


_NOTHING = -(10**18)  # less than any text can add to


@dataclass(slots=True, eq=False)
class Interrupt:
    """Ends the work of the calls that are made `interruptible` by it, as if it had run out."""

    is_set: bool = False
    _budgets: list[Budget] = field(default_factory=list)

    def set(self) -> None:
        """To be called from another thread; what the calls give then is to be thrown away."""
        self.is_set = True
        for budget in tuple(self._budgets):
            budget.allowed = _NOTHING

    @contextmanager
    def over(self, budget: Budget) -> Iterator[None]:
        """While a budget is spent, it is in reach."""
        self._budgets.append(budget)
        if self.is_set:
            budget.allowed = _NOTHING
        try:
            yield
        finally:
            self._budgets.remove(budget)


_interrupt: ContextVar[Interrupt | None] = ContextVar("interrupt", default=None)
_budget: ContextVar[Budget | None] = ContextVar("budget", default=None)
_limits: ContextVar[Limits] = ContextVar("limits", default=Limits())  # noqa: B039  it is frozen


def read_limits(given: AnyLimits, source: str = "limits.") -> Limits:
    """Limits by their names, `{"elements": 10**12}`; the others stay. Raises SpecError.

    `source` is what messages call them.
    """
    if given is None:
        return current()
    if isinstance(given, Limits):
        return given
    problems = []
    for name, value in given.items():
        span = Span.of(Origin("limit", name, f"{source}{name}={value}"))
        if name not in _NAMES:
            help = did_you_mean(name, _NAMES) or f"there are {', '.join(_NAMES)}"
            problems.append(Diagnostic("NS201", f"there is no limit `{name}`", span, help=help))
        elif type(value) is not int or value < 1:
            fact = f"a limit is a number above 0, and `{value}` is not"
            problems.append(Diagnostic("NS205", fact, span))
    if problems:
        raise SpecError(problems)
    return replace(current(), **given)


@contextmanager
def raised(limits: Limits) -> Iterator[None]:
    """These limits hold for the calls inside that are given none of their own."""
    token = _limits.set(limits)
    try:
        yield
    finally:
        _limits.reset(token)


def current() -> Limits:
    """The limits of the call that is under way, else those of netspec."""
    budget = _budget.get()
    return _limits.get() if budget is None else budget.limits


@contextmanager
def bounded(limits: Limits, text: int = 0) -> Iterator[Budget]:
    """A budget for what happens inside, on a text of so many bytes."""
    budget = Budget(limits, limits.work + WORK_FOR_A_BYTE * text)
    interrupt = _interrupt.get()
    token = _budget.set(budget)
    try:
        with nullcontext() if interrupt is None else interrupt.over(budget):
            yield budget
    finally:
        _budget.reset(token)


@contextmanager
def interruptible(interrupt: Interrupt) -> Iterator[None]:
    """What is asked inside ends early once `interrupt` is set."""
    token = _interrupt.set(interrupt)
    try:
        yield
    finally:
        _interrupt.reset(token)


def allow_text(size: int) -> None:
    """Gives the work under way what a text of so many more bytes may take."""
    budget = _budget.get()
    if budget is not None:
        budget.allowed += WORK_FOR_A_BYTE * size


def spend(work: int) -> None:
    """Takes work off the budget of the call that is under way. Raises OutOfWork."""
    budget = _budget.get()
    if budget is not None:
        budget.spend(work)


def spent() -> int:
    """What was spent so far of the budget of the call that is under way."""
    budget = _budget.get()
    return 0 if budget is None else budget.spent


def pay_once(key: object, work: int) -> None:
    """Takes the work of a remembered answer off the budget, once. Raises OutOfWork."""
    budget = _budget.get()
    if budget is not None:
        budget.pay_once(key, work)


def too_much_work(doing: str, span: Span) -> Diagnostic:
    """What is told where the work of a check runs out."""
    fact = f"{doing} would take more work than a check may take"
    help = "make the spec smaller; whoever calls netspec can raise `limits.work`"
    return Diagnostic("NS217", fact, span, help=help)


def raised_help(limit: str, allowed: int) -> str:
    """The help where a spec is larger than a limit that its caller can raise."""
    return f"at most {allowed:,} are allowed; whoever calls netspec can raise `limits.{limit}`"
