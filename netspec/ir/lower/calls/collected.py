"""A tuple or a dict where a tensor is taken, as an LSTM's (output, (h, c)) is by a Linear.

Whether that is the mistake is asked: one of its tensors, in its place, has to be accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from netspec.ir.expr import Const, Expr, Item
from netspec.ir.graph import Place
from netspec.ir.lower.calls.bind import bind
from netspec.ir.lower.refusal import Refused
from netspec.ir.lower.rejections import CollectionGiven, Key, rejected
from netspec.ir.lower.scope import Scope
from netspec.ir.lower.values import Operand
from netspec.ops.arguments import Signature
from netspec.ops.types import Fact, Mapped, TensorType

_MOST_LOOKED_AT = 64


@dataclass(frozen=True, slots=True)
class Replaced:
    """A call with tensors in the place of collections, and the refusal of the first of those."""

    args: list[Operand]
    kwargs: dict[str, Operand]
    refused: Refused


def is_collection(operand: Operand) -> bool:
    """Whether it is a tuple or a dict with a tensor in it."""
    return isinstance(operand.facts[0], (tuple, Mapped)) and _first_tensor(operand) is not None


def with_tensors(
    signatures: Sequence[Signature],
    what: str,
    args: Sequence[Operand],
    kwargs: Mapping[str, Operand],
    scope: Scope,
    place: Place,
    spread: bool = False,
    tensors: Collection[int] = (),
) -> Replaced | None:
    """The call that the signatures take, where they don't take this one for a collection in it.

    At the positions in `tensors` no collection can stand, whatever the signature says.
    """
    if not any(map(is_collection, (*args, *kwargs.values()))):
        return None

    def accepts(some: list[Operand], named: dict[str, Operand]) -> bool:
        if any(i in tensors and is_collection(operand) for i, operand in enumerate(some)):
            return False
        try:
            bind(signatures, what, some, named, place, spread)
        except Refused:
            return False
        return True

    return with_tensors_where(accepts, f"`{what}`", args, kwargs, scope, place)


def with_tensors_where(
    accepts: Callable[[list[Operand], dict[str, Operand]], bool],
    what: str,
    args: Sequence[Operand],
    kwargs: Mapping[str, Operand],
    scope: Scope,
    place: Place,
) -> Replaced | None:
    """The nearest call that is accepted, or None where this one is, or no such one is."""
    if accepts(list(args), dict(kwargs)):
        return None
    for key, some, named in _replacements(args, kwargs):
        if accepts(some, named):
            given = args[key] if isinstance(key, int) else kwargs[key]
            return Replaced(some, named, collection_given(scope, place, what, given, key))
    return None


def _replacements(
    args: Sequence[Operand], kwargs: Mapping[str, Operand]
) -> Iterator[tuple[Key, list[Operand], dict[str, Operand]]]:
    """One collection replaced, each in its turn; then all of them."""
    given: dict[Key, Operand] = dict(enumerate(args))
    given.update(kwargs)
    tensors = {key: found for key, o in given.items() if (found := _first_tensor(o)) is not None}
    choices = [{key: tensor} for key, tensor in tensors.items()]
    for chosen in [*choices, tensors] if len(choices) > 1 else choices:
        both = {**given, **chosen}
        named = {key: operand for key, operand in both.items() if isinstance(key, str)}
        yield next(iter(chosen)), [both[i] for i in range(len(args))], named


def collection_given(
    scope: Scope, place: Place, what: str, operand: Operand, key: Key | None = None
) -> Refused:
    """NS212: a collection stands where a tensor does. `key` is the argument it is given for."""
    path = _path_of(operand.facts[0]) or ()
    return rejected(CollectionGiven(scope, place, what, operand, path, key))


def _path_of(fact: Fact) -> tuple[Key, ...] | None:
    """The way to the first tensor inside of a collection, or None where none is near.

    Of a long or deep one only the beginning is looked at: it may hold one thing very often.
    """
    open_: list[tuple[tuple[Key, ...], Fact]] = [((), fact)]
    for _ in range(_MOST_LOOKED_AT):
        if not open_:
            return None
        path, found = open_.pop()
        if isinstance(found, TensorType):
            return path
        items: Iterable[tuple[Key, Fact]] = ()
        if isinstance(found, tuple):
            items = enumerate(found[:_MOST_LOOKED_AT])
        elif isinstance(found, Mapped):
            items = found.items[:_MOST_LOOKED_AT]
        inner = [((*path, key), item) for key, item in items]
        open_ += reversed([one for one in inner if isinstance(one[1], (TensorType, tuple, Mapped))])
    return None


def _first_tensor(operand: Operand) -> Operand | None:
    """The first tensor inside of a collection; None of what is no collection, or has none."""
    path = _path_of(operand.facts[0])
    if not path:
        return None
    expr: Expr = operand.expr
    facts = operand.facts
    for key in path:
        expr = Item(expr, Const(key))
        facts = tuple(_item_of(fact, key) for fact in facts)
    return Operand(expr, facts, operand.sized, operand.modal)


def _item_of(fact: Fact, key: Key) -> Fact:
    if isinstance(fact, tuple) and isinstance(key, int) and key < len(fact):
        return fact[key]
    return dict(fact.items).get(str(key)) if isinstance(fact, Mapped) else None
