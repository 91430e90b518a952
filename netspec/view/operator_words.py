"""What an editor shows of a class or function: its signature, and torch's first sentence on it."""

from __future__ import annotations

import inspect
import re

import torch

from netspec.ops.arguments import Parameter, Signature
from netspec.ops.catalog import Operator
from netspec.ops.signatures import signatures_of
from netspec.ops.types import dtype_name

_ROLE = re.compile(r":[a-z:]+:`~?([^`]*)`")
_LINK = re.compile(r"`([^`<]+?)\s*<[^`>]*>`__?")
_SENTENCE = re.compile(r".+?(?<!\be\.g)(?<!\bi\.e)\.(?=\s|$)")
_MATH = re.compile(r"\\text(?:tt|bf|it)?\{([^{}]*)\}")
_OPENING = re.compile(r"[\w.]+\s*\(")  # a signature, which stands before the text


def shown(operator: Operator) -> str:
    """Markdown: `softmax(input, dim=null, …)`, and below it what torch says of it."""
    line = f"`{operator.name}{parameters_text(signatures_of(operator)[0])}`"
    return "\n\n".join(filter(None, (line, sentence(operator.target))))


def sentence(target: object) -> str:
    """The first sentence of a docstring, without the markup; empty where there is none."""
    own = inspect.getdoc(target) if getattr(target, "__doc__", None) else None  # not its base's
    paragraphs = re.split(r"\n\s*\n", own or "")
    for paragraph in paragraphs:
        text = " ".join(paragraph.split())
        if not text or _OPENING.match(text) or text.startswith(".. "):
            continue
        plain = _LINK.sub(r"\1", _ROLE.sub(r"`\1`", _MATH.sub(r"\1", text))).replace("``", "`")
        found = _SENTENCE.match(plain)
        return found[0] if found else plain.rstrip(":") + "."
    return ""


def parameters_text(signature: Signature) -> str:
    """`(input, dim=null, *, dtype=null)`"""
    parts: list[str] = []
    by_name = False
    for parameter in signature.parameters:
        if parameter.keyword_only and not by_name:
            parts.append(f"*{signature.star.name}" if signature.star else "*")
            by_name = True
        parts.append(parameter_text(parameter))
    if signature.star is not None and not by_name:
        parts.append(f"*{signature.star.name}")
    return f"({', '.join(parts)})"


def parameter_text(parameter: Parameter) -> str:
    """`dim=null`, or `input` alone where it has to be given."""
    if parameter.required:
        return parameter.name
    return f"{parameter.name}={_value(parameter.default)}"


def _value(value: object) -> str:
    """A default as a spec would write it."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float() | str():
            return str(value)
        case tuple() | list():
            return f"[{', '.join(map(_value, value))}]"
        case torch.dtype():
            return dtype_name(value)
        case _:
            return "…"
