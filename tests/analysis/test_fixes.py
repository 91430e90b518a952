"""The fixes that a diagnostic offers: each first one of the cases is made, and mends it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

import netspec
from netspec import Analysis
from netspec.errors import Help
from netspec.reporting.data import Found, json_of
from netspec.reporting.sarif import sarif_of
from tests.test_cases import ERRORS, options_of

TAKEN = {"args", "act", "overrides", "plugins", "limits"}
CASES = [case for case in ERRORS if options_of(case).keys() <= TAKEN]
LEAST = 110  # fixes over all cases


def analysed(case: Path, text: str) -> Analysis:
    return netspec.analyse(text, path=case, **options_of(case))  # type: ignore[arg-type]


@pytest.mark.parametrize("part", range(4))
def test_each_first_fix_mends_its_mistake(part: int) -> None:
    count = 0
    for case in CASES[part::4]:
        text = case.read_text(encoding="utf-8")
        for diagnostic in analysed(case, text).diagnostics:
            if not diagnostic.fixes or diagnostic.fixes[0].span.file != str(case):
                continue
            count += 1
            left = analysed(case, diagnostic.fixes[0].apply(text)).diagnostics
            told = {(one.code, one.fact) for one in left}
            assert (diagnostic.code, diagnostic.fact) not in told, (case.stem, diagnostic.fixes[0])
    assert count >= LEAST // 5


TEXT = """\
netspec: 1
inputs: {x: [N, 3, 32, 32]}
layers:
  conv: {module: Conv2d, out_channels: 8, kernal_size: 3}
  act: {module: ReLU, inplace: true}
  fc: {module: Conv2d, in_channels: 9, out_channels: width, kernel_size: 1}
"""


def test_a_fix_is_an_edit_with_a_place() -> None:
    (found,) = netspec.analyse(
        TEXT.replace(": 9", ": 8").replace("width", "2"), path="x.yaml"
    ).diagnostics
    (fix,) = found.fixes
    assert (fix.title, fix.replacement) == ("write `kernel_size`", "kernel_size")
    assert (fix.span.line, fix.span.column, fix.span.width) == (4, 43, 11)
    assert found.page == "errors/NS203.md"
    assert found.severity == "error"


def test_in_channels_become_what_the_input_says() -> None:
    text = TEXT.replace("kernal", "kernel").replace("width", "2")
    (found,) = netspec.analyse(text, path="x.yaml").diagnostics
    assert [fix.replacement for fix in found.fixes] == ["8"]
    assert netspec.analyse(found.fixes[0].apply(text), path="x.yaml").diagnostics == ()


def test_an_expression_gets_its_sign_and_its_quotes() -> None:
    text = TEXT.replace("kernal", "kernel").replace(": 9", ": 8").replace("width", "conv.ndim * 2")
    (found,) = netspec.analyse(text, path="x.yaml").diagnostics
    assert [fix.replacement for fix in found.fixes] == ['"=conv.ndim * 2"']
    quoted = text.replace("conv.ndim * 2", "'conv.ndim * 2'")
    (found,) = netspec.analyse(quoted, path="x.yaml").diagnostics
    for each in (text, quoted):
        (found,) = netspec.analyse(each, path="x.yaml").diagnostics
        assert netspec.analyse(found.fixes[0].apply(each), path="x.yaml").diagnostics == ()


@pytest.mark.parametrize(
    "entry", ["{module: ReLU, inplace: true}", "{inplace: true, module: ReLU}"]
)
def test_an_entry_is_left_out(entry: str) -> None:
    text = f"netspec: 1\ninputs: {{x: [N, 3]}}\nlayers:\n  act: {entry}\n"
    (found,) = netspec.analyse(text, path="x.yaml").diagnostics
    assert found.code == "NS402"
    mended = found.fixes[0].apply(text)
    assert "  act: {module: ReLU}\n" in mended
    assert netspec.analyse(mended, path="x.yaml").diagnostics == ()


def test_a_word_that_stands_there_twice_is_not_replaced() -> None:
    text = "netspec: 1\ninputs: {x: [N, 3]}\nlayers:\n  a: =xx[0:1] + f(y)\n"
    for found in netspec.analyse(text, path="x.yaml").diagnostics:
        for fix in found.fixes:
            assert fix.span.text[fix.span.column - 1 :][: fix.span.width] in ("y", "f", "xx")


def test_programs_are_told_of_them() -> None:
    (found,) = netspec.analyse(
        TEXT.replace(": 9", ": 8").replace("width", "2"), path="x.yaml"
    ).diagnostics
    (told,) = json_of([Found("x.yaml", found)])
    assert told["fixes"] == [
        {
            "title": "write `kernel_size`", "line": 4, "column": 43, "endLine": 4, "endColumn": 54,
            "replacement": "kernel_size",
        }
    ]  # fmt: skip
    log = json.dumps(sarif_of([Found("x.yaml", found)], {}))
    assert '"insertedContent": {"text": "kernel_size"}' in log


def test_related_places() -> None:
    text = "netspec: 1\ninputs: {x: [N, 3]}\nlayers:\n  a: relu\n  a: relu\n"
    (found,) = netspec.analyse(text, path="x.yaml").diagnostics
    assert [(one.span.line, one.fact) for one in found.related] == [(4, "it is first given here")]


def test_a_help_is_a_text_that_can_be_copied() -> None:
    help = Help("write `b`", "a", "b")
    copy = pickle.loads(pickle.dumps(help))
    assert (copy, copy.word, copy.instead) == (help, "a", ("b",))
