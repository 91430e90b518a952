"""torch.export takes the dynamic shapes that a spec is told to have, at once."""

from __future__ import annotations

import pytest
import torch

import netspec


@pytest.mark.parametrize(
    ("name", "shape", "other", "least"),
    [
        ("unet", (2, 3, 64, 96), (3, 3, 20, 36), None),
        ("resnet18", (2, 3, 64, 96), (3, 3, 77, 41), 33),
    ],
)
def test_export_within_the_sizes_that_are_valid(
    name: str, shape: tuple[int, ...], other: tuple[int, ...], least: int | None
) -> None:
    shapes = netspec.dynamic_shapes(name)
    assert set(shapes["x"]) == {0, 2, 3}
    if least is not None:
        assert shapes["x"][2].min == least
    model = netspec.build(name, seed=0).eval()
    exported = torch.export.export(model, (torch.randn(shape),), dynamic_shapes=shapes)
    x = torch.randn(other)
    torch.testing.assert_close(exported.module()(x), model(x), rtol=1e-3, atol=1e-4)


def test_positions_bound_a_dim() -> None:
    assert netspec.dynamic_shapes("gpt")["tokens"][1].max == 64


def test_what_no_dim_can_say_is_told_at_its_layer() -> None:
    spec = {
        "netspec": 1, "name": "Net", "inputs": {"x": ["N", "T"]},
        "layers": {"o": "=x.reshape(-1, 4)"},
    }  # fmt: skip
    with pytest.raises(netspec.SpecError, match="no dynamic size") as found:
        netspec.dynamic_shapes(spec)
    assert found.value.diagnostics[0].code == "NS301"


def test_analysis_tells_sizes() -> None:
    sizes = netspec.analyse("unet").sizes()
    assert sizes is not None and sizes.constraints[0].text == "multiples of 4"
    assert netspec.analyse({"netspec": 1}).sizes() is None
