"""What holds for every test: one thread for torch, no answer on disk, and the laws' seed told."""

from __future__ import annotations

import os
import sys

import pytest


def pytest_configure() -> None:
    os.environ["NETSPEC_CACHE"] = "0"  # nobody's own cache is read or written


def pytest_runtest_setup() -> None:
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    search = sys.modules.get("tests.laws.search")
    if search is not None:
        text = f"laws were searched from the seed {search.FRESH_SEED}"
        terminalreporter.write_line(f"{text}; NETSPEC_SEED={search.FRESH_SEED} does it again")
