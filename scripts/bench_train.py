"""What a training step of `train.py` costs beside a bare loop over the same batches.

    python scripts/bench_train.py [--quick] [--json FILE]

Both train LeNet with Adam on the same digits in the same order, and end with equal weights. A hook
of torch's reads the clock after every step of an optimizer; what counts is the mean time from one
step to the next within an epoch. In it are reading the batch, forward, backward, and all that is
done around them: metrics, the watch for a loss that is no number, the bar's pictures. Validation
and checkpoints, which end an epoch, are not.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from time import perf_counter

import torch
import torch.nn.functional as F
from _timing import Times, compare, interleave, introduce, options, ratio_table, table, write_json
from omegaconf import OmegaConf
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook

import netspec
from netspec.run.checkpoint import read_checkpoint
from netspec.run.command import compose, config_folders
from netspec.run.data.batches import Batches
from netspec.run.data.settings import settings_of
from netspec.run.data.sources import open_data
from netspec.run.folder import LAST
from netspec.run.settings import Settings, read_settings
from netspec.run.terminal import quiet
from netspec.run.training import train

SAME_FOR_ALL = ["scheduler=none", "data.augment=null", "threads=1", "device=cpu"]
WORDS = {"bar": "`train.py`, the bar drawn", "no bar": "`train.py`, no bar", "again": "bare loop"}
GOALS = {"bar": "≤ 1.10", "no bar": "≤ 1.10", "again": ""}
Weights = Mapping[str, Tensor]


def main() -> None:
    given = options(__doc__)
    torch.set_num_threads(1)
    os.environ["FORCE_COLOR"] = "1"  # for rich, any file is a terminal then
    quiet()
    introduce(
        "A training step", "LeNet, 64 digits a step, Adam; a bare loop and `train.py` in turns."
    )
    epochs, rounds = (2, 2) if given.quick else (3, 20)
    times = measure(epochs, rounds)
    rows = [compare(WORDS[name], times["bare"], times[name], GOALS[name]) for name in WORDS]
    print(ratio_table(rows, "bare loop", "beside it"))
    print("\n### What a step takes beyond the bare loop's\n")
    beyond = [
        {
            "what": row.what,
            "median_us": 1e3 * (row.ms - row.base_ms),
            "least_us": 1e6 * (min(times[name]) - min(times["bare"])),
        }
        for name, row in zip(WORDS, rows, strict=True)
    ]
    cells = [(b["what"], f"{b['median_us']:.0f}", f"{b['least_us']:.0f}") for b in beyond]
    print(table(("what", "µs, of the medians", "µs, of the minima"), cells))
    write_json(given.json, {"steps": rows, "beyond": beyond})


def measure(epochs: int, rounds: int) -> Times:
    """Mean seconds of a step, round by round; checks that all train alike."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        bare = partial(bare_loop, settings(epochs, bar=False))
        loops: dict[str, Callable[[], Weights]] = {
            "bare": bare,
            "bar": partial(run, settings(epochs, bar=True), place),
            "no bar": partial(run, settings(epochs, bar=False), place),
            "again": bare,
        }
        first, *others = (loop() for loop in loops.values())  # which warms up
        for other in others:
            assert all(torch.equal(first[key], other[key]) for key in first), "they train alike"
        timed = {name: partial(seconds_of_a_step, loop, epochs) for name, loop in loops.items()}
        return interleave(timed, rounds)


def seconds_of_a_step(loop: Callable[[], Weights], epochs: int) -> float:
    """The mean time from one optimizer step to the next, over those in one epoch."""
    ends: list[float] = []
    hook = register_optimizer_step_post_hook(lambda *_: ends.append(perf_counter()))
    loop()
    hook.remove()
    each = len(ends) // epochs
    spans = [ends[start + each - 1] - ends[start] for start in range(0, len(ends), each)]
    return sum(spans) / (epochs * (each - 1))


def settings(epochs: int, *, bar: bool) -> Settings:
    """Those of `python train.py` with the overrides of this benchmark."""
    given = [*SAME_FOR_ALL, f"trainer.max_epochs={epochs}", f"trainer.bar={bar}".lower()]
    with config_folders("train") as (folder, _):
        config = compose(folder, "train", given)
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    return read_settings(own, given)


def bare_loop(chosen: Settings) -> Weights:
    """What one would write by hand; gives the weights at the end."""
    size = settings_of(chosen.data).batch_size
    data = open_data(chosen.data)
    assert data.train is not None and data.augment is None, "digits as they are"
    batches = Batches(data.train, size, shuffle=True, seed=chosen.seed)
    model = netspec.build("lenet", act=chosen.act.form, seed=chosen.seed).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=chosen.optimizer["lr"])
    for _ in range(chosen.trainer.max_epochs):
        for (x,), y in batches:
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.state_dict()


def run(chosen: Settings, place: Path) -> Weights:
    """A whole run in a folder of its own, on a terminal that is a file; gives its last weights."""
    folder = Path(tempfile.mkdtemp(dir=place))
    screen = place / "screen"
    with screen.open("w", encoding="utf-8") as stream, redirect_stdout(stream):
        train(chosen, [], folder)
    drawn = "samples/s" in screen.read_text(encoding="utf-8")
    assert drawn == chosen.trainer.bar, "the bar is there if it is asked for"
    return read_checkpoint(folder / LAST).weights


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
