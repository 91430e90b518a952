"""What holds for every test: torch uses one thread, the laws' seed is told, long files begin."""

from __future__ import annotations

import os
import random
import sys

import pytest

SEED = "NETSPEC_SEED"


def pytest_configure() -> None:
    """One seed for all of a run's processes, which inherit it."""
    os.environ.setdefault(SEED, str(random.SystemRandom().randrange(10**6)))


def pytest_runtest_setup() -> None:
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = (each for found in terminalreporter.stats.values() for each in found)
    if any("fresh" in getattr(report, "nodeid", "") for report in reports):
        seed = os.environ[SEED]
        terminalreporter.write_line(
            f"laws were searched from the seed {seed}; {SEED}={seed} does it again"
        )
