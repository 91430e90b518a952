"""What an unquoted YAML scalar means: the core schema of YAML 1.2 (chapter 10.3.2)."""

from __future__ import annotations

import math
import re
from typing import Final

from netspec.source.limits import MAX_DIGITS

NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
WORDS: Final[dict[str, bool | float | None]] = {
    **dict.fromkeys(NULLS),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **{sign + word: math.inf for sign in ("", "+") for word in (".inf", ".Inf", ".INF")},
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
NUMBER_STARTS: Final = frozenset("0123456789+-.")

_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")


class NumberTooLarge(Exception):
    """A number that is written with too many digits, or that no float can hold."""


def number(text: str) -> int | float | None:
    """The number that this text is, or None where it is a text like any other.

    Raises NumberTooLarge.
    """
    if (text.isdecimal() and text.isascii()) or _INT.fullmatch(text):
        return int(_bounded(text))
    if _FLOAT.fullmatch(text):
        value = float(_bounded(text))
        if math.isinf(value):
            raise NumberTooLarge("is larger than any float")
        return value
    if _HEX.fullmatch(text):
        return int(_bounded(text), 16)
    if _OCTAL.fullmatch(text):
        return int(_bounded(text), 8)
    return None


def _bounded(text: str) -> str:
    if len(text) > MAX_DIGITS:
        raise NumberTooLarge(f"has {len(text)} characters, and at most {MAX_DIGITS} are read")
    return text
