"""Of what torch has no gradient: what raises in `forward` is refused, and what would only raise in
`backward` is a note."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

import netspec
from netspec.api import loads
from netspec.cli import main

_HEAD = "netspec: 1\nname: Net\ninputs: {x: [N, 8], t: {shape: [N], dtype: int64}}\nlayers:\n"
_TRAINED = "  w: {param: [8], init: ones_}\n"
_READS = "  r: =x + w + t.view(-1, 1)\n"

RAISES = {
    "statistics": ("=batch_norm(x, w.abs(), w.abs())", "running_mean"),
    "statistics of a layer": ("=batch_norm(r, r.mean(0), r.var(0))", "running_mean"),
    "weight of classes": ("=cross_entropy(x, t, weight=w)", "weight"),
    "weight of classes, nll": ("=nll_loss(x, t, weight=w)", "weight"),
    "weight of a margin": ("=multi_margin_loss(x, t, weight=w)", "weight"),
    "weight of elements": ("=binary_cross_entropy(x.sigmoid(), x.sigmoid(), weight=w)", "weight"),
    "pos_weight": ("=binary_cross_entropy_with_logits(x, x, pos_weight=w)", "pos_weight"),
    "scale": (
        "=fake_quantize_per_channel_affine(x, w, zeros(8, dtype=int32), 1, 0, 255)",
        "scale",
    ),
    "target of a module": ("{module: SoftMarginLoss, from: [x, w + x]}", "target"),
}


def _net(layer: str, trained: str = _TRAINED) -> str:
    layer = layer.replace("w + x", '"=w + x"') if layer.startswith("{") else f"'{layer}'"
    return f"{_HEAD}{trained}{_READS}  y: {layer}\noutputs: [y, r]\n"


def _forward(text: str) -> Sequence[object]:
    model = netspec.build(loads(text))
    found = model(torch.rand(2, 8), torch.zeros(2, dtype=torch.int64))
    assert isinstance(found, tuple)
    return found


@pytest.mark.parametrize("name", RAISES)
def test_what_torch_refuses_of_a_parameter_is_refused_at_its_layer(name: str) -> None:
    layer, argument = RAISES[name]
    (found,) = netspec.check(loads(_net(layer)))
    assert found.code == "NS301" and found.span.line == 7
    assert found.fact == f"`y` raises in `forward`: torch has no gradient for its `{argument}`"


@pytest.mark.parametrize("name", [n for n, (layer, _) in RAISES.items() if "w" in layer[9:]])
def test_what_is_frozen_or_a_buffer_runs(name: str) -> None:
    layer, _ = RAISES[name]
    if "r.mean" in layer:
        pytest.skip("it is given what a trained layer gives")
    for other in ("  w: {param: [8], init: ones_, freeze: true}\n", "  w: {buffer: =ones(8)}\n"):
        _forward(_net(layer, other))


def test_what_is_detached_runs() -> None:
    _forward(_net("=cross_entropy(x, t, weight=w.detach())"))


def test_a_derivative_for_one_argument_only_is_a_note() -> None:
    text = _net("=igamma(w, x)")
    assert netspec.check(loads(text)) == ()
    assert netspec.notes(loads(text)) == (
        "`y` (<string>:7) has no derivative: `backward` through it raises",
    )
    with pytest.raises(RuntimeError, match="derivative"):
        _forward(text)[0].sum().backward()  # type: ignore[attr-defined]
    assert netspec.notes(loads(_net("=igamma(x.abs() + 1, w)"))) == ()


def test_python_has_the_notes_of_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "net.yaml"
    file.write_text(_net("=r // 2"))
    (note,) = netspec.notes(file)
    assert main(["check", str(file)]) == 0
    assert f"note: {note}\n" in capsys.readouterr().out


def test_programs_are_told_of_notes_and_where_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "net.yaml"
    file.write_text(_net("=r // 2"))
    (text,) = netspec.notes(file)
    line = next(n for n, line in enumerate(_net("=r // 2").splitlines(), 1) if "  y: " in line)
    assert main(["check", "--json", str(file)]) == 0
    (note,) = json.loads(capsys.readouterr().out)
    assert (note["file"], note["line"]) == (str(file), line)
    assert (note["column"], note["endColumn"]) == (3, 4)
    assert (note["message"], note["severity"], note["code"]) == (text, "note", None)
    assert main(["check", "--sarif", str(file)]) == 0
    (result,) = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    assert (result["level"], result["message"]["text"], "ruleId" in result) == ("note", text, False)
    region = result["locations"][0]["physicalLocation"]["region"]
    assert (region["startLine"], region["startColumn"]) == (line, 3)


_IMAGES = """\
netspec: 1
name: Net
inputs: {x: [N, %s]}
layers:
  conv: {module: Conv2d, %sout_channels: 8, kernel_size: 1}
"""


@pytest.mark.parametrize(
    ("shape", "given", "told"),
    [
        ("224, 224, 3", "", True),
        ("32, W, 1", "", True),
        ("224, 224, 3", "in_channels: 224, ", False),
        ("3, 224, 224", "", False),
        ("64, 32, 32", "", False),
        ("4, 4, 3", "", False),
    ],
)
def test_images_that_look_channels_last_are_a_note(shape: str, given: str, told: bool) -> None:
    text = _IMAGES % (shape, given)
    assert netspec.check(loads(text)) == ()
    notes = netspec.notes(loads(text))
    assert len(notes) == told and all("`conv` (<string>:5) takes `x` as" in n for n in notes)


def test_check_asks_for_a_dtype(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "net.yaml"
    file.write_text(_net("=matmul(x, zeros(8, 4))"))
    assert main(["check", str(file)]) == 0
    assert main(["check", str(file), "--dtype", "bfloat16"]) == 1
    assert "`y` does not run in bfloat16" in capsys.readouterr().out
    assert main(["check", str(file), "--dtype", "bf16"]) == 2
    told = capsys.readouterr().err
    assert "from --dtype bf16" in told and "did you mean `bfloat16`?" in told
