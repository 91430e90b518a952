"""A run in a notebook: one output with a bar and a table, which is drawn anew in its place."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from netspec.run.progress import Now, Row, figures

_ROWS = 10  # that the table shows; metrics.csv has them all


class NotebookView:
    """The bar of a run and its last rows, in a cell's output."""

    def __init__(self, bar: bool = True) -> None:
        self._bar = bar
        self._now: Now | None = None
        self._rows: list[Row] = []
        self._shown: Any = None  # IPython's handle of the output

    def begin(self, now: Now) -> None:
        from IPython.display import HTML, display

        self._now = now if self._bar else None
        self._shown = display(HTML(self._html()), display_id=True)  # type: ignore[no-untyped-call,unused-ignore]

    def draw(self, now: Now) -> None:
        if self._bar:
            self._now = now
            self._draw()

    def row(self, row: Row, epochs: int) -> None:
        self._rows.append(row)
        self._draw()

    def end(self) -> None:
        self._now = None
        self._draw()

    def _draw(self) -> None:
        if self._shown is not None:
            from IPython.display import HTML

            self._shown.update(HTML(self._html()))  # type: ignore[no-untyped-call,unused-ignore]

    def _html(self) -> str:
        bar = "" if self._now is None else _bar(self._now)
        return bar + (rows_html(self._rows) if self._rows else "")


def _bar(now: Now) -> str:
    told = " · ".join(part for part in (now.loss, now.metric, now.speed) if part)
    count = f"epoch {min(now.epoch, now.epochs)}/{now.epochs}"
    return (
        f'<div>{count} <progress value="{now.step}" max="{max(now.steps, 1)}"></progress> '
        f"{html.escape(told)}</div>"
    )


def rows_html(rows: Sequence[Row]) -> str:
    """The last rows of metrics.csv as a table."""
    last = rows[-_ROWS:]
    names = list(dict.fromkeys(name for row in last for name in figures(row)))
    more = f"<caption>{len(rows) - _ROWS} rows before</caption>" if len(rows) > _ROWS else ""
    head = _cells("th", ["epoch", *names, "seconds"])
    body = "".join(
        _cells("td", [f"{int(row['epoch'] or 0)}", *(_number(row.get(n)) for n in names),
                      f"{row['seconds'] or 0:.1f}"])
        for row in last
    )  # fmt: skip
    return f"<table>{more}{head}{body}</table>"


def figures_html(figures: Sequence[tuple[str, str]]) -> str:
    """Names and what they are, a row each."""
    rows = "".join(_cells("td", pair) for pair in figures)
    return f"<table>{rows}</table>"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _cells(tag: str, texts: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(text)}</{tag}>' for text in texts)}</tr>"
