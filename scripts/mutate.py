"""Look for one-line changes of the compiler that the nearest tests don't notice.

    python scripts/mutate.py --map                      # once: which tests run which lines
    python scripts/mutate.py --sample 300 --seed 1      # 300 mutations of the compiler
    python scripts/mutate.py --paths netspec/ops        # all of a folder or file
    python scripts/mutate.py --known                    # those that nothing noticed once

A mutation (`_mutations.py`) is planted in the import of its
module, in a process of its own that runs the tests which run its line, quick ones first, until one
fails; no file is changed. A mutation that none of them notices survives, and is listed, unless
`scripts/mutations_equivalent.txt` says why it changes nothing. What came of each is kept in
`--out`, and what is there is not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

from _mutations import FOLDERS, Mutation, mutations_of, python_files  # noqa: E402
from _test_map import PYTEST, LineTests, alone, make_map, warm  # noqa: E402

EQUIVALENT = Path(__file__).with_name("mutations_equivalent.txt")
KNOWN = Path(__file__).with_name("mutations_known.json")
SLOW = (signal.SIGXCPU, signal.SIGKILL, signal.SIGALRM)


def main() -> int:
    options = parse_arguments()
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.map:
        return make_map(options.folder / "map", options.jobs)
    tests = LineTests.read(options.folder / "map")
    if options.known:
        wanted = known_mutations()
    else:
        wanted = sampled(options.paths, options.kinds, options.sample, options.seed)
    out = options.out or options.folder / ("known.jsonl" if options.known else "results.jsonl")
    done = read_results(out)
    left = [m for m in wanted if m.name not in done or (options.again and done[m.name].is_left)]
    warm()
    runs = run_all(left, tests, options.jobs, options.seconds)
    with out.open("a", encoding="utf-8") as file:
        for number, (mutation, result) in enumerate(runs, 1):
            done[mutation.name] = result
            print(json.dumps({"name": mutation.name, **asdict(result)}), file=file, flush=True)
            if result.is_left:
                print(f"{number}/{len(left)} {result.outcome} {mutation}", flush=True)
    return report(wanted, done)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mutate.py", allow_abbrev=False)
    parser.add_argument("--map", action="store_true", help="find which tests run which lines")
    parser.add_argument("--known", action="store_true", help="what once was not noticed")
    parser.add_argument("--paths", nargs="+", default=list(FOLDERS), help="folders or files")
    parser.add_argument("--again", action="store_true", help="what survived before, once more")
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


# Running


@dataclass(frozen=True)
class Result:
    """`noticed`, `survived`, `slow` (noticed, as it did not end) or `not run` by any test."""

    outcome: str
    by: str
    seconds: float

    @property
    def is_left(self) -> bool:
        return self.outcome in ("survived", "not run")


def run_all(
    mutations: Iterable[Mutation], tests: LineTests, jobs: int, seconds: float
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
    if os.WIFSIGNALED(status):
        said = signal.Signals(os.WTERMSIG(status)).name
    assert said, f"no test failed, and not all passed: is the map an old one? {mutation}"
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

        @pytest.hookimpl
        def pytest_collectreport(self, report: pytest.CollectReport) -> None:
            if report.failed:
                os.write(writing, report.nodeid.encode())

    most = int(10 * seconds) + 30
    resource.setrlimit(resource.RLIMIT_CPU, (most, most))
    signal.alarm(10 * most)  # where it waits for what never comes
    alone()
    sys.meta_path.insert(0, Planted(mutation))
    try:
        for file in by_file(tests):
            if pytest.main([*PYTEST, "-x", *file], plugins=[Tell()]) != 0:
                os._exit(0)  # it has told of a test, or there are no such tests any more
        os.write(writing, b"passed")
        os._exit(0)
    except BaseException as error:
        os.write(writing, repr(error).encode())
        os._exit(1)


def by_file(tests: Sequence[str]) -> list[list[str]]:
    """A file's tests together, since a file takes long to read; those with most tests first."""
    files: dict[str, list[str]] = {}
    for test in tests:
        files.setdefault(test.partition("::")[0], []).append(test)
    return sorted(files.values(), key=len, reverse=True)


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
    left = [m for m in wanted if done[m.name].is_left]
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
