"""A confusion matrix → scores of each class, and both as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from netspec.display import visible

_MOST_CLASSES = 20  # of which all are shown
_LONGEST_NAME = 24
_LONGEST_HEAD = 6  # of a column; classes with longer names are numbered


@dataclass(frozen=True, slots=True)
class ClassScore:
    """How one class was told from the others; None where there is nothing to divide by."""

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int


def class_scores(confusion: Sequence[Sequence[int]], names: Sequence[str]) -> list[ClassScore]:
    """Scores of each class, from counts [true class][predicted class]."""
    scores = []
    for index, name in enumerate(names):
        hits = confusion[index][index]
        support = sum(confusion[index])
        predicted = sum(row[index] for row in confusion)
        scores.append(
            ClassScore(
                name,
                _share(hits, predicted),
                _share(hits, support),
                _share(2 * hits, support + predicted),
                support,
            )
        )
    return scores


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def score_lines(scores: Sequence[ClassScore]) -> list[str]:
    """A table of the classes; of many, those with the lowest f1."""
    shown = list(scores)
    after = []
    if len(scores) > _MOST_CLASSES:
        shown = sorted(scores, key=lambda score: 1.0 if score.f1 is None else score.f1)
        shown = shown[:_MOST_CLASSES]
        after = [f"the {_MOST_CLASSES} classes with the lowest f1, of {len(scores)}"]
    head = ["class", "precision", "recall", "f1", "support"]
    rows = [
        [_cut(s.name), _figure(s.precision), _figure(s.recall), _figure(s.f1), f"{s.support:,}"]
        for s in shown
    ]
    return [*aligned([head, *rows]), *after]


def confusion_lines(confusion: Sequence[Sequence[int]], names: Sequence[str]) -> list[str]:
    """The matrix, with what is right in brackets; of many classes, what is confused most."""
    if len(names) > _MOST_CLASSES:
        return _most_confused(confusion, names)
    names = [visible(name) for name in names]
    numbered = any(len(name) > _LONGEST_HEAD for name in names)
    heads = [str(index) for index in range(len(names))] if numbered else list(names)
    rows = [["true ╲ predicted", *(f"{head} " for head in heads)]]
    for index, counts in enumerate(confusion):
        label = f"{index} {_cut(names[index])}" if numbered else names[index]
        rows.append([label, *_cells(index, counts)])
    return aligned(rows)


def _cells(index: int, counts: Sequence[int]) -> Iterator[str]:
    for other, count in enumerate(counts):
        shown = str(count) if count else "·"
        yield f"[{shown}]" if other == index else f"{shown} "


def _most_confused(confusion: Sequence[Sequence[int]], names: Sequence[str]) -> list[str]:
    pairs = [
        (count, true, predicted)
        for true, row in enumerate(confusion)
        for predicted, count in enumerate(row)
        if count and true != predicted
    ]
    pairs.sort(key=lambda pair: (-pair[0], pair[1:]))
    if not pairs:
        return ["no class was taken for another one"]
    rows = [["true", "taken for", "times", "of them"]]
    for count, true, predicted in pairs[:_MOST_CLASSES]:
        share = f"{count / sum(confusion[true]):.1%}"
        rows.append([_cut(names[true]), _cut(names[predicted]), f"{count:,}", share])
    return aligned(rows, left=2)


def aligned(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Rows of cells as lines; the first `left` columns are flush left, the others right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _cut(name: str) -> str:
    name = visible(name)
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
