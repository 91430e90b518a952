"""For which sizes networks are valid, in the words that people see."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from netspec.pipeline import AnySource, compile_spec
from netspec.sizes import follow
from netspec.sizes.find import Sizes, find_sizes


def sizes_of(source: AnySource, args: Mapping[str, object] | None = None) -> Sizes:
    compiled = compile_spec(source, args)
    return find_sizes(compiled.program, compiled.built.empty())


def lines(sizes: Sizes) -> list[str]:
    return [one.line for one in sizes.constraints]


def of(layers: Mapping[str, object], **inputs: object) -> Sizes:
    return sizes_of({"netspec": 1, "name": "Net", "inputs": inputs, "layers": layers})


def test_unet() -> None:
    sizes = sizes_of("unet")
    assert lines(sizes) == [
        "H, W: multiples of 4 (cat1, unet.yaml:26)",
        "in training, H >= 8 or W >= 8 or N >= 2 (bottom.1, unet.yaml:11)",
    ]
    by_path = {layer.path: sizes.text(layer.value) for layer in sizes.layers}
    assert by_path["pool2"] == "[N, 16, H/4, W/4]"
    assert by_path["cat1"] == "[N, 16, H, W]"
    assert sizes.tried == () and sizes.open == ""
    assert [c.text for c in sizes.broken_by({"N": 2, "H": 30, "W": 32}, True)] == ["multiples of 4"]
    assert sizes.broken_by({"N": 1, "H": 4, "W": 4}, False) == []
    assert len(sizes.broken_by({"N": 1, "H": 4, "W": 4}, True)) == 1


def test_resnet18() -> None:
    sizes = sizes_of("resnet18")
    text = {layer.path: sizes.text(layer.value) for layer in sizes.layers}
    assert text["conv1"] == "[N, 64, (H+1)//2, (W+1)//2]"
    assert text["layer4"] == "[N, 512, (H+31)//32, (W+31)//32]"
    assert [c.mode for c in sizes.constraints] == ["train"]


def test_densenet121() -> None:
    first = sizes_of("densenet121").constraints[0]
    assert first.line == "H, W: at least 29 (features.transition3.pool, densenet.yaml:19)"


@pytest.mark.slow
def test_swin_t_takes_sizes_that_are_no_multiples_of_its_window() -> None:
    sizes = sizes_of("swin_t")
    assert lines(sizes) == ["H, W: at least 4 (features.0.0, swin.yaml:105)"]
    assert {one.source.place.line for one in sizes.tried if one.source.place} == {35, 98}


def test_positions_of_a_table() -> None:
    assert lines(sizes_of("gpt")) == ["T: at most 64 (wpe, gpt.yaml:36)"]


CASES = {
    "a view in parts of four": (
        {"o": "=x.reshape(x.shape[0], -1, 4)"}, {"x": ["N", "T"]}, ["T: multiples of 4 (o)"],
    ),
    "a convolution without padding": (
        {"o": {"module": "Conv1d", "out_channels": 2, "kernel_size": 5}},
        {"x": ["N", 3, "T"]}, ["T: at least 5 (o)"],
    ),
    "a stride that lets a rest fall": (
        {
            "down": {"module": "Conv1d", "out_channels": 3, "kernel_size": 2, "stride": 2},
            "up": {"module": "ConvTranspose1d", "out_channels": 3, "kernel_size": 2, "stride": 2},
            "o": "=x + up",
        },
        {"x": ["N", 3, "T"]}, ["T: multiples of 2 (o)"],
    ),
    "a decision that changes nothing": (
        {"o": "=x * 2 if x.shape[1] > 20 else x * 3"}, {"x": ["N", "T"]}, [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_needed(case: str) -> None:
    layers, inputs, expected = CASES[case]
    assert sorted(lines(of(layers, **inputs))) == expected


def test_a_call_that_torch_cannot_compute_with_symbols_is_marked() -> None:
    sizes = of({"o": "=pad(x, (-1, -1))"}, x=["N", "T"])
    assert sizes.text(sizes.output) == "[N, T-2]"
    assert [one.source.path for one in sizes.tried] == ["o"]
    assert sizes.layers[0].tried


def test_steps_along_a_size_are_tried() -> None:
    layer = {"module": "GRU", "hidden_size": 5, "batch_first": True}
    sizes = of({"gru": layer, "o": "=gru[0]"}, x={"shape": ["N", "T", 3], "example": {"T": [4, 6]}})
    assert sizes.text(sizes.output) == "[N, T, 5]"


def test_a_case_from_outside() -> None:
    """The last batch of one, of a batch norm behind a linear layer."""
    layers = {"fc": {"module": "Linear", "out_features": 16}, "bn": "BatchNorm1d"}
    assert lines(of(layers, x=["N", 8])) == ["in training, N: at least 2 (bn)"]


def test_numbers_that_are_no_whole_ones_are_followed() -> None:
    layers = {"a": "=x * ((x.shape[0] > 1) + x.shape[0])", "b": "=a * (x.shape[1] + 0.5)"}
    found = of({name: {"value": text} for name, text in layers.items()}, x=["N", "T"])
    assert found.open == ""


def test_of_a_network_with_very_many_calls_the_rest_stays_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(follow, "MOST_CALLS", 5)
    found = of({f"l{n}": {"call": "relu"} for n in range(8)}, x=["N", "T"])
    assert "l5" in found.open and "more calls than are looked at" in found.open
