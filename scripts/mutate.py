"""Look for one-line changes of the compiler that the nearest tests don't notice.

    python scripts/mutate.py --map                      # once: which tests run which lines
    python scripts/mutate.py --sample 300 --seed 1      # 300 mutations of ir, ops, emit, checks
    python scripts/mutate.py --paths netspec/ops        # all of a folder or file
    python scripts/mutate.py --known                    # those that nothing noticed once

Needs `pip install coverage` for --map. A mutation (`_mutations.py`) is planted in the import of its
module, in a process of its own that runs the tests which run its line, quick ones first, until one
fails; no file is changed. A mutation that none of them notices survives, and is listed, unless
`scripts/mutations_equivalent.txt` says why it changes nothing. What came of each is kept in
`--out`, and what is there is not done again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

from _mutations import FOLDERS, Mutation, mutations_of  # noqa: E402

EQUIVALENT = Path(__file__).with_name("mutations_equivalent.txt")
KNOWN = Path(__file__).with_name("mutations_known.json")
# The tests of the compiler; those of runs and of the command line start processes, in which nothing
# is planted.
TESTS = (
    "tests/test_cases.py", "tests/test_language.py", "tests/test_cases_from_outside.py",
    "tests/outside", "tests/ops", "tests/laws", "tests/registration", "tests/test_bytecode.py",
    "tests/test_display.py", "tests/test_export_source.py", "tests/test_features.py",
    "tests/test_folding.py", "tests/test_gradients.py", "tests/test_lifetimes.py",
    "tests/test_listing.py", "tests/test_memory.py", "tests/test_networks.py",
    "tests/test_tracebacks.py", "tests/test_twins.py", "tests/test_unknown.py",
    "tests/test_variants.py", "tests/test_verify.py", "tests/view",
)  # fmt: skip
MARKS = "not slow and not hunt"
LOADED = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"  # by `warm`
SLOW = (signal.SIGXCPU, signal.SIGKILL, signal.SIGALRM)
PYTEST = ("-q", "-p", "no:cacheprovider", "-W", LOADED, "-m", MARKS)


def main() -> int:
    options = parse_arguments()
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.map:
        return make_map(options.folder / "map", options.jobs)
    tests = Tests.read(options.folder / "map")
    if options.known:
        wanted = known_mutations()
    else:
        wanted = sampled(options.paths, options.kinds, options.sample, options.seed)
    out = options.out or options.folder / ("known.jsonl" if options.known else "results.jsonl")
    done = read_results(out)
    left = [m for m in wanted if m.name not in done]
    warm()
    runs = run_all(left, tests, options.jobs, options.seconds)
    with out.open("a", encoding="utf-8") as file:
        for number, (mutation, result) in enumerate(runs, 1):
            done[mutation.name] = result
            print(json.dumps({"name": mutation.name, **asdict(result)}), file=file, flush=True)
            if result.outcome != "noticed":
                print(f"{number}/{len(left)} {result.outcome} {mutation}", flush=True)
    return report(wanted, done)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mutate.py", allow_abbrev=False)
    parser.add_argument("--map", action="store_true", help="find which tests run which lines")
    parser.add_argument("--known", action="store_true", help="what once was not noticed")
    parser.add_argument("--paths", nargs="+", default=list(FOLDERS), help="folders or files")
    parser.add_argument("--kinds", nargs="+", default=[], help="such as `comparison`")
    parser.add_argument("--sample", type=int, help="so many of them, by chance")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=30.0, help="of tests for each, at most")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--folder", type=Path, default=ROOT / ".mutate", help="of the map")
    parser.add_argument("--out", type=Path, help="what came of each, a line each")
    return parser.parse_args()


# Which mutations


def sampled(
    paths: Sequence[str], kinds: Sequence[str], count: int | None, seed: int
) -> list[Mutation]:
    """The mutations of these files, or so many of them; a larger sample holds the smaller one."""
    found = [m for path in python_files(paths) for m in mutations_of(path)]
    found = [m for m in found if not kinds or m.kind in kinds]
    random.Random(seed).shuffle(found)
    return found[:count]


def python_files(paths: Sequence[str]) -> Iterator[str]:
    for path in paths:
        there = (ROOT / path).resolve()
        files = sorted(there.rglob("*.py")) if there.is_dir() else [there]
        yield from (file.relative_to(ROOT).as_posix() for file in files)


def known_mutations() -> list[Mutation]:
    """The changes of `mutations_known.json`, each found wherever its text stands today."""
    return [known_mutation(**each) for each in json.loads(KNOWN.read_text(encoding="utf-8"))]


def known_mutation(what: str, old: str, new: str) -> Mutation:
    """Raises LookupError where the text stands in no file or in several places."""
    texts = {path: (ROOT / path).read_text(encoding="utf-8") for path in python_files(FOLDERS)}
    found = {path: text for path, text in texts.items() if old in text}
    if sum(text.count(old) for text in found.values()) != 1:
        raise LookupError(f"{what}: its text stands in {sorted(found) or 'no file'}: {old}")
    path, text = found.popitem()
    start = text.index(old)
    first, last = (text.count("\n", 0, place) + 1 for place in (start, start + len(old)))
    return Mutation(path, first, last, start, old, new, what, "", old.splitlines()[0])


def equivalents() -> dict[str, str]:
    """Why each of these mutations changes nothing, by the mutation's name."""
    reasons: dict[str, str] = {}
    if EQUIVALENT.is_file():
        blocks = EQUIVALENT.read_text(encoding="utf-8").split("\n\n")
        for block in blocks:
            reason, *names = [line for line in block.splitlines() if not line.startswith("#")] or [
                ""
            ]
            reasons.update((name.strip(), reason) for name in names)
    return reasons


# Which tests


@dataclass
class Tests:
    """The tests that run a line, and how long each takes."""

    seconds: dict[str, float] = field(default_factory=dict)
    by_line: dict[tuple[str, int], set[str]] = field(default_factory=dict)
    by_file: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Tests:
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
        """Quick ones first, and no more than last so long; of a line of the module, its file's."""
        lines = range(mutation.line, mutation.last_line + 1)
        found = set().union(*(self.by_line.get((mutation.path, line), set()) for line in lines))
        chosen, total = [], 0.0
        for test in sorted(found or self.by_file.get(mutation.path, set()), key=self.seconds.get):
            total += self.seconds[test] + 0.01
            if chosen and total > seconds:
                break
            chosen.append(test)
        return chosen


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


# Running


@dataclass(frozen=True)
class Result:
    """`noticed`, `survived`, `slow` (noticed, as it did not end) or `not run` by any test."""

    outcome: str
    by: str
    seconds: float


def run_all(
    mutations: Iterable[Mutation], tests: Tests, jobs: int, seconds: float
) -> Iterator[tuple[Mutation, Result]]:
    """What comes of each, as it comes."""
    running: dict[int, tuple[Mutation, int, float, list[str]]] = {}
    for mutation in mutations:
        chosen = tests.near(mutation, seconds)
        if not chosen:
            yield mutation, Result("not run", "", 0.0)
            continue
        while len(running) >= jobs:
            yield ended(running)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            play(mutation, chosen, writing, seconds)
        os.close(writing)
        running[child] = mutation, reading, time.monotonic(), chosen
    while running:
        yield ended(running)


def ended(running: dict[int, tuple[Mutation, int, float, list[str]]]) -> tuple[Mutation, Result]:
    """Wait for one to end."""
    child, status = os.wait()
    mutation, reading, began, chosen = running.pop(child)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        said = pipe.read()
    seconds = round(time.monotonic() - began, 1)
    if said == "passed":
        return mutation, Result("survived", f"{len(chosen)} tests", seconds)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in SLOW:
        return mutation, Result("slow", said, seconds)
    return mutation, Result("noticed", said, seconds)


def play(mutation: Mutation, tests: list[str], writing: int, seconds: float) -> None:
    """Run the tests with the mutation in place, say what came of it, and end."""
    import resource

    import pytest

    class Tell:
        @pytest.hookimpl
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.failed:
                os.write(writing, report.nodeid.encode())

    most = int(10 * seconds) + 30
    resource.setrlimit(resource.RLIMIT_CPU, (most, most))
    signal.alarm(10 * most)  # where it waits for what never comes
    alone()
    sys.meta_path.insert(0, Planted(mutation))
    try:
        code = pytest.main([*PYTEST, "-x", *tests], plugins=[Tell()])
        if code == 0:
            os.write(writing, b"passed")
        os._exit(0)
    except BaseException:
        os._exit(1)


def alone() -> None:
    """Apart from the terminal and from what this one was started with."""
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)


@dataclass(frozen=True)
class Planted(MetaPathFinder):
    """Finds one module with a mutation in its text."""

    mutation: Mutation

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        file = ROOT / self.mutation.path
        stem = self.mutation.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        if name != stem:
            return None
        spec = PathFinder.find_spec(name, path, target)
        assert spec is not None, f"{name} is a module"
        spec.loader = _Loader(
            name, str(file), self.mutation.planted(file.read_text(encoding="utf-8"))
        )
        return spec


class _Loader(SourceFileLoader, Loader):
    def __init__(self, name: str, path: str, text: str) -> None:
        super().__init__(name, path)
        self.changed = text

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.changed, self.path, "exec", dont_inherit=True)


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


# What came of it


def read_results(file: Path) -> dict[str, Result]:
    if not file.is_file():
        return {}
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return {row.pop("name"): Result(**row) for row in rows}


def report(wanted: Sequence[Mutation], done: dict[str, Result]) -> int:
    """Print the counts and the survivors by place; 1 where one is left that no reason excuses."""
    named = equivalents()
    counted = Counter(done[m.name].outcome for m in wanted)
    left = [m for m in wanted if done[m.name].outcome in ("survived", "not run")]
    excused = [m for m in left if m.name in named]
    left = sorted((m for m in left if m.name not in named), key=lambda m: (m.path, m.start))
    for mutation in left:
        print(f"{done[mutation.name].outcome}: {mutation.name}")
    there = {m.name for m in sampled(FOLDERS, [], None, 0)}
    for name in named.keys() - there:
        print(f"{EQUIVALENT.name} names what is not there any more: {name}")
    seen = len(wanted) - len(excused)
    print(
        f"{len(wanted)} mutations: {', '.join(f'{n} {what}' for what, n in counted.items())}; "
        f"{len(excused)} change nothing; {len(left)} of {seen} survive "
        f"({100 * len(left) / max(1, seen):.1f} %)"
    )
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
