"""One thread that answers: the newest question of each kind first, what nobody waits for last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from netspec.limits import Interrupt, OutOfWork, interruptible

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Job(Generic[T]):
    key: Hashable
    work: Callable[[], T]
    is_idle: bool
    future: Future[T] = field(default_factory=Future)
    interrupt: Interrupt = field(default_factory=Interrupt)


class Worker:
    """Answers in a thread of its own, since torch can be asked by one at a time.

    A question replaces an older one with the same key, also the one that is being answered: that
    one's future is cancelled. What is asked `idle` waits for all others, and gives way to them.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[Hashable, _Job[Any]] = OrderedDict()
        self._running: _Job[Any] | None = None
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._answer_all, daemon=True)
        self._thread.start()

    def ask(self, key: Hashable, work: Callable[[], T], *, idle: bool = False) -> Future[T]:
        """What the work gives, later."""
        job = _Job(key, work, idle)
        with self._changed:
            older = self._waiting.pop(key, None)
            if older is not None:
                older.future.cancel()
            running = self._running
            if running is not None and (running.key == key or (running.is_idle and not idle)):
                running.interrupt.set()
            self._waiting[key] = job
            self._changed.notify()
        return job.future

    def drop(self, key: Hashable) -> None:
        """Nobody waits for the answer any more."""
        with self._changed:
            job = self._waiting.pop(key, None)
            if job is not None:
                job.future.cancel()
            if self._running is not None and self._running.key == key:
                self._running.interrupt.set()

    def close(self) -> None:
        """Ends the thread, whatever it is asked."""
        with self._changed:
            self._is_closed = True
            for job in self._waiting.values():
                job.future.cancel()
            self._waiting.clear()
            if self._running is not None:
                self._running.interrupt.set()
            self._changed.notify()

    def _answer_all(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._is_closed:
                    self._changed.wait()
                if self._is_closed:
                    return
                job = self._next()
                self._running = job
            self._answer(job)
            with self._changed:
                self._running = None

    def _next(self) -> _Job[Any]:
        urgent = [job for job in self._waiting.values() if not job.is_idle]
        job = urgent[0] if urgent else next(iter(self._waiting.values()))
        return self._waiting.pop(job.key)

    def _answer(self, job: _Job[Any]) -> None:
        try:
            with interruptible(job.interrupt):
                found = job.work()
        except OutOfWork:
            job.future.cancel()
            return
        except Exception as error:  # our own mistake: who asked tells it
            job.future.set_exception(error)
            return
        if job.interrupt.is_set:
            job.future.cancel()
        else:
            job.future.set_result(found)
