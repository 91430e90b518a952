"""Texts of an attack, `cases/outside/a_*.yaml`: each ends in a placed refusal or in a sound model.

Sound is what runs, forward and backward, in both modes and all forms. What the public's cases (the
others there) have to give stands in `outside/test_cases_from_outside_*.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import netspec
from netspec.compiled import Compiled, gradient_notes
from netspec.pipeline import compile_spec
from netspec.proof.verify import random_inputs
from tests.compare import flatten

CASES = Path(__file__).parent / "cases" / "outside"
ATTACKS = sorted(CASES.glob("a_*.yaml"))
FORMS = ("module", "functional", "inplace")
# Too much work for a test to run; that it is accepted in little time is tested elsewhere.
LARGE = frozenset({"a_hang_cdist"})


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", ATTACKS, ids=lambda path: path.stem)
def test_an_attack_is_refused_at_its_place_or_runs(case: Path, form: str) -> None:
    try:
        compiled = compile_spec(case, act=form)
    except netspec.SpecError as error:
        lines = [diagnostic.span.line for diagnostic in error.diagnostics]
    else:
        lines = []
        # the notes tell that backward stops there
        if case.stem not in LARGE and not gradient_notes(compiled):
            run_in_both_modes(compiled)
    assert all(line >= 1 for line in lines)


def run_in_both_modes(compiled: Compiled) -> None:
    """Forward, and backward where anything requires a gradient; the first input does."""
    types = {port.name: port.facts[0] for port in compiled.program.inputs}
    for mode in (True, False):
        model = compiled.built.make().train(mode)
        given = [value for _, value in random_inputs(types, seed=1)]  # type: ignore[arg-type]
        given[0].requires_grad_(given[0].is_floating_point())
        sums = [value.abs().sum() for value in flatten(model(*given)) if value.requires_grad]
        if sums:
            sum(sums).backward()  # type: ignore[union-attr]
