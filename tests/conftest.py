"""Of every test: one thread for torch, no answer on disk, one seed; long files begin."""

from __future__ import annotations

import os
import random
import sys

import pytest

SEED = "NETSPEC_SEED"
# A process takes a whole file; what takes longest begins, so that none is left with it at the end.
LONGEST = (
    "tests/zoo/test_every_spec.py", "tests/test_features.py", "tests/parity/test_originals.py",
    "tests/laws/test_laws.py", "tests/registration/test_runs.py", "tests/run/test_sweep.py",
    "tests/run/test_training.py", "tests/run/test_processes.py", "tests/run/test_resume.py",
    "tests/outside/test_cases_from_outside_bounds.py", "tests/test_hostile.py",
    "tests/view/test_json_schema.py", "tests/laws/test_any_text.py", "tests/test_cases.py",
    "tests/test_docs.py", "tests/test_verify.py", "tests/view/test_figures.py",
)  # fmt: skip


def pytest_configure() -> None:
    """One seed for all of a run's processes, which inherit it."""
    os.environ.setdefault(SEED, str(random.SystemRandom().randrange(10**6)))
    os.environ["NETSPEC_VERIFY"] = "1"  # each program that a test lowers is looked over
    os.environ["NETSPEC_CACHE"] = "0"  # nobody's own cache is read or written


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {file: number for number, file in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.nodeid.partition("::")[0], len(order)))


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
