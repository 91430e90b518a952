"""The worked plugin: all that it registers, in one spec, in all forms, and a step of training."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

import netspec
from netspec.cli import main
from netspec.proof.verify import verification_text

WORKED = Path(__file__).parent / "worked"
PLUGINS = ["worked_layers"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the plugin, the library that it needs, and the spec."""
    for file in WORKED.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_the_plugin() -> None:
    (found,) = netspec.check("./segment.yaml")
    assert (found.code, found.span.line) == ("NS219", 4)


def test_verify(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "segment.yaml", "--plugin", *PLUGINS]) == 0
    assert "registered layers               equal   equal       equal" in capsys.readouterr().out
    found = netspec.verify("./segment.yaml", args={"num_classes": 5}, plugins=PLUGINS)
    assert found.equal, verification_text(found)


@pytest.mark.parametrize("form", ["module", "functional", "inplace"])
def test_a_step_of_training(form: str) -> None:
    model = netspec.build("./segment.yaml", act=form, seed=0, plugins=PLUGINS)
    assert not hasattr(model, "act") or type(model.act).__name__ == "Squash"
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(4, 3, 32, 32, generator=generator)
    target = torch.randint(0, 3, (4, 16, 16), generator=generator)
    losses = []
    for _ in range(5):
        loss = nn.functional.cross_entropy(model(image), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    same = [name for name, value in model.state_dict().items() if torch.equal(value, before[name])]
    assert same == []


def test_the_three_forms_train_alike() -> None:
    image = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    found = []
    for form in ("module", "functional", "inplace"):
        model = netspec.build("./segment.yaml", act=form, seed=0, plugins=PLUGINS)
        model(image).square().mean().backward()
        gradients = {name: p.grad for name, p in model.named_parameters()}
        found.append((gradients, dict(model.named_buffers())))
    for gradients, buffers in found[1:]:
        for ours, theirs in ((gradients, found[0][0]), (buffers, found[0][1])):
            assert list(ours) == list(theirs)
            assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_what_is_inferred_and_where_it_is_in_place() -> None:
    model = netspec.build("./segment.yaml", act="inplace", plugins=PLUGINS)
    assert model.scale.size.shape == (32,) and model.low.in_channels == 32
    assert model.high.in_channels == 8
    assert model.act.inplace is True
    assert [k for k in model.state_dict() if k.startswith("backbone.net.stages.0.0")] == [
        "backbone.net.stages.0.0.weight"
    ]


def test_source() -> None:
    source = netspec.to_python("./segment.yaml", plugins=PLUGINS)
    imported = "from worked_layers import Backbone, RunningScale, Squash, clamp_through, squash\n"
    assert imported in source


def test_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("check", "show", "export"):
        assert main([command, "segment.yaml", "--plugin", *PLUGINS]) == 0
    assert main(["list", "--plugin", *PLUGINS]) == 0
    shown = capsys.readouterr().out
    assert "worked/Backbone" in shown and 'kind="tiny", [in_channels]' in shown


def test_an_option_of_the_backbone_that_is_none() -> None:
    found = netspec.check(
        "./segment.yaml", overrides=["layers.backbone.kind=large"], plugins=PLUGINS
    )
    assert [each.code for each in found] == ["NS205"]
    assert '"large", and one of `tiny`, `small`' in found[0].fact
