"""No value lives longer in a built model than in hand-written code that rebinds `x`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

import netspec
from tests.compare import flatten
from tests.twins.registry import TWINS, Twin

SPECS = Path(__file__).parents[1] / "configs" / "model"


@dataclass(frozen=True)
class Living:
    """What is alive at one moment, of all that a model has computed."""

    bytes: int
    storages: int


class Census(TorchDispatchMode):
    """Counts, after every operation, the storages that operations have made and that still live."""

    def __init__(self, apart_from: set[int]) -> None:
        super().__init__()
        self.apart_from = apart_from
        self.born: dict[int, tuple[StorageWeakRef, int]] = {}
        self.history: list[Living] = []

    def __torch_dispatch__(
        self,
        function: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        result = function(*args, **(kwargs or {}))
        self.admit(result)
        self.born = {key: item for key, item in self.born.items() if not item[0].expired()}
        sizes = [size for _, size in self.born.values()]
        self.history.append(Living(sum(sizes), len(sizes)))
        return result

    def admit(self, result: object) -> None:
        for tensor in flatten(result):
            storage = tensor.untyped_storage()
            if storage._cdata not in self.apart_from:
                self.born.setdefault(storage._cdata, (StorageWeakRef(storage), storage.nbytes()))


def peak(model: nn.Module, inputs: tuple[Tensor, ...]) -> Living:
    """The most bytes, and the most storages, that live at once; state and inputs aside."""
    own = [t.untyped_storage() for t in (*model.parameters(), *model.buffers(), *inputs)]
    with torch.no_grad(), Census({storage._cdata for storage in own}) as census:
        model.eval()(*inputs)
    return Living(
        max(living.bytes for living in census.history),
        max(living.storages for living in census.history),
    )


def slow(twin: Twin) -> bool:
    return twin.slow or twin.spec == "resnet50"


def cases() -> list[object]:
    return [
        pytest.param(
            twin,
            form,
            id=f"{twin}-{form}",
            marks=[pytest.mark.slow] if slow(twin) else [],
        )
        for twin in TWINS
        for form in twin.forms
    ]


@pytest.mark.parametrize(("twin", "form"), cases())
def test_no_more_lives_at_once_than_in_the_twin(twin: Twin, form: str) -> None:
    inputs = twin.inputs(2)
    model = netspec.build(SPECS / f"{twin.spec}.yaml", args=dict(twin.args), act=form)
    ours, theirs = peak(model, inputs), peak(twin.make(), inputs)
    assert ours.bytes <= theirs.bytes and ours.storages <= theirs.storages


def test_a_value_that_lives_on_is_noticed() -> None:
    class Keeping(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            first = x + 1
            second = first + 1
            return second + 1

    class Rebinding(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = x + 1
            x = x + 1
            return x + 1

    x = torch.zeros(10)
    assert peak(Keeping(), (x,)) == Living(120, 3)
    assert peak(Rebinding(), (x,)) == Living(80, 2)


def test_a_long_chain_holds_two_values() -> None:
    layers = {f"step{k}": f"=_ + {k}.0" for k in range(1, 30)}
    model = netspec.build({"netspec": 1, "inputs": {"x": ["N", 10]}, "layers": layers})
    assert peak(model, (torch.zeros(1, 10),)) == Living(80, 2)


def test_a_skip_costs_one_variable_more() -> None:
    """At most, as in `y = x + 2; y = y + 3; x = x + y; x = x + 4; x = cat([x, …])`."""
    layers = {
        "skip": "=x + 1.0",
        "way": "=skip + 2.0",
        "back": "=way + 3.0",
        "join": "=skip + back",
        "on": "=join + 4.0",
        "wide": "=cat([on, on, on, on, on], 1)",
    }
    model = netspec.build({"netspec": 1, "inputs": {"x": ["N", 10]}, "layers": layers})
    living = peak(model, (torch.zeros(1, 10),))
    assert living.bytes <= 40 + 40 + 5 * 40 and living.storages <= 3
