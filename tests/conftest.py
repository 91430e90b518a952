"""What holds for every test: torch uses one thread."""

from __future__ import annotations

import sys


def pytest_runtest_setup() -> None:
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
