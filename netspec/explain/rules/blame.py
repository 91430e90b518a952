"""Which argument a refusal of torch is about, where only torch's own words say why.

It is the one without which torch accepts the rest; of several, or of none, the one that torch
names, or the only one that is not positive.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from netspec.errors import did_you_mean
from netspec.ops.types import Fact

_QUOTED = re.compile(r"[`'\"]+([a-z][a-z_0-9-]*)[`'\"]+")
_SET = re.compile(r"\{('[^{}]*')\}")
_WORD = re.compile(r"[a-z][a-z_-]+")


def blamed(
    arguments: Mapping[str, Fact], words: str, accepts_without: Callable[[str], bool]
) -> str | None:
    """The argument that torch's refusal in these words is about, or None."""
    plain = [name for name, value in arguments.items() if isinstance(value, (int, float, str))]
    spare = [name for name in plain if accepts_without(name)]
    if len(spare) == 1:
        return spare[0]
    named = [name for name in spare or plain if _names(words, name)]
    if len(named) != 1:
        named = [name for name in plain if _is_odd(name, arguments[name])]
    return named[0] if len(named) == 1 else None


def _is_odd(name: str, value: Fact) -> bool:
    """Whether a number is not positive; dimensions are counted from the end so."""
    counts = "dim" not in name and "axis" not in name
    return counts and type(value) is int and value <= 0


def _names(words: str, name: str) -> bool:
    spelt = name.replace("_", "[ _]")
    return re.search(rf"(?<![a-z_]){spelt}(?![a-z_])", words.lower()) is not None


def in_order(words: str) -> str:
    """torch's words with the sets in them sorted, as their order is another in each process."""
    return _SET.sub(lambda found: "{" + ", ".join(sorted(found[1].split(", "))) + "}", words)


def told_of_value(value: Fact, words: str, documentation: str | None) -> str | None:
    """A help line for a misspelt choice, from those that torch's words and its page mention."""
    if not isinstance(value, str):
        return None
    known = [*_WORD.findall(words), *_QUOTED.findall(documentation or "")]
    return did_you_mean(value, [word for word in dict.fromkeys(known) if word != value])
