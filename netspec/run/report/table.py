"""Runs → a ranked table of them, and a table of the groups that differ in their seed alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from netspec.run.report.files import Monitor
from netspec.run.report.read import RunResult

Kind = Literal["text", "rank", "metric", "spread", "count", "seconds", "status"]
FAILED = ("failed", "broken")


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of a run: of its best epoch, or of the test of that epoch's weights."""

    source: Literal["test", "best"]
    key: str
    mode: Literal["min", "max"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of either table; `kind` says how its values are written."""

    title: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Spread:
    """The mean of several figures, and the sample's deviation (over n - 1) of two and more."""

    mean: float
    std: float | None


Value = str | int | float | Spread | None


@dataclass(frozen=True, slots=True)
class Row:
    """One run: its place among the ranked (equal metrics share one), and a value per column."""

    run: RunResult
    rank: int | None
    group: int
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Runs that differ in their seed alone; `measured` holds the metric of each distinct one."""

    index: int
    label: str
    runs: tuple[RunResult, ...]
    measured: tuple[float, ...]
    spread: Spread | None
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
    """The runs ranked by what they monitor: of validation data, or of training where there is none.

    A test tells how good the chosen run is, and takes no part in the choice. The overrides that all
    runs share get no column. Runs without the metric stand below those that have it, runs that
    failed at the bottom.
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
    tested = test_metric(metric, runs)
    groups = _groups(runs, settings, group_of, shared, (metric, tested))
    return Table(metric, columns, rows, _group_columns(shared, tested), groups)


def choose_metric(runs: Sequence[RunResult]) -> Metric | None:
    """What most runs monitor, of validation data if some have it: never what a test measured."""
    monitors = [run.monitor for run in runs if run.monitor and not _is_of_test(run.monitor)]
    validated = [monitor for monitor in monitors if not is_of_training(monitor.name)]
    counted = Counter((monitor.name, monitor.mode) for monitor in validated or monitors)
    if not counted:
        return None
    (name, mode), _ = counted.most_common(1)[0]
    return Metric("best", name, mode)


def is_of_training(name: str) -> bool:
    """Whether a figure was measured on the training data itself, as `train_loss` is."""
    return name.startswith("train_")


def _is_of_test(monitor: Monitor) -> bool:
    """What no run of netspec's monitors; a file may say so all the same."""
    return monitor.name.startswith("test")


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


def test_metric(metric: Metric | None, runs: Iterable[RunResult]) -> Metric | None:
    """What the tests of these runs measured of what is monitored as `val_accuracy`, if anything."""
    if metric is None:
        return None
    bare = metric.key.removeprefix("val_").removeprefix("train_")
    tested = {key for run in runs for key in run.test or ()}
    return Metric("test", bare, metric.mode) if bare in tested else None


def _metric_columns(runs: Sequence[RunResult], metric: Metric | None) -> tuple[Metric, ...]:
    """What ranks first, then the test of it, other monitored figures, and what else was tested."""
    if metric is None:
        return ()
    tested = test_metric(metric, runs)
    monitored = [run.monitor.name for run in runs if run.monitor and run.best]
    others = [key for run in runs for key in run.test or () if key not in _CLOCK]
    found = [
        metric,
        *([tested] if tested else []),
        *(Metric("best", key, metric.mode) for key in monitored),
        *(Metric("test", key, metric.mode) for key in others),
    ]
    return tuple({(each.source, each.key): each for each in reversed(found)}.values())[::-1]


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
    if metric is None or value is None or not math.isfinite(value) or run.status != "finished":
        return None
    return value if metric.mode == "min" else -value


def _ranks(runs: Sequence[RunResult], metric: Metric | None) -> list[int | None]:
    """1, 1, 3: runs of equal metric share the better place."""
    scores = [_score(run, metric) for run in runs]
    known = [score for score in scores if score is not None]
    return [
        None if score is None else 1 + sum(other < score for other in known) for score in scores
    ]


def _placing(run: RunResult, metric: Metric | None) -> tuple[int, float]:
    """A key that sorts the best run first, the not started near, and the failed at the bottom."""
    score = _score(run, metric)
    if score is not None:
        return (0, score)
    if run.status in FAILED:
        return (3, 0.0)
    return (2 if run.status == "not started" else 1, 0.0)


def _group_columns(shared: Sequence[str], tested: Metric | None) -> tuple[Column, ...]:
    return (
        *(Column(key, "text") for key in shared or ("group",)),
        Column("runs", "count"),
        Column("mean ± std", "spread"),
        Column("min", "metric"),
        Column("max", "metric"),
        *([Column(metric_title(tested), "spread")] if tested else []),
        Column("parameters", "count"),
    )


def _groups(
    runs: Sequence[RunResult],
    settings: Sequence[Mapping[str, str]],
    group_of: Sequence[int],
    shared: Sequence[str],
    metrics: tuple[Metric | None, Metric | None],
) -> tuple[Group, ...]:
    """One group for each number, the best mean first, those without one last.

    The metrics are the one that ranks, and the test of it.
    """
    groups = []
    for index in dict.fromkeys(group_of):
        members = [i for i, group in enumerate(group_of) if group == index]
        setting = settings[members[0]]
        groups.append(
            _group(index, [runs[i] for i in members], [setting.get(key) for key in shared], metrics)
        )
    sign = -1.0 if metrics[0] and metrics[0].mode == "max" else 1.0
    return tuple(
        sorted(groups, key=lambda group: sign * group.spread.mean if group.spread else math.inf)
    )


def _group(
    index: int,
    runs: Sequence[RunResult],
    setting: Sequence[str | None],
    metrics: tuple[Metric | None, Metric | None],
) -> Group:
    metric, tested = metrics
    distinct = {run.same_as or run.name: run for run in runs}
    measured = _measured(distinct.values(), metric)
    spread = spread_of(measured)
    sizes = sorted({run.parameters for run in runs if run.parameters is not None})
    count = len(distinct)
    values: tuple[Value, ...] = (
        *(setting or ("all runs",)),
        str(count) if len(measured) == count else f"{len(measured)} of {count}",
        spread,
        min(measured, default=None),
        max(measured, default=None),
        *([spread_of(_measured(distinct.values(), tested))] if tested else []),
        "–".join(f"{size:,}" for size in dict.fromkeys((*sizes[:1], *sizes[-1:]))) or None,
    )
    label = " · ".join("default" if value is None else value for value in setting)
    return Group(index, label or "all runs", tuple(runs), measured, spread, values)


def _measured(runs: Iterable[RunResult], metric: Metric | None) -> tuple[float, ...]:
    """The figures of those runs that count."""
    scored = [run for run in runs if _score(run, metric) is not None]
    return tuple(value for run in scored if (value := measure(run, metric)) is not None)


def spread_of(values: Sequence[float]) -> Spread | None:
    """The mean with the deviation; None of nothing."""
    return Spread(math.fsum(values) / len(values), std_of(values)) if values else None


def std_of(values: Sequence[float]) -> float | None:
    """The sample's standard deviation, over n - 1; None of fewer than two values."""
    if len(values) < 2:
        return None
    if len(set(values)) == 1:
        return 0.0  # where rounding would leave 1e-17
    mean = math.fsum(values) / len(values)
    return math.hypot(*(value - mean for value in values)) / math.sqrt(len(values) - 1)
