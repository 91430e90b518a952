"""Runs → a ranked table of them, and a table of the groups that differ in their seed alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from netspec.run.report.read import RunResult

Kind = Literal["text", "rank", "metric", "spread", "count", "seconds", "status"]
Value = str | int | float | None
FAILED = ("failed", "broken")


@dataclass(frozen=True, slots=True)
class Metric:
    """What runs are compared by: a value of the test, or of the best epoch."""

    source: Literal["test", "best"]
    key: str
    mode: Literal["min", "max"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of either table; `kind` says how its values are written."""

    title: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Row:
    """One run: its place among the ranked (equal metrics share one), and a value per column."""

    run: RunResult
    rank: int | None
    group: int
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Runs that differ in their seed alone; `measured` holds the metric of each distinct one.

    `std` is the sample's (over n - 1), None where there are fewer than two.
    """

    index: int
    label: str
    runs: tuple[RunResult, ...]
    measured: tuple[float, ...]
    mean: float | None
    std: float | None
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """The runs, best first and the failed last, and their groups, best mean first."""

    metric: Metric | None
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    group_columns: tuple[Column, ...]
    groups: tuple[Group, ...]


def report_table(runs: Sequence[RunResult]) -> Table:
    """The runs ranked by their test metric, where there is one, else by their best epoch's.

    The overrides that all runs share get no column. Runs without the metric stand below those
    that have it, runs that failed at the bottom.
    """
    metric = choose_metric(runs)
    settings = [_settings(run, runs) for run in runs]
    keys = _differing(settings)
    metrics = _metric_columns(runs, metric)
    group_of = _group_indices(settings, keys)
    ranks = _ranks(runs, metric)
    order = sorted(range(len(runs)), key=lambda i: _placing(runs[i], metric))
    rows = tuple(
        Row(
            runs[i],
            ranks[i],
            group_of[i],
            (
                ranks[i],
                runs[i].name,
                *(settings[i].get(key) for key in keys),
                *(measure(runs[i], each) for each in metrics),
                runs[i].parameters,
                runs[i].epochs,
                runs[i].seconds,
                status_text(runs[i]),
            ),
        )
        for i in order
    )
    columns = (
        Column("#", "rank"),
        Column("run", "text"),
        *(Column(key, "text") for key in keys),
        *(Column(metric_title(each), "metric") for each in metrics),
        Column("parameters", "count"),
        Column("epochs", "count"),
        Column("time", "seconds"),
        Column("status", "status"),
    )
    shared = tuple(key for key in keys if key != "seed")
    groups = _groups(runs, settings, group_of, shared, metric)
    return Table(metric, columns, rows, _group_columns(shared), groups)


def choose_metric(runs: Sequence[RunResult]) -> Metric | None:
    """The metric that most runs monitor, as their test measured it where any of them was tested."""
    monitors = Counter((run.monitor.name, run.monitor.mode) for run in runs if run.monitor)
    tested = [run.test for run in runs if run.test]
    if monitors:
        (name, mode), _ = monitors.most_common(1)[0]
        key = _test_key(name, tested)
        return Metric("test", key, mode) if key else Metric("best", name, mode)
    if any("loss" in test for test in tested):
        return Metric("test", "loss", "min")
    return None


def measure(run: RunResult, metric: Metric | None) -> float | None:
    """What this run came to in this metric, None where it was not measured."""
    if metric is None:
        return None
    values = run.test if metric.source == "test" else run.best
    return (values or {}).get(metric.key)


def metric_title(metric: Metric) -> str:
    """`test accuracy`, or `best val_accuracy`."""
    return f"{metric.source} {metric.key.removeprefix('test_')}"


def status_text(run: RunResult) -> str:
    """The run's status, `same as 0` for one that was not run on its own."""
    if run.same_as is None:
        return run.status
    sweep, _, point = run.same_as.rpartition("/")
    return f"same as {point if run.name.rpartition('/')[0] == sweep else run.same_as}"


def has_spread(table: Table) -> bool:
    """Whether some group has several runs, so that the table of groups tells something."""
    return any(len(group.measured) > 1 for group in table.groups)


def differing_seed(table: Table) -> bool:
    """Whether seeds are what makes the runs of a group differ."""
    return any(column.title == "seed" for column in table.columns)


def _test_key(monitored: str, tested: Iterable[Mapping[str, float]]) -> str | None:
    """The name that the tests give to what is monitored as `val_accuracy`."""
    bare = monitored.removeprefix("val_")
    present = {key for test in tested for key in test}
    return next((key for key in (bare, f"test_{bare}", monitored) if key in present), None)


def _metric_columns(runs: Sequence[RunResult], metric: Metric | None) -> tuple[Metric, ...]:
    """The metric first, then the others of the test, then the monitored one of the best epoch."""
    found = dict.fromkeys([metric] if metric else [])
    tested = dict.fromkeys(key for run in runs for key in run.test or () if key not in _CLOCK)
    found |= dict.fromkeys(
        Metric("test", key, metric.mode)
        for key in tested
        if metric and (metric.source, metric.key) != ("test", key)
    )
    monitored = dict.fromkeys(run.monitor.name for run in runs if run.monitor and run.best)
    found |= dict.fromkeys(
        Metric("best", key, metric.mode)
        for key in monitored
        if metric and (metric.source, metric.key) != ("best", key)
    )
    return tuple(found)


_CLOCK = ("epoch", "step", "seconds")


def _settings(run: RunResult, runs: Sequence[RunResult]) -> dict[str, str]:
    """What the run's overrides set, with the seed even where it is the default."""
    settings = {}
    for override in run.overrides:
        key, _, value = override.lstrip("+").partition("=")
        if key.startswith("~"):
            key, value = key[1:], "(removed)"
        settings[key] = value
    if "seed" not in settings and all(each.seed is not None for each in runs):
        settings["seed"] = str(run.seed)
    return settings


def _differing(settings: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """The keys that not all have with the same value, in order of appearance, `seed` last."""
    keys = dict.fromkeys(key for each in settings for key in each)
    found = [key for key in keys if len({each.get(key) for each in settings}) > 1]
    return tuple(sorted(found, key=lambda key: key == "seed"))


def _group_indices(settings: Sequence[Mapping[str, str]], keys: Sequence[str]) -> list[int]:
    """The number of each one's group; groups are numbered in order of appearance."""
    numbers: dict[tuple[str | None, ...], int] = {}
    shared = [key for key in keys if key != "seed"]
    return [
        numbers.setdefault(tuple(each.get(key) for key in shared), len(numbers))
        for each in settings
    ]


def _score(run: RunResult, metric: Metric | None) -> float | None:
    """The metric as a number that is better when smaller; None for what has no rank."""
    value = measure(run, metric)
    if metric is None or value is None or not math.isfinite(value) or run.status in FAILED:
        return None
    return value if metric.mode == "min" else -value


def _ranks(runs: Sequence[RunResult], metric: Metric | None) -> list[int | None]:
    """1, 1, 3: runs of equal metric share the better place."""
    scores = [_score(run, metric) for run in runs]
    known = [score for score in scores if score is not None]
    return [
        None if score is None else 1 + sum(other < score for other in known) for score in scores
    ]


def _placing(run: RunResult, metric: Metric | None) -> tuple[int, float, float]:
    """A key that sorts the best run first, the not started near, and the failed at the bottom."""
    score = _score(run, metric)
    if score is not None:
        own = Metric("best", run.monitor.name, run.monitor.mode) if run.monitor else None
        second = _score(run, own)
        return (0, score, math.inf if second is None else second)
    if run.status in FAILED:
        return (3, 0.0, 0.0)
    return (2 if run.status == "not started" else 1, 0.0, 0.0)


def _group_columns(shared: Sequence[str]) -> tuple[Column, ...]:
    return (
        *(Column(key, "text") for key in shared or ("group",)),
        Column("runs", "count"),
        Column("mean ± std", "spread"),
        Column("min", "metric"),
        Column("max", "metric"),
        Column("parameters", "count"),
    )


def _groups(
    runs: Sequence[RunResult],
    settings: Sequence[Mapping[str, str]],
    group_of: Sequence[int],
    shared: Sequence[str],
    metric: Metric | None,
) -> tuple[Group, ...]:
    """One group for each number, the best mean first, those without one last."""
    groups = []
    for index in dict.fromkeys(group_of):
        members = [i for i, group in enumerate(group_of) if group == index]
        setting = settings[members[0]]
        groups.append(
            _group(index, [runs[i] for i in members], [setting.get(key) for key in shared], metric)
        )
    sign = -1.0 if metric and metric.mode == "max" else 1.0
    return tuple(
        sorted(groups, key=lambda group: math.inf if group.mean is None else sign * group.mean)
    )


def _group(
    index: int, runs: Sequence[RunResult], setting: Sequence[str | None], metric: Metric | None
) -> Group:
    distinct = {run.same_as or run.name: run for run in runs}
    scored = [run for run in distinct.values() if _score(run, metric) is not None]
    measured = tuple(value for run in scored if (value := measure(run, metric)) is not None)
    mean, std = mean_of(measured), std_of(measured)
    sizes = sorted({run.parameters for run in runs if run.parameters is not None})
    count = len(distinct)
    values: tuple[Value, ...] = (
        *(setting or ("all runs",)),
        str(count) if len(measured) == count else f"{len(measured)} of {count}",
        mean,
        min(measured, default=None),
        max(measured, default=None),
        "–".join(f"{size:,}" for size in dict.fromkeys((*sizes[:1], *sizes[-1:]))) or None,
    )
    label = " · ".join("default" if value is None else value for value in setting)
    return Group(index, label or "all runs", tuple(runs), measured, mean, std, values)


def mean_of(values: Sequence[float]) -> float | None:
    """The mean; None of nothing."""
    return math.fsum(values) / len(values) if values else None


def std_of(values: Sequence[float]) -> float | None:
    """The sample's standard deviation, over n - 1; None of fewer than two values."""
    if len(values) < 2:
        return None
    if len(set(values)) == 1:
        return 0.0  # where rounding would leave 1e-17
    mean = math.fsum(values) / len(values)
    return math.hypot(*(value - mean for value in values)) / math.sqrt(len(values) - 1)
