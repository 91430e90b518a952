"""scripts/mutate.py: which mutations it plants, and where those stand that nothing noticed once."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import mutate
import pytest
from _mutations import mutations_in, mutations_of
from _test_map import LineTests

# A statement of a function, and what is planted in it.
PLANTED = (
    ("return a < b", "return a <= b", "return None"),
    ("return 1 < n < 3", "return 1 <= n < 3", "return 1 < n <= 3", "return 1 < n",
     "return 2 < n < 3", "return 1 < n < 4", "return None"),
    ("x = a and b", "x = (a or b)"),
    ("x = not a", "x = a"),
    ("x = a if b else c", "x = (c if b else a)"),
    ("x = a + 1", "x = (a - 1)", "x = a + (2)"),
    ("x = 'a' + b",),
    ("x = True", "x = False"),
    ("f(a, key=2)", "pass", "f(a, key=(3))"),
    ("self.a = b", "pass"),
    ("a += b", "pass"),
    ("raise ValueError(a)", "pass"),
    ("raise AssertionError(a)",),
    ("assert a < b",),
    ("import a",),
    ("if a: b = c", "if (not a): b = c"),
    ("x = [a for a in b if c]", "x = [a for a in b if True]"),
    ("x: int = a",),
    ("'a text'",),
)  # fmt: skip


@pytest.mark.parametrize(("statement", "planted"), [(first, more) for first, *more in PLANTED])
def test_what_is_planted(statement: str, planted: list[str]) -> None:
    head = "def f(a, b):\n    "
    found = [m.planted(head + statement) for m in mutations_in("f.py", head + statement)]
    wanted = [ast.dump(ast.parse(head + text)) for text in planted]
    assert sorted(ast.dump(ast.parse(text)) for text in found) == sorted(wanted)


def test_each_mutation_is_python_and_changes_something() -> None:
    path = "netspec/ir/lower/expressions/evaluate.py"
    text = (mutate.ROOT / path).read_text(encoding="utf-8")
    tree = ast.dump(ast.parse(text))
    found = mutations_of(path)
    assert len({m.name for m in found}) > 0.9 * len(found) > 300
    for mutation in found[::10]:
        assert ast.dump(ast.parse(mutation.planted(text))) != tree, mutation


def test_a_larger_sample_holds_the_smaller_one() -> None:
    few, more = (mutate.sampled(["netspec/emit"], [], count, 3) for count in (10, 20))
    assert few == more[:10]


def test_the_known_ones_stand_in_the_code() -> None:
    assert len(mutate.known_mutations()) >= 6


def test_a_module_is_imported_with_its_mutation(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "netspec.emit.children"
    mutation = next(m for m in mutations_of("netspec/emit/children.py") if m.kind == "constant")
    monkeypatch.setattr(sys, "meta_path", [mutate.Planted(mutation), *sys.meta_path])
    spec = sys.meta_path[0].find_spec(name, [str(Path(mutate.ROOT, mutation.path).parent)])
    assert spec is not None and spec.loader is not None
    code = spec.loader.get_code(name)
    assert code is not None
    text = (mutate.ROOT / mutation.path).read_text(encoding="utf-8")
    assert code.co_consts == compile(mutation.planted(text), "", "exec").co_consts


def test_equivalent_ones_are_named_with_a_reason() -> None:
    assert all(len(reason) > 10 for reason in mutate.equivalents().values())


def test_the_tests_that_run_a_line_begin_with_the_quick_ones_of_each_file() -> None:
    mutation, *_ = mutations_in("f.py", "def f(a):\n    return a < 1\n")
    tests = LineTests({"a::slow": 5.0, "a::quick": 0.5, "b::1": 1.0, "a::other": 0.6, "c::": 0.1})
    tests.by_line = {("f.py", 2): {"a::slow", "a::quick", "b::1", "a::other"}, ("f.py", 1): {"c::"}}
    assert tests.near(mutation, 30.0) == ["a::quick", "b::1", "a::other", "a::slow"]
    assert tests.near(mutation, 2.0) == ["a::quick", "b::1"]
    of_the_module, *_ = mutations_in("f.py", "\nx = 1\n")
    assert of_the_module.line == 2
    tests = LineTests({"far": 1.0}, by_file={"f.py": {"far"}})
    assert tests.near(mutation, 30.0) == ["far"]
