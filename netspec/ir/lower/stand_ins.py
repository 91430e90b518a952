"""What stands in for a fact at sizes at which something was refused.

There nothing is known of what comes after, and what follows a free size has to go on following it:
a number that was 64 and 96 where the spec was tried is still another one here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from netspec.ops.types import Fact, Slice, TensorType, contiguous

Column = tuple[int, ...]  # one number, at each of the sizes that are tried


@dataclass(frozen=True, slots=True)
class _Numbers:
    """What a fact was made of: each number here, and whether all that look constant are."""

    here: Mapping[Column, int]
    constant: bool


@dataclass(slots=True, eq=False)
class StandIns:
    """Those of one probe, which has sizes up to `most`; equal columns have equal numbers."""

    most: int
    numbers: dict[Column, int] = field(default_factory=dict)

    def of(self, tried: Sequence[Fact], given: Sequence[tuple[Sequence[Fact], Fact]]) -> Fact:
        """The fact that stands in for one that was `tried`.

        `given` are the facts that it was made of: where they were tried, and here. A number that is
        one of theirs at each size is so here. One that was the same wherever it was tried stays,
        unless one of theirs was too, and is another one here.
        """
        known: dict[Column, int] = {}
        constant = True
        for where_tried, here in given:
            for column, number in _numbers(where_tried, here):
                if number != column[0] or column not in known:
                    known[column] = number
                constant &= number == column[0] or len(set(column)) > 1
        return self._of(tried, _Numbers(known, constant))

    def _of(self, tried: Sequence[Fact], known: _Numbers) -> Fact:
        first = tried[0]
        if isinstance(first, TensorType):
            shapes = [fact.shape for fact in tried if isinstance(fact, TensorType)]
            if len({len(shape) for shape in shapes}) > 1 or len(shapes) < len(tried):
                return first
            columns = zip(*shapes, strict=True)
            shape = tuple([self._number(column, known) for column in columns])
            return contiguous(shape, first.dtype)
        if isinstance(first, tuple):
            items = _parallel(tried)
            return first if items is None else tuple([self._of(item, known) for item in items])
        if type(first) is int and all(type(fact) is int for fact in tried):
            return self._number(tuple(tried), known)  # type: ignore[arg-type]
        return first

    def _number(self, column: Column, known: _Numbers) -> int:
        if column in known.here:
            return known.here[column]
        if known.constant and len(set(column)) == 1:
            return column[0]
        if self.most == 1:
            return 1
        return self.numbers.setdefault(column, self.most + len(self.numbers) + 1)


def _parallel(facts: Sequence[Fact]) -> list[tuple[Fact, ...]] | None:
    """The items of tuples of one length; None where they are none."""
    tuples = [fact for fact in facts if isinstance(fact, tuple)]
    if len(tuples) < len(facts) or len({len(items) for items in tuples}) > 1:
        return None
    return list(zip(*tuples, strict=True))


def _numbers(tried: Sequence[Fact], here: Fact) -> Iterator[tuple[Column, int]]:
    """Each number in some facts of one value: at each size that was tried, and here."""
    facts = [*tried, here]
    if all(isinstance(fact, Slice) for fact in facts):
        facts = [(one.start, one.stop, one.step) for one in facts if isinstance(one, Slice)]
    if all(isinstance(fact, TensorType) for fact in facts):
        facts = [fact.shape for fact in facts if isinstance(fact, TensorType)]
    if all(type(fact) is int for fact in facts):
        *column, number = [fact for fact in facts if isinstance(fact, int)]
        yield tuple(column), number
    for item in _parallel(facts) or ():
        yield from _numbers(item[:-1], item[-1])
