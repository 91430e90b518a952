"""What a run leaves behind: a row of metrics an epoch, the best and the last checkpoint, its state.

The folder is right at any moment: every file is whole, and metrics.json says how far it came.
"""

from __future__ import annotations

import csv
import io
import os
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import CheckpointIO
from pydantic import BaseModel

from netspec.run.checkpoint import read_checkpoint, write_checkpoint
from netspec.run.folder import BEST, HISTORY, LAST, write_text
from netspec.run.interruption import Interrupted
from netspec.run.preflight import Prepared
from netspec.run.processes import WORKER
from netspec.run.task import Task

Row = dict[str, float | None]
_PREFIX = "model."


class SafeIO(CheckpointIO):
    """Lightning's checkpoints as safetensors files, written whole or not at all."""

    def __init__(self, prepared: Prepared, info: Mapping[str, Any]) -> None:
        self.prepared = prepared
        self.info = info

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        whole = checkpoint.pop("state_dict")
        weights = {
            name.removeprefix(_PREFIX): value
            for name, value in whole.items()
            if name.startswith(_PREFIX)
        }
        recipe = self.prepared.compiled.recipe
        write_checkpoint(Path(path), weights, recipe, self.info, checkpoint)

    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> dict[str, Any]:
        found = read_checkpoint(Path(path))
        assert found.state is not None, "only last.safetensors is resumed from"
        weights = {f"{_PREFIX}{name}": value for name, value in found.weights.items()}
        return {**found.state, "state_dict": weights}

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


class _State(BaseModel):
    """What a Keeper goes on with."""

    rows: list[Row]
    best: Row | None
    since_best: int
    seconds: float


class Keeper(Checkpoint):
    """Writes metrics.csv and the checkpoints; ends a run that is asked to, or gets no better."""

    def __init__(self, folder: Path, prepared: Prepared, info: dict[str, Any]) -> None:
        self.folder = folder
        self.prepared = prepared
        self.info = info
        self.rows: list[Row] = []
        self.best: Row | None = None
        self.since_best = 0
        self.seconds = 0.0  # of earlier sittings
        self._begun = time.monotonic()
        self.begun = False  # whether everything that goes on was restored
        self._asked: str | None = None
        self.listeners: list[Any] = []  # called with each row

    # A stop that was asked for

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._begun = time.monotonic()

    def _listen(self) -> None:
        """Answer the signals, in place of Lightning, which gives back what was there before."""
        if threading.current_thread() is not threading.main_thread():
            return
        if WORKER in os.environ:  # the first process is asked, and ends this one
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: object) -> None:
        """The first signal stops after this batch, with a checkpoint; a second one at once."""
        name = signal.Signals(number).name
        if self._asked is not None:
            _say("stopping at once, without what came after the last checkpoint")
            raise Interrupted(name)  # Lightning would turn a KeyboardInterrupt into a silent exit
        self._asked = name
        _say("stopping after this batch, with a checkpoint; once more stops at once")

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Ctrl-C before the signals are answered here: Lightning would end the process silently."""
        if isinstance(exception, KeyboardInterrupt):
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise Interrupted("SIGINT") from None

    # Time and place

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._listen()
        if self._tired() or self._spent(trainer):  # cut between its end and its test
            trainer.should_stop = True

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.begun = True

    def _tired(self) -> bool:
        """Whether there was nothing better for as many epochs as the run waits."""
        patience = self.prepared.settings.trainer.early_stopping
        return patience is not None and self.since_best >= patience

    def _spent(self, trainer: Trainer) -> bool:
        """Whether the run's steps or its time are used up."""
        settings = self.prepared.settings.trainer
        if settings.max_steps is not None and trainer.global_step >= settings.max_steps:
            return True
        minutes = settings.max_minutes
        return minutes is not None and in_any(trainer, self.elapsed() > 60 * minutes)

    def elapsed(self) -> float:
        """Seconds of training, those before an interruption included."""
        return self.seconds + time.monotonic() - self._begun

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, Task), "runs train a Task"
        settings = self.prepared.settings.trainer
        step = trainer.global_step
        pl_module.step_batch()  # a hook of its own would come after what is saved here
        stepped = (batch_idx + 1) % settings.accumulate == 0
        if settings.log_every and stepped and step % settings.log_every == 0:
            self._add(trainer, self._row(trainer, pl_module.seen.values(), None))
        if self._spent(trainer):
            trainer.should_stop = True  # Lightning validates before it stops
        # Gradients between steps are not saved, and after an epoch's last batch Lightning would go
        # on with the next epoch, without validation; what is saved at the epoch's end comes soon.
        if not stepped or trainer.should_stop or batch_idx + 1 == trainer.num_training_batches:
            return
        due = settings.checkpoint_every and step % settings.checkpoint_every == 0
        asked = in_any(trainer, self._asked is not None)
        if due or asked:
            self._save(trainer)
        if asked:
            raise Interrupted(self._asked or "")

    # The end of an epoch

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Task), "runs train a Task"
        pl_module.look_back()
        checked = pl_module.checked.values() if pl_module.validated else None
        pl_module.validated = False
        row = self._row(trainer, pl_module.seen.values(), checked)
        pl_module.seen.reset()
        self._add(trainer, row)
        monitored = row.get(self.prepared.monitor.name)
        pl_module.step_epoch(monitored)
        if monitored is not None:
            self._compare(trainer, row, monitored)
        self._save(trainer)
        if in_any(trainer, self._asked is not None):
            raise Interrupted(self._asked or "")

    def _row(
        self, trainer: Trainer, seen: Mapping[str, float], checked: Mapping[str, float] | None
    ) -> Row:
        names = ("loss", *self.prepared.scoring.metrics)
        row: Row = {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "seconds": round(self.elapsed(), 3),
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
        }
        row |= {f"train_{name}": seen[name] for name in names}
        if self.prepared.data.validation is not None:
            row |= {f"val_{name}": checked[name] if checked else None for name in names}
        return row

    def _add(self, trainer: Trainer, row: Row) -> None:
        self.rows.append(row)
        if trainer.is_global_zero:
            write_text(self.folder / HISTORY, csv_text(self.rows))
        for listener in self.listeners:
            listener(trainer, row)

    def _compare(self, trainer: Trainer, row: Row, monitored: float) -> None:
        monitor = self.prepared.monitor
        old = self.best.get(monitor.name) if self.best else None
        self.since_best += 1
        if monitor.better(monitored, old):
            self.best, self.since_best = row, 0
            self._save_best(trainer, row)
        if self._tired():
            trainer.should_stop = True

    # Checkpoints

    def _save_best(self, trainer: Trainer, row: Row) -> None:
        weights = trainer.strategy.lightning_module_state_dict()
        if not trainer.is_global_zero:
            return
        plain = {
            name.removeprefix(_PREFIX): value
            for name, value in weights.items()
            if name.startswith(_PREFIX)
        }
        info = {**self.info, "metrics": row}
        write_checkpoint(self.folder / BEST, plain, self.prepared.compiled.recipe, info)

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.folder / LAST)

    def state_dict(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "best": self.best,
            "since_best": self.since_best,
            "seconds": self.elapsed(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        state = _State.model_validate(state_dict)  # a ValueError, where it is not
        needed = ("epoch", self.prepared.monitor.name)
        if state.best is not None and any(state.best.get(key) is None for key in needed):
            raise ValueError("the best epoch has no figures")
        self.rows = state_dict["rows"]  # as they were: pydantic would write 1 as 1.0
        self.best = state_dict["best"]
        self.since_best, self.seconds = state.since_best, state.seconds


def _say(text: str) -> None:
    """To the terminal, from amid anything: unbuffered, and nothing where it is gone."""
    with suppress(OSError, RuntimeError, ValueError):
        os.write(2, f"\n{text}\n".encode())


def in_any(trainer: Trainer, here: bool) -> bool:
    """Whether it is so in any process of the run: all have to stop at the same step."""
    if trainer.world_size == 1:
        return here
    return bool(trainer.strategy.reduce_boolean_decision(here, all=False))


def csv_text(rows: list[Row]) -> str:
    """Rows as CSV; what was not measured is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: "" if value is None else value for name, value in row.items()})
    return text.getvalue()
