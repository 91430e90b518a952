"""A summary on a terminal: it fits, repeats stand once and add up, and colour says what weighs."""

from __future__ import annotations

import re

import pytest

from netspec.display import Look, bar, columns
from netspec.view.summary import Summary
from netspec.view.terminal import terminal_text
from tests.view.test_summary import spec, summary_of

RED = re.compile("\x1b\\[[0-9;]*m")


def table(summary: Summary, width: int) -> list[str]:
    return terminal_text(summary, Look(width)).split("─\n")[1].splitlines()[:-1]


@pytest.mark.parametrize("name", ["lenet", "resnet18", "unet", "gpt", "swin_t"])
@pytest.mark.parametrize("width", [80, 100, 200])
def test_it_fits(name: str, width: int) -> None:
    text = terminal_text(summary_of(name), Look(width))
    lines = text.split("─\n")[1].splitlines()
    assert max(map(columns, lines)) <= width
    assert not any(line.startswith(" ×") for line in lines)


def test_lenet() -> None:
    assert (
        terminal_text(summary_of("lenet"), Look(80))
        == """\
layer  kind        output          params         FLOPs      held  line
───────────────────────────────────────────────────────────────────────
conv1  Conv2d      [N, 6, 24, 24]     156         173 k  3.06 KiB     7
act1   ReLU        [N, 6, 24, 24]       ·             ·  13.5 KiB     8
pool1  max_pool2d  [N, 6, 12, 12]       ·             ·  6.75 KiB     9
conv2  Conv2d      [N, 16, 8, 8]   2.42 k  ▎      307 k  3.38 KiB    10
act2   ReLU        [N, 16, 8, 8]        ·             ·  4.00 KiB    11
pool2  max_pool2d  [N, 16, 4, 4]        ·             ·  2.00 KiB    12
flat   flatten     [N, 256]             ·             ·         ·    13
fc1    Linear      [N, 120]        30.8 k  ███▌  61.4 k  1.00 KiB    14
act3   ReLU        [N, 120]             ·             ·     480 B    15
fc2    Linear      [N, 84]         10.2 k  █▏    20.2 k         ·    16
act4   ReLU        [N, 84]              ·             ·     336 B    17
fc3    Linear      [N, 10]            850  ▏     1.68 k         ·    18
───────────────────────────────────────────────────────────────────────
parameters    44,426 (174 KiB)
forward       563 kFLOPs at N = 1
for backward  34.5 KiB held at N = 1
"""
    )


def test_repeats_stand_once_and_are_added_up() -> None:
    block = {"layers": {"fc": {"module": "Linear", "out_features": 8}, "out": "=fc + x"}}
    net = spec({"body": {"block": "Part", "repeat": 3}, "head": "Identity"}, x=["N", 8])
    summary = summary_of({**net, "blocks": {"Part": block}})
    lines = [line.split() for line in table(summary, 80)]
    assert [line[:3] for line in lines[1:3]] == [["0", "×", "3"], ["fc", "Linear", "[N,"]]
    assert lines[0][4] == lines[1][6] == lines[2][4] == "216"
    assert sum(line[0].isdigit() for line in lines) == 1
    assert "× n stands for n equal copies" in terminal_text(summary, Look(80))
    assert "× n" not in terminal_text(summary_of("lenet"), Look(80))


def test_copies_that_differ_stand_each() -> None:
    layers = [{"module": "Linear", "out_features": n} for n in (8, 8, 4, 4)]
    summary = summary_of(spec({"body": {"layers": layers}, "head": "Identity"}, x=["N", 8]))
    lines = [line for line in table(summary, 80) if "Linear" in line]
    names = [line[: line.index("Linear")].strip() for line in lines]
    assert names == ["0 × 2", "2", "3"]  # the third takes 8 features, and the fourth 4


def test_blocks_of_t5_are_copies_though_their_rows_have_other_paths() -> None:
    lines = table(summary_of("t5"), 80)
    assert [line.split()[:3] for line in lines if " × " in line] == [["block.1", "×", "11"]] * 2


def test_what_weighs_is_bright() -> None:
    text = terminal_text(summary_of("lenet"), Look(80, colour=True))
    assert "\x1b[1;33m30.8 k\x1b[0m" in text and "\x1b[2m   156\x1b[0m" in text
    assert RED.sub("", text) == terminal_text(summary_of("lenet"), Look(80))


def test_no_text_of_a_spec_is_obeyed() -> None:
    net = spec({"a": "=x * len('\x1b[2J')"}, x=["N", 8])
    assert "\x1b" not in terminal_text(summary_of(net), Look(80))


def test_bars() -> None:
    assert [bar(share, 4) for share in (0, 0.01, 0.5, 1, 7)] == ["", "", "██", "████", "████"]
    assert bar(0.25 + 1 / 32, 4) == "█▏"
