"""What holds for every spec of the zoo: its forms are equal, and torch's tools take its model.

The specs are made small (small.py); at their own sizes tests/test_zoo.py checks and builds them.
The other named specs have twins: tests/test_verify.py and test_features.py ask the same of them.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import netspec
from netspec import find
from netspec.proof.compare import first_difference, named_tensors
from netspec.proof.verify import verification_text
from tests.features import SPECS, in_one_line
from tests.twins.registry import TWINS
from tests.zoo.small import SMALL, Small, batch_dimensions, build, inputs

RECURRENT = {"lstm_lm", "seq2seq"}
DRAWING = {"vae"}  # in eval mode, too
BY_INDUCTOR = ("mlp", "gpt2", "llama", "convnext_tiny", "mobilenet_v3_small")
SEED = 5
SAMPLED = [pytest.mark.slow, pytest.mark.sampled]


def case(small: Small) -> object:
    return pytest.param(small, id=str(small), marks=[] if small.quick else SAMPLED)


each = pytest.mark.parametrize("small", [case(small) for small in SMALL])

each_that_is_compiled = pytest.mark.parametrize(
    "small", [case(small) for small in SMALL if small.spec not in RECURRENT]
)


def run(model: Callable[..., object], values: tuple[Tensor, ...]) -> dict[str, Tensor]:
    torch.manual_seed(SEED)
    return dict(named_tensors(model(*values), ""))


def test_every_named_spec_is_asked() -> None:
    zoo = {path.stem for path in (SPECS / "zoo").glob("*.yaml")}
    assert {small.spec for small in SMALL} == zoo
    assert set(find.spec_names()) - zoo == {twin.spec for twin in TWINS}


@each
def test_all_forms_are_equal(small: Small) -> None:
    found = netspec.verify(small.spec, **small.given)
    assert found.equal, verification_text(found)
    assert (found.draws is not None) == (small.spec in DRAWING)
    assert len(found.sizes) == 2


# torch.compile, torch.export


def compiled(model: nn.Module, values: tuple[Tensor, ...]) -> dict[str, Tensor]:
    torch._dynamo.reset()
    return run(torch.compile(model, fullgraph=True, backend="eager"), values)


@each_that_is_compiled
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_it_is_compiled_whole(small: Small, mode: str) -> None:
    model, values = build(small).train(mode == "train"), inputs(small, 2)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    ours = compiled(model, values)
    model.load_state_dict(before)
    assert first_difference(ours, run(model, values)) is None


@pytest.mark.parametrize("small", [case(small) for small in SMALL if small.spec in RECURRENT])
def test_dynamo_takes_no_recurrent_layer_whoever_wrote_it(small: Small) -> None:
    alone = nn.Sequential(nn.LSTM(4, 4))
    refused = torch._dynamo.exc.Unsupported
    with pytest.raises(refused) as ours:
        compiled(build(small), inputs(small, 2))
    with pytest.raises(refused) as theirs:
        compiled(alone, (torch.ones(2, 3, 4),))
    assert in_one_line(ours.value) == in_one_line(theirs.value)


@each
def test_it_is_exported_for_any_batch(small: Small) -> None:
    model, batch = build(small), torch.export.Dim("N")
    dimensions = tuple({place: batch} for place in batch_dimensions(small))
    exported = torch.export.export(model, inputs(small, 2), dynamic_shapes=dimensions)
    for count in (2, 5):
        values = inputs(small, count)
        assert first_difference(run(exported.module(), values), run(model, values)) is None


@pytest.mark.slow
@pytest.mark.parametrize("spec", BY_INDUCTOR)
@pytest.mark.filterwarnings("ignore")  # of inductor's own
def test_it_is_compiled_by_the_default_compiler(spec: str) -> None:
    small = next(small for small in SMALL if small.spec == spec)
    model, values = build(small), inputs(small, 2)
    torch._dynamo.reset()
    ours, expected = run(torch.compile(model, fullgraph=True), values), run(model, values)
    torch.testing.assert_close(ours, expected)


# to_python, in a process where there is no netspec

WORKER = """
import sys
from pathlib import Path

sys.modules["netspec"] = None  # any import of it fails

import torch

torch.set_num_threads(1)
for line in sys.stdin:
    folder = Path(line.strip())
    names = {"__name__": "exported"}
    exec(compile((folder / "model.py").read_text(encoding="utf-8"), "model.py", "exec"), names)
    given = torch.load(folder / "given.pt")
    model = names["build_model"]()
    model.load_state_dict(given["state"], strict=True)
    found = {}
    for mode in ("eval", "train"):
        torch.manual_seed(given["seed"])
        found[mode] = model.train(mode == "train")(*given["inputs"])
    torch.save(found, folder / "found.pt")
    print("done", flush=True)
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path], None]]:
    """A process without netspec, which runs `model.py` in a folder on what is `given.pt` there."""
    errors = tmp_path_factory.mktemp("worker") / "errors.txt"
    with (
        errors.open("w", encoding="utf-8") as log,
        subprocess.Popen(
            [sys.executable, "-I", "-c", WORKER],
            cwd=errors.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
        ) as process,
    ):  # fmt: skip

        def answer(folder: Path) -> None:
            assert process.stdin and process.stdout
            process.stdin.write(f"{folder}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n", errors.read_text(encoding="utf-8")

        yield answer


@each
def test_its_source_runs_alone(
    small: Small, elsewhere: Callable[[Path], None], tmp_path: Path
) -> None:
    model, values = build(small), inputs(small, 2)
    source = netspec.to_python(small.spec, **small.given)
    (tmp_path / "model.py").write_text(source, encoding="utf-8")
    given = {"state": model.state_dict(), "inputs": values, "seed": SEED}
    torch.save(given, tmp_path / "given.pt")
    elsewhere(tmp_path)
    (tmp_path / "given.pt").unlink()  # hundreds of megabytes
    found = torch.load(tmp_path / "found.pt")
    for mode in ("eval", "train"):
        ours = dict(named_tensors(found[mode], ""))
        model.train(mode == "train")
        assert first_difference(ours, run(model, values)) is None, mode
