"""Numbers that say what a draw is for → a generator of its own."""

from __future__ import annotations

import torch

_WORD = (1 << 64) - 1


def generator_for(*numbers: int) -> torch.Generator:
    """A generator whose draws depend on these numbers, and on their order, alone."""
    state = 0x6E657473706563
    for number in numbers:
        state = _mixed(state ^ (number & _WORD))
    return torch.Generator().manual_seed(state >> 1)


def _mixed(state: int) -> int:
    """One step of SplitMix64 (Steele, Lea, Flood 2014): near numbers become far ones."""
    state = (state + 0x9E3779B97F4A7C15) & _WORD
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _WORD
    return state ^ (state >> 31)
