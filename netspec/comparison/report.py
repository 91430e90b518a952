"""A comparison as text for people, and as plain values for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from netspec.comparison.model import Change, Difference, Kind, NetworkDiff
from netspec.display import PLAIN, Look, Style, aligned, columns, cut, padded, paint, visible
from netspec.view.summary import Summary
from netspec.view.table import bytes_text, flops_text

_MARKS: dict[Kind, str] = {
    "added": "+", "removed": "-", "changed": "~", "renamed": ">", "moved": ">", "affected": "~",
}  # fmt: skip
_STYLES: dict[str, Style] = {"+": "added", "-": "removed", "~": "changed", ">": "help"}
_MOST_KEYS = 8  # of each sort that a text names
_SHORT = 20  # characters of an argument that is told of a layer that only one has
_MOST_TEXT = 40  # characters of what a fact says on one side


def comparison_text(found: NetworkDiff, names: tuple[str, str], look: Look = PLAIN) -> str:
    """The totals, what differs layer by layer, the keys; `names` are what the specs are called."""
    lines = [*_totals(found, names), ""]
    if found.equal:
        return "\n".join([*lines, "the same network, with the same keys"]) + "\n"
    shown = [change for change in found.changes if not _is_quiet(change)]
    folded = list(_folded(shown))
    widths = [max((columns(row[i]) for _, row, _ in folded), default=0) for i in (0, 1)]
    if look.width is not None:
        widths[0] = min(widths[0], look.width // 2 - 4)
    for mark, (path, operation, rest), more in folded:
        if columns(path) > widths[0]:  # a line of its own, so that nothing is pushed out
            lines.append(_painted(look, mark, f"{mark} {path}"))
            path = ""
        sign = mark if path else " "
        line = f"{sign} {padded(path, widths[0])}  {padded(operation, widths[1])}  {rest}".rstrip()
        lines += [_painted(look, mark, line)]
        margin = " " * (4 + widths[0])
        lines += [_cut(f"{margin}{text}", look) for text in more]
    quiet = len(found.changes) - len(shown)
    if quiet:
        layers = "1 layer gives" if quiet == 1 else f"{quiet} layers give"
        lines.append(f"{layers} other shapes for what comes in")
    return "\n".join([*lines, "", *_keys(found)]) + "\n"


def _cut(text: str, look: Look) -> str:
    return text if look.width is None else cut(text, look.width)


def _painted(look: Look, mark: str, line: str) -> str:
    return paint(look, _STYLES[mark], _cut(line, look))


def _is_quiet(change: Change) -> bool:
    """Whether nothing of it differs but the shape of what it gives."""
    return change.kinds == ("affected",) and all(fact.what == "gives" for fact in change.facts)


_Row = tuple[str, tuple[str, str, str], list[str]]


def _folded(changes: Sequence[Change]) -> Iterator[_Row]:
    """A row for each change; for those of one line of the text, which are copies, one."""
    groups: dict[object, list[Change]] = {}
    for change in changes:
        whats = tuple(fact.what for fact in change.facts)
        places = (change.place_a, change.place_b)
        key = (places, change.kinds, change.operation, whats) if any(places) else change
        groups.setdefault(key, []).append(change)
    for group in groups.values():
        yield _row(group)


def _row(group: Sequence[Change]) -> _Row:
    first, times = group[0], len(group)
    operation = cut(visible(" ".join(first.operation.split())), 24)
    operation += f" × {times}" if times > 1 else ""
    alike = len({change.facts for change in group}) == 1
    added = "added" in first.kinds or "removed" in first.kinds
    told = _told_of_added(group) if added else _told_of_both(first)
    if not alike and told and not added:
        told[-1] += ", and alike"
    return _mark(first), (_paths(group), operation, told[0] if told else ""), told[1:]


def _mark(change: Change) -> str:
    return "~" if "changed" in change.kinds else _MARKS[change.kinds[0]]


def _paths(group: Sequence[Change]) -> str:
    """`old → new`; of copies in a row `layer2.2 … 3`, of others the first."""
    first = group[0]
    here = _run([one.b for one in group if one.b is not None])
    before = _run([one.a for one in group if one.a is not None])
    if not here or not before or first.a == first.b:
        return here or before
    return f"{before} → {here}"


def _run(paths: Sequence[str]) -> str:
    if not paths:
        return ""
    parts = [path.rpartition(".") for path in paths]
    numbers = [int(number) for _, _, number in parts if number.isdigit()]
    in_a_row = numbers == list(range(numbers[0], numbers[0] + len(paths))) if numbers else False
    if len(paths) > 1 and in_a_row and len({around for around, _, _ in parts}) == 1:
        return f"{visible(paths[0])} … {numbers[-1]}"
    return visible(paths[0])


def _told_of_added(group: Sequence[Change]) -> list[str]:
    first = group[0]
    figures = [change.figures_b or change.figures_a for change in group]
    parameters = sum(one.parameters for one in figures if one is not None)
    told = [f"{parameters:,} parameters"] if parameters else []
    if first.inside:
        told.append("1 layer inside" if first.inside == 1 else f"{first.inside} layers inside")
    elif len(group) == 1:
        told += [f"{one.what}={one.after}" for one in first.facts if len(one.after) < _SHORT]
    return [visible(", ".join(told))] if told else []


def _told_of_both(change: Change) -> list[str]:
    words = [word for word in change.kinds if word in ("renamed", "moved")]
    facts = [fact for fact in change.facts if fact.what != "gives" or len(change.facts) == 1]
    around = (change.b or "").rpartition(".")[0]
    return [*([", ".join(words)] if words else []), *(_fact_text(fact, around) for fact in facts)]


def _fact_text(fact: Difference, around: str) -> str:
    texts = [fact.before, fact.after]
    if fact.what == "reads":  # by the names that they have beside the layer
        texts = [", ".join(p.removeprefix(f"{around}.") for p in t.split(", ")) for t in texts]
    before, after = (cut(visible(text), _MOST_TEXT) for text in texts)
    what = "" if fact.what == "is" else f"{visible(fact.what)} "
    return f"{what}{before or 'none'} → {after or 'none'}"


def _totals(found: NetworkDiff, names: tuple[str, str]) -> list[str]:
    """A table of both, and by how much B has more."""
    a, b = found.costs_a, found.costs_b
    rows = [["", visible(names[0]), visible(names[1]), ""]]
    rows.append(_counted("layers", _layers(found, True), _layers(found, False)))
    rows.append(_counted("parameters", a.parameters, b.parameters))
    about_a, about_b = ("≈ " if one.approximate else "" for one in (a, b))
    rows.append([
        "forward", about_a + flops_text(a.flops), about_b + flops_text(b.flops),
        _share(a.flops, b.flops),
    ])  # fmt: skip
    rows.append([
        "for backward", about_a + bytes_text(a.saved_bytes), about_b + bytes_text(b.saved_bytes),
        _share(a.saved_bytes, b.saved_bytes),
    ])  # fmt: skip
    if a.probe or b.probe:
        rows.append(["at", _sizes(a), _sizes(b), ""])
    for column in (1, 2):
        widest = max(columns(row[column]) for row in rows)
        for row in rows:
            row[column] = padded(row[column], widest, right=True)
    return aligned(rows)


def _layers(found: NetworkDiff, of_a: bool) -> int:
    analysis = found.a if of_a else found.b
    return sum(n.state != "absent" and n.kind != "input" for n in analysis.nodes)


def _sizes(summary: Summary) -> str:
    return ", ".join(f"{name} = {size}" for name, size in summary.probe)


def _counted(name: str, before: int, after: int) -> list[str]:
    more = f"{after - before:+,}" if after != before else ""
    share = _share(before, after)
    return [name, f"{before:,}", f"{after:,}", f"{more} ({share})" if more and share else more]


def _share(before: int, after: int) -> str:
    return f"{100 * (after - before) / before:+.1f} %" if before and after != before else ""


def _keys(found: NetworkDiff) -> Iterator[str]:
    """How a checkpoint of A fits B, in a few lines."""
    keys = found.keys
    total = len(found.b.tensors)
    same = len(keys.carried) - len(keys.renamed)
    yield f"keys: {same} of {total} fit as they are" + (
        f", {len(keys.renamed)} under other names" if keys.renamed else ""
    )
    renamed = [f"{old} → {new}" for new, old in keys.renamed.items()]
    reshaped = [f"{one.key} {list(one.shape_in_a)} → {list(one.shape)}" for one in keys.reshaped]
    added = [one.b for one in found.changes if one.b is not None and one.a is None]
    removed = [one.a for one in found.changes if one.a is not None and one.b is None]
    for word, told, count in (
        ("other names", renamed, len(renamed)),
        ("other shapes", reshaped, len(reshaped)),
        ("new", _below(keys.new, added), len(keys.new)),
        ("no longer there", _below(keys.unused, removed), len(keys.unused)),
        ("not certain", keys.uncertain, len(keys.uncertain)),
    ):
        if told:
            yield f"  {word} ({count}):"
            yield from (f"    {visible(text)}" for text in told[:_MOST_KEYS])
            if len(told) > _MOST_KEYS:
                yield f"    and {len(told) - _MOST_KEYS} more"


def _below(keys: Sequence[str], paths: Sequence[str]) -> Sequence[str]:
    """The keys, those below one of these layers as `layer.*`."""
    known = set(paths)
    found: dict[str, None] = {}
    for key in keys:
        parts = key.split(".")
        around = (".".join(parts[:count]) for count in range(1, len(parts)))
        found[next((f"{path}.*" for path in around if path in known), key)] = None
    return list(found)


def comparison_json(found: NetworkDiff, names: tuple[str, str]) -> dict[str, object]:
    """All of it as plain values."""
    return {
        "a": _side(found, names[0], True),
        "b": _side(found, names[1], False),
        "equal": found.equal,
        "changes": [asdict(change) for change in found.changes],
        "keys": {
            "carried": dict(found.keys.carried),
            "reshaped": [asdict(one) for one in found.keys.reshaped],
            "new": list(found.keys.new),
            "unused": list(found.keys.unused),
            "uncertain": list(found.keys.uncertain),
        },
    }


def _side(found: NetworkDiff, name: str, of_a: bool) -> dict[str, object]:
    costs = found.costs_a if of_a else found.costs_b
    return {
        "spec": name,
        "name": costs.name,
        "layers": _layers(found, of_a),
        "parameters": costs.parameters,
        "parameter_bytes": costs.parameter_bytes,
        "flops": costs.flops,
        "saved_bytes": costs.saved_bytes,
        "approximate": costs.approximate,
        "probe": dict(costs.probe),
    }
