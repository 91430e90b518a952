"""Caches are bounded, and what is dropped is found again."""

from __future__ import annotations

from pathlib import Path

import pytest

import netspec
from netspec import caches, pipeline


def test_the_oldest_answers_make_room() -> None:
    cache: caches.Cache[int, str] = caches.Cache(3)
    for number in range(5):
        assert cache.keep(number, str(number)) == str(number)
    assert dict(cache) == {2: "2", 3: "3", 4: "4"}
    cache.keep(3, "three")
    assert len(cache) <= 3 and cache[3] == "three"


def test_clear_empties_all_and_a_spec_is_compiled_again() -> None:
    before = pipeline.compile_spec("lenet")
    assert pipeline.compile_spec("lenet") is before
    cache: caches.Cache[int, str] = caches.Cache(3)
    cache.keep(1, "one")
    caches.clear()
    assert not cache
    after = pipeline.compile_spec("lenet")
    assert after is not before
    assert netspec.check("lenet") == ()


TEXT = (
    "netspec: 1\nname: Net\ninputs: {x: [N, 4]}\nlayers: {a: {module: Linear, out_features: 3}}\n"
)


def test_the_same_text_is_compiled_once() -> None:
    first = pipeline.compile_spec(netspec.loads(TEXT))
    assert pipeline.compile_spec(netspec.loads(TEXT)) is first
    assert pipeline.compile_spec(netspec.loads(TEXT + "# another\n")) is not first


def test_a_text_whose_file_has_changed_is_compiled_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    base = tmp_path / "configs" / "model" / "base.yaml"
    base.parent.mkdir(parents=True)
    layer = "{module: Linear, out_features: 3}"
    texts = {
        "another with other args": "netspec: 1\nspec: base\n",
        "a part": TEXT.replace("Net", "Other").replace(layer, "{spec: base}"),
    }
    for text in texts.values():
        for width in (3, 5):
            base.write_text(TEXT.replace("features: 3", f"features: {width}"))
            model = netspec.build(netspec.loads(text), device="meta")
            assert [len(parameter) for parameter in model.parameters()] == [width, width]


def test_a_text_is_loaded_once_while_the_files_that_it_names_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert netspec.loads(TEXT) is netspec.loads(TEXT)
    with pytest.raises(netspec.SpecError, match="has more"):
        netspec.loads(TEXT, limits={"text": 10})
    base = tmp_path / "configs" / "model" / "base.yaml"
    base.parent.mkdir(parents=True)
    base.write_text(TEXT)
    other = "netspec: 1\nspec: base\n"
    first = netspec.loads(other)
    assert netspec.loads(other) is first
    base.write_text(TEXT.replace("features: 3", "features: 5"))
    assert netspec.loads(other) is not first
