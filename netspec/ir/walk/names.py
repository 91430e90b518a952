"""What a row of a summary is called: its path in the spec, and its kind in the spec's words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netspec.ir.expr import Call, CallPart, Choice, Expr, Method, Part, Training
from netspec.ir.graph import (
    Assign,
    Child,
    NewDict,
    NewGraph,
    NewList,
    NewModule,
    NewSequence,
    Place,
)


def path_of_statement(statement: Assign, prefix: str) -> str:
    """The layer's path: that of its module, where the module has its name."""
    part = _part_of(statement.expr)
    name = _name_of(statement)
    if part and str(part[-1]) == name:
        name = ".".join(map(str, part))
    elif statement.place and statement.place.path:
        last = statement.place.path[-1]
        if name.isdigit() and isinstance(last, str) and last != name:
            name = f"{last}.{name}"  # a copy of a repeated layer
    return join_path(prefix, name)


def join_path(path: str, name: str) -> str:
    """The path of what has this name inside of a path; the outermost path is empty."""
    return f"{path}.{name}" if path else name


def kind_of_statement(
    statement: Assign, find: Callable[[Sequence[str | int]], Child | None]
) -> str:
    """`Conv2d`, `max_pool2d`, `=bn2 + x`; `Linear (head)` where another layer's module is used."""
    expr = _acting(statement.expr)
    part = _part_of(expr)
    if part:
        child = find(part)
        kind = kind_of_child(child) if child else str(part[-1])
        own = str(part[-1]) == _name_of(statement)
        return kind if own else f"{kind} ({'.'.join(map(str, part))})"
    text = _text_of(statement.place)
    if text is not None:
        return f"={text}"
    if isinstance(expr, Call):
        return expr.operator.name
    return expr.name if isinstance(expr, Method) else "="


def kind_of_child(child: Child) -> str:
    """The class of a child."""
    match child.new:
        case NewModule(operator):
            return operator.name
        case NewGraph(graph):
            return graph.name
        case NewSequence():
            return "Sequential"
        case NewList():
            return "ModuleList"
        case NewDict():
            return "ModuleDict"
        case new:
            return type(new).__name__.removeprefix("New")


def _name_of(statement: Assign) -> str:
    """The layer's name; values from inside of it, which it gives besides, are left out."""
    first = statement.names[0]
    others = [name for name in statement.names[1:] if not name.startswith(f"{first}.")]
    return ", ".join([first, *others])


def _acting(expr: Expr) -> Expr:
    """The expression itself, or what it is in train mode."""
    while isinstance(expr, Choice) and isinstance(expr.condition, Training):
        expr = expr.then
    return expr


def _part_of(expr: Expr) -> tuple[str | int, ...]:
    match _acting(expr):
        case CallPart(Part(path)):
            return path
        case _:
            return ()


def _text_of(place: Place | None) -> str | None:
    """The expression that the spec has at this place, if it has one."""
    if place is None or not place.exists:
        return None
    value: object = place.source.value
    for key in place.path:
        assert isinstance(value, (dict, list)), "the place exists"
        value = value[key]  # type: ignore[index]
    if isinstance(value, dict):
        value = value.get("value", value.get("const"))
    if not isinstance(value, str) or not value.startswith("="):
        return None
    return value[1:].strip()
