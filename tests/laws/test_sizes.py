"""A built model is the interpreter's at every size, not only at those that netspec tries itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import event
from torch import nn

import netspec
from netspec.errors import SpecError
from netspec.pipeline import compile_spec
from tests.compare import run_once
from tests.laws.constrained import constrained_specs
from tests.laws.interpreter import Reference
from tests.laws.search import Search, law, over
from tests.laws.sizes import Sized, sized_specs
from tests.laws.test_laws import SEED, differences


@law(120, 3000)
def test_a_model_is_the_interpreters_at_every_size(examples: Search) -> None:
    counts = _Counts()
    over(examples, sized_specs(), counts.check)
    assert counts.accepted > 0.6 * counts.all, (counts.accepted, counts.all)


@law(80, 3000)
def test_a_model_that_takes_some_sizes_only_is_too(examples: Search) -> None:
    counts = _Counts()
    over(examples, constrained_specs(), counts.check)
    assert counts.accepted > 0.3 * counts.all, (counts.accepted, counts.all)


class _Counts:
    """Runs the law over specs, and counts those that netspec accepts."""

    def __init__(self) -> None:
        self.all = self.accepted = 0

    def check(self, case: Sized) -> None:
        self.all += 1
        try:
            model = netspec.build(case.document, seed=SEED)
        except SpecError as error:
            event(error.diagnostics[0].code)
            return
        self.accepted += 1
        check_at_sizes(case, model)


def check_at_sizes(case: Sized, model: nn.Module) -> None:
    tried = case.tensors(tried_at(case))
    reference = Reference(case.document).make(SEED, *tried)
    for shapes in (case.tried, *case.others):
        inputs = case.tensors(shapes)
        for mode in ("eval", "train"):
            try:
                expected = run_once(reference, inputs, mode)
            except Exception:  # an index that is not there at this size, or the like
                continue
            assert differences(run_once(model, inputs, mode), expected) == [], (shapes, mode)


def tried_at(case: Sized) -> tuple[tuple[int, ...], ...]:
    """The shapes of the inputs at which netspec tried the spec, which sizes that are left out follow."""
    inputs = compile_spec(case.document).program.inputs
    return tuple([port.facts[0].shape for port in inputs])  # type: ignore[union-attr]


FOLDED = {
    "a count of items": "=len(x.unbind(1)) * x",
    "a count that decides": "=x.sum() if len(x.unbind(0)) > 2 else x",
    "what a slice leaves": "=x[:, :50].shape[1] * x",
    "what a slice leaves of little": "=x[:, :5].shape[1] * x",
    "a remainder in a tuple": "=(x.shape[1] % 32, 3)[0] * x",
    "zeros as many as there are thousands": "=zeros(x.shape[1] // 1000).shape[0] * x",
    "padded to a length": "=pad(x, (0, max(0, 1000 - x.shape[1]))).shape[1] * x",
    "the rank of what a size decides": "=(x if x.shape[1] > 5000 else x.sum(1)).ndim * x",
    "None where a size decides": "=x * (1 if (x if x.shape[1] > 5000 else None) is None else 2)",
    "the length of a range": "=len(range(x.shape[1])) * x",
    "the first of a range": "=range(x.shape[1] // 1000, x.shape[1])[0] * x",
    "an odd size's last part": "=len(x.split(10, 1)) * x",
}


@pytest.mark.parametrize("name", FOLDED)
def test_what_was_the_same_at_the_sizes_tried(name: str) -> None:
    document = {"netspec": 1, "inputs": {"x": ["N", "T"]}, "layers": {"o": FOLDED[name]}}
    sizes = ((2, 64), (1, 1), (3, 4), (3, 37), (4, 130), (2, 2003), (2, 6000))
    shapes = tuple((size,) for size in sizes)
    check_at_sizes(Sized(document, shapes[0], shapes[1:]), netspec.build(document, seed=SEED))


ONLY_AT_SOME = {
    "chunks of what was pooled": ["=avg_pool1d(_, 8)", "=len(_.chunk(2, 1)) * x.mean()"],
    "parts of windows": ["=_.unflatten(1, (-1, 8)).mean(2)", "=len(_.split(50, 1)) * x.mean()"],
    "what a table lets through": [
        "=_[:, 100:]",
        "=_ + zeros(100)[:_.shape[1]]",
        "=_.numel() * x.mean()",
    ],
    "windows after a pooling": ["=avg_pool1d(_, 3)", "=_.unflatten(1, (-1, 7)).mean(2)", "=_.shape[1] * x.mean()"],
    "a step beyond all numbers": ["=_[:, ::2 ** 9]", "=_.shape[1] * x.mean()"],
    "an end beyond all numbers": ["=_[:, 3 ** 5:]", "=_.shape[1] * x.mean()"],
}  # fmt: skip


@pytest.mark.parametrize("name", ONLY_AT_SOME)
def test_what_was_the_same_at_the_few_sizes_that_are_taken(name: str) -> None:
    layers = {f"l{k}": text for k, text in enumerate(ONLY_AT_SOME[name])}
    document = {"netspec": 1, "inputs": {"x": ["N", "T"]}, "layers": layers}
    sizes = ((2, 1), (1, 8), (3, 9), (2, 14), (2, 63), (3, 84), (4, 127), (2, 300), (3, 840))
    shapes = tuple((size,) for size in sizes)
    check_at_sizes(Sized(document, ((2, 64),), shapes), netspec.build(document, seed=SEED))


def test_two_letters_are_two_sizes() -> None:
    """Both were tried with the same numbers, so that `x + y` passed."""
    for one, other in ((["N", 4], ["M", 4]), (["N", "T"], ["N", "S"]), (["N", "H"], ["W", "H"])):
        document = {"netspec": 1, "inputs": {"x": one, "y": other}, "layers": {"o": "=x + y"}}
        (found,) = netspec.check(document)
        assert found.code == "NS301"


def test_what_a_part_declares_holds_at_each_size(tmp_path: Path) -> None:
    """64 was the first size at which T is tried, so that a part which declares 64 took it."""
    part = "netspec: 1\nname: Part\ninputs: {x: [N, 64]}\nlayers: {a: tanh}\n"
    whole = "netspec: 1\nname: Net\ninputs: {x: [N, T]}\nlayers: {p: {spec: part}}\n"
    (tmp_path / "part.yaml").write_text(part, encoding="utf-8")
    (tmp_path / "whole.yaml").write_text(whole, encoding="utf-8")
    (found,) = netspec.check(tmp_path / "whole.yaml")
    assert (found.code, found.fact) == (
        "NS301", "`p` takes [N, 64] for its input `x`, and `x` is [N, T]",
    )  # fmt: skip


def test_each_letter_is_named_in_words() -> None:
    """What followed H was told as `N+1`, since both took the same steps."""
    layers = {"a": "=x[:, :-1]", "b": "=x[:, :, :-2]", "o": "=a + b"}
    document = {"netspec": 1, "inputs": {"x": ["N", "H", "W"]}, "layers": layers}
    (found,) = netspec.check(document)
    assert "[N, H-1, W]" in str(found) and "[N, H, W-2]" in str(found)


# An operator whose result has another rank where a free size is 1


@pytest.mark.parametrize(
    ("text", "help"),
    [
        ("=x.squeeze()", "name what it takes away: `squeeze((1, 3))`"),
        ("squeeze", "name what it takes away: `dim: [1, 3]`"),
        ("=x.sum(3).squeeze()", "name what it takes away: `squeeze(1)`"),
        ("=x.flatten(1).cov()", "name the dimensions that it is to change"),
    ],
)
def test_a_rank_that_depends_on_a_size_of_one_is_told(text: str, help: str) -> None:
    document = {"netspec": 1, "inputs": {"x": ["N", 1, 4, 1]}, "layers": {"o": text}}
    (found,) = netspec.check(document)
    assert (found.code, found.help) == ("NS303", help)
    assert "gives another number of dimensions where N is 1" in found.fact


@pytest.mark.parametrize(
    "text", ["=x.squeeze(1)", "=x.squeeze((1, 3))", "=x.flatten(1)", "=x[:, 0]", "=x.mean((1, 3))"]
)
def test_a_rank_that_depends_on_no_size_is_fine(text: str) -> None:
    document = {"netspec": 1, "inputs": {"x": ["N", 1, 4, 1]}, "layers": {"o": text}}
    assert netspec.check(document) == ()


@pytest.mark.parametrize(
    ("shape", "example"),
    [
        ("N, 3, H, W", "H: [16, 24], W: [16, 24]"),
        ("N, 3, H, W", "H: 16, W: 16"),
        ("3, 3, N, T", "N: 8, T: 8"),
        ("W, N, T, S", "T: [4, 8], S: [4, 8], N: [4, 8]"),
    ],
)
def test_letters_of_the_same_examples_are_told_apart(shape: str, example: str) -> None:
    text = "netspec: 1\nname: Net\ninputs: {x: {shape: [%s], example: {%s}}}\nlayers:\n%s"
    refused = text % (shape, example, "  out: =x + x.transpose(2, 3)\n")
    assert [found.code for found in netspec.check(netspec.loads(refused))] == ["NS301"]
    fine = text % (shape, example, "  out: =x @ x.transpose(2, 3)\n")
    assert netspec.check(netspec.loads(fine)) == ()


NEVER_REACHED = {
    "a slice beyond what is left": {
        "s0": "=_.reshape(_.shape[0], _.shape[1] // 4, 4, 4).mean(2)",
        "s1": "=_[:, 90:]",
        "v0": "=_ * s1.shape[1]",
    },
    "in_features of such a slice": {
        "s0": "=_.reshape(_.shape[0], _.shape[1] // 2, 2, 4).mean(2)",
        "s1": "=_[:, 50:]",
        "flat": "=_.flatten(1)",
        "fc": {"module": "Linear", "out_features": 2},
    },
}


@pytest.mark.xfail(strict=True, reason="no size is tried at which something is left of the slice")
@pytest.mark.parametrize("case", NEVER_REACHED)
def test_what_is_empty_wherever_it_is_tried_still_follows_a_size(case: str) -> None:
    document = {"netspec": 1, "inputs": {"x": ["N", "T", 4]}, "layers": NEVER_REACHED[case]}
    check_at_sizes(Sized(document, ((2, 64, 4),), (((1, 420, 4),),)), netspec.build(document))
