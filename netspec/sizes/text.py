"""Formulas and predicates as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from netspec.ops.types import dtype_name
from netspec.sizes.formula import (
    Atom,
    Extreme,
    Formula,
    Product,
    Quotient,
    Scaled,
    Symbol,
    add,
    constant,
    times,
)
from netspec.sizes.predicate import All, Predicate, Relation
from netspec.sizes.question import Number
from netspec.sizes.values import SizedType


def formula_text(formula: Formula, within: bool = False) -> str:
    """`(H+1)//2`, `2·(H//2)`, `N·T`; in brackets where it is `within` a product."""
    single = _single_quotient(formula)
    if single is not None:
        return f"({single})" if within else single
    if not formula.terms:
        return "0"
    text = ""
    for product, factor in sorted(formula.terms, key=lambda t: (not t[0], t[1] < 0)):
        term = _term(product, abs(factor))
        if not text:
            text = f"-{term}" if factor < 0 else term
        else:
            text += f"{'-' if factor < 0 else '+'}{term}"
    plain = len(formula.terms) == 1 and (
        (len(formula.terms[0][0]) <= 1 and abs(formula.terms[0][1]) == 1) or not formula.terms[0][0]
    )
    return text if not within or plain else f"({text})"


def _single_quotient(formula: Formula) -> str | None:
    """`(a + k·n)//n` for `a//n + k`, the one form in which people write it."""
    quotients = [(p, f) for p, f in formula.terms if len(p) == 1 and isinstance(p[0], Quotient)]
    if len(quotients) != 1 or quotients[0][1] != 1:
        return None
    one = quotients[0][0][0]
    assert isinstance(one, Quotient)
    if one.below.number is None and len(formula.terms) > 1:
        return None
    rest = Formula(tuple(term for term in formula.terms if term != quotients[0]))
    above = add(one.above, times(rest, one.below))
    return f"{formula_text(above, within=True)}//{formula_text(one.below, within=True)}"


def _term(product: Product, factor: int) -> str:
    if not product:
        return str(factor)
    parts = [str(factor)] if factor != 1 else []
    ordered = sorted(product, key=lambda one: not isinstance(one, Symbol))
    index = 0
    while index < len(ordered):
        count = ordered.count(ordered[index])
        alone = len(product) == 1 and factor == 1
        text = _atom(ordered[index], not alone)
        parts.append(text if count == 1 else f"{text}²" if count == 2 else f"{text}^{count}")
        index += count
    return "·".join(parts)


def _atom(one: Atom, within: bool) -> str:
    match one:
        case Symbol(name):
            return name
        case Quotient(above, below):
            text = f"{formula_text(above, within=True)}//{formula_text(below, within=True)}"
            return f"({text})" if within else text
        case Extreme(name, items):
            return f"{name}({', '.join(formula_text(item) for item in items)})"
        case Scaled(factor, of):
            return f"floor({factor:g}·{formula_text(of, within=True)})"


def predicate_text(one: Predicate) -> str:
    """`H >= 4`, `T == S`; terms with a minus stand on the other side."""
    if not isinstance(one, Relation):
        joint = " and " if isinstance(one, All) else " or "
        return joint.join(predicate_text(item) for item in one.items)
    left = Formula(tuple(t for t in one.formula.terms if t[1] > 0 and t[0]))
    right = Formula(tuple((p, -f) for p, f in one.formula.terms if f < 0 and p))
    number = next((f for p, f in one.formula.terms if not p), 0)
    sign: str = one.sign
    if not left.terms:
        left, right, number = right, left, -number
        sign = {">=": "<="}.get(sign, sign)
    if number > 0 and right.terms:
        left = add(left, constant(number))
    else:
        right = add(right, constant(-number))
    return f"{formula_text(left)} {sign} {formula_text(right)}"


def value_text(value: Any, size: Callable[[Formula], str] = formula_text) -> str:
    """`[N, 64, (H+1)//2]`; a dtype is named where it is not float32."""
    match value:
        case SizedType(dims, dtype):
            name = dtype_name(dtype)
            return f"[{', '.join(map(size, dims))}]{'' if name == 'float32' else f' {name}'}"
        case Number(formula):
            return size(formula)
        case tuple():
            return f"({', '.join(value_text(item, size) for item in value)})"
        case list():
            return f"[{', '.join(value_text(item, size) for item in value)}]"
        case dict():
            return f"{{{', '.join(f'{k}: {value_text(v, size)}' for k, v in value.items())}}}"
        case _:
            return str(value)
