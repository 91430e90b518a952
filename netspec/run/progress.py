"""What a run shows while it trains: a bar in a terminal, a line an epoch everywhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from netspec.run.task import Task

_REFRESH = 0.25  # seconds between two pictures of the bar


class Bar(Callback):
    """A bar over the whole run, with loss, metric, samples per second and the time left.

    It is drawn four times a second at most, so that it costs a step next to nothing.
    """

    def __init__(self, console: Console, batch_size: int, monitor: str, visible: bool) -> None:
        self.console = console
        self.batch_size = batch_size
        self.monitor = monitor
        self.visible = visible
        self.measured = ""
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._drawn = 0.0
        self._steps = 0
        self._since = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._since = time.monotonic()
        self._steps = 0
        if not self.visible:
            return
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[loss]}"),
            TextColumn("{task.fields[metric]}"),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(compact=True),
            console=self.console,
            auto_refresh=False,
            transient=True,
        )
        assert isinstance(pl_module, Task), "runs train a Task"
        self._task = self._progress.add_task(
            "training",
            total=pl_module.length.steps,
            completed=trainer.global_step,
            loss="",
            metric="",
            speed="",
        )
        self._progress.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._steps += 1
        if self._progress is None:
            return
        now = time.monotonic()
        if now - self._drawn < _REFRESH:
            return
        self._drawn = now
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        epochs = trainer.max_epochs
        self._progress.update(
            self._task,
            completed=trainer.global_step,
            description=f"epoch {trainer.current_epoch + 1}/{epochs}",
            loss=f"loss {float(loss):.4f}",
            metric=self.measured,
            speed=f"{self._speed(now):,.0f} samples/s",
        )
        self._progress.refresh()

    def _speed(self, now: float) -> float:
        return self._steps * self.batch_size / max(now - self._since, 1e-9)

    def note(self, _: Trainer, row: Mapping[str, float | None]) -> None:
        """Have the bar show a row's metric."""
        value = row.get(self.monitor)
        if value is not None:
            self.measured = f"{self.monitor} {value:.4f}"

    def show(self, trainer: Trainer, row: Mapping[str, float | None]) -> None:
        """A line for a row of metrics.csv, and the bar shows its metric."""
        self.note(trainer, row)
        shown = [
            f"{name} {number:.4f}"
            for name, number in row.items()
            if name.startswith(("train_", "val_")) and number is not None
        ]
        count = f"{int(row['epoch'] or 0):>3}/{trainer.max_epochs}"
        self._print(f"epoch {count}  {'  '.join(shown)}  {row['seconds'] or 0:.1f} s")

    def _print(self, text: str) -> None:
        if self._progress is not None:
            self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
