"""The architectures of configs/model/zoo: each is right as it stands, and found by its name.

tests/parity compares them with their originals.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import netspec
from netspec import find

ZOO = Path(__file__).parents[1] / "configs" / "model" / "zoo"
SPECS = sorted(ZOO.glob("*.yaml"))
LARGEST = {  # millions of parameters, as their papers and libraries say
    "vgg16": 138.4, "densenet121": 8.0, "googlenet": 13.0, "inception_v3": 27.2,
    "mobilenet_v2": 3.5, "efficientnet_b0": 5.3, "regnet_y_400mf": 4.3, "convnext_tiny": 28.6,
    "vit_b_16": 86.6, "swin_t": 28.3, "maxvit_t": 30.9, "bert": 109.5, "gpt2": 124.4,
    "llama": 8030.3, "t5": 222.9,
}  # fmt: skip


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.stem)
def test_it_is_right_in_both_forms(spec: Path) -> None:
    assert netspec.check(spec, act="functional") == ()
    modules, functions = (
        netspec.build(spec, act=form, device="meta").state_dict()
        for form in ("module", "functional")
    )
    assert list(modules) == list(functions) and modules


@pytest.mark.parametrize("name", LARGEST)
def test_it_is_as_large_as_is_said(name: str) -> None:
    model = netspec.build(name, device="meta")
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    assert round(millions, 1) == LARGEST[name]


def test_each_has_a_name_and_is_described() -> None:
    page = (ZOO.parents[2] / "docs" / "zoo.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`(\w+)`", page))
    names = {path.stem for path in SPECS}
    assert names <= set(find.spec_names()) and names <= told


def test_every_file_of_blocks_is_included() -> None:
    texts = "".join(path.read_text(encoding="utf-8") for path in ZOO.rglob("*.yaml"))
    for blocks in (ZOO / "blocks").glob("*.yaml"):
        assert blocks.name in texts, f"{blocks.name} is included by none"
