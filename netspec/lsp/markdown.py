"""Texts for an editor's panels. What a spec says stands in code spans: it is text, never markup."""

from __future__ import annotations

import re

from netspec.display import visible
from netspec.ops.catalog import Operator
from netspec.ops.signatures import signatures_of
from netspec.view.operator_words import parameters_text, sentence

_LONGEST = 300


def code(text: str) -> str:
    """A text as a code span that nothing inside of it ends."""
    shown = visible(" ".join(text.split()))
    if len(shown) > _LONGEST:
        shown = f"{shown[:_LONGEST]}…"
    runs = re.findall("`+", shown)
    fence = "`" * (1 + max(map(len, runs), default=0))
    pad = " " if shown[:1] == "`" or shown[-1:] == "`" else ""
    return f"{fence}{pad}{shown or ' '}{pad}{fence}"


def operator_words(operator: Operator) -> str:
    """Its signature, and torch's first sentence on it."""
    text = f"{operator.name}{parameters_text(signatures_of(operator)[0])}"
    return "\n\n".join(filter(None, (f"```python\n{text}\n```", sentence(operator.target))))
