"""Two specs as networks: what is the same layer, what differs, which keys fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import netspec
from netspec.cli import main
from netspec.comparison.compare import compare
from netspec.comparison.model import NetworkDiff
from netspec.comparison.report import comparison_text
from netspec.display import Look, columns
from netspec.drawing.comparison import comparison_html
from tests.drawing.test_drawing import CHROMIUM, in_browser, read

LENET = Path("configs/model/lenet.yaml").read_text(encoding="utf-8")
NET = """\
netspec: 1
name: Net
inputs: {x: [N, 3, 8, 8]}
layers:
  conv: {module: Conv2d, out_channels: 4, kernel_size: 3, padding: 1}
  bn: BatchNorm2d
  act: {act: relu}
  drop: {module: Dropout, p: 0.1}
  conv2: {module: Conv2d, out_channels: 4, kernel_size: 3, padding: 1}
  sum: =conv2 + act
  flat: {call: flatten, start_dim: 1}
  fc: {module: Linear, out_features: 5}
"""


def compared(before: str, after: str) -> NetworkDiff:
    a, b = netspec.analyse(before, path="a.yaml"), netspec.analyse(after, path="b.yaml")
    assert not a.diagnostics and not b.diagnostics, (a.diagnostics, b.diagnostics)
    return compare(a, b)


def told(found: NetworkDiff) -> list[tuple[str | None, str | None, str]]:
    return [(one.a, one.b, "+".join(one.kinds)) for one in found.changes]


def facts(found: NetworkDiff, path: str) -> dict[str, tuple[str, str]]:
    (change,) = (one for one in found.changes if path in (one.a, one.b))
    return {fact.what: (fact.before, fact.after) for fact in change.facts}


def names(path_a: str, path_b: str) -> NetworkDiff:
    return compare(netspec.analyse(path_a), netspec.analyse(path_b))


def test_a_spec_is_equal_to_itself_in_other_words() -> None:
    assert compared(NET, NET).equal
    reworded = NET.replace(
        "bn: BatchNorm2d", "bn: {module: BatchNorm2d, eps: 1.0e-5} # the default"
    )
    reworded = reworded.replace(
        "padding: 1}\n  bn", "padding: 1, in_channels: 3, bias: true}\n  bn"
    )
    found = compared(NET, reworded)
    assert found.equal and len(found.keys.carried) == len(found.b.tensors)
    assert "the same network, with the same keys" in comparison_text(found, ("a", "b"))


@pytest.mark.parametrize(
    ("old", "new", "path", "fact"),
    [
        ("p: 0.1", "p: 0.5", "drop", {"p": ("0.1", "0.5")}),
        ("act: relu", "act: gelu", "act", {"is": ("nn.ReLU", "nn.GELU")}),
        ("conv2 + act", "conv2 - act", "sum", {"is": ("• + •", "• - •")}),
        ("conv2 + act", "act - conv2", "sum", {
            "is": ("• + •", "• - •"), "reads": ("act", "conv2"),
        }),
        ("conv2 + act", "conv2 + drop", "sum", {"reads": ("act", "drop")}),
        ("conv2 + act", "conv2 * 2 + act", "sum", {"is": ("• + •", "(• * 2) + •")}),
        ("start_dim: 1", "start_dim: 2", "flat", {
            "start_dim": ("1", "2"), "gives": ("[N, 256]", "[N, 4, 64]"),
        }),
        ("bn: B", "bn: {freeze: true, module: B", "bn", {"freeze": ("", "True")}),
        ("out_features: 5}", "out_features: 5, init: {bias: zeros_}}", "fc", {
            "init bias": ("", "zeros_()"),
        }),
    ],
)  # fmt: skip
def test_one_edit_is_one_change(
    old: str, new: str, path: str, fact: dict[str, tuple[str, str]]
) -> None:
    after = NET.replace(old, new)
    if "{freeze" in new:
        after = after.replace("BatchNorm2d", "BatchNorm2d}")
    found = compared(NET, after)
    own = [one for one in found.changes if "changed" in one.kinds]
    assert [(one.a, one.b) for one in own] == [(path, path)]
    assert facts(found, path) == fact


def test_what_comes_in_alone_is_no_change_of_its_own() -> None:
    found = compared(NET, NET.replace("3, 8, 8", "1, 8, 8"))
    assert told(found) == [("x", "x", "affected"), ("conv", "conv", "affected")]
    assert facts(found, "conv") == {"weight": ("[4, 3, 3, 3]", "[4, 1, 3, 3]")}
    assert [(one.key, one.shape_in_a) for one in found.keys.reshaped] == [
        ("conv.weight", (4, 3, 3, 3))
    ]


def test_a_rename() -> None:
    found = compared(NET, NET.replace("conv2", "second").replace("fc:", "head:"))
    assert told(found) == [("conv2", "second", "renamed"), ("fc", "head", "renamed")]
    assert not found.keys.new and not found.keys.unused
    assert dict(found.keys.renamed) == {
        "second.weight": "conv2.weight", "second.bias": "conv2.bias",
        "head.weight": "fc.weight", "head.bias": "fc.bias",
    }  # fmt: skip


def test_a_layer_at_another_place() -> None:
    line = "  drop: {module: Dropout, p: 0.1}\n"
    later = NET.replace(line, "").replace("  fc:", f"{line}  fc:")
    found = compared(NET, later)
    assert ("drop", "drop", "moved+changed") in told(found)
    assert facts(found, "drop")["reads"] == ("act", "flat")
    assert not any(kind in ("added", "removed") for one in found.changes for kind in one.kinds)


def test_a_layer_more_and_one_less() -> None:
    more = NET.replace("  sum:", "  norm: BatchNorm2d\n  sum:").replace("conv2 +", "norm +")
    found = compared(NET, more)
    assert told(found) == [(None, "norm", "added")]
    assert found.keys.new == tuple(key for key in found.b.tensors if key.startswith("norm."))
    back = compared(more, NET)
    assert told(back) == [("norm", None, "removed")] and len(back.keys.unused) == 5
    assert not back.equal


BLOCK = """\
netspec: 1
inputs: {x: [N, 8]}
blocks:
  Part:
    layers:
      fc: {module: Linear, out_features: 8}
      out: =fc + x
layers:
  body: {block: Part, repeat: 3}
  head: {module: Linear, out_features: 4}
"""


def test_blocks_are_told_by_the_outermost() -> None:
    found = compared(BLOCK, BLOCK.replace("repeat: 3", "repeat: 5"))
    assert told(found) == [(None, "body.3", "added"), (None, "body.4", "added")]
    assert [one.inside for one in found.changes] == [2, 2]
    text = comparison_text(found, ("a", "b"))
    assert "+ body.3 … 4  Part × 2  144 parameters, 2 layers inside\n" in text
    assert "    body.3.*\n" in text
    found = compared(BLOCK, BLOCK.replace("body:", "trunk:").replace("  out:", "  sum:"))
    assert told(found)[0] == ("body", "trunk", "renamed")
    assert {one.kinds for one in found.changes[1:]} == {("renamed",)}
    assert found.keys.carried["trunk.2.fc.weight"] == "body.2.fc.weight"


def test_a_block_moved_into_another_one() -> None:
    inner = BLOCK.replace("  body: {block: Part, repeat: 3}\n", "")
    wrapped = inner.replace(
        "layers:\n  head",
        "layers:\n  net:\n    layers:\n      body: {block: Part, repeat: 3}\n  head",
    )
    found = compared(BLOCK, wrapped)
    assert told(found) == [(None, "net", "added"), ("body", "net.body", "moved")]
    assert not found.keys.new
    assert found.keys.carried["net.body.1.fc.bias"] == "body.1.fc.bias"


def test_what_could_be_several_is_not_guessed() -> None:
    before = "netspec: 1\ninputs: {x: [N, 8]}\nlayers:\n"
    line = "{module: Linear, out_features: 8}\n"
    found = compared(
        f"{before}  a: {line}  b: {line}  last: {{module: Linear, out_features: 2}}\n",
        f"{before}  c: {line}  last: {{module: Linear, out_features: 2}}\n",
    )
    assert set(found.keys.uncertain) == {"c.weight", "c.bias"}
    assert not found.keys.renamed and set(found.keys.unused) == {
        "a.weight", "a.bias", "b.weight", "b.bias",
    }  # fmt: skip
    # as many on both sides: each in its order
    found = compared(f"{before}  q: {line}  k: {line}", f"{before}  query: {line}  key: {line}")
    assert found.keys.renamed["key.weight"] == "k.weight" and not found.keys.uncertain


def test_a_numbered_layer_in_between() -> None:
    before = "netspec: 1\ninputs: {x: [N, 3, 8, 8]}\nlayers:\n"
    conv = "  - {module: Conv2d, out_channels: 4, kernel_size: 3}\n"
    rest = "  - {act: relu}\n  - {call: flatten, start_dim: 1}\n"
    rest += "  - {module: Linear, out_features: 2}\n"
    found = compared(before + conv + rest, before + conv + "  - BatchNorm2d\n" + rest)
    assert told(found)[0] == (None, "1", "added")
    assert found.keys.renamed == {"4.weight": "3.weight", "4.bias": "3.bias"}


def test_a_tie_that_comes_and_goes() -> None:
    plain = "netspec: 1\ninputs: {x: [N, 8]}\nlayers:\n  a: {module: Linear, out_features: 8}\n"
    plain += "  b: {module: Linear, out_features: 8}\n"
    tied = plain.replace("b: {module: Linear,", "b: {module: Linear, tie: {weight: a.weight},")
    found = compared(plain, tied)
    assert facts(found, "b") == {"tie weight": ("", "a.weight")}


def test_known_pairs() -> None:
    found = names("resnet18", "resnet34")
    assert {one.kinds for one in found.changes} == {("added",)} and len(found.changes) == 8
    assert len(found.keys.carried) == len(found.a.tensors) and not found.keys.renamed
    found = names("swin_t", "swin_v2_t")
    assert len(found.keys.carried) == 155 and len(found.keys.reshaped) == 18
    assert facts(found, "features.3.1") == {"is": ("Block", "BlockV2")}
    text = comparison_text(found, ("swin_t", "swin_v2_t"))
    assert len(text.splitlines()) < 90 and "BlockV2 × 16" in text


def test_two_edits_of_lenet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    one.write_text(LENET.replace("out_channels: 6", "out_channels: 8"), encoding="utf-8")
    other.write_text(LENET.replace("act: relu", "act: tanh", 1), encoding="utf-8")
    assert main(["diff", str(one), str(other), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    own = {one["b"]: one for one in found["changes"] if "changed" in one["kinds"]}
    assert set(own) == {"conv1", "act1"} and not found["equal"]
    assert own["conv1"]["figures_a"]["parameters"] == 208
    assert own["conv1"]["place_b"]["file"] == str(other)
    assert found["a"]["parameters"] > found["b"]["parameters"]
    assert main(["diff", str(one), str(one)]) == 0
    assert "the same network" in capsys.readouterr().out


def test_a_spec_and_what_is_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "lenet", "--set", "layers.conv1.out_channels=8"]) == 1
    text = capsys.readouterr().out
    assert "lenet, changed" in text and "~ conv1  Conv2d  out_channels 6 → 8" in text
    assert main(["diff", "char_gpt", "--arg", "vocab_size=65", "--arg", "context=8"]) == 0
    assert main(["diff", "lenet", "--fn", "gelu"]) == 1
    assert "nn.ReLU → nn.GELU" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lenet"], "name a second spec"),
        (["-", "-"], "standard input is one spec"),
        (["-", "--set", "name=A"], "standard input can be read once"),
        (["lenet", "lenet", "--checkpoint", "a"], "--checkpoint IN and --out OUT go together"),
        (["lenet", "lenet", "--out", "a"], "--checkpoint IN and --out OUT go together"),
        (["lenet", "lenet", "--out", "a", "--checkpoint", "b", "--json"], "leave --json"),
        (["lenet", "lenett"], "did you mean `lenet`"),
        (["lenet", "lenet", "--set", "layers.conv1.kernal_size=2"], "NS203"),
    ],
)
def test_wrong_use(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", *arguments]) == 2
    out, err = capsys.readouterr()
    assert message in err and not out


def test_it_fits_in_a_terminal() -> None:
    found = names("swin_t", "swin_v2_t")
    text = comparison_text(found, ("swin_t", "swin_v2_t"), Look(80))
    body = text.partition("\n\n")[2]
    assert max(columns(line) for line in body.splitlines()) <= 80
    coloured = comparison_text(names("lenet", "resnet18"), ("a", "b"), Look(80, colour=True))
    assert "\x1b[32m+ " in coloured and "\x1b[31m- " in coloured
    assert "\x1b" not in text


HOSTILE = "</script><img src=x onerror=alert(1)>\x1b[2J"


def test_nothing_of_a_spec_is_markup_or_a_command() -> None:
    after = NET.replace("start_dim: 1", f'start_dim: 1, doc: "{HOSTILE!r}"')
    found = compared(NET, after.replace("name: Net", "name: Other"))
    page = comparison_html(found, (HOSTILE, "b"))
    markup = read(page)
    assert "img" not in [tag for tag, _ in markup.tags]
    text = comparison_text(found, (HOSTILE, "b"))
    assert "\x1b" not in text


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_the_page_in_a_browser(tmp_path: Path) -> None:
    page = tmp_path / "both.html"
    more = NET.replace("  sum:", "  norm: BatchNorm2d\n  sum:").replace("conv2 +", "norm +")
    more = more.replace("p: 0.1", "p: 0.5").replace("fc:", "head:")
    page.write_text(comparison_html(compared(NET, more), ("a.yaml", "b.yaml")), encoding="utf-8")
    shown = in_browser(page)
    assert 'data-path="a.drop"' in shown and 'data-path="b.norm"' in shown
    assert shown.count('class="card changed"') == 2 and "card added" in shown
    assert "card renamed" in shown and "a.yaml → b.yaml" in shown
    chosen = in_browser(page, "#open=a,b&at=b.drop")
    assert "p: 0.1 → 0.5" in chosen and "a.drop on the other side" in chosen


def test_the_page_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "both.html"
    assert main(["diff", "lenet", "alexnet", "--html", str(page)]) == 1
    assert main(["diff", "lenet", "alexnet", "--html", str(page)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert shutil.which("sh") and page.stat().st_size > 10_000
