"""The laws of the order of batches: seed and epoch alone decide."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from netspec.run.data.augment import Augment
from netspec.run.data.batches import Batches
from netspec.run.data.dataset import Batch
from netspec.run.data.in_memory import Arrays, Column

AUGMENT = Augment(shift=1, flip=True, rotate=20.0, scale=0.1, fill=torch.tensor([[[-0.5]]]))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def arrays(count: int = 23) -> Arrays:
    images = torch.randn(count, 1, 6, 5, generator=torch.Generator().manual_seed(1))
    return Arrays((Column(images),), torch.arange(count))


def batches(count: int = 23, size: int = 5, **options: object) -> Batches:
    settings = {"shuffle": True, "seed": 3, "augment": AUGMENT, **options}
    return Batches(arrays(count), size, **settings)  # type: ignore[arg-type]


def same(left: list[Batch], right: list[Batch]) -> bool:
    pairs = zip(left, right, strict=True)
    return all(torch.equal(a[0][0], b[0][0]) and torch.equal(a[1], b[1]) for a, b in pairs)


def targets(given: list[Batch]) -> list[int]:
    return [int(target) for _, batch in given for target in batch]


def test_every_example_comes_once_an_epoch() -> None:
    loader = batches()
    assert sorted(targets(list(loader))) == list(range(23))
    assert len(loader) == 5


def test_an_epoch_differs_from_the_next_and_comes_again() -> None:
    loader = batches()
    first, second = list(loader), list(loader)
    assert loader.epoch == 1
    assert targets(first) != targets(second)
    loader.set_epoch(0)
    assert same(list(loader), first)
    assert same(list(loader), second)


def test_a_seed_gives_its_own_order() -> None:
    assert targets(list(batches(seed=1))) != targets(list(batches(seed=2)))


def test_without_shuffle_the_order_is_the_data_s() -> None:
    assert targets(list(batches(shuffle=False))) == list(range(23))


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("shuffle", [True, False])
def test_processes_see_together_what_one_sees(world: int, shuffle: bool) -> None:
    whole = list(batches(shuffle=shuffle))
    ranks = [list(batches(shuffle=shuffle, rank=rank, world=world)) for rank in range(world)]
    joined = [
        (
            (torch.cat([share[0][0] for share in shares]),),
            torch.cat([share[1] for share in shares]),
        )
        for shares in zip(*ranks, strict=True)
    ]
    assert same(joined, whole)


def test_a_small_batch_is_left_out_of_training_alone() -> None:
    def lengths(**options: object) -> list[int]:
        loaders = [batches(21, rank=rank, world=2, **options) for rank in range(2)]
        assert [len(list(loader)) for loader in loaders] == [len(loader) for loader in loaders]
        return [len(loader) for loader in loaders]

    assert lengths() == [4, 4]
    assert lengths(shuffle=False) == [5, 4]
    assert lengths(shuffle=False, training=True) == [4, 4]
    assert lengths(drop_last=True) == [4, 4]


def test_drop_last_leaves_out_the_rest() -> None:
    assert [len(target) for _, target in batches(drop_last=True)] == [5, 5, 5, 5]


@pytest.mark.parametrize("given", [0, 1, 3, 5, 7])
def test_resumed_is_as_uninterrupted(given: int) -> None:
    def endless(loader: Batches) -> Iterator[Batch]:
        while True:
            yield from loader

    whole = batches()
    stream = endless(whole)
    for _ in range(given):
        next(stream)
    state = whole.state_dict()
    resumed = batches()
    resumed.load_state_dict(state)
    rest = endless(resumed)
    assert same([next(stream) for _ in range(8)], [next(rest) for _ in range(8)])


def test_set_epoch_leaves_a_resumed_epoch_where_it_is() -> None:
    loader = batches()
    whole = list(loader)
    loader.load_state_dict({"epoch": 0, "batch": 3})
    loader.set_epoch(0)
    assert same(list(loader), whole[3:])


def test_an_iteration_that_is_left_is_not_gone_on_with() -> None:
    loader = batches(shuffle=False, augment=None)
    next(iter(loader))
    assert loader.state_dict() == {"epoch": 0, "batch": 1}
    assert targets(list(loader)) == list(range(23))
    assert loader.state_dict() == {"epoch": 1, "batch": 5}


def test_workers_change_nothing() -> None:
    alone, helped = batches(), batches(workers=2)
    before = torch.get_rng_state()
    assert same(list(helped), list(alone))
    assert same(list(helped), list(alone))
    helped.load_state_dict({"epoch": 4, "batch": 2})
    alone.load_state_dict({"epoch": 4, "batch": 2})
    assert same(list(helped), list(alone))
    assert torch.equal(torch.get_rng_state(), before)
