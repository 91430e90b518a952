"""A decision in words: for the one whose spec is refused, and for a table of all activations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from typing_extensions import assert_never

from netspec.checks.inplace.decide import Decision, Obstacle, Reason
from netspec.errors import Diagnostic, Help, Related, Span
from netspec.ir.graph import Program
from netspec.ir.walk.walker import Step
from netspec.ops.overwriting import INPLACE


def refusals(program: Program, decisions: Sequence[Decision]) -> list[Diagnostic]:
    """A diagnostic for each call that the spec asks for and that is not safe (NS401 to NS405)."""
    return [
        _refusal(program, decision, decision.obstacle)
        for decision in decisions
        if decision.explicit and decision.obstacle is not None
    ]


def _refusal(program: Program, decision: Decision, obstacle: Obstacle) -> Diagnostic:
    step = decision.step
    fact = f"`{step.path}` overwrites {_fact(obstacle)}"
    notes = tuple(_notes(step, obstacle))
    by = obstacle.by
    at = () if by is None or by.place is None else (Related(by.place.span(), _named(by)),)
    span = _span(step, program)
    return Diagnostic(obstacle.reason.value, fact, span, notes, _help(decision), at)


def _span(step: Step, program: Program) -> Span:
    """Where the spec asks for it: at `inplace`, else at `call`, else the whole layer."""
    if step.place is None:
        return Span(program.source.file)
    if step.place.at(INPLACE).exists:
        return step.place.at(INPLACE).key_span()
    named = step.place.at("call")
    return named.span() if named.exists else step.place.span()


def _fact(obstacle: Obstacle) -> str:
    match obstacle.reason:
        case Reason.STATE:
            return f"{obstacle.what}, which is part of the model's state"
        case Reason.INPUT:
            return f"{obstacle.what}, which is the caller's"
        case Reason.SAVED:
            return f"what {_named(obstacle.by)} keeps for the backward pass"
        case Reason.READ:
            return f"what {_named(obstacle.by)} reads later" if obstacle.by else obstacle.what
        case Reason.TORCH:
            return "its input, and torch cannot do that here"
        case _:
            assert_never(obstacle.reason)


def _notes(step: Step, obstacle: Obstacle) -> list[str]:
    by = obstacle.by
    notes = []
    if obstacle.text:
        notes.append(f"torch: {obstacle.text}")
    if by is not None and obstacle.reason is Reason.SAVED:
        notes.append(f"the {obstacle.what} of {_named(by)} has to be as it was when backward runs")
    if by is not None and by.place is not None and by.line and by.path != step.path:
        span = by.place.span()
        notes.append(f"{_named(by)} is at {span.file}:{by.line}")
    return notes


def _help(decision: Decision) -> str:
    if decision.argument:
        return "give it a copy, as `=name.clone()` is, or a `buffer` of the model"
    if decision.name.endswith("_"):
        name = decision.name[:-1]
        text = f"write `{name}`: the same values come out, in new memory"
        return Help(text, decision.name, name)
    return Help("leave `inplace` out: the same values come out, in new memory", INPLACE)


def _named(step: Step | None) -> str:
    if step is None:
        return "something"
    if step.path.rpartition(".")[2] == "outputs" and step.kind == "outputs":
        return "the output"
    return f"`{step.path}`"


def decisions_text(decisions: Sequence[Decision]) -> str:
    """A line for each call that overwrites its input, or could: path, place, verdict."""
    if not decisions:
        return ""
    taken = sum(decision.obstacle is None for decision in decisions)
    rows = [(d.step.path, _where(d.step), verdict(d)) for d in decisions]
    wide, long = (max(len(row[i]) for row in rows) for i in (0, 1))
    lines = [f"  {path:<{wide}}  {where:<{long}}  {told}" for path, where, told in rows]
    return "\n".join([f"in place: {taken} of {len(rows)}", *lines]) + "\n"


def _where(step: Step) -> str:
    """`lenet.yaml:8`; nothing for what no text holds."""
    if step.place is None or not step.line:
        return ""
    return f"{PurePath(step.place.span().file).name}:{step.line}"


def decisions_json(decisions: Sequence[Decision]) -> list[dict[str, object]]:
    """The decisions as plain values."""
    return [
        {
            "path": d.step.path, "line": d.step.line, "in_place": d.obstacle is None,
            "asked_for": d.explicit, "verdict": verdict(d),
        }
        for d in decisions
    ]  # fmt: skip


def verdict(decision: Decision) -> str:
    """`in place`, or why not: `no: `sum` (net.yaml:12) reads it later`."""
    obstacle = decision.obstacle
    if obstacle is None:
        notes = []
        if decision.copies:
            notes.append("torch copies it first: saves nothing in training")
        if decision.other_bits:
            notes.append("its gradient has other bits")
        return "in place" + (f" ({'; '.join(notes)})" if notes else "")
    return f"no: {_why(obstacle)}"


def _why(obstacle: Obstacle) -> str:
    by = obstacle.by
    line = f" ({_where(by)})" if by is not None and by.line else ""
    match obstacle.reason:
        case Reason.STATE | Reason.INPUT:
            return f"it is {obstacle.what}"
        case Reason.SAVED:
            return f"{_named(by)}{line} keeps it for the backward pass"
        case Reason.READ:
            return f"{_named(by)}{line} reads it later" if by else obstacle.what
        case Reason.TORCH:
            return obstacle.text
        case _:
            assert_never(obstacle.reason)
