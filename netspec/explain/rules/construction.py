"""Refusals of a module's own arguments: what has to divide what."""

from __future__ import annotations

from collections.abc import Mapping

from netspec.explain.rules.attempt import Explanation
from netspec.explain.rules.images import divisors_help
from netspec.ops.types import Fact

# The parameter that is divided, what it counts, and the parameter that divides it.
_DIVIDED = (
    ("in_channels", "input channels", "groups"),
    ("out_channels", "output channels", "groups"),
    ("num_channels", "channels", "num_groups"),
    ("embed_dim", "features", "num_heads"),
    ("d_model", "features", "nhead"),
)


def explain_construction(what: str, arguments: Mapping[str, Fact]) -> Explanation | None:
    """Which number does not divide which, or None where it is something else."""
    for whole, noun, part in _DIVIDED:
        size, parts = arguments.get(whole), arguments.get(part)
        if not isinstance(size, int) or not isinstance(parts, int) or parts < 1 or not size % parts:
            continue
        fact = f"{what} has {size} {noun}, which `{part}: {parts}` does not divide"
        return Explanation(fact, divisors_help(part, size), part)
    return None
