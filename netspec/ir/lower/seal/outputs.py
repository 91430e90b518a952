"""What a graph gives: its outputs, and the values that are read from inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netspec.errors import Help
from netspec.ir.expr import (
    DictOf,
    Expr,
)  # fmt: skip
from netspec.ir.graph import (
    ByMode,
    Place,
)  # fmt: skip
from netspec.ir.lower.expressions.evaluate import static_value
from netspec.ir.lower.layers.arguments import reference
from netspec.ir.lower.refusal import Refused, refuse
from netspec.ir.lower.scope import Scope
from netspec.ir.lower.session import tuple_of
from netspec.ir.lower.unknown_names import undefined
from netspec.ir.lower.values import Operand, join
from netspec.language.expressions import as_expression, is_expression
from netspec.ops.types import Mapped


def outputs_of(outputs: object, scope: Scope, place: Place) -> tuple[Operand, Expr | ByMode]:
    at = place.at("outputs")
    if outputs is None:
        if scope.previous is None:
            raise refuse("NS305", "no layer gives a value", place.key_span())
        return scope.previous, scope.previous.expr
    if isinstance(outputs, dict) and set(outputs) == {"train", "eval"}:
        train = _structure(outputs["train"], scope, at.at("train"))
        eval_ = _structure(outputs["eval"], scope, at.at("eval"))
        facts = tuple(
            (train if probe.training else eval_).facts[index]
            for index, probe in enumerate(scope.context.probes)
        )
        return Operand(train.expr, facts, *join([train, eval_])), ByMode(train.expr, eval_.expr)
    operand = _structure(outputs, scope, at)
    return operand, operand.expr


def _structure(outputs: object, scope: Scope, place: Place) -> Operand:
    if _is_conditional(outputs):
        fact = "`when` is for one output of several, and this is all of them"
        help = "write a list or a mapping around it"
        raise refuse("NS305", fact, place.at("when").key_span(), help)
    if not outputs:
        raise refuse("NS305", "`outputs` is empty", place.span(), "name a layer")
    if isinstance(outputs, (list, dict)):
        there = _those_there(outputs, scope, place)
        if not there:
            fact = "there is no output: the `when` of each is false"
            raise refuse("NS305", fact, place.span())
        named = {key: _structure(item, scope, at) for key, item, at in there}
        if isinstance(outputs, list):
            return tuple_of(scope.context, list(named.values()))
        columns = zip(*(operand.facts for operand in named.values()), strict=True)
        facts = tuple(Mapped(tuple(zip(named, column, strict=True))) for column in columns)
        expr = DictOf(tuple((key, operand.expr) for key, operand in named.items()))
        return Operand(expr, facts, *join(list(named.values())))
    assert isinstance(outputs, str), "the schema allows names, lists and mappings"
    return _output(outputs, scope, place)


def _those_there(
    outputs: list[Any] | dict[str, Any], scope: Scope, place: Place
) -> list[tuple[Any, object, Place]]:
    """Key, item and place of each part of the outputs, without those whose `when` is false."""
    found: list[tuple[Any, object, Place]] = []
    pairs = outputs.items() if isinstance(outputs, dict) else enumerate(outputs)
    for key, item in pairs:
        at = place.at(key)
        if _is_conditional(item):
            if not _is_there(item["when"], scope, at.at("when")):
                continue
            item, at = item["value"], at.at("value")
        found.append((key, item, at))
    return found


def _is_there(condition: object, scope: Scope, place: Place) -> bool:
    """Whether the `when` of an output is true. Raises Refused (NS205) where it is no expression."""
    if not isinstance(condition, str) or not is_expression(condition):
        help = None
        if isinstance(condition, str):
            help = Help(f"write `={condition}`", condition, as_expression(condition))
        fact = "an output is there when an expression is true, and this is none"
        raise refuse("NS205", fact, place.span(), help)
    return bool(static_value(condition, scope, place, "whether an output is there"))


def _is_conditional(outputs: object) -> bool:
    """Whether this part of the outputs is there only where its `when` is true."""
    return isinstance(outputs, dict) and set(outputs) == {"when", "value"}


def _output(text: str, scope: Scope, place: Place) -> Operand:
    """The value that one name or expression of `outputs` means. Raises Refused."""
    binding = None if is_expression(text) else scope.find(text)
    if binding is not None and binding.absent:
        raise not_there(text, place)
    return reference(text, scope, place)


def not_there(path: str, place: Place) -> Refused:
    fact = f"`{path}` is an output, and does not exist: its `when` is false"
    help = f"write `={path}` for what passes through, or `={path} if … else None`"
    if "." in path:
        help = "leave it out, or name what stands before it"
    return refuse("NS305", fact, place.span(), help)


def check_outputs(outputs: object, taps: Sequence[str], scope: Scope, place: Place) -> None:
    """The names that the outputs read, where something else is wrong already."""
    names = [] if outputs is None else _leaves(outputs, scope, place.at("outputs"))
    for text, at in names:
        with scope.context.problems:
            _output(text, scope, at)
    for path in taps:
        with scope.context.problems:
            tap_value(path, scope, place)


def _leaves(outputs: object, scope: Scope, place: Place) -> list[tuple[str, Place]]:
    if isinstance(outputs, str):
        return [(outputs, place)]
    if not isinstance(outputs, (list, dict)):
        return []
    there = []
    with scope.context.problems:
        there = _those_there(outputs, scope, place)
    return [leaf for _, item, at in there for leaf in _leaves(item, scope, at)]


def tap_value(path: str, scope: Scope, place: Place) -> Operand:
    """The value at a path inside of a finished scope."""
    binding = scope.names.get(path)
    if binding is None and scope.is_refused(path.partition(".")[0]):
        raise Refused
    if binding is None:
        raise undefined(scope, path, place)
    if binding.refused:
        raise Refused
    if binding.value is None:
        raise refuse("NS207", f"`{path}` gives no value", place.span())
    return binding.value
