"""The in-place form: a program with everything overwritten that may be."""

from __future__ import annotations

from collections.abc import Callable

from netspec.checks.inplace.check import decide_in_place
from netspec.checks.inplace.decide import Decision
from netspec.checks.inplace.messages import refusals
from netspec.emit.module import Built, release
from netspec.errors import Diagnostic, SpecError
from netspec.ir.forms import in_place
from netspec.ir.graph import Place, Program
from netspec.ir.walk.run_operator import Refuses
from netspec.limits import OutOfWork, too_much_work


def overwrite(
    program: Program, compiler: Callable[[Program], Built], auto: bool
) -> tuple[Program, tuple[Decision, ...]]:
    """The program with what it asks to overwrite, and with `auto` all activations that may.

    A model on `meta` tells, whose classes `compiler` makes. Raises SpecError where what is asked
    for is not safe.
    """
    built = compiler(program)
    span = Place(program.source, ("layers",)).key_span()
    try:
        decisions = decide_in_place(program, built.empty(), auto)
    except Refuses as refusal:
        if not program.overwrites:  # nobody asked for it
            return program, ()
        fact = f"it cannot be told what may be overwritten: {refusal}"
        raise SpecError(Diagnostic("NS406", fact, span)) from None
    except OutOfWork:
        raise SpecError(too_much_work("finding what may be overwritten", span)) from None
    finally:
        release(built)  # no instance of these classes outlives the question
    problems = refusals(program, decisions)
    if problems:
        raise SpecError(problems)
    accepted = {d.key for d in decisions if not d.explicit and d.obstacle is None}
    return in_place(program, accepted), decisions
