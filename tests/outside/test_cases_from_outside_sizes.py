"""Cases 02, 02c and 08b: what depends on a free size is not folded."""

from __future__ import annotations

from pathlib import Path

import torch

import netspec

CASES = Path(__file__).parents[1] / "cases" / "outside"


def test_02_the_length_of_what_unbind_gives_is_the_size() -> None:
    for form in ("module", "functional", "inplace"):
        model = netspec.build(CASES / "02_len_of_unbind_folded.yaml", act=form)
        for size in (1, 3, 64, 70):
            x = torch.randn(2, size, 4)
            assert torch.equal(model(x), size * x)


def test_02c_a_condition_over_a_length_is_asked_at_each_call() -> None:
    model = netspec.build(CASES / "02c_condition_folded_away.yaml")
    two, three = torch.randn(2, 4), torch.randn(3, 4)
    assert torch.equal(model(two), two)
    assert torch.equal(model(three), three.sum())


def test_08b_squeeze_that_takes_the_batch_away_is_told() -> None:
    case = CASES / "08b_squeeze_at_batch_one.yaml"
    (found,) = netspec.check(case, args={"num_classes": 10})
    assert found.code == "NS303"
    assert found.fact == "`squeeze` in `sq` gives another number of dimensions where N is 1"
    assert found.help == "name what it takes away: `dim: [2, 3]`"
    mended = case.read_text(encoding="utf-8").replace(
        "sq: squeeze", "sq: {call: squeeze, dim: [2, 3]}"
    )
    model = netspec.build(netspec.loads(mended), args={"num_classes": 10})
    assert model(torch.randn(1, 1, 28, 28)).shape == (1, 10)
