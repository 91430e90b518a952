"""Weights that nothing registers: drawn at random in `forward`, or in a `const`.

`conv2d(x, randn(16, 3, 3, 3))` runs, and has other weights in every call; in a `const` they are
others in every model, and no checkpoint has them. Fixed numbers (a filter written out) may stand in
a `const`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

from netspec.errors import Diagnostic
from netspec.ir.expr import (
    Attribute,
    Call,
    CallPart,
    Const,
    Expr,
    Method,
    Part,
    Training,
    Value,
    operands_of,
)  # fmt: skip
from netspec.ir.graph import Assign, Child, Graph, NewBuffer, Place
from netspec.ir.traversal import graphs_of
from netspec.ops.catalog import Operator
from netspec.ops.randomness import draws
from netspec.ops.signatures import signatures_of

_WEIGHTS = ("weight", "bias", "running_mean", "running_var")
_LEAVES = (Value, Const, Part, Training)
_SHAPES = ("shape", "device", "dtype", "ndim")


def find_unsaved(root: Child) -> list[Diagnostic]:
    """NS504 for each weight of a call that is random and that no checkpoint would have."""
    found: list[Diagnostic] = []
    for graph in graphs_of(root):
        for statement in graph.body:
            if not isinstance(statement, Assign) or _is_plain(statement.expr):
                continue
            for call in _calls_in(statement.expr):
                for parameter, weight in _given(call):
                    found += _unsaved(parameter, weight, call.operator, statement, graph)
    return found


def _is_plain(expr: Expr) -> bool:
    """A module or function of one value, as most layers are: a quick look before the walk."""
    if not isinstance(expr, (Call, CallPart)):
        return False
    return len(expr.args) == 1 and isinstance(expr.args[0], Value) and not expr.kwargs


def _calls_in(expr: Expr) -> Iterator[Call]:
    """The calls of functions that take weights."""
    stack = [expr]
    while stack:
        node = stack.pop()
        if isinstance(node, Call) and _weights_of(node.operator):
            yield node
        stack += [part for part in operands_of(node) if not isinstance(part, _LEAVES)]


@cache
def _weights_of(operator: Operator) -> Mapping[int | str, str]:
    """The parameters of a function that are weights, by position and by name."""
    found: dict[int | str, str] = {}
    for position, parameter in enumerate(signatures_of(operator)[0].parameters):
        if parameter.name.endswith(_WEIGHTS):
            found[position] = found[parameter.name] = parameter.name
    return found


def _given(call: Call) -> Iterator[tuple[str, Expr]]:
    weights = _weights_of(call.operator)
    given: list[tuple[int | str, Expr]] = [*enumerate(call.args), *call.kwargs]
    yield from ((weights[key], expr) for key, expr in given if key in weights)


def _unsaved(
    parameter: str, weight: Expr, operator: Operator, statement: Assign, graph: Graph
) -> Iterator[Diagnostic]:
    makers = {s.targets[0]: s for s in graph.body if isinstance(s, Assign) and len(s.targets) == 1}
    consts = {child.name: child for child in graph.children}
    drawn, stack, const = False, [weight], None
    place = statement.place
    while stack:
        expr = stack.pop()
        if isinstance(expr, Value):
            maker = makers.get(expr.id)
            if maker is None:
                return  # it depends on an input
            place = maker.place if expr == weight else place
            stack.append(maker.expr)
        elif isinstance(expr, Part):
            child = consts.get(str(expr.path[0]))
            if child is None or not isinstance(child.new, NewBuffer) or child.new.persistent:
                return  # it is registered
            const = child
            stack.append(child.new.value)
        elif not isinstance(expr, Attribute) or expr.name not in _SHAPES:
            drawn = drawn or _is_random(expr)
            stack += operands_of(expr)
    if drawn:
        yield _told(parameter, operator, const, place)


def _told(
    parameter: str, operator: Operator, const: Child | None, place: Place | None
) -> Diagnostic:
    of = f"the `{parameter}` of `{operator.name}`"
    if const is None:
        fact = f"{of} is drawn anew in every call: it would be neither trained nor saved"
    else:
        fact = f"`{const.name}` is {of}, drawn at random in a `const`: it would be neither trained"
        fact += " nor saved"
        place = const.place
    assert place is not None, "what a spec says has a place"
    help = "make it a `param`, which is trained and saved, or a `buffer`, which is saved"
    return Diagnostic("NS504", fact, place.key_span(), help=help)


def _is_random(expr: Expr) -> bool:
    match expr:
        case Call(operator):
            return draws(operator.name)
        case Method(name):
            return draws(name)
        case _:
            return False
