"""A tuple or a dict where a tensor stands, in words: how one of its items is taken."""

from __future__ import annotations

from collections.abc import Sequence

from netspec.errors import Span
from netspec.explain.look import Look
from netspec.ir.expr import Value
from netspec.ir.graph import Place
from netspec.ir.lower.provenance import Step, history_of
from netspec.ir.lower.refusal import Refused, refuse
from netspec.ir.lower.rejections import CollectionGiven, Key
from netspec.ir.lower.scope import Scope
from netspec.ir.lower.values import Operand
from netspec.ops.types import Mapped


def explain_collection(refused: CollectionGiven) -> Refused:
    """NS212; the help says how one of its items is taken."""
    operand, place = refused.operand, refused.place
    steps, look = history_of(operand, refused.scope), Look(refused.scope, 0, partly=False)
    name = _name_of(steps)
    shape = look.text(operand.facts)
    kind = "a dict" if isinstance(operand.facts[0], Mapped) else "a tuple"
    fact = f"`{name}` gives {kind}, {shape}, and {refused.what} takes a tensor"
    return refuse("NS212", fact, _at(place, refused.key), _item_help(refused, name))


def _at(place: Place, key: Key | None) -> Span:
    if place.node is not None:
        found = place.positional(key) if isinstance(key, int) else place.argument(key or "")
        return (found or place).span()
    if isinstance(key, str):
        named = place.argument(key) or place.at("with", key)
        return named.span() if named.exists else place.key_span()
    given = place.at("from")
    if not given.exists:
        return place.key_span()
    one = given.at(key) if key is not None else given
    return (one if one.exists else given).span()


def _item_help(refused: CollectionGiven, name: str) -> str:
    """How a spec takes the first tensor of a collection, here."""
    scope, place, operand, key = refused.scope, refused.place, refused.operand, refused.key
    keys = "".join(f"[{part!r}]" for part in refused.path)
    if scope.copies and _is_carried(operand, scope):
        return (
            "each copy is given what the one before it gives: repeat a list of `layers` whose last "
            f'one takes an item of it, `"=_{keys}"`'
        )
    caller = _given_by_caller(scope, operand)
    if caller is not None:
        return (
            f"`{scope.graph.name}` is called with `{caller}`, and may be given an item of it: "
            f'`from: "={caller}{keys}"`'
        )
    if not name.isidentifier() and scope.previous is not None:
        name = "_" if operand.expr == scope.previous.expr else name
    if not name.isidentifier():
        return f"take an item of it, as in `=name{keys}`"
    if place.node is not None:
        return f"take an item of it: `{name}{keys}`"
    if isinstance(key, int) and place.at("from", key).exists:
        return f'take an item of it: `"={name}{keys}"`'
    if isinstance(key, str):
        return f'take an item of it: `{key}: "={name}{keys}"`'
    return f'take an item of it: `from: "={name}{keys}"`'


def _given_by_caller(scope: Scope, operand: Operand) -> str | None:
    """What a block's input is in the graph that calls the block; None of what is no such input."""
    found, graph = None, scope.graph
    while graph.caller is not None:
        source = dict(zip((Value(port.id) for port in graph.inputs), graph.sources, strict=True))
        if not isinstance(operand.expr, Value) or operand.expr not in source:
            break
        operand = source[operand.expr]
        found = _name_of(history_of(operand, graph.caller))
        graph = graph.caller.graph
    return found if found is not None and found.isidentifier() else None


def _name_of(steps: Sequence[Step]) -> str:
    return steps[-1].name if steps else "it"


def _is_carried(operand: Operand, scope: Scope) -> bool:
    return scope.previous is not None and operand.expr == scope.previous.expr
