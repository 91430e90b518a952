"""What a call gives in formulas of its sizes, and what those have to be: asked of torch.

torch computes with symbols and says what it assumed. Much of that only chooses a kernel or a memory
layout; so the call is run with numbers that break each assumption, and one that nothing follows
from is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch

from netspec.caches import Cache
from netspec.sizes.alike import answer_like, like_of
from netspec.sizes.from_sympy import NotSymbolic
from netspec.sizes.predicate import Predicate, holds, names_in, split
from netspec.sizes.question import Answer, Need, Question, by_name
from netspec.sizes.real import NoSuchSizes, agrees, run_at
from netspec.sizes.symbolic import ask_symbolic, loops
from netspec.sizes.tries import find_by_tries

_MANY = 120  # sets of sizes that are looked at, and of those
_BREAKING, _CHECKED = 3, 8  # that are run: for each assumption, and within all
_CHECKED_ALIKE = 3
_BESIDE = (1, 5, 11)  # how far apart sizes are moved from what is equal by chance
_SMALL = (1, 2, 3, 4, 5, 7, 8, 16)
_FAR = 1100  # up to which sizes are looked for that break an assumption
_answers: Cache[object, list[Answer]] = Cache(4000)
_models: Cache[object, list[Answer]] = Cache(2000)


def answer_to(question: Question, own: bool = False) -> Answer:
    """The answer to a question; one that is not the network's `own` is remembered.

    Raises NotSymbolic where nothing is known, as what is refused at the question's own sizes.
    """
    hints = by_name(question.hints)
    known = [] if own else _answers.get(question.key, [])
    for answer in known:
        if all(holds(need.predicate, hints) for need in answer.needs):
            return answer
    answer = _asked(question)
    if not own:
        _answers.keep(question.key, [*known, answer])
    return answer


def _asked(question: Question) -> Answer:
    here = run_at(question, question.hints)
    if here is None:
        raise NotSymbolic("it is refused at the sizes that are tried")
    if not question.hints:
        return find_by_tries(question, here, "")
    like = like_of(question.key)
    for model in _models.get(like, []):
        answer = answer_like(model, here)
        if answer is not None and _is_right(question, answer):
            return answer
    answer = _from_torch(question, here)
    _models.keep(like, [*_models.get(like, []), answer])
    return answer


def _from_larger_sizes(question: Question, here: Any) -> Answer | None:
    """The answer from larger sizes in the place of 1 and 0, of which torch takes other ways."""
    small = [number for number, hint in enumerate(question.hints) if hint in (0, 1)]
    for step in (1, 0) if small else ():
        larger = list(question.hints)
        for number in small:
            larger[number] = 3 + step * number
        answer = _from_sizes(question, here, larger)
        if answer is not None:
            return answer
    return None


def _from_sizes_beside(
    question: Question, here: Any, doubtful: Sequence[Predicate]
) -> Answer | None:
    """The answer from sizes that are not equal by chance, as those by which torch took its way."""
    for step in _BESIDE:
        sizes = [max(hint, 2) + step * (i + 1) for i, hint in enumerate(question.hints)]
        if not all(holds(one, by_name(sizes)) for one in doubtful):
            answer = _from_sizes(question, here, sizes)
            if answer is not None:
                return answer
    return None


def _from_sizes(question: Question, here: Any, sizes: Sequence[int]) -> Answer | None:
    """What torch's symbols tell at other sizes, where it is right at the question's own as well."""
    other = replace(question, hints=tuple(sizes))
    with suppress(NotSymbolic, NoSuchSizes):
        there = run_at(other, sizes)
        answer, sure = _from_symbols(other, there) if there is not None else (None, False)
        if answer is None or not sure or not agrees(answer.value, here, question.hints):
            return None
        if all(holds(need.predicate, by_name(question.hints)) for need in answer.needs):
            return answer
    return None


def _is_right(question: Question, answer: Answer) -> bool:
    """Whether an answer is right at its own sizes and some others, and needs what it says."""
    here = by_name(question.hints)
    if not all(holds(need.predicate, here) for need in answer.needs):
        return False
    if not _right_within(question, answer.value, answer.needs, _CHECKED_ALIKE):
        return False
    predicates = [need.predicate for need in answer.needs]
    unseen = set(range(len(predicates)))
    for sizes in _candidates(question, predicates):
        if not unseen:
            break
        named = by_name(sizes)
        broken = {number for number, one in enumerate(predicates) if not holds(one, named)}
        if not broken & unseen:
            continue
        with suppress(NoSuchSizes):
            found = run_at(question, sizes)
            if found is not None and agrees(answer.value, found, sizes) and len(broken) == 1:
                return False
            unseen -= broken
    return True


def _from_torch(question: Question, here: Any) -> Answer:
    if loops(question):
        why = "it computes step by step along a size"
        return find_by_tries(question, here, why, loops=True)
    larger = _from_larger_sizes(question, here)
    if larger is not None:
        return larger
    try:
        answer, sure = _from_symbols(question, here)
    except NotSymbolic as reason:
        return find_by_tries(question, here, str(reason))
    if sure:
        return answer
    doubtful = [need.predicate for need in answer.needs if not need.fails]
    beside = _from_sizes_beside(question, here, doubtful) if doubtful else None
    if beside is not None:
        return beside
    try:
        return find_by_tries(question, here, "symbols stand for one number here", strict=True)
    except NotSymbolic:
        return answer


def _from_symbols(question: Question, here: Any) -> tuple[Answer, bool]:
    """What torch's symbols tell, and whether it is right wherever it says so.

    Raises NotSymbolic where they can't tell, or tell wrong.
    """
    value, assumed = ask_symbolic(question)
    if not agrees(value, here, question.hints):
        raise NotSymbolic("symbols and numbers disagree")
    each = dict.fromkeys(part for one in assumed for part in split(one))
    here_ = by_name(question.hints)
    assumed = [one for one in each if names_in(one) and holds(one, here_)]
    needs = _needed(question, value, assumed)
    sure = all(need.fails for need in needs) and _right_within(question, value, needs)
    return Answer(value, needs), sure


@dataclass(frozen=True, slots=True)
class _Run:
    """Sizes that break some assumptions, by their numbers, and what came of it."""

    broken: frozenset[int]
    right: bool
    refused: bool


def _needed(question: Question, value: Any, assumed: Sequence[Predicate]) -> tuple[Need, ...]:
    """Those of torch's assumptions without which the answer is not right."""
    if not assumed:
        return ()
    runs: list[_Run] = []
    counts = [0] * len(assumed)
    for sizes in _candidates(question, assumed):
        named = by_name(sizes)
        broken = [number for number, one in enumerate(assumed) if not holds(one, named)]
        if not broken or all(counts[number] >= _BREAKING for number in broken):
            continue
        try:
            found = run_at(question, sizes)
        except NoSuchSizes:
            continue
        right = found is not None and agrees(value, found, sizes)
        runs.append(_Run(frozenset(broken), right, found is None))
        for number in broken:
            counts[number] += 1
    return tuple(_kept(assumed, runs))


def _kept(assumed: Sequence[Predicate], runs: Sequence[_Run]) -> Iterator[Need]:
    """What is never broken by sizes that work; else what alone tells of some that don't."""
    innocent = {number for run in runs if run.right for number in run.broken}
    for number, one in enumerate(assumed):
        against = [run for run in runs if number in run.broken and not run.right]
        if number in innocent:
            against = [run for run in against if not run.broken - innocent]
            if not against:
                continue
        yield Need(one, not against or any(run.refused for run in against))


def _right_within(
    question: Question, value: Any, needs: Sequence[Need], enough: int = _CHECKED
) -> bool:
    """Whether the answer is right at other sizes for which it says so."""
    checked = 0
    for sizes in _candidates(question, [need.predicate for need in needs]):
        if not all(holds(need.predicate, by_name(sizes)) for need in needs):
            continue
        try:
            found = run_at(question, sizes)
        except NoSuchSizes:
            continue
        if found is None or not agrees(value, found, sizes):
            return False
        checked += 1
        if checked >= enough:
            break
    return True


def _candidates(question: Question, assumed: Sequence[Predicate]) -> Iterator[list[int]]:
    """Small sizes, those that break an assumption by one size alone, and others near by."""
    hints, least = list(question.hints), question.least
    seen: set[tuple[int, ...]] = set()

    def new(sizes: list[int]) -> bool:
        fits = all(size >= low for size, low in zip(sizes, least, strict=True))
        fresh = fits and tuple(sizes) not in seen and len(seen) < _MANY * (1 + len(hints))
        if fresh:
            seen.add(tuple(sizes))
        return fresh

    def with_one(index: int, size: int, others: list[int]) -> list[int]:
        return [*others[:index], size, *others[index + 1 :]]

    for size in (1, 2, 3):
        if new([size] * len(hints)):
            yield [size] * len(hints)
    for index, hint in enumerate(hints):
        if new(with_one(index, hint, [1] * len(hints))):
            yield with_one(index, hint, [1] * len(hints))
    for one in assumed:
        for index in range(len(hints)):
            for size in _breaking(one, index, question):
                if new(with_one(index, size, hints)):
                    yield with_one(index, size, hints)
    for index, hint in enumerate(hints):
        for size in (hint + 1, hint - 1, hint + 3, 2 * hint, hint // 2, hint + 32, 0, *_SMALL):
            if new(with_one(index, size, hints)):
                yield with_one(index, size, hints)
    for size in _SMALL:
        if new([size] * len(hints)):
            yield [size] * len(hints)


def _breaking(one: Predicate, index: int, question: Question) -> list[int]:
    """Sizes in the place of one by which this does not hold: the ends, and those next to it."""
    hint, name = question.hints[index], f"s{index}"
    if name not in names_in(one):
        return []
    sizes = torch.arange(question.least[index], max(_FAR, 3 * hint))
    found = holds(one, {**by_name(question.hints), name: sizes})
    broken = sizes[~found] if isinstance(found, torch.Tensor) else sizes[:0]
    if not len(broken):
        return []
    below, above = broken[broken < hint], broken[broken > hint]
    picked = [broken[0], *below[-1:], *above[:1], broken[-1]]
    return list(dict.fromkeys(int(size) for size in picked))
