"""Hostile specs: the files of `cases/hostile`, texts too large for a file, names of files.

`python -m tests.hostile` plays all of them, and every good spec, below an audit hook, and prints
what was opened, imported or executed beyond what netspec may (`--plant` adds a breach to be found).
"""

from __future__ import annotations

import ast
import gc
import json
import os
import pickle
import re
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import netspec
from netspec import caches, find
from netspec.errors import Diagnostic, SpecError
from scripts._fuzz_law import slowness

CASES = Path(__file__).parent / "cases" / "hostile"
MARKED = sorted(CASES.glob("*.yaml"))  # each line that ends in `# NS206` is refused so
HARMLESS = sorted((CASES / "harmless").glob("*.yaml"))
GOOD = sorted((Path(__file__).parent.parent / "configs" / "model").glob("*.yaml"))
OURS = {"collections", "math", "torch"}  # what generated code imports
MOST_SECONDS = 2.0  # of processor time, on the machine where it was set
MOST_BYTES = 300_000_000
_MARK = re.compile(r"# (NS\d{3})$")


def marks(case: Path) -> list[tuple[int, str]]:
    """The lines that a case wants refused, each with its code."""
    lines = case.read_text(encoding="utf-8").split("\n")
    return [(n, found[1]) for n, line in enumerate(lines, 1) if (found := _MARK.search(line))]


# Texts


def spec(layers: str, top: str = "", inputs: str = "{x: [N, 4]}") -> str:
    return f"netspec: 1\nname: Net\n{top}inputs: {inputs}\nlayers:\n{layers}"


def expression(text: str) -> str:
    return spec(f"  a: '={text}'\n")


def many(count: int, layer: Callable[[int], str]) -> str:
    return spec("".join(f"  a{i}: {layer(i)}\n" for i in range(count)))


def blocks(innermost: str, outer: Callable[[int], str], depth: int = 10) -> str:
    """Blocks of ten layers, each of which is the block before."""
    nested = "".join(
        f"  B{i + 1}:\n    args: {{w: 0}}\n    layers:\n"
        + "".join(f"      a{k}: {{block: B{i}{outer(k)}}}\n" for k in range(10))
        for i in range(depth)
    )
    last = f"  B0:\n    args: {{w: 0}}\n    layers:\n      a: {innermost}\n"
    return spec(f"  a: {{block: B{depth}}}\n", f"blocks:\n{nested}{last}")


def doubling(layer: str, first: str = "x") -> str:
    """Layers that each hold the one before twice; `<` stands for it."""
    names = [first, *(f"a{i}" for i in range(60))]
    return many(60, lambda i: layer.replace("<", names[i]))


def twice(depth: int) -> str:
    """Blocks that each hold the one before twice."""
    nested = "".join(
        f"  B{i + 1}:\n    layers:\n      a: {{block: B{i}}}\n      b: {{block: B{i}}}\n"
        for i in range(depth)
    )
    last = "  B0:\n    layers:\n      a: {module: Linear, out_features: 4}\n"
    return spec(f"  a: {{block: B{depth}}}\n", f"blocks:\n{nested}{last}")


def repeats(layer: str) -> str:
    nested = f"      b:\n        repeat: 1000\n        layers:\n          c: {layer}\n"
    return spec(f"  a:\n    repeat: 1000\n    layers:\n{nested}")


_BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in pairwise("abcdefghijk")
)
_KEYS = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i + 1}: &a{i + 1} {{x: *a{i}, y: *a{i}}}\n" for i in range(60)
)
_RECURSION = "blocks:\n  B:\n    args: {n: 0, k: 0}\n    layers:\n"
_BIG = "args: {big: [" + ",".join(["1"] * 90_000) + "]}\n"

TEXTS: Mapping[str, tuple[str, Callable[[], str]]] = {
    "brackets": ("NS103", lambda: spec("  a: " + "[" * 100_000)),
    "braces": ("NS103", lambda: spec("  a: " + "{a: " * 100_000)),
    "dashes": ("NS103", lambda: "a:\n" + "- " * 100_000),
    "questions": ("NS104", lambda: "? " * 100_000),
    "alias bomb": ("NS103", lambda: _BOMB),
    "alias bomb of mappings": ("NS103", lambda: _KEYS),
    "aliases as keys": ("NS104", lambda: "a: &a b\n" + "*a : 1\n" * 50_000),
    "five megabytes": ("NS103", lambda: "a: " + "x" * 5_000_000),
    "five megabytes of comment": ("NS103", lambda: spec("  a: relu\n") + "#" * 5_000_000),
    "a long key": ("NS103", lambda: spec(f"  {'a' * 200_000}: relu\n")),
    "many keys": ("NS202", lambda: "".join(f"a{i}: 1\n" for i in range(90_000))),
    "many digits": ("NS103", lambda: spec(f"  a: {{module: Linear, out_features: {'9' * 10**5}}}")),
    "nul": ("NS101", lambda: spec("  a: relu\n") + "\0"),
    "escape": ("NS101", lambda: spec("  a: \x1b[2J\n")),
    "surrogate": ("NS101", lambda: spec("  a: \ud800\n")),
    "escaped surrogate": ("NS101", lambda: spec('  a: "\\ud800"\n')),
    "blanks": ("NS208", lambda: expression("x" + " " * 90_000 + "y")),
    "colons": ("NS101", lambda: spec(f'  "{"a:" * 9_000}": relu\n')),
    "quotes": ("NS101", lambda: spec("  a: " + "'" * 90_001 + "\n")),
    "percents": ("NS101", lambda: "%" * 90_000 + "\n" + spec("  a: relu\n")),
    "backslashes": ("NS101", lambda: spec('  a: "' + "\\" * 90_001 + '"\n')),
    "tag directives": ("NS104", lambda: "%TAG !a! b\n" * 50_000 + "---\na: 1"),
    "commas": ("NS108", lambda: spec("  a: {from: =cat(" + "a," * 40_000 + "}\n")),
    "parentheses": ("NS208", lambda: expression("(" * 900 + "x" + ")" * 900)),
    "lists": ("NS208", lambda: expression("[" * 900 + "]" * 900)),
    "minuses": ("NS208", lambda: expression("-" * 1_900 + "x")),
    "nots": ("NS208", lambda: expression("not " * 400 + "x")),
    "a tower": ("NS208", lambda: expression("**".join(["9"] * 300))),
    "choices": ("NS208", lambda: expression("1 if 1 else " * 190 + "1")),
    "attributes": ("NS208", lambda: expression("x" + ".T" * 900)),
    "calls": ("NS208", lambda: expression("x" + ".relu()" * 250)),
    "comparisons": ("NS304", lambda: expression("<".join(["x"] * 380))),
    "sums": ("NS208", lambda: expression("+".join(["x"] * 300))),
    "a long number": ("NS208", lambda: expression("x * " + "9" * 1_900)),
    "a long hexadecimal": ("NS208", lambda: expression("x * 0x" + "f" * 1_900)),
    "an underscored number": ("NS208", lambda: expression("x * 1" + "_0" * 900)),
    "a long expression": ("NS208", lambda: expression("x + " + "y" * 90_000)),
    "tuples that double": ("NS304", lambda: doubling("'=(<, <)'")),
    "constants that double": ("NS304", lambda: doubling("{const: '=(<, <)'}", first="1")),
    "lists that double": ("NS304", lambda: doubling("{const: ['=<', '=<']}", first="1")),
    "args that double": ("NS304", lambda: spec("  a: relu\n", "args:\n  a0: [1, 1]\n"
        + "".join(f"  a{i + 1}: ['=a{i}', '=a{i}']\n" for i in range(60)))),
    "outputs that double": ("NS304", lambda: spec("  a: {block: B, repeat: 60}\n",
        "blocks:\n  B:\n    layers: {a: {const: 1}}\n    outputs: [x, x]\n")),
    "blocks": ("NS217", lambda: blocks("relu", lambda k: "")),
    "blocks of modules": ("NS217", lambda: blocks("{module: ReLU}", lambda k: "")),
    "blocks with args": ("NS217", lambda: blocks("=x * w", lambda k: f", w: '=w * 10 + {k}'")),
    "blocks of nothing": ("NS217", lambda: blocks("{when: false, call: relu}", lambda k: "")),
    "blocks if": ("NS217", lambda: blocks("relu", lambda k: f", w: '=w + {k}', when: '=w >= 0'")),
    "blocks of two": ("NS217", lambda: twice(16)),
    "a block in itself": ("NS211", lambda: spec("  a: {block: B}\n",
        _RECURSION + "      a: {block: B}\n")),
    "a block in itself by args": ("NS211", lambda: spec("  a: {block: B}\n",
        _RECURSION + "      a: {block: B, n: =n + 1}\n")),
    "a block twice in itself": ("NS217", lambda: spec("  a: {block: B}\n", _RECURSION
        + "      a: {block: B, n: =n + 1, k: =k * 2, when: =n < 38}\n"
        + "      b: {block: B, n: =n + 1, k: =k * 2 + 1, when: =n < 38}\n")),
    "repeats": ("NS217", lambda: repeats("{module: ReLU, repeat: 1000}")),
    "repeats of calls": ("NS217", lambda: repeats("{call: relu, repeat: 1000}")),
    "many inputs": ("NS501", lambda: spec("  a: relu\n",
        inputs="{" + ", ".join(f"x{i}: [N, 4]" for i in range(20_000)) + "}")),
    "many free sizes": ("NS217", lambda: spec("  a: relu\n",
        inputs=f"{{x: [{', '.join(f'N{i}' for i in range(40))}]}}")),
    "wrong modules": ("NS206", lambda: many(10_000, lambda i: f"{{module: Linar{i}}}")),
    "wrong functions": ("NS206", lambda: many(10_000, lambda i: f"{{call: rellu{i}, from: x}}")),
    "wrong names": ("NS207", lambda: many(10_000, lambda i: f"=x + zzz{i}")),
    "wrong expressions": ("NS208", lambda: many(10_000, lambda i: "'=x +'")),
    "wrong kinds": ("NS202", lambda: many(30_000, lambda i: "3")),
    "wrong keys": ("NS202", lambda: many(10_000, lambda i: "{modul: Linear}")),
    "wrong sizes": ("NS301", lambda: many(10_000, lambda i:
        f"{{module: Linear, from: x, in_features: 7, out_features: {i + 1}}}")),
    "wrong arguments": ("NS203", lambda: spec(
        f"  a: {{module: ReLU, {', '.join(f'k{i}: 1' for i in range(30_000))}}}\n")),
    "unread layers": ("NS501", lambda: many(10_000, lambda i: "{call: relu, from: x}")),
    "long names": ("NS206", lambda: many(10, lambda i: f"{{module: {'L' * 90_000}}}")),
    "long lists": ("NS217", lambda: spec(
        "".join(f"  a{i}: {{call: softmax, dim: =big, from: x}}\n" for i in range(2_000)), _BIG)),
    "includes without end": ("NS213", lambda: spec("  a: relu\n",
        f"include: [{','.join(['a.yaml'] * 40_000)}]\n")),
}  # fmt: skip

# Large, and right
DEEP: Mapping[str, Callable[[], str]] = {
    "layers of an LSTM": lambda: spec("  a: {module: LSTM, hidden_size: 8, num_layers: 64}\n"
        "  b: =a[0]\n", inputs="{x: [N, 7, 8]}"),
    "widths": lambda: spec("".join(
        f"  c{i}: {{module: Conv2d, out_channels: {64 + i}, kernel_size: 3, padding: 1}}\n"
        f"  b{i}: BatchNorm2d\n  r{i}: {{act: relu}}\n" for i in range(150)),
        inputs="{x: [N, 3, 224, 224]}"),
}  # fmt: skip


# Files


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder with a spec in it, `main.yaml`, and a secret beside the folder."""

    path: Path

    @property
    def main(self) -> Path:
        return self.path / "main.yaml"

    def includes(self, name: str) -> Path:
        line = f"include: {json.dumps(name)}\n"
        self.main.write_text(spec("  a: {module: Linear, out_features: 4}\n", line))
        return self.main

    def has(self, name: str) -> Path:
        self.main.write_text(spec(f"  a: {{spec: {json.dumps(name)}}}\n"))
        return self.main


OUTSIDE = (
    "../secret.yaml", "a/../../secret.yaml", "/etc/passwd", "/dev/zero", "/proc/self/environ",
    "~/secret.yaml", "file:///etc/passwd", "http://localhost/a.yaml", "C:\\secret.yaml",
    "..\\secret.yaml", "\\\\host\\share", "link.yaml", "folder_link/secret.yaml", "a\0b.yaml",
    "fifo", "folder", ".", "", "main.yaml\n", "$HOME/a.yaml", "x" * 5_000, "*.yaml", "|id",
)  # fmt: skip


def make_folder(around: Path) -> Folder:
    """A folder with everything that a spec may try to get at, or to get out by."""
    folder = around / "specs"
    folder.mkdir()
    (around / "secret.yaml").write_text("netspec: 1\nblocks: {B: {layers: [ReLU]}}\n")
    (folder / "link.yaml").symlink_to(around / "secret.yaml")
    (folder / "folder_link").symlink_to(around)
    (folder / "folder").mkdir()
    os.mkfifo(folder / "fifo")
    for one, other in ("ab", "ba"):
        (folder / f"{one}.yaml").write_text(
            f"netspec: 1\ninclude: {other}.yaml\nblocks: {{{one.upper()}: {{layers: [ReLU]}}}}\n"
        )
    for i in range(40):  # each includes the next one twice, by two names
        (folder / f"d{i}.yaml").write_text(
            f"netspec: 1\ninclude: [d{i + 1}.yaml, ./d{i + 1}.yaml]\n"
            f"blocks: {{D{i}: {{layers: [ReLU]}}}}\n"
        )
    (folder / "d40.yaml").write_text("netspec: 1\nblocks: {D40: {layers: [ReLU]}}\n")
    return Folder(folder)


# Playing


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a spec, and what it took: processor seconds, bytes beyond those held before."""

    found: tuple[Diagnostic, ...]
    seconds: float
    held: int


def play(source: str | Path) -> tuple[Diagnostic, ...]:
    """All that is wrong with a text or a file; nothing, if it gives a model and its source."""
    try:
        given = netspec.loads(source) if isinstance(source, str) else source
        netspec.to_python(given)
        netspec.build(given, device="meta")
    except SpecError as error:
        return error.diagnostics
    return ()


def play_alone(make: Callable[[], str | Path]) -> Played:
    """The same in a process of its own, which may not take much, so that its peak can be told."""
    source = make()
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's threads, which do not run
        child = os.fork()
    if child == 0:
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(_played(source), pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(child, 0)
    assert data, f"it ended by {status}"
    played = pickle.loads(data)
    assert isinstance(played, Played), played
    return played


def play_in_time(make: Callable[[], str | Path], most: float = MOST_SECONDS) -> Played:
    """As `play_alone`; what takes too long is tried again, as other work may have slowed it."""
    played = play_alone(make)
    if played.seconds > most:
        before = slowness()
        played = play_alone(make)
        most *= max(before, slowness())
        assert played.seconds <= most, f"{played.seconds:.1f} s, and at most {most:.1f} s"
    return played


def _played(source: str | Path) -> Played | str:
    gc.freeze()  # what the tests before left behind is not to be searched for garbage
    os.environ.pop("NETSPEC_VERIFY", None)  # as a user plays it
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
    resource.setrlimit(resource.RLIMIT_AS, (_held("VmSize") + 2_000_000_000,) * 2)
    before, began = _held("VmRSS"), time.process_time()
    try:
        found = play(source)
    except BaseException as error:  # whatever it is, it is no SpecError
        return repr(error)
    return Played(found, time.process_time() - began, max(0, _held("VmHWM") - before))


def _held(what: str) -> int:
    status = Path("/proc/self/status").read_text()
    found = re.search(rf"{what}:\s+(\d+) kB", status)
    assert found is not None, f"Linux tells {what}"
    return int(found[1]) * 1024


# Below an audit hook

# What Python itself tells all the time, and what says nothing about the world outside.
_QUIET = ("object.", "sys._getframe", "builtins.id")  # fmt: skip


class Watch:
    """What happens that netspec may not do while it plays specs of `folders`.

    It may open the specs themselves and look whether a file is there, list a folder to offer a near
    name, parse an expression without running it, and compile and execute its own tree, whose code
    carries the spec's file name.
    """

    def __init__(self) -> None:
        self.on = False
        self.breaches: list[str] = []
        self.seen: set[str] = set()
        self.folders: tuple[str, ...] = ()
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[object, ...]) -> None:
        if self.on and not event.startswith(_QUIET):
            self.seen.add(event)
            if not self._is_allowed(event, args):
                self.breaches.append(f"{event} {args!r}"[:300])

    def _is_allowed(self, event: str, args: tuple[object, ...]) -> bool:
        if event in ("open", "os.listdir", "os.scandir", "pathlib.Path.glob"):
            path = os.path.realpath(str(args[0]))
            reads = event != "open" or not isinstance(args[1], str) or set(args[1]) <= set("rbt")
            return reads and path.startswith(self.folders)
        if event == "compile":  # `ast.parse` of an expression, or netspec's own tree
            tree = args[0]
            if isinstance(tree, ast.AST):
                return set(imported(tree)) <= OURS
            return args[1] == "<unknown>"
        if event == "exec":
            file = str(getattr(args[0], "co_filename", ""))
            return file.startswith(("<string> ", "<mapping> ", *self.folders))
        return False


def imported(tree: ast.AST) -> Iterator[str]:
    """The packages that a syntax tree imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def everything(folder: Folder) -> Iterator[str | Path]:
    """All hostile, harmless and good specs, one after the other."""
    yield from (*MARKED, *HARMLESS, *GOOD)
    yield from (make() for _, make in TEXTS.values())
    for name in OUTSIDE:
        yield folder.includes(name)
        yield folder.has(name)


def play_all(watch: Watch, sources: Iterable[str | Path], on: bool) -> None:
    caches.clear()
    for source in sources:
        watch.on = on
        try:
            play(source)
        finally:
            watch.on = False


def main(planted: bool) -> None:
    with tempfile.TemporaryDirectory() as around:
        folder = make_folder(Path(around))
        watch = Watch()
        models = (*find.model_folders(), CASES, folder.path)
        watch.folders = tuple(f"{os.path.realpath(path)}" for path in models)
        sources = (lambda: [spec("  a: relu\n")]) if planted else partial(everything, folder)
        before = set(sys.modules)
        play_all(watch, sources(), on=False)  # torch imports what it needs when it is first used
        print("imported", *sorted(set(sys.modules) - before), sep="\n  ")
        if planted:
            real = netspec.loads

            def loads(text: str) -> object:
                import wave  # noqa: F401

                os.system("true")
                open("/etc/hostname").close()
                exec("1", {})
                return real(text)

            netspec.loads = loads
        play_all(watch, sources(), on=True)
    print("seen", *sorted(watch.seen), sep="\n  ")
    print("breaches", *dict.fromkeys(watch.breaches), sep="\n  ")


if __name__ == "__main__":
    main("--plant" in sys.argv)
