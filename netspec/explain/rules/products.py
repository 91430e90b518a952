"""Refusals of matrix products: Linear, `@`, bmm, Bilinear."""

from __future__ import annotations

from netspec.explain.rules.attempt import Attempt, Explanation, Given

_PRODUCTS = ("@", "matmul", "mm", "bmm", "mv", "dot", "inner", "linear")
_RANKS = {"bmm": (3, 3), "mm": (2, 2), "mv": (2, 1), "dot": (1, 1)}


def explain_product(attempt: Attempt) -> Explanation | None:
    """Which sizes of a matrix product differ."""
    if attempt.operator in ("Linear", "linear"):
        return _linear(attempt)
    if attempt.operator in ("Bilinear", "bilinear"):
        return _bilinear(attempt)
    if attempt.operator in _PRODUCTS and len(attempt.tensors) == 2:
        return _ranks(attempt) or _matmul(attempt)
    return None


def _linear(attempt: Attempt) -> Explanation | None:
    given = attempt.tensor("input") or (attempt.tensors[0] if attempt.tensors else None)
    weight = _weight(attempt)
    if given is None or weight is None or not given.shape or len(weight) != 2:
        return None
    if given.shape[-1] == weight[1]:
        return None
    return features(attempt, given, weight[1], "in_features")


def features(attempt: Attempt, given: Given, wanted: int, about: str) -> Explanation:
    """A layer of `wanted` input features, and an input of another last size."""
    fact = f"{attempt.what} expects {wanted} input features, and {given.gives(given.size(-1))}"
    held = attempt.tensor("weight")
    return Explanation(fact, None, about, (given,) if held is None else (given, held))


def _weight(attempt: Attempt) -> tuple[int, ...] | None:
    held = attempt.tensor("weight")
    if held is not None:
        return held.shape
    own = getattr(attempt.module, "weight", None)
    return tuple(own.shape) if own is not None else None


def _bilinear(attempt: Attempt) -> Explanation | None:
    weight = _weight(attempt)
    if weight is None or len(weight) != 3:
        return None
    names = ("in1_features", "in2_features")
    for given, wanted, about in zip(attempt.tensors, weight[1:], names, strict=False):
        if given.shape and given.shape[-1] != wanted:
            return features(attempt, given, wanted, about)
    return None


def _ranks(attempt: Attempt) -> Explanation | None:
    wanted = _RANKS.get(attempt.operator)
    if wanted is None or tuple(len(given.shape) for given in attempt.tensors) == wanted:
        return None
    shapes = " and ".join(given.is_shaped for given in attempt.tensors)
    dimensions = wanted[0] if wanted[0] == wanted[1] else f"{wanted[0]} and {wanted[1]}"
    fact = f"{attempt.what} takes tensors of {dimensions} dimensions, and {shapes}"
    help = "`@` multiplies matrices in tensors of any number of dimensions"
    return Explanation(fact, None if attempt.operator == "dot" else help)


def _matmul(attempt: Attempt) -> Explanation | None:
    first, second = attempt.tensors
    if not first.shape or not second.shape:
        return Explanation(f"{attempt.what} takes matrices, and one of its inputs is one number")
    inner = -1 if len(second.shape) == 1 else -2
    if first.shape[-1] == second.shape[inner]:
        return _batches(attempt, first, second)
    fact = (
        f"{attempt.what} needs the last size of `{first.name}`, {first.size(-1)}, to be the "
        f"{'last but one' if inner == -2 else 'only one'} of `{second.name}`, {second.size(inner)}"
    )
    return Explanation(fact, _turned(first, second))


def _turned(first: Given, second: Given) -> str | None:
    """A help where turning one of the two round makes them fit."""
    if len(second.shape) > 1 and second.shape[-1] == first.shape[-1]:
        return f"turn the second one round: `{second.name}.mT`"
    if len(first.shape) > 1 and len(second.shape) > 1 and first.shape[-2] == second.shape[-2]:
        return f"turn the first one round: `{first.name}.mT`"
    return None


def _batches(attempt: Attempt, first: Given, second: Given) -> Explanation | None:
    pairs = zip(reversed(first.shape[:-2]), reversed(second.shape[:-2]), strict=False)
    if all(a == b or 1 in (a, b) for a, b in pairs) and attempt.operator != "bmm":
        return None
    fact = (
        f"{attempt.what} needs equal sizes before the matrices, and {first.is_shaped} and "
        f"{second.is_shaped}"
    )
    return Explanation(fact)
