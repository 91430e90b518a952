"""The signature of what is being written: of a layer, or of a call in an expression."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

from lsprotocol import types as lsp

from netspec.lsp.cursor import Cursor
from netspec.lsp.scope import kind_of, operator_of, role_of
from netspec.ops import catalog
from netspec.ops.arguments import describe
from netspec.ops.catalog import Operator
from netspec.ops.signatures import signatures_of
from netspec.view.operator_words import parameter_text, sentence

_CALLED = re.compile(r"(\.?)([A-Za-z_]\w*)$")
_CLOSING = {")": "(", "]": "[", "}": "{"}


def signature_help(
    cursor: Cursor, block_args: Mapping[str, Mapping[str, object]]
) -> lsp.SignatureHelp | None:
    """The signature at the cursor, with the argument that is being written."""
    text = cursor.text.lstrip("\"'")
    if text.startswith("="):
        return _of_call(text)
    if role_of(cursor.path) != "layer":
        return None
    key = cursor.key if cursor.key is not None else cursor.text.strip()
    operator = operator_of(cursor.here)
    if operator is not None:
        return _help(operator, key)
    kind, name = kind_of(cursor.here) or ("", "")
    if kind != "block" or name not in block_args:
        return None
    args = block_args[name]
    labels = [arg if value is None else f"{arg}={value}" for arg, value in args.items()]
    return _shown(name, labels, [], list(args), key, "")


def _of_call(text: str) -> lsp.SignatureHelp | None:
    opened = _open_call(text)
    if opened is None:
        return None
    before, arguments = opened
    called = _CALLED.search(before)
    if called is None:
        return None
    is_method = called[1] == "."
    find = catalog.find_method if is_method else catalog.find_function
    operator = find(called[2])
    if operator is None:
        return None
    last = arguments[-1]
    named = re.match(r"\s*(\w+)\s*=(?!=)", last)
    return _help(operator, named[1] if named else len(arguments) - 1 + is_method)


def _open_call(text: str) -> tuple[str, list[str]] | None:
    """What stands before the innermost open parenthesis, and the arguments after it so far."""
    stack: list[tuple[str, int]] = []
    commas: dict[int, list[int]] = {}
    for index, character in enumerate(text):
        if character in "([{":
            stack.append((character, index))
            commas[index] = []
        elif character in _CLOSING:
            if stack and stack[-1][0] == _CLOSING[character]:
                stack.pop()
        elif character == "," and stack:
            commas[stack[-1][1]].append(index)
    calls = [index for character, index in stack if character == "("]
    if not calls:
        return None
    start = calls[-1]
    bounds = [start, *commas[start], len(text)]
    return text[:start], [text[a + 1 : b] for a, b in pairwise(bounds)]


def _help(operator: Operator, active: str | int) -> lsp.SignatureHelp:
    signatures = signatures_of(operator)
    having = [s for s in signatures if active in [p.name for p in s.parameters]]
    chosen = (having or signatures)[0]
    parameters = chosen.parameters
    return _shown(
        operator.name,
        [parameter_text(p) for p in parameters],
        [describe(p.accepts) for p in parameters],
        [p.name for p in parameters],
        active,
        sentence(operator.target),
    )


def _shown(
    name: str,
    labels: Sequence[str],
    types: Sequence[str],
    names: Sequence[str],
    active: str | int,
    words: str,
) -> lsp.SignatureHelp:
    index = active if isinstance(active, int) else None
    if isinstance(active, str) and active in names:
        index = names.index(active)
    information = lsp.SignatureInformation(
        label=f"{name}({', '.join(labels)})",
        documentation=words or None,
        parameters=[
            lsp.ParameterInformation(label, types[i] if i < len(types) else None)
            for i, label in enumerate(labels)
        ],
        active_parameter=index,
    )
    return lsp.SignatureHelp([information], active_signature=0, active_parameter=index)
