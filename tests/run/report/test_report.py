"""The report of runs: laws of rank and deviation, folders of every state, a page that is safe."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from netspec.errors import RunError
from netspec.run.report import (
    Table,
    curves_svg,
    read_metrics_csv,
    read_runs,
    report_table,
    table_csv,
    table_text,
    write_report,
)
from netspec.run.report.table import Spread
from netspec.run.report.words import metric_text, seconds_text

VOID = {"meta"}
CSV = "epoch,step,train_loss,val_loss,val_accuracy\n0,10,2.0,2.1,0.4\n1,20,1.0,1.2,0.7\n"


def leave_run(folder: Path, overrides: Sequence[str], score: float | None, **more: object) -> None:
    """A run that came to this accuracy in validation, and in its test if there was one."""
    folder.mkdir(parents=True)
    best = {"epoch": 1, "val_loss": 1.2, "val_accuracy": 0.7 if score is None else score}
    metrics = {
        "status": "finished",
        "monitor": {"name": "val_accuracy", "mode": "max"},
        "best": best,
        "last": best,
        "test": None if score is None else {"loss": 0.1, "accuracy": score},
        "overrides": list(overrides),
        "parameters": 44426,
        "seconds": 41.2,
        "epochs": 2,
    } | more
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "metrics.csv").write_text(CSV)


def leave_points(folder: Path, points: Sequence[tuple[Sequence[str], int | None]]) -> None:
    items = [
        {"index": i, "folder": str(i), "overrides": list(o), "parameters": 44426, "same_as": same}
        for i, (o, same) in enumerate(points)
    ]
    (folder / "points.json").write_text(json.dumps(items))


def table_of(folder: Path) -> Table:
    return report_table(read_runs(folder))


def order_of(table: Table) -> list[tuple[int | None, str]]:
    return [(row.rank, row.run.name) for row in table.rows]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Two forms with two seeds, a duplicate, a failed, a broken and a not started point."""
    points: list[tuple[list[str], int | None]] = [
        (["act=module", "seed=1", "lr=1"], None),
        (["act=module", "seed=2", "lr=1"], None),
        (["act=functional", "seed=1", "lr=1"], None),
        (["act=functional", "seed=2", "lr=1"], 1),
        (["act=inplace", "seed=1", "lr=1"], None),
        (["act=inplace", "seed=2", "lr=1"], None),
        (["act=<script>alert(1)</script>", "seed=1", "lr=1"], None),
    ]
    for index, test in ((0, 0.9710), (1, 0.9690), (2, 0.9710)):
        leave_run(tmp_path / str(index), points[index][0], test)
    error = "RuntimeError: <b>no</b>\nsecond line"
    leave_run(tmp_path / "4", points[4][0], None, status="failed", error=error)
    (tmp_path / "5").mkdir()
    (tmp_path / "5" / "metrics.json").write_text('{"status": "fini')
    leave_points(tmp_path, points)
    return tmp_path


def test_equal_metrics_share_a_rank_and_the_failed_are_at_the_bottom(sweep: Path) -> None:
    ranked = [(1, "0"), (1, "2"), (3, "1"), (3, "3")]
    assert order_of(table_of(sweep)) == [*ranked, (None, "6"), (None, "4"), (None, "5")]


def test_every_state_is_told(sweep: Path) -> None:
    states = {run.name: run.status for run in read_runs(sweep)}
    assert states["4"] == "failed" and states["5"] == "broken" and states["6"] == "not started"
    broken = read_runs(sweep)[5]
    assert broken.error is not None and broken.error.startswith("metrics.json cannot be read")


def test_a_duplicate_has_the_results_of_the_first_and_counts_in_its_own_group(sweep: Path) -> None:
    table = table_of(sweep)
    row = next(row for row in table.rows if row.run.name == "3")
    assert row.values[-1] == "same as 1" and row.run.test == {"loss": 0.1, "accuracy": 0.969}
    groups = {group.label: group for group in table.groups}
    assert groups["functional"].measured == (0.971, 0.969)


def test_a_duplicate_in_the_same_group_counts_once(tmp_path: Path) -> None:
    leave_run(tmp_path / "0", ["seed=1"], 0.9)
    leave_points(tmp_path, [(["seed=1"], None), (["seed=1"], 0)])
    (group,) = table_of(tmp_path).groups
    assert group.measured == (0.9,) and group.spread == Spread(0.9, None)


def test_the_deviation_is_the_samples(sweep: Path) -> None:
    group = next(group for group in table_of(sweep).groups if group.label == "module")
    assert group.spread is not None and group.spread.mean == pytest.approx(0.97)
    assert group.spread.std == pytest.approx(statistics.stdev([0.9710, 0.9690]))
    assert group.spread.std == pytest.approx(math.sqrt(2) * 0.001)
    assert "0.9700 ± 0.0014" in table_text(table_of(sweep), 80)


def test_a_lower_metric_is_better_where_the_monitor_says_so(tmp_path: Path) -> None:
    for name, loss in (("a", 0.3), ("b", 0.2), ("c", math.nan), ("d", 0.5)):
        best = {"epoch": 1, "val_loss": loss}
        leave_run(
            tmp_path / name,
            [f"lr={name}"],
            None,
            monitor={"name": "val_loss", "mode": "min"},
            best=best,
        )
    expected = [(1, "b"), (2, "a"), (3, "d"), (None, "c")]
    assert order_of(table_of(tmp_path)) == expected


def test_a_run_that_is_not_finished_has_no_rank(tmp_path: Path) -> None:
    leave_run(tmp_path / "0", ["lr=1"], None, status="running")
    leave_run(tmp_path / "1", ["lr=2"], 0.1)
    assert order_of(table_of(tmp_path)) == [(1, "1"), (None, "0")]


MONITORS = {
    "val_accuracy": ("max", [0.9, 0.8, 0.7]),
    "val_loss": ("min", [0.1, 0.2, 0.3]),
    "train_accuracy": ("max", [0.9, 0.8, 0.7]),
    "train_loss": ("min", [0.1, 0.2, 0.3]),
}


@pytest.mark.parametrize("monitor", MONITORS)
def test_the_test_data_choose_no_run(tmp_path: Path, monitor: str) -> None:
    """Runs whose tests say the opposite: rank, groups, headline and page go by the monitor."""
    mode, values = MONITORS[monitor]
    for number, (value, tested) in enumerate(zip(values, (0.1, 0.5, 0.99), strict=True)):
        found = {"monitor": {"name": monitor, "mode": mode}, "best": {"epoch": 1, monitor: value}}
        for seed in (0, 1):
            found["test"] = {"accuracy": tested, "loss": 1 - tested}
            overrides = [f"lr={number}", f"seed={seed}"]
            leave_run(tmp_path / f"{number}-{seed}", overrides, 0.0, **found)
    report = write_report(tmp_path)
    table = table_of(tmp_path)
    places = [(1, "0-0"), (1, "0-1"), (3, "1-0"), (3, "1-1"), (5, "2-0"), (5, "2-1")]
    assert order_of(table) == places
    assert [group.label for group in table.groups] == ["0", "1", "2"]
    assert [group.measured[0] for group in table.groups] == values
    headline = report.text.splitlines()[0]
    assert f"best {monitor} {values[0]:.4f}" in headline and headline.endswith("lr=0 seed=0")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f'<div class="value">{values[0]:.4f}</div>' in page
    told = "there is no validation data"
    assert (told in headline, told in page) == (monitor.startswith("train"),) * 2
    assert "test accuracy 0.1000" in headline or "test loss 0.9000" in headline


@pytest.mark.parametrize("monitor", [None, {"name": "test_accuracy", "mode": "max"}])
def test_runs_without_validation_or_training_figures_have_no_rank(
    tmp_path: Path, monitor: object
) -> None:
    leave_run(tmp_path / "0", ["lr=1"], 0.5, monitor=monitor)
    leave_run(tmp_path / "1", ["lr=2"], 0.9, monitor=monitor)
    assert order_of(table_of(tmp_path)) == [(None, "0"), (None, "1")]
    assert "best" not in write_report(tmp_path).text.splitlines()[0]


def test_the_tests_of_a_group_are_told_beside_its_rank(sweep: Path) -> None:
    titles = [column.title for column in table_of(sweep).group_columns]
    group = next(group for group in table_of(sweep).groups if group.label == "module")
    tested = group.values[titles.index("test accuracy")]
    assert isinstance(tested, Spread) and tested.mean == pytest.approx(0.97)
    assert tested.std == pytest.approx(math.sqrt(2) * 0.001)


def test_shared_overrides_have_no_column(sweep: Path) -> None:
    titles = [column.title for column in table_of(sweep).columns]
    assert "lr" not in titles and titles[2:4] == ["act", "seed"]


def test_runs_are_found_at_any_depth_and_in_the_order_of_numbers(tmp_path: Path) -> None:
    for index in (10, 2, 1):
        leave_run(tmp_path / "multirun" / "day" / str(index), [f"lr={index}"], 0.5)
    names = [run.folder.name for run in read_runs(tmp_path)]
    assert names == ["1", "2", "10"]
    assert len(read_runs(tmp_path / "multirun" / "day" / "2")) == 1


@pytest.mark.parametrize("missing", [True, False])
def test_no_runs_is_an_error_with_the_folder(tmp_path: Path, missing: bool) -> None:
    folder = tmp_path / "nothing" if missing else tmp_path
    with pytest.raises(RunError) as caught:
        read_runs(folder)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "NS711" and str(folder) in diagnostic.fact


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", '{"status": 3}', '{"status": "finished", "best": {"a": "x"}}', "\xff"],
)
def test_any_metrics_file_gives_a_report(tmp_path: Path, text: str) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "metrics.json").write_bytes(text.encode("latin-1"))
    assert read_runs(tmp_path)[0].status == "broken"
    assert "broken" in write_report(tmp_path).text


@pytest.mark.parametrize("text", ["{", "[1]", '[{"index": 0}]'])
def test_a_broken_points_file_is_told_and_the_runs_still_read(tmp_path: Path, text: str) -> None:
    leave_run(tmp_path / "0", ["lr=1"], 0.5)
    (tmp_path / "points.json").write_text(text)
    assert [run.status for run in read_runs(tmp_path)] == ["finished", "broken"]


@pytest.mark.parametrize("width", [40, 80, 100, 200])
def test_no_line_is_wider_than_asked(sweep: Path, width: int) -> None:
    text = table_text(table_of(sweep), width)
    assert max(map(len, text.splitlines())) <= width
    assert "0.9710" in text and "\x1b" not in text


def test_the_csv_reads_back_with_all_digits(sweep: Path) -> None:
    table = table_of(sweep)
    rows = list(csv.DictReader(io.StringIO(table_csv(table))))
    assert [row["run"] for row in rows] == [row.run.name for row in table.rows]
    assert float(rows[0]["test accuracy"]) == 0.971 and rows[0]["parameters"] == "44426"
    assert rows[4]["act"] == "<script>alert(1)</script>" and rows[4]["test accuracy"] == ""
    assert rows[5]["error"] == "RuntimeError: <b>no</b>\nsecond line"


def test_metrics_csv_keeps_empty_and_cut_cells_as_none(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,val_loss,lr\n0,,0.1\n1,0.5\n2,nan,x\n")
    rows = read_metrics_csv(path)
    assert rows[:2] == [
        {"epoch": 0.0, "val_loss": None, "lr": 0.1},
        {"epoch": 1.0, "val_loss": 0.5, "lr": None},
    ]
    assert math.isnan(rows[2]["val_loss"] or 0) and rows[2]["lr"] is None


class Checker(HTMLParser):
    """Fails on a tag that is not closed in its turn; keeps the tags and attributes seen."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_escaped_and_alone(sweep: Path) -> None:
    write_report(sweep)
    page = (sweep / "report.html").read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert not checker.open and checker.tags.count("script") == 1
    assert not {"href", "src"} & {name for name, _ in checker.attributes}
    assert not re.search(r"https?:|//[a-z]|@import|url\(", page)
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page and "<b>no" not in page
    assert "python train.py act=module seed=1 lr=1" in page and "stroke-dasharray" in page


def test_the_same_runs_give_the_same_bytes_and_nothing_else_is_left(sweep: Path) -> None:
    before = {path.name for path in sweep.iterdir()}
    first = [path.read_bytes() for path in write_report(sweep).paths]
    second = [path.read_bytes() for path in write_report(sweep).paths]
    assert first == second
    written = {"report.txt", "report.csv", "report.html"}
    assert {path.name for path in sweep.iterdir()} == before | written


def test_controls_in_an_override_reach_no_terminal(tmp_path: Path) -> None:
    leave_run(tmp_path / "0", ["x=\x1b[31m\n"], 0.5)
    leave_run(tmp_path / "1", ["x=1"], 0.5)
    text = write_report(tmp_path).text
    assert "\x1b" not in text and "\\x1b[31m\\n" in text


@pytest.mark.parametrize("rows", [[], [{"epoch": 0.0, "val_loss": None}], [{"val_loss": 0.5}]])
def test_curves_of_few_rows(rows: list[Mapping[str, float | None]]) -> None:
    ElementTree.fromstring(curves_svg(rows, "a < b"))


def test_curves_are_the_same_bytes_and_show_both_sides(sweep: Path) -> None:
    rows = read_metrics_csv(sweep / "0" / "metrics.csv")
    picture = curves_svg(rows, "lenet")
    assert picture == curves_svg(rows, "lenet")
    assert {"line train", "line val"} < set(re.findall(r'class="([^"]*)"', picture))


def test_numbers_as_people_read_them() -> None:
    assert [metric_text(value) for value in (0.971, 0.0, 2.5)] == ["0.9710", "0.0000", "2.5000"]
    spans = [seconds_text(value) for value in (0.81, 41.2, 200, 7500, 59.6)]
    assert spans == ["0.8 s", "41 s", "3 min 20 s", "2 h 05 min", "1 min 00 s"]
