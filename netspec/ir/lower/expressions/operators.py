"""Operators: operands → an operand, folded as far as it is known; of tensors, asked of torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from netspec.ir.expr import (
    Attribute,
    Builtin,
    Choice,
    Comparison,
    Const,
    Expr,
    Logic,
    Unary,
    walk,
)
from netspec.ir.graph import Place
from netspec.ir.lower.calls.collected import collection_given, is_collection
from netspec.ir.lower.expressions.numbers import (
    BUILTINS,
    COMPARE,
    UNARY,
    Unbounded,
    apply,
    check_size,
)
from netspec.ir.lower.refusal import Refused, refuse
from netspec.ir.lower.rejections import RejectedCall, rejected
from netspec.ir.lower.scope import Scope
from netspec.ir.lower.values import Operand, are_same, join, same
from netspec.ops import meta_eval
from netspec.ops.types import Fact, Mapped, OperatorRejects, Slice, TensorType

OF_THE_MODEL = "the dtype that the model runs in"


def check_length(operand: Operand, place: Place) -> None:
    """Raises Refused (NS304) where a text or a tuple of tuples is longer than any spec needs."""
    if isinstance(operand.facts[0], (str, tuple, Mapped)):
        for fact in operand.facts[:1] if operand.static else operand.facts:
            guard(partial(check_size, fact), place)


def guard(action: Callable[[], Any], place: Place) -> Any:
    try:
        return action()
    except Unbounded as error:
        raise refuse("NS304", f"the expression makes {error}", place.span()) from None
    except (TypeError, ValueError, ArithmeticError, IndexError, KeyError) as error:
        words = "division by zero" if isinstance(error, ZeroDivisionError) else str(error)
        raise refuse("NS304", f"the expression fails: {words}", place.span()) from None


def follows_the_model(dtype: Fact) -> bool:
    """Whether it is one that `model.bfloat16()` and the like would change."""
    return isinstance(dtype, torch.dtype) and (dtype.is_floating_point or dtype.is_complex)


def asks_dtype(operand: Operand) -> bool:
    """Whether it is made of the dtype of a value, which is known only when the model runs."""
    return any(isinstance(n, Attribute) and n.name == "dtype" for n in walk(operand.expr))


def attribute_of(fact: Fact, name: str) -> Fact:
    assert isinstance(fact, TensorType), "asked of tensors only"
    match name:
        case "shape":
            return fact.shape
        case "ndim":
            return len(fact.shape)
        case _:
            return fact.dtype


def is_plain(fact: Fact) -> bool:
    if isinstance(fact, tuple):
        return all(is_plain(item) for item in fact)
    return not isinstance(fact, (TensorType, Mapped, torch.device))


def pick(fact: Fact, key: Fact) -> Fact:
    if type(fact) is tuple and type(key) is int and -len(fact) <= key < len(fact):
        return fact[key]
    if isinstance(key, Slice):
        key = slice(key.start, key.stop, key.step)
    if isinstance(fact, Mapped):
        found = dict(fact.items)
        if key not in found:
            raise KeyError(f"there is no `{key}`; there are {', '.join(found)}")
        return found[str(key)]
    if not isinstance(fact, (tuple, str)):
        raise TypeError(f"{type(fact).__name__} has no items")
    if isinstance(key, int) and not -len(fact) <= key < len(fact):
        raise IndexError(f"index {key} is outside of {len(fact)} items")
    if not isinstance(key, (int, slice)):
        raise TypeError("an index is a number or a slice")
    return fact[key]


def unary(symbol: str, operand: Operand, scope: Scope, place: Place) -> Operand:
    if symbol == "not" and holds_tensor([operand]):
        raise refuse("NS304", "`not` is not for tensors; use `~`", place.span())
    return compute(symbol, UNARY[symbol], [operand], lambda a: Unary(symbol, a), scope, place)


def holds_tensor(operands: Sequence[Operand]) -> bool:
    return any(isinstance(f, TensorType) for operand in operands for f in operand.facts)


def compute(
    key: str,
    function: Callable[..., Any],
    operands: list[Operand],
    make: Callable[..., Expr],
    scope: Scope,
    place: Place,
) -> Operand:
    """An operator on operands: folded if all are known, torch's where a tensor is among them."""
    if any(operand.is_unknown for operand in operands):
        return scope.context.unknown
    if all(operand.static for operand in operands):
        values = [operand.facts[0] for operand in operands]
        return scope.context.const(guard(lambda: apply(function, *values), place))
    expr = make(*(operand.expr for operand in operands))
    if holds_tensor(operands):
        return run_on_tensors(key, function, operands, expr, scope, place)
    columns = list(zip(*(operand.facts for operand in operands), strict=True))
    try:
        found = scope.context.probes.each(
            lambda i: guard(partial(apply, function, *columns[i]), place), operands
        )
    except Refused:
        refuse_collection(key, operands, scope, place)
        raise
    sized, modal = join(operands)
    return Operand(expr, scope.context.probes.doubted(found) if sized else found, sized, modal)


def refuse_collection(key: str, operands: list[Operand], scope: Scope, place: Place) -> None:
    """Raises Refused (NS212) of a refused operator where an operand is a tuple or dict."""
    collection = next(filter(is_collection, operands), None)
    if collection is not None and key != "[]":
        raise collection_given(scope, place, f"`{key}`", collection)


def run_on_tensors(
    key: str,
    function: Callable[..., Any],
    operands: list[Operand],
    expr: Expr,
    scope: Scope,
    place: Place,
) -> Operand:
    """A Python operator on tensors, asked of torch at each probe."""
    columns = list(zip(*(operand.facts for operand in operands), strict=True))

    def refusal(index: int, error: OperatorRejects) -> Refused:
        refuse_collection(key, operands, scope, place)
        names = ("input", "index" if key == "[]" else "other")
        given = list(zip(names, operands, strict=False))
        return rejected(RejectedCall(scope, place, key, given, index, error))

    scope.context.probes.note_numbers(operands)
    found = scope.context.probes.ask(
        lambda i: meta_eval.run(("python", key), function, columns[i]), refusal, given=operands
    )
    if scope.entry is None:
        scope.context.bounds.check_made(found[0], place)
    return Operand(expr, found, *join(operands))


def compare_identity(symbol: str, operands: list[Operand], scope: Scope, place: Place) -> Operand:
    """`a is None`: known of a tensor or a tuple of them; whether two tensors are one is not.

    What is None in one mode, or where it is left out, is asked for when the model runs.
    """
    pairs = list(zip(*(operand.facts for operand in operands), strict=True))
    if any(all(_is_tensor(fact) for fact in pair) for pair in pairs):
        raise refuse("NS304", f"`{symbol}` is not for two tensors", place.span())
    found = tuple(COMPARE[symbol](*pair) for pair in pairs)
    left, right = operands
    of_kind = any(map(_is_tensor, left.facts + right.facts)) or None in (
        left.facts[0],
        right.facts[0],
    )
    expr = Comparison(left.expr, (symbol,), (right.expr,))
    if all(operand.static for operand in operands) or (of_kind and are_same(found)):
        return scope.context.fold_if_equal(expr, found, left)
    if of_kind and not scope.context.probes.differs_by_size(found):
        return Operand(expr, found, sized=False, modal=True)
    return Operand(expr, found, *join(operands))


def _is_tensor(fact: Fact) -> bool:
    return isinstance(fact, TensorType)


def so_far(symbol: str, kept: Sequence[Operand]) -> Operand | None:
    """The `and` or `or` of several operands, or None where there is none."""
    if len(kept) <= 1 or any(operand.is_unknown for operand in kept):
        return kept[0] if kept else None
    values: list[Fact] = []
    for column in zip(*(operand.facts for operand in kept), strict=True):
        stop = (v for v in column if bool(v) is (symbol == "or"))
        values.append(next(stop, column[-1]))
    return Operand(Logic(symbol, tuple(o.expr for o in kept)), tuple(values), *join([*kept]))


def are_booleans(operands: Sequence[Operand]) -> bool:
    return all(isinstance(fact, bool) for operand in operands for fact in operand.facts)


def as_condition(operand: Operand) -> Operand:
    """An operand of which only the truth is asked: in `and` and `or` one known part may decide."""
    expr = operand.expr
    if isinstance(expr, Logic):
        decides = expr.op == "or"
        known = (item.value for item in expr.items if isinstance(item, Const))
        if any(bool(value) is decides for value in known):
            truth = Const(decides)
            return Operand(truth, (decides,) * len(operand.facts), sized=False)
    return operand


def choose(condition: Operand, then: Operand, other: Operand) -> Operand:
    """`then if condition else other`, decided when the model runs."""
    if then.is_unknown or other.is_unknown:
        return then if then.is_unknown else other
    values = tuple(
        a if decided else b
        for decided, a, b in zip(condition.facts, then.facts, other.facts, strict=True)
    )
    if then.static and other.static and same(then.facts[0], other.facts[0]):
        return then
    expr = Choice(condition.expr, then.expr, other.expr)
    return Operand(expr, values, *join([condition, then, other]))


def length(items: Operand, scope: Scope, place: Place) -> Operand:
    """`len` of a tuple: a number where it is as many at each size, else code."""
    counts = scope.context.probes.each(
        lambda i: guard(partial(apply, BUILTINS["len"], items.facts[i]), place), [items]
    )
    return scope.context.fold_if_equal(Builtin("len", (items.expr,)), counts, items)
