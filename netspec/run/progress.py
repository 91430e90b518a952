"""What a run shows while it trains: a bar in a terminal or a notebook, a line an epoch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from netspec.run.task import Task

Row = Mapping[str, float | None]
_REFRESH = 0.25  # seconds between two pictures of the bar


@dataclass(frozen=True, slots=True)
class Now:
    """Where a run is: its epoch from 1, its step, and what is told beside the bar."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: str = ""
    metric: str = ""
    speed: str = ""


class View(Protocol):
    """Where the progress of a run is drawn."""

    def begin(self, now: Now) -> None: ...

    def draw(self, now: Now) -> None:
        """Have the bar show this, right now."""

    def row(self, row: Row, epochs: int) -> None:
        """Show a row of metrics.csv."""

    def end(self) -> None:
        """Take the bar away; what rows have shown stays."""


class Bar(Callback):
    """Draws a run, four times a second at most, so that it costs a step next to nothing."""

    def __init__(self, view: View, batch_size: int, monitor: str) -> None:
        self.view = view
        self.batch_size = batch_size
        self.monitor = monitor
        self.measured = ""
        self._drawn = 0.0
        self._steps = 0
        self._since = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._since = time.monotonic()
        self._steps = 0
        self.view.begin(self._now(trainer, pl_module))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._steps += 1
        now = time.monotonic()
        if now - self._drawn < _REFRESH:
            return
        self._drawn = now
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        speed = self._steps * self.batch_size / max(now - self._since, 1e-9)
        told = (f"loss {float(loss):.4f}", self.measured, f"{speed:,.0f} samples/s")
        self.view.draw(self._now(trainer, pl_module, *told))

    def _now(self, trainer: Trainer, pl_module: LightningModule, *told: str) -> Now:
        assert isinstance(pl_module, Task), "runs train a Task"
        epochs = trainer.max_epochs or 0
        step, steps = trainer.global_step, pl_module.length.steps
        return Now(trainer.current_epoch + 1, epochs, step, steps, *told)

    def note(self, _: Trainer, row: Row) -> None:
        """Have the bar show a row's metric."""
        value = row.get(self.monitor)
        if value is not None:
            self.measured = f"{self.monitor} {value:.4f}"

    def show(self, trainer: Trainer, row: Row) -> None:
        """Show a row of metrics.csv, and the bar its metric."""
        self.note(trainer, row)
        self.view.row(row, trainer.max_epochs or 0)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.view.end()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self.view.end()


class Lines:
    """A line for each row, and no bar: what goes into a file, or through a pipe."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def begin(self, now: Now) -> None:
        pass

    def draw(self, now: Now) -> None:
        pass

    def row(self, row: Row, epochs: int) -> None:
        shown = [f"{name} {number:.4f}" for name, number in figures(row).items()]
        count = f"{int(row['epoch'] or 0):>3}/{epochs}"
        text = f"epoch {count}  {'  '.join(shown)}  {row['seconds'] or 0:.1f} s"
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def end(self) -> None:
        pass


class TerminalBar(Lines):
    """A bar over the whole run, with loss, metric, samples per second and the time left."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._progress: Progress | None = None
        self._task = TaskID(0)

    def begin(self, now: Now) -> None:
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
        self._task = self._progress.add_task(
            "training", total=now.steps, completed=now.step, loss="", metric="", speed=""
        )
        self._progress.start()

    def draw(self, now: Now) -> None:
        if self._progress is None:
            return
        self._progress.update(
            self._task,
            completed=now.step,
            description=f"epoch {now.epoch}/{now.epochs}",
            loss=now.loss,
            metric=now.metric,
            speed=now.speed,
        )
        self._progress.refresh()

    def end(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def figures(row: Row) -> dict[str, float]:
    """What was measured in a row."""
    return {
        name: number
        for name, number in row.items()
        if name.startswith(("train_", "val_")) and number is not None
    }
