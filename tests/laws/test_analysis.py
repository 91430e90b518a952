"""A mistake in one layer leaves all that does not depend on it as it was."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import netspec
from netspec import Analysis

MODELS = Path(netspec.__file__).parent.parent / "configs" / "model"
SPECS = sorted(MODELS.glob("*.yaml"))
_FLOW = re.compile(r"\{ ?(?:module|call|act|block): [\w/]+(?=[,}])")


def mutations(text: str) -> list[tuple[int, str]]:
    """The text with an argument that nothing takes, in one layer after the other, and its line."""
    found = []
    for match in _FLOW.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        if "#" in text.splitlines()[line - 1][: match.start() - text.rfind("\n", 0, match.start())]:
            continue  # a comment
        found.append((line, f"{text[: match.end()]}, qqq: 1{text[match.end() :]}"))
    return found


def dependents(analysis: Analysis, wrong: set[str]) -> set[str]:
    """The paths of what reads these layers, of what is inside of it, and of what is around it."""
    children: dict[str, list[str]] = {}
    for node in analysis.nodes:
        children.setdefault(node.path.rpartition(".")[0], []).append(node.path)
    readers: dict[str, list[str]] = {}
    for edge in analysis.edges:
        readers.setdefault(edge.source, []).append(edge.target)
    # What calls a layer's module, by `use` or in an expression, reads no value of it.
    on_line: dict[int, list[str]] = {}
    for node in analysis.nodes:
        on_line.setdefault(node.place.line, []).append(node.path)
    for name in analysis.names:
        for path in on_line.get(name.definition.line, ()):
            used = [other for use in name.uses for other in on_line.get(use.line, ())]
            readers.setdefault(path, []).extend(used)
    found: set[str] = set()
    stack = list(wrong)
    while stack:
        path = stack.pop()
        if path in found:
            continue
        found.add(path)
        stack += [*readers.get(path, ()), *children.get(path, ())]
        around = path.rpartition(".")[0]
        # The copies of a repeat are a chain: after one that is wrong, none is looked at.
        stack += [around] if around else []
    return found


def check_law(path: Path, most: int) -> int:
    text = path.read_text(encoding="utf-8")
    right = netspec.analyse(text, path=path)
    if right.diagnostics:
        return 0
    changed = mutations(text)
    step = max(1, len(changed) // most)
    count = 0
    for line, mutated in changed[::step]:
        wrong = netspec.analyse(mutated, path=path)
        absent = any(n.state == "absent" for n in right.nodes if n.place.line == line)
        assert wrong.diagnostics or absent, (path, line)
        hit = {node.path for node in right.nodes if node.place.line == line}
        depending = dependents(right, hit)
        for node in right.nodes:
            if node.path in depending or node.output is None:
                continue
            now = wrong.by_path.get(node.path)
            assert now is not None and now.output == node.output, (path, line, node.path, now)
            count += 1
    return count


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_layers_that_do_not_depend_on_a_mistake_keep_their_types(path: Path) -> None:
    check_law(path, most=3)


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((MODELS / "zoo").glob("*.yaml")), ids=lambda p: p.stem)
def test_so_it_is_with_the_zoo(path: Path) -> None:
    check_law(path, most=8)
