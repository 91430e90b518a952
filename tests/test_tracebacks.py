"""Where a built model fails, stops or is measured, the spec's own file and line are shown."""

from __future__ import annotations

import bdb
import os
import pickle
import re
import shutil
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from unittest import mock

import pytest
import torch
from torch import nn

import netspec
from tests.twins.registry import TWINS, Twin

SPECS = Path(__file__).parents[1] / "configs" / "model"
FORMS = pytest.mark.parametrize("form", ["module", "functional"])
TEXT = """\
netspec: 1
name: Halves
inputs: {x: [N, 4]}
layers:
  fc: {module: Linear, out_features: 4}
  both: {call: chunk, chunks: 2, dim: 1}
outputs: both
"""


def too_large() -> torch.Tensor:
    """Digits of 32×32 in the place of 28×28: LeNet's convolutions take them, `fc1` does not."""
    return torch.randn(2, 1, 32, 32)


def line_of(file: Path, start: str) -> tuple[int, str]:
    """The number of the first line that begins like this, indentation aside, and its text."""
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip().startswith(start):
            return number, line.strip()
    raise AssertionError(f"{file} has no line that starts with {start}")


def spec_frames(call: Callable[[], object]) -> list[traceback.FrameSummary]:
    """The frames of the error that this call raises which stand in no Python file."""
    with pytest.raises(Exception) as caught:  # noqa: PT011
        call()
    return [
        frame for frame in traceback.extract_tb(caught.tb) if not frame.filename.endswith(".py")
    ]


def as_shown(file: Path, start: str, function: str = "forward") -> str:
    number, text = line_of(file, start)
    return f'  File "{file}", line {number}, in {function}\n    {text}\n'


# Errors in forward


@FORMS
def test_error_in_forward(form: str) -> None:
    model = netspec.build(SPECS / "lenet.yaml", act=form)
    with pytest.raises(RuntimeError):
        model(too_large())
    try:
        model(too_large())
    except RuntimeError:
        printed = traceback.format_exc()
    assert as_shown(SPECS / "lenet.yaml", "fc1:") in printed


@FORMS
def test_error_that_ends_a_program(form: str) -> None:
    program = f"""
        import torch, netspec
        model = netspec.build({str(SPECS / "lenet.yaml")!r}, act={form!r})
        model(torch.randn(2, 1, 32, 32))
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 1
    assert as_shown(SPECS / "lenet.yaml", "fc1:") in finished.stderr


def test_error_in_an_included_block() -> None:
    model = netspec.build(SPECS / "resnet18.yaml")
    model.layer2[1].conv2 = nn.Conv2d(3, 128, 3)
    frames = spec_frames(lambda: model(torch.randn(1, 3, 64, 64)))
    blocks = SPECS / "blocks" / "resnet.yaml"
    assert [(frame.filename, frame.lineno, frame.line) for frame in frames] == [
        (str(SPECS / "resnet18.yaml"), *line_of(SPECS / "resnet18.yaml", "layer2:")),
        (str(blocks), *line_of(blocks, "conv2:")),
    ]


def test_error_in_a_part() -> None:
    model = netspec.build(SPECS / "part.yaml")
    frames = spec_frames(lambda: model(too_large()))
    assert [(frame.filename, frame.lineno, frame.line) for frame in frames] == [
        (str(SPECS / "part.yaml"), *line_of(SPECS / "part.yaml", "lenet:")),
        (str(SPECS / "lenet.yaml"), *line_of(SPECS / "lenet.yaml", "fc1:")),
    ]


def test_error_where_the_output_is_unpacked() -> None:
    """A call, too, stands on its own line: here of a function of torch, with a bad input."""
    model = netspec.build(netspec.loads(TEXT))
    model.fc = nn.Flatten(0)
    (frame,) = spec_frames(lambda: model(torch.randn(2, 4)))
    assert frame.lineno == 6 and frame.line == "both: {call: chunk, chunks: 2, dim: 1}"


def test_error_in_a_text() -> None:
    """Each text keeps its own lines, also after another one was built."""
    first = netspec.build(netspec.loads(TEXT))
    second = netspec.build(netspec.loads(f"# moved down by a line\n{TEXT}"))
    for model, line in ((first, 5), (second, 6)):
        (frame,) = spec_frames(lambda model=model: model(torch.randn(2, 5)))
        assert frame.filename.startswith("<string")
        assert (frame.lineno, frame.line) == (line, "fc: {module: Linear, out_features: 4}")


def test_a_text_says_nothing_about_other_code_without_a_file() -> None:
    """`<string>` is also how Python calls code of `exec` and `python -c`."""
    netspec.build(netspec.loads(TEXT))
    (frame,) = spec_frames(lambda: exec("\n\n\n\n1 / 0"))
    assert frame.filename == "<string>" and frame.line == ""


def test_error_in_a_mapping() -> None:
    """A mapping has no lines, and the error is still torch's own."""
    fc = {"module": "Linear", "out_features": 4}
    spec = {"netspec": 1, "inputs": {"x": ["N", 4]}, "layers": {"fc": fc, "s": "=fc + x"}}
    model = netspec.build(spec)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        model(torch.randn(2, 5))
    frames = spec_frames(lambda: model(torch.randn(2, 5)))
    assert [frame.filename[:8] for frame in frames] == ["<mapping"]


def test_error_after_the_folder_was_changed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(SPECS.parent)
    model = netspec.build(os.path.join("model", "lenet.yaml"))
    monkeypatch.chdir(tmp_path)
    (frame,) = spec_frames(lambda: model(too_large()))
    assert (frame.lineno, frame.line) == line_of(SPECS / "lenet.yaml", "fc1:")


def test_the_text_is_shown_where_the_file_is_gone(tmp_path: Path) -> None:
    specs = shutil.copytree(SPECS, tmp_path / "specs")
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(netspec.build(specs / "lenet.yaml")))
    shutil.rmtree(specs)
    program = f"""
        import pickle, torch, traceback
        model = pickle.load(open({str(tmp_path / "model.pickle")!r}, "rb"))
        try:
            model(torch.randn(2, 1, 32, 32))
        except RuntimeError:
            print(traceback.format_exc())
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    number, text = line_of(SPECS / "lenet.yaml", "fc1:")
    file = specs / "lenet.yaml"
    assert f'File "{file}", line {number}, in forward\n    {text}\n' in finished.stdout


# Every call in every network


@pytest.mark.parametrize(
    ("twin", "form"),
    [
        pytest.param(twin, form, id=f"{twin}-{form}", marks=[pytest.mark.slow] if twin.slow else [])
        for twin in TWINS
        for form in twin.forms
    ],
)
def test_every_module_is_called_from_its_own_line(twin: Twin, form: str) -> None:
    """The line that calls `layer1.0.conv2` names `conv2` or one of the parts that it lies in.

    An item of a list has no name: its line begins with a dash. Copies may have names that an
    expression makes: `name: "=f'layer{k + 1}'"`.
    """
    model = netspec.build(SPECS / f"{twin.spec}.yaml", args=dict(twin.args), act=form)
    misplaced = []
    for path, module in model.named_modules():
        if path:
            module.register_forward_pre_hook(
                lambda module, args, path=path: misplaced.extend(check_caller(path))
            )
    with torch.no_grad():
        model(*twin.inputs(2))
    assert misplaced == []


def check_caller(path: str) -> Iterator[str]:
    frame: FrameType | None = sys._getframe()
    while frame is not None and not frame.f_code.co_filename.endswith(".yaml"):
        frame = frame.f_back
    if frame is None:  # called by a Sequential of torch's
        return
    lines = Path(frame.f_code.co_filename).read_text(encoding="utf-8").splitlines()
    line = lines[frame.f_lineno - 1].strip()
    names = [part for part in path.split(".") if not part.isdigit()]
    made = re.findall(r"name: \"=f'(\w+)\{", "\n".join(lines[frame.f_lineno - 1 :][:3]))
    named = any(re.search(rf"\b{name}\b", line) for name in names)
    if not line.startswith("- ") and not named and not any(n.startswith((*made,)) for n in names):
        yield f"{path} is called from line {frame.f_lineno}, `{line}`"


# Errors in __init__


def test_error_in_init() -> None:
    file = SPECS / "lenet.yaml"
    netspec.build(file)
    with mock.patch.object(nn.Linear, "reset_parameters", side_effect=RuntimeError("planted")):
        frames = spec_frames(lambda: netspec.build(file))
    last = frames[-1]
    assert (last.filename, last.name) == (str(file), "__init__")
    assert (last.lineno, last.line) == line_of(file, "fc1:")


def test_error_in_the_init_of_a_block_in_a_block() -> None:
    file = SPECS / "gpt.yaml"
    netspec.build(file)
    with mock.patch.object(nn.Linear, "reset_parameters", side_effect=RuntimeError("planted")):
        frames = spec_frames(lambda: netspec.build(file))
    inits = [(frame.lineno, frame.line) for frame in frames if frame.name == "__init__"]
    assert inits == [line_of(file, start) for start in ("h:", "attn: {block", "qkv:")]


def test_error_in_a_rule_of_initialisation() -> None:
    text = f"{TEXT}init:\n  Linear.weight: ones_\n  Linear.bias: {{constant_: {{val: 0.5}}}}\n"
    spec = netspec.loads(text)
    netspec.build(spec)
    with mock.patch("torch.nn.init.constant_", side_effect=RuntimeError("planted")):
        frames = spec_frames(lambda: netspec.build(spec))
    assert (frames[-1].lineno, frames[-1].name) == (10, "__init__")
    assert frames[-1].line == "Linear.bias: {constant_: {val: 0.5}}"


# Tools that read file and line off the code


@FORMS
def test_exported_graph(form: str) -> None:
    file = SPECS / "residual.yaml"
    model = netspec.build(file, act=form).eval()
    graph = torch.export.export(model, (torch.randn(2, 8, 16, 16),)).graph
    traces = {str(node.target): f"  {node.stack_trace}\n" for node in graph.nodes}
    assert as_shown(file, "sum:") in traces["aten.add.Tensor"]
    assert as_shown(file, "act2:") in traces["aten.relu.default"]
    assert as_shown(file, "shortcut:") in traces["aten.conv2d.default"]


def test_profile() -> None:
    file = SPECS / "lenet.yaml"
    model, x = netspec.build(file, act="functional"), torch.randn(2, 1, 28, 28)
    detailed = torch._C._profiler._ExperimentalConfig(verbose=True)
    with torch.profiler.profile(with_stack=True, experimental_config=detailed) as profile:
        model(x)
    stack = next(event.stack for event in profile.events() if event.name == "aten::conv2d")
    assert any("lenet.yaml(1): forward" in frame for frame in stack)


def test_breakpoint() -> None:
    file = SPECS / "lenet.yaml"
    number, _ = line_of(file, "fc1:")
    model, stops = netspec.build(file), []

    class Debugger(bdb.Bdb):
        def user_line(self, frame: FrameType) -> None:
            if frame.f_code.co_filename == str(file):
                stops.append((frame.f_lineno, tuple(frame.f_locals["x"].shape)))
            self.set_continue()

    debugger = Debugger()
    assert debugger.set_break(str(file), number) is None
    debugger.runcall(model, torch.randn(2, 1, 28, 28))
    assert stops == [(number, (2, 256))]
