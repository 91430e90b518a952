"""A training state comes back from JSON and tensors as it went in."""

from __future__ import annotations

import json
import math
from collections import Counter, OrderedDict

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netspec.run.state_codec import flatten, restore

DTYPES = [torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.uint8]


def tensor(shape: list[int], dtype: torch.dtype) -> torch.Tensor:
    return (torch.arange(math.prod(shape)).reshape(shape) % 2).to(dtype)


KEYS = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)
LEAVES = (
    KEYS
    | st.floats()
    | st.sampled_from(DTYPES)
    | st.builds(tensor, st.lists(st.integers(0, 3), max_size=3), st.sampled_from(DTYPES))
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(KEYS | st.tuples(KEYS, KEYS) | st.just("$"), inner)
        | st.dictionaries(KEYS, st.integers()).map(Counter)
    ),
    max_leaves=12,
)


def equal(one: object, other: object) -> bool:
    """The same values of the same types, where NaN is itself, and -0.0 is not 0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
    if isinstance(one, float):
        return repr(one) == repr(other)
    if isinstance(one, dict) and isinstance(other, dict):
        return equal(list(one), list(other)) and equal(list(one.values()), list(other.values()))
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


@given(VALUES)
def test_comes_back(value: object) -> None:
    tensors: dict[str, torch.Tensor] = {}
    written = json.dumps(flatten(value, tensors), allow_nan=False)
    assert equal(restore(json.loads(written), tensors), value)


def test_states_of_torch_come_back() -> None:
    model = torch.nn.Linear(2, 2)
    for optimizer in (
        torch.optim.Adam(model.parameters(), amsgrad=True),
        torch.optim.SGD(model.parameters(), 0.1, momentum=0.9),
    ):
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 2, 2])
        for state in (optimizer.state_dict(), schedule.state_dict()):
            tensors: dict[str, torch.Tensor] = {}
            back = restore(json.loads(json.dumps(flatten(state, tensors))), tensors)
            assert equal(back, state)


def test_an_ordered_dict_is_a_dict() -> None:
    assert restore(flatten(OrderedDict(b=1, a=2), {}), {}) == {"b": 1, "a": 2}


@pytest.mark.parametrize("value", [{1, 2}, object(), b"bytes", 1j])
def test_nothing_else_is_taken(value: object) -> None:
    with pytest.raises(AssertionError, match="a training state holds a"):
        flatten([value], {})


@pytest.mark.parametrize(
    "stored",
    [
        {"$": "object", "value": 1},
        {"$": "tensor", "value": "9"},
        {"$": "dtype", "value": "nothing"},
        {"$": "tuple"},
        {"$": "float", "value": "many"},
    ],
)
def test_what_was_not_stored_is_refused(stored: object) -> None:
    with pytest.raises((KeyError, ValueError)):
        restore([stored], {})
