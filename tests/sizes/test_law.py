"""What is told of sizes is what happens: inside the constraints, and not outside of them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from hypothesis import event

from netspec.compiled import Compiled
from netspec.errors import SpecError
from netspec.ir.graph import ByMode, NewGraph
from netspec.pipeline import compile_spec
from netspec.sizes.find import Sizes, declared_shapes, find_sizes
from netspec.sizes.formula import value_at
from netspec.sizes.question import mapped
from netspec.sizes.values import SizedType
from tests.features import SPECS
from tests.laws.search import Search, law, over
from tests.laws.sizes import Sized, sized_specs
from tests.zoo.small import SMALL, Small

COUNT = 8  # sizes inside the constraints
QUICK = ("unet", "resnet18", "encoder_block", "gpt", "tied", "sdpa_block", "lstm_tagger")
NEED_ARGS: Mapping[str, Mapping[str, object]] = {"char_gpt": {"vocab_size": 9, "context": 12}}


def _graph_outputs(compiled: Compiled) -> object:
    new = compiled.program.root.new
    return new.graph.outputs if isinstance(new, NewGraph) else None


class Network:
    """A compiled spec with what is told of its sizes, and its model on the CPU."""

    def __init__(self, compiled: Compiled) -> None:
        self.compiled = compiled
        self.sizes: Sizes = find_sizes(compiled.program, compiled.built.empty())
        self.model = compiled.built.make()

    @property
    def gives_others_in_eval(self) -> bool:
        """What is told of the output is of train mode; in eval mode it has another structure."""
        return isinstance(_graph_outputs(self.compiled), ByMode)

    def run(self, sizes: Mapping[str, int], training: bool) -> Any:
        """The shapes of what the model gives, or the error."""
        inputs = []
        shapes = declared_shapes(self.compiled.program)
        for port in self.compiled.program.inputs:
            shape = [sizes[s] if isinstance(s, str) else s for s in shapes[port.name]]
            inputs.append(torch.zeros(shape, dtype=port.facts[0].dtype))  # type: ignore[union-attr]
        try:
            with torch.no_grad():
                value = self.model.train(training)(*inputs)
        except Exception as error:
            return error
        return mapped(
            value, lambda one: tuple(one.shape) if isinstance(one, torch.Tensor) else None
        )

    def expected(self, sizes: Mapping[str, int]) -> Any:
        def leaf(one: Any) -> Any:
            if not isinstance(one, SizedType):
                return None
            return tuple([value_at(dim, sizes) for dim in one.dims])

        return mapped(self.sizes.output, leaf)

    def inside(self, training: bool, most: int, seed: int) -> list[dict[str, int]]:
        """Random sizes for which the network is said to be valid."""
        drawn = random.Random(seed)
        found: list[dict[str, int]] = []
        for _ in range(4000):
            sizes = {name: drawn.randint(1, 4 if name == "N" else most) for name in self.sizes.free}
            if len(found) < COUNT and not self.sizes.broken_by(sizes, training):
                found.append(sizes)
        return found

    def outside(self, training: bool, most: int, seed: int) -> dict[str, dict[str, int]]:
        """Sizes that break one constraint alone, by its line."""
        drawn = random.Random(seed)
        found: dict[str, dict[str, int]] = {}
        for _ in range(4000):
            sizes = {name: drawn.randint(1, 3 if name == "N" else most) for name in self.sizes.free}
            broken = self.sizes.broken_by(sizes, training)
            if len(broken) == 1:
                found.setdefault(broken[0].line, sizes)
        return found


def hold(network: Network, most: int = 70) -> None:
    assert network.sizes.open == ""
    for training in (True, False):
        inside = network.inside(training, most, seed=training)
        assert inside or not network.sizes.free
        if not training and network.gives_others_in_eval:
            continue
        for sizes in inside:
            assert network.run(sizes, training) == network.expected(sizes), (sizes, training)
        for line, sizes in network.outside(training, most, seed=training).items():
            found = network.run(sizes, training)
            assert found != network.expected(sizes), (line, sizes, training)


@pytest.mark.parametrize("name", QUICK)
def test_a_network_is_valid_where_it_is_said_to_be(name: str) -> None:
    hold(Network(compile_spec(SPECS / f"{name}.yaml")))


OTHERS = [p.stem for p in sorted(SPECS.glob("*.yaml")) if p.stem not in (*QUICK, "alexnet")]


@pytest.mark.slow
@pytest.mark.sampled
@pytest.mark.parametrize("name", OTHERS)
def test_each_named_network_is(name: str) -> None:
    hold(Network(compile_spec(SPECS / f"{name}.yaml", NEED_ARGS.get(name))))


@pytest.mark.slow
@pytest.mark.sampled
@pytest.mark.parametrize("small", SMALL, ids=str)
def test_each_of_the_zoo_is(small: Small) -> None:
    if str(small) == "roberta":
        pytest.xfail("its positions follow what the tokens are, and their table's end is not told")
    hold(Network(compile_spec(small.spec, **small.given)), most=130)  # type: ignore[arg-type]


@law(25, 600)
def test_no_random_spec_gives_other_sizes_than_are_told(examples: Search) -> None:
    over(examples, sized_specs(), check_random)


def check_random(case: Sized) -> None:
    try:
        compiled = compile_spec(case.document)
    except SpecError:
        event("refused")
        return
    network = Network(compiled)
    if network.sizes.open:
        event("open")
        return
    free = declared_shapes(compiled.program)
    for shapes in (case.tried, *case.others):
        sizes = {
            letter: size
            for shape, declared in zip(shapes, free.values(), strict=True)
            for letter, size in zip(declared, shape, strict=True)
            if isinstance(letter, str)
        }
        for training in (True, False):
            if network.sizes.broken_by(sizes, training):
                event("outside")
                continue
            event("inside")
            assert network.run(sizes, training) == network.expected(sizes), (sizes, training)
