"""Any text gives placed diagnostics or a model, and no more: `scripts/fuzz.py`, in small.

What fuzzing found once is below, each as small as it got.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import netspec
from netspec.errors import Diagnostic, Span
from scripts._fuzz_law import Broken, Case, checker

ROOT = Path(__file__).resolve().parents[2]
HEAD = "netspec: 1\ninputs: {x: [N, 4]}\n"

# By what was wrong: the text, and what is to come of it.
FOUND = {
    "dtypes that no kernel takes raised NotImplementedError": (
        "netspec: 1\ninputs: {x: {shape: [N], dtype: int7}}\nlayers: {a: tanh}\n", "NS"),
    "quantised dtypes raised RuntimeError": (
        "netspec: 1\ninputs: {x: {shape: [N], dtype: qint32}}\nlayers: {a: relu}\n", "NS"),
    "names near a dtype were looked for with torch's warnings": (
        "netspec: 1\ninputs: {x: {shape: [N], dtype: int46}}\nlayers: {a: relu}\n", "NS206"),
    "torch's warnings of a softmax without `dim` were printed": (
        f"{HEAD}layers: {{a: Softmax}}\n", "accepted"),
    "torch's warnings were printed where overwriting was tried": (
        "netspec: 1\ninputs: {x: [N]}\nlayers: {a: {call: remainder_, other: 2}, b: {act: softmin}}\n", ""),
    "a result that is of another dtype in place raised ValueError": (
        f"{HEAD}layers: {{a: '=x * 2', b: {{call: logical_not_}}}}\n", "NS40"),
    "what is overwritten, given by its name, raised IndexError": (
        f"{HEAD}layers: {{a: '=dropout(input=x * 2, inplace=True)'}}\n", "accepted"),
    "Python's `operator.or_` was taken for one that overwrites": (
        f"{HEAD}layers: {{a: '=nan_to_num_(x * 2)', b: '=(a > 0) | (a < 1)'}}\n", "accepted"),
    "`normal` does not heed the device that stands around it": (
        f"{HEAD}layers: {{a: '=x.sum() + normal(0, 0.5, [100000, 100000])'}}\n", "accepted"),
    "out of place, a function takes other arguments than in place": (
        f"{HEAD}layers: {{a: '=bernoulli_(x * 2, x)'}}\n", "NS40"),
    "what is a tensor in one mode only was asked for its shape in both": (
        f"{HEAD}layers: {{a: '=x * (x if training else 1).shape[0]'}}\n", "NS304"),
    "torch's warnings of complex halves were printed": (
        "netspec: 1\ninputs: {x: {shape: [N], dtype: complex32}}\nlayers: {a: abs}\n", ""),
    "torch's warnings of a layer without elements were printed": (
        f"{HEAD}layers: {{a: {{module: Linear, out_features: 0}}}}\n", ""),
    "Python's warnings of what it compiles were printed": (
        f"{HEAD}args: {{w: 3}}\nlayers: {{a: {{call: add, other: '=([1, training] is not w)'}}}}\n", ""),
    "Python's warnings of a number beside a word were printed": (
        f"{HEAD}layers: {{a: '=1if x else 2'}}\n", "NS"),
    "a size in a list made `rand` draw on the CPU": (f"{HEAD}layers: {{a: '=x + rand([1, 4])'}}\n", "accepted"),
    "a size in a list made `ones` allocate": (
        f"{HEAD}layers: {{a: '=x.sum() + ones([100000, 100000])'}}\n", "accepted"),
    "an inline container in a list raised ValueError": (
        f"{HEAD}layers: {{l: {{as: list, layers: {{c: {{as: inline, layers: [Tanh]}}}}}}, a: '=l[0](x)'}}\n", "NS218"),
    "a module was copied to the CPU with all of its parameters": (
        f"{HEAD}layers: {{a: {{module: PReLU, num_parameters: 1000000000}}}}\n", ""),
    "each block had a copy of the names of all": (
        f"{HEAD}layers: {{a: relu}}\nblocks: {{" + ", ".join(f"b{k}: {{layers: {{a: relu}}}}" for k in range(6000)) + "}\n", ""),
    "each of many unknown keys was compared with all": (
        f"{HEAD}layers: {{a: {{layers: {{b: relu}}, " + ", ".join(f"k{k}: 1" for k in range(12_000)) + "}}\n", "NS201"),
    "each of many unknown names was compared with all": (
        f"{HEAD}layers: {{" + ", ".join(f"aabbcc{k}: {{call: relu, from: aacbbc{k}}}" for k in range(6000)) + "}\n", "NS207"),
    "an explanation looked for a size that is not there": (
        f"{HEAD}layers: {{a: {{call: scaled_dot_product_attention, from: [x, x, '=x[0]']}}}}\n", "NS301"),
    "two long names were compared letter by letter": (
        f"{HEAD}layers: {{" + ", ".join(f"{'ab' * 400}{k}: {{call: relu, from: {'aabb' * 200}{k}}}" for k in range(300)) + "}\n", "NS207"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_stays_mended(name: str) -> None:
    text, outcome = FOUND[name]
    with checker() as law:
        assert law.outcome(Case(text.encode()), deep=True)[0].startswith(outcome)


def test_a_line_as_long_as_a_file_is_shown_in_part() -> None:
    """A hundred mistakes in one long line once made a message of 87 MB, in 20 s."""
    layers = ", ".join(f"a{k}: {{module: Linearr}}" for k in range(20_000))
    found = netspec.check(
        netspec.loads(f"{{netspec: 1, inputs: {{x: [N]}}, layers: {{{layers}}}}}")
    )
    assert len(found) > 50
    assert max(len(str(diagnostic)) for diagnostic in found) < 5000
    assert "module: Linearr}, a50: {" in str(found[50])


def test_a_random_run_finds_nothing(tmp_path: Path) -> None:
    cases = "bytes=300,yaml=100,mutants=100,expressions=150,large=3"
    command = [
        sys.executable,
        "scripts/fuzz.py",
        "--cases",
        cases,
        "--seed",
        "1",
        "--out",
        str(tmp_path),
    ]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    outcomes = json.loads((tmp_path / "totals.json").read_text(encoding="utf-8"))["outcomes"]
    assert {target: sum(codes.values()) for target, codes in outcomes.items()} == {
        "bytes": 300, "yaml": 100, "mutants": 100, "expressions": 150, "large": 3,
    }  # fmt: skip
    assert sum(codes.get("accepted", 0) for codes in outcomes.values()) > 0


# The law can be broken


def raises(spec: object) -> tuple[Diagnostic, ...]:
    raise KeyError(spec)


def recurses(spec: object) -> tuple[Diagnostic, ...]:
    return recurses(spec)


def hangs(spec: object) -> tuple[Diagnostic, ...]:
    while True:
        pass


def prints(spec: object) -> tuple[Diagnostic, ...]:
    print("hello", flush=True)
    return ()


def warns(spec: object) -> tuple[Diagnostic, ...]:
    warnings.warn("hello", stacklevel=1)
    return ()


def draws(spec: object) -> tuple[Diagnostic, ...]:
    torch.rand(1)
    return ()


def fills(spec: object) -> tuple[Diagnostic, ...]:
    torch.ones(1000, 1000, 100)  # 400 MB
    return ()


def has_no_place(spec: object) -> tuple[Diagnostic, ...]:
    return (Diagnostic("NS201", "a fact", Span("<string>")),)


def has_another_place(spec: object) -> tuple[Diagnostic, ...]:
    return (Diagnostic("NS201", "a fact", Span("<string>", 2, 1, 1, "another line")),)


def lies_beside_the_line(spec: object) -> tuple[Diagnostic, ...]:
    return (Diagnostic("NS201", "a fact", Span("<string>", 1, 30, 1, "netspec: 1")),)


@pytest.mark.parametrize(
    ("check", "kind"),
    [
        (raises, "KeyError at"), (recurses, "RecursionError at"), (hangs, "hang at"), (prints, "printed: hello"), (warns, "printed: "),
        (draws, "changed: random state of torch"), (fills, "memory"), (has_no_place, "diagnostic NS201: no line"),
        (has_another_place, "diagnostic NS201: the line is another"), (lies_beside_the_line, "diagnostic NS201: the column is outside"),
    ],
)  # fmt: skip
def test_a_broken_law_is_noticed(
    monkeypatch: pytest.MonkeyPatch, check: Callable[[object], object], kind: str
) -> None:
    monkeypatch.setattr(netspec, "check", check, raising=False)
    with torch.random.fork_rng(devices=[]), checker() as law, pytest.raises(Broken) as broken:
        law.outcome(Case(f"{HEAD}layers: {{a: relu}}\n".encode()))
    assert broken.value.kind.startswith(kind)


def test_what_was_filled_before_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.ones(1000, 1000, 200)  # 800 MB, twice what the check fills
    monkeypatch.setattr(netspec, "check", fills, raising=False)
    with checker() as law, pytest.raises(Broken, match=r"^memory"):
        law.outcome(Case(f"{HEAD}layers: {{a: relu}}\n".encode()))
