"""A folder of runs → its report beside them: report.txt, report.csv, report.html."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from netspec.run.folder import write_text
from netspec.run.report.page import page_html
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


@dataclass(frozen=True, slots=True)
class Report:
    """What was written: the text of report.txt, and the paths of all files."""

    text: str
    paths: tuple[Path, ...]


def write_report(folder: Path) -> Report:
    """Write the report of all runs below the folder into it; the same runs give the same bytes.

    Each file is replaced whole, so that a reader never sees half of one. RunError NS711 where
    there are no runs.
    """
    runs = read_runs(folder)
    table = report_table(runs)
    text = f"{headline(table)}\n\n{table_text(table, WIDTH)}"
    files = {
        "report.txt": text,
        "report.csv": table_csv(table),
        "report.html": page_html(table, _title(folder)),
    }
    for name, content in files.items():
        write_text(folder / name, content)
    return Report(text, tuple(folder / name for name in files))


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
