"""How a law is searched: the same examples each time, and others each time, from a printed seed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

# One for the whole run: tests/conftest.py draws and prints it; `NETSPEC_SEED=… pytest …` repeats it.
FRESH_SEED = int(os.environ["NETSPEC_SEED"])


@dataclass(frozen=True)
class Search:
    """So many examples: the same in every run where there is no seed."""

    examples: int
    seed: int | None = None


def law(examples: int, *more: int, fresh: int | None = None) -> Callable[[Any], Any]:
    """A law over a few examples that are pinned and a few that are not, and over many by hand.

    Half as many are `fresh`, unless the law counts among them what is rare.
    """
    many = more[0] if more else 10 * examples
    searches = [
        pytest.param(Search(examples), id="pinned"),
        pytest.param(Search(fresh or max(20, examples // 2), FRESH_SEED), id="fresh"),
        pytest.param(Search(many, FRESH_SEED), id="many", marks=pytest.mark.hunt),
    ]
    return pytest.mark.parametrize("examples", searches)


def over(search: Search, strategy: st.SearchStrategy[Any], check: Callable[[Any], None]) -> None:
    """Raises what `check` raises for an example of the strategy."""
    searched = some(search.examples, pinned=search.seed is None)(given(strategy)(check))
    if search.seed is not None:
        searched = seed(search.seed)(searched)
    searched()


def some(examples: int, pinned: bool = True) -> settings:
    """As many examples; where they are pinned, the same ones each time."""
    phases = [Phase.explicit, Phase.generate] if pinned else [Phase.generate, Phase.shrink]
    return settings(
        max_examples=examples, derandomize=pinned, deadline=None, database=None, phases=phases,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )  # fmt: skip
