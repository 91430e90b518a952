"""What a mistake leaves open is unknown, and unknown makes no other mistake.

For each spec that is right: one wrong argument in one of its layers is one diagnostic, and a block
that is checked without its inputs has none.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import netspec
from netspec.language.schema import expand_short
from tests.test_cases import OK, options_of

MODELS = sorted((Path(__file__).parents[1] / "configs" / "model").glob("*.yaml"))
SPECS = [*MODELS, *OK]
TAKES_ARGUMENTS = ("module", "call", "act", "block", "spec")


def some_layers(spec: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Of each `layers:` that is a mapping, the first, a middle and the last that take arguments."""
    blocks = list(spec.get("blocks", {}).values())
    for owner in (spec, *blocks):
        layers = owner["layers"]
        if not isinstance(layers, dict):
            continue
        names = [name for name, layer in layers.items() if _takes_arguments(layer)]
        for place in sorted({0, len(names) // 2, len(names) - 1} if names else ()):
            yield layers, names[place]


def _takes_arguments(layer: object) -> bool:
    full = expand_short(layer)
    return isinstance(full, dict) and any(kind in full for kind in TAKES_ARGUMENTS)


@pytest.mark.parametrize("file", SPECS, ids=lambda file: file.stem)
def test_one_mistake_is_told_once(file: Path, tmp_path: Path) -> None:
    options = options_of(file)
    plain = yaml.safe_load(file.read_text(encoding="utf-8"))
    given = {key: options[key] for key in options if key == "args"}
    if netspec.check(plain, **given):
        pytest.skip("it needs other files, args or overrides")
    for number in range(len(list(some_layers(plain)))):
        wrong = copy.deepcopy(plain)
        layers, name = list(some_layers(wrong))[number]
        full = expand_short(layers[name])
        assert isinstance(full, dict)
        layers[name] = {**full, "nonsense": 1}
        found = netspec.check(wrong, **given)
        if not found and full.keys() & {"when", "repeat"}:
            continue  # the layer does not exist
        assert {d.code for d in found} == {"NS203"}, (name, [d.fact for d in found])
        assert all("`nonsense`" in d.fact for d in found), (name, [d.fact for d in found])


@pytest.mark.parametrize("file", SPECS, ids=lambda file: file.stem)
def test_blocks_that_nothing_uses_are_right(file: Path) -> None:
    plain = yaml.safe_load(file.read_text(encoding="utf-8"))
    if not plain.get("blocks") or "include" in plain:
        pytest.skip("it has no blocks of its own")
    alone = {
        "netspec": 1, "inputs": {"x": ["N", 4]}, "blocks": plain["blocks"],
        "layers": {"out": {"call": "relu"}},
    }  # fmt: skip
    assert netspec.check(alone) == ()
