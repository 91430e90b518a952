"""The sizes and modes at which a spec is tried, and those that show what a free size decides.

A spec has to hold at two sizes of each letter. What is the same at both may still follow a letter:
`x[:, :50]` has 50 columns at 64 and 96, and fewer at 40. So where an expression reads sizes, facts
are found at others too. Any of them may be refused, and what follows a size still follows it from
there on (`stand_ins.py`). At the last, which has sizes that were tried, what follows a size and is
the same at all of them is another number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from itertools import combinations
from typing import Any

from netspec.errors import Diagnostic, SpecError
from netspec.ir.graph import Place, Probe
from netspec.ir.lower.stated_sizes import sizes_within
from netspec.ir.stated import Stated
from netspec.language.expressions import is_expression, names_in
from netspec.language.load import Spec
from netspec.language.schema import Document, Input

_PRIMES = (5, 7, 11, 13, 17, 19, 23, 29)
_STEP = 101
# What sizes are tried instead of those that failed, as multiples of those that did not.
_LARGER: Sequence[float] = (2, 3, 4, 1)
_SMALLER: Sequence[float] = (0.5, 2, 3, 1)
ATTEMPTS = 1 + len(_LARGER)
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


def stated_sizes(spec: Spec, sizes: Sizes, stated: Sequence[Stated]) -> Sizes:
    """The sizes next to these that the spec states to take.

    Raises SpecError (NS205) where there are none, or where an example is none.
    """
    low = sizes_within(stated, sizes[0])
    high = sizes_within(stated, sizes[1], low)
    if low is None or high is None:
        written = " and ".join(f"`{one.text}`" for one in stated)
        fact = f"no sizes fit what `where` states: {written}"
        raise SpecError(Diagnostic("NS205", fact, stated[0].span))
    for name, declared in spec.document.inputs.items():
        examples = declared.example or {} if isinstance(declared, Input) else {}
        for size, example in examples.items():
            each = example if isinstance(example, list) else [example]
            moved = [o[size] for o, n in zip(sizes, (low, high), strict=True) if o[size] != n[size]]
            if moved and moved[0] in each:
                place = Place(spec.source, ("inputs", name, "example", size))
                about = " and ".join(f"`{one.text}`" for one in stated if size in one.names)
                fact = f"`{size}` = {moved[0]} is no size that `where` states: {about}"
                raise SpecError(Diagnostic("NS205", fact, place.span()))
    return low, high


def other_sizes(spec: Spec, sizes: Sizes, failed: set[int], attempt: int) -> Sizes:
    """Others in the place of those sizes that failed where the other ones did not.

    They are multiples of what did not fail, or a part of it, which mostly have the same divisors;
    at last its neighbours. Sizes of the spec's own examples stay as they are.
    """
    declared = [i for i in spec.document.inputs.values() if isinstance(i, Input)]
    given = {name for item in declared for name in item.example or {}}
    changed: Sizes = (dict(sizes[0]), dict(sizes[1]))
    way = (_LARGER if 0 in failed else _SMALLER)[attempt]
    for name in changed[0].keys() - given:
        works = sizes[1 if 0 in failed else 0][name]
        size = int(works * way) or works
        if way == 1 or size in (1, works):  # 1 broadcasts
            size = works + 1 + _numbered(spec.document)[name][0]
        changed[0 if 0 in failed else 1][name] = size
    return changed


def probes_of(
    spec: Spec,
    args: Mapping[str, object],
    sizes: Sizes,
    modes: tuple[bool, ...],
    left_out: Sequence[frozenset[str]],
    largest: int = 0,
    stated: Sequence[Stated] = (),
) -> tuple[tuple[Probe, ...], int]:
    """The probes, and how many of them the spec has to hold at, which are the first.

    `largest` is a number that the spec is known to compute. Where it has `stated` which sizes it
    takes, all are such, and it has to hold at all of them in eval mode: a batch norm that takes no
    batch of one in training is no reason to state the batch's size.
    """
    pairs: list[dict[str, int]] = list(sizes if sizes[0] else sizes[:1])
    further: list[dict[str, int]] = []
    if sizes[0] and (stated or _reads_sizes(spec)):
        further = _beyond(spec, args, sizes, largest)
    if stated:
        fitting = [sizes_within(stated, one) for one in further]
        further = [one for one in fitting if one is not None]
    beyond = [*([] if stated else further), *(sizes[:1] if further else [])]
    numbered = list(enumerate([*pairs, *(further if stated else []), *beyond]))
    count = len(numbered) - len(beyond)
    tried = [
        Probe(tuple(pair.items()), mode, index, missing)
        for missing in left_out
        for mode in modes
        for index, pair in numbered[:count]
        if index < len(pairs) or not mode
    ]
    others = [
        Probe(tuple(pair.items()), mode, index, missing)
        for missing in left_out
        for mode in modes
        for index, pair in numbered[count:]
    ]
    return (*tried, *others), len(tried)


def reach_beyond(probes: Sequence[Probe], number: int) -> bool:
    """Whether some of these have sizes above a number, or need none: no size is free."""
    farthest = max(min(dict(probe.sizes).values(), default=_LARGEST) for probe in probes)
    return farthest >= min(number, _LARGEST)


def left_out_at_once(names: Sequence[str]) -> list[frozenset[str]]:
    """What a caller may leave out at once, nothing first; of many each alone, and all others."""
    counts = set(range(len(names) + 1))
    if len(names) > _MOST_COMBINED:
        counts = {0, 1, len(names) - 1, len(names)}
    return [frozenset(some) for count in sorted(counts) for some in combinations(names, count)]


def _beyond(
    spec: Spec, args: Mapping[str, object], sizes: Sizes, largest: int
) -> list[dict[str, int]]:
    """Sizes of one, large ones beyond all numbers that the spec has, odd ones."""
    numbers = _numbered(spec.document)
    texts = [source.text or repr(source.value) for source in spec.files]
    found = [n for text in (*texts, repr(args)) for n in _NUMBER.findall(text) if len(n) < 6]
    known = [n for n in (*map(int, found), largest) if n <= _LARGEST]
    most = max([*known, *sizes[0].values(), *sizes[1].values()])
    sides = [name for name, (_, first) in numbers.items() if not first]
    ones = dict.fromkeys(numbers, 1)
    far = {name: most + _STEP * (k + 1) for k, name in enumerate(numbers)}
    odd = ones | {name: _PRIMES[k % len(_PRIMES)] for k, name in enumerate(sides)}
    return [ones, far, *([odd] if sides else [])]


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
