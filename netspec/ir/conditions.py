"""Under which condition the text of a spec reads a layer, where it reads it in some cases only.

`=fc + aux if use_aux else fc` reads `aux` where `use_aux` holds.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from netspec.ir.graph import Place
from netspec.source import Path
from netspec.spec.expressions import NotAnExpression, is_expression, names_in, parse_expression

_READING = ("from", "use")  # keys with names that are no expressions
_INVERSE: Mapping[type[ast.cmpop], ast.cmpop] = {
    ast.Eq: ast.NotEq(), ast.NotEq: ast.Eq(), ast.Lt: ast.GtE(), ast.GtE: ast.Lt(),
    ast.Gt: ast.LtE(), ast.LtE: ast.Gt(), ast.Is: ast.IsNot(), ast.IsNot: ast.Is(),
    ast.In: ast.NotIn(), ast.NotIn: ast.In(),
}  # fmt: skip

Conditions = tuple[str, ...]  # all of which hold


@dataclass(frozen=True, slots=True)
class _Layer:
    """The layer that is asked for: its name, and its path from its block or spec."""

    name: str
    path: tuple[str, ...]

    def is_named(self, text: str) -> bool:
        """Whether a `from` or an output names it, or something inside of it."""
        whole = ".".join(self.path)
        return any(text == one or text.startswith(f"{one}.") for one in (self.name, whole))


def condition_of_reading(place: Place) -> str | None:
    """The expression that tells whether anything reads the layer at this place.

    None where something reads it always, where nothing names it, and where it is told by more than
    the args and inputs of its block or spec.
    """
    if place.node is not None or not place.path or not isinstance(place.path[-1], str):
        return None
    root, inner = _root_of(place)
    names = tuple(str(key) for key in inner if key != "layers")
    found = list(dict.fromkeys(_reads(root, _Layer(names[-1], names))))
    known = {*_keys(root.get("args")), *_keys(root.get("inputs")), "training"}
    if not found or () in found:
        return None
    if any(names_in(f"={text}") - known for conditions in found for text in conditions):
        return None
    whole = _any_of([_all_of(conditions) for conditions in found])
    own = _own_condition(root, inner)
    return whole if own is None else _all_of((own, whole))


def _root_of(place: Place) -> tuple[dict[str, object], Path]:
    """The spec or block in which a layer stands, and the layer's path in it."""
    path, end = place.path, 0
    while path[end : end + 1] == ("blocks",):
        end += 2
    value: object = place.source.value
    for key in path[:end]:
        value = value[key]  # type: ignore[index]
    return (value if isinstance(value, dict) else {}), path[end:]


def _keys(value: object) -> list[str]:
    """The names of args or inputs, which stand in a mapping or a list."""
    return [key for key in value if isinstance(key, str)] if isinstance(value, (dict, list)) else []


def _own_condition(root: object, path: Path) -> str | None:
    for key in path:
        root = root[key]  # type: ignore[index]
    when = root.get("when") if isinstance(root, dict) else None
    return when[1:].strip() if isinstance(when, str) else None


def _reads(root: Mapping[str, object], layer: _Layer) -> Iterator[Conditions]:
    """What holds at each place that names the layer."""
    yield from _in_layers(root.get("layers"), layer, ())
    yield from _in_outputs(root.get("outputs"), layer, ())


def _in_layers(layers: object, layer: _Layer, around: Conditions) -> Iterator[Conditions]:
    items = list(layers.items()) if isinstance(layers, dict) else list(enumerate(_listed(layers)))
    before: object = None
    for key, item in items:
        implicit = before == layer.name and not (isinstance(item, dict) and "from" in item)
        if implicit or key != layer.name:
            yield from _in_layer(item, layer, around, implicit)
        before = key


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _in_layer(
    item: object, layer: _Layer, around: Conditions, implicit: bool
) -> Iterator[Conditions]:
    if isinstance(item, str):
        if is_expression(item):
            yield from _in_expression(item, layer, around, implicit)
        elif implicit:
            yield around
        return
    if not isinstance(item, dict):
        return
    inside = (*around, *_conditions_on(item))
    if implicit and "value" not in item and not item.keys() & {"param", "buffer", "const"}:
        yield inside
    for key, value in item.items():
        if key == "layers":
            yield from _in_layers(value, layer, inside)
        elif key != "when":
            yield from _in_value(value, layer, inside, implicit, named=key in _READING)


def _in_value(
    value: object, layer: _Layer, around: Conditions, implicit: bool, named: bool
) -> Iterator[Conditions]:
    if isinstance(value, str):
        if is_expression(value):
            yield from _in_expression(value, layer, around, implicit)
        elif named and layer.is_named(value):
            yield around
        return
    items = value.values() if isinstance(value, dict) else _listed(value)
    for item in items:
        yield from _in_value(item, layer, around, implicit, named)


def _in_outputs(outputs: object, layer: _Layer, around: Conditions) -> Iterator[Conditions]:
    inside = (*around, *_conditions_on(outputs)) if isinstance(outputs, dict) else around
    if not isinstance(outputs, (dict, list)):
        yield from _in_value(outputs, layer, inside, implicit=False, named=True)
        return
    items = outputs.items() if isinstance(outputs, dict) else enumerate(outputs)
    for key, item in items:
        if key != "when":
            yield from _in_outputs(item, layer, inside)


def _conditions_on(item: Mapping[str, object]) -> Iterator[str]:
    """What has to hold for a layer, or an output, to be there."""
    when, repeat = item.get("when"), item.get("repeat")
    if isinstance(when, str) and is_expression(when):
        yield when[1:].strip()
    count = repeat.get("n") if isinstance(repeat, dict) else repeat
    if isinstance(count, str) and is_expression(count):
        yield f"{count[1:].strip()} > 0"


def _in_expression(
    text: str, layer: _Layer, around: Conditions, implicit: bool
) -> Iterator[Conditions]:
    try:
        tree = parse_expression(text).tree
    except NotAnExpression:
        return
    names = {layer.name, "_"} if implicit else {layer.name}
    yield from _in_tree(tree, names, around)


def _in_tree(node: ast.AST, names: set[str], around: Conditions) -> Iterator[Conditions]:
    match node:
        case ast.Name(id=name):
            if name in names:
                yield around
        case ast.IfExp(test=test, body=body, orelse=other):
            yield from _in_tree(test, names, around)
            yield from _in_tree(body, names, (*around, ast.unparse(test)))
            yield from _in_tree(other, names, (*around, _not(test)))
        case ast.BoolOp(op=op, values=values):
            for index, value in enumerate(values):
                before = [_not(v) if isinstance(op, ast.Or) else ast.unparse(v) for v in values]
                yield from _in_tree(value, names, (*around, *before[:index]))
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _in_tree(child, names, around)


def _not(node: ast.expr) -> str:
    """The opposite of a condition, as a person would write it."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return ast.unparse(node.operand)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        inverse = ast.Compare(node.left, [_INVERSE[type(node.ops[0])]], node.comparators)
        return ast.unparse(inverse)
    return ast.unparse(ast.UnaryOp(ast.Not(), node))


def _all_of(conditions: Conditions) -> str:
    distinct = tuple(dict.fromkeys(conditions))
    return _joined(ast.And(), distinct)


def _any_of(conditions: list[str]) -> str:
    return _joined(ast.Or(), tuple(dict.fromkeys(conditions)))


def _joined(op: ast.boolop, conditions: Conditions) -> str:
    if len(conditions) == 1:
        return conditions[0]
    trees = [ast.parse(text.strip(), mode="eval").body for text in conditions]
    return ast.unparse(ast.BoolOp(op, trees))
