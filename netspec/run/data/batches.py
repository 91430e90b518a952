"""Examples → batches, in an order that a seed fixes.

The order of an epoch depends on (seed, epoch) alone, and a batch's augmentation on (seed, epoch,
number of the batch) alone: not on workers, on processes, or on where the run was resumed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from netspec.run.data.augment import Augment
from netspec.run.data.dataset import Batch, Examples
from netspec.run.data.seeded import generator_for

_ORDER, _CHANGE = 1, 2  # what a draw is for


class _Job(NamedTuple):
    """One process's share of one batch: which examples, and where they stand in the whole one."""

    epoch: int
    number: int
    indices: Tensor
    offset: int
    size: int


@dataclass(frozen=True)
class _Reader:
    """Jobs → batches. A worker process gets a copy of it."""

    examples: Examples
    augment: Augment | None
    seed: int

    def __len__(self) -> int:
        return len(self.examples)

    def __getitems__(self, job: _Job) -> Batch:
        batch = self.examples.batch(job.indices)
        if self.augment is None:
            return batch
        draws = self.augment.draw(
            job.size, generator_for(self.seed, job.epoch, job.number, _CHANGE)
        )
        return self.augment(batch, draws[job.offset : job.offset + len(job.indices)])


class Batches:
    """The batches of a split, an epoch an iteration; Lightning takes it as a dataloader.

    `batch_size` is that of all processes together: of each batch, the process `rank` of `world`
    gets its contiguous share, the first processes one more where it does not divide. A batch of
    training with fewer examples than processes is left out; elsewhere it is kept, and a process
    whose share is empty goes without it, so that its `len` is smaller. `training` says which of
    the two, by default what `shuffle` is.

    Each new iteration is the next epoch, whether or not the last one was read to its end. After
    `load_state_dict` the next iteration goes on with the batch after the last one given.
    """

    def __init__(
        self,
        examples: Examples,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int,
        rank: int = 0,
        world: int = 1,
        workers: int = 0,
        augment: Augment | None = None,
        drop_last: bool = False,
        pin_memory: bool = False,
        training: bool | None = None,
    ) -> None:
        assert 0 <= rank < world and batch_size >= 1, "a batch has a size and a process a number"
        self.epoch = 0
        self._given = 0
        self._placed = True  # whether (epoch, given) is where the next iteration begins
        self._reader = _Reader(examples, augment, seed)
        self._batch_size = batch_size
        self._shuffle = shuffle
        self._rank, self._world = rank, world
        self._workers = workers
        self._pin_memory = pin_memory
        self._least = _least_size(batch_size, world, rank, drop_last, shuffle, training)
        self._order: tuple[int, Tensor] | None = None
        self._loader: DataLoader[Any] | None = None

    def __len__(self) -> int:
        """How many batches an epoch gives to this process."""
        return epoch_length(len(self._reader), self._batch_size, self._least)

    def __iter__(self) -> Iterator[Batch]:
        if not self._placed or self._given >= len(self) > 0:
            self.epoch, self._given = self.epoch + 1, 0
        self._placed = False
        for batch in self._loaded() if self._workers else self._read():
            self._given += 1
            yield batch

    def set_epoch(self, epoch: int) -> None:
        """Let the next iteration be this epoch; one that `load_state_dict` placed in it stays."""
        if not (self._placed and epoch == self.epoch):
            self.epoch, self._given = epoch, 0
        self._placed = True

    def state_dict(self) -> dict[str, int]:
        """The epoch, and how many of its batches were given."""
        return {"epoch": self.epoch, "batch": self._given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self._given = state["epoch"], state["batch"]
        self._placed = True

    def _read(self) -> Iterator[Batch]:
        for job in self._jobs():
            batch = self._reader.__getitems__(job)
            yield _pinned(batch) if self._pin_memory else batch

    def _loaded(self) -> Iterator[Batch]:
        if self._loader is None:
            self._loader = DataLoader(
                self._reader,  # type: ignore[arg-type]
                batch_sampler=_Jobs(self),  # type: ignore[arg-type]
                collate_fn=_as_it_is,  # type: ignore[arg-type]
                num_workers=self._workers,
                persistent_workers=True,
                pin_memory=self._pin_memory,
                # Not fork, which can hang where torch's threads already run.
                multiprocessing_context="spawn" if sys.platform == "win32" else "forkserver",
                # Without one of its own the loader draws from torch's global generator.
                generator=torch.Generator(),
            )
        return iter(self._loader)

    def _jobs(self) -> Iterator[_Job]:
        order = self._order_of(self.epoch)
        starts = range(0, len(order), self._batch_size)
        sized = [(s, min(self._batch_size, len(order) - s)) for s in starts]
        kept = [(number, s, size) for number, (s, size) in enumerate(sized) if size >= self._least]
        for number, start, size in kept[self._given :]:
            offset, count = _share(size, self._rank, self._world)
            first = start + offset
            yield _Job(self.epoch, number, order[first : first + count], offset, size)

    def _order_of(self, epoch: int) -> Tensor:
        count = len(self._reader)
        if not self._shuffle:
            return torch.arange(count)
        if self._order is None or self._order[0] != epoch:
            generator = generator_for(self._reader.seed, epoch, _ORDER)
            self._order = (epoch, torch.randperm(count, generator=generator))
        return self._order[1]


class _Jobs:
    """The jobs of the epoch that has come, for the DataLoader to hand to its workers."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[_Job]:
        return self._batches._jobs()


def epoch_length(count: int, batch_size: int, least: int = 1) -> int:
    """How many batches so many examples make, without those that are smaller than the least."""
    whole, rest = divmod(count, batch_size)
    return (whole if batch_size >= least else 0) + (0 < rest >= least)


def batch_sizes(
    count: int, batch_size: int, world: int, training: bool, drop_last: bool = False
) -> dict[int, bool]:
    """Each number of examples that any process gets at once of a split, from the largest down, and
    whether it is of an epoch's last and smaller batch alone."""
    rest = count % batch_size
    found: dict[int, bool] = {}
    for size in (batch_size,) * (count >= batch_size) + (rest,) * (rest > 0):
        for rank in range(min(world, size)):
            least = _least_size(batch_size, world, rank, drop_last, training, training)
            if size >= least:
                found.setdefault(_share(size, rank, world)[1], size != batch_size)
    return dict(sorted(found.items(), reverse=True))


def _least_size(
    batch_size: int, world: int, rank: int, drop_last: bool, shuffle: bool, training: bool | None
) -> int:
    """The size below which a batch is left out for this process."""
    if drop_last:
        return max(batch_size, world)
    is_training = shuffle if training is None else training
    return world if is_training else rank + 1


def _share(size: int, rank: int, world: int) -> tuple[int, int]:
    """Where this process's share of a batch begins, and how long it is."""
    each, more = divmod(size, world)
    return rank * each + min(rank, more), each + (rank < more)


def _pinned(batch: Batch) -> Batch:
    inputs, target = batch
    return tuple(tensor.pin_memory() for tensor in inputs), target.pin_memory()


def _as_it_is(batch: Batch) -> Batch:
    return batch
