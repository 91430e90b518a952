"""Every spec of the zoo equals its original, and one changed argument is noticed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import netspec
from tests.parity.case import Case
from tests.parity.cases import CASES
from tests.parity.harness import (
    Difference,
    compare_case,
    compare_layout,
    compare_skeletons,
    skeleton,
)
from tests.parity.libraries import source_text
from tests.parity.requirements import need
from tests.parity.variants import VARIANTS, Variant

pytestmark = pytest.mark.slow
MODELS = Path(__file__).parents[2] / "configs" / "model"
WITHOUT = {"sentence_embedding"}  # test_published.py compares it


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_equals_its_original(case: Case) -> None:
    need(case.package)
    compare_case(case)


@pytest.mark.sampled
@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_changed_argument_is_noticed(case: Case) -> None:
    need(case.package)
    only_layout = case.wrong.at in ("keys", "shapes")
    with pytest.raises(Difference) as caught:
        (compare_skeletons if only_layout else compare_case)(case, case.wrong)
    assert caught.value.question == case.wrong.at, caught.value


FULL = {case.spec: case for case in CASES if case.full}


@pytest.mark.parametrize("case", FULL.values(), ids=FULL)
def test_its_defaults_are_the_published_ones(case: Case) -> None:
    need(case.package)
    assert case.full is not None
    compare_layout(netspec.build(case.spec, device="meta"), skeleton(case.full, case.meta))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_other_networks_come_by_args(variant: Variant) -> None:
    need(variant.package)
    ours = netspec.build(variant.spec, args=variant.args(), device="meta")
    compare_layout(ours, skeleton(variant.original, variant.meta))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_its_source_is_found(case: Case) -> None:
    need(case.package)
    texts = [source_text(name) for name in case.source]
    assert all(texts) and len(set(texts)) == len(texts)


def test_every_spec_of_the_zoo_is_compared() -> None:
    zoo = {path.stem for path in (MODELS / "zoo").glob("*.yaml")}
    compared = {case.spec for case in (*CASES, *VARIANTS)}
    assert zoo | {"alexnet", "resnet18", "resnet50", "unet"} == compared | WITHOUT


def test_the_page_tells_which_seeds_give_the_same_parameters() -> None:
    page = (MODELS.parents[1] / "docs" / "zoo.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("|") and re.search("[●○]", line)]
    told = {name: "●" in row for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    same = {case.spec: case.seed == "same" for case in CASES}
    both = set(told) & set(same)
    assert both and {name: told[name] for name in both} == {name: same[name] for name in both}
