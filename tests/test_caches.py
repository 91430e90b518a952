"""Caches are bounded, and what is dropped is found again."""

from __future__ import annotations

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
