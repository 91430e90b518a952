"""Whether a text says that it is a spec; it need not be YAML, nor right, to be told so."""

from __future__ import annotations

import re

_VERSION_KEY = re.compile(r"""(?:\A\s*\{\s*|^)(["']?)netspec\1\s*:""", re.MULTILINE)


def says_it_is_a_spec(text: str) -> bool:
    """Whether the key `netspec` stands in it where a spec has it."""
    return _VERSION_KEY.search(text) is not None
