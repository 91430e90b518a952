"""What a process remembers between checks: answers of torch, compiled programs.

Each cache has a bound. What was dropped is asked for again, so `clear` changes no answer; a
benchmark of a first time needs it. What is read off the installed torch, and off a text alone, is
kept by `functools.cache` where it is found.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class Cache(OrderedDict[_Key, _Value]):
    """A dictionary of at most `most` answers: the oldest make room."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        _every.append(self)

    def keep(self, key: _Key, value: _Value) -> _Value:
        """Adds an answer, and gives it back."""
        while len(self) >= self.most:
            self.popitem(last=False)
        self[key] = value
        return value


_every: list[Cache[Any, Any]] = []


def clear() -> None:
    """Drops all that is remembered."""
    for cache in _every:
        cache.clear()
