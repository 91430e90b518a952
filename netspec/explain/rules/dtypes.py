"""Refusals for a dtype: integers where torch computes with fractions, two dtypes in one sum."""

from __future__ import annotations

import re

import torch

from netspec.explain.rules.attempt import Attempt, Explanation, Given
from netspec.ops.types import dtype_name

_ABOUT_TYPES = re.compile(
    r"dtype|scalar type|not implemented for|type \(|same type|bool tensor|floating|predicate"
    r"|found type|Long|integral",
)
_BITS = ("&", "|", "^", "~")
_LOOKUPS = ("Embedding", "EmbeddingBag", "embedding", "embedding_bag")
_CLASSES = ("cross_entropy", "CrossEntropyLoss", "nll_loss", "NLLLoss", "NLLLoss2d")
_INDICES = ("index", "indices", "tensors_or_index")


def explain_dtypes(attempt: Attempt) -> Explanation | None:
    """Why the operation refuses the dtypes of its inputs, if torch's words are about dtypes."""
    if not _ABOUT_TYPES.search(attempt.words) or not attempt.tensors:
        return None
    for rule in _RULES:
        found = rule(attempt)
        if found is not None:
            return found
    return None


def _lookup(attempt: Attempt) -> Explanation | None:
    rows = attempt.tensor("input") or attempt.tensors[0]
    if attempt.operator not in _LOOKUPS or rows.is_whole:
        return None
    fact = f"{attempt.what} looks up rows by their numbers, and `{rows.name}` is {rows.dtype}"
    return Explanation(fact, _make(rows, torch.int64), chains=(rows,))


def _classes(attempt: Attempt) -> Explanation | None:
    scores, target = attempt.tensor("input"), attempt.tensor("target")
    if attempt.operator not in _CLASSES or target is None or target.is_whole:
        return None
    if scores is not None and scores.shape == target.shape:
        return None  # probabilities
    fact = f"{attempt.what} takes the numbers of classes as its target, and `{target.name}`"
    return Explanation(f"{fact} is {target.dtype}", _make(target, torch.int64), chains=(target,))


def _mask(attempt: Attempt) -> Explanation | None:
    mask = attempt.tensor("mask", "condition")
    if mask is None or mask.type.dtype is torch.bool:
        return None
    fact = f"{attempt.what} takes a bool mask, and `{mask.name}` is {mask.dtype}"
    return Explanation(fact, f"compare it: `{mask.name} != 0`", chains=(mask,))


def _index(attempt: Attempt) -> Explanation | None:
    index = attempt.tensor(*_INDICES)
    if index is None or index.is_whole or "index" not in attempt.words.lower():
        return None
    fact = f"{attempt.what} takes integers as its index, and `{index.name}` is {index.dtype}"
    return Explanation(fact, _make(index, torch.int64), chains=(index,))


def _bits(attempt: Attempt) -> Explanation | None:
    if attempt.operator not in _BITS:
        return None
    for given in attempt.tensors:
        if not given.is_whole:
            fact = f"{attempt.what} is for bools and integers, and `{given.name}` is {given.dtype}"
            help = f"compare it first: `{_bracketed(given)} > 0`"
            return Explanation(fact, help, chains=(given,))
    return None


def _bool_minus(attempt: Attempt) -> Explanation | None:
    if attempt.operator not in ("-", "sub", "neg", "rsub", "subtract"):
        return None
    for given in attempt.tensors:
        if given.type.dtype is torch.bool:
            fact = f"{attempt.what} is not for bools, and `{given.name}` is bool"
            help = f"turn a mask round by `~{given.name}`, or make numbers of it: "
            return Explanation(fact, f"{help}`{_bracketed(given)}.float()`", chains=(given,))
    return None


def _of_module(attempt: Attempt) -> Explanation | None:
    """A module's parameters have one dtype, its input another."""
    if attempt.module is None:
        return None
    own = next((p.dtype for p in attempt.module.parameters()), None)
    for given in attempt.tensors:
        if own is not None and given.type.dtype is not own:
            dtype = dtype_name(own)
            fact = f"{attempt.what} computes in {dtype}, and `{given.name}` is {given.dtype}"
            return Explanation(fact, _make(given, own), chains=(given,))
    return None


def _mixed(attempt: Attempt) -> Explanation | None:
    if "not implemented for" in attempt.words:
        return None
    first, *others = attempt.tensors
    for other in others:
        if other.type.dtype is first.type.dtype:
            continue
        of = f"`{first.name}` is {first.dtype} and `{other.name}` is {other.dtype}"
        fact = f"{attempt.what} takes tensors of one dtype, and {of}"
        change, kept = (other, first) if other.is_whole or not first.is_whole else (first, other)
        return Explanation(fact, _make(change, kept.type.dtype), chains=(first, other))
    return None


def _whole(attempt: Attempt) -> Explanation | None:
    """All are integers, and the operation is for fractions."""
    given = attempt.tensors[0]
    if not given.is_whole:
        return None
    fact = f"{attempt.what} needs floating-point numbers, and `{given.name}` is {given.dtype}"
    return Explanation(fact, _make(given, torch.float32), chains=(given,))


def _unsupported(attempt: Attempt) -> Explanation | None:
    if "not implemented for" not in attempt.words:
        return None
    dtypes = {given.dtype for given in attempt.tensors}
    if len(dtypes) > 1:
        return None
    fact = f"{attempt.what} is not made for {dtypes.pop()}"
    return Explanation(fact, chains=attempt.tensors[:1])


def _make(given: Given, dtype: torch.dtype) -> str:
    """How a tensor comes to have a dtype: by its declaration if it is an input, else in between."""
    if given.role == "input":
        shape = f"shape: {given.text}, "
        if dtype is torch.float32:
            return f"declare it as float32: `{given.name}: {given.text}`"
        return f"declare it so: `{given.name}: {{{shape}dtype: {dtype_name(dtype)}}}`"
    short = {torch.float32: "float()", torch.int64: "long()", torch.bool: "bool()"}
    return f"convert it: `{_bracketed(given)}.{short.get(dtype, f'to({dtype_name(dtype)})')}`"


def _bracketed(given: Given) -> str:
    return f"({given.name})" if " " in given.name else given.name


_RULES = (
    _lookup,
    _classes,
    _mask,
    _index,
    _bits,
    _bool_minus,
    _of_module,
    _mixed,
    _whole,
    _unsupported,
)
