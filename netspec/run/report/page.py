"""A table of runs → one page that needs nothing but itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

from netspec.run.report.charts import (
    colour_of,
    curves_chart,
    scatter_chart,
    sparkline,
    strip_chart,
)
from netspec.run.report.table import (
    FAILED,
    Column,
    Row,
    Spread,
    Table,
    Value,
    differing_seed,
    has_spread,
    is_of_training,
    measure,
    metric_title,
    test_metric,
)
from netspec.run.report.words import (
    cell_text,
    command_text,
    metric_text,
    plain,
    seconds_text,
)

HERE = Path(__file__).parent
KICKER = '<p class="kicker">netspec runs</p>'  # by which a report is known again


def page_html(table: Table, title: str) -> str:
    """The report as one page: the best run, groups over seeds, charts, all runs, what failed.

    It takes nothing from elsewhere, says the same without its script, and follows light and dark.
    """
    sections = [
        _headline(table),
        _groups(table),
        _curves(table),
        _dots(table),
        _runs(table),
        _errors(table),
        _commands(table),
    ]
    style = (HERE / "page.css").read_text(encoding="utf-8")
    script = (HERE / "page.js").read_text(encoding="utf-8")
    lines = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(title)} – runs</title>",
        f"<style>\n{style}</style>\n</head>\n<body>\n<main>",
        f"<header>{KICKER}<h1>{_text(title)}</h1></header>",
        *(section for section in sections if section),
        f"</main>\n<script>\n{script}</script>\n</body>\n</html>\n",
    ]
    return "\n".join(lines)


def _headline(table: Table) -> str:
    """The best run and what the whole came to."""
    tiles = _tiles(table)
    best = table.rows[0]
    value = measure(best.run, table.metric)
    if best.rank is None or value is None or table.metric is None:
        return f'<section><h2>No run has a metric yet</h2><dl class="tiles">{tiles}</dl></section>'
    equal = sum(row.rank == 1 for row in table.rows) - 1
    chips = "".join(f"<li>{_text(each)}</li>" for each in best.run.overrides)
    others = f" · {equal} other run{'s' * (equal > 1)} equal to it" if equal else ""
    chips = f'<ul class="chips">{chips}</ul>' if chips else ""
    return (
        f'<section><div class="best"><div><p class="what">{_text(metric_title(table.metric))}</p>'
        f'<div class="value">{metric_text(value)}</div></div><div class="who">'
        f'<p class="what">best run: <b>{_text(best.run.name)}</b>{others}</p>{chips}'
        f"{_tested(table)}</div></div>"
        f'<dl class="tiles">{tiles}</dl></section>'
    )


def _tested(table: Table) -> str:
    """What the test gave for the best run, and by what it was chosen."""
    run, key = table.rows[0].run, table.metric.key if table.metric else ""
    tested = test_metric(table.metric, [run])
    value = measure(run, tested)
    words = []
    if tested is not None and value is not None:
        words.append(f"{metric_title(tested)}: {metric_text(value)}")
    if is_of_training(key):
        words.append("there is no validation data: ranked by what training measured")
    return "".join(f'<p class="note">{_text(line)}</p>' for line in words)


def _tiles(table: Table) -> str:
    counts = Counter(
        "duplicates" if row.run.same_as is not None else row.run.status for row in table.rows
    )
    tiles = [("runs", f"{len(table.rows):,}")]
    tiles += [(status, f"{count:,}") for status, count in sorted(counts.items())]
    spent = [
        row.run.seconds
        for row in table.rows
        if row.run.seconds is not None and row.run.same_as is None
    ]
    if spent:
        tiles.append(("time of all", seconds_text(sum(spent))))
    for name in ("device", "precision"):
        found = {row.run.device if name == "device" else row.run.precision for row in table.rows}
        found.discard(None)
        if len(found) == 1:
            tiles.append((name, str(found.pop())))
    return "".join(
        f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in tiles
    )


def _groups(table: Table) -> str:
    if table.metric is None or not has_spread(table):
        return ""
    rows = []
    for group in table.groups:
        cells = [
            _cell(column, value, cell_text(column, value), column.title == "mean ± std")
            for column, value in zip(table.group_columns, group.values, strict=True)
        ]
        cells[0] = cells[0].replace(">", f'><span class="key {colour_of(group.index)}"></span>', 1)
        rows.append(f"<tr>{''.join(cells)}</tr>")
    what = "runs that differ in their seed alone" if differing_seed(table) else "equal settings"
    note = f"{_text(metric_title(table.metric))}, mean and sample deviation (over n - 1) of {what}"
    return _section("Over seeds", note, _table(table.group_columns, rows))


def _curves(table: Table) -> str:
    key = _monitored(table)
    chart = curves_chart(table, key) if key else None
    if chart is None:
        return ""
    note = f"{_text(str(key))} over epochs, a line a run"
    if "stroke-dasharray" in chart:
        note += "; dashes in several colours: runs whose values are equal at every epoch"
    return _section("Curves", note, f'{_legend(table)}<div class="wide">{chart}</div>')


def _dots(table: Table) -> str:
    """The metric by group, and beside it by size, where sizes differ."""
    scatter = scatter_chart(table, 520)
    strip = strip_chart(table, 520 if scatter else 1040)
    if strip is None or table.metric is None or len(table.rows) < 2:
        return ""
    title = _text(metric_title(table.metric))
    bars = "; bar: mean, band: ± one deviation" if has_spread(table) else ""
    first = _section("By group", f"{title}, a dot a run{bars}", f'<div class="wide">{strip}</div>')
    if scatter is None:
        return first
    second = _section(
        "By size", f"{title} against parameters", f'<div class="wide">{scatter}</div>'
    )
    return f'<div class="pair">{first}{second}</div>'


def _runs(table: Table) -> str:
    key = _monitored(table)
    main = metric_title(table.metric) if table.metric else None
    drawn = key is not None and any(sparkline(row.run, key, row.group) for row in table.rows)
    rows = []
    for row in table.rows:
        cells = [
            _cell(column, value, cell_text(column, value), column.title == main, row)
            for column, value in zip(table.columns, row.values, strict=True)
        ]
        if drawn:
            cells.insert(-1, f"<td>{sparkline(row.run, key or '', row.group)}</td>")
        quiet = row.run.same_as is not None or row.rank is None
        kind = "quiet" if quiet else "first" if row.rank == 1 else ""
        rows.append(
            f'<tr class="{kind}">{"".join(cells)}</tr>' if kind else f"<tr>{''.join(cells)}</tr>"
        )
    columns = [*table.columns]
    if drawn:
        columns.insert(-1, Column(str(key), "text"))
    ranked = (
        f"by {_text(main)}, {'higher' if _upward(table) else 'lower'} is better" if main else ""
    )
    return _section("All runs", ranked, _table(columns, rows))


def _errors(table: Table) -> str:
    parts = [
        f"<article><h3>{_text(row.run.name)} – {_text(row.run.status)}"
        f"</h3><pre>{_lines(row.run.error)}</pre></article>"
        for row in table.rows
        if row.run.error or row.run.status in FAILED
    ]
    return (
        f'<section class="errors"><h2>What failed</h2>{"".join(parts)}</section>' if parts else ""
    )


def _commands(table: Table) -> str:
    parts = [
        f"<dt>{_text(row.run.name)}</dt><dd><code>{escape(command_text(row.run))}</code></dd>"
        for row in table.rows
        if row.run.same_as is None
    ]
    return (
        '<section><details><summary><h2>Run one again</h2></summary><dl class="commands">'
        f"{''.join(parts)}</dl></details></section>"
    )


def _table(columns: Sequence[Column], rows: Sequence[str]) -> str:
    heads = "".join(
        f'<th scope="col"{"" if _is_text(column) else " class=" + chr(34) + "n" + chr(34)}>'
        f"{_text(column.title)}</th>"
        for column in columns
    )
    return (
        f'<div class="wide"><table class="sortable"><thead><tr>{heads}</tr></thead>\n'
        f"<tbody>{chr(10).join(rows)}</tbody></table></div>"
    )


def _cell(column: Column, value: Value, words: str, main: bool, row: Row | None = None) -> str:
    """A cell that shows these words and sorts by this value."""
    kinds = ["cut" if _is_text(column) else "n"] + ["main"] * main
    shown = _text(words)
    if column.kind == "status" and row is not None:
        shown = f'<span class="status {row.run.status.replace(" ", "-")}">{shown}</span>'
    sorted_by = value.mean if isinstance(value, Spread) else value
    key = "" if sorted_by is None else _text(str(sorted_by).replace(",", ""))
    hint = f' title="{shown}"' if len(words) > 30 and column.kind == "text" else ""
    return f'<td class="{" ".join(kinds)}" data-v="{key}"{hint}>{shown}</td>'


def _legend(table: Table) -> str:
    if len(table.groups) < 2:
        return ""
    groups = sorted(table.groups, key=lambda group: group.index)
    known = [group for group in groups if colour_of(group.index) != "cx"]
    items = [(colour_of(group.index), plain(group.label)) for group in known]
    if len(known) < len(groups):
        items.append(("cx", f"other groups: {len(groups) - len(known)}"))
    shown = "".join(f'<li><span class="key {c}"></span>{escape(name)}</li>' for c, name in items)
    return f'<ul class="legend">{shown}</ul>'


def _section(title: str, note: str, body: str) -> str:
    return f'<section><h2>{title}</h2><p class="note">{note}</p>{body}</section>'


def _monitored(table: Table) -> str | None:
    """The column of metrics.csv that most runs monitor."""
    names = Counter(row.run.monitor.name for row in table.rows if row.run.monitor)
    return names.most_common(1)[0][0] if names else None


def _upward(table: Table) -> bool:
    return table.metric is not None and table.metric.mode == "max"


def _is_text(column: Column) -> bool:
    return column.kind in {"text", "status"}


def _lines(text: str | None) -> str:
    return "\n".join(_text(line) for line in (text or "it left no error text").strip().splitlines())


def _text(words: str) -> str:
    return escape(plain(words))
