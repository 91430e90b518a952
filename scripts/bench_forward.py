"""How fast a built model runs, beside the hand-written one with the same weights.

    python scripts/bench_forward.py [--quick] [--json FILE]

Each round times both, and a second copy of the hand-written one: what these two differ by is noise.
The models are made anew several times, in another order each time, as the place of its weights in
memory makes a model a few per cent faster or slower.
"""

from __future__ import annotations

import dis
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

import torch
from _timing import (
    Row,
    Times,
    clock_many,
    compare,
    interleave,
    introduce,
    options,
    ratio_table,
    table,
    write_json,
)
from handwritten import GPT, LeNet, LeNetFunctional, LeNetNested, resnet18, resnet18_functional
from torch import Tensor, nn

import netspec

MODELS = Path(__file__).resolve().parent.parent / "configs" / "model"
SMALL_GPT = {"vocab": 65, "context": 64, "width": 64, "depth": 4, "heads": 4, "dropout": 0.1}


@dataclass(frozen=True)
class Subject:
    """A spec, the hand-written model that it stands for, and what they are run on."""

    name: str
    spec: str
    form: str
    by_hand: Callable[[], nn.Module]
    x: Tensor
    args: Mapping[str, object]
    calls: int  # in a row, for one reading of the clock


def subjects() -> list[Subject]:
    image = torch.randn(1, 1, 28, 28)
    photos = torch.randn(2, 3, 32, 32)
    tokens = torch.randint(65, (4, 32))
    gpt = partial(GPT, **SMALL_GPT)
    lenet = partial(Subject, spec="lenet", x=image, args={}, calls=20)
    resnet = partial(Subject, spec="resnet18", x=photos, args={}, calls=1)
    small_gpt = partial(Subject, spec="gpt", x=tokens, args=SMALL_GPT, calls=2)
    return [
        lenet("LeNet, batch 1", form="module", by_hand=LeNet),
        lenet("LeNet, batch 1", form="functional", by_hand=LeNetFunctional),
        lenet("LeNet, batch 1, written in one breath", form="functional", by_hand=LeNetNested),
        resnet("ResNet-18, 2×3×32×32", form="module", by_hand=resnet18),
        resnet("ResNet-18, 2×3×32×32", form="functional", by_hand=resnet18_functional),
        small_gpt("GPT, 4×32 tokens", form="module", by_hand=partial(gpt, functional=False)),
        small_gpt("GPT, 4×32 tokens", form="functional", by_hand=partial(gpt, functional=True)),
    ]


def main() -> None:
    given = options(__doc__)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    about = "Ratios to the hand-written model, in one process, turn by turn."
    introduce("Forward and backward", about)
    rows: list[Row] = []
    noise: list[Row] = []
    operations: list[dict[str, object]] = []
    for subject in subjects():
        operations.append(count_operations(subject))
        for what, training in (("forward", False), ("forward + backward", True)):
            times = measure(subject, training, given.quick)
            name = f"{subject.name}, {subject.form}, {what}"
            rows.append(compare(name, times["hand"], times["netspec"], "≤ 1.00"))
            noise.append(compare(name, times["hand"], times["again"]))
    print(ratio_table(rows, "hand-written", "netspec"))
    print("\n### The noise: the hand-written model beside a second one\n")
    print(ratio_table(noise, "hand-written", "hand-written"))
    print("\n### Bytecode operations that one forward executes in the models' own code\n")
    print_operations(operations)
    write_json(given.json, {"forward": rows, "noise": noise, "operations": operations})


def models(subject: Subject, turn: int = 0) -> dict[str, nn.Module]:
    """The built and two hand-written models with the same weights; their outputs are equal."""
    spec = MODELS / f"{subject.spec}.yaml"
    makers: list[tuple[str, Callable[[], nn.Module]]] = [
        ("hand", subject.by_hand),
        ("netspec", partial(netspec.build, spec, act=subject.form, args=subject.args)),
        ("again", subject.by_hand),
    ]
    first = turn % len(makers)
    found = {name: make() for name, make in makers[first:] + makers[:first]}
    for model in found.values():
        model.load_state_dict(found["hand"].state_dict())
    for training in (True, False):
        outputs = []
        for model in found.values():
            torch.manual_seed(0)
            outputs.append(model.train(training)(subject.x))
        same = all(torch.equal(outputs[0], other) for other in outputs[1:])
        assert same, f"{subject.name}: the models differ"
    return found


def forward(model: nn.Module, x: Tensor) -> None:
    model(x)


def forward_and_backward(model: nn.Module, x: Tensor) -> None:
    model.zero_grad(set_to_none=True)
    model(x).sum().backward()


def measure(subject: Subject, training: bool, quick: bool) -> Times:
    """Seconds of one call of each model, round by round."""
    run = forward_and_backward if training else forward
    turns, rounds = (1, 2) if quick else (6, 60)
    times: Times = {"hand": [], "netspec": [], "again": []}
    for turn in range(turns):
        timed = {
            name: partial(clock_many, partial(run, model.train(training), subject.x), subject.calls)
            for name, model in models(subject, turn).items()
        }
        with torch.set_grad_enabled(training):
            interleave(timed, 2)  # warms up
            for name, seconds in interleave(timed, rounds).items():
                times[name] += seconds
    return times


def count_operations(subject: Subject) -> dict[str, object]:
    found = models(subject)
    ours = executed(found["netspec"], subject.x)
    theirs = executed(found["hand"], subject.x)
    return {
        "name": f"{subject.name}, {subject.form}",
        "netspec": sum(ours.values()),
        "hand_written": sum(theirs.values()),
        "more": dict(sorted((ours - theirs).items())),
        "fewer": dict(sorted((theirs - ours).items())),
    }


def executed(model: nn.Module, x: Tensor) -> Counter[str]:
    """The operations executed in each `forward` that is not torch's own, by name."""
    own = Path(torch.__file__).parent
    found: Counter[str] = Counter()

    def trace(frame: FrameType, event: str, _: object) -> object:
        if event == "call":
            if frame.f_code.co_name != "forward" or own in Path(frame.f_code.co_filename).parents:
                return None
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
        elif event == "opcode":
            found[dis.opname[frame.f_code.co_code[frame.f_lasti]]] += 1
        return trace

    before = sys.gettrace()
    with torch.no_grad():
        model(x)
        sys.settrace(trace)
        try:
            model(x)
        finally:
            sys.settrace(before)
    return found


def print_operations(rows: Sequence[dict[str, object]]) -> None:
    cells = []
    for row in rows:
        differing = []
        for key in ("more", "fewer"):
            counts = row[key]
            assert isinstance(counts, dict), "made by count_operations"
            differing += [f"{number} {key} {name}" for name, number in counts.items()]
        words = "; ".join(differing) or "none"
        cells.append((str(row["name"]), str(row["hand_written"]), str(row["netspec"]), words))
    print(table(("what", "hand-written", "netspec", "difference"), cells))


if __name__ == "__main__":
    main()
