"""What the benchmarks share: interleaved clocks, ratios, tables in Markdown, and where it ran."""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from importlib import metadata
from pathlib import Path
from statistics import median, quantiles

Action = Callable[[], object]
Times = dict[str, list[float]]  # seconds of each round


@dataclass(frozen=True)
class Row:
    """One thing beside the one that it is measured against, in milliseconds."""

    what: str
    base_ms: float  # medians
    ms: float
    ratio: float  # of the medians
    ratio_of_minima: float
    quartiles: tuple[float, float, float]  # of the rounds' own ratios
    rounds: int
    goal: str = ""
    note: str = ""


def options(about: str | None) -> argparse.Namespace:
    """`--quick` and `--json FILE`, as every benchmark takes them."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--quick", action="store_true", help="a smoke run of a few seconds")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there as well")
    return parser.parse_args()


def clock(action: Action) -> float:
    """Seconds that one call takes; what it gives is freed after the clock was read."""
    gc.collect()
    start = time.perf_counter()
    result = action()
    seconds = time.perf_counter() - start
    del result
    return seconds


def clock_many(action: Action, times: int) -> float:
    """Seconds of one call, over several in a row."""
    numbers = range(times)
    start = time.perf_counter()
    for _ in numbers:
        action()
    return (time.perf_counter() - start) / times


def interleave(variants: Mapping[str, Callable[[], float]], rounds: int) -> Times:
    """The variants' own clocks, one after the other; each round begins with another of them."""
    times: Times = {name: [] for name in variants}
    names = list(variants)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            times[name].append(variants[name]())
    return times


def compare(
    what: str, base: Sequence[float], other: Sequence[float], goal: str = "", note: str = ""
) -> Row:
    """Two lists of seconds, round by round → a row."""
    ratios = [b / a for a, b in zip(base, other, strict=True)]
    low, middle, high = quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return Row(
        what=what,
        base_ms=1e3 * median(base),
        ms=1e3 * median(other),
        ratio=median(other) / median(base),
        ratio_of_minima=min(other) / min(base),
        quartiles=(low, middle, high),
        rounds=len(ratios),
        goal=goal,
        note=note,
    )


def ratio_table(rows: Iterable[Row], base: str, other: str) -> str:
    """The rows as Markdown."""
    head = (
        "what", f"{base}, ms", f"{other}, ms", "ratio of medians", "of minima",
        "quartiles of the rounds' ratios", "goal", "",
    )  # fmt: skip
    cells = [
        (
            row.what, f"{row.base_ms:.3g}", f"{row.ms:.3g}", f"**{row.ratio:.3f}**",
            f"{row.ratio_of_minima:.3f}", " · ".join(f"{ratio:.3f}" for ratio in row.quartiles),
            row.goal, row.note,
        )
        for row in rows
    ]  # fmt: skip
    return table(head, cells)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column to the left, the others to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def machine() -> dict[str, str]:
    """What the figures were taken on, and when."""
    return {
        "machine": f"{_processor()}, {os.cpu_count()} logical cores, {platform.system()}",
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
        "date": date.today().isoformat(),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def introduce(title: str, about: str) -> None:
    """The heading above the tables."""
    facts = machine()
    where = f"{facts['machine']}; Python {facts['python']}, torch {facts['torch']}; {facts['date']}"
    print(f"## {title}\n\n{about}\n\n{where}, one thread.\n", flush=True)


def write_json(path: Path | None, tables: Mapping[str, Sequence[object]]) -> None:
    """The figures of all tables, with what they were taken on."""
    if path is None:
        return
    plain = {
        name: [asdict(row) if isinstance(row, Row) else row for row in rows]
        for name, rows in tables.items()
    }
    text = json.dumps({**machine(), "command": sys.argv[0], "tables": plain}, indent=2)
    path.write_text(text + "\n", encoding="utf-8")
