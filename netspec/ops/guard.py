"""Bounds on what torch may do while it is only asked what an operator gives.

On `meta` nothing is allocated; still `diff` with `n: 1000000000` is so many steps. On the CPU,
where an operator goes that cannot tell on `meta`, inputs are small, and what it makes of them need
not be: `bincount` with `minlength: 1000000000000`. Both are stopped between two steps of torch's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

MAX_STEPS = 20_000
MAX_ELEMENTS = 20_000_000  # of one result on the CPU
LARGE = 10_000  # a size or number above it may be a count of too many steps


class TooMuch(Exception):
    """An operator would take too many steps, or too much memory, only to be asked."""


class OnMeta(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the steps of what runs inside. Raises TooMuch."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps = 0

    def __torch_dispatch__(
        self, func: Any, types: object, args: Any = (), kwargs: Any = None
    ) -> object:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise TooMuch(f"it takes more than {MAX_STEPS:,} steps")
        return func(*args, **(kwargs or {}))


class OnCpu(OnMeta):  # type: ignore[no-untyped-call]
    """Bounds the memory that each step takes, too. Raises TooMuch."""

    def __torch_dispatch__(
        self, func: Any, types: object, args: Any = (), kwargs: Any = None
    ) -> object:
        kwargs = kwargs or {}
        _check_elements(_on_meta(func, args, kwargs))
        found = super().__torch_dispatch__(func, types, args, kwargs)
        _check_elements(found)
        return found


def _on_meta(func: Any, args: Any, kwargs: dict[str, Any]) -> object:
    """What a step gives, without its numbers; nothing where they decide, if its own are small."""
    args, kwargs = tree_map(_as_meta, (args, kwargs))
    if any(argument.name == "device" for argument in func._schema.arguments):
        kwargs["device"] = torch.device("meta")
    try:
        with _disable_current_modes():
            return func(*args, **kwargs)
    except (NotImplementedError, RuntimeError):
        if any(abs(number) > MAX_ELEMENTS for number in _numbers((args, kwargs))):
            raise TooMuch("one of its numbers is too large to try it") from None
        return None


def _as_meta(value: object) -> object:
    if not isinstance(value, torch.Tensor):
        return value
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")


def _check_elements(found: object) -> None:
    for leaf in tree_leaves(found):
        if isinstance(leaf, torch.Tensor) and leaf.numel() > MAX_ELEMENTS:
            raise TooMuch(f"it makes {leaf.numel():,} elements of a small input")


def _numbers(values: object) -> Iterator[int]:
    return (leaf for leaf in tree_leaves(values) if type(leaf) is int)


def is_large(values: Iterable[object]) -> bool:
    """Whether some size or whole number among these is large enough to be a count of steps."""
    for value in values:
        if isinstance(value, torch.Tensor):
            if max(value.shape, default=0) > LARGE:
                return True
        elif isinstance(value, tuple):
            if is_large(value):
                return True
        elif type(value) is int and abs(value) > LARGE:
            return True
    return False
