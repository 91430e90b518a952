"""Formulas of sizes: equal ones are one, and their values are Python's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netspec.sizes.formula import (
    Formula,
    add,
    constant,
    extreme,
    floor_div,
    minus,
    modulo,
    replaced,
    scaled,
    symbol,
    times,
    value_at,
)
from netspec.sizes.short import short_text
from netspec.sizes.text import formula_text
from tests.laws.search import some

H, W, ONE = symbol("H"), symbol("W"), constant(1)
FOUR, SEVEN = constant(4), constant(7)
UP_TO_SEVENS = times(SEVEN, floor_div(add(H, constant(6)), SEVEN))


def half(of: Formula) -> Formula:
    return floor_div(of, constant(2))


def after_convolution(of: Formula) -> Formula:
    """Kernel 3, stride 2, padding 1, as torch has it."""
    return add(half(minus(of, ONE)), ONE)


@pytest.mark.parametrize(
    ("one", "other", "text"),
    [
        (half(half(H)), floor_div(H, constant(4)), "H//4"),
        (after_convolution(H), half(add(H, ONE)), "(H+1)//2"),
        (
            after_convolution(after_convolution(H)),
            floor_div(add(H, constant(3)), FOUR),
            "(H+3)//4",
        ),
        (minus(H, half(H)), half(add(H, ONE)), "(H+1)//2"),
        (floor_div(times(constant(6), H), constant(4)), add(H, half(H)), "(3·H)//2"),
        (add(H, modulo(times(constant(-1), H), SEVEN)), UP_TO_SEVENS, "7·((H+6)//7)"),
        (floor_div(times(H, W), W), H, "H"),
        (floor_div(times(times(H, W), constant(12)), times(FOUR, W)), add(H, H, H), "3·H"),
        (modulo(times(constant(4), H), constant(2)), constant(0), "0"),
        (extreme("min", [H, add(H, ONE)]), H, "H"),
        (scaled(2.0, H), times(constant(2), H), "2·H"),
    ],
)  # fmt: skip
def test_equal_formulas_are_one(one: Formula, other: Formula, text: str) -> None:
    assert one == other
    assert formula_text(one) == text


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        (floor_div(H, constant(4)), "H/4"),
        (half(add(H, ONE)), "H/2"),
        (times(half(H), floor_div(W, constant(3))), "(H//2)·(W//3)"),
        (half(W), "(W-1)/2"),
        (times(constant(8), floor_div(H, constant(4))), "2·H"),
        (floor_div(H, constant(8)), "H//8"),
    ],
)
def test_short_forms_are_those_that_are_exact(formula: Formula, text: str) -> None:
    assert short_text(formula, {"H": (4, 0), "W": (2, 1)}) == text


formulas = st.recursive(
    st.one_of(st.integers(0, 9).map(lambda n: ("number", n)), st.sampled_from("HW")),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(("+", "-", "*", "min", "max")), inner, inner),
        st.tuples(st.sampled_from(("//", "%")), inner, st.integers(1, 9)),
    ),
    max_leaves=7,
)


def built(tree: Any) -> Formula:
    match tree:
        case str():
            return symbol(tree)
        case ("number", int(n)):
            return constant(n)
        case ("+", a, b):
            return add(built(a), built(b))
        case ("-", a, b):
            return minus(built(a), built(b))
        case ("*", a, b):
            return times(built(a), built(b))
        case (("min" | "max") as name, a, b):
            return extreme(name, [built(a), built(b)])
        case ("//", a, n):
            return floor_div(built(a), constant(n))
        case (_, a, n):
            return modulo(built(a), constant(n))


def computed(tree: Any, sizes: dict[str, int]) -> int:
    match tree:
        case str():
            return sizes[tree]
        case ("number", int(n)):
            return n
        case (op, a, b):
            left = computed(a, sizes)
            right = b if isinstance(b, int) else computed(b, sizes)
            found = {
                "+": left + right, "-": left - right, "*": left * right,
                "min": min(left, right), "max": max(left, right),
                "//": left // right if right else 0, "%": left % right if right else 0,
            }[op]  # fmt: skip
            return int(found)
    raise AssertionError(tree)


@some(300)
@given(formulas, st.integers(1, 300), st.integers(1, 300))
def test_a_formula_is_what_python_computes(tree: Any, h: int, w: int) -> None:
    formula, sizes = built(tree), {"H": h, "W": w}
    assert value_at(formula, sizes) == computed(tree, sizes)
    many = value_at(formula, {"H": torch.tensor([h, h]), "W": torch.tensor([w, w])})
    assert torch.as_tensor(many).unique().tolist() == [computed(tree, sizes)]
    shifted = replaced(formula, lambda one: add(symbol(one.name), constant(3)))
    assert value_at(shifted, sizes) == computed(tree, {"H": h + 3, "W": w + 3})
