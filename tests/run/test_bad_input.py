"""All that a user can get wrong with a run, and what is said of it, text by text.

`cases/NS702_NAME.txt` has commands after `$ `, each with its whole output; the last one fails. They
run in a folder that has what `world` makes. `python -m tests.run.test_bad_input --update` writes
the outputs anew; look at what changed before a commit.
"""

from __future__ import annotations

import gzip
import os
import random
import re
import shutil
import string
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from netspec.errors import RunError
from netspec.run.checkpoint import load_checkpoint
from netspec.run.folder import read_metrics
from netspec.run.processes import Workers
from netspec.run.settings import Settings, TrainerSettings
from tests.run.console import arguments_of, played, run

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent / "cases"
LOST = FOLDER / "NS710_a_process_ended.txt"  # no command can show it on one machine every time
CASES = sorted(case for case in FOLDER.glob("*.txt") if case != LOST)
DIGITS = ROOT / "netspec" / "run" / "data" / "files" / "mnist5k"
NAMES = [
    f"{split}-{what}-ubyte"
    for split in ("train", "t10k")
    for what in ("images-idx3", "labels-idx1")
]
HALF = """\
netspec: 1
name: Half
inputs: {x: {shape: [N, 1, 28, 28], dtype: float16}}
layers:
  flat: {call: flatten, start_dim: 1}
  fc: {module: Linear, out_features: 10, dtype: float16}
"""
SHORT = "device=cpu trainer.max_epochs=1 data.limit=200"


def digits(folder: Path, **changed: bytes | None) -> None:
    """A copy of mnist5k, not packed, in which some files are others, or missing."""
    folder.mkdir()
    for name in NAMES:
        data = changed.get(name.replace("-", "_"), gzip.decompress(packed(name)))
        if data is not None:
            ending = ".gz" if data.startswith(b"\x1f\x8b") else ""
            (folder / f"{name}{ending}").write_bytes(data)


def packed(name: str) -> bytes:
    return (DIGITS / f"{name}.gz").read_bytes()


def world(folder: Path) -> None:
    """What the cases name: data that is broken, specs, runs that ended in different ways."""
    shutil.copytree(ROOT / "configs", folder / "configs")
    images, labels = (gzip.decompress(packed(name)) for name in NAMES[:2])
    small = packed(NAMES[0])
    digits(folder / "cut", train_images_idx3_ubyte=images[:100_000])
    digits(folder / "cut_gz", train_images_idx3_ubyte=small[:300_000])
    digits(folder / "bad_gz", train_images_idx3_ubyte=small[:300_000] + b"\0" + small[300_001:])
    digits(folder / "ints", train_images_idx3_ubyte=b"\0\0\x0c\x03" + images[4:])
    digits(folder / "empty", train_images_idx3_ubyte=b"")
    digits(folder / "long", train_images_idx3_ubyte=images + b"..")
    digits(folder / "unlabelled", train_labels_idx1_ubyte=None)
    few = b"\0\0\x08\x01" + struct.pack(">I", 3999) + labels[8:-1]
    digits(folder / "few_labels", train_labels_idx1_ubyte=few)
    (folder / "nothing").mkdir()
    (folder / "hello.txt").write_text("hello\n", encoding="utf-8")
    (folder / "latin.yaml").write_bytes("name: Größe\n".encode("latin-1"))
    (folder / "half.yaml").write_text(HALF, encoding="utf-8")
    (folder / "header.yaml").write_text(f"# @package hydra.callbacks\n{HALF}", encoding="utf-8")
    (folder / "runs").mkdir()
    with in_folder(folder):
        said, status = run(f"python train.py folder=runs/finished {SHORT}")
    assert status == 0, said
    for status_now in ("running", "interrupted"):
        shutil.copytree(folder / "runs" / "finished", folder / "runs" / status_now)
        metrics = folder / "runs" / status_now / "metrics.json"
        metrics.write_text(metrics.read_text().replace('"finished"', f'"{status_now}"'))
    best = (folder / "runs" / "finished" / "checkpoints" / "best.safetensors").read_bytes()
    (folder / "half.safetensors").write_bytes(best[:90_000])
    weights(folder)
    half = folder / "runs" / "half"
    shutil.copytree(folder / "runs" / "interrupted", half)
    last = half / "checkpoints" / "last.safetensors"
    last.write_bytes(last.read_bytes()[:100_000])


def weights(folder: Path) -> None:
    """Files of LeNet's weights by other names, and what is no file of weights."""
    plain = load_checkpoint(folder / "runs" / "finished").state_dict()
    torch.save({"state_dict": {f"module.{k}": v for k, v in plain.items()}}, folder / "ddp.ckpt")
    heads = {name.replace("fc3.", "head."): value for name, value in plain.items()}
    torch.save(heads, folder / "head.pt")
    save_file({f"backbone.{k}": v for k, v in plain.items()}, folder / "backbone.safetensors")
    torch.save(torch.nn.Linear(2, 2), folder / "whole.pt")
    torch.save({"epoch": 3, "args": [1]}, folder / "epoch.pt")
    (folder / "half.pt").write_bytes((folder / "head.pt").read_bytes()[:90_000])


class in_folder:
    """Goes there, and back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        self.before = Path.cwd()
        os.chdir(self.folder)

    def __exit__(self, *_: object) -> None:
        os.chdir(self.before)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("world")
    world(folder)
    with in_folder(folder):
        yield folder


def told(text: str, folder: Path) -> tuple[str, list[int]]:
    """The text of a case as it is now, without what differs from machine to machine."""
    shown, statuses = played(text)
    return shown.replace(str(folder), "/here").replace(torch.__version__, "TORCH"), statuses


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_message_is_as_shown(case: Path, here: Path) -> None:
    if case.stem.startswith("NS705") and torch.cuda.is_available():
        pytest.skip("the devices of another machine")
    text = case.read_text(encoding="utf-8")
    shown, statuses = told(text, here)
    assert shown == text
    assert statuses[-1] == 1
    assert f"error[{case.stem[:5]}]" in text
    assert "Traceback" not in text
    assert "Warning" not in text


# What a user may type, at random

KEYS = ("model", "model.args.num_classes", "model.layers.conv1", "~model.layers.fc1", "data", "act")
KEYS += ("data.limit", "optimizer", "optimizer.lr", "+loss.call", "scheduler.T_max", "trainer")
KEYS += (
    "weights",
    "weights.strict",
    "weights.prefix",
    "freeze",
    "seed",
    "metrics",
    "device",
    "folder",
    "hydra.run",
    "~data.limit",
    "++x.y",
    "",
    "threads",
)
VALUES = (
    "1",
    "-1",
    "0",
    "1e400",
    "nan",
    "abc",
    "null",
    "true",
    "[1,2]",
    "{a:1}",
    "[",
    "}",
    "'",
    '"',
)
VALUES += (
    "=x",
    "==1+",
    "${seed}",
    "${nope}",
    "${oc.env:NOPE}",
    "a=b",
    "a b",
    "é",
    "\\",
    "..",
    "1,2",
)
VALUES += (
    "range(3)",
    "[[]]",
    "{}",
    "[null]",
    "lenet",
    "~",
    "*",
    "$",
    "${",
    "${oc.decode:1}",
    "???",
)


def test_no_override_gives_a_traceback(here: Path) -> None:
    """Overrides put together at random: each is taken, or told to be wrong in our words."""
    chance = random.Random(3)
    for number in range(int(os.environ.get("NETSPEC_OVERRIDES", "80"))):
        key, value = chance.choice(KEYS), chance.choice(VALUES)
        text = f"{key}={value}"
        if chance.random() < 0.3:
            place = chance.randrange(len(text) + 1)
            text = text[:place] + chance.choice(string.printable[:95]) + text[place:]
        # a last override that is wrong for sure: none of them trains
        said, status = typed([text, "data.batch_size=0"], f"fuzz/{number}")
        assert status == 1, (text, said)
        assert re.search(r"^error\[NS\d{3}\]", said, re.MULTILINE), (text, said)
        assert "Traceback" not in said, (text, said)
        assert "Warning" not in said, (text, said)


def typed(overrides: list[str], folder: str) -> tuple[str, int]:
    from netspec.cli import main
    from tests.run.console import saying

    with saying() as said:
        status = main(["train", *overrides, f"hydra.run.dir={folder}"])
    return said.getvalue(), status


# A process that is gone


def test_message_of_a_lost_process(here: Path) -> None:
    settings = Settings.model_construct(trainer=TrainerSettings(max_epochs=1))
    workers = Workers(settings, [], Path("runs/two"))
    ends = "import os, signal; print('no memory'); os.kill(os.getpid(), signal.SIGKILL)"
    with tempfile.TemporaryFile() as said:
        command = [sys.executable, "-u", "-c", ends]
        workers.started.append(subprocess.Popen(command, stdout=said))
        workers.said.append(said)
        with pytest.raises(RunError) as told:
            workers.__exit__(RuntimeError, RuntimeError("connection closed by peer"), None)
    assert f"{told.value}\n".lstrip() == LOST.read_text(encoding="utf-8")


# A disk that is full


def test_full_disk_leaves_the_last_good_checkpoint(here: Path) -> None:
    """The run ends with NS706 when it may write no more; what was written before can be loaded."""
    good = here / "runs" / "full"
    shutil.copytree(here / "runs" / "interrupted", good)
    before = (good / "checkpoints" / "last.safetensors").read_bytes()
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        "from netspec.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = "python train.py resume=runs/full trainer.max_epochs=3"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments_of(command)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr == (
        "error[NS706]: `last.safetensors` could not be written: file too large\n"
        " --> runs/full/checkpoints/last.safetensors\n"
        "  = help: what was there before is untouched; make room, then go on with resume=…\n"
    )
    assert (good / "checkpoints" / "last.safetensors").read_bytes() == before
    assert load_checkpoint(good)
    assert not list(good.rglob("*.part"))
    assert (read_metrics(good) or {})["status"] == "failed"


def update() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        world(folder)
        with in_folder(folder):
            for case in CASES:
                text = case.read_text(encoding="utf-8")
                shown, statuses = told(text, folder)
                if shown != text:
                    case.write_text(shown, encoding="utf-8", newline="\n")
                    print(f"{case.name} written")
                if statuses[-1] != 1 or f"error[{case.stem[:5]}]" not in shown:
                    print(f"{case.name} IS WRONG: {statuses}")


if __name__ == "__main__":
    assert sys.argv[1:] == ["--update"], "python -m tests.run.test_bad_input --update"
    torch.set_num_threads(1)
    update()
