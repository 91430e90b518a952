"""What is made of facts to ask torch takes little memory, whatever the facts say."""

from __future__ import annotations

import pytest
import torch

from netspec.ops.execution_limits import TooMuch
from netspec.ops.types import TensorType, contiguous
from netspec.ops.values import MANY, UNIT, to_value


@pytest.mark.parametrize("fill", [0, 1, MANY])
def test_few_elements_that_lie_far_apart_are_not_made(fill: int) -> None:
    far = TensorType((2, 2), (10**10, 5), torch.float32)
    with pytest.raises(TooMuch):
        to_value(far, fill)


def test_no_matrix_is_made_for_a_shape_without_elements() -> None:
    with pytest.raises(TooMuch):
        to_value(contiguous((0, 10**6, 10**6), torch.float32), UNIT)
