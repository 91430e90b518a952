"""The classes of models, for as long as somebody has one of them or an instance."""

from __future__ import annotations

import sys
from collections.abc import Hashable
from typing import TypeVar

from netspec.caches import Cache
from netspec.emit.module import Built, holders_of, release

_Key = TypeVar("_Key", bound=Hashable)
_ALONE = 2  # who hold a Built that nobody else has: the list that it is in, the count itself


class ClassCache(Cache[_Key, Built]):
    """The classes of the models built last, and of older ones those that are in use.

    What the process holds for the others, so that instances can be copied and tracebacks show
    their text, is given back.
    """

    def keep(self, key: _Key, value: Built) -> Built:
        self[key] = value
        for _ in range(2):
            if len(self) <= self.most:
                break
            oldest = next(iter(self))
            alone = [self.pop(oldest)]
            if is_in_use(alone):
                self[oldest] = alone[0]  # the last in line
            else:
                release(alone[0])
        return value

    def clear(self) -> None:
        while self:
            alone = [self.pop(next(iter(self)))]
            if not is_in_use(alone):
                release(alone[0])


def is_in_use(alone: list[Built]) -> bool:
    """Whether anybody has the model's classes, or an instance: each holds a reference to its class.

    The model is the one in the list, and the caller has no other reference to it. (A parameter
    would be one more, or two where torch.compile hooks into calls.)
    """
    if sys.getrefcount(alone[0]) > _ALONE:
        return True
    now = holders_of(alone[0].classes)
    return any(count > least for count, least in zip(now, alone[0].holders, strict=True))
