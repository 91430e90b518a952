"""How a value came to be: the layers that led to it, from the input on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from netspec.ir.expr import (
    Attribute,
    Binary,
    Call,
    CallPart,
    Comparison,
    Const,
    Expr,
    Item,
    Method,
    Part,
    Unary,
    Value,
    operands_of,
)  # fmt: skip
from netspec.ir.graph import Assign, Place, Statement
from netspec.ir.lower.scope import GraphBuilder, Scope
from netspec.ir.lower.values import Operand
from netspec.ops.types import Fact

# What a tensor is: a layer's value, an input of the model or of a block, a parameter, a part of an
# expression.
Role: TypeAlias = Literal["layer", "input", "port", "state", "expression"]

_ASKED = ("shape", "device", "dtype", "ndim")
_SHORT = 24  # an expression of more characters is told by its outermost function
Makers: TypeAlias = Mapping[int, Statement | int]


@dataclass(frozen=True, slots=True)
class Step:
    """A value on the way: its name in the spec, its facts at each probe, and where it is made."""

    name: str
    facts: tuple[Fact, ...]
    role: Role
    place: Place | None


def history_of(operand: Operand, scope: Scope) -> list[Step]:
    """The steps from the model's or block's input to this operand, which is the last of them.

    Of several inputs of a step the first one is followed.
    """
    steps: list[Step] = []
    expr, makers = operand.expr, _makers(scope.graph)
    while True:
        if not steps and not isinstance(expr, Value):
            steps.append(_unnamed(expr, operand.facts, scope, makers))
        number = next((n for n in _values_in(expr) if n in makers), None)
        if number is None:
            break
        maker = makers[number]
        if not isinstance(maker, int):
            name, facts = name_in(scope.graph, number, makers), _facts_of(number, maker)
            steps.append(Step(name, facts, "layer", maker.place))
            expr = maker.expr if isinstance(maker, Assign) else maker.start[_at(number, maker)]
        elif scope.graph.outer is None:
            steps.append(_input(maker, scope))
            break
        else:
            expr = scope.graph.sources[maker].expr
            scope = scope.graph.outer
            makers = _makers(scope.graph)
    return steps[::-1]


def _values_in(expr: Expr) -> Iterator[int]:
    """The values that an expression is made of, not those of which it asks the shape or device."""
    if isinstance(expr, Value):
        yield expr.id
    elif not isinstance(expr, Attribute) or expr.name not in _ASKED:
        for operand in operands_of(expr):
            yield from _values_in(operand)


def _makers(graph: GraphBuilder) -> Makers:
    """For each value of a graph the statement that gives it, or the number of the input."""
    found: dict[int, Statement | int] = {port.id: i for i, port in enumerate(graph.inputs)}
    for statement in graph.body:
        found.update(dict.fromkeys(_targets(statement), statement))
    return found


def _targets(statement: Statement) -> tuple[int, ...]:
    return statement.targets if isinstance(statement, Assign) else statement.carried


def _at(number: int, statement: Statement) -> int:
    return _targets(statement).index(number)


def _facts_of(number: int, statement: Statement) -> tuple[Fact, ...]:
    if len(_targets(statement)) == 1:
        return statement.facts
    at = _at(number, statement)
    return tuple(fact[at] if isinstance(fact, tuple) else fact for fact in statement.facts)


def _unnamed(expr: Expr, facts: tuple[Fact, ...], scope: Scope, makers: Makers) -> Step:
    """The step of what has no name of its own: a parameter, or a part of an expression."""
    state = isinstance(expr, Part) or (isinstance(expr, Attribute) and isinstance(expr.of, Part))
    place = None
    if isinstance(expr, Part):
        binding = scope.find(str(expr.path[-1]))
        place = binding.place if binding is not None else None
    name = text_of(expr, scope.graph, makers)
    return Step(name, facts, "state" if state else "expression", place)


def _input(number: int, scope: Scope) -> Step:
    """An input of the model, or of a block."""
    port = scope.graph.inputs[number]
    while scope.outer is not None and scope.outer.graph is scope.graph:
        scope = scope.outer
    binding = scope.names.get(port.name)
    place = binding.place if binding is not None else None
    of_model = place is not None and place.path == ("inputs", port.name)
    return Step(port.name, port.facts, "input" if of_model else "port", place)


def name_in(graph: GraphBuilder, number: int, makers: Makers) -> str:
    """The name of a value in the spec; of a numbered layer the path."""
    maker = makers.get(number)
    if isinstance(maker, int):
        return graph.inputs[maker].name
    if maker is None:
        return "it"
    return named(maker.names[min(_at(number, maker), len(maker.names) - 1)], maker.place)


def named(name: str, place: Place | None) -> str:
    """A layer's name; a number says too little, so its container's name is put before."""
    if not name.isdigit() or place is None:
        return name
    keys = [str(key) for key in place.path if key != "layers"]
    keys = keys[2:] if keys[:1] == ["blocks"] else keys
    if keys and keys[-1] != name:
        keys.append(name)  # a copy of a repeated layer
    return ".".join(keys[-2:]) or name


def text_of(expr: Expr, graph: GraphBuilder, makers: Makers | None = None) -> str:
    """An expression as the spec would write it; of a long one the outermost function."""
    makers = _makers(graph) if makers is None else makers
    text = _text(expr, graph, makers)
    return text if len(text) <= _SHORT else _outermost(expr, graph, makers)


def _text(expr: Expr, graph: GraphBuilder, makers: Makers) -> str:
    def inner(part: Expr) -> str:
        text = _text(part, graph, makers)
        return f"({text})" if isinstance(part, (Binary, Comparison, Unary)) else text

    def listed(parts: tuple[Expr, ...]) -> str:
        return ", ".join(_text(part, graph, makers) for part in parts)

    match expr:
        case Value(number):
            return name_in(graph, number, makers)
        case Const(value) if value is None or isinstance(value, (bool, int, float, str)):
            return repr(value)
        case Part(path):
            return ".".join(map(str, path))
        case CallPart(target, args):
            return f"{_text(target, graph, makers)}({listed(args)})"
        case Call(operator, args):
            return f"{operator.name}({listed(args)})"
        case Method(name, receiver, args):
            return f"{inner(receiver)}.{name}({listed(args)})"
        case Attribute(of, name):
            return f"{inner(of)}.{name}"
        case Binary(op, left, right):
            return f"{inner(left)} {op} {inner(right)}"
        case Comparison(left, (op,), (right,)):
            return f"{inner(left)} {op} {inner(right)}"
        case Unary(op, operand):
            return f"{op}{inner(operand)}"
        case Item(of, Const(int(index))):
            return f"{inner(of)}[{index}]"
        case Item(of):
            return f"{inner(of)}[…]"
        case _:
            return "…"


def _outermost(expr: Expr, graph: GraphBuilder, makers: Makers) -> str:
    match expr:
        case CallPart(target):
            return f"{_text(target, graph, makers)}(…)"
        case Call(operator):
            return f"{operator.name}(…)"
        case Method(name):
            return f"….{name}(…)"
        case Binary(op):
            return f"… {op} …"
        case Item(of):
            return f"{_outermost(of, graph, makers)}[…]"
        case _:
            return "…"
