"""Law: a call of any operator, class or activation is refused with a place, or runs as it should."""

from __future__ import annotations

import pytest
import torch

from tests.laws.search import FRESH_SEED
from tests.laws.sweep import Draw, judge, sweep


@pytest.mark.parametrize(
    ("seed", "count"),
    [
        pytest.param(11, 150, id="pinned"),
        pytest.param(FRESH_SEED, 120, id="fresh"),
        pytest.param(FRESH_SEED, 20_000, id="many", marks=pytest.mark.hunt),
    ],
)
def test_what_is_accepted_runs_in_all_forms_and_modes(seed: int, count: int) -> None:
    print(f"seed {seed}: `python -m tests.laws.sweep {seed} {count}` shows it again")
    counts, findings = sweep(seed, range(count))
    assert not findings, "\n".join(findings)
    assert counts["right"] > count // 8, counts


def test_a_seed_and_a_number_give_one_text() -> None:
    assert Draw(3, 5).text() == Draw(3, 5).text() != Draw(3, 6).text()


HEAD = "netspec: 1\nname: Net\ninputs: {x: [N, 4]}\nlayers:\n"


def test_the_judge_sees_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judge(f"{HEAD}  o: {{module: Linear}}\n") == "refused"
    assert judge(f"{HEAD}  o: {{module: Linear, out_features: 2}}\n") == "right"
    monkeypatch.setattr(torch.nn.functional, "relu", lambda x, inplace=False: x * 1.5)
    assert judge(f"{HEAD}  o: {{act: relu}}\n") == "right"  # each form calls it
    monkeypatch.setattr(torch.nn.ReLU, "forward", lambda self, x: x.clamp(min=0) + 1)
    assert "functional" in judge(f"{HEAD}  o: {{act: relu}}\n")
