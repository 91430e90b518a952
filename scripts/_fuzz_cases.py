"""Random texts that are specs, nearly are, or are nothing at all; each is made from its number.

The targets: `bytes` (anything), `yaml` (trees over the language's own words), `mutants` (the
repository's specs, damaged), `expressions` (in every place where a spec may have one), `large`
(one small thing very often).
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # also where a test imports this
from _fuzz_expressions import NAMES, REFUSED, expression, number
from _fuzz_trees import KEYS, flow, layer, plain, tree

from netspec.ops import catalog

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("configs/model", "tests/cases/ok", "tests/cases/errors")
PIECES = (
    "{", "}", "[", "]", ":", ": ", ",", "- ", "#", " #", "&a ", "*a", "!", "!!python/object:os ",
    "|", ">", "'", '"', "%",
    "@", "`", "=", "\n", "\r", "\t", "\\", "é", "😀", "\u2028", "\x85", "\ufeff", "\x00",
    "\x1b[31m", "\u202e", "?", "~",
    "<<: ", "---", "...", "  ", "    ", "x", "1", "_", "netspec: 1\n", "layers:\n",
    "inputs: {x: [N, 4]}\n",
    '"\\x1b[2J"', '"\\u202e"', '"\\n"', '"\\ud800"', '"\\U00110000"', "%YAML 1.2\n", "%TAG ! a\n",
    "- - - - ", "? ? ", "[[[[",
)  # fmt: skip
WORD = re.compile(r"[A-Za-z_]\w+")
NUMBER = re.compile(r"-?\b\d+(?:\.\d+)?\b")
VALUE = re.compile(r"(?<=: )[^,{}\[\]#\n]+")


@dataclass(frozen=True)
class Case:
    """A text, and the folder of this repository beside whose files it is to lie; "" for none."""

    data: bytes
    folder: str = ""


def make(target: str, seed: int, number: int) -> Case:
    """The case of this number: the same one each time."""
    return TARGETS[target](random.Random(f"{target} {seed} {number}"))


@cache
def corpus() -> tuple[tuple[str, str], ...]:
    """The repository's specs, each with its folder."""
    files = [
        (folder, file) for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.yaml"))
    ]
    return tuple(
        (str(file.parent.relative_to(ROOT)), file.read_text(encoding="utf-8"))
        for _, file in files
        if file.stat().st_size < 20_000
    )


# Bytes


def any_bytes(rng: random.Random) -> Case:
    """Noise, pieces of YAML, something repeated often, or a spec with bytes flipped."""
    way = rng.randrange(6)
    length = int(rng.expovariate(1 / 60))
    if way == 0:
        return Case(rng.randbytes(length), "configs/model")
    if way == 1:
        return Case(bytes(rng.choices(range(32, 127), k=length)), "configs/model")
    if way == 2:
        text = "".join(rng.choices((*PIECES, *KEYS), k=length // 3))
    elif way == 3:
        text = rng.choice(PIECES) * rng.choice((2, 30, 70, 300)) + rng.choice(PIECES)
        text = rng.choice(("", "netspec: 1\nlayers: ", "a: ", "a: &a ")) + text
    elif way == 4:
        text = "".join(
            chr(rng.choice((rng.randrange(128), rng.randrange(0xD800)))) for _ in range(length)
        )
    else:
        data = bytearray(rng.choice(corpus())[1].encode())
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        return Case(bytes(data), "configs/model")
    coding = rng.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"))
    data = text.encode(coding, errors="surrogatepass" if coding[:3] == "utf" else "replace")
    return Case(data, "" if coding == "utf-8" else "configs/model")


# Expressions in their places


def expressions(rng: random.Random) -> Case:
    """An expression, in one of the places where a spec may have one."""
    text = json.dumps(f"={expression(rng, rng.choice((1, 2, 3, 4, 6)))}", ensure_ascii=False)
    shape = rng.choice(
        ("[N, 4]", "[N, 4]", "[N, 3, 8, 8]", "[N, T, 4]", "[4]", "[]", "[N, 0]", "[2, 3]", "[N, N]")
    )
    types = ("int64", "bool", "float16", "complex64", "uint8", "float64", "int64", "int64")
    linear = "module: Linear, in_features: 4, out_features: 4"
    head = (
        f"netspec: 1\nargs: {{n: 3, w: {rng.choice(('2', 'abc', '[1, 2]', 'null', text))}}}\n"
        f"inputs: {{x: {shape}, y: {shape}, z: {{shape: {shape}, dtype: {rng.choice(types)}}}}}\n"
        f"layers:\n  m: {{{linear}, declare: true, keep: true}}\n"
        f"  ms: {{as: list, keep: true, layers: [{{{linear}}}]}}\n"
    )
    body = rng.choice(PLACES).replace("@", text)
    if "outputs:" not in body and rng.random() < 0.95:
        body += "outputs: [a, x, y, z]\n"  # an input that nothing reads is a mistake
    return Case((head + body).encode(errors="surrogatepass"))


PLACES = (
    "  a: @\n", "  a: @\n", "  a: @\n", "  a: {value: @, from: y}\n",
    "  a: {value: @, repeat: 3}\n",
    "  a: {value: @, keep: true}\n  b: =x + y\n", "  a: {call: relu, from: @}\n",
    "  a: {call: add, other: @}\n",
    "  a: {call: cat, from: [x, @]}\n", "  c: {const: @}\n  a: =c\n",
    "  c: {buffer: @}\n  a: =x + c\n",
    "  c: {param: @}\n  a: =x + c\n", "  c: {param: [@, 2], init: zeros_, keep: true}\n  a: relu\n",
    "  a: {call: relu, when: @}\n", "  a: {call: relu, repeat: @}\n",
    "  a: {call: relu, repeat: {over: @, as: k}}\n",
    "  a: {module: ReLU, repeat: {n: 2, name: @}}\n", "  a: {module: Linear, out_features: @}\n",
    "  a: {module: Linear, out_features: 2, freeze: @}\n", "  a: {module: Dropout, p: @}\n",
    "  a: relu\noutputs: [x, y, z, @]\n",
    "  a: relu\noutputs: {train: [a, x, y, z], eval: @}\n", "  a: {use: m, from: @}\n",
    "  a: {call: dropout, training: @}\n",
    "  a: {module: MultiheadAttention, num_heads: 1, with: {attn_mask: @}, from: [_, _, _]}\n",
    "  a: {layers: [relu, @]}\n",
    "  a: {block: B, k: @}\nblocks: {B: {args: {k: 1}, layers: {v: =x * k}}}\n",
    "  a: {block: B, repeat: 2}\nblocks: {B: {layers: {v: @}}}\n",
)  # fmt: skip


# Mutants


def mutants(rng: random.Random) -> Case:
    """A spec of the repository after one to four small damages, or two of them in one."""
    folder, text = rng.choice(corpus())
    if rng.random() < 0.08:
        text = _spliced(rng, text, rng.choice(corpus())[1])
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        text = rng.choice(DAMAGES)(rng, text)
    data = bytearray(text.encode(errors="surrogatepass"))
    if data and rng.random() < 0.03:
        data[rng.randrange(len(data))] = rng.randrange(256)
    return Case(bytes(data), folder)


def _spliced(rng: random.Random, one: str, other: str) -> str:
    first, second = one.splitlines(keepends=True), other.splitlines(keepends=True)
    cut, onward = rng.randint(0, len(first)), rng.randint(0, len(second))
    if rng.random() < 0.5:
        return "".join(first[:cut] + second[onward:])
    return "".join(first[:cut] + second[onward : onward + rng.randint(1, 4)] + first[cut:])


def _lines(rng: random.Random, text: str) -> str:
    lines = text.split("\n")
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(5):
        case 0:
            del lines[at]
        case 1:
            lines.insert(other, lines[at])
        case 2:
            lines[at], lines[other] = lines[other], lines[at]
        case 3:
            lines[at] = rng.choice(("  ", "    ", " ", "\t", "- ")) + lines[at]
        case _:
            lines[at] = lines[at][rng.randint(1, 3) :]
    return "\n".join(lines)


def _replaced(rng: random.Random, text: str, pattern: re.Pattern[str], new: str) -> str:
    found = list(pattern.finditer(text))
    if not found:
        return text + new
    place = rng.choice(found)
    return text[: place.start()] + new + text[place.end() :]


def _other_number(rng: random.Random, text: str) -> str:
    return _replaced(rng, text, NUMBER, flow(rng, number(rng)))


def _other_word(rng: random.Random, text: str) -> str:
    words = rng.choice(
        (
            KEYS,
            NAMES,
            catalog.module_names(),
            catalog.function_names(),
            catalog.init_names(),
            WORD.findall(text) or NAMES,
        )
    )
    return _replaced(rng, text, WORD, rng.choice(words))


def _other_value(rng: random.Random, text: str) -> str:
    new = f"={expression(rng, 3)}" if rng.random() < 0.6 else plain(rng, 2)
    return _replaced(rng, text, VALUE, flow(rng, new))


def _wrapped(rng: random.Random, text: str) -> str:
    name = rng.choice((*catalog.function_names(), "x.", "-", "not "))
    return _replaced(rng, text, re.compile(r"(?<==)[\w.]+"), f"{name}(x)")


def _piece(rng: random.Random, text: str) -> str:
    at = rng.randint(0, len(text))
    return (
        text[:at]
        + rng.choice((*PIECES, "=", rng.choice(REFUSED)))
        + text[at + rng.choice((0, 0, 1, 5)) :]
    )


def _added_layer(rng: random.Random, text: str) -> str:
    new = f"  q{rng.randrange(9)}: {flow(rng, layer(rng, 1, WORD.findall(text) or NAMES))}\n"
    lines = text.splitlines(keepends=True)
    places = [k for k, line in enumerate(lines) if line.startswith("  ")] or [0]
    lines.insert(rng.choice(places), new)
    return "".join(lines)


DAMAGES: tuple[Callable[[random.Random, str], str], ...] = (
    _lines, _other_number, _other_number, _other_number, _other_word, _other_word, _other_value,
    _wrapped, _wrapped,
    _piece, _added_layer, _added_layer,
)  # fmt: skip


def large(rng: random.Random) -> Case:
    """One small thing so often that the text has up to a million bytes."""
    head = "netspec: 1, inputs: {x: [N, 4]}"
    names = ("a{}", "a{}b", "q" * rng.choice((1, 60, 300)) + "{}", "'a {}'", "{}")
    name = rng.choice(names)
    things = (
        "relu", "rellu", "{module: Linear, out_features: 4}", "{module: Linear, out_featuress: 4}",
        "0", "=x", "=x +", "{call: relu, from: x}",
        "{call: add, other: =b{}}", "{param: [2], init: zeros_}", "[]", "{layers: {a: relu}}",
        "{layers: [relu, {as: inline, layers: [relu]}]}",
        "{block: a{}}", "{block: b{}}", "{use: a1}", "'" + "y" * rng.choice((10, 900)) + "'",
        "{module: Linear, from: a{}, when: =training}", "{as: list, layers: [Tanh]}",
    )  # fmt: skip
    thing = rng.choice(things) if rng.random() < 0.8 else flow(rng, layer(rng, 1, ["a", "b"]))
    count = min(rng.choice((50, 300, 2000, 8000)), 800_000 // (len(name) + len(thing) + 4))
    many = ", ".join(f"{name}: {thing}".replace("{}", str(k)) for k in range(count))
    rest = rng.choice((
        f"layers: {{{many}}}", f"layers: {{{many}}}", f"layers: {{a: relu}}, blocks: {{{many}}}",
        f"layers: {{a: relu}}, args: {{{many}}}",
        f"layers: {{a: {{module: Linear, {many}}}}}", f"layers: {{a: relu}}, init: {{{many}}}",
        f"layers: {{a: relu}}, {many}",
        f"layers: {{a: relu}}, outputs: {{{many}}}", f"layers: {{a: {{layers: {{{many}}}}}}}",
        f"layers: {{a: {{layers: {{{many}}}, as: list}}}}",
        f"layers: {{a: relu, {many}}}, outputs: [a0, {many}]",
        f"layers: {{a: {{block: b, {many}}}}}, blocks: {{b: {{args: {{{many}}}, layers: [relu]}}}}",
    ))  # fmt: skip
    text = f"{{{head}, {rest}}}"
    return Case((text.replace(", ", ",\n  ") if rng.random() < 0.3 else text).encode())


def trees(rng: random.Random) -> Case:
    """A random document."""
    return Case(tree(rng).encode(errors="surrogatepass"))


TARGETS: dict[str, Callable[[random.Random], Case]] = {
    "bytes": any_bytes, "yaml": trees, "mutants": mutants, "expressions": expressions,
    "large": large,
}  # fmt: skip
