"""Of every test: one thread for torch, no answer on disk, one seed; long files begin.

Of the tests that are marked `sampled`, `scripts/dev.py test --all` asks for one in so many: others
in each run, by its seed. Without that, as where pytest is called by hand, all of them are run.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys

import pytest

SEED = "NETSPEC_SEED"
SAMPLE = "NETSPEC_TEST_SAMPLE"  # one in so many
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
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if item.get_closest_marker("sampled") and not drawn(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        kept = set(items) - set(left_out)
        items[:] = [item for item in items if item in kept]
    order = {file: number for number, file in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.nodeid.partition("::")[0], len(order)))


def drawn(item: pytest.Item) -> bool:
    """Whether a test is in this run's sample: the same for each of the run's processes."""
    text = f"{os.environ[SEED]} {item.nodeid}"
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return number % int(os.environ.get(SAMPLE, "1")) == 0


def pytest_runtest_setup() -> None:
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = (each for found in terminalreporter.stats.values() for each in found)
    searched = any("fresh" in getattr(report, "nodeid", "") for report in reports)
    if searched or SAMPLE in os.environ:
        seed = os.environ[SEED]
        terminalreporter.write_line(
            f"laws were searched and tests drawn by the seed {seed}; {SEED}={seed} does it again"
        )
