"""What is global in a process, borrowed while torch is asked, and given back as it was.

Warnings, the random state, the fast path of attention, the garbage collector: two threads that
each borrowed and gave back one of these would leave it as neither found it. So one thread at a time
does.
"""

from __future__ import annotations

import gc
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock = threading.RLock()


def _renew() -> None:
    """In a process that was forked while another thread held the lock, nobody would release it."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


@contextmanager
def one_thread() -> Iterator[None]:
    """Other threads that come here wait."""
    with _lock:
        yield


@contextmanager
def silence() -> Iterator[None]:
    """No warnings from torch while it is only asked; the model gives its own when it runs."""
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def own_random_state() -> Iterator[None]:
    """Whatever is drawn or seeded inside, the CPU's generator goes on as if it had not been."""
    with _lock, torch.random.fork_rng(devices=[]):
        yield


@contextmanager
def without_fast_path() -> Iterator[None]:
    """Attention as it is written: its fast path looks at devices, not at shapes."""
    with _lock:
        fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)


@contextmanager
def without_collections() -> Iterator[None]:
    """No garbage collection while many small things are made and kept: it would find nothing."""
    with _lock:
        enabled = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if enabled:
                gc.enable()
