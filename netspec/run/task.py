"""The LightningModule of every run: a model, its loss, its meters, its optimizer."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from netspec.errors import RunError
from netspec.run.data.batches import Batches
from netspec.run.data.dataset import Batch
from netspec.run.nan_diagnosis import diverged, untrained
from netspec.run.optim import Length, Schedule, make_optimizer, make_schedule
from netspec.run.preflight import Prepared
from netspec.run.random_state import random_state, set_random_state
from netspec.run.strategy import Sharded, shard

_WAIT = 50  # training steps between two looks at what they gave


class Task(LightningModule):
    """A model that trains and validates as a run says.

    Batches are those of `Prepared.arranged`. A step touches nothing but the loss; losses and
    predictions wait, and are looked at together.
    """

    def __init__(
        self, model: nn.Module, prepared: Prepared, length: Length, examples: int, batch_size: int
    ) -> None:
        super().__init__()
        self.model = model
        self.prepared = prepared
        self.length = length
        self.examples, self.batch_size = examples, batch_size  # of all processes together
        self.seen = prepared.scoring.meter(_WAIT)
        self.checked = prepared.scoring.meter()
        self.validated = False  # since the last row of metrics
        self.schedule: Schedule | None = None
        self.resumed: Mapping[str, Any] | None = None
        self._unseen: list[tuple[int, Tensor]] = []  # losses that may be no numbers
        self._stepped = 0
        self._sharded = False

    def configure_model(self) -> None:
        strategy = self.trainer.strategy
        if isinstance(strategy, Sharded) and not self._sharded:
            shard(self.model, strategy.device_mesh["data_parallel"])
            self._sharded = True

    # Training

    def on_fit_start(self) -> None:
        for loss in self.prepared.scoring.objective.loss.values():
            loss.module.to(self.device)

    def on_train_start(self) -> None:
        if self.resumed is not None:
            set_random_state(self.resumed["random"][self.global_rank], self.device)
            self.seen.set_state(self.resumed["seen"][self.global_rank])
            if self.schedule is not None:  # sharded runs are given all this after it is made
                self.schedule.scheduler.load_state_dict(self.resumed["schedule"])
            self.resumed = None

    def on_train_epoch_start(self) -> None:
        loader = self.trainer.train_dataloader
        assert isinstance(loader, Batches), "a run gives its own batches"
        loader.set_epoch(self.current_epoch)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        inputs, target = batch
        objective = self.prepared.scoring.objective
        result = self.model(*inputs)
        outputs, aimed, shown, counted = objective.shaped(result, target)
        loss = objective.loss["train"](outputs, aimed)
        if not loss.requires_grad:
            raise RunError(untrained(self.prepared))
        self.seen.add(loss, shown, counted)
        self._watch(loss, batch)
        if self.trainer.world_size == 1:
            return loss
        return loss * self._share(len(target), index)

    def _share(self, count: int, index: int) -> float:
        """What makes the mean over processes that of all examples, where shares are unequal."""
        world = self.trainer.world_size
        left = self.examples - index * self.batch_size
        return count * world / min(self.batch_size, left)

    def _watch(self, loss: Tensor, batch: Batch) -> None:
        """Stop at the first loss that is no number; a GPU is asked only now and then."""
        if loss.device.type == "cpu":
            if not math.isfinite(loss.item()):
                raise RunError(diverged(self.prepared, self.model, batch, self.global_step, loss))
            return
        self._unseen.append((self.global_step, loss.detach()))
        if len(self._unseen) >= _WAIT:
            self.look_back(batch)

    def look_back(self, batch: Batch | None = None) -> None:
        """Raises RunError (NS708) if a loss since the last look was no number."""
        unseen, self._unseen = self._unseen, []
        if not unseen:
            return
        finite = torch.isfinite(torch.stack([loss for _, loss in unseen])).tolist()
        for (step, loss), good in zip(unseen, finite, strict=True):
            if not good:
                raise RunError(diverged(self.prepared, self.model, batch, step, loss))

    def step_batch(self) -> None:
        """What the schedule does after a batch; it stands still where that was no step yet."""
        if self.schedule is not None and self.schedule.interval == "step":
            while self._stepped < self.global_step:
                self._stepped += 1
                self.schedule.scheduler.step()  # type: ignore[call-arg]

    def step_epoch(self, monitored: float | None) -> None:
        """What the schedule does after an epoch, given what is monitored."""
        if self.schedule is None or self.schedule.interval != "epoch":
            return
        if isinstance(self.schedule.scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            if monitored is not None:
                self.schedule.scheduler.step(monitored)
        else:
            self.schedule.scheduler.step()

    # Validation

    def on_validation_epoch_start(self) -> None:
        self.checked.reset()
        if self._sharded:  # running statistics are each process's own; the first one's are saved
            for buffer in self.model.buffers():
                torch.distributed.broadcast(buffer, 0)

    def on_validation_epoch_end(self) -> None:
        self.validated = True

    def validation_step(self, batch: Batch, index: int) -> None:
        measure(self.prepared, self.model, batch, self.checked)

    # What Lightning asks for

    def __setattr__(self, name: str, value: Any) -> None:
        """Lightning sets this name some 45 times a step; the way of nn.Module costs 80 µs then."""
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        inputs, target = batch
        moved = tuple(value.to(device, non_blocking=True) for value in inputs)
        return moved, target.to(device, non_blocking=True)

    def configure_optimizers(self) -> Optimizer:
        prepared = self.prepared
        settings = prepared.settings
        optimizer = make_optimizer(settings.optimizer, self.model, prepared.overrides)
        mode = prepared.monitor.mode
        self.schedule = make_schedule(
            settings.scheduler, optimizer, self.length, mode, prepared.overrides
        )
        return optimizer

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        schedule = self.schedule.scheduler.state_dict() if self.schedule else None
        checkpoint["netspec"] = {
            "random": gathered(self.trainer, random_state(self.device)),
            "seen": gathered(self.trainer, self.seen.state()),
            "schedule": schedule,
            "stepped": self._stepped,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.resumed = checkpoint["netspec"]
        self._stepped = checkpoint["netspec"]["stepped"]


# Lightning asks for it at every step, and inspects the function anew where it has none.
Task.training_step.__signature__ = inspect.signature(Task.training_step)  # type: ignore[attr-defined]


def measure(prepared: Prepared, model: nn.Module, batch: Batch, meter: Any) -> None:
    """One batch through a model in eval mode, into a meter."""
    inputs, target = batch
    objective = prepared.scoring.objective
    outputs, aimed, shown, counted = objective.shaped(model(*inputs), target)
    meter.add(objective.loss["eval"](outputs, aimed), shown, counted)


def gathered(trainer: Trainer, value: object) -> list[Any]:
    """The values of all processes, in their order."""
    if trainer.world_size == 1:
        return [value]
    found: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(found, value)
    return found
