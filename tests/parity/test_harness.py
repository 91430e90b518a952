"""The comparison itself: it notices every kind of difference, and where nothing differs, none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import netspec
from tests.parity import requirements
from tests.parity.case import Case, Question, Wrong
from tests.parity.distributions import compare_draws
from tests.parity.harness import Difference, compare_case, compare_distributions
from tests.parity.requirements import ALL, need


class Original(nn.Module):
    """What the spec of SPEC gives; each of the subclasses below differs in one thing."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv(x)))
        return self.fc(x.mean((2, 3)))


class OtherOrder(Original):
    def __init__(self) -> None:
        super().__init__()
        self._modules = {name: self._modules[name] for name in ("norm", "conv", "fc")}


class OtherShape(Original):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)


class Frozen(Original):
    def __init__(self) -> None:
        super().__init__()
        self.fc.bias.requires_grad_(False)


class OtherDraw(Original):
    def __init__(self) -> None:
        super().__init__()
        nn.init.zeros_(self.fc.bias)


class OtherActivation(Original):
    """Equal where nothing is below zero."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.norm(self.conv(x)), 1e-4)
        return self.fc(x.mean((2, 3)))


class HiddenByZeros(Original):
    """Equal as long as what is zero at first stays so."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.norm.bias.sum()


class HiddenByStatistics(Original):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.norm.running_mean.sum()


class OtherInTrain(Original):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (2 if self.training else 1)


class OtherDraws(Original):
    """Draws in train mode, and throws the numbers away: the next draw is another."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            torch.rand(1)
        return F.dropout(super().forward(x), 0.5, self.training)


class OtherGradient(Original):
    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv(x)))
        return self.fc(x.mean((2, 3)).detach())


class OtherMomentum(Original):
    def __init__(self) -> None:
        super().__init__()
        self.norm.momentum = 0.2


class OneMoreBuffer(Original):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros(1), persistent=False)


class OtherPacking(Original):
    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return super().forward(x), None


SPEC = {
    "netspec": 1,
    "inputs": {"x": ["N", 3, "H", "W"]},
    "layers": {
        "conv": {"module": "Conv2d", "out_channels": 4, "kernel_size": 3},
        "norm": "BatchNorm2d",
        "relu": {"call": "relu"},
        "mean": "=relu.mean((2, 3))",
        "fc": {"module": "Linear", "out_features": 2},
    },
}
CASE = Case(
    spec="",
    package="",
    original=Original,
    sizes=((8, 8), (9, 12)),
    source=(),
    wrong=Wrong(at="keys"),
    usual=(8, 8),
)


@pytest.fixture(autouse=True)
def _build_the_small_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cases name their specs; here the spec is SPEC."""
    build = netspec.build
    monkeypatch.setattr(netspec, "build", lambda _, **options: build(SPEC, **options))


def test_nothing_differs_where_nothing_does() -> None:
    compare_case(CASE)


@pytest.mark.parametrize(
    ("question", "original", "fact"),
    [
        ("keys", OtherOrder, "conv.weight, the original's norm.weight"),
        ("shapes", OtherShape, "fc.weight: 'torch.float32 [2, 4]', the twin's 'torch.float32 [3,"),
        ("shapes", Frozen, "parameters.fc.bias: 'trained: True', the twin's 'trained: False'"),
        ("seed", OtherDraw, "fc.bias: apart by "),
        ("eval", OtherActivation, "output: apart by "),
        ("eval", HiddenByZeros, "output: apart by "),
        ("eval", HiddenByStatistics, "output: apart by "),
        ("eval", OtherPacking, "output: Tensor, the twin's tuple"),
        ("train", OtherInTrain, "output: apart by "),
        ("train", OtherDraws, "output: apart by "),
        ("gradients", OtherGradient, "gradients.conv.weight: Tensor, the twin's NoneType"),
        ("buffers", OtherMomentum, "norm.running_mean: apart by "),
        ("buffers", OneMoreBuffer, "only the original's are ['steps'], known are []"),
    ],
)
def test_each_kind_of_difference_is_found_at_its_question(
    question: Question, original: Callable[[], nn.Module], fact: str
) -> None:
    with pytest.raises(Difference) as caught:
        compare_case(replace(CASE, original=original))
    assert caught.value.question == question
    assert fact in str(caught.value)


def test_a_changed_spec_is_compared() -> None:
    wrong = Wrong(overrides={"layers.norm": {"module": "BatchNorm2d", "eps": 1e-3}}, at="eval")
    with pytest.raises(Difference) as caught:
        compare_case(CASE, wrong)
    assert caught.value.question == "eval"


@pytest.mark.parametrize(
    ("case", "fact"),
    [
        (replace(CASE, own_buffers=("steps",)), r"only ours are \[\], known are \['steps'\]"),
        (replace(CASE, seed="alike"), "one seed gives the original's parameters now"),
    ],
)
def test_a_known_difference_that_is_gone_is_told(case: Case, fact: str) -> None:
    with pytest.raises(Difference, match=fact):
        compare_case(case)


# Distributions


def drawn(kind: str, count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.empty(count)
    if kind == "uniform":
        return values.uniform_(-(3**0.5), 3**0.5, generator=generator)  # of std 1
    if kind == "cut":
        return nn.init.trunc_normal_(values, a=-2, b=2, generator=generator)
    return values.normal_(0.0, 1.0, generator=generator)


@pytest.mark.parametrize("count", [8, 500, 50_000])
@pytest.mark.parametrize("kind", ["normal", "uniform", "cut"])
def test_two_draws_of_one_distribution_are_alike(kind: str, count: int) -> None:
    for seed in range(20):
        assert compare_draws(drawn(kind, count, seed), drawn(kind, count, seed + 100)) is None


@pytest.mark.parametrize(
    ("other", "fact"),
    [
        (drawn("uniform", 20_000, 1), "quantiles"),
        (drawn("cut", 20_000, 1), "extremes"),
        (drawn("normal", 20_000, 1) * 1.06, "mean and std"),
        (drawn("normal", 20_000, 1) + 0.07, "mean and std"),
        (torch.zeros(20_000), "0 to 0"),
    ],
)
def test_other_distributions_are_told(other: Tensor, fact: str) -> None:
    text = compare_draws(other, drawn("normal", 20_000, 0))
    assert text is not None and fact in text


def test_constants_are_equal_to_the_bit() -> None:
    assert compare_draws(torch.ones(9), torch.ones(9)) is None
    assert compare_draws(torch.full((9,), 1 + 1e-6), torch.ones(9)) is not None


def test_models_of_other_distributions_are_told() -> None:
    class Wide(Original):
        def __init__(self) -> None:
            super().__init__()
            nn.init.normal_(self.conv.weight)

    draws = [(Original(), Wide()) for _ in range(4)]
    with pytest.raises(Difference, match=r"seed: conv\.weight"):
        compare_distributions(draws)


# What is missing


def test_a_missing_original_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", ALL):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs no_such_package, which"):
        need("no_such_package", "torch", "")


@pytest.mark.parametrize("name", ["CI", ALL])
def test_a_missing_original_fails_where_all_is_asked_for(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(pytest.fail.Exception, match="needs no_such_package, which"):
        need("no_such_package")


def test_an_original_that_python_3_10_can_not_have_is_skipped_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(ALL, "1")
    monkeypatch.setattr(requirements, "is_there", lambda _: False)
    monkeypatch.setattr(requirements, "sys", SimpleNamespace(version_info=(3, 10, 0)))
    with pytest.raises(pytest.skip.Exception, match="needs transformers, which"):
        need("transformers")
    with pytest.raises(pytest.fail.Exception, match="needs timm, which"):
        need("timm")
