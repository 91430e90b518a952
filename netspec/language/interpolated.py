"""Texts in which other tools compute: `${width}` of OmegaConf, `$…` and `@…` of MONAI."""

from __future__ import annotations

import re

from netspec.errors import Help
from netspec.language.expressions import as_expression

_WHOLE = re.compile(r"\$\{\s*([\w.]+)\s*\}")
_RESOLVER = re.compile(r"\$\{\s*([\w.]+)\s*:\s*([^}]*)\}")


def help_for_interpolation(text: str) -> str | None:
    """What a spec writes instead, or None of a text that computes nothing."""
    resolver = _RESOLVER.search(text)
    if resolver is not None and resolver[1] == "oc.env":
        name = resolver[2].partition(",")[0].strip().lower()
        return f"a spec reads no environment: `args: {{{name}: null}}`, and `={name}` here"
    if resolver is not None:
        inside = resolver[2].strip().strip("'\"")
        return f"a spec has no resolvers: an expression computes, {_shown(inside)}"
    if "${" in text:
        inside = _WHOLE.sub(lambda found: found[1].rpartition(".")[2], text)
        if "${" in inside or not inside.strip():
            return None
        written = as_expression(inside)
        return Help(f"write `{written}`: an expression reads an arg by its name", text, written)
    if text.startswith("$") and len(text) > 1:
        return f"an expression begins with `=`, {_shown(text[1:].replace('@', ''))}"
    return None


def _shown(text: str) -> str:
    return f"as `{as_expression(text.strip())}`"
