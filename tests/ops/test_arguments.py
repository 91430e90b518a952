"""Whether a value fits a parameter, and the words for what would."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netspec.ops.arguments import (
    DEVICE,
    MODULE,
    NUMBER,
    TENSOR,
    TENSORS,
    ArgumentType,
    Choices,
    Either,
    Kind,
    Misfit,
    Parameter,
    Runtime,
    SequenceOf,
    TupleOf,
    coerce,
    describe,
)

SIZE_2 = Either((Kind.INT, SequenceOf(Kind.INT, 2)))
SIZES = Either((Kind.INT, Kind.NONE, SequenceOf(Either((Kind.INT, Kind.NONE)))))
PADDING = Choices(("zeros", "reflect"))


@pytest.mark.parametrize(
    ("accepts", "value", "passed"),
    [
        (Kind.INT, 3, 3),
        (Kind.INT, NUMBER, NUMBER),
        (Kind.FLOAT, 1, 1),
        (Kind.FLOAT, 0.5, 0.5),
        (Kind.SCALAR, True, True),
        (Kind.BOOL, False, False),
        (Kind.STR, "same", "same"),
        (Kind.NONE, None, None),
        (Kind.DTYPE, "float32", torch.float32),
        (Kind.DTYPE, torch.int64, torch.int64),
        (Kind.DEVICE, DEVICE, DEVICE),
        (Kind.MODULE, MODULE, MODULE),
        (Kind.TENSOR, TENSOR, TENSOR),
        (Kind.ANYTHING, {"a": [1]}, {"a": [1]}),
        (Kind.ANYTHING, slice(1, 2), slice(1, 2)),
        (PADDING, "reflect", "reflect"),
        (SIZE_2, 3, 3),
        (SIZE_2, [3, 3], (3, 3)),
        (SIZE_2, (3, NUMBER), (3, NUMBER)),
        (SIZE_2, torch.Size([3, 3]), (3, 3)),
        (SIZES, [None, 7], (None, 7)),
        (SequenceOf(Kind.TENSOR), [TENSOR, TENSOR], (TENSOR, TENSOR)),
        (SequenceOf(Kind.TENSOR), TENSORS, TENSORS),
        (SequenceOf(Kind.INT), [], ()),
        (TupleOf((Kind.STR, Kind.INT)), ["a", 1], ("a", 1)),
    ],
)
def test_a_value_that_fits(accepts: ArgumentType, value: object, passed: object) -> None:
    fitted = coerce(Parameter("p", accepts), value)
    assert fitted == passed
    assert type(fitted) is type(passed)


@pytest.mark.parametrize(
    ("accepts", "value", "expected"),
    [
        (Kind.INT, "3", "an int"),
        (Kind.INT, True, "an int"),
        (Kind.INT, 3.0, "an int"),
        (Kind.INT, None, "an int"),
        (Kind.INT, TENSOR, "an int"),
        (Kind.FLOAT, True, "a number"),
        (Kind.SCALAR, "1", "a number or a bool"),
        (Kind.BOOL, 0.5, "a bool"),
        (Kind.BOOL, 1, "a bool"),
        (Kind.BOOL, NUMBER, "a bool"),
        (Kind.STR, 1, "a string"),
        (Kind.DTYPE, "float33", "a dtype"),
        (Kind.DTYPE, "nn", "a dtype"),
        (Kind.DEVICE, "cuda", "a device"),
        (Kind.TENSOR, 1, "a tensor"),
        (Kind.TENSOR, NUMBER, "a tensor"),
        (PADDING, "same", "one of `zeros`, `reflect`"),
        (PADDING, ["zeros"], "one of `zeros`, `reflect`"),
        (SIZE_2, [3, 3, 3], "an int or a pair of ints"),
        (SIZE_2, [3, "3"], "an int or a pair of ints"),
        (SIZE_2, [3, True], "an int or a pair of ints"),
        (SIZE_2, TENSORS, "an int or a pair of ints"),
        (SIZES, "7", "an int, a list of ints and nulls or null"),
        (SequenceOf(Kind.INT, 1), 1, "a list of one int"),
        (SequenceOf(Kind.INT, 3), 1, "a list of 3 ints"),
        (SequenceOf(Kind.TENSOR), TENSOR, "a list of tensors"),
        (TupleOf((Kind.STR, Kind.INT)), ["a"], "a list of a string and an int"),
        (Kind.OPAQUE, None, "left out, as a spec cannot write it"),
        (Either((Kind.STR, Kind.OPAQUE)), 1, "a string"),
    ],
)
def test_a_value_that_does_not_fit(accepts: ArgumentType, value: object, expected: str) -> None:
    assert coerce(Parameter("p", accepts), value) == Misfit(expected)


def test_a_default_that_no_spec_can_write_fits_as_itself() -> None:
    activation = Parameter("activation", Kind.STR, required=False, default=torch.relu)
    assert coerce(activation, torch.relu) is torch.relu
    assert coerce(activation, torch.tanh) == Misfit("a string")


constants = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([torch.float32, slice(None), ..., *Runtime]),
    lambda inner: st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple),
    max_leaves=8,
)
types = st.recursive(
    st.sampled_from(Kind) | st.builds(Choices, st.tuples(st.text(max_size=5))),
    lambda inner: (
        st.builds(SequenceOf, inner, st.none() | st.integers(1, 4))
        | st.builds(TupleOf, st.tuples(inner, inner))
        | st.builds(Either, st.tuples(inner, inner))
    ),
    max_leaves=6,
)


@given(types, constants)
def test_any_value_fits_or_misfits(accepts: ArgumentType, value: object) -> None:
    parameter = Parameter("p", accepts)
    fitted = coerce(parameter, value)
    if isinstance(fitted, Misfit):
        assert fitted.expected == describe(accepts)
    else:
        again = coerce(parameter, fitted)
        assert repr(again) == repr(fitted)
