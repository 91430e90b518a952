"""A folder of runs → its report beside them: report.txt, report.csv, report.html."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from netspec.run.folder import refuse_foreign, write_text
from netspec.run.report.page import KICKER, page_html
from netspec.run.report.read import read_runs
from netspec.run.report.table import (
    Table,
    is_of_training,
    measure,
    metric_title,
    report_table,
    test_metric,
)
from netspec.run.report.text import table_csv, table_text
from netspec.run.report.words import metric_text, plain

WIDTH = 100
PAGE = "report.html"
REPORT = (PAGE, "report.txt", "report.csv")  # in the order in which they are written


@dataclass(frozen=True, slots=True)
class Report:
    """What was written: the text of report.txt, and the paths of all files."""

    text: str
    paths: tuple[Path, ...]


def write_report(folder: Path) -> Report:
    """Write the report of all runs below the folder into it; the same runs give the same bytes.

    Each file is replaced whole, so that a reader never sees half of one. RunError NS711 where
    there are no runs, NS707 where somebody's own files have these names.
    """
    runs = read_runs(folder)
    refuse_foreign(folder, foreign_report(folder))
    table = report_table(runs)
    text = f"{headline(table)}\n\n{table_text(table, WIDTH)}"
    contents = (page_html(table, _title(folder)), text, table_csv(table))
    for name, content in zip(REPORT, contents, strict=True):
        write_text(folder / name, content)
    return Report(text, tuple(folder / name for name in (*REPORT[1:], PAGE)))


def foreign_report(folder: Path) -> list[str]:
    """The files of a report's names that are none: a page of it always stands beside the others."""
    there = [name for name in REPORT if os.path.lexists(folder / name)]
    try:
        page = (folder / PAGE).read_text(encoding="utf-8") if PAGE in there else ""
    except (OSError, ValueError):
        page = ""
    return [] if KICKER in page else there


def headline(table: Table) -> str:
    """`27 runs, 22 finished; best val_accuracy 0.9808 (test accuracy 0.9710): act=module`."""
    runs = [row.run for row in table.rows]
    done = sum(run.status == "finished" for run in runs)
    head = f"{len(runs)} run{'s' * (len(runs) != 1)}, {done} finished"
    best = _best(table)
    return f"{head}; {best}" if best else head


def _best(table: Table) -> str | None:
    first = table.rows[0]
    value = measure(first.run, table.metric)
    if first.rank is None or table.metric is None or value is None:
        return None
    title = metric_title(table.metric)
    words = plain(" ".join(first.run.overrides)) or first.run.name
    return f"{plain(title)} {metric_text(value)}{_beside(table)}: {words}"


def _beside(table: Table) -> str:
    """What the test gave for the best run, and whether it was chosen without validation data."""
    run = table.rows[0].run
    tested = test_metric(table.metric, [run])
    value = measure(run, tested)
    parts = [f"{metric_title(tested)} {metric_text(value)}"] if tested and value is not None else []
    if table.metric and is_of_training(table.metric.key):
        parts.insert(0, "there is no validation data")
    return f" ({', '.join(parts)})" if parts else ""


def _title(folder: Path) -> str:
    """The last two parts of the path, as a run's day and hour are."""
    return "/".join(folder.resolve().parts[-2:]).lstrip("/")
