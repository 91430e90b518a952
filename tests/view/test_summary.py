"""Rows and text of a summary; sizes that a layer does not take; operators without `meta`."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
import torch

from netspec.errors import SpecError
from netspec.pipeline import compile_spec
from netspec.view.summary import Row, Summary, summarize, summary_json
from netspec.view.table import summary_text

LENET = """\
layer  kind        output          parameters   FLOPs  held for backward
────────────────────────────────────────────────────────────────────────
conv1  Conv2d      [N, 6, 24, 24]         156   173 k           3.06 KiB
act1   ReLU        [N, 6, 24, 24]           ·       ·           13.5 KiB
pool1  max_pool2d  [N, 6, 12, 12]           ·       ·           6.75 KiB
conv2  Conv2d      [N, 16, 8, 8]        2,416   307 k           3.38 KiB
act2   ReLU        [N, 16, 8, 8]            ·       ·           4.00 KiB
pool2  max_pool2d  [N, 16, 4, 4]            ·       ·           2.00 KiB
flat   flatten     [N, 256]                 ·       ·                  ·
fc1    Linear      [N, 120]            30,840  61.4 k           1.00 KiB
act3   ReLU        [N, 120]                 ·       ·              480 B
fc2    Linear      [N, 84]             10,164  20.2 k                  ·
act4   ReLU        [N, 84]                  ·       ·              336 B
fc3    Linear      [N, 10]                850  1.68 k                  ·
────────────────────────────────────────────────────────────────────────
parameters    44,426 (174 KiB)
forward       563 kFLOPs at N = 1
for backward  34.5 KiB held at N = 1
"""


def summary_of(source: str | Mapping[str, object], **sizes: int) -> Summary:
    compiled = compile_spec(source)
    with torch.device("meta"):
        model = compiled.built.make()
    return summarize(compiled.program, model, sizes)


def spec(layers: Mapping[str, object], **inputs: object) -> dict[str, object]:
    return {"netspec": 1, "name": "Net", "inputs": inputs, "layers": layers}


def rows_of(summary: Summary) -> dict[str, Row]:
    return {row.path: row for row in summary.rows}


def test_text_of_lenet() -> None:
    assert summary_text(summary_of("lenet")) == LENET


def test_text_fits_in_a_width() -> None:
    text = summary_text(summary_of("gpt"), 100)
    table = text.splitlines()[:-3]
    assert max(map(len, table)) <= 100 and any("…" in line for line in table)
    assert "attn" in text and "≈" in text


def test_nested_rows_are_indented_and_named_within_the_row_above() -> None:
    lines = summary_text(summary_of("siamese")).splitlines()
    assert lines[2].startswith("left         Encoder (encoder)")
    assert lines[3].startswith("  encoder.0  Conv2d")
    summary = summary_of("resnet18")
    row = rows_of(summary)["layer2.0.downsample.1"]
    assert (row.depth, row.kind, row.output) == (3, "BatchNorm2d", "[N, 128, H/8, W/8]")
    assert row.line == 17  # of blocks/resnet.yaml


def test_a_row_holds_what_is_below_it() -> None:
    rows = summary_of("gpt").rows
    for index, row in enumerate(rows):
        below = []
        for other in rows[index + 1 :]:
            if other.depth <= row.depth:
                break
            below += [other] if other.depth == row.depth + 1 else []
        if below:
            assert row.flops == sum(other.flops for other in below)
            assert row.parameters == sum(other.parameters for other in below)
            assert row.saved_bytes == sum(other.saved_bytes for other in below)


def test_shared_parameters_count_once() -> None:
    rows = rows_of(summary_of("tied"))
    assert rows["embedding"].parameters == 50 * 16
    assert rows["head"].parameters == 50  # its bias; the weight is the embedding's
    rows = rows_of(summary_of("siamese"))
    assert rows["left"].parameters > 0 and rows["right"].parameters == 0


def test_frozen_parameters_are_told() -> None:
    summary = summary_of("part")
    assert summary.parameters - summary.trainable == 44_426
    assert "44,426 of them frozen" in summary_text(summary)
    assert rows_of(summary)["lenet"].saved_bytes == 0


def test_what_is_saved_twice_counts_where_it_is_first() -> None:
    layers = {"a": "relu", "b": {"module": "Linear", "out_features": 4}, "c": "relu"}
    x = {"fc": {"module": "Linear", "out_features": 8}, **layers}
    rows = rows_of(summary_of(spec(x, x=["N", 8])))
    assert rows["a"].saved_bytes == 8 * 4
    assert rows["b"].saved_bytes == 0  # its input is what `a` saved


@pytest.mark.parametrize("name", ["train_outputs", "two_heads", "two_inputs", "lstm_tagger"])
def test_outputs_and_modes(name: str) -> None:
    rows = rows_of(summary_of(name))
    shown = {
        "train_outputs": ("aux", "[N, 10]"),
        "two_heads": ("slant", "[N]"),
        "two_inputs": ("joined", "[N, 24]"),
        "lstm_tagger": ("lstm", "([N, T, 24], ([2, N, 12], [2, N, 12]))"),
    }
    path, output = shown[name]
    assert rows[path].output == output


def test_sizes_that_follow_two_free_ones() -> None:
    layers = {
        "flat": {"call": "flatten", "end_dim": 1},
        "conv": {"module": "Conv1d", "out_channels": 2, "kernel_size": 3},
        "back": "=conv.unflatten(0, (x.shape[0], -1))",
    }
    rows = rows_of(summary_of(spec(layers, x=["N", "T", 3, "L"])))
    assert rows["flat"].output == "[N·T, 3, L]"
    assert rows["conv"].output == "[N·T, 2, L-2]"
    assert rows["back"].output == "[N, T, 2, L-2]"


def test_a_batch_that_a_layer_does_not_take_is_drawn_on() -> None:
    layers = {"fc": {"module": "Linear", "out_features": 4}, "bn": "BatchNorm1d", "act": "relu"}
    net = spec(layers, x=["N", 8])
    one, two, three = (summary_of(net, N=n) for n in (1, 2, 3))
    assert one.probe == (("N", 1),)
    assert one.approximate and not two.approximate
    assert one.flops == 2 * two.flops - three.flops == 2 * 8 * 4
    assert one.saved_bytes == 2 * two.saved_bytes - three.saved_bytes
    assert [row.output for row in one.rows] == ["[N, 4]"] * 3


def test_an_operator_without_meta_is_approximate() -> None:
    layers = {
        "scores": {"call": "log_softmax", "dim": -1, "from": "x"},
        "loss": "=ctc_loss(scores, t, full((x.shape[1],), 12), full((x.shape[1],), 5))",
    }
    t = {"shape": ["N", 5], "dtype": "int64"}
    summary = summary_of(spec(layers, x=[12, "N", 8], t=t))
    assert [row.approximate for row in summary.rows] == [False, True]
    assert rows_of(summary)["loss"].output == "[]"


def test_a_module_that_nothing_calls_has_a_row() -> None:
    unused = {"module": "Linear", "in_features": 3, "out_features": 3, "declare": True}
    layers = {
        "used": {**unused, "keep": True},
        "left": {**unused, "keep": True},
        "out": "=x @ used.weight",
    }
    summary = summary_of(spec(layers, x=["N", 3]))
    rows = [(row.path, row.output, row.parameters) for row in summary.rows]
    assert rows == [("out", "[N, 3]", 9), ("used", "", 3), ("left", "", 12)]


def test_a_size_that_is_none() -> None:
    with pytest.raises(SpecError) as caught:
        summary_of("lenet", B=2, N=0)
    assert [d.code for d in caught.value.diagnostics] == ["NS209", "NS205"]
    assert caught.value.diagnostics[0].fact == "`LeNet` has no free size `B`"


def test_sizes_that_the_model_does_not_take() -> None:
    with pytest.raises(SpecError) as caught:
        summary_of("unet", H=33)
    assert caught.value.diagnostics[0].code == "NS301"
    assert "`UNet` does not take N = 1, H = 33, W = 96" in caught.value.diagnostics[0].fact


def test_no_random_number_is_drawn() -> None:
    before = torch.get_rng_state()
    summary_of("gpt")
    summary_of("alexnet")
    assert torch.equal(torch.get_rng_state(), before)


def test_json_is_plain() -> None:
    summary = summary_of("lenet", N=2)
    plain = json.loads(json.dumps(summary_json(summary)))
    assert plain["probe"] == {"N": 2}
    assert plain["rows"][0]["path"] == "conv1" and len(plain["rows"]) == 12
    assert plain["parameters"] == 44_426


def test_the_same_figures_in_every_run() -> None:
    assert summary_of("inception") == summary_of("inception")
