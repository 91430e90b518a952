"""Cases from outside: null is a value, what follows the mode, names that are in the keys."""

from __future__ import annotations

from pathlib import Path

import torch

import netspec

CASES = Path(__file__).parents[1] / "cases" / "outside"


def test_dropout_given_by_position_is_off_in_eval_mode() -> None:
    model = netspec.build(CASES / "03_sdpa_positional_dropout.yaml").eval()
    x = torch.randn(2, 4, 6)
    assert torch.equal(model(x), model(x))
    assert not torch.equal(model.train()(x), model(x))


def test_a_null_that_is_given_where_a_default_stands_is_none() -> None:
    model = netspec.build(CASES / "04_null_arg_ignored.yaml")
    assert list(model.state_dict()) == ["b.fc.weight", "b.fc.bias"]
