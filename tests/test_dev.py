"""scripts/dev.py: which tests run in which of its two environments."""

from __future__ import annotations

import dev
import pytest

from tests.conftest import LONGEST


@pytest.mark.parametrize(
    ("arguments", "usual", "comparing"),
    [
        ([], ["--ignore=tests/parity"], []),
        (["-k", "word"], ["--ignore=tests/parity", "-k", "word"], ["-k", "word"]),
        (["tests/run"], ["--ignore=tests/parity", "tests/run"], None),
        (["tests/parity/test_harness.py::test_x"], None, ["tests/parity/test_harness.py::test_x"]),
        (
            ["tests/run", "tests/parity", "-x"],
            ["--ignore=tests/parity", "tests/run", "-x"],
            ["tests/parity", "-x"],
        ),
    ],
)
def test_comparisons_run_in_an_environment_of_their_own(
    arguments: list[str],
    usual: list[str] | None,
    comparing: list[str] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dev, "installed_python", lambda venv, extras, below: str(venv))
    monkeypatch.setenv(dev.ALL, "")
    wanted = {}
    if usual is not None:
        wanted["pytest"] = dev.pytest("python", "not hunt", usual)
    if comparing is not None:
        own = ["-o", "testpaths=tests/parity", *comparing]
        wanted["pytest tests/parity"] = dev.pytest(str(dev.ORIGINALS), "not hunt", own)
    assert dev.all_tests("python", arguments) == wanted


def test_the_files_that_begin_are_there() -> None:
    assert [file for file in LONGEST if not (dev.ROOT / file).is_file()] == []


def test_tests_are_spread_and_other_arguments_have_the_last_word() -> None:
    command = dev.pytest("python", "not hunt", ["-n", "0"])
    assert command.index("auto") < command.index("0")
