"""What the inputs of a spec state of its free sizes, and sizes for which that holds."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from heapq import nsmallest
from itertools import product

from netspec.errors import Help
from netspec.ir.graph import Place
from netspec.ir.lower.refusal import Refused, refuse
from netspec.ir.lower.scope import Scope
from netspec.ir.stated import NoCondition, Stated, condition_of
from netspec.language.expressions import (
    NotAnExpression,
    as_expression,
    is_expression,
    parse_expression,
)
from netspec.language.schema import Document, Input

_FARTHEST = 1 << 16  # how far from a size another one is looked for
_EACH = {1: 2, 2: 200, 3: 36}  # sizes of a letter that are looked at, of so many together
_FEWEST = 12


def read_stated(
    document: Document, free: Mapping[str, int], scope: Scope, here: Place
) -> list[Stated]:
    """The conditions of all inputs; `scope` has the args. What is wrong with one is reported."""
    found: list[Stated] = []
    for name, declared in document.inputs.items():
        conditions = declared.where if isinstance(declared, Input) else None
        for index, text in enumerate(conditions or ()):
            with scope.context.problems:
                place = here.at("inputs", name, "where", index)
                found.append(_read(text, free, scope, place))
    return found


def _read(text: str, free: Mapping[str, int], scope: Scope, place: Place) -> Stated:
    if not is_expression(text):
        written = as_expression(text)
        help = Help(f"write `{written}`: an expression begins with `=`", text, written)
        raise refuse("NS205", f"`{text}` is no condition", place.span(), help)
    try:
        expression = parse_expression(text)
    except NotAnExpression:  # which was told when the spec was read
        raise Refused from None
    place = Place(place.source, place.path, text)

    def number(node: ast.Name) -> int | str:
        if node.id in free:
            return node.id
        operand = scope.args.get(node.id)
        at = place.of(node).span()
        if operand is None:
            fact = f"`{node.id}` is no free size of an input, and no arg"
            raise refuse("NS209", fact, at, f"it has {', '.join((*free, *scope.args)) or 'none'}")
        value = operand.facts[0]
        if operand.is_unknown:
            raise Refused
        if type(value) is not int:
            raise refuse("NS205", f"`{node.id}` is {value!r}, and no whole number", at)
        return value

    try:
        condition = condition_of(expression.tree, number)
    except NoCondition as error:
        raise refuse("NS205", error.fact, place.of(error.node).span()) from None
    names = {node.id for node in ast.walk(expression.tree) if isinstance(node, ast.Name)}
    own = frozenset(names & free.keys())
    if not own:
        fact = f"`{expression.text}` says nothing of a free size"
        raise refuse("NS205", fact, place.span(), f"the inputs have {', '.join(free) or 'none'}")
    return Stated(expression.text, condition, own, place.span())


def sizes_within(
    stated: Sequence[Stated], wanted: Mapping[str, int], apart: Mapping[str, int] | None = None
) -> dict[str, int] | None:
    """The sizes next to these for which all that is stated holds; None where there are none.

    They are other ones than those `apart` from which they have to be, where there are others.
    """
    found = dict(wanted)
    for names in _together(stated, wanted):
        own = [one for one in stated if one.names <= names]
        order = [name for name in wanted if name in names]
        count = _EACH.get(len(order), _FEWEST)
        columns = [
            list(
                dict.fromkeys(
                    size
                    for other in (name, *order)  # what is stated may be that two are equal
                    for size in _nearest(own, name, wanted[other], count if other == name else 4)
                )
            )
            for name in order
        ]
        sets = (dict(zip(order, each, strict=True)) for each in product(*columns))
        fitting = [sizes for sizes in sets if all(one.holds(sizes) for one in own)]

        def distance(sizes: Mapping[str, int]) -> tuple[int, int]:
            same = sum(size == (apart or {}).get(name) for name, size in sizes.items())
            return same, sum(abs(size - wanted[name]) for name, size in sizes.items())

        best = nsmallest(1, fitting, key=distance)
        if not best:
            return None
        found |= best[0]
    return found


def _together(stated: Sequence[Stated], names: Mapping[str, int]) -> list[frozenset[str]]:
    """The free sizes in groups of which nothing is stated together."""
    groups: list[frozenset[str]] = []
    for one in stated:
        joined = one.names & names.keys()
        touching = [group for group in groups if group & joined]
        groups = [group for group in groups if group not in touching]
        groups.append(joined.union(*touching))
    return groups


def _nearest(stated: Sequence[Stated], name: str, wanted: int, count: int) -> list[int]:
    """Some sizes of one letter for which what is stated of it alone holds, the nearest first."""
    own = [one for one in stated if one.names == {name}]
    found: list[int] = []
    for step in range(_FARTHEST):
        sizes = [size for size in dict.fromkeys((wanted + step, wanted - step)) if size >= 1]
        found += [size for size in sizes if all(one.holds({name: size}) for one in own)]
        if len(found) >= count:
            break
    return found
