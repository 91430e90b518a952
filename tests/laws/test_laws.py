"""Laws over random specs: a built model is what an interpreter makes of the spec.

Of the specs (300, counted by the first test, which asks for a fifth at least of those with a *):
"""

from __future__ import annotations

import math
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import netspec
from netspec import caches
from netspec.errors import SpecError
from scripts._fuzz_law import slowness
from tests.compare import compare_values, run_once
from tests.laws.interpreter import Reference
from tests.laws.search import Search, law, over, some
from tests.laws.strategies import (
    Case,
    mutants,
    near_texts,
    not_expressions,
    plain_texts,
    plain_values,
    specs,
    traits,
)

ROOT = Path(__file__).parents[2]
MODELS = sorted((ROOT / "configs" / "model").glob("*.yaml"))
SEED = 3
SECONDS = 2.0 * slowness()

FORMS = ("module", "functional")
OFTEN = ("blocks", "repeats", "branches", "views", "containers")


# A built model is the interpreter's


def test_the_specs_are_varied() -> None:
    count: Counter[str] = Counter()

    @settings(some(300), phases=[Phase.generate])
    @given(specs())
    def note(case: Case) -> None:
        count.update({"all": 1}, **dict.fromkeys(traits(case.document), 1))

    note()
    shares = {trait: count[trait] / count["all"] for trait in count if trait != "all"}
    print(*(f"{trait} {share:.0%}" for trait, share in sorted(shares.items())), sep=", ")
    assert {trait: share for trait, share in shares.items() if trait in OFTEN and share < 0.2} == {}
    assert set(OFTEN) <= shares.keys()


@law(120, 2000)
def test_a_model_is_what_the_interpreter_says(examples: Search) -> None:
    over(examples, specs(), check_against_interpreter)


def check_against_interpreter(case: Case) -> None:
    for trait in traits(case.document) & set(OFTEN):
        event(trait)
    inputs = case.tensors()
    expected = results(Reference(case.document).make(SEED, *inputs), inputs)
    models = {form: netspec.build(case.document, act=form, seed=SEED) for form in FORMS}
    for form, model in models.items():
        assert differences(results(model, inputs), expected) == [], form
        exported = results(build_exported(netspec.to_python(case.document, act=form)), inputs)
        assert differences(exported, expected) == [], f"the source of {form}"
    module, functional = models.values()
    module.load_state_dict(functional.state_dict(), strict=True)
    functional.load_state_dict(module.state_dict(), strict=True)


@law(40, 600)
def test_taps_give_what_the_interpreter_has_there(examples: Search) -> None:
    def check(case_and_choice: tuple[Case, list[int]]) -> None:
        case, choice = case_and_choice
        paths = list(dict.fromkeys(case.paths[k % len(case.paths)] for k in choice))
        inputs = case.tensors()
        reference = Reference(case.document).make(SEED, *inputs).eval()
        torch.manual_seed(SEED)
        output = reference(*inputs)
        expected = {"output": output, **{path: reference.value(path) for path in paths}}
        for form in FORMS:
            model = netspec.build(case.document, act=form, outputs=paths, seed=SEED).eval()
            torch.manual_seed(SEED)
            assert differences(model(*inputs), expected) == [], form

    over(examples, st.tuples(specs(), st.lists(st.integers(0, 20), min_size=1, max_size=3)), check)


def results(model: Any, inputs: list[Tensor]) -> dict[str, object]:
    """Keys and values at first, outputs and gradients in both modes, and values at last."""
    first = {key: value.clone() for key, value in model.state_dict().items()}
    found: dict[str, object] = {"keys": list(first), "values": first}
    found["trained"] = [(n, tuple(p.shape), p.requires_grad) for n, p in model.named_parameters()]
    for mode in ("eval", "train"):
        found[mode] = run_once(model, inputs, mode)
    return {**found, "last values": dict(model.state_dict())}


def differences(ours: object, expected: object) -> list[str]:
    return compare_values(without_nan(ours), without_nan(expected))


def without_nan(value: Any) -> Any:
    """The same with a number in the place of NaN, which equals nothing."""
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.detach().nan_to_num(nan=-1234.5, posinf=math.inf, neginf=-math.inf)
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(without_nan(item) for item in value)
    return value


def build_exported(source: str) -> nn.Module:
    names: dict[str, Any] = {}
    exec(compile(source, "<exported>", "exec"), names)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model: nn.Module = names["build_model"]()
        return model


def test_the_interpreter_can_say_no() -> None:
    """A planted difference in the spec is a difference between the two."""
    document: dict[str, Any] = {
        "netspec": 1, "inputs": {"x": ["N", 4]}, "layers": {"a": "Tanh", "b": "=a * 2", "c": "=b + a"},
    }  # fmt: skip
    inputs = [torch.randn(3, 4)]
    expected = results(Reference(document).make(SEED, *inputs), inputs)
    assert differences(results(netspec.build(document, seed=SEED), inputs), expected) == []
    for change in ({"a": "Sigmoid"}, {"b": "=a * 3"}, {"c": "=b + b"}):
        other = {
            **document,
            "layers": {**document["layers"], **change, "k": {"value": "=a + c", "keep": True}},
        }
        model = netspec.build(other, outputs=["c"], seed=SEED)
        assert differences(model(*inputs)["c"], expected["eval"]["outputs"]) != []  # type: ignore[index]


# Texts


@law(60, 600)
def test_a_random_spec_survives_dump(examples: Search) -> None:
    over(examples, specs(), lambda case: check_dump(netspec.load(case.document)))


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_spec_of_the_repository_survives_dump(path: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(path.parent, tmp_path / "model") / path.name
    spec = netspec.load(path)
    copied.write_text(netspec.dump(spec), encoding="utf-8")  # in a folder with what it includes
    assert netspec.load(copied) == spec
    assert same(netspec.load(copied).source.value, spec.source.value)


@law(150, 3000)
def test_any_text_and_value_survives_dump(examples: Search) -> None:
    def check(doc: str, args: dict[str, Any], given: dict[str, Any]) -> None:
        layers = {
            "a": {"call": "relu", "doc": doc, "args": given},
            "b": {"module": "Linear", "args": given},
        }
        check_dump(netspec.load(
            {"netspec": 1, "doc": doc, "args": args, "inputs": {"x": ["N", 1]}, "layers": layers}
        ))  # fmt: skip

    values = st.dictionaries(plain_texts, plain_values, max_size=3)
    over(examples, st.tuples(not_expressions, values, values), lambda all_: check(*all_))


def check_dump(spec: netspec.Spec) -> None:
    text = netspec.dump(spec)
    again = netspec.loads(text)
    assert again == spec
    assert same(again.source.value, spec.source.value), text
    assert netspec.dump(again) == text


def same(a: Any, b: Any) -> bool:
    """Equal, with types, the order of keys, the sign of zero, and NaN like itself."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return repr(a) == repr(b)


# Any text gives a model, or a SpecError with a place


@law(150, 3000)
def test_a_mutant_gives_a_model_or_a_placed_error(examples: Search) -> None:
    over(examples, mutants(), lambda document: check_text(written(document)))


@law(150, 3000)
def test_a_text_near_yaml_gives_a_model_or_a_placed_error(examples: Search) -> None:
    over(examples, near_texts(), check_text)


def written(document: dict[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False, width=120, allow_unicode=True)


def check_text(text: str) -> None:
    began = time.process_time()
    try:
        model = netspec.build(netspec.loads(text), device="meta")
    except SpecError as error:
        assert error.diagnostics
        for diagnostic in error.diagnostics:
            assert diagnostic.span.line >= 1, f"{diagnostic}\n\n{text}"
            assert diagnostic.fact and diagnostic.code.startswith("NS")
        event(error.diagnostics[0].code)
    else:
        assert isinstance(model, nn.Module)
        event("a model")
    assert time.process_time() - began < SECONDS, text


# The same source, each time


@law(40, 400)
def test_the_source_is_the_same_after_all_is_forgotten(examples: Search) -> None:
    over(examples, specs(), check_source)


def check_source(case: Case) -> None:
    before = netspec.to_python(case.document)
    caches.clear()
    assert netspec.to_python(case.document) == before
