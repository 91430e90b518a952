"""A spec beside its original: the questions in order, and the first one whose answer is no."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

import netspec
from tests.compare import call_plainly, compare_values, run_once
from tests.parity.case import Case, Question, Wrong, batches
from tests.parity.distributions import compare_draws


class Difference(AssertionError):
    """A spec's model and its original differ in the answer to `question`."""

    def __init__(self, question: Question, facts: Sequence[str]) -> None:
        more = f" and {len(facts) - 5} more" if len(facts) > 5 else ""
        super().__init__(f"{question}: {'; '.join(facts[:5])}{more}")
        self.question = question


def compare_case(case: Case, wrong: Wrong | None = None) -> None:
    """Compare a case's spec, with a change or as it is, with its original.

    Raises Difference at the first question that finds one.
    """

    def make_ours(seed: int) -> nn.Module:
        return build_ours(case, wrong, seed=seed)

    ours, theirs = make_ours(0), seeded(case.original, 0)
    compare_layout(ours, theirs)
    if case.seed == "same":
        compare_parameters(ours, theirs)
    else:
        others = range(1, case.draws)
        draws = [(make_ours(k), seeded(case.original, k + 100)) for k in others]
        compare_distributions([(ours, theirs), *draws])
    perturb(theirs)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    compare_eval(ours, theirs, batches(case), case.call)
    compare_train(ours, theirs, batches(case)[0], case.call)
    compare_buffers(ours, theirs, case.own_buffers, case.their_buffers)


def compare_skeletons(case: Case, wrong: Wrong) -> None:
    """The questions of keys and shapes alone, on `meta`, where nothing is drawn."""
    compare_layout(build_ours(case, wrong, device="meta"), skeleton(case.original, case.meta))


def build_ours(
    case: Case, wrong: Wrong | None, seed: int | None = None, device: str = "cpu"
) -> nn.Module:
    args = {**case.args, **(wrong.args if wrong else {})}
    overrides = dict(wrong.overrides) if wrong else {}
    return netspec.build(case.spec, args=args, overrides=overrides, seed=seed, device=device)


def seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def skeleton(make: Callable[[], nn.Module], meta: bool = True) -> nn.Module:
    with torch.device("meta" if meta else "cpu"):
        return make()


# The questions


def compare_layout(ours: nn.Module, theirs: nn.Module) -> None:
    """Keys in order; then shapes and dtypes, and which values are parameters that are trained."""
    keys, others = list(ours.state_dict()), list(theirs.state_dict())
    if keys != others:
        facts = [f"{a}, the original's {b}" for a, b in zip(keys, others, strict=False) if a != b]
        raise Difference("keys", [f"{len(keys)}, the original's {len(others)}", *facts])
    facts = compare_values(layout(ours), layout(theirs))
    if facts:
        raise Difference("shapes", facts)


def layout(model: nn.Module) -> dict[str, dict[str, str]]:
    return {
        "state": {k: f"{v.dtype} {list(v.shape)}" for k, v in model.state_dict().items()},
        "parameters": {k: f"trained: {p.requires_grad}" for k, p in model.named_parameters()},
    }


def compare_parameters(ours: nn.Module, theirs: nn.Module) -> None:
    """One seed gives the same state."""
    facts = compare_values(ours.state_dict(), theirs.state_dict())
    if facts:
        raise Difference("seed", facts)


def compare_distributions(draws: Sequence[tuple[nn.Module, nn.Module]]) -> None:
    """Each parameter has the same distribution, and at least one has other numbers."""
    drawn = [pairs(*models) for models in draws]
    if all(torch.equal(a, b) for a, b in drawn[0].values()):
        raise Difference("seed", ["one seed gives the original's parameters now"])
    facts = []
    for key in drawn[0]:
        ours, theirs = (torch.cat([each[key][k].flatten() for each in drawn]) for k in (0, 1))
        text = compare_draws(ours, theirs)
        if text is not None:
            facts.append(f"{key}: {text}")
    if facts:
        raise Difference("seed", facts)


def compare_eval(
    ours: nn.Module,
    theirs: nn.Module,
    inputs: Sequence[tuple[Tensor, ...]],
    call: Callable[..., object],
) -> None:
    ours.eval(), theirs.eval()
    facts = []
    for batch in inputs:
        result = run_eval(call_plainly, ours, batch)
        other = run_eval(call, theirs, batch)
        where = f"for {[list(x.shape) for x in batch]}"
        facts += [f"{where} {text}" for text in compare_values(result, other, "output")]
    if facts:
        raise Difference("eval", facts)


def run_eval(call: Callable[..., object], model: nn.Module, batch: Sequence[Tensor]) -> object:
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)  # some draw in eval mode as well
        return plain(call(model, *(x.clone() for x in batch)))


def compare_train(
    ours: nn.Module,
    theirs: nn.Module,
    batch: Sequence[Tensor],
    call: Callable[..., object],
) -> None:
    """Outputs and gradients of one step in train mode from one seed."""
    result = run_once(ours, batch, "train")
    other = run_once(theirs, batch, "train", call)
    facts = compare_values(plain(result.pop("outputs")), plain(other.pop("outputs")), "output")
    if facts:
        raise Difference("train", facts)
    facts = compare_values(result, other)
    if facts:
        raise Difference("gradients", facts)


def compare_buffers(
    ours: nn.Module, theirs: nn.Module, own: Sequence[str], foreign: Sequence[str]
) -> None:
    """Buffers, saved or not, as a step leaves them; only one of the models has those named here."""
    values, others = dict(ours.named_buffers()), dict(theirs.named_buffers())
    facts = [
        f"only {whose} {sorted(only)}, known are {sorted(known)}"
        for whose, only, known in (
            ("ours are", set(values) - set(others), own),
            ("the original's are", set(others) - set(values), foreign),
        )
        if only != set(known)
    ]
    both = [key for key in values if key in others]
    facts += compare_values({k: values[k] for k in both}, {k: others[k] for k in both})
    if facts:
        raise Difference("buffers", facts)


# Values


def perturb(model: nn.Module) -> None:
    """Move all that is saved a little: zeros, and scales near zero, would hide what reads them."""
    generator = torch.Generator().manual_seed(1)
    for key, value in model.state_dict().items():
        if key.endswith("running_var"):  # has to stay positive
            value.add_(torch.rand(value.shape, generator=generator))
        elif key.endswith("num_batches_tracked"):
            value.add_(3)
        elif value.is_floating_point():
            value.add_(torch.randn(value.shape, generator=generator), alpha=0.02)


def plain(value: object) -> object:
    """Named tuples as tuples and all mappings as dicts: how a library packs its tensors."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(plain(item) for item in value)
    return value


def pairs(ours: nn.Module, theirs: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    others = theirs.state_dict()
    return {key: (value, others[key]) for key, value in ours.state_dict().items()}
