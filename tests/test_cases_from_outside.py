"""Texts of an attack, `cases/outside/a_*.yaml`: each ends in a placed refusal or in a sound model.

Sound is what runs, forward and backward, in both modes and all forms. What the public's cases (the
others there) have to give stands in `outside/test_cases_from_outside_*.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

import netspec
from netspec.pipeline import Compiled, compile_spec, gradient_notes
from netspec.proof.verify import random_inputs
from tests.compare import flatten

CASES = Path(__file__).parent / "cases" / "outside"
ATTACKS = sorted(CASES.glob("a_*.yaml"))
FORMS = ("module", "functional", "inplace")
# Known to fail, until the change that mends it.
OPEN = frozenset(
    {
        "a_exc_inplace_soft_margin",
        "a_exc_inplace_to_sparse",
        "a_exc_quint2x4",
        "a_exc_recursion_arg",
        "a_exc_recursion_sizes_repeat",
        "a_hang_cdist",
        "a_hang_diff_x20",
    }
)


def attack(case: Path) -> ParameterSet:
    marks = [pytest.mark.xfail(run=False)] if case.stem in OPEN else []
    return pytest.param(case, id=case.stem, marks=marks)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", [attack(path) for path in ATTACKS])
def test_an_attack_is_refused_at_its_place_or_runs(case: Path, form: str) -> None:
    try:
        compiled = compile_spec(case, act=form)
    except netspec.SpecError as error:
        lines = [diagnostic.span.line for diagnostic in error.diagnostics]
    else:
        lines = []
        if not gradient_notes(compiled):  # which tell that backward stops there
            run_in_both_modes(compiled)
    assert all(line >= 1 for line in lines)


def run_in_both_modes(compiled: Compiled) -> None:
    """Forward, and backward where anything requires a gradient."""
    types = {port.name: port.facts[0] for port in compiled.program.inputs}
    for mode in (True, False):
        model = compiled.built.make().train(mode)
        given = [value for _, value in random_inputs(types, seed=1)]  # type: ignore[arg-type]
        inputs = [v.requires_grad_(v.is_floating_point() or v.is_complex()) for v in given]
        sums = [value.abs().sum() for value in flatten(model(*inputs)) if value.requires_grad]
        if sums:
            sum(sums).backward()  # type: ignore[union-attr]
