"""Rows of a parameter, for `init`: `weight[0]`, `bias_hh_l0[8:16]`."""

from __future__ import annotations

from dataclasses import replace

from netspec.ir.graph import Place, Rows
from netspec.ir.lower.expressions.evaluate import static_value
from netspec.ir.lower.refusal import Refused, refuse
from netspec.ir.lower.scope import Scope
from netspec.language.expressions import NotAnExpression, parse_expression
from netspec.ops.types import Fact, TensorType, contiguous


def rows_of(name: str, scope: Scope, place: Place) -> tuple[str, Rows | None]:
    """`weight`, `weight[0]` or `bias[4:8]` → the parameter, and the row or rows that are meant."""
    target, bracket, inside = name.partition("[")
    if not bracket:
        return name, None
    ends = inside.removesuffix("]").split(":")
    if not inside.endswith("]") or len(ends) > 2 or ends == [""]:
        fact = f"`{name}` is no parameter"
        raise refuse("NS205", fact, place.key_span(), "write `weight[0]`, or `weight[0:4]`")
    numbers = [_row(end.strip(), scope, place) for end in ends]
    if len(numbers) == 1:
        return target, numbers[0]
    return target, (numbers[0], numbers[1])


def _row(text: str, scope: Scope, place: Place) -> int | None:
    """The number that an end of a range of rows means; None where it is left out."""
    if not text:
        return None
    try:
        parse_expression(f"={text}")
    except NotAnExpression as error:
        raise refuse("NS208", error.fact, place.key_span(), error.help) from None
    try:
        number = static_value(f"={text}", scope, place, "a row")
    except Refused as refused:  # it stands in a key, and values are looked for behind one
        said = scope.context.problems.worded(refused).diagnostics
        raise Refused(*(replace(each, span=place.key_span()) for each in said)) from None
    if type(number) is not int:
        raise refuse("NS205", f"a row is a number, and `{text}` is not", place.key_span())
    return number


def part_of(fact: Fact, rows: Rows) -> Fact | None:
    """The type of these rows of a tensor; None where there are none."""
    assert isinstance(fact, TensorType), "a parameter is a tensor"
    sizes = fact.shape
    if not sizes:
        return None
    if isinstance(rows, int):
        there = -sizes[0] <= rows < sizes[0]
        return contiguous(sizes[1:], fact.dtype) if there else None
    count = len(range(*slice(*rows).indices(sizes[0])))
    return contiguous((count, *sizes[1:]), fact.dtype) if count else None
