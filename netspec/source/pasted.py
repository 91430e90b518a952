"""Texts that are no YAML and that people put where a spec belongs: a printed model, Python code."""

from __future__ import annotations

import re

_PRINTED = re.compile(r"^\s*\((\w+)\): (\w+)\(", re.MULTILINE)
_CODE = re.compile(r"^(?:import \w|from [\w.]+ import |class \w+[(:]|def \w+\()", re.MULTILINE)


def help_for_pasted(text: str) -> str | None:
    """What to write instead of such a text; None of any other."""
    printed = _PRINTED.search(text)
    if printed is not None:
        layer = f"{_named(printed[1])}{{module: {printed[2]}, …}}"
        return (
            f"torch prints a model so; a spec has `{layer}` under `layers:`, and `layers:` in a "
            "layer for what is inside of it"
        )
    if _CODE.search(text):
        return "this is code of Python, and a spec is data: its layers, a line each"
    return None


def _named(name: str) -> str:
    return "- " if name.isdigit() else f"{name}: "
