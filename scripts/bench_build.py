"""How long it takes from a spec's text to the model, beside the hand-written constructor.

    python scripts/bench_build.py [--quick] [--json FILE]

Cold: all that netspec remembers of specs and operators is dropped before. Warm: the same spec was
built before in this process. What torch itself does only once is done before either is timed.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch
from _timing import Row, clock, compare, introduce, options, ratio_table, table, write_json
from handwritten import ChainFunctional, chain, resnet50
from torch import nn

import netspec
from netspec import caches, find, pipeline, request
from netspec.checks.unused import find_unused
from netspec.emit.classes import plan_classes
from netspec.emit.module import compile_classes
from netspec.emit.tree import write_trees
from netspec.explain.operation import explain_rejection
from netspec.ir.lower.program import lower
from netspec.language.expressions import parse_expression
from netspec.language.load import load_spec, plain_source
from netspec.ops.process_state import without_collections
from netspec.source import read_source

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "configs" / "model"
STAGES = (
    "read: YAML with places",
    "load: schema, expressions, includes",
    "lower: blocks, shapes, every operator asked",
    "check: unused",
    "plan: classes",
    "write: AST",
    "compile: AST → classes",
    "make: the constructors",
)
# Two widths in turn, so that no two neighbours are the same; small, so that netspec's part shows.
BY_REPEAT = """\
netspec: 1
inputs: {{x: [N, 4]}}
layers:
  body: {{repeat: {n}, module: Linear, out_features: "=4 + i % 2"}}
"""


def main() -> None:
    given = options(__doc__)
    torch.set_num_threads(1)
    introduce("Text → checked model", "Ratios to the hand-written constructor, in one process.")
    warm_torch_up()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        rows = list(against_hand_written(place, given.quick))
        print(ratio_table(rows, "hand-written", "netspec"), flush=True)
        stages = floor(place, given.quick)
        layers = by_layers(place, given.quick)
    first = first_build()
    write_json(given.json, {"build": rows, "stages": stages, "layers": layers, "first": [first]})


def warm_torch_up() -> None:
    """torch's own first imports for `meta`, and its signatures, are no spec's cost."""
    for name in ("lenet", "resnet18", "gpt"):
        for form in ("module", "functional"):
            netspec.build(MODELS / f"{name}.yaml", act=form)


def forget() -> None:
    """Drops what netspec remembers of specs and of operators."""
    caches.clear()
    parse_expression.cache_clear()


@contextmanager
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def assert_equal(built: nn.Module, written: nn.Module) -> None:
    """The same keys in the same order, and the same values, from the same seed."""
    a, b = built.state_dict(), written.state_dict()
    assert list(a) == list(b), "the built model has the hand-written one's keys"
    assert all(torch.equal(a[key], b[key]) for key in a), "and its values"


# --- Beside the hand-written constructor ------------------------------------------------------


def against_hand_written(place: Path, quick: bool) -> Iterator[Row]:
    path = MODELS / "resnet50.yaml"
    with seeded():
        built = netspec.build(path)
    with seeded():
        assert_equal(built, resnet50())
    del built
    times = Rounds()
    for _ in range(1 if quick else 16):
        times.add(resnet50, partial(netspec.build, path))
    yield compare("ResNet-50, cold", times.hand, times.cold, "≤ 1.15")
    yield compare("ResNet-50, warm", times.hand, times.warm, "≤ 1.02")
    layers = 20 if quick else 200
    for form in ("module", "functional"):
        for changed in (layers // 10, layers):
            yield from chains(place, layers, changed, form, 1 if quick else 24)


class Rounds:
    """Seconds of the hand-written model, of a cold and of a warm build, round by round."""

    def __init__(self) -> None:
        self.hand: list[float] = []
        self.cold: list[float] = []
        self.warm: list[float] = []

    def add(self, by_hand: Callable[[], object], build: Callable[[], object]) -> None:
        before = clock(by_hand)
        forget()
        self.cold.append(clock(build))
        self.warm.append(clock(build))
        self.hand.append((before + clock(by_hand)) / 2)


def chains(place: Path, layers: int, changed: int, form: str, rounds: int) -> Iterator[Row]:
    """Convolutions and activations, written out one by one; the widths are new in each round."""
    make: Callable[[Sequence[int]], nn.Module] = chain if form == "module" else ChainFunctional
    times, with_relu, loaded = Rounds(), [], []
    for number in range(rounds):
        widths = random_widths(layers, changed)
        path = place / f"chain_{form}_{changed}_{number}.yaml"
        path.write_text(chain_text(widths), encoding="utf-8")
        times.add(partial(make, widths), partial(netspec.build, path, act=form))
        text = path.read_text(encoding="utf-8")
        build_text(text, form)
        loaded.append(clock(partial(build_text, text, form)))
        with_relu.append(clock(partial(chain, widths)))
        with seeded():
            built = netspec.build(path, act=form)
        with seeded():
            assert_equal(built, make(widths))
    hard = changed == layers
    what = f"{layers} × (Conv2d + relu), {changed} widths at random, {form}"
    yield compare(f"{what}, cold", times.hand, times.cold, "" if hard else "≤ 2.0")
    yield compare(f"{what}, warm", times.hand, times.warm, "" if hard else "≤ 1.05")
    yield compare(f"{what}, warm, `loads`", times.hand, loaded, "" if hard else "≤ 1.05")
    if form == "functional":
        note = "beside the constructor that makes the ReLU modules too"
        yield compare(f"{what}, cold", with_relu, times.cold, "" if hard else "≤ 2.0", note)


def build_text(text: str, form: str) -> nn.Module:
    return netspec.build(netspec.loads(text), act=form)


def random_widths(layers: int, changed: int) -> list[int]:
    widths = [8] * layers
    for index in random.sample(range(layers), changed):
        widths[index] = random.randint(6, 12)
    return widths


def chain_text(widths: Sequence[int]) -> str:
    lines = ["netspec: 1", "name: Chain", "inputs: {x: [N, 8, 8, 8]}", "layers:"]
    for index, width in enumerate(widths):
        conv = f"{{module: Conv2d, out_channels: {width}, kernel_size: 3, padding: 1}}"
        lines += [f"  conv{index}: {conv}", f"  act{index}: {{act: relu}}"]
    return "\n".join(lines) + "\n"


# --- Stage by stage ---------------------------------------------------------------------------


def floor(place: Path, quick: bool) -> list[dict[str, object]]:
    """What each stage adds: the floor below which a check, or a class, cannot come."""
    layers = 20 if quick else 200
    rounds = 1 if quick else 16
    path = place / "stages.yaml"
    subjects: dict[str, tuple[Path, str]] = {
        f"{layers} × (Conv2d + relu), module": (path, "module"),
        f"{layers} × (Conv2d + relu), functional": (path, "functional"),
        "ResNet-50": (MODELS / "resnet50.yaml", "module"),
    }
    found: dict[str, list[list[float]]] = {name: [] for name in subjects}
    hands: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(rounds):
        widths = random_widths(layers, layers // 10)
        path.write_text(chain_text(widths), encoding="utf-8")
        for name, (file, form) in subjects.items():
            own = partial(chain if form == "module" else ChainFunctional, widths)
            by_hand = resnet50 if name == "ResNet-50" else own
            if number % 2:
                hands[name].append(clock(by_hand))
            forget()
            with without_collections():  # as the stages run
                found[name].append(clock_stages(file, form))
            if not number % 2:
                hands[name].append(clock(by_hand))
    rows: list[dict[str, object]] = []
    for name, times in found.items():
        so_far, hand = 0.0, median(hands[name])
        print(f"\n### Stage by stage, cold: {name}\n")
        cells = []
        for stage, column in zip(STAGES, zip(*times, strict=True), strict=True):
            ms = median(column)
            so_far += ms
            share, sum_ = ms / hand, so_far / hand
            cells.append((stage, f"{1e3 * ms:.2f}", f"{share:.2f}", f"{sum_:.2f}"))
            rows.append({"of": name, "stage": stage, "ms": 1e3 * ms, "share": share, "sum": sum_})
        cells.append(("the hand-written constructor", f"{1e3 * hand:.2f}", "1", "1"))
        print(table(("stage", "median, ms", "of the hand-written", "sum"), cells), flush=True)
    return rows


def clock_stages(path: Path, form: str) -> list[float]:
    """Seconds of each stage of one build."""
    activation = request.read_activation(form)
    files = find.files()
    marks: list[float] = []
    clock(lambda: None)  # collects garbage
    marks.append(time.perf_counter())
    source = read_source(path)
    marks.append(time.perf_counter())
    spec = load_spec(source, files)
    marks.append(time.perf_counter())
    program = lower(spec, {}, activation, lambda *_: spec, explain_rejection)
    marks.append(time.perf_counter())
    problems = find_unused(program.root, spec.document)
    assert not problems, "these specs are right"
    marks.append(time.perf_counter())
    plan = plan_classes(program)
    marks.append(time.perf_counter())
    written = write_trees(plan, plain_source(spec.source))
    marks.append(time.perf_counter())
    built = compile_classes(written, (), pipeline.rebuild)
    marks.append(time.perf_counter())
    model = built.make()
    marks.append(time.perf_counter())
    del model
    return [b - a for a, b in pairwise(marks)]


# --- Against the number of layers -------------------------------------------------------------


def by_layers(place: Path, quick: bool) -> list[dict[str, object]]:
    """Microseconds a layer, from few layers to many: a straight line stays level."""
    counts = (100, 200) if quick else (1_000, 3_000, 10_000, 30_000, 100_000)
    # A text has at most a million bytes, which is some 20,000 layers like these.
    written = (100, 200) if quick else (1_000, 3_000, 10_000, 20_000)
    ways = (
        ("repeat", "module", counts),
        ("text", "module", written),
        ("text", "functional", written),
    )
    rows = [
        one_count(place, way, form, count, quick)
        for way, form, numbers in ways
        for count in numbers
    ]
    print("\n### Cost against the number of layers, cold\n")
    head = ("way", "layers", "seconds", "µs a layer", "hand-written, µs a layer", "ratio")
    cells = [
        (
            f"{r['way']}, {r['form']}", f"{r['layers']:,}", f"{r['seconds']:.2f}",
            f"{r['us_a_layer']:.1f}", f"{r['hand_us_a_layer']:.1f}",
            f"{r['us_a_layer'] / r['hand_us_a_layer']:.2f}",
        )
        for r in rows
    ]  # fmt: skip
    print(table(head, cells), flush=True)
    return rows


def linear_text(count: int) -> str:
    lines = ["netspec: 1", "inputs: {x: [N, 4]}", "layers:"]
    for index in range(count // 2):
        lines.append(f"  fc{index}: {{module: Linear, out_features: {4 + index % 2}}}")
        lines.append(f"  act{index}: {{act: relu}}")
    return "\n".join(lines) + "\n"


def linears(count: int) -> nn.Module:
    return nn.Sequential(*[nn.Linear(4 + (i + 1) % 2, 4 + i % 2) for i in range(count)])


def linears_with_relu(form: str, count: int) -> nn.Module:
    layers: dict[str, nn.Module] = {}
    for index in range(count // 2):
        layers[f"fc{index}"] = nn.Linear(4 + (index + 1) % 2, 4 + index % 2)
        if form == "module":
            layers[f"act{index}"] = nn.ReLU()
    model = nn.Module()
    for name, layer in layers.items():
        model.add_module(name, layer)
    return model


_AS_MANY = {"work": 10**9}  # more than a check may do of itself


def one_count(place: Path, way: str, form: str, count: int, quick: bool) -> dict[str, object]:
    text = BY_REPEAT.format(n=count) if way == "repeat" else linear_text(count)
    path = place / f"many_{way}_{count}.yaml"
    path.write_text(text, encoding="utf-8")
    by_hand = partial(linears, count)
    if way == "text":
        by_hand = partial(linears_with_relu, form, count)
    seconds, hand = [], []
    for _ in range(1 if quick or count > 10_000 else 3):
        forget()
        hand.append(clock(by_hand))
        seconds.append(clock(partial(netspec.build, path, act=form, limits=_AS_MANY)))
    forget()
    return {
        "way": way, "form": form, "layers": count, "seconds": min(seconds),
        "us_a_layer": 1e6 * min(seconds) / count, "hand_us_a_layer": 1e6 * min(hand) / count,
    }  # fmt: skip


# --- The very first build ---------------------------------------------------------------------

FIRST = """
import json, time, torch, sys
torch.set_num_threads(1)
start = time.perf_counter()
import netspec.pipeline
imported = time.perf_counter()
netspec.build(sys.argv[1])
built = time.perf_counter()
netspec.caches.clear()
again = time.perf_counter()
netspec.build(sys.argv[1])
print(json.dumps([imported - start, built - imported, time.perf_counter() - again]))
"""


def first_build() -> dict[str, float]:
    """In a process of its own: with torch's first imports for `meta`, and its signatures read."""
    command = [sys.executable, "-c", FIRST, str(MODELS / "lenet.yaml")]
    output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    imports, first, second = json.loads(output)
    print(
        f"\nIn a fresh process that has imported torch: `import netspec.pipeline` {imports:.2f} s, "
        f"the first `netspec.build` (lenet) {first:.2f} s, the same again after forgetting "
        f"{1e3 * second:.1f} ms."
    )
    return {"imports": imports, "first": first, "again": second}


if __name__ == "__main__":
    main()
