"""Refusals of tensors that have to agree: sums and comparisons, cat, stack, losses."""

from __future__ import annotations

import re

from netspec.explain.rules.attempt import Attempt, Explanation, Given, by

_CATS = ("cat", "concat", "concatenate")
_STACKS = ("stack", "hstack", "vstack", "dstack", "column_stack")
_SUMS = ("+", "add", "-", "sub", "*", "mul")
_DISAGREE = re.compile(
    r"broadcast|must match|same size|same as|same shape|equal size|different to|sizes? of tensor",
    re.IGNORECASE,
)
_IMAGES = re.compile(r"conv|pool|upsampl|interpolate", re.IGNORECASE)
_ONE_SHAPE = re.compile(r"same as|different to the input size")
_CLASSES = ("cross_entropy", "CrossEntropyLoss", "nll_loss", "NLLLoss")


def explain_joining(attempt: Attempt) -> Explanation | None:
    """Which sizes of several inputs differ."""
    if attempt.operator in _CATS:
        return _cat(attempt)
    if attempt.operator in _STACKS:
        return _stack(attempt)
    if attempt.operator in _CLASSES:
        return _classes(attempt)
    if _ONE_SHAPE.search(attempt.words):
        return _same(attempt) or _broadcast(attempt)
    return _broadcast(attempt) or _same(attempt)


def _cat(attempt: Attempt) -> Explanation | None:
    if not attempt.tensors:
        return None
    first = attempt.tensors[0]
    dim = attempt.argument("dim", 0)
    rank = len(first.shape)
    for other in attempt.tensors[1:]:
        if len(other.shape) != rank:
            fact = (
                f"{attempt.what} joins tensors of one number of dimensions, and "
                f"{first.is_shaped} and {other.is_shaped}"
            )
            return Explanation(fact, chains=(first, other))
    if not isinstance(dim, int) or not -rank <= dim < rank:
        return None
    for other in attempt.tensors[1:]:
        differ = [d for d in range(rank) if d != dim % rank and first.shape[d] != other.shape[d]]
        if differ:
            at = " and ".join(map(str, differ))
            sizes = [by(tuple(given.size(d) for d in differ)) for given in (first, other)]
            fact = (
                f"{attempt.what} along dimension {dim} needs all other sizes equal, and in "
                f"{'dimension' if len(differ) == 1 else 'dimensions'} {at} "
                f"{first.gives(sizes[0])} and {other.gives(sizes[1])}"
            )
            only = len(differ) == 1 and first.shape[dim % rank] == other.shape[dim % rank]
            help = sides_help(attempt, first, other, [d - rank for d in differ])
            if help is None and only and not attempt.partly:
                help = f"`dim: {differ[0]}` would join them"
            return Explanation(fact, help, chains=(first, other))
    return None


def _stack(attempt: Attempt) -> Explanation | None:
    for other in attempt.tensors[1:]:
        first = attempt.tensors[0]
        if other.shape != first.shape:
            fact = f"{attempt.what} needs equal shapes, and {first.is_shaped} and {other.is_shaped}"
            return Explanation(fact, chains=(first, other))
    return None


def _broadcast(attempt: Attempt) -> Explanation | None:
    """Two inputs that are computed element by element, and that do not go together."""
    if not _DISAGREE.search(attempt.words):
        return None
    for index, second in enumerate(attempt.tensors):
        for first in attempt.tensors[:index]:
            differ = _differing(first, second)
            if differ:
                return _told(attempt, first, second, differ)
    return None


def _differing(first: Given, second: Given) -> list[int]:
    """The dimensions, counted from the end, in which two shapes do not broadcast."""
    pairs = zip(reversed(first.shape), reversed(second.shape), strict=False)
    return [-1 - i for i, (a, b) in enumerate(pairs) if a != b and 1 not in (a, b)]


def _told(attempt: Attempt, first: Given, second: Given, differ: list[int]) -> Explanation:
    where = _where(first, second, differ)
    a, b = (_sizes(given, differ) for given in (first, second))
    fact = f"{attempt.what} needs equal sizes, and {where} {first.gives(a)} and {second.gives(b)}"
    help = _bent(first, second, differ) if attempt.operator in _SUMS else None
    help = help or sides_help(attempt, first, second, differ)
    return Explanation(fact, help, chains=(first, second))


def _where(first: Given, second: Given, differ: list[int]) -> str:
    """The dimensions that differ, counted from the front if both have as many."""
    if len(first.shape) != len(second.shape) and differ == list(range(-1, -1 - len(differ), -1)):
        return (
            "in the last dimension" if len(differ) == 1 else f"in the last {len(differ)} dimensions"
        )
    start = len(first.shape) if len(first.shape) == len(second.shape) else 0
    dims = [start + d for d in reversed(differ)]
    return f"in dimension {dims[0]}" if len(dims) == 1 else f"in dimensions {_listed(dims)}"


def _listed(items: list[int]) -> str:
    *others, last = map(str, items)
    return f"{', '.join(others)} and {last}"


def _sizes(given: Given, differ: list[int]) -> str:
    sizes = [given.size(d) for d in reversed(differ)]
    return sizes[0] if len(sizes) == 1 else f"[{', '.join(sizes)}]"


def _bent(first: Given, second: Given, differ: list[int]) -> str | None:
    """A help for a residual connection whose main path changes the shape."""
    if len(first.shape) != 4 or len(second.shape) != 4:
        return None
    if -3 in differ:
        return "bring one to the other's channels and sides by a 1×1 `Conv2d`, strided if need be"
    return None


def sides_help(attempt: Attempt, first: Given, second: Given, differ: list[int]) -> str | None:
    """What makes the sides of two images equal, where halving and doubling them has rounded.

    `differ` are the dimensions, from the end. None where they are no sides, or differ by more.
    """
    rank = len(first.shape)
    if len(second.shape) != rank or rank < 3 or min(differ) < 2 - rank:
        return None
    if rank == 3 and not any(_IMAGES.search(given.made_by) for given in (first, second)):
        return None  # the last dimension is the features of a sequence
    small, large = first, second
    if first.shape[differ[0]] > second.shape[differ[0]]:
        small, large = second, first
    pairs = [(small.shape[d], large.shape[d]) for d in differ]
    if not all(a < b < 2 * a for a, b in pairs):
        return None
    helps = [f"pad the smaller: `{_padded(small, large, differ)}`"]
    if "ConvTranspose" in small.made_by:
        helps.insert(
            0, f'give `{small.name}` its size: `with: {{output_size: "={_sides(large)}"}}`'
        )
    elif small.made_by in ("interpolate", "upsample") or "Upsampl" in small.made_by:
        sized = f'{{call: interpolate, size: "={_sides(large)}"}}'
        helps.insert(0, f"give `{small.name}` its size: `{sized}`")
    if attempt.partly:
        helps.append("state by `where` for which sizes it is")
    return ", or ".join(helps)


def _padded(small: Given, large: Given, differ: list[int]) -> str:
    """The smaller one with zeros behind its sides, in an expression."""
    a, b = _bracketed(small), _bracketed(large)
    amounts: list[str] = []
    for dim in range(-1, min(differ) - 1, -1):
        more = f"{b}.shape[{dim}] - {a}.shape[{dim}]" if dim in differ else "0"
        amounts += ["0", more]
    return f"pad({small.name}, ({', '.join(amounts)}))"


def _sides(given: Given) -> str:
    return f"{_bracketed(given)}.shape[2:]"


def _bracketed(given: Given) -> str:
    return f"({given.name})" if " " in given.name else given.name


def _same(attempt: Attempt) -> Explanation | None:
    """Two inputs that have to be of one shape, as a loss's are."""
    first, second = attempt.tensor("input"), attempt.tensor("target")
    if first is None or second is None or first.shape == second.shape:
        return None
    if not _DISAGREE.search(attempt.words):
        return None
    fact = f"{attempt.what} needs equal shapes, and {first.is_shaped} and {second.is_shaped}"
    help = None
    if first.shape == (*second.shape, 1):
        help = f"take the last dimension off: `{first.name}.squeeze(-1)`"
    return Explanation(fact, help, chains=(first, second))


def _classes(attempt: Attempt) -> Explanation | None:
    """A loss over classes: the scores are [N, C, …], the numbers of the classes [N, …]."""
    scores, target = attempt.tensor("input"), attempt.tensor("target")
    if scores is None or target is None or not target.is_whole or len(scores.shape) < 2:
        return None
    wanted = (scores.shape[0], *scores.shape[2:])
    if target.shape == wanted:
        return None
    sizes = (scores.size(0), *scores.sizes[2:])
    fact = (
        f"{attempt.what} takes scores [N, C, …] and classes [N, …]: for `{scores.name}` "
        f"{scores.text} the target is [{', '.join(sizes)}], and {target.is_shaped}"
    )
    return Explanation(fact, _classes_help(scores, target, wanted), chains=(scores, target))


def _classes_help(scores: Given, target: Given, wanted: tuple[int, ...]) -> str | None:
    if target.shape == (*wanted, 1):
        return f"take the last dimension off: `{target.name}.squeeze(-1)`"
    if target.shape == scores.shape[:-1]:
        return f"bring the classes to dimension 1: `{scores.name}.movedim(-1, 1)`"
    if target.shape == scores.shape:
        return f"take the numbers of the classes: `{target.name}.argmax(1)`"
    return None
