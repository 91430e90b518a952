"""Sweeps: every point is checked before the first job starts, and a report stands at the end."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig
from pydantic import ValidationError

from netspec.emit.text import write_text as write_source
from netspec.errors import Diagnostic, Origin, RunError, Span, SpecError
from netspec.reporting.terminal import print_error
from netspec.run import folder as files
from netspec.run.command import told, without_hydra
from netspec.run.data.dataset import Data, Wanted
from netspec.run.data.sources import open_data
from netspec.run.overrides import as_written, key_of
from netspec.run.preflight import Prepared, Reader, prepare
from netspec.run.report import write_report
from netspec.run.report.files import POINTS as POINTS_FILE
from netspec.run.report.files import PointFile
from netspec.run.report.write import foreign_report
from netspec.run.resume import other_data
from netspec.run.run_folder_overrides import SWEEP, going_on
from netspec.run.run_plugins import enabled_for_run
from netspec.run.settings import read_settings
from netspec.run.terminal import called, quiet, say, shown
from netspec.view.summary import Summary, summarize
from netspec.view.table import bytes_text

POINTS = "points.json"
_NOT_OF_A_POINT = ("folder", "resume", "preflight")


@dataclass(frozen=True, slots=True)
class Point:
    """One job of a sweep: its overrides, and what checking it gave."""

    index: int
    overrides: tuple[str, ...]
    varied: tuple[str, ...]  # those that differ among points
    prepared: Prepared | None = None
    summary: Summary | None = None
    error: SpecError | None = None
    same_as: int | None = None

    @property
    def data(self) -> str | None:
        """What tells its examples from others; None where it was not looked at."""
        return None if self.prepared is None else self.prepared.data.fingerprint


def sweep(
    arguments: Sequence[str],
    max_batch_size: int | None,
    *,
    hydra_context: Any,
    task_function: Any,
    config: DictConfig,
) -> list[JobReturn]:
    """Check all points, launch the jobs, report; what Hydra calls for `-m`.

    Ends the process with status 1 where a point is wrong (nothing was started then) or a job
    failed, and with 130 where it was interrupted.
    """
    quiet()
    folder = Path(config.hydra.sweep.dir)
    try:
        points = _points(arguments, hydra_context)
        with files.held(folder):
            _refuse_other(folder, config)
            if config.preflight:
                points = _checked(points, hydra_context, config)
            if not config.other_data:
                _refuse_other_data(folder, points)
            _refuse_foreign(folder, points)
            _write_plan(folder, arguments, points)
            returns = _launch(points, max_batch_size, hydra_context, task_function, config)
            report = write_report(folder)
    except SpecError as error:
        print_error(error)
        sys.exit(1)
    except KeyboardInterrupt:
        go_on = f"; go on with: {called('train')} -m {going_on(shown(folder))}"
        sys.stderr.write(f"\nstopped{go_on if (folder / SWEEP).is_file() else ''}\n")
        sys.exit(130)
    say(report.text)
    say("\n".join(f"wrote {path}" for path in report.paths))
    failed = [r for r in returns if r.status != JobStatus.COMPLETED]
    if failed:
        sys.stderr.write(f"{len(failed)} of {len(returns)} jobs failed; the report tells why\n")
        sys.exit(1)
    return returns


# The points


def _points(arguments: Sequence[str], hydra_context: Any) -> list[Point]:
    parser = OverridesParser.create(config_loader=hydra_context.config_loader)
    overrides = parser.parse_overrides(list(arguments))
    (jobs,) = BasicSweeper.split_arguments(overrides, None)
    if not jobs:
        fact = "a sweep over nothing: an override has no values"
        raise RunError(
            Diagnostic("NS702", fact, Span.of(Origin("option", arguments[0], " ".join(arguments))))
        )
    swept = {o.get_key_element() for o in overrides if o.is_sweep_override()}
    return [
        Point(index, tuple(job), tuple(text for text in job if text.partition("=")[0] in swept))
        for index, job in enumerate(jobs)
    ]


def _checked(points: Sequence[Point], hydra_context: Any, config: DictConfig) -> list[Point]:
    """The points with what they are. Raises RunError with all that is wrong in any of them."""
    found: list[Point] = []
    seen: dict[str, int] = {}
    read, folders = _reader(), _begun(Path(config.hydra.sweep.dir))
    for point in points:
        checked = _check(point, hydra_context, config, read, folders.get(point.index))
        if checked.prepared is not None:
            key = _identity(checked.prepared)
            if key in seen:
                checked = Point(
                    point.index,
                    point.overrides,
                    point.varied,
                    checked.prepared,
                    checked.summary,
                    None,
                    seen[key],
                )
            seen.setdefault(key, point.index)
        found.append(checked)
    wrong = [point for point in found if point.error is not None]
    if wrong:
        raise RunError(
            [diagnostic for point in wrong for diagnostic in _of_point(point, len(found))]
        )
    _list(found)
    return found


def _check(
    point: Point, hydra_context: Any, config: DictConfig, read: Reader, folder: Path | None
) -> Point:
    try:
        job = without_hydra(composed(hydra_context, config, point.overrides))
        overrides = [text for text in point.overrides if key_of(text) not in _NOT_OF_A_POINT]
        settings = read_settings(job, overrides)
        with enabled_for_run(settings.plugins, settings.limits, overrides):
            prepared = prepare(settings, overrides, read, folder)
    except SpecError as error:
        return Point(point.index, point.overrides, point.varied, error=error)
    summary = summarize(prepared.compiled.program, prepared.compiled.built.empty())
    return Point(point.index, point.overrides, point.varied, prepared, summary)


def composed(hydra_context: Any, config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """The configuration of one job. Raises RunError (NS701, NS702)."""
    with told(overrides):
        loaded: DictConfig = hydra_context.config_loader.load_sweep_config(config, list(overrides))
        return loaded


def _reader() -> Reader:
    """What opens the data of a sweep's points: as open_data; what many points share, once."""

    @lru_cache(maxsize=2)
    def opened(settings: str) -> Data:
        return open_data(json.loads(settings))

    def read(settings: Mapping[str, object], wanted: Wanted | None = None) -> Data:
        if wanted is not None:
            return open_data(settings, wanted)
        return opened(json.dumps(settings, sort_keys=True))

    return read


def _identity(prepared: Prepared) -> str:
    """What makes two points the same run: equal settings, and equal source of the model."""
    settings = prepared.settings.model_dump(mode="json", exclude={"model", "folder"})
    return json.dumps(settings, sort_keys=True) + write_source(prepared.compiled.written, "")


def _of_point(point: Point, count: int) -> list[Diagnostic]:
    """The diagnostics of a wrong point, each of which names the point."""
    assert point.error is not None, "asked of wrong points"
    note = f"in point {point.index} of {count}: {' '.join(map(as_written, point.varied))}"
    return [
        Diagnostic(d.code, d.fact, d.span, (*d.notes, note), d.help)
        for d in point.error.diagnostics
    ]


def _list(points: Sequence[Point]) -> None:
    """Every point with its size, before anything starts."""
    rows = []
    for point in points:
        assert point.summary is not None, "every right point has one"
        same = "" if point.same_as is None else f"same as {point.same_as}: not run again"
        rows.append(
            (
                str(point.index),
                " ".join(map(as_written, point.varied)),
                f"{point.summary.parameters:,}",
                f"{point.summary.flops:,}",
                bytes_text(point.summary.saved_bytes),
                same,
            )
        )
    head = ("point", "overrides", "parameters", "FLOPs", "held for backward", "")
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        cells = [
            cell.ljust(width) if column in (1, 5) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        say("  ".join(cells).rstrip())
    say(f"{len(points)} points, all right (FLOPs and bytes of one example)\n")


# The jobs


def _refuse_other(folder: Path, config: DictConfig) -> None:
    if (folder / SWEEP).is_file() and config.resume is not True:
        fact = "a sweep is in this folder"
        help = f"go on with it: -m resume={folder}; or choose another folder=…"
        raise RunError(Diagnostic("NS707", fact, Span(str(folder)), help=help))


def _refuse_foreign(folder: Path, points: Sequence[Point]) -> None:
    """Raises RunError (NS707) where the sweep or one of its jobs would overwrite files that none
    has written."""
    own = (folder / SWEEP).is_file()
    plan = [] if own or not (folder / POINTS).exists() else [POINTS]
    files.refuse_foreign(folder, [*plan, *foreign_report(folder)])
    for number, _ in enumerate(_to_run(points)):
        files.refuse_foreign(folder / str(number), files.foreign(folder / str(number)))


def _planned(folder: Path) -> list[PointFile]:
    """The points that a sweep wrote down when it began; none where this one begins."""
    path = folder / POINTS
    try:
        return POINTS_FILE.validate_json(path.read_bytes()) if path.is_file() else []
    except (OSError, ValidationError):
        return []


def _begun(folder: Path) -> dict[int, Path]:
    """The folders of the points of a sweep that goes on."""
    return {point.index: folder / point.folder for point in _planned(folder)}


def _refuse_other_data(folder: Path, points: Sequence[Point]) -> None:
    """Raises RunError (NS709) where a sweep goes on, and its points would have other examples."""
    was = {item.index: item.data for item in _planned(folder)}
    for point in points:
        if point.prepared is not None and was.get(point.index) not in (None, point.data):
            raise RunError(other_data(point.prepared.data.name, folder))


def _write_plan(folder: Path, arguments: Sequence[str], points: Sequence[Point]) -> None:
    called = [as_written(text) for text in arguments if key_of(text) not in _NOT_OF_A_POINT]
    files.write_json(folder / SWEEP, {"overrides": called})
    numbers = {p.index: str(n) for n, p in enumerate(_to_run(points))}
    numbers |= {p.index: f"{p.index}-as-{p.same_as}" for p in points if p.same_as is not None}
    plan = [
        {
            "index": point.index,
            "folder": numbers[point.index],
            "overrides": _named(point),
            "parameters": point.summary.parameters if point.summary else None,
            "flops": point.summary.flops if point.summary else None,
            "bytes": point.summary.saved_bytes if point.summary else None,
            "same_as": point.same_as,
            "data": point.data,
        }
        for point in points
    ]
    files.write_text(folder / POINTS, json.dumps(plan, indent=1, ensure_ascii=False) + "\n")


def _named(point: Point) -> list[str]:
    return [as_written(text) for text in point.overrides if key_of(text) not in _NOT_OF_A_POINT]


def _to_run(points: Sequence[Point]) -> list[Point]:
    return [point for point in points if point.same_as is None]


def _launch(
    points: Sequence[Point],
    max_batch_size: int | None,
    hydra_context: Any,
    task_function: Callable[[DictConfig], Any],
    config: DictConfig,
) -> list[JobReturn]:
    launcher = Plugins.instance().instantiate_launcher(
        hydra_context=hydra_context, task_function=task_function, config=config
    )
    jobs = [list(point.overrides) for point in _to_run(points)]
    size = max_batch_size or len(jobs)
    returns: list[JobReturn] = []
    for start in range(0, len(jobs), size):
        returns += launcher.launch(jobs[start : start + size], initial_job_idx=start)
    return returns
