"""Two specs beside each other on one page, with what differs in colour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from netspec.analysis.analyse import Analysis
from netspec.analysis.calls import OUTPUTS
from netspec.comparison.model import Change, Difference, NetworkDiff
from netspec.display import visible
from netspec.drawing.graph import Drawing, Mark, drawing_of
from netspec.drawing.page import card_data, page_of, paths_of, texts_of
from netspec.view.summary import Summary
from netspec.view.table import bytes_text, flops_text


def comparison_html(found: NetworkDiff, names: tuple[str, str]) -> str:
    """The page of a comparison; `names` are what the specs are called."""
    back = {b: a for a, b in found.twins.items()}
    marks_a = dict(_marks(found.a, found.twins, found.changes, "b", of_a=True))
    marks_b = dict(_marks(found.b, back, found.changes, "a", of_a=False))
    a, b = drawing_of(found.a, marks_a), drawing_of(found.b, marks_b)
    name = f"{visible(names[0])} → {visible(names[1])}"
    content = {
        "name": name,
        "sideBySide": True,
        "totals": _totals(found.costs_a, found.costs_b),
        "cards": [
            _side(a, "a", names[0], found.costs_a, marks_a),
            _side(b, "b", names[1], found.costs_b, marks_b),
        ],
        "lines": [*_lines(a, "a"), *_lines(b, "b")],
        "mistakes": [],
        "at": {**dict(found.costs_a.probe), **dict(found.costs_b.probe)},
        "texts": {**texts_of(found.a), **texts_of(found.b)},
        "paths": {**paths_of(found.a), **paths_of(found.b)},
    }
    return page_of(name, content)


def _marks(
    analysis: Analysis,
    twins: Mapping[str, str],
    changes: tuple[Change, ...],
    other: str,
    of_a: bool,
) -> Iterator[tuple[str, Mark]]:
    """How each layer of one side differs, by its path."""
    for node in analysis.nodes:
        if node.path not in twins and node.state != "absent":
            yield node.path, Mark("removed" if of_a else "added")
    for change in changes:
        path, twin = (change.a, change.b) if of_a else (change.b, change.a)
        if path is None or twin is None:
            continue
        kinds = [k for k in ("changed", "moved", "renamed", "affected") if k in change.kinds]
        facts = tuple(_fact(fact) for fact in change.facts)
        yield _holder(path), Mark(kinds[0], facts, f"{other}.{_holder(twin)}".rstrip("."))


def _holder(path: str) -> str:
    """The layer whose outputs are meant, of their path."""
    return path.removesuffix(OUTPUTS).rstrip(".")


def _fact(fact: Difference) -> str:
    return f"{fact.what}: {fact.before or 'none'} → {fact.after or 'none'}"


def _side(
    drawing: Drawing, key: str, name: str, costs: Summary, marks: Mapping[str, Mark]
) -> dict[str, object]:
    """A card for a whole spec, with all others in it."""
    inner = [card_data(card) for card in drawing.cards]
    for card in inner:
        _prefix(card, key)
    mark = marks.get("")
    return {
        "path": key, "kind": "spec", "what": visible(name), "state": "known", "inputs": [],
        "output": costs.name, "times": 1, "parameters": costs.parameters, "shapes": [],
        "flops": costs.flops, "held": costs.saved_bytes, "file": "", "line": 0, "inner": inner,
        "facts": [] if mark is None else [visible(text) for text in mark.facts],
        "change": "" if mark is None else mark.kind,
    }  # fmt: skip


def _prefix(card: dict[str, object], key: str) -> None:
    card["path"] = f"{key}.{card['path']}"
    inner = card["inner"]
    assert isinstance(inner, list), "a card has a list of those in it"
    for one in inner:
        _prefix(one, key)


def _lines(drawing: Drawing, key: str) -> list[list[object]]:
    return [
        [f"{key}.{line.source}", f"{key}.{line.target}", line.argument, line.is_same]
        for line in drawing.lines
    ]


def _totals(a: Summary, b: Summary) -> str:
    pairs = (
        (f"{a.parameters:,}", f"{b.parameters:,} parameters"),
        (flops_text(a.flops), flops_text(b.flops)),
        (bytes_text(a.saved_bytes), f"{bytes_text(b.saved_bytes)} held for backward"),
    )
    return ", ".join(f"{before} → {after}" for before, after in pairs)
