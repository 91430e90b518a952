"""The report of runs and sweeps: what their folders hold, as a table, a page and curves."""

from __future__ import annotations

from netspec.run.report.curves import curves_svg
from netspec.run.report.read import RunResult, read_metrics_csv, read_runs
from netspec.run.report.table import Table, report_table
from netspec.run.report.text import table_csv, table_text
from netspec.run.report.write import Report, write_report

__all__ = [
    "Report",
    "RunResult",
    "Table",
    "curves_svg",
    "read_metrics_csv",
    "read_runs",
    "report_table",
    "table_csv",
    "table_text",
    "write_report",
]
