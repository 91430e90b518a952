"""Look for a text that netspec answers with anything but a model or a placed SpecError.

    python scripts/fuzz.py --cases bytes=20000,yaml=5000,mutants=5000,expressions=5000 --seed 1
    python scripts/fuzz.py --guided 100000      # needs `pip install atheris`
    python scripts/fuzz.py --replay found/…     # one finding again

A case is made from its target, the seed and its number (`_fuzz_cases.py`), and put to the law of
`_fuzz_law.py` in a process of its own, so that a crash of torch is a finding as well. Findings are
made small and written to the folder `--out`; the exit status is 1 if there is one. With `--guided`,
atheris (libFuzzer for Python) damages texts at will and keeps what reaches new lines of
`netspec.source`, `netspec.language` and `netspec.ir`.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

DEFAULT = "bytes=4000,yaml=1000,mutants=2000,expressions=2000"
SAME = 3  # findings of one kind that are written
SILENCE = 300.0  # seconds without a new case, after which a worker is ended
SHRINKS = 300  # tries to make a finding smaller
REPORTED = 200  # cases between two lines of a worker
DEEP = 4  # one accepted case of so many is built


@dataclass
class Totals:
    """What came of the cases so far."""

    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    slowest: list[tuple[float, str, int]] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, line: dict[str, object]) -> None:
        """One line of a worker."""
        target = str(line["target"])
        self.outcomes.setdefault(target, Counter()).update(line["outcomes"])  # type: ignore[call-overload]
        self.seconds[target] = self.seconds.get(target, 0.0) + float(line["seconds"])  # type: ignore[arg-type]
        slow = [(s, target, number) for s, number in line["slowest"]]  # type: ignore[attr-defined]
        self.slowest = sorted([*self.slowest, *slow], reverse=True)[:10]


def main() -> int:
    options = parse_arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.replay:
        return replay(options.replay)
    if options.guided:
        return guided(options)
    if options.worker is not None:
        work(options)
        return 0
    return report(run(options), options)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", default=DEFAULT, help="how many of each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after so long")
    parser.add_argument("--out", type=Path, default=Path("outputs/fuzz"), help="for findings")
    parser.add_argument("--replay", type=Path, help="a finding (its .case file)")
    parser.add_argument("--guided", type=int, default=0, metavar="RUNS", help="with atheris")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def wanted(text: str) -> dict[str, int]:
    """`bytes=10,yaml=5` as a mapping."""
    pairs = (part.split("=") for part in text.split(","))
    return {name: int(count) for name, count in pairs}


# The process that is started by hand


def run(options: argparse.Namespace) -> Totals:
    """Runs the workers to their end, anew after a crash, and prints how far they are."""
    totals = Totals()
    ends = time.monotonic() + options.seconds
    workers = [Worker(options, index) for index in range(options.processes)]
    said = time.monotonic()
    while sum(worker.goes_on(totals) for worker in workers):
        time.sleep(0.2)
        if time.monotonic() > ends:
            for worker in workers:
                worker.end()
            break
        if time.monotonic() - said > 30:
            said = time.monotonic()
            print(summary(totals), flush=True)
    return totals


class Worker:
    """A process that checks every n-th case, and the file in which it tells where it is."""

    def __init__(self, options: argparse.Namespace, index: int) -> None:
        self.options, self.index = options, index
        self.log = options.out / f"worker{index}.jsonl"
        self.place = options.out / f"worker{index}.at"
        self.errors = options.out / f"worker{index}.crash"
        self.log.write_text("", encoding="utf-8")
        self.place.write_text("", encoding="utf-8")
        self.lines: TextIO = self.log.open(encoding="utf-8")
        self.done: dict[str, int] = {}
        self.seen, self.moved = "", time.monotonic()
        self.start()

    def start(self) -> None:
        """The same process again; `done` says behind which cases it begins."""
        command = [
            sys.executable, __file__, "--worker", str(self.index), "--out", str(self.options.out),
            "--cases", self.options.cases, "--seed", str(self.options.seed),
            "--first", str(self.options.first), "--processes", str(self.options.processes),
        ]  # fmt: skip
        environment = {**os.environ, "FUZZ_DONE": json.dumps(self.done), "OMP_NUM_THREADS": "1"}
        self.moved = time.monotonic()
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)

    def goes_on(self, totals: Totals) -> bool:
        """Reads what is new; a process that died or hangs becomes a finding."""
        ended = self.process.poll()
        for line in self.lines:
            found = json.loads(line)
            if "kind" in found:
                totals.kinds[found["kind"]] += 1
            else:
                totals.add(found)
        at = self.place.read_text(encoding="utf-8")
        if at != self.seen:
            self.seen, self.moved = at, time.monotonic()
        if ended == 0:
            return False
        if ended is None:
            if time.monotonic() - self.moved > SILENCE:
                self.process.send_signal(signal.SIGABRT)  # faulthandler tells where it was
            return True
        assert ended != 1, "a worker failed by itself: its error stands above"
        self.crashed(totals, ended)
        self.start()
        return True

    def crashed(self, totals: Totals, status: int) -> None:
        """The case at which the process ended is a finding; the next process goes on behind it."""
        assert self.seen.strip(), "the worker cannot start"
        target, number = self.seen.split()
        trace = self.errors.read_text(encoding="utf-8") if self.errors.is_file() else ""
        innermost = re.search(r'File "[^"]*/netspec/([^"]*)", line (\d+)', trace)
        kind = (
            f"crash {status} at {innermost[1]}:{innermost[2]}" if innermost else f"crash {status}"
        )
        totals.kinds[kind] += 1
        self.done = {**self.done, target: int(number) + 1}
        name = f"crash_{target}_{self.options.seed}_{number}"
        origin = {"target": target, "seed": self.options.seed, "number": int(number)}
        text = json.dumps({**origin, "kind": kind}) + "\n" + trace
        (self.options.out / f"{name}.case").write_text(text, encoding="utf-8")

    def end(self) -> None:
        self.process.terminate()


def summary(totals: Totals) -> str:
    """One line."""
    parts = [
        f"{target} {sum(found.values()):,} ({milliseconds(totals, target):.1f} ms)"
        for target, found in totals.outcomes.items()
    ]
    return f"{', '.join(parts)}; {sum(totals.kinds.values())} findings"


def milliseconds(totals: Totals, target: str) -> float:
    """Of one case, on average."""
    return 1e3 * totals.seconds[target] / sum(totals.outcomes[target].values())


def report(totals: Totals, options: argparse.Namespace) -> int:
    """Prints the totals, writes them as JSON beside the findings, and gives the exit status."""
    for target, found in totals.outcomes.items():
        each = ", ".join(f"{code} {number:,}" for code, number in found.most_common())
        took = milliseconds(totals, target)
        print(f"{target}: {sum(found.values()):,} cases, {took:.2f} ms each\n  {each}")
    for seconds, target, number in totals.slowest:
        print(f"slow: {seconds:.2f} s, {target} {options.seed} {number}")
    for kind, number in totals.kinds.most_common():
        print(f"found {number}: {kind}")
    figures = {"seed": options.seed, "outcomes": totals.outcomes, "seconds": totals.seconds,
               "slowest": totals.slowest, "kinds": totals.kinds}  # fmt: skip
    (options.out / "totals.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return 1 if totals.kinds else 0


# A worker


def work(options: argparse.Namespace) -> None:
    """Checks this worker's share of the cases, and writes lines of JSON."""
    import _fuzz_cases as cases
    import _fuzz_law as law

    place = os.open(options.out / f"worker{options.worker}.at", os.O_WRONLY)
    done = json.loads(os.environ["FUZZ_DONE"])
    log = (options.out / f"worker{options.worker}.jsonl").open("a", encoding="utf-8", buffering=1)
    crash = (options.out / f"worker{options.worker}.crash").open("w", encoding="utf-8")
    faulthandler.enable(crash)
    resource.setrlimit(resource.RLIMIT_AS, (law.LIMIT, law.LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with law.checker() as checker:
        for target, numbers in shares(options, done):
            found: Counter[str] = Counter()
            seconds, slowest = 0.0, []
            for number in numbers:
                os.pwrite(place, f"{target} {number:<12}".encode(), 0)
                case = cases.make(target, options.seed, number)
                try:
                    outcome, took = checker.outcome(case, deep=number % DEEP == 0)
                except law.Broken as broken:
                    outcome, took = "FOUND", 0.0
                    name = f"{target}_{options.seed}_{number}"
                    finding(checker, case, broken, options.out, name)
                    log.write(json.dumps({"kind": broken.kind}) + "\n")
                found[outcome] += 1
                seconds += took
                slowest.append((took, number))
            line = {"target": target, "outcomes": found, "seconds": seconds,
                    "slowest": sorted(slowest, reverse=True)[:10]}  # fmt: skip
            log.write(json.dumps(line) + "\n")


def shares(options: argparse.Namespace, done: dict[str, int]) -> Iterator[tuple[str, range]]:
    """Runs of numbers, the targets by turns, so that a run that is cut off saw all of them."""
    left = {}
    for target, count in wanted(options.cases).items():
        first = options.first + options.worker
        numbers = range(first, options.first + count, options.processes)
        skipped = max(0, -(-(done.get(target, 0) - first) // options.processes))
        left[target] = numbers[skipped:]
    rounds = max((len(numbers) for numbers in left.values()), default=0) // REPORTED + 1
    for turn in range(rounds):
        for target, numbers in left.items():
            part = numbers[len(numbers) * turn // rounds : len(numbers) * (turn + 1) // rounds]
            if part:
                yield target, part


def finding(checker: object, case: object, broken: object, out: Path, name: str) -> None:
    """Writes a finding, as small as it gets, unless there are enough of its kind."""
    import _fuzz_cases as cases
    import _fuzz_law as law

    assert isinstance(checker, law.Checker) and isinstance(case, cases.Case)
    assert isinstance(broken, law.Broken)
    kind = re.sub(r"\W+", "_", broken.kind)[:60]
    if len(list(out.glob(f"{kind}__*.case"))) >= SAME:
        return
    small = case if broken.kind.startswith("hang") else shrink(checker, case, broken.kind)
    head = {"kind": broken.kind, "folder": small.folder, "name": name}
    (out / f"{kind}__{name}.yaml").write_bytes(small.data)
    (out / f"{kind}__{name}.case").write_text(
        json.dumps(head) + "\n" + broken.detail, "utf-8", "replace"
    )


def shrink(checker: object, case: object, kind: str) -> object:
    """Leaves lines out, then characters, as long as the law is broken in the same way."""
    import _fuzz_cases as cases
    import _fuzz_law as law

    assert isinstance(checker, law.Checker) and isinstance(case, cases.Case)

    def breaks(data: bytes) -> bool:
        try:
            checker.outcome(cases.Case(data, case.folder), deep=True)
        except law.Broken as broken:
            return broken.kind == kind
        except UnicodeDecodeError:
            return False
        return False

    left = SHRINKS
    data = case.data
    for pattern in (rb"(?<=\n)", rb"(?<=[,{}\[\] ()])", rb""):
        parts = [part for part in re.split(pattern, data) if part]
        size = max(1, len(parts) // 2)
        while size and left > 0:
            at = 0
            while at < len(parts) and left > 0:
                fewer = parts[:at] + parts[at + size :]
                left -= 1
                if breaks(b"".join(fewer)):
                    parts = fewer
                else:
                    at += size
            size //= 2
        data = b"".join(parts)
    return cases.Case(data, case.folder)


def replay(path: Path) -> int:
    """One finding again, with all that it says."""
    import _fuzz_cases as cases
    import _fuzz_law as law

    head = json.loads(path.read_text(encoding="utf-8").partition("\n")[0])
    if "target" in head:
        case = cases.make(head["target"], head["seed"], head["number"])
    else:
        case = cases.Case(path.with_suffix(".yaml").read_bytes(), head["folder"])
    sys.stdout.write(case.data.decode(errors="replace") + "\n----\n")
    told, status = "", 0
    faulthandler.enable()
    with law.checker() as checker:
        try:
            told = " ".join(map(str, checker.outcome(case, deep=True)))
        except law.Broken as broken:
            told, status = str(broken), 1
    print(told)
    return status


# With atheris


def guided(options: argparse.Namespace) -> int:
    """Coverage-guided: texts that reach new lines are kept and damaged further."""
    import atheris

    with atheris.instrument_imports(include=["netspec.source", "netspec.language", "netspec.ir"]):
        import _fuzz_cases as cases
        import _fuzz_law as law

    grown = options.out / "corpus"
    if not grown.is_dir():
        grown.mkdir()
        for index, (_, text) in enumerate(cases.corpus()):
            (grown / f"seed{index}").write_text(text, encoding="utf-8")
    outcomes: Counter[str] = Counter()

    def damage(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.3:
            return bytes(atheris.Mutate(data, most))
        text = data.decode(errors="replace")
        for _ in range(rng.choice((1, 1, 2))):
            text = rng.choice(cases.DAMAGES)(rng, text or "\n")
        return text.encode(errors="replace")[:most]

    with law.checker() as checker:

        def one(data: bytes) -> None:
            case = cases.Case(data, "configs/model")
            checker.drop_printed()  # libFuzzer's own progress
            try:
                outcome, _ = checker.outcome(case, deep=sum(outcomes.values()) % DEEP == 0)
            except law.Broken as broken:
                outcome = "FOUND"
                finding(checker, case, broken, options.out, f"guided_{abs(hash(data))}")
            outcomes[outcome] += 1
            if sum(outcomes.values()) % REPORTED == 0:
                text = json.dumps(outcomes)
                (options.out / "guided.json").write_text(text, encoding="utf-8")

        flags = [f"-runs={options.guided}", f"-seed={options.seed + 1}", "-max_len=6000",
                 f"-max_total_time={int(min(options.seconds, 1e6))}", "-rss_limit_mb=6000",
                 "-timeout=60", f"-artifact_prefix={options.out}/"]  # fmt: skip
        atheris.Setup([sys.argv[0], *flags, str(grown)], one, custom_mutator=damage)
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
