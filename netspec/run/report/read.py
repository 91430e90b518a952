"""Folders of runs and sweeps → what each run came to."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from netspec.errors import Diagnostic, RunError, Span
from netspec.run.report.files import POINTS, MetricsFile, Monitor, PointFile

Status = Literal["finished", "running", "interrupted", "failed", "not started", "broken"]
Epoch = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class RunResult:
    """What one run came to, or why there is nothing to tell.

    `name` is its folder seen from the folder of the report. A `broken` run has a metrics.json that
    cannot be read; `error` says what is wrong with it. A run that is `same_as` another was not run
    on its own, and has the other's results.
    """

    name: str
    folder: Path
    status: Status
    error: str | None = None
    overrides: tuple[str, ...] = ()
    same_as: str | None = None
    monitor: Monitor | None = None
    best: Mapping[str, float] | None = None
    test: Mapping[str, float] | None = None
    spec: str | None = None
    seed: int | None = None
    parameters: int | None = None
    device: str | None = None
    precision: str | None = None
    epochs: int | None = None
    seconds: float | None = None
    rows: tuple[Epoch, ...] = ()


def read_runs(folder: Path) -> tuple[RunResult, ...]:
    """Every run in this folder and below it, in the order of their names (2 before 10).

    Started or not: the points of a sweep that have no results yet are here as `not started`, and
    what cannot be read is a `broken` run. RunError NS711 where there is no run at all.
    """
    runs: dict[Path, RunResult] = {}
    for place, files in _folders(folder):
        if "points.json" in files:
            runs |= {run.folder: run for run in _read_sweep(place, folder)}
        if place not in runs and ("metrics.json" in files or "run.yaml" in files):
            runs[place] = _read_run(place, folder, None)
    if not runs:
        raise _no_runs(folder)
    return tuple(sorted(runs.values(), key=lambda run: _natural(run.name)))


def read_metrics_csv(path: Path) -> list[dict[str, float | None]]:
    """The epochs of a `metrics.csv`; a cell that is empty, cut off or no number is None."""
    rows: list[dict[str, float | None]] = []
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        reader = csv.DictReader(file)
        try:
            rows.extend(
                {key: _number(row[key]) for key in reader.fieldnames or () if key} for row in reader
            )
        except csv.Error:  # the rest was being written, or is no text
            return rows
    return rows


def _folders(folder: Path) -> Iterator[tuple[Path, set[str]]]:
    """The folder and all below it with their files, a sweep before its points."""
    for place, below, files in os.walk(folder):
        below[:] = [name for name in below if not name.startswith(".") and name != "checkpoints"]
        yield Path(place), set(files)


def _read_sweep(place: Path, root: Path) -> tuple[RunResult, ...]:
    path = place / "points.json"
    try:
        points = POINTS.validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        fault = f"points.json cannot be read: {_fault(error)}"
        return (RunResult(_name(path, root), path, "broken", fault),)
    runs = {point.index: _read_run(place / point.folder, root, point) for point in points}
    origins = {point.index: point.same_as for point in points if point.same_as is not None}
    return tuple(_follow(index, runs, origins) for index in runs)


def _follow(index: int, runs: Mapping[int, RunResult], origins: Mapping[int, int]) -> RunResult:
    """The run at this index; one that stands for another has that one's results."""
    run, seen = runs[index], {index}
    origin = origins.get(index)
    while origin is not None and origin in origins and origin not in seen:
        seen.add(origin)
        origin = origins[origin]
    if origin is None or origin in seen or origin not in runs:
        return run
    first = runs[origin]
    if run.status != "not started":
        return replace(run, same_as=first.name)
    return replace(
        first,
        name=run.name,
        folder=run.folder,
        overrides=run.overrides,
        seed=None,
        same_as=first.name,
    )


def _read_run(place: Path, root: Path, point: PointFile | None) -> RunResult:
    """The run of this folder; its point of the sweep, if any, fills in what it has not said."""
    name = _name(place, root)
    overrides = tuple(point.overrides) if point else ()
    parameters = point.parameters if point else None
    known = RunResult(name, place, "not started", overrides=overrides, parameters=parameters)
    path = place / "metrics.json"
    if not path.is_file():
        return known
    try:
        file = MetricsFile.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        return replace(
            known, status="broken", error=f"metrics.json cannot be read: {_fault(error)}"
        )
    return RunResult(
        name=name,
        folder=place,
        status=file.status,
        error=file.error,
        overrides=tuple(file.overrides) or overrides,
        monitor=file.monitor,
        best=_measured(file.best),
        test=_measured(file.test),
        spec=file.spec,
        seed=file.seed,
        parameters=parameters if file.parameters is None else file.parameters,
        device=file.device,
        precision=file.precision,
        epochs=file.epochs,
        seconds=file.seconds,
        rows=_epochs(place / "metrics.csv"),
    )


def _epochs(path: Path) -> tuple[Epoch, ...]:
    try:
        return tuple(read_metrics_csv(path))
    except OSError:
        return ()


def _measured(values: Mapping[str, float | None] | None) -> dict[str, float] | None:
    if values is None:
        return None
    return {name: value for name, value in values.items() if value is not None}


def _number(cell: str | None) -> float | None:
    try:
        return float(cell) if cell else None
    except ValueError:
        return None


def _fault(error: ValidationError | OSError) -> str:
    """The first thing that is wrong, in one line: `seconds: Input should be a valid number`."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]


def _name(place: Path, root: Path) -> str:
    inner = Path(os.path.relpath(place, root)).as_posix()
    return root.resolve().name if inner == "." else inner


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts `2` before `10`."""
    return [(int(digits or 0), word) for word, digits in re.findall(r"(\D*)(\d*)", name)]


def _no_runs(folder: Path) -> RunError:
    fact = f"no runs below `{folder}`" if folder.is_dir() else f"there is no folder `{folder}`"
    return RunError(
        Diagnostic(
            "NS711",
            fact,
            Span(str(folder)),
            help="give the folder of a run or a sweep: one with a metrics.json or a points.json,"
            " or any folder above it",
        )
    )
