"""Tables of numbers and a target → Data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from netspec.errors import Diagnostic, RunError, Span
from netspec.run.data.dataset import Data, Field
from netspec.run.data.in_memory import Arrays, column
from netspec.run.data.normalize import Moments, moments_for, scale_of
from netspec.run.data.paths import existing
from netspec.run.data.settings import CsvSettings
from netspec.run.data.split import held_out, limited
from netspec.run.data.table import Table, is_missing, read_table

_LARGEST = torch.finfo(torch.float32).max
_SPLITS = {"train": ("train",), "validation": ("val", "validation"), "test": ("test",)}


@dataclass(frozen=True)
class _Columns:
    """Which columns the inputs and the target are, by name, and the classes if there are any."""

    features: tuple[str, ...]
    targets: tuple[str, ...]
    classes: tuple[str, ...] | None


@dataclass(frozen=True)
class _Rows:
    """Features [N, F], not a number where they are missing, and targets [N] or [N, T]."""

    features: Tensor
    target: Tensor

    def at(self, positions: Tensor) -> _Rows:
        return _Rows(self.features[positions], self.target[positions])


def csv_data(settings: CsvSettings) -> Data:
    """A csv file, or a folder with train.csv, validation.csv, test.csv → Data.

    Raises RunError: NS601, NS602 at a bad cell, NS604 for an unknown class, NS605.
    """
    root = existing(settings.root, "root", "file")
    tables = {
        name: read_table(path, settings.delimiter, settings.header)
        for name, path in _paths(root, settings).items()
    }
    columns = _columns(tables["train"], settings)
    found = {name: _rows(table, columns, settings) for name, table in tables.items()}
    splits = _divided(found, settings, stratify=columns.classes is not None)
    return _data(root.stem, settings, splits, columns)


def _data(name: str, settings: CsvSettings, splits: Mapping[str, _Rows], columns: _Columns) -> Data:
    means = splits["train"].features.nanmean(0).nan_to_num(0.0)
    filled = {
        split: _Rows(torch.where(rows.features.isnan(), means, rows.features), rows.target)
        for split, rows in splits.items()
    }
    width = len(columns.features)
    moments = moments_for(settings.normalize, filled["train"].features, width, 1.0)
    scale = scale_of(moments, (width,), 1.0) if moments else None
    examples = {
        split: Arrays((column(rows.features, scale),), rows.target)
        for split, rows in filled.items()
    }
    classes = columns.classes
    task = "regression" if classes is None else "classification"
    target = filled["train"].target
    return Data(
        name=name,
        task=task,
        inputs=(Field(None, (width,), torch.float32),),
        target=Field(None, tuple(target.shape[1:]), target.dtype),
        classes=classes,
        train=examples["train"],
        validation=examples.get("validation"),
        test=examples.get("test"),
        augment=None,
        gives={"num_features": width, **({"num_classes": len(classes)} if classes else {})},
        facts={
            "task": task,
            "features": list(columns.features),
            "targets": list(columns.targets),
            "classes": list(classes) if classes else None,
            "fill": means.tolist() if settings.missing == "mean" else None,
            **_moment_facts(moments),
        },
    )


def _moment_facts(moments: Moments | None) -> Mapping[str, list[float] | None]:
    if moments is None:
        return {"mean": None, "std": None}
    return {"mean": list(moments.mean), "std": list(moments.std)}


def _paths(root: Path, settings: CsvSettings) -> Mapping[str, Path]:
    if not root.is_dir():
        own = {"train": root}
    else:
        files = {n: [root / f"{w}.csv" for w in ws] for n, ws in _SPLITS.items()}
        own = {n: p for n, paths in files.items() for p in paths if p.is_file()}
        existing(str(root / "train.csv"), "root", "file")
    if isinstance(settings.test, str):
        own["test"] = existing(settings.test, "test", "file")
    return own


def _columns(table: Table, settings: CsvSettings) -> _Columns:
    wanted = settings.target
    listed: Sequence[str | int] = (
        [-1] if wanted is None else wanted if isinstance(wanted, list) else [wanted]
    )
    targets = [table.number_of(name) for name in listed]
    if settings.features is None:
        features = [n for n in range(len(table.names)) if n not in targets]
    else:
        features = [table.number_of(name) for name in settings.features]
    if not features:
        fact = "no column is left for the inputs, beside the target's"
        raise RunError(Diagnostic("NS605", fact, Span(table.path)))
    return _Columns(
        tuple(table.names[n] for n in features),
        tuple(table.names[n] for n in targets),
        _classes(table, targets, settings),
    )


def _classes(table: Table, targets: Sequence[int], settings: CsvSettings) -> tuple[str, ...] | None:
    """The classes, sorted: as numbers if they all are whole numbers, else as texts."""
    if settings.task == "regression" or len(targets) > 1:
        return None
    cells = {cell.strip() for cell in table.column(targets[0]) if not is_missing(cell)}
    if all(_whole(cell) is not None for cell in cells):
        return tuple(sorted(cells, key=int))
    numbers = all(_number(cell) is not None for cell in cells)
    return None if numbers and settings.task == "auto" else tuple(sorted(cells))


def _rows(table: Table, columns: _Columns, settings: CsvSettings) -> _Rows:
    features = [table.number_of(name) for name in columns.features]
    targets = [table.number_of(name) for name in columns.targets]
    kept = [
        n for n in range(len(table.rows)) if not _dropped(table, n, features, targets, settings)
    ]
    values = [[_feature(table, n, c, settings) for c in features] for n in kept]
    wanted = [[_target(table, n, c, columns.classes) for c in targets] for n in kept]
    inputs = torch.tensor(values, dtype=torch.float32).view(len(kept), len(features))
    if columns.classes is None:
        return _Rows(inputs, torch.tensor(wanted, dtype=torch.float32).view(len(kept), -1))
    return _Rows(inputs, torch.tensor(wanted, dtype=torch.float32).view(-1).long())


def _dropped(
    table: Table, row: int, features: Sequence[int], targets: Sequence[int], settings: CsvSettings
) -> bool:
    """Whether the row goes because a cell is missing. Raises RunError: NS602 if it may not."""
    for number in (*features, *targets):
        if not is_missing(table.rows[row][number]):
            continue
        if settings.missing == "drop":
            return True
        if number in targets or settings.missing is None:
            fact = f"a value of column `{table.names[number]}` is missing"
            filled = "" if number in targets else "`data.missing=mean` fills it in, "
            help = f"{filled}`data.missing=drop` leaves such rows out"
            raise RunError(Diagnostic("NS602", fact, table.span(row, number), help=help))
    return False


def _feature(table: Table, row: int, number: int, settings: CsvSettings) -> float:
    cell = table.rows[row][number]
    if is_missing(cell):
        return float("nan")
    value = _number(cell)
    if value is None:
        fact = f"`{cell.strip()}` in column `{table.names[number]}` is no number"
        help = "`data.features=[…]` says which columns to use"
        if settings.header is False and row == 0:
            help = "if this line names the columns, say `data.header=true`"
        raise RunError(Diagnostic("NS602", fact, table.span(row, number), help=help))
    return value


def _target(table: Table, row: int, number: int, classes: tuple[str, ...] | None) -> float:
    cell = table.rows[row][number].strip()
    if classes is not None:
        if cell not in classes:
            fact = f"`{cell}` is none of the {len(classes)} classes to train on"
            raise RunError(Diagnostic("NS604", fact, table.span(row, number)))
        return classes.index(cell)
    value = _number(cell)
    if value is None:
        fact = f"`{cell}` in column `{table.names[number]}` is no number"
        help = "`data.task=classification` takes texts as classes"
        raise RunError(Diagnostic("NS602", fact, table.span(row, number), help=help))
    return value


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if abs(value) <= _LARGEST else None


def _whole(cell: str) -> int | None:
    try:
        return int(cell)
    except ValueError:
        return None


def _divided(
    found: Mapping[str, _Rows], settings: CsvSettings, stratify: bool
) -> Mapping[str, _Rows]:
    splits = dict(found)
    for name, share in (("test", settings.test), ("validation", settings.validation)):
        if name in splits or not share or isinstance(share, str):
            continue
        rows = splits["train"]
        labels = rows.target if stratify else None
        kept, taken = held_out(len(rows.target), share, settings.split_seed, labels, name)
        splits["train"] = rows.at(kept)
        if len(taken):
            splits[name] = rows.at(taken)
    return {
        name: rows.at(limited(torch.arange(len(rows.target)), settings.limit))
        for name, rows in splits.items()
    }
