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


def test_names_of_layers_are_not_lost_in_a_list() -> None:
    text = (CASES / "05_list_drops_names.yaml").read_text(encoding="utf-8")
    (found,) = netspec.check(netspec.loads(text))
    assert found.code == "NS218"
    assert found.help == "write `as: dict`, or leave the names out"
    mended = text.replace("as: list", "as: dict").replace("heads[0]", "heads.cls")
    model = netspec.build(netspec.loads(mended.replace("heads[1]", "heads['box']")))
    assert list(model.state_dict()) == ["heads.cls.weight", "heads.box.weight"]


def test_an_input_whose_default_is_null_is_none_where_it_is_left_out() -> None:
    model = netspec.build(CASES / "10_input_default_null.yaml")
    x, c = torch.randn(2, 4), torch.randn(2, 4)
    assert torch.equal(model(x), model.fc(x))
    assert torch.equal(model(x, None), model.fc(x))
    assert torch.equal(model(x, c), model.fc(x) + c)
