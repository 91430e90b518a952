"""Parameters that are one, in this graph or in one around it."""

from __future__ import annotations

from collections.abc import Mapping

from netspec.errors import did_you_mean
from netspec.ir.expr import (
    Part,
)  # fmt: skip
from netspec.ir.graph import (
    Graph,
    NewGraph,
    Tie,
)  # fmt: skip
from netspec.ir.lower.refusal import refuse
from netspec.ir.lower.scope import GraphBuilder, PendingTie, Scope
from netspec.ir.made import parameters_of


def ties_of(builder: GraphBuilder, scope: Scope, graph: Graph) -> tuple[Tie, ...]:
    found = []
    known = parameters_of(NewGraph(graph)) if scope.ties else {}
    for pending in scope.ties:
        first, *rest = pending.reference.split(".")
        binding = (pending.scope or scope).registered(first)
        if binding is None or not isinstance(binding.at, Part):
            defer_to_outer(pending, builder, scope)
            continue
        source = (*binding.at.path, *rest)
        _check_tie(pending, source, known)
        found.append(Tie(pending.target, source, pending.place))
    return tuple(found)


def defer_to_outer(pending: PendingTie, builder: GraphBuilder, scope: Scope) -> None:
    """A tie to what lies outside of this graph is made in the graph around."""
    if builder.outer is None:
        first = pending.reference.partition(".")[0]
        raise refuse(
            "NS503", f"`{pending.reference}` is not here to tie to", pending.place.span(),
            did_you_mean(first, scope.visible()) or "name a parameter by its path: `wte.weight`",
        )  # fmt: skip
    target = (*builder.at, *pending.target)
    builder.outer.ties.append(PendingTie(target, pending.reference, pending.place))


def _check_tie(
    pending: PendingTie, source: tuple[str | int, ...], known: Mapping[str, object]
) -> None:
    facts = []
    for path in (pending.target, source):
        name = ".".join(str(part) for part in path)
        if name not in known:
            fact = f"there is no parameter `{name}` to tie"
            raise refuse("NS503", fact, pending.place.span(), did_you_mean(name, known))
        facts.append(known[name])
    if facts[0] != facts[1]:
        shapes = [list(getattr(fact, "shape", ())) for fact in facts]
        own = ".".join(str(part) for part in pending.target)
        fact = (
            f"`{own}` is {shapes[0]}, and `{pending.reference}`, to which it is tied, {shapes[1]}"
        )
        help = "tied parameters are one tensor, so their shapes are equal"
        raise refuse("NS503", fact, pending.place.span(), help)
