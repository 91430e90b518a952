"""Which examples a split has."""

from __future__ import annotations

import torch
from torch import Tensor

from netspec.errors import Diagnostic, RunError
from netspec.run.data.seeded import generator_for
from netspec.run.data.validation_errors import override_span

_SPLIT = 3  # what a draw is for


def held_out(
    count: int, share: float | int, seed: int, labels: Tensor | None, option: str = "validation"
) -> tuple[Tensor, Tensor]:
    """The positions that stay and those that are taken away, each in rising order.

    `share` below 1 is a fraction, else a number. With labels (int64), each class gives the same
    share of its examples, to within one. Raises RunError: NS605 where nothing would stay.
    """
    wanted = round(count * share) if isinstance(share, float) else share
    if wanted and wanted >= count:
        fact = f"`data.{option}` takes {wanted:,} examples, and there are {count:,} to take from"
        raise RunError(Diagnostic("NS605", fact, override_span(option, share)))
    order = torch.randperm(count, generator=generator_for(seed, _SPLIT))
    taken = torch.zeros(count, dtype=torch.bool)
    taken[order[:wanted] if labels is None else _stratified(order, labels[order], wanted)] = True
    return (~taken).nonzero().flatten(), taken.nonzero().flatten()


def _stratified(order: Tensor, labels: Tensor, wanted: int) -> Tensor:
    """So many of `order` that each label has its share: the largest remainders round up."""
    kinds, which, sizes = torch.unique(labels, return_inverse=True, return_counts=True)
    exact = sizes.double() * wanted / max(1, len(order))
    quotas = exact.floor().long()
    more = wanted - int(quotas.sum())
    quotas[(exact - quotas).argsort(descending=True, stable=True)[:more]] += 1
    parts = [order[which == kind][: int(quotas[kind])] for kind in range(len(kinds))]
    return torch.cat(parts) if parts else order[:0]


def limited(positions: Tensor, limit: int | None) -> Tensor:
    """At most `limit` of these positions, evenly spaced: of sorted classes, some of each."""
    if limit is None or limit >= len(positions):
        return positions
    return positions[torch.arange(limit) * len(positions) // limit]
