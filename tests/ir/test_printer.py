"""Programs as text: some case pins each kind of node, and the bytes are always the same."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import get_args

import pytest
import torch

import netspec
from netspec.ir import expr, graph
from netspec.ir.expr import Binary, Choice, Const, Expr, Logic, Method, Unary, Value
from netspec.ir.expr_text import const_text, expr_text, on_one_line, plain_or_quoted
from netspec.ir.graph import NewInstance
from netspec.ir.printer import program_text
from netspec.ir.traversal import graphs_of
from netspec.ops.registry import Registered
from netspec.pipeline import compile_spec
from tests.test_cases import OK, options_of

A, B, C = Value(0), Value(1), Value(2)
NAMES = {0: "%a", 1: "%b", 2: "%c"}


def nodes_in(thing: object) -> Iterator[object]:
    """All nodes of a program, without their places and types."""
    if isinstance(thing, tuple):
        for item in thing:
            yield from nodes_in(item)
    elif is_dataclass(thing) and type(thing).__module__ in (graph.__name__, expr.__name__):
        yield thing
        for field in fields(thing):
            if field.name not in ("place", "facts", "value" if isinstance(thing, Const) else ""):
                yield from nodes_in(getattr(thing, field.name))


def test_the_cases_have_every_kind_of_node() -> None:
    met: set[type] = set()
    for case in OK:
        root = compile_spec(case, **options_of(case)).program.root
        whole = (root, *graphs_of(root))
        met |= {type(node) for node in nodes_in(whole)}
    unions = (graph.New, graph.Statement, expr.Expr)
    kinds = {kind for union in unions for kind in get_args(union)}
    kinds |= {graph.Tie, graph.Init, graph.Freeze, graph.InitRule, graph.ByMode}
    assert kinds - met == {NewInstance}, "instances are made after lowering"


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (Binary("-", A, Binary("-", B, C)), "%a - (%b - %c)"),
        (Unary("-", Binary("**", A, B)), "-(%a ** %b)"),
        (Unary("not", Logic("or", (A, B))), "not (%a or %b)"),
        (Logic("and", (Unary("not", A), B)), "not %a and %b"),
        (Choice(A, B, Choice(C, A, B)), "%b if %a else (%a if %c else %b)"),
        (Method("sum", Unary("-", A), (Const(1),), (("keepdim", Const(True)),)),
         "(-%a).sum(1, keepdim=True)"),
        (Method("sum", Method("abs", A, ()), ()), "%a.abs().sum()"),
    ],
    ids=str,
)  # fmt: skip
def test_what_holds_less_stands_in_parentheses(node: Expr, text: str) -> None:
    assert expr_text(node, NAMES) == text


def test_no_text_of_a_spec_ends_its_line_or_reaches_a_terminal() -> None:
    assert plain_or_quoted("conv1") == "conv1"
    assert plain_or_quoted("a-b\n\x1b[2J\u202e") == '"a-b\\n\\u001b[2J\\u202e"'
    assert on_one_line("a b.yaml") == "a b.yaml" and on_one_line("a\n") == '"a\\n"'
    assert const_text("\n\x1b[2J\u202e") == "'\\n\\x1b[2J\\u202e'"


def test_a_constant_that_python_has_no_word_for_is_its_class() -> None:
    assert const_text(torch.nn.ReLU()) == "<ReLU>"
    assert (
        const_text((..., None, torch.float16, 1.0, True)) == "(..., None, torch.float16, 1.0, True)"
    )


REPEATED = """
netspec: 1
name: Net
inputs: {x: [N, 4]}
layers:
  noise: {when: =training, call: dropout}
  body: {repeat: 3, layers: {fc: {module: Linear, out_features: 4}, sum: =_ + x}}
  tail: {repeat: 3, module: Linear, out_features: 4}
"""


def test_a_graph_that_several_are_made_by_stands_once_and_copies_on_one_line() -> None:
    text = program_text(compile_spec(netspec.loads(REPEATED)).program)
    assert text.count("graph @Body(") == 1 and "@Body#2" not in text
    assert "\n    0…2 = nn.Linear(4, 4) {keep}  # line 8\n" in text


def test_a_statement_that_unpacks_has_a_type_for_each_value() -> None:
    """The call of a layer of which inner values are outputs had the type of its own value alone."""
    case = next(case for case in OK if case.stem == "outputs_paths")
    text = program_text(compile_spec(case).program)
    assert '%"stage.0.act" = self.stage(%x) : ([N, 4], [N, 4], [N, 4])' in text


def test_what_is_left_out_in_eval_mode_has_no_type_there() -> None:
    case = next(case for case in OK if case.stem == "outputs_by_mode")
    text = program_text(compile_spec(case).program)
    assert "if self.training else None : [N, 2] (train) | None (eval)" in text


def test_a_mapping_has_paths_in_the_place_of_lines() -> None:
    spec = {"netspec": 1, "inputs": {"x": ["N", 4]}, "layers": {"fc": "Linear 4 2"}}
    spec["layers"] = {"fc": {"module": "Linear", "out_features": 2}, "y": "=fc * 2"}
    text = program_text(compile_spec(spec).program)
    assert "\n  %y = %fc * 2 : [N, 2]  # <mapping>, layers.y\n" in text


def test_what_was_registered_and_what_may_overwrite_is_told() -> None:
    program = compile_spec(netspec.loads(REPEATED)).program
    swish = Registered("mylib/Swish", "module", torch.nn.SiLU, "mylib", None, "mylib")
    text = program_text(replace(program, registered=(swish,), overwrites=True))
    assert '\n  registered "mylib/Swish" = torch.nn.modules.activation.SiLU\n' in text
    assert "\n  overwrites\n" in text


def test_the_bytes_are_the_same_under_every_seed_of_hashes() -> None:
    code = (
        "from netspec.pipeline import compile_spec as c\n"
        "from netspec.ir.printer import program_text\n"
        f"print(*[program_text(c({str(OK[0].parent)!r} + '/' + n + '.yaml').program) for n in "
        "('as_dict', 'init_rules', 'input_default_null', 'when_training_into_repeat')])"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True, text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(texts) == 1
