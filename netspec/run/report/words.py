"""Values as the report writes them: 0.9710, 44,426, 3 min 20 s."""

from __future__ import annotations

import math
import shlex

from netspec.run.report.read import RunResult
from netspec.run.report.table import Column, Spread, Value

MISSING = "–"


def cell_text(column: Column, value: Value) -> str:
    """A value of this column as people read it; `–` for none."""
    if value is None:
        return "" if column.kind == "rank" else MISSING
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, Spread):
        return spread_text(value)
    if column.kind == "metric":
        return metric_text(value)
    return seconds_text(value) if column.kind == "seconds" else f"{value:,}"


def spread_text(spread: Spread) -> str:
    """The mean, with the deviation beside it where there is one."""
    mean = metric_text(spread.mean)
    if spread.std is None:
        return mean
    return f"{mean} ± {spread.std:.3e}" if "e" in mean else f"{mean} ± {spread.std:.4f}"


def metric_text(value: float) -> str:
    """Four decimals; four figures where they would say nothing (0.000012, 1234567.0)."""
    if not math.isfinite(value):
        return str(value)
    tiny = 0 < abs(value) < 1e-3
    return f"{value:.3e}" if tiny or abs(value) >= 1e6 else f"{value:.4f}"


def seconds_text(seconds: float) -> str:
    """`0.8 s`, `41 s`, `3 min 20 s`, `2 h 05 min`, `3 d 4 h`."""
    if not math.isfinite(seconds):
        return str(seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


def command_text(run: RunResult) -> str:
    """The command line that runs it again."""
    return " ".join(["python train.py", *(plain(shlex.quote(each)) for each in run.overrides)])


def plain(text: str) -> str:
    """The text in one line that does nothing to a terminal or a page: controls are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
