"""Every batch of a run is asked of the model before the first step."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from PIL import Image

from netspec.cli import main
from netspec.errors import RunError
from netspec.run.command import compose, config_folders
from netspec.run.data.batches import Batches, batch_sizes
from netspec.run.overrides import for_hydra
from netspec.run.preflight import Prepared, prepare
from netspec.run.settings import read_settings
from tests.run.running import metrics, small

COUNTS = st.integers(1, 70)


class Numbers:
    """Examples that are their own numbers."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: torch.Tensor) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        return (indices,), indices

    def fingerprint(self) -> str:
        return str(self.count)


@settings(max_examples=150, deadline=None)
@given(
    count=COUNTS, size=COUNTS, world=st.integers(1, 4), training=st.booleans(), drop=st.booleans()
)
def test_the_sizes_are_those_that_processes_get(
    count: int, size: int, world: int, training: bool, drop: bool
) -> None:
    given_sizes = set()
    for rank in range(world):
        batches = Batches(
            Numbers(count), size, shuffle=training, seed=0, rank=rank, world=world,
            drop_last=drop, training=training,
        )  # fmt: skip
        found = [len(target) for _, target in batches]
        assert len(found) == len(batches)
        given_sizes.update(found)
    assert set(batch_sizes(count, size, world, training, drop)) == given_sizes


def prepared(*overrides: str) -> Prepared:
    typed = [for_hydra(text) for text in ("device=cpu", *overrides)]
    with config_folders("train") as (folder, _):
        config = compose(folder, "train", typed)
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    return prepare(read_settings(own, typed), typed)


def refused(*overrides: str) -> str:
    with pytest.raises(RunError) as caught:
        prepared(*overrides)
    return str(caught.value)


HEAD = "netspec: 1\nname: Net\nargs: {num_classes: null}\n"
IMAGES = HEAD + "inputs: {x: [N, 1, 28, 28]}\nlayers:\n"
OUT = "  out: {module: Linear, out_features: =num_classes}\n"
FLAT = "  flat: {call: flatten, start_dim: 1}\n"
POOL = "  conv: {module: Conv2d, out_channels: 4, kernel_size: 3}\n"
POOL += "  pool: {call: adaptive_avg_pool2d, output_size: 1}\n"
FUNCTION = "{call: batch_norm, running_mean: null, running_var: null, training: true}"
BLOCK = "blocks:\n  B:\n    layers:\n    "
RANK = "=_.flatten(0) if len(_) == 1 else _.flatten(1)"  # what `squeeze` is told of in a check
SPECS = {
    "norm in a chain": f"{IMAGES}  flat: Flatten\n  bn: BatchNorm1d\n{OUT}",
    "norm in a forward": f"{IMAGES}{FLAT}  bn: BatchNorm1d\n{OUT}",
    "norm as a function": f"{IMAGES}{FLAT}  bn: {FUNCTION}\n{OUT}",
    "another rank": f'{IMAGES}{POOL}  bn: "{RANK}"\n{OUT}',
    "norm in a block": (
        f"{HEAD}inputs: {{x: [N, 1, 28, 28]}}\n{BLOCK}{FLAT}      bn: BatchNorm1d\n"
        f"layers:\n  b: {{block: B}}\n{OUT}"
    ),
}


@pytest.fixture(params=SPECS)
def model(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return small(tmp_path, SPECS[request.param])


def test_a_last_batch_of_one_is_told_at_its_layer(model: str) -> None:
    said = refused(model, "data.limit=129", "data.batch_size=64")
    assert "error[NS603]: the last batch of training has 1 example" in said, said
    assert "bn: " in said.splitlines()[3], said
    assert "data.drop_last=true leaves it out" in said and "data.batch_size=65" in said


@pytest.mark.parametrize("mend", ["data.drop_last=true", "data.batch_size=65"])
def test_the_mends_mend(model: str, mend: str) -> None:
    assert prepared(model, "data.limit=129", "data.batch_size=64", mend)


def test_a_batch_size_of_one_is_no_last_batch(tmp_path: Path) -> None:
    model = small(tmp_path, SPECS["norm in a forward"])
    said = refused(model, "data.limit=20", "data.batch_size=1")
    assert "a batch of training has 1 example, and the model does not run on it" in said
    assert "drop_last" not in said and "data.batch_size=2" in said


@pytest.mark.parametrize("split", ["validation", "test"])
def test_evaluation_is_asked_in_its_own_mode(tmp_path: Path, split: str) -> None:
    """Batch norm has its statistics there; another rank is one in any mode."""
    sizes = ["data.limit=128", "data.eval_batch_size=127"]
    sizes += ["data.validation=0"] if split == "test" else []
    assert prepared(small(tmp_path, SPECS["norm in a forward"]), *sizes)
    said = refused(small(tmp_path, SPECS["another rank"]), *sizes)
    assert f"the last batch of the {split} split has 1 example, and `flatten` takes" in said, said
    assert "data.eval_batch_size=128" in said and "drop_last" not in said


def test_a_process_may_get_a_share_of_one(tmp_path: Path) -> None:
    model = small(tmp_path, SPECS["norm in a forward"])
    kind = [model, "data.limit=130", "data.batch_size=64"]
    assert prepared(*kind)
    said = refused(*kind, "trainer=ddp", "trainer.devices=2")
    assert "a process's share of the last batch of training has 1 example" in said, said
    assert prepared(*kind, "trainer=ddp", "trainer.devices=2", "data.drop_last=true")


def kinds(folder: Path) -> dict[str, list[str]]:
    """Overrides that give 9 examples to train on, of every kind of data that a test can write."""
    rows = "".join(f"{n},{n % 3},{'ab'[n % 2]}\n" for n in range(9))
    (folder / "t.csv").write_text(f"x,y,kind\n{rows}")
    numpy.savez(folder / "a.npz", x=numpy.ones((9, 2), "float32"), y=numpy.arange(9) % 2)
    for number in range(9):
        path = folder / "images" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 1), number).save(path)
    none = ["data.validation=0", "data.batch_size=8"]
    image = [f"data.root={folder / 'images'}", "data.channels=1", "data.in_memory=false"]
    return {
        "csv": [f"data.root={folder / 't.csv'}", "data.test=0", *none],
        "npz": [f"data.root={folder / 'a.npz'}", "data.test=0", *none],
        "image_folder": [*image, "data.test=0", *none],
        "random": ["data.train=9", "data.test=0", *none, "model.args.num_classes=2"],
    }


@pytest.mark.parametrize("kind", ["csv", "npz", "image_folder", "random"])
def test_every_kind_of_data(tmp_path: Path, kind: str) -> None:
    inputs = "{x: [N, 1, 1, 2]}" if kind == "image_folder" else "{x: [N, 2]}"
    layers = "  flat: {call: flatten, start_dim: 1}\n  bn: BatchNorm1d\n"
    model = small(tmp_path, f"{HEAD}inputs: {inputs}\nlayers:\n{layers}{OUT}")
    overrides = [model, f"data={kind}", *kinds(tmp_path)[kind]]
    assert "the last batch of training has 1 example" in refused(*overrides)
    assert prepared(*overrides, "data.drop_last=true")


def test_text(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("abcdefgh" * 9)
    layers = "  e: {module: Embedding, num_embeddings: =vocab_size, embedding_dim: 4}\n"
    rank = "_.flatten(0, 1) if len(_) == 1 else _"
    layers += f'  s: "={rank}"\n'
    layers += "  out: {module: Linear, out_features: =vocab_size}\n"
    head = "netspec: 1\nname: T\nargs: {vocab_size: null}\n"
    model = small(
        tmp_path, f"{head}inputs: {{x: {{shape: [N, 8], dtype: int64}}}}\nlayers:\n{layers}"
    )
    data = ["data=text", f"data.path={tmp_path / 't.txt'}", "data.context=8", "data.validation=0"]
    said = refused(model, *data, "data.limit=9", "data.batch_size=8")
    assert "the last batch of training has 1 example, and `flatten` takes" in said, said
    assert prepared(model, *data, "data.limit=9", "data.batch_size=8", "data.drop_last=true")


def test_drop_last_that_leaves_nothing(tmp_path: Path) -> None:
    said = refused(small(tmp_path), "data.limit=20", "data.batch_size=64", "data.drop_last=true")
    assert "error[NS605]: no batch is left to train on: 20 examples make none of 64" in said


def test_a_run_that_drops_the_last_batch(tmp_path: Path) -> None:
    """Each epoch has 2 steps of 64, and each example is seen by validation and test."""
    run = tmp_path / "run"
    kind = ["data.limit=129", "data.batch_size=64", "data.drop_last=true", "trainer.max_epochs=2"]
    assert main(["train", small(tmp_path), "device=cpu", "threads=1", *kind, f"folder={run}"]) == 0
    assert metrics(run)["last"]["step"] == 4


def test_the_places_of_sweeps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = small(tmp_path, SPECS["norm in a forward"])
    points = ["data.limit=128,129", "data.batch_size=64,65", f"folder={tmp_path / 'run'}"]
    assert main(["train", "-m", model, "device=cpu", *points]) == 1
    said = capsys.readouterr().err
    assert "in point 2 of 4: data.limit=129 data.batch_size=64" in said, said
    assert said.count("error[") == 1 and not (tmp_path / "run" / "0").exists()


def test_a_metric_that_needs_more_examples_than_a_split_has(tmp_path: Path) -> None:
    """torchmetrics raises it at the end of the first epoch."""
    rows = "".join(f"{n},{n * n / 7}\n" for n in range(20))
    (tmp_path / "t.csv").write_text(f"x,y\n{rows}")
    layers = "inputs: {x: [N, 1]}\nlayers:\n  out: {module: Linear, out_features: 1}\n"
    model = small(tmp_path, f"netspec: 1\nname: Net\n{layers}")
    data = ["data=csv", f"data.root={tmp_path / 't.csv'}", "data.task=regression", "data.test=0"]
    said = refused(model, *data, "data.validation=1")
    assert "error[NS702]: `r2` needs 2 examples, and the validation split has 1" in said
    assert "metrics=[mae,mse]" in said
    assert prepared(model, *data, "data.validation=1", "metrics=[mae]")
    assert prepared(model, *data, "data.validation=2")


def test_metrics_that_count_pairs_of_too_many_classes(tmp_path: Path) -> None:
    layers = "inputs: {x: [N, 1]}\nlayers:\n  out: {module: Linear, out_features: 100000}\n"
    model = small(tmp_path, f"netspec: 1\nname: Net\n{layers}")
    assert prepared(model, "data=random")
    said = refused(model, "data=random", "metrics=[f1]")
    assert "error[NS702]: `f1` counts pairs of classes, and of 100,000 there are too many" in said


STATED = (
    "netspec: 1\nname: Net\nargs: {num_classes: null}\ninputs:\n  x:\n    shape: [N, 1, H, W]\n"
)
STATED += '    where: ["=WHAT"]\nlayers:\n  f: {call: adaptive_avg_pool2d, output_size: 2}\n'
STATED += f"  g: {{call: flatten, start_dim: 1}}\n{OUT}"


def test_data_of_sizes_that_the_spec_does_not_state(tmp_path: Path) -> None:
    said = refused(small(tmp_path, STATED.replace("WHAT", "H % 32 == 0")), "data.limit=64")
    assert "the spec takes sizes with `H % 32 == 0` only" in said and "H = 28, W = 28" in said, said
    assert "small.yaml:7:13" in said, said
    assert "H = 32 would do: data.size=[32,28] resizes the images of a folder" in said
    assert prepared(small(tmp_path, STATED.replace("WHAT", "H % 28 == 0")), "data.limit=64")


def test_batches_of_a_size_that_the_spec_does_not_state(tmp_path: Path) -> None:
    model = small(tmp_path, STATED.replace("WHAT", "N % 8 == 0"))
    sizes = ["data.limit=132", "data.batch_size=64", "data.validation=0", "data.eval_batch_size=8"]
    said = refused(model, *sizes)
    assert "the last batch of training has 4 examples, and the spec takes sizes with" in said, said
    assert "`N % 8 == 0` only" in said and "data.drop_last=true leaves it out" in said
    evaluated = refused(model, *sizes, "data.drop_last=true", "data.eval_batch_size=12")
    assert "a batch of the test split has 12 examples" in evaluated, evaluated
