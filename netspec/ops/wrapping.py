"""Circular padding that torch takes, and cannot compute: where it crops one side, what is left has
to fill the other. Else it copies memory onto itself, or reads some that nobody wrote.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from netspec.ops.catalog import Operator
from netspec.ops.torch_internals import CircularPadNd
from netspec.ops.types import Fact, OperatorRejects, TensorType


def check_wrapped_call(operator: Operator, named: Mapping[str, Fact]) -> None:
    """Raises OperatorRejects for such a call of `pad`."""
    if operator.name == "pad" and named.get("mode") == "circular":
        _check(named.get("input"), named.get("pad"))


def check_wrapped_module(module: nn.Module, given: Fact) -> None:
    """Raises OperatorRejects for such a call of a padding's module."""
    if isinstance(module, CircularPadNd):
        _check(given, tuple(module.padding))


def _check(given: Fact, padding: Fact) -> None:
    if not isinstance(given, TensorType) or not isinstance(padding, tuple):
        return
    sides = [n for n in padding if type(n) is int]
    pairs = zip(sides[::2], sides[1::2], strict=False)
    for size, (before, after) in zip(reversed(given.shape), pairs, strict=False):
        left = size + min(before, 0) + min(after, 0)
        if min(before, after) < 0 and max(before, after, 1) > left:
            fact = f"of {size} elements a padding of {before} and {after} leaves {max(left, 0)}"
            raise OperatorRejects(f"{fact}, which it cannot wrap around")
