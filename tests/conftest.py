"""What holds for every test: torch uses one thread, and the seed of the laws is told."""

from __future__ import annotations

import sys

import pytest


def pytest_runtest_setup() -> None:
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    search = sys.modules.get("tests.laws.search")
    if search is not None:
        text = f"laws were searched from the seed {search.FRESH_SEED}"
        terminalreporter.write_line(f"{text}; NETSPEC_SEED={search.FRESH_SEED} does it again")
