"""Which operators draw random numbers."""

from __future__ import annotations

from functools import cache

import torch


@cache
def draws(name: str) -> bool:
    """Whether an operator draws random numbers, by torch's own tag."""
    packet = getattr(torch.ops.aten, name, None)
    if packet is None:
        return False
    overloads = (getattr(packet, overload) for overload in packet.overloads())
    return any(torch.Tag.nondeterministic_seeded in overload.tags for overload in overloads)
