"""Which tests of the compiler run which of its lines; tests in a process of their own."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from _mutations import FOLDERS, ROOT, Mutation, python_files

# The tests of the compiler; those of runs and of the command line start processes, in which nothing
# is planted.
TESTS = (
    "tests/test_cases.py", "tests/test_language.py", "tests/test_help.py",
    "tests/test_cases_from_outside.py",
    "tests/outside", "tests/test_bytecode.py", "tests/test_folding.py", "tests/test_gradients.py",
    "tests/test_lifetimes.py", "tests/test_listing.py", "tests/test_memory.py",
    "tests/test_hostile.py", "tests/test_networks.py", "tests/test_tracebacks.py",
    "tests/test_twins.py", "tests/test_unknown.py", "tests/test_variants.py",
    "tests/test_verify.py", "tests/ops", "tests/view", "tests/registration",
    "tests/test_display.py", "tests/test_export_source.py", "tests/laws",
    "tests/test_features.py",
)  # fmt: skip
MARKS = "not slow and not hunt"
LOADED = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"  # by `warm`
PYTEST = ("-q", "-p", "no:cacheprovider", "-W", LOADED, "-m", MARKS)


@dataclass
class LineTests:
    """The tests that run a line, and how long each takes."""

    seconds: dict[str, float] = field(default_factory=dict)
    by_line: dict[tuple[str, int], set[str]] = field(default_factory=dict)
    by_file: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> LineTests:
        files = sorted(folder.glob("*.json"))
        if not files:
            sys.exit("which tests run which lines is not known yet: `scripts/mutate.py --map`")
        tests = cls()
        for file in files:
            data = json.loads(file.read_text(encoding="utf-8"))
            names = list(data["seconds"])
            tests.seconds.update(data["seconds"])
            for path, lines in data["lines"].items():
                for line, numbers in lines.items():
                    here = {names[number] for number in numbers}
                    tests.by_line.setdefault((path, int(line)), set()).update(here)
                    tests.by_file.setdefault(path, set()).update(here)
        return tests

    def near(self, mutation: Mutation, seconds: float) -> list[str]:
        """No more than last so long, quick ones first, of each file in turn.

        Of a line of the module itself, which runs before any test, it is its file's tests.
        """
        lines = range(mutation.line, mutation.last_line + 1)
        found = set().union(*(self.by_line.get((mutation.path, line), set()) for line in lines))
        chosen, total = [], 0.0
        for test in self._in_turn(found or self.by_file.get(mutation.path, set())):
            total += self.seconds[test] + 0.01
            if chosen and total > seconds:
                break
            chosen.append(test)
        return chosen

    def _in_turn(self, tests: set[str]) -> list[str]:
        """The quickest of each file, then the second of each, …"""
        seen: Counter[str] = Counter()
        ranked = []
        for test in sorted(tests, key=lambda test: (self.seconds[test], test)):
            file = test.partition("::")[0]
            ranked.append((seen[file], self.seconds[test], test))
            seen[file] += 1
        return [test for *_, test in sorted(ranked)]


def make_map(folder: Path, jobs: int) -> int:
    """Run the tests file by file, each in a process of its own that notes the lines they run."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [file for path in TESTS for file in test_files(ROOT / path)]
    texts = [(ROOT / path).read_bytes() for path in python_files(FOLDERS)]
    compiler = hashlib.sha256(b"".join(texts)).hexdigest()
    targets: dict[int, str] = {}
    left = [f for f in files if not is_mapped(folder, f, compiler)]
    warm()
    while left or targets:
        while left and len(targets) < jobs:
            file = left.pop(0)
            child = os.fork()
            if child == 0:
                alone()
                os._exit(map_file(file, map_of(folder, file), compiler))
            targets[child] = file
        child, status = os.wait()
        print(f"{targets.pop(child)}: {'mapped' if status == 0 else status}", flush=True)
    return 0


def test_files(path: Path) -> list[str]:
    files = sorted(path.rglob("test_*.py")) if path.is_dir() else [path] * path.is_file()
    return [file.relative_to(ROOT).as_posix() for file in files]


def map_of(folder: Path, file: str) -> Path:
    return folder / f"{file.replace('/', '.')}.json"


def is_mapped(folder: Path, file: str, compiler: str) -> bool:
    there = map_of(folder, file)
    return there.is_file() and json.loads(there.read_text(encoding="utf-8"))["of"] == compiler


def map_file(file: str, target: Path, compiler: str) -> int:
    import coverage
    import pytest

    noted = coverage.Coverage(
        data_file=None, include=[f"{ROOT}/{folder}/*" for folder in FOLDERS], messages=False
    )

    seconds: dict[str, float] = {}

    class Note:
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
            noted.switch_context(item.nodeid)
            began = time.process_time()
            result = yield
            seconds[item.nodeid] = round(time.process_time() - began, 3)
            noted.switch_context("")
            return result

    noted.start()
    pytest.main([*PYTEST, file], plugins=[Note()])
    noted.stop()
    numbers = {test: number for number, test in enumerate(seconds)}
    lines: dict[str, dict[int, list[int]]] = {}
    data = noted.get_data()
    for path in data.measured_files():
        of_path = lines.setdefault(Path(path).relative_to(ROOT).as_posix(), {})
        for line, contexts in data.contexts_by_lineno(path).items():
            here = [numbers[context] for context in contexts if context in numbers]
            if here:
                of_path[line] = here
    text = json.dumps({"of": compiler, "seconds": seconds, "lines": lines})
    target.write_text(text, encoding="utf-8")
    return 0


def alone() -> None:
    """Apart from the terminal and from what this one was started with."""
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)


def warm() -> None:
    """Load what takes long and is not changed, once for all that is forked."""
    import hypothesis
    import numpy
    import pytest
    import torch
    from torch import nn

    import netspec.errors

    torch.set_num_threads(1)
    nn.Linear(1, 1, device="meta")(torch.zeros(1, 1, device="meta"))
    assert hypothesis and numpy and pytest and netspec.errors  # they are loaded
    loaded = [name for name in sys.modules if name.startswith("netspec.")]
    assert not any(name.replace(".", "/").startswith(FOLDERS) for name in loaded), loaded
