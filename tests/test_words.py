"""The schema holds what the language says of its keys; the reference's tables say the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from netspec.language.schema import (
    KINDS,
    Block,
    Document,
    Input,
    Library,
    Repeat,
    Variant,
    words_of,
)

REFERENCE = Path(__file__).parents[1] / "docs" / "language.md"
LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


def rows_below(head: str) -> Iterator[tuple[str, str]]:
    """The first two cells of each row of the reference's table with this head, without links."""
    lines = REFERENCE.read_text(encoding="utf-8").splitlines()
    for line in lines[lines.index(head) + 2 :]:
        if not line.startswith("|"):
            return
        key, words, *_ = (LINK.sub(r"\1", cell).strip() for cell in line.strip("|").split(" | "))
        yield key.strip("`"), words


def first_sentence(words: str) -> str:
    found = words.partition(". ")[0].rstrip(".")
    return found[0].lower() + found[1:]


@pytest.mark.parametrize("model", [*KINDS, Repeat, Input, Block, Document, Variant, Library])
def test_each_key_has_its_words(model: type[BaseModel]) -> None:
    for key, words in words_of(model).items():
        assert words[:1].isupper() and words.endswith("."), key


def test_the_tables_of_the_reference_say_the_same() -> None:
    tables = {
        "| key | it is | |": words_of(Variant) | words_of(Document),
        "| kind | it is |": {kind.kind: words_of(kind)[kind.kind] for kind in KINDS},
        "| key | |": words_of(Input),
    }
    for head, expected in tables.items():
        found = dict(rows_below(head))
        assert found.keys() == expected.keys(), head
        for key, words in expected.items():
            assert first_sentence(words) in found[key], key
