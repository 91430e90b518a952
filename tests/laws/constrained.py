"""Random specs that take some sizes only, and read numbers off their values.

They have windows, strides, skips over a pooling, tables of so many rows: what is refused at most of
the sizes at which netspec looks, so that little is left of those that show what follows a size.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.laws.sizes import Sized
from tests.laws.strategies import Draw

SEQUENCE: tuple[int | str, ...] = ("N", "T", 4)
IMAGE: tuple[int | str, ...] = ("N", 3, "H", "W")
FACTORS = (2, 3, 4, 5, 7, 8)
ENDS = (1, 5, 20, 32, 50, 60, 64, 70, 90, 96, 100)
SIZES = (
    1, 2, 3, 4, 5, 7, 8, 10, 12, 14, 15, 16, 20, 21, 24, 28, 30, 32, 33, 35, 40, 42, 48, 50, 56, 60, 63, 64,
    65, 70, 77, 80, 84, 90, 96, 97, 100, 105, 112, 120, 126, 127, 128, 140, 168, 210, 240,
)  # fmt: skip
FAR = (420, 840)

OF_SEQUENCES = [
    "_.reshape(_.shape[0], _.shape[1] // {k}, {k}, 4).mean(2)", "_.reshape(_.shape[0], {k}, _.shape[1] // {k}, 4).sum(1)",
    "_.reshape(_.shape[0], -1, {k}, 4).mean(2)", "_.unflatten(1, (-1, {k})).mean(2)", "cat([_, _], 1)",
    "avg_pool1d(_.transpose(1, 2), {k}).transpose(1, 2)", "_ + cat([_[:, :{m}], _[:, {m}:]], 1)", "_.repeat(1, {k}, 1)",
    "_ + zeros(1, {m} + 30, 4)[:, :_.shape[1]]", "_[:, :_.shape[1] // {k} * {k}]", "_.chunk({k}, 1)[0]",
    "_.split({m}, 1)[-1]", "_.split({m}, 1)[0]", "pad(_, (0, 0, 0, ({k} - _.shape[1] % {k}) % {k}))",
    "pad(_, (0, 0, 0, max(0, {m} - _.shape[1])))", "_[:, :{a} * {b}]", "_[:, :{a} * {b} * {a} * {b}]", "_[:, ::{m}]",
    "_[:, -{m}:]", "_[:, ::{a} ** {b}]", "_[:, {m}:]", "_.unfold(1, {k}, 1).mean(-1)", "_.unfold(1, {k}, {k}).mean(-1)",
]  # fmt: skip
OF_IMAGES = [
    "avg_pool2d(_, 2)", "_ + interpolate(avg_pool2d(_, {k}), scale_factor={k}.0)", "_[:, :, :{m}, :{m}]", "_ + _.flip(2)",
    "_.reshape(_.shape[0], 3, _.shape[2] // {k}, {k}, _.shape[3]).mean(3)", "_ + zeros(1, 3, {m} + 30, 1)[:, :, :_.shape[2]]",
    "pixel_unshuffle(_, 2).reshape(_.shape[0], 3, 4, _.shape[2] // 2, -1).mean(2)", "adaptive_avg_pool2d(_, ({m}, {k}))",
    "adaptive_avg_pool2d(_, (None, {k}))", "_ if _.shape[2] > {m} else avg_pool2d(_, 2)", "_[:, :, ::{m}]",
    "_[:, :, :{a} * {b} * {a} * {b}]",
]  # fmt: skip
MEASURES = [
    "{x}.shape[{d}]", "{x}.shape[{d}]", "len({x}.unbind({d}))", "len({x}.chunk({k}, {d}))", "len({x}.split({m}, {d}))",
    "{x}.numel()", "({x}.shape[{d}] > {m})", "({x}.shape[{d}] == {m})", "len({x}.shape)", "{x}.flatten(1).shape[1]",
    "(1 if {x}.shape[{d}] % {m} == 0 else 2)", "min({x}.shape)", "sum({x}.shape[1:])",
]  # fmt: skip


def _filled(draw: Draw, patterns: list[str], x: str = "_", rank: int = 3) -> str:
    numbers = {"k": FACTORS, "m": ENDS, "a": (2, 3, 7, 10), "b": (3, 7, 9, 11), "d": range(rank)}
    text = draw(st.sampled_from(patterns))
    given = {k: draw(st.sampled_from(v)) for k, v in numbers.items() if f"{{{k}}}" in text}
    return str(text.format(x=x, **given))


@st.composite
def constrained_specs(draw: Draw) -> Sized:
    """Up to three steps, of which a `when`, a `repeat` or a parameter may ask for a number of one
    before, then values that are scaled by such numbers; and twelve sizes."""
    shape = draw(st.sampled_from((SEQUENCE, IMAGE)))
    rank = len(shape)
    layers: dict[str, Any] = {}
    names = ["x"]

    def measured() -> str:
        return _filled(draw, MEASURES, draw(st.sampled_from(names)), rank)

    for count in range(draw(st.integers(1, 3))):
        name, way = f"s{count}", draw(st.integers(0, 39))
        if way == 0 and shape is IMAGE:
            kernel = draw(st.sampled_from((1, 3, 5)))
            layers[name] = {
                "module": "Conv2d",
                "out_channels": 3,
                "kernel_size": kernel,
                "stride": 2,
            }
        elif way == 0:
            layers[name] = {"module": "Linear", "out_features": 4}
        elif way == 1:
            layers[name] = {"when": f"={measured()} > 3", "value": "=_ * 3"}
        elif way == 2:
            layers[name] = {"repeat": f"={measured()} % 4", "value": "=_ + i + 1"}
        elif way == 3:
            layers[f"p{count}"] = {"param": [f"={measured()}"], "init": "ones_"}
            layers[name] = f"=_ * p{count}.sum()"
        else:
            layers[name] = f"={_filled(draw, OF_SEQUENCES if shape is SEQUENCE else OF_IMAGES)}"
        names.append(name)
    for count in range(draw(st.integers(1, 2))):
        layers[f"v{count}"] = f"=_ * {measured()}"
    if draw(st.integers(0, 7)) == 0:
        layers["flat"] = draw(st.sampled_from(("=_.flatten(1)", "=_.mean(1)")))
        layers["fc"] = {"module": "Linear", "out_features": 2}
    document = {"netspec": 1, "inputs": {"x": list(shape)}, "layers": layers}
    letters = [size for size in shape if isinstance(size, str)]
    pool = SIZES + FAR if shape is SEQUENCE else SIZES

    def some_sizes() -> tuple[tuple[int, ...], ...]:
        sizes = {letter: draw(st.sampled_from(pool)) for letter in letters}
        sizes["N"] = draw(st.sampled_from((1, 2, 3, 4, 6)))
        return (tuple([sizes[s] if isinstance(s, str) else s for s in shape]),)

    first = {"N": 2, "T": 64, "H": 64, "W": 96}
    tried = (tuple([first[s] if isinstance(s, str) else s for s in shape]),)
    return Sized(document, tried, tuple([some_sizes() for _ in range(12)]))
