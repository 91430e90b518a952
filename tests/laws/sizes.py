"""Random specs whose values depend on free sizes, with several letters; and sizes to run them at.

Each layer keeps the shape of what it takes and scales it by a number that is made of sizes: counts
of what `unbind`, `split` and `chunk` give, products, comparisons, conditions, items, ranges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from tests.laws.strategies import Draw

LETTERS = {"row": ("N", "T"), "sequence": ("N", "T", 4), "pair": ("N", "H", "W"), "image": ("N", 3, "H", "W")}  # fmt: skip
# Sizes that netspec does not try: one, small ones, odd ones, large ones.
OTHERS = (1, 2, 3, 4, 6, 8, 10, 31, 33, 50, 65, 97, 127, 150)
BATCHES = (1, 4, 6, 7, 11)
THRESHOLDS = (1, 2, 3, 5, 7, 10, 32, 50, 64, 70, 80, 96, 100, 130)


@dataclass(frozen=True)
class Sized:
    """A spec, and the shapes of its inputs at the sizes that netspec tries and at five others."""

    document: dict[str, Any]
    tried: tuple[tuple[int, ...], ...]
    others: tuple[tuple[tuple[int, ...], ...], ...]

    @staticmethod
    def tensors(shapes: tuple[tuple[int, ...], ...]) -> list[Tensor]:
        generator = torch.Generator().manual_seed(11)
        return [torch.randn(shape, generator=generator) for shape in shapes]


def number(draw: Draw, names: list[tuple[str, int]], depth: int = 0) -> str:
    """A number made of the sizes of these values (each with its rank), or of none."""
    way = draw(st.integers(0, 11 if depth < 3 else 5))
    if way < 6:
        return measured(draw, names)
    if way == 6:
        return str(draw(st.sampled_from((1, 2, 3, 0.5))))

    def inner() -> str:
        return number(draw, names, depth + 1)

    k = draw(st.sampled_from(THRESHOLDS))
    patterns = [
        "({a} + {b})", "({a} * {b})", "({a} - {b})", "({a} // {k})", "({a} % {k})", "max({a}, {k})",
        "min({a}, {k})", "({a} > {k})", "({a} == {b})", "(1 < {a} < {k})", "({a} in (64, 96, {k}))",
        "(not {a} > {k})", "({a} if {b} > {k} else 2)", "(1 if {a} > {k} else True)", "({a}, {b})[0]",
        "({a}, 3)[1]", "(({a}, 2) + (3, {b}))[-2]", "len(({a}, {b}))", "sum(({a}, {b}, {k}))",
        "({a} > {k} and {b} > 2)", "({a} > {k} or {b} < 9)", "(-{a})", "int({a} / {k})", "abs({a} - {k})",
        "(({a} is None) + {b})", "(2 if ({a}, {b}) is not None else {a})", "({a} ** 0.5)",
    ]  # fmt: skip
    return str(draw(st.sampled_from(patterns)).format(a=inner(), b=inner(), k=k))


def measured(draw: Draw, names: list[tuple[str, int]]) -> str:
    """A number that is read off a tensor."""
    x, rank = draw(st.sampled_from(names))
    d, k = draw(st.integers(0, rank - 1)), draw(st.sampled_from(THRESHOLDS))
    other = draw(st.sampled_from(names))[0]
    patterns = [
        "{x}.shape[{d}]", "{x}.shape[{d}]", "{x}.size({d})", "{x}.shape[-{r}]", "{x}.shape[{d}:][0]", "{x}.numel()",
        "len({x})", "{x}.ndim", "{x}.dim()", "len({x}.shape)", "len({x}.shape[{d}:])", "sum({x}.shape)",
        "max({x}.shape)", "len({x}.unbind({d}))", "len({x}.chunk({k}, {d}))", "len({x}.split({k}, {d}))",
        "len(chunk({x}, {k}, {d}))", "len({x}.tensor_split({k}, {d}))", "len(range({x}.shape[{d}]))",
        "{x}.unbind({d})[-1].shape[0]", "{x}.split({k}, {d})[-1].shape[{d}]", "{x}.chunk(3, {d})[0].shape[{d}]",
        "{x}.narrow({d}, 0, 1).shape[{d}]", "{x}.transpose(0, {d})[:{k}].shape[0]",
        "{x}.transpose(0, {d})[-{k}:].shape[0]", "{x}.transpose(0, {d})[{k}:].shape[0]",
        "{x}.transpose(0, {d})[::{k}].shape[0]", "{x}.transpose(0, {d})[:{x}.shape[{d}] % {k}].shape[0]",
        "zeros({x}.shape[{d}] // {k}, 2).shape[0]", "zeros(max({x}.shape[{d}], {k}), 2).shape[0]",
        "len((1,) * {x}.shape[{d}])", "len({x}.shape * 2)", "({x} if {x}.shape[{d}] > {k} else {x}.sum(0)).ndim",
        "len({x}.unbind({d})[1:])", "len({x}.unbind({d}) + {other}.unbind(0))",
        "(1 if ({x} if {x}.shape[{d}] > {k} else None) is None else 2)", "{x}.flatten({d}).shape[-1]",
        "{x}.cumsum({d}).shape[{d}]",
        "len(range({k}, {x}.shape[{d}]))", "range({x}.shape[{d}] // {k}, {x}.shape[{d}])[0]",
        "{x}.shape[{x}.shape[{d}] % 2]", "({x}.shape[{d}] == {other}.shape[0])",
    ]  # fmt: skip
    return str(draw(st.sampled_from(patterns)).format(x=x, other=other, d=d, r=d + 1, k=k))


@st.composite
def sized_specs(draw: Draw) -> Sized:
    """A spec over one or two inputs, with a Linear, a block and a repeat now and then."""
    kind = draw(st.sampled_from(sorted(LETTERS)))
    shapes: dict[str, list[int | str]] = {"x": list(LETTERS[kind])}
    if draw(st.booleans()):
        shapes["y"] = list(
            draw(st.sampled_from([("M", "S"), ("N", "S", 2), ("M", 5), LETTERS[kind]]))
        )
    letters = list(
        dict.fromkeys(s for shape in shapes.values() for s in shape if isinstance(s, str))
    )
    names = [(name, len(shape)) for name, shape in shapes.items()]
    layers: dict[str, Any] = {}
    blocks: dict[str, Any] = {}
    previous, rank = "x", len(shapes["x"])
    for count in range(draw(st.integers(1, 3))):
        text = number(draw, names)
        name = f"v{count}"
        way = draw(st.integers(0, 6))
        if way == 6 and isinstance(shapes["x"][-1], int):
            layers[f"fc{count}"] = {"module": "Linear", "out_features": shapes["x"][-1]}
            layers[name] = f"=_ * {text}"
        elif way == 5:
            layers[name] = {"repeat": 2, "value": f"=_ * {text} + i"}
        elif way == 4:
            inner = number(draw, [("x", rank)])
            blocks[f"B{count}"] = {
                "args": {"v": None, "w": 1}, "layers": {"a": f"=x * v + w * {inner}", "b": "=a * v - w"},
            }  # fmt: skip
            layers[name] = {"block": f"B{count}", "from": previous, "v": f"={text}"}
        elif way == 3:
            layers[name] = {"from": previous, "layers": {"a": f"=_ * {text}", "b": {"act": "tanh"}}}
        elif way == 2:
            layers[name] = f"=({previous} * 2 if {text} > 3 else {previous}) + {text}"
        else:
            layers[name] = f"={previous} * {text}"
        previous = name
        names.append((name, rank))
    if "y" in shapes:
        layers["last"] = f"={previous} + y.mean()"
    document: dict[str, Any] = {"netspec": 1, "inputs": shapes, "layers": layers}
    if blocks:
        document["blocks"] = blocks
    picked = []
    for _ in range(5):
        sizes = {
            letter: draw(st.sampled_from(BATCHES if letter in "NM" else OTHERS))
            for letter in letters
        }
        picked.append(_shapes(shapes, sizes))
    first = {"N": 2, "M": 5, "T": 64, "H": 64, "W": 96, "S": 80}
    return Sized(document, _shapes(shapes, first), tuple(picked))


def _shapes(
    declared: dict[str, list[int | str]], sizes: dict[str, int]
) -> tuple[tuple[int, ...], ...]:
    return tuple(
        tuple(sizes[size] if isinstance(size, str) else size for size in shape)
        for shape in declared.values()
    )
