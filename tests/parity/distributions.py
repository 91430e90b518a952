"""Whether two sets of drawn numbers come from the same distribution.

Each bound is passed by chance less than once in 10 million times, whatever the distribution, so
that a failure means a difference: another kind, width, centre or cut of the tails.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LARGEST = 20_000  # as many numbers show a width that is 13 % off, or a normal that is cut at 2 std
CHANCE = 1e-8


def compare_draws(ours: Tensor, theirs: Tensor) -> str | None:
    """What differs between two flat tensors of as many independent draws each; None for nothing.

    Constants have to be equal to the bit.
    """
    if theirs.min() == theirs.max() or ours.min() == ours.max():
        return (
            None
            if torch.equal(ours, theirs)
            else f"{spread(ours)}, the original's {spread(theirs)}"
        )
    ours, theirs = thinned(ours), thinned(theirs)
    differences = [
        text
        for text, differs in (
            ("quantiles", largest_gap(ours, theirs) > gap_by_chance(len(ours))),
            ("mean and std", moments_differ(ours, theirs)),
            ("extremes", beyond(ours, theirs) or beyond(-ours, -theirs)),
        )
        if differs
    ]
    if not differences:
        return None
    return f"{', '.join(differences)}: {spread(ours)}, the original's {spread(theirs)}"


def thinned(values: Tensor) -> Tensor:
    return values[:: math.ceil(len(values) / LARGEST)].double().sort().values


def spread(values: Tensor) -> str:
    low, high, mean = values.min().item(), values.max().item(), values.double().mean().item()
    return f"{low:.4g} to {high:.4g}, mean {mean:.4g}, std {values.double().std().item():.4g}"


def largest_gap(ours: Tensor, theirs: Tensor) -> float:
    """The Kolmogorov-Smirnov statistic of two sorted samples."""
    places = torch.cat([ours, theirs])
    shares = [torch.searchsorted(each, places, right=True) / len(each) for each in (ours, theirs)]
    return float((shares[0] - shares[1]).abs().max())


def gap_by_chance(count: int) -> float:
    """The bound of Kolmogorov and Smirnov for two samples of this size."""
    return math.sqrt(math.log(2 / CHANCE) / 2) * math.sqrt(2 / count)


def moments_differ(ours: Tensor, theirs: Tensor) -> bool:
    """Whether mean or std are 6 standard errors apart; those of the std are a normal's."""
    if len(ours) < 100:
        return False
    error = float(theirs.std()) / math.sqrt(len(ours))
    mean, std = abs(ours.mean() - theirs.mean()), abs(ours.std() - theirs.std())
    return bool(mean > 6 * math.sqrt(2) * error or std > 6 * error)


def beyond(ours: Tensor, theirs: Tensor) -> bool:
    """Whether too many of one lie above all of the other: k do so by chance once in 2**k times."""
    most = math.log2(1 / CHANCE)
    above = max(int((ours > theirs.max()).sum()), int((theirs > ours.max()).sum()))
    return above > most
