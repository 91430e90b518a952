"""`verify`: all forms of each network are equal, and what is not equal is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import netspec
from netspec.cli import main
from netspec.pipeline import compile_spec
from netspec.proof.verify import verification_text

MODELS = Path(__file__).parent.parent / "configs" / "model"
NAMES = sorted(path.stem for path in MODELS.glob("*.yaml"))
LARGE = {"alexnet", "resnet18", "resnet50", "unet"}
ARGS = {"char_gpt": {"vocab_size": 11, "context": 256}}
SMALL = """
netspec: 1
name: Small
inputs: {x: [N, 4]}
layers:
  fc: {module: Linear, out_features: 4}
  act: {act: relu}
"""

NOISY = """
netspec: 1
inputs: {x: [N, 4]}
layers:
  noise: =_ + rand_like(_)
  fc: {module: Linear, out_features: 4}
"""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in LARGE else []) for n in NAMES]
)
def test_all_forms_of_a_network_are_equal(name: str) -> None:
    found = netspec.verify(name, args=ARGS.get(name))
    assert found.equal, verification_text(found)
    assert found.forms == ("module", "functional", "inplace")
    assert {"train: gradients", "eval: outputs"} <= {row.question for row in found.rows}


@pytest.mark.parametrize("fn", ["gelu", "silu", "elu", "prelu", "rrelu", "softplus", "hardtanh"])
def test_all_forms_of_another_function_are_equal(fn: str) -> None:
    found = netspec.verify(netspec.loads(SMALL), fn=fn)
    assert found.equal, verification_text(found)


def test_a_form_that_computes_something_else_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = netspec.loads(SMALL)
    monkeypatch.setattr(nn.ReLU, "forward", lambda self, x: F.relu(x) + 1e-3)
    found = netspec.verify(spec, forms=["functional", "module"])
    wrong = {row.question for row in found.rows if row.answers["module"]}
    assert not found.equal and wrong == {"train: outputs", "eval: outputs"}
    assert "`output` differs by up to 0.001" in verification_text(found)
    assert not any(row.answers["functional"] for row in found.rows)


def test_a_form_that_changes_its_input_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(self: nn.Linear, x: Tensor) -> Tensor:
        with torch.no_grad():
            x.zero_()
        return F.linear(x, self.weight, self.bias)

    spec = netspec.loads(SMALL)
    monkeypatch.setattr(nn.Linear, "forward", forward)
    found = netspec.verify(spec, forms=["module"])
    wrong = [row for row in found.rows if row.answers["module"]]
    assert [row.question for row in wrong] == [
        "train: inputs as they were", "eval: inputs as they were",
    ]  # fmt: skip
    assert wrong[0].answers["module"] == "`x` is changed"


def test_an_evaluation_that_is_another_each_time_names_its_layer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = iter(range(100_000))

    def forward(self: nn.Tanh, x: Tensor) -> Tensor:
        return torch.tanh(x) + next(calls)

    monkeypatch.setattr(nn.Tanh, "forward", forward)
    spec = netspec.loads(NOISY.replace("=_ + rand_like(_)", "Tanh"))
    found = netspec.verify(spec, forms=["module"])
    wrong = {row.question: row.answers["module"] for row in found.rows if row.answers["module"]}
    assert wrong == {"eval: a second time": "`noise` (line 5) gives other values"}
    assert found.draws is None


def test_a_draw_in_eval_mode_is_no_mistake_and_is_told() -> None:
    """The vae of the zoo means it."""
    found = netspec.verify(netspec.loads(NOISY))
    assert found.equal and found.draws == "`noise` (line 5)"
    assert "`noise` (line 5) draws random numbers in eval mode" in verification_text(found)
    assert netspec.verify(netspec.loads(SMALL)).draws is None


def test_a_draw_in_training_only_is_not_told() -> None:
    spec = netspec.loads(NOISY.replace("=_ + rand_like(_)", "{module: Dropout, p: 0.5}"))
    found = netspec.verify(spec)
    assert found.equal and found.draws is None, verification_text(found)


def test_the_command_tells_by_its_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["verify", "lenet"]) == 0
    assert capsys.readouterr().out.startswith("LeNet: 44,426 parameters, at N = 2 and at N = 3\n")
    assert main(["verify", "lenet", "--json", "--fn", "elu"]) == 0
    assert json.loads(capsys.readouterr().out)["equal"] is True
    noisy = tmp_path / "noisy.yaml"
    noisy.write_text("netspec: 1\ninputs: {x: [N, 4]}\nlayers: {r: =x + rand_like(x)}\n")
    assert main(["verify", str(noisy)]) == 0
    assert "`r` (line 3) draws random numbers" in capsys.readouterr().out
    assert main(["verify", str(noisy), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["draws"] == "`r` (line 3)"
    with monkeypatch.context() as patched:
        patched.setattr(nn.ReLU, "forward", lambda self, x: F.relu(x) + 1e-3)
        assert main(["verify", "lenet"]) == 1
    capsys.readouterr()
    assert main(["verify", "no_such_spec"]) == 1
    assert main(["verify", "lenet", "--fn", "gellu"]) == 2
    assert "did you mean `gelu`" in capsys.readouterr().err


def test_show_tells_what_is_in_place_and_why_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "lenet", "--act", "inplace"]) == 0
    assert "in place: 4 of 4\n  act1  lenet.yaml:8   in place\n" in capsys.readouterr().out
    assert main(["show", "lenet", "--act", "inplace", "--fn", "relu6", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["in_place"]
    assert [row["path"] for row in told] == ["act1", "act2", "act3", "act4"]
    assert all("torch copies it first" in row["verdict"] for row in told)


def test_an_activation_gives_way_to_a_later_reader() -> None:
    spec = netspec.loads(
        "netspec: 1\n"
        "inputs: {x: [N, 4]}\n"
        "layers:\n"
        "  fc: {module: Linear, out_features: 4}\n"
        "  act: {act: relu}\n"
        "  sum: =fc + act\n"
    )
    compiled = compile_spec(spec, act="inplace")
    (decision,) = compiled.decisions
    assert decision.obstacle is not None and decision.obstacle.by is not None
    assert decision.obstacle.by.path == "sum"
    model = compiled.built.make()
    assert isinstance(model.act, nn.ReLU) and not model.act.inplace
