"""Runs that several tests look at: a classifier of digits, and a language model of a few lines."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from netspec.cli import main

_DIGITS = """\
netspec: 1
name: Digits
inputs: {image: [N, 1, 28, 28]}
layers:
  flat: {call: flatten, start_dim: 1}
  hidden: {module: Linear, out_features: 256}
  relu: {act: relu}
  drop: {module: Dropout, p: 0.2}
  scores: {module: Linear, out_features: 10}
"""
TEXT = "the cat sat on the mat, and the dog sat on the cat.\n" * 40


@cache
def digits() -> Path:
    """The folder of a run on mnist5k. The spec that it was made from is gone."""
    folder = Path(mkdtemp())
    spec = folder / "digits.yaml"
    spec.write_text(_DIGITS, encoding="utf-8")
    run = folder / "run"
    arguments = ["trainer.max_epochs=4", "optimizer.lr=0.003", "data.augment=null", "device=cpu"]
    assert main(["train", f"model={spec}", f"folder={run}", *arguments]) == 0
    spec.unlink()
    return run


@cache
def language() -> Path:
    """The folder of a run on a short text."""
    folder = Path(mkdtemp())
    text = folder / "cats.txt"
    text.write_text(TEXT, encoding="utf-8")
    run = folder / "run"
    sizes = ["model.args.width=16", "model.args.depth=1", "model.args.heads=2"]
    data = ["data=text", f"data.path={text}", "data.context=16", "data.test=0.2"]
    vocabulary = [f"model.args.vocab={len(set(TEXT))}", "model.args.context=16"]
    rest = ["optimizer.lr=0.01", "trainer.max_epochs=4", f"folder={run}", "device=cpu"]
    arguments = ["model=gpt", "data.batch_size=8", *sizes, *data, *vocabulary, *rest]
    assert main(["train", *arguments]) == 0
    return run


def copied(run: Path, to: Path) -> Path:
    """The checkpoint of a run alone, in another folder."""
    to.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(run / "checkpoints" / "best.safetensors", to / "alone.safetensors"))
