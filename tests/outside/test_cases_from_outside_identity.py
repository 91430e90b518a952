"""Cases 01, 01b and 06: a value has one identity, and `_` is what comes in."""

from __future__ import annotations

from pathlib import Path

import torch

import netspec

CASES = Path(__file__).parents[1] / "cases" / "outside"


def test_01_what_from_says_is_one_value() -> None:
    for form in ("module", "functional", "inplace"):
        model = netspec.build(CASES / "01_from_expression_pasted.yaml", act=form)
        assert torch.equal(model(torch.randn(3, 4)), torch.zeros(3, 4))


def test_01b_a_layer_that_does_not_exist_passes_one_value_through() -> None:
    model = netspec.build(CASES / "01b_skipped_layer_residual.yaml", seed=0).train()
    x = torch.randn(8, 4)
    torch.manual_seed(1)
    dropped = torch.nn.functional.dropout(x, 0.5)
    torch.manual_seed(1)
    assert torch.equal(model(x), model.get_submodule("fc")(dropped) + dropped)


def test_06_the_value_that_comes_in_is_the_same_in_arguments_and_in_when() -> None:
    text = (CASES / "06_underscore_in_arguments.yaml").read_text(encoding="utf-8")
    assert netspec.loads(text) and netspec.build(netspec.loads(text)).c.out_features == 7
    other = text.replace("  d:", '  e: {when: "=_.shape[1] == 7", module: Tanh, from: a}\n  d:')
    other = other.replace("b.sum(1)", "b.sum(1) + e.sum(1)")
    assert "e" in dict(netspec.build(netspec.loads(other)).named_children())
