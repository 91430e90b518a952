"""A refused operation → why, in netspec's words; torch's own where nothing better is known."""

from __future__ import annotations

import re

from netspec.explain.rules.attempt import Attempt, Explanation
from netspec.explain.rules.dtypes import explain_dtypes
from netspec.explain.rules.images import explain_image
from netspec.explain.rules.joining import explain_joining
from netspec.explain.rules.products import explain_product
from netspec.explain.rules.sequences import explain_sequence
from netspec.explain.rules.sizes import explain_sizes

_RULES = (
    explain_dtypes,
    explain_product,
    explain_image,
    explain_sequence,
    explain_joining,
    explain_sizes,
)
_NONE = re.compile(r"unsupported operand type\(s\).*'NoneType'")
_SIZE = re.compile(r"torch\.Size\((\[[^\]]*\])\)")
_OWN_NAME = re.compile(r"^[A-Za-z_]+(?:\([^)]*\))?: (?=\S)")


def explain(attempt: Attempt) -> Explanation:
    """Why torch refused. The cause is looked for in the sizes and dtypes, not in torch's words."""
    if _NONE.search(attempt.words):
        fact = f"{attempt.what} takes tensors and numbers, and one of its inputs is null"
        help = "a parameter whose `when` is false is null: write `x if b is None else x + b`"
        return Explanation(fact, help)
    if attempt.words.startswith("the shape of its result depends on the values"):
        fact = f"the shape that {attempt.what} gives depends on the values of its input"
        if attempt.operator != "[]":
            return Explanation(fact)
        return Explanation(fact, "`where(condition, x, 0)` keeps the shape")
    for rule in _RULES:
        found = rule(attempt)
        if found is not None:
            return found
    inputs = "its input" if len(attempt.tensors) == 1 else "its inputs"
    fact = f"{attempt.what} refuses {inputs}: {torch_words(attempt.words)}"
    return Explanation(fact, quoted=True)


def torch_words(words: str) -> str:
    """torch's own words: the first sentence, without the names of its types and functions."""
    words = _OWN_NAME.sub("", _SIZE.sub(r"\1", words.strip()))
    return re.split(r"(?<=[a-z\])])\. +(?=[A-Z])", words, maxsplit=1)[0].rstrip(".")
