"""Under which condition the text of a spec reads a layer, where it reads it in some cases only.

`=fc + aux if use_aux else fc` reads `aux` where `use_aux` holds.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from netspec.ir.graph import Place
from netspec.language.expressions import NotAnExpression, is_expression, names_in, parse_expression
from netspec.source import Path

_READING = ("from", "use")  # keys with names that are no expressions
_INVERSE: Mapping[type[ast.cmpop], ast.cmpop] = {
    ast.Eq: ast.NotEq(), ast.NotEq: ast.Eq(), ast.Lt: ast.GtE(), ast.GtE: ast.Lt(),
    ast.Gt: ast.LtE(), ast.LtE: ast.Gt(), ast.Is: ast.IsNot(), ast.IsNot: ast.Is(),
    ast.In: ast.NotIn(), ast.NotIn: ast.In(),
}  # fmt: skip

_DEEPEST = 64  # keys of a path
Conditions = tuple[str, ...]  # all of which hold


Reads = dict[str, list[Conditions]]  # by name: what holds at each place that reads it


class Readings:
    """What the texts of specs and blocks read under which conditions; each is looked through once.

    A layer inside of another one is named by its own name, or by the path to it.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, Path], tuple[object, Reads]] = {}

    def condition(self, place: Place) -> str | None:
        """The expression that tells whether anything reads the layer at this place.

        None where something reads it always, where nothing names it, and where it is told by more
        than the args and inputs of its block or spec.
        """
        if place.node is not None or not place.path or not isinstance(place.path[-1], str):
            return None
        root, inner = _root_of(place)
        key = (id(place.source), place.path[: len(place.path) - len(inner)])
        if key not in self._known:
            reads: Reads = {}
            _in_layers(root.get("layers"), reads, ())
            _in_outputs(root.get("outputs"), reads, ())
            self._known[key] = (place.source, reads)
        reads = self._known[key][1]
        names = [str(key) for key in inner if key != "layers"]
        found = [*reads.get(names[-1], ())]
        found += reads.get(".".join(names), ()) if len(names) > 1 else ()
        return _told(list(dict.fromkeys(found)), root, inner)


def _told(found: list[Conditions], root: Mapping[str, object], path: Path) -> str | None:
    known = {*_keys(root.get("args")), *_keys(root.get("inputs")), "training"}
    if not found or () in found:
        return None
    if any(names_in(f"={text}") - known for conditions in found for text in conditions):
        return None
    whole = _any_of([_all_of(conditions) for conditions in found])
    own = _own_condition(root, path)
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
    return _expression(root.get("when")) if isinstance(root, dict) else None


def _note(reads: Reads, name: str, around: Conditions) -> None:
    reads.setdefault(name, []).append(around)


def _note_path(reads: Reads, text: str, around: Conditions) -> None:
    """A `from` or an output names a layer, and by a path all layers on the way."""
    keys = text.split(".")
    for end in range(1, min(len(keys), _DEEPEST) + 1):
        _note(reads, ".".join(keys[:end]), around)


def _in_layers(layers: object, reads: Reads, around: Conditions) -> None:
    items = list(layers.items()) if isinstance(layers, dict) else list(enumerate(_listed(layers)))
    before: str | None = None
    for key, item in items:
        reads_before = not (isinstance(item, dict) and "from" in item)
        _in_layer(item, reads, around, before if reads_before else None)
        before = key if isinstance(key, str) else None


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _in_layer(item: object, reads: Reads, around: Conditions, before: str | None) -> None:
    """`before` is the layer that this one reads without a word, and that `_` is in it."""
    if isinstance(item, str):
        if is_expression(item):
            _in_expression(item, reads, around, before)
        elif before is not None:
            _note(reads, before, around)
        return
    if not isinstance(item, dict):
        return
    inside = (*around, *_conditions_on(item))
    if before is not None and not item.keys() & {"value", "param", "buffer", "const"}:
        _note(reads, before, inside)
    for key, value in item.items():
        if key == "layers":
            _in_layers(value, reads, inside)
        elif key != "when":
            _in_value(value, reads, inside, before, named=key in _READING)


def _in_value(
    value: object, reads: Reads, around: Conditions, before: str | None, named: bool
) -> None:
    if isinstance(value, str):
        if is_expression(value):
            _in_expression(value, reads, around, before)
        elif named:
            _note_path(reads, value, around)
        return
    for item in value.values() if isinstance(value, dict) else _listed(value):
        _in_value(item, reads, around, before, named)


def _in_outputs(outputs: object, reads: Reads, around: Conditions) -> None:
    inside = (*around, *_conditions_on(outputs)) if isinstance(outputs, dict) else around
    if not isinstance(outputs, (dict, list)):
        _in_value(outputs, reads, inside, None, named=True)
        return
    for key, item in outputs.items() if isinstance(outputs, dict) else enumerate(outputs):
        if key != "when":
            _in_outputs(item, reads, inside)


def _conditions_on(item: Mapping[str, object]) -> Iterator[str]:
    """What has to hold for a layer, or an output, to be there."""
    when, repeat = _expression(item.get("when")), item.get("repeat")
    if when is not None:
        yield when
    count = _expression(repeat.get("n") if isinstance(repeat, dict) else repeat)
    if count is not None:
        yield f"{count} > 0"


def _expression(value: object) -> str | None:
    """The text of an expression, without its `=`; None of anything else, and of one with a slip."""
    try:
        return parse_expression(value).text if is_expression(value) else None
    except NotAnExpression:
        return None


def _in_expression(text: str, reads: Reads, around: Conditions, before: str | None) -> None:
    try:
        tree = parse_expression(text).tree
    except NotAnExpression:
        return
    for name, conditions in _in_tree(tree, around):
        named = before if name == "_" else name
        if named is not None:
            _note(reads, named, conditions)


def _in_tree(node: ast.AST, around: Conditions) -> Iterator[tuple[str, Conditions]]:
    match node:
        case ast.Name(id=name):
            yield name, around
        case ast.IfExp(test=test, body=body, orelse=other):
            yield from _in_tree(test, around)
            yield from _in_tree(body, (*around, ast.unparse(test)))
            yield from _in_tree(other, (*around, _not(test)))
        case ast.BoolOp(op=op, values=values):
            before = [_not(v) if isinstance(op, ast.Or) else ast.unparse(v) for v in values]
            for index, value in enumerate(values):
                yield from _in_tree(value, (*around, *before[:index]))
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _in_tree(child, around)


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
