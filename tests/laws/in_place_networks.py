"""Random networks full of places where overwriting is dangerous, as plain documents.

Few shapes, so that nearly any value fits any other: what is overwritten is then often read, viewed,
given to a part or returned, before or after.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

Document = dict[str, Any]
Layer = dict[str, Any] | str
Size = int | str
Shape = tuple[Size, ...]  # without the batch; a letter or `s7` is a size that is not known

SHAPES: tuple[Shape, ...] = (*[(4,)] * 3, (4, 4), (2, 4), ("T", 4), *[(2, 4, 4)] * 2, (4, 2, 2))
ACTS: tuple[Layer, ...] = (
    *({"act": name} for name in (
        "relu", "relu6", "elu", "selu", "celu", "silu", "mish", "hardswish", "hardsigmoid",
        "hardtanh", "rrelu", "leaky_relu", "gelu", "tanh", "sigmoid", "softplus",
    )),
    {"act": "leaky_relu", "negative_slope": -0.2},
    {"act": "threshold", "threshold": 0.1, "args": {"value": 0.3}},
    *[{"act": "relu"}] * 12, *[{"act": "silu"}] * 2, *[{"act": "relu6"}] * 2,
)  # fmt: skip
ASKED: tuple[Layer, ...] = (
    *[{"module": "ReLU", "inplace": True}] * 6, *[{"call": "relu_"}] * 3,
    *[{"call": "relu", "inplace": True}] * 3,
    {"module": "LeakyReLU", "negative_slope": -0.1, "inplace": True},
    {"module": "LeakyReLU", "inplace": True}, {"module": "SiLU", "inplace": True},
    {"module": "ELU", "inplace": True}, {"call": "elu_"}, {"module": "Hardtanh", "inplace": True},
    {"module": "RReLU", "inplace": True}, {"call": "hardswish", "inplace": True},
    {"call": "leaky_relu_", "negative_slope": 0.1}, {"call": "sigmoid_"}, {"call": "tanh_"},
    {"module": "Dropout", "p": 0.3, "inplace": True}, {"call": "dropout", "p": 0.3, "inplace": True},
    {"module": "AlphaDropout", "inplace": True}, {"call": "feature_alpha_dropout", "inplace": True},
    "={}.relu_()", "={}.mul_(2)", "={}.clamp_(min=0)", "={}.add_(1)", "=relu_({})", "={}.exp_()",
    "=relu({}, inplace=True)", "={}.masked_fill_({} > 0.5, 0.25)", "={}.neg_()", "={}.div_(2)",
    "={}.sub_({}.mean(-1, keepdim=True))", "={}.mul_({})", "={}.add_({})",
)  # fmt: skip
ASKED_OF_TWO = (
    "={0}.add_({1})", "={0}.mul_({1})", "={0}.add_({1}, alpha=2)", "={0}.sub_({1})",
    "={0}.relu_() + {1}", "={0} * {1}.mul_(2)", "=({0} + {1}).relu_()", "={0}.addcmul_({1}, {0})",
)  # fmt: skip
ALIKE: tuple[Layer, ...] = (
    "=sigmoid({})", "=tanh({})", "=exp({})", "={} * 2", "={} + 1", "=softmax({}, -1)", "={} * {}",
    "={}.square()", "=dropout({}, 0.3)", "={} * 2 if training else {}", "=-{}", "=relu({})",
    "={}.clamp(min=0)", "={}.sqrt()", "={}.abs()", "=where({} > 0, {}, -{})", "={}.cumsum(1)",
    "={}.mean(1, keepdim=True).expand_as({})", "={} - {}.mean()", "={} * {}.sigmoid()",
    "={} @ {}.transpose(-1, -2) @ {}", "={}.flip(1)", "={}.sum(1, keepdim=True) + {}",
    {"module": "Dropout", "p": 0.3}, {"call": "dropout", "p": 0.3}, "Identity", "LayerNorm",
    {"call": "softmax", "dim": 1}, "Tanh", "Sigmoid",
)  # fmt: skip
VIEWS: tuple[Layer, ...] = (
    "={}[:]", "={}.view_as({})", "={}.detach()", "={}.contiguous()", "={}.reshape({}.shape)",
    "={}.transpose(0, 1).transpose(0, 1)", "={}.transpose(0, 1).contiguous().transpose(0, 1)",
    "={}.unsqueeze(1).squeeze(1)", "={}.expand_as({})", "={}.to(float32)", "={}.view({}.shape)",
    "={}.transpose(0, 1).flatten().reshape({}.shape)", "={}.flatten(1).view_as({})",
    "={}.unbind(0)[0].expand_as({})", "=({} if training else {}.clone())", "={}.type_as({})",
    "={}.swapaxes(0, -1).contiguous().swapaxes(0, -1)", "={}.float()", "={}.movedim(1, -1).contiguous().movedim(-1, 1)",
)  # fmt: skip
OF_TWO = (
    "={} + {}", "={} + {}", "={} + {}", "={} * {}", "={} - {}", "=maximum({}, {})",
    "={} * sigmoid({})", "=where({} > 0, {}, 0.0)", "=stack([{}, {}], 1)[:, 0]",
    "=stack([{}, {}], 1).sum(1)",
)  # fmt: skip


@dataclass(eq=False)
class Value:
    """A value that a name stands for; its shape is that of one of the batch."""

    name: str
    shape: Shape
    scope: Scope


@dataclass
class Plan:
    """The document under construction; `asked` is how many calls may still ask to overwrite."""

    random: Random
    asked: int
    left: int
    blocks: dict[str, Any] = field(default_factory=dict)
    count: int = 0

    def chance(self, percent: int) -> bool:
        return self.random.randrange(100) < percent

    def pick(self, options: Sequence[Any]) -> Any:
        return self.random.choice(options)

    def fresh(self, base: str) -> str:
        self.count += 1
        return f"{base}{self.count}"


@dataclass(eq=False)
class Scope:
    """One `layers:` under construction."""

    plan: Plan
    depth: int
    outer: Scope | None = None
    layers: dict[str, Layer] = field(default_factory=dict)
    values: list[Value] = field(default_factory=list)
    unread: list[Value] = field(default_factory=list)
    modules: list[tuple[str, Shape | None, Shape | None]] = field(default_factory=list)
    taps: list[str] = field(default_factory=list)

    def visible(self) -> list[Value]:
        return [*self.values, *(self.outer.visible() if self.outer else [])]

    def callable(self) -> list[tuple[str, Shape | None, Shape | None]]:
        return [*self.modules, *(self.outer.callable() if self.outer else [])]

    def take(self) -> Value:
        """Mostly the last value; often enough one that something else has read, or will read."""
        if self.values and self.plan.chance(60):
            return self.values[-1]
        return self.plan.pick(self.visible())  # type: ignore[no-any-return]

    def like(self, value: Value) -> Value:
        same = [other for other in self.visible() if other.shape == value.shape]
        return self.plan.pick(same)  # type: ignore[no-any-return]

    def read(self, value: Value) -> str:
        if value in value.scope.unread:
            value.scope.unread.remove(value)
        return value.name

    def give(self, base: str, layer: Layer, shape: Shape) -> Value:
        """A layer with a value."""
        self.plan.left -= 1
        value = Value(self.plan.fresh(base), shape, self)
        self.layers[value.name] = layer
        self.values.append(value)
        self.unread.append(value)
        return value

    def after(self, base: str, layer: Layer, value: Value, shape: Shape | None = None) -> Value:
        """A layer on one value; `{}` in an expression is its name."""
        name = self.read(value)
        if isinstance(layer, str) and layer.startswith("="):
            layer = layer.replace("{}", name)
        else:
            layer = {"from": name, **({"module": layer} if isinstance(layer, str) else layer)}
        return self.give(base, layer, value.shape if shape is None else shape)

    def grow(self, count: int) -> None:
        for _ in range(count):
            if self.plan.left <= 0:
                break
            add = self.plan.pick(OPERATIONS)
            add(self, self.take())

    def close(self) -> None:
        """Has what nobody read be read, by the last value: a part gives one value."""
        left = [v for v in self.unread if v is not self.values[-1]]
        last = self.values[-1]
        if left or last not in self.unread:
            means = [f"{self.read(v)}.mean()" for v in left]
            text = " + ".join([self.read(last), *means]) if means else f"{last.name} * 1"
            self.give("sum", f"={text}", last.shape)


Add = Callable[[Scope, Value], None]
OPERATIONS: list[Add] = []


def operation(weight: int) -> Callable[[Add], Add]:
    def note(add: Add) -> Add:
        OPERATIONS.extend([add] * weight)
        return add

    return note


def known(shape: Shape) -> bool:
    return all(isinstance(size, int) for size in shape)


# The candidates


@operation(14)
def act(scope: Scope, value: Value) -> None:
    layer = dict(scope.plan.pick(ACTS))
    if scope.plan.chance(8):
        layer["when"] = "=training"
    made = scope.after("act", layer, value)
    if "when" not in layer:
        scope.modules.append((made.name, None, None))
    read_before_or_after(scope, value, made)


@operation(6)
def asked(scope: Scope, value: Value) -> None:
    if scope.plan.asked <= 0:
        act(scope, value)
        return
    scope.plan.asked -= 1
    if scope.plan.chance(30):
        pair = [scope.read(value), scope.read(scope.like(value))]
        made = scope.give("over", scope.plan.pick(ASKED_OF_TWO).format(*pair), value.shape)
    else:
        made = scope.after("over", scope.plan.pick(ASKED), value)
    read_before_or_after(scope, value, made)


def read_before_or_after(scope: Scope, value: Value, made: Value) -> None:
    if scope.plan.chance(25):
        pair = [scope.read(value), scope.read(made)]
        if scope.plan.chance(50):
            pair.reverse()
        scope.give("mix", scope.plan.pick(OF_TWO).replace("{}", "{0}", 1).replace("{}", "{1}")
                   .format(*pair), made.shape)  # fmt: skip


@operation(8)
def computed(scope: Scope, value: Value) -> None:
    """A candidate on a value that was just made, as in most networks."""
    between = [linear, convolution, norm, alike, two]
    before = len(scope.values)
    scope.plan.pick(between)(scope, value)
    if len(scope.values) > before:
        scope.plan.pick([act, act, asked])(scope, scope.values[-1])


# What comes between


@operation(5)
def linear(scope: Scope, value: Value) -> None:
    if not isinstance(value.shape[-1], int):
        return
    width = scope.plan.pick([4, 4, 2])
    layer: dict[str, Any] = {"module": "Linear", "out_features": width}
    if scope.plan.chance(10):
        layer["freeze"] = True
    made = scope.after("fc", layer, value, (*value.shape[:-1], width))
    scope.modules.append((made.name, value.shape, made.shape))


@operation(4)
def convolution(scope: Scope, value: Value) -> None:
    shape = value.shape
    if len(shape) != 3 or not known(shape):
        linear(scope, value)
        return
    if scope.plan.chance(40):
        scope.after("norm", "BatchNorm2d", value)
        return
    layer = {"module": "Conv2d", "out_channels": shape[0], "kernel_size": 3, "padding": 1}
    made = scope.after("conv", layer, value)
    scope.modules.append((made.name, shape, shape))


@operation(2)
def norm(scope: Scope, value: Value) -> None:
    batch = len(value.shape) == 1 or (len(value.shape) == 2 and isinstance(value.shape[0], int))
    if isinstance(value.shape[-1], int):
        scope.after("norm", scope.plan.pick(["LayerNorm", "BatchNorm1d" if batch else "LayerNorm"]),
                    value)  # fmt: skip


@operation(2)
def pool(scope: Scope, value: Value) -> None:
    shape = value.shape
    if len(shape) != 3 or not known(shape):
        return
    half = min(shape[1:]) > 1  # type: ignore[type-var]
    options: list[tuple[Layer, Shape]] = [
        ({"call": "avg_pool2d", "kernel_size": 3, "stride": 1, "padding": 1}, shape),
        ({"call": "adaptive_avg_pool2d", "output_size": 2}, (shape[0], 2, 2)),
    ]
    if half:
        halved = (shape[0], *[size // 2 for size in shape[1:]])  # type: ignore[operator]
        options += [({"call": "max_pool2d", "kernel_size": 2}, halved)] * 2
    layer, out = scope.plan.pick(options)
    scope.after("pool", layer, value, out)


@operation(8)
def alike(scope: Scope, value: Value) -> None:
    layer = scope.plan.pick(ALIKE)
    if layer == "LayerNorm" and not isinstance(value.shape[-1], int):
        layer = "Tanh"
    if isinstance(layer, str) and "@" in layer and len(value.shape) < 2:
        layer = "={} * 3"
    scope.after("val", layer, value)


@operation(7)
def view(scope: Scope, value: Value) -> None:
    scope.after("view", scope.plan.pick(VIEWS), value)


@operation(6)
def part(scope: Scope, value: Value) -> None:
    """Slices and items along dimension 1, one or both halves."""
    first = value.shape[0]
    half: Size = first // 2 if isinstance(first, int) else scope.plan.fresh("s")
    name = scope.read(value)
    if isinstance(first, int) and first % 2:
        scope.give("part", f"={name}[:, :1]", (1, *value.shape[1:]))
        return
    rest = value.shape[1:]
    cut = half if isinstance(half, int) else 2
    ways: list[list[str]] = [
        [f"={name}[:, :{cut}]", f"={name}[:, {cut}:]"], [f"={name}[:, ::2]", f"={name}[:, 1::2]"],
        [f"=chunk({name}, 2, 1)[0]", f"={name}.chunk(2, 1)[1]"],
        [f"={name}[:, :{cut}]", f"={name}[:, {cut - 1}:-1]"],
        [f"={name}[:, 1::3]", f"={name}[:, ::2]"],
        [f"={name}[:, :6]", f"={name}[:, 5:]"],
    ]  # fmt: skip
    texts = scope.plan.pick(ways[:3] if isinstance(first, int) else ways)
    if isinstance(first, int) and scope.plan.chance(30):
        tuple_name = scope.plan.fresh("pair")
        split = {"call": "split", "split_size_or_sections": half}
        layer = scope.plan.pick([{"call": "chunk", "chunks": 2}, split])
        scope.layers[tuple_name] = {"from": name, "dim": 1, **layer}
        texts = [f"={tuple_name}[0]", f"={tuple_name}[1]"]
        for text in texts:
            scope.give("part", text, (half, *rest))
        return
    for text in texts if scope.plan.chance(60) else texts[:1]:
        size = half if isinstance(first, int) else scope.plan.fresh("s")
        scope.give("part", text, (size, *rest))


@operation(7)
def several(scope: Scope, value: Value) -> None:
    """Views that one call gives, one of them, or what they are views of, overwritten."""
    first = value.shape[0]
    if not isinstance(first, int) or first % 2:
        return
    name = scope.read(scope.after("val", "={} * 2", value))
    scope.values.pop()
    half = (first // 2, *value.shape[1:])
    pair = scope.plan.fresh("pair")
    scope.layers[pair] = {"from": name, "call": "chunk", "chunks": 2, "dim": 1}
    parts = [scope.give("part", f"={pair}[{k}]", half) for k in range(2)]
    whole = Value(name, value.shape, scope)
    over = parts[0] if scope.plan.chance(50) else whole
    if over is whole and scope.plan.chance(50):
        over = scope.give("part", f"={name}[:, :{half[0]}]", half)
    for part in parts:
        if scope.plan.chance(50):
            scope.after("val", "=tanh({})", part)
    scope.plan.pick([act, asked])(scope, over)


@operation(2)
def rows(scope: Scope, value: Value) -> None:
    """Parts of the batch: where they overlap depends on its size."""
    name = scope.read(value)
    first, second = scope.plan.pick([("[:6]", "[5:]"), ("[1::3]", "[::2]"), ("[:1]", "[1:]")])
    layer = scope.plan.pick(ACTS)
    if scope.plan.asked > 0 and scope.plan.chance(40):
        scope.plan.asked -= 1
        layer = {"call": "relu_"}
    part, over = scope.plan.fresh("rows"), scope.plan.fresh("act")
    scope.layers[part] = f"={name}{first}"
    scope.layers[over] = {"from": part, **layer}
    other = scope.plan.pick([f"{name}{second}.sum()", f"{name}{second}.exp().sum()", "0.5"])
    scope.give("mix", f"={over}.sum(0, keepdim=True) * {other} + {over}.mean()", value.shape)
    scope.values.pop()  # its batch is one
    left = scope.unread.pop()
    scope.after("mix", f"=tanh({{}}) + {left.name}", value)


@operation(3)
def reshaped(scope: Scope, value: Value) -> None:
    shape = value.shape
    name = scope.read(value)
    if len(shape) == 1:
        if shape == (4,):
            text = scope.plan.pick(["={}.view({}.shape[0], 2, 2)", "={}.unflatten(1, (2, 2))"])
            scope.give("shaped", text.replace("{}", name), (2, 2))
        else:
            text = scope.plan.pick(["={}.unsqueeze(2).expand(-1, -1, 4)", "={}.unsqueeze(2)"])
            scope.give("shaped", text.replace("{}", name), (*shape, 4 if "4" in text else 1))
        return
    turned = (shape[1], shape[0], *shape[2:])
    if not known(shape) or scope.plan.chance(40):
        text = scope.plan.pick(["={}.transpose(1, 2)", "={}.transpose(1, 2).contiguous()"])
        scope.give("turned", text.replace("{}", name), turned)
        return
    count = 1
    for size in shape:
        count *= size  # type: ignore[operator]
    texts = ["={}.flatten(1)", "={}.reshape({}.shape[0], -1)", "={}.view({}.shape[0], -1)"]
    turns = ["={}.transpose(1, 2).flatten(1)", "={}.transpose(1, 2).reshape({}.shape[0], -1)"]
    text = scope.plan.pick(texts[:2] + turns)
    scope.give("flat", text.replace("{}", name), (count,))


@operation(2)
def reduced(scope: Scope, value: Value) -> None:
    if len(value.shape) > 1:
        text = scope.plan.pick(["={}[:, 0]", "={}.mean(1)", "={}.select(1, 0)", "={}.unbind(1)[0]"])
        scope.after("less", text, value, value.shape[1:])


@operation(7)
def two(scope: Scope, value: Value) -> None:
    other = scope.like(value)
    pattern = scope.plan.pick(OF_TWO)
    pair = [scope.read(value), scope.read(other)]
    filled = pattern.replace("{}", "{0}", 1).replace("{}", "{1}").format(*pair)
    scope.give("sum", filled, value.shape)


@operation(2)
def joined(scope: Scope, value: Value) -> None:
    size = value.shape[0]
    twice = size * 2 if isinstance(size, int) else scope.plan.fresh("s")
    if isinstance(size, int) and size > 4:
        return
    names = [scope.read(value), scope.read(scope.like(value))]
    scope.give("cat", {"call": "cat", "from": names, "dim": 1}, (twice, *value.shape[1:]))


@operation(4)
def state(scope: Scope, value: Value) -> None:
    """A parameter or a buffer, handed to a call, to an activation, or to an overwriting one."""
    if not isinstance(value.shape[-1], int):
        return
    plan = scope.plan
    kind = plan.pick(["param", "buffer"])
    name = plan.fresh("w")
    scope.layers[name] = {kind: [value.shape[-1]], "init": "normal_"}
    held = name
    if plan.chance(50):
        layer = dict(plan.pick(ACTS))
        if plan.asked > 0 and plan.chance(50):
            plan.asked -= 1
            layer = dict(plan.pick([a for a in ASKED if isinstance(a, dict)][:12]))
        held = plan.fresh("held")
        before = f"={name}" if plan.chance(50) else plan.pick(["={}[:]", "={}.view(-1)", "={} * 1"])
        scope.layers[held] = {"from": before.replace("{}", name), **layer}
    text = plan.pick(["={} * {w}", "={} + {w}", "={} + {w}.expand_as({})"])
    scope.after("state", text.replace("{w}", held), value)
    if plan.chance(25):
        shown = scope.after("state", f"=({name}.expand_as({{}}))", value)
        act(scope, shown)


@operation(4)
def shared(scope: Scope, value: Value) -> None:
    """A module called again: by `use`, or in an expression."""
    fitting = [m for m in scope.callable() if m[1] in (None, value.shape)]
    if not fitting:
        return
    name, _, out = scope.plan.pick(fitting)
    shape = value.shape if out is None else out
    if scope.plan.chance(50):
        scope.after("again", {"use": name}, value, shape)
    else:
        inner = scope.plan.pick(["{}", "relu({})", "{} * 2", "{}[:]"])
        scope.after("again", f"={name}({inner})", value, shape)


# Parts


@operation(5)
def container(scope: Scope, value: Value) -> None:
    if scope.depth >= 2:
        return
    if scope.plan.chance(40):
        numbered(scope, value)
        return
    inner = Scope(scope.plan, scope.depth + 1, scope)
    begin(inner, value)
    inner.grow(scope.plan.pick([1, 2, 3]))
    inner.close()
    made = scope.after("nest", {"layers": inner.layers}, value, inner.values[-1].shape)
    if not scope.outer:
        scope.taps += [f"{made.name}.{v.name}" for v in inner.values]


def begin(inner: Scope, value: Value) -> None:
    """The first layer of a part: on what it is given, or on something computed from that."""
    if inner.plan.chance(60):
        text = inner.plan.pick(
            ["=tanh(_)", "=_ * 2", "=_ + 1", "=_[:]", "=_.mean(1, keepdim=True) * _"]
        )
        inner.give("in", text, value.shape)
        return
    made = inner.give("act", dict(inner.plan.pick(ACTS)), value.shape)
    inner.modules.append((made.name, None, None))


def numbered(scope: Scope, value: Value) -> None:
    """A chain of modules; its first may be given what others read."""
    plan = scope.plan
    modules = ["Tanh", {"module": "Dropout", "p": 0.3}, "Identity", "Sigmoid"]
    if isinstance(value.shape[-1], int):
        modules += ["LayerNorm", {"module": "Linear", "out_features": value.shape[-1]}] * 2
    layers: list[Layer] = []
    for _ in range(plan.pick([1, 2, 3])):
        if plan.asked > 0 and plan.chance(15):
            plan.asked -= 1
            layers.append({"module": "ReLU", "inplace": True})
        else:
            layers.append(plan.pick(ACTS) if plan.chance(50) else plan.pick(modules))
    layer: dict[str, Any] = {"layers": [full(each) for each in layers]}
    if plan.chance(30):
        layer["repeat"] = 2
    made = scope.after("chain", layer, value)
    if known(value.shape):
        scope.modules.append((made.name, value.shape, value.shape))


def full(layer: Layer) -> Layer:
    return dict(layer) if isinstance(layer, dict) else layer


@operation(5)
def block(scope: Scope, value: Value) -> None:
    """A block with one input or two, one output or two, once or twice."""
    if scope.depth >= 2:
        return
    plan = scope.plan
    name = plan.fresh("Block")
    inner = Scope(plan, scope.depth + 1)
    given = [value] if plan.chance(60) else [value, scope.like(value)]
    ports = [f"in{k}" for k in range(len(given))]
    inner.values = [Value(port, value.shape, inner) for port in ports]
    inner.unread = list(inner.values)
    inner.grow(plan.pick([1, 2, 3, 4]))
    if all(v.name in ports for v in inner.values):
        act(inner, inner.values[0])
    double = plan.chance(35)
    outs = [inner.values[-1]]
    if double:
        outs = [plan.pick(inner.values), outs[0]]
    inner.close()
    outs[-1] = inner.values[-1]
    body: dict[str, Any] = {"inputs": ports, "layers": inner.layers}
    body["outputs"] = [v.name for v in outs] if double else outs[0].name
    plan.blocks[name] = body
    layer: dict[str, Any] = {"block": name, "from": [scope.read(v) for v in given]}
    same = all(v.shape == value.shape for v in outs) and len(outs) in (1, len(given))
    if same and plan.chance(35):
        layer["repeat"] = 2
    if not double:
        made = scope.give("part", layer, outs[0].shape)
        if not scope.outer and "repeat" not in layer:
            scope.taps += [
                f"{made.name}.{key}"
                for key in (v.name for v in inner.values if v.name not in ports)
            ]
        return
    pair = plan.fresh("pair")
    scope.layers[pair] = layer
    for index, out in enumerate(outs):
        scope.give("item", f"={pair}[{index}]", out.shape)


@dataclass(frozen=True)
class Sizes:
    batch: int
    length: int  # what all other free sizes are


@dataclass(frozen=True)
class Network:
    """A document, and inputs for it."""

    document: Document

    def inputs(self, sizes: Sizes, seed: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(seed)
        found = []
        for declared in self.document["inputs"].values():
            shape = declared["shape"] if isinstance(declared, dict) else declared
            numbers = [sizes.length if isinstance(size, str) else size for size in shape[1:]]
            found.append(torch.randn(sizes.batch, *numbers, generator=generator) * 2)
        return found


def networks() -> st.SearchStrategy[Network]:
    """Hypothesis draws a number, and that the network: two numbers hardly ever give the same one."""
    return st.integers(0, 2**62).map(lambda number: network_of(Random(number)))


def network_of(random: Random) -> Network:
    plan = Plan(random, asked=random.choice([0, 0, 1, 1, 2]), left=14)
    scope = Scope(plan, 0)
    shape = plan.pick(SHAPES)
    names = ["x", "y"] if plan.chance(25) else ["x"]
    scope.values = [Value(name, shape, scope) for name in names]
    scope.unread = list(scope.values)
    if plan.chance(75):
        plan.pick([linear, convolution, alike, alike, two])(scope, scope.values[0])
    scope.grow(plan.pick([2, 3, 4, 5, 6, 7]))
    if not scope.layers:
        act(scope, scope.values[0])
    document: Document = {
        "netspec": 1, "name": "Net", "inputs": {name: ["N", *shape] for name in names},
        "blocks": plan.blocks, "layers": scope.layers, "outputs": outputs(scope),
    }  # fmt: skip
    return Network(document)


def outputs(scope: Scope) -> Any:
    """All that nothing has read; at times more values, inner ones, or others in each mode."""
    plan = scope.plan
    found = [value.name for value in scope.unread] or [scope.values[-1].name]
    if plan.chance(30):
        found.append(plan.pick(scope.values).name)
    if scope.taps and plan.chance(30):
        found.append(plan.pick(scope.taps))
    found = list(dict.fromkeys(found))
    if plan.chance(10):
        return {"train": found, "eval": [*found[1:], found[0]]}
    return found[0] if len(found) == 1 else found


def out_of_place(value: Any) -> Any:
    """A document with each call that asks to overwrite replaced by one that does not."""
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if key != "inplace"}
        return {
            key: item.removesuffix("_") if key == "call" else out_of_place(item)
            for key, item in kept.items()
        }
    if isinstance(value, list):
        return [out_of_place(item) for item in value]
    if isinstance(value, str) and value.startswith("="):
        return re.sub(r"([a-z])_\(", r"\1(", value).replace("inplace=True", "inplace=False")
    return value
