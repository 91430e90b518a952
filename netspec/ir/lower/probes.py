"""The sizes and modes at which a spec is tried, and those that show what a free size decides.

A spec has to hold at two sizes of each letter. What is the same at both may still follow a letter:
`x[:, :50]` has 50 columns at 64 and 96, and fewer at 40. So where an expression reads sizes, facts
are found at others too, of which any may be refused; at the last, which has sizes that were tried,
what follows a size and is the same at all of them is another number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from itertools import combinations
from typing import Any

from netspec.errors import Diagnostic, SpecError
from netspec.ir.graph import Place, Probe
from netspec.language.expressions import is_expression, names_in
from netspec.language.load import Spec
from netspec.language.schema import Document, Input

_PRIMES = (5, 7, 11, 13, 17, 19, 23, 29)
_SMALL, _FAR = 2, 3  # the numbers of sizes beyond the two that are tried
_STEP = 101
_MOST_COMBINED = 3  # inputs of which every combination is tried
_LARGEST = 20_000
_READING = re.compile(r"shape|size\(|len\(|numel|ndim|dim\(|/")
_NUMBER = re.compile(r"\d+")
Sizes = tuple[dict[str, int], dict[str, int]]
BOTH_MODES = (True, False)


def shape_of(declared: list[int | str] | Input) -> list[int | str]:
    """The declared shape of an input."""
    return declared.shape if isinstance(declared, Input) else declared


def free_sizes(document: Document) -> dict[str, int]:
    """Each free size, with the first dimension in which it stands."""
    found: dict[str, int] = {}
    for declared in document.inputs.values():
        for dimension, size in enumerate(shape_of(declared)):
            if isinstance(size, str) and not is_expression(size):
                found[size] = min(dimension, found.get(size, dimension))
    return found


def example_sizes(spec: Spec) -> Sizes:
    """The two sizes at which each free one is tried: the spec's own examples, or the defaults."""
    low: dict[str, int] = {}
    high: dict[str, int] = {}
    numbers = _numbered(spec.document)
    for name, (number, first) in numbers.items():
        low[name] = 2 + 3 * number if first else 64 + 32 * number
        high[name] = _next(low[name], number)
    problems, paired = [], set[str]()
    for name, declared in spec.document.inputs.items():
        for size, example in (
            (declared.example or {}).items() if isinstance(declared, Input) else ()
        ):
            place = Place(spec.source, ("inputs", name, "example", size))
            pair = example if isinstance(example, list) else [example]
            if size not in low:
                fact = f"`{size}` is no free size of `{name}`"
                problems.append(Diagnostic("NS209", fact, place.key_span()))
            elif isinstance(example, int) and example > 0:
                low[size], high[size] = example, _next(example, numbers[size][0])
            elif len(pair) != 2 or pair[0] == pair[1] or min(pair) < 1:
                fact = f"an example of `{size}` is a size, or two different ones"
                problems.append(Diagnostic("NS205", fact, place.span()))
            else:
                low[size], high[size] = pair
                paired.add(size)
    if problems:
        raise SpecError(problems)
    _tell_apart(low, high, paired)
    return low, high


def _tell_apart(low: dict[str, int], high: dict[str, int], paired: Set[str]) -> None:
    """Gives letters whose two sizes are another's other ones: such as are `paired` the same two in
    the other order, if that is nobody's; else another second size."""
    met: set[tuple[int, int]] = set()
    for name, first in low.items():
        found, step = (first, high[name]), 0
        if found in met and name in paired:
            found = found[::-1]
        while found in met:
            found, step = (first, _next(first, step)), step + 1
        low[name], high[name] = found
        met.add(found)


def _numbered(document: Document) -> dict[str, tuple[int, bool]]:
    """Each free size with its number among its kind, and whether it is a first dimension."""
    found: dict[str, tuple[int, bool]] = {}
    count = {True: 0, False: 0}
    for name, dimension in free_sizes(document).items():
        first = dimension == 0
        found[name] = count[first], first
        count[first] += 1
    return found


def _next(size: int, number: int) -> int:
    """The other size at which one is tried: each letter has a step of its own.

    The steps are squares, so that no sum of letters is another sum; and sides stay multiples of 32.
    """
    return size + (32 if size >= 64 else 1) * (number + 1) ** 2


def other_sizes(spec: Spec, sizes: Sizes, failed: set[int], attempt: int) -> Sizes:
    """Other sizes in the place of those that failed where their neighbours did not.

    Sizes of the spec's own examples stay as they are.
    """
    low, high = sizes
    numbers = _numbered(spec.document)
    declared = [i for i in spec.document.inputs.values() if isinstance(i, Input)]
    given = {name for item in declared for name in item.example or {}}
    changed: tuple[dict[str, int], dict[str, int]] = (dict(low), dict(high))
    for name in low.keys() - given:
        if 0 in failed:  # too small: beyond the other one
            step = abs(high[name] - low[name]) * 2 ** (attempt + 1)
            changed[0][name] = high[name] + step
        else:  # too large: below the other one, or next to it
            step = attempt * (numbers[name][0] + 1)
            smaller = low[name] // 2 if attempt == 0 else low[name] - step
            changed[1][name] = smaller if smaller >= 2 else low[name] + step + 1  # 1 broadcasts
    return changed


def probes_of(
    spec: Spec,
    args: Mapping[str, object],
    sizes: Sizes,
    modes: tuple[bool, ...],
    left_out: Sequence[frozenset[str]],
    lost: Set[int],
) -> tuple[tuple[Probe, ...], int]:
    """The probes, and how many of them the spec has to hold at, which are the first.

    `lost` are the numbers of the sizes beyond those that were refused somewhere.
    """
    pairs: list[dict[str, int]] = list(sizes if sizes[0] else sizes[:1])
    beyond = _beyond(spec, args, sizes, lost) if sizes[0] and _reads_sizes(spec) else []
    numbered = list(enumerate([*pairs, *beyond]))
    return tuple(
        Probe(tuple(pair.items()), mode, index, missing)
        for part in (numbered[: len(pairs)], numbered[len(pairs) :])
        for missing in left_out
        for mode in modes
        for index, pair in part
    ), len(left_out) * len(modes) * len(pairs)


def left_out_at_once(names: Sequence[str]) -> list[frozenset[str]]:
    """What a caller may leave out at once, nothing first; of many each alone, and all others."""
    counts = set(range(len(names) + 1))
    if len(names) > _MOST_COMBINED:
        counts = {0, 1, len(names) - 1, len(names)}
    return [frozenset(some) for count in sorted(counts) for some in combinations(names, count)]


def _beyond(
    spec: Spec, args: Mapping[str, object], sizes: Sizes, lost: Set[int]
) -> list[dict[str, int]]:
    """Sizes of one, large ones, odd ones, and those of the first probe.

    The large ones lie beyond all numbers that the spec has, or where those were refused they are
    the largest of these. The odd ones are for images, and for what takes no size of one.
    """
    numbers = _numbered(spec.document)
    texts = [source.text or repr(source.value) for source in spec.files]
    found = [n for text in (*texts, repr(args)) for n in _NUMBER.findall(text) if len(n) < 6]
    known = [n for n in map(int, found) if n <= _LARGEST]
    most = max([*known, *sizes[0].values(), *sizes[1].values()])
    step = 0 if _FAR in lost else _STEP
    beyond = [
        dict.fromkeys(numbers, 1),
        {name: most + step * (k + 1) for k, name in enumerate(numbers)},
    ]
    sides = [name for name, (_, first) in numbers.items() if not first]
    if len(sides) > 1 or _SMALL in lost:
        odd = {name: _PRIMES[k % len(_PRIMES)] for k, name in enumerate(sides)}
        beyond.append(dict.fromkeys(numbers, 1) | odd)
    return [*beyond, sizes[0]]


def _reads_sizes(spec: Spec) -> bool:
    """Whether anything may be folded that is read off a tensor: without these words nothing is."""
    return any(_READING.search(source.text) or _has_parts(source.text) for source in spec.files)


def modes_of(spec: Spec) -> tuple[bool, ...]:
    """The modes in which facts are found: both, where anything may differ between them."""
    mentioned = (_mentions_mode(file.value) for file in spec.files if _may_mention(file.text))
    return BOTH_MODES if any(mentioned) else (False,)


def _may_mention(text: str) -> bool:
    """A quick look before the walk; without these words nothing depends on the mode."""
    return "training" in text or "eval" in text or _has_parts(text)


def _has_parts(text: str) -> bool:
    """Whether a text may name other specs, or is not known."""
    return not text or text.count("spec") > text.count("netspec")


def _mentions_mode(value: Any) -> bool:
    if isinstance(value, str):
        return "training" in value and is_expression(value) and "training" in names_in(value)
    if isinstance(value, dict):
        return (
            "spec" in value
            or set(value) == {"train", "eval"}
            or any(_mentions_mode(item) for item in value.values())
        )
    return isinstance(value, list) and any(_mentions_mode(item) for item in value)
