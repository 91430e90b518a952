"""Random specs that are valid, with inputs that they take; and texts that are nearly specs.

A spec is grown layer by layer, with the shape of every value known (sizes that are free, or that a
block does not know, are letters). What nothing has read by the end is read by the outputs.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
import yaml
from hypothesis import strategies as st
from torch import Tensor

Size = int | str
Shape = tuple[Size, ...]  # without the batch dimension, which every value has
Layer = dict[str, Any] | str
T = TypeVar("T")
Draw = Callable[[st.SearchStrategy[Any]], Any]

BATCH, FREE = 4, 5  # what the free sizes are when the model runs; facts are found at others
WIDTHS = (1, 2, 3, 4, 6, 8)
BUDGET = 26
ACTIVATIONS = (
    "relu", "tanh", "sigmoid", "gelu", "silu", "elu", "softplus", "hardtanh", "leaky_relu", "mish",
    "softsign", "selu", "celu", "relu6", "hardswish", "tanhshrink",
)  # fmt: skip
ELEMENTWISE = (
    "={} * 2", "=-{}", "=abs({})", "={}.tanh()", "={}.clamp(min=-1, max=0.5)", "={}.square()",
    "={} - {}.mean(dim=-1, keepdim=True)", "=where({} > 0, {}, -{})", "={} / 3 + 1", "=1 - {}",
    "=sigmoid({}) * {}", "={}.masked_fill({} > 0.5, 0.25)", "={}.softmax(-1)", "={}.cumsum(-1)",
    "={} * (2 ** 3 - 7)", "=tanh({}) if 1 < 2 else {}", "={} * sqrt(2)", "=round(2.6) * {}",
    "={}.exp().log1p()", "=({} >= 0) * {}", "=maximum({}, -{})", "=dropout({}, 0.25)",
    "={} * dropout({}, 0.25).ndim", "={} * 0.5 if training else {}", "=0.5 * {} + {}.sum() / {}.numel()", "={}.float()",
)  # fmt: skip
VIEWS_OF_ANY = (
    "={}.flip(-1)", "={}.roll(1, -1)", "={}.contiguous()", "={}[:]", "={}[..., :]",
    "={}.unsqueeze(1).squeeze(1)", "={}.transpose(0, 1).transpose(0, 1)", "={}.view_as({})",
    "={}.expand_as({})", "={}.movedim(0, 1).movedim(1, 0)", "={}.reshape({}.shape)",
)  # fmt: skip


@dataclass(eq=False)
class Value:
    """A value of the spec; without a name it is only what comes before (`_`)."""

    name: str | None
    shape: Shape
    scope: Scope
    hidden: bool = False  # a tuple, which only the item after it reads

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def last(self) -> Size:
        return self.shape[-1]

    @property
    def known(self) -> bool:
        return all(isinstance(size, int) for size in self.shape)

    @property
    def exists(self) -> bool:
        """Whether its layer has no `when`, or one that holds in some mode whatever the args are."""
        layer = self.scope.layers.get(self.name or "")
        return not isinstance(layer, dict) or layer.get("when") not in (False, "=1 > 2", "=flag")

    @property
    def output(self) -> str | None:
        """How `outputs` names it: a layer that may not exist as the value that passes through."""
        return self.name if self.exists else f"={self.name}"


@dataclass(eq=False)
class Registered:
    """A module that may be called again, and for what it was made."""

    name: str
    shape: Shape
    out: Shape
    linear: bool = False
    only_in: Scope | None = None  # it reads what is around it there


@dataclass(frozen=True)
class BlockInfo:
    """A block that was defined: its inputs' and outputs' shapes over letters, and its args."""

    name: str
    shape: Shape
    inputs: int
    out: Shape
    args: tuple[str, ...]
    needs: frozenset[Size]  # letters that have to be known: a module is made for them
    pair: bool = False


@dataclass
class Plan:
    """The document under construction."""

    draw: Draw
    blocks: dict[str, Any] = field(default_factory=dict)
    infos: list[BlockInfo] = field(default_factory=list)
    left: int = BUDGET

    def chance(self, percent: int) -> bool:
        return bool(self.draw(st.integers(0, 99)) >= 100 - percent)

    def pick(self, options: list[T] | tuple[T, ...]) -> T:
        return self.draw(st.sampled_from(options))  # type: ignore[no-any-return]

    def number(self, low: int, high: int) -> int:
        return int(self.draw(st.integers(low, high)))


@dataclass(eq=False)
class Scope:
    """One `layers:` under construction; `args` are those of the block (or spec) around."""

    plan: Plan
    args: dict[str, Any]
    listed: bool
    depth: int
    outer: Scope | None = None
    previous: Value = field(init=False)
    layers: dict[str, Layer] = field(default_factory=dict)
    values: list[Value] = field(default_factory=list)
    unread: list[Value] = field(default_factory=list)
    modules: list[Registered] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    needs: set[Size] = field(default_factory=set)
    read_outside: set[str] = field(default_factory=set)
    taken: set[str] = field(default_factory=set)
    only_modules: bool = True

    # Names and reading

    def chain(self) -> Iterator[Scope]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.outer

    def visible(self) -> list[Value]:
        found: dict[str, Value] = {}
        for scope in self.chain():
            for value in scope.values:
                if value.name is not None and not value.hidden:
                    found.setdefault(value.name, value)
        return [v for v in found.values() if v.scope is self or v.name not in self.layers]

    def visible_modules(self) -> list[Registered]:
        taken: set[str] = set()
        found = []
        for scope in self.chain():
            found += [m for m in scope.modules if m.name not in taken and m.only_in in (None, self)]
            taken |= scope.layers.keys()
        return found

    def read(self, value: Value) -> None:
        if value in value.scope.unread:
            value.scope.unread.remove(value)
        if value.name is not None:
            self.mention(value.name)

    def mention(self, name: str) -> None:
        """From here on, no scope between here and the name's own calls a layer by it."""
        for scope in self.chain():
            if name in scope.layers:
                break
            scope.read_outside.add(name)

    def text(self, value: Value) -> str:
        """How an expression names a value."""
        self.read(value)
        if value is self.previous and (value.name is None or self.plan.chance(50)):
            return "_"
        assert value.name is not None
        return value.name

    def fresh(self, base: str) -> str:
        number = 1
        taken = self.layers.keys() | self.read_outside | self.args.keys() | self.taken
        taken |= {value.name for value in self.values if value.name is not None}
        while f"{base}{number}" in taken:
            number += 1
        return f"{base}{number}"

    def similar(self, shape: Shape, than: Value) -> list[Value]:
        """Other values of the same shape."""
        return [v for v in self.visible() if v.shape == shape and v is not than]

    def item(self, index: int, shape: Shape) -> None:
        """The item of the tuple that came just before."""
        self.previous.hidden = True
        self.only_modules = False
        self.add("item", f"={self.text(self.previous)}[{index}]", shape)

    # Adding

    def add(self, base: str, layer: Layer, shape: Shape | None, reads: Value | None = None) -> str:
        """Adds a layer; `reads` is the value that it takes by `from`, or by standing after it."""
        plan = self.plan
        plan.left -= 1
        name = self.fresh(base)
        if reads is not None:
            self.read(reads)
            explicit = reads.name is not None and plan.chance(10)
            if reads is not self.previous or explicit:
                layer = {"from": reads.name, **full(layer)}
                self.only_modules = False
        kinds = full(layer).keys()
        self.only_modules = self.only_modules and "module" in kinds
        if shape is None:  # no value
            self.layers[name] = layer
            return name
        if plan.chance(4) and isinstance(layer, dict) and not self.listed:
            layer = {**layer, "keep": True}
        if plan.chance(4) and isinstance(layer, dict):
            layer = {**layer, "doc": "yes: no"}
        self.layers[name] = layer
        value = Value(None if self.listed else name, shape, self)
        self.previous = value
        self.values.append(value)
        if not isinstance(layer, dict) or "keep" not in layer:
            self.unread.append(value)
        return name

    def state(self, base: str, layer: Layer) -> str | None:
        """A layer that gives no value; it has to be in a mapping, to have a name."""
        return None if self.listed else self.add(base, layer, None)

    def number(self, value: int | float | bool) -> Any:
        """A number as such, or by way of an arg or of an expression."""
        plan = self.plan
        way = plan.number(0, 9)
        if way == 9:
            name = self.fresh("arg")
            self.args[name] = value
            return f"={name}"
        if way == 8 and type(value) is int:
            return f"={value + 1} - 1"
        return value

    def nested(self, value: Value, listed: bool) -> Scope:
        inner = Scope(self.plan, self.args, listed, self.depth + 1, self)
        inner.previous = Value(None, value.shape, inner)
        return inner

    def grow(self, count: int) -> None:
        """Adds about so many layers, each after the one before or on a branch."""
        for index in range(count):
            value = self.previous
            if index and not self.listed and self.plan.chance(22):
                value = self.plan.pick([value, *self.visible()])
            fitting = [add for fits, add in OPERATIONS if fits(self, value)]
            self.plan.pick(fitting)(self, value)
            if self.plan.left <= 0:
                break

    def close(self) -> None:
        """Reads what nothing has read."""
        left = [value for value in self.unread if value is not self.previous]
        if left:
            text = " + ".join(["_", *(f"{self.text(value)}.mean()" for value in left)])
            before = self.previous
            self.add("sum", f"={text}", before.shape, before)

    def body(self) -> Any:
        return list(self.layers.values()) if self.listed else self.layers


Fits = Callable[[Scope, Value], bool]
Add = Callable[[Scope, Value], None]
OPERATIONS: list[tuple[Fits, Add]] = []


def operation(fits: Fits, weight: int = 2) -> Callable[[Add], Add]:
    def note(add: Add) -> Add:
        OPERATIONS.extend([(fits, add)] * weight)
        return add

    return note


def always(scope: Scope, value: Value) -> bool:
    return True


def named(scope: Scope, value: Value) -> bool:
    return not scope.listed


def features(scope: Scope, value: Value) -> bool:
    return isinstance(value.last, int)


def deeper(scope: Scope, value: Value) -> bool:
    return scope.depth < 2 and scope.plan.left > 4


def rank(*ranks: int) -> Fits:
    return lambda scope, value: value.rank in ranks


def both(*tests: Fits) -> Fits:
    return lambda scope, value: all(test(scope, value) for test in tests)


def full(layer: Layer) -> dict[str, Any]:
    if isinstance(layer, dict):
        return layer
    if layer.startswith("="):
        return {"value": layer}
    return {"module" if layer[0].isupper() else "call": layer}


def expression(scope: Scope, pattern: str, value: Value) -> str:
    return pattern.replace("{}", scope.text(value))


# Modules


@operation(features, 4)
def linear(scope: Scope, value: Value) -> None:
    plan = scope.plan
    width = plan.pick(WIDTHS)
    layer: dict[str, Any] = {"module": "Linear", "out_features": scope.number(width)}
    if plan.chance(15):
        layer["in_features"] = value.last
    if plan.chance(25):
        layer["bias"] = False
    same = [
        m
        for m in scope.visible_modules()
        if m.linear and (m.shape[-1], m.out[-1]) == (value.last, width)
    ]
    if same and plan.chance(60):
        other = plan.pick(same).name
        scope.mention(other)
        layer["tie"] = {"weight": f"{other}.weight"}
        scope.only_modules = False
    elif plan.chance(10):
        call = plan.pick(["zeros_", {"normal_": {"std": 0.1}}, {"constant_": {"val": 0.5}}])
        layer["init"] = {"weight": call}
    if plan.chance(8):
        layer["freeze"] = True
    out = (*value.shape[:-1], width)
    name = scope.add("fc", layer, out, value)
    if not scope.listed:
        scope.modules.append(Registered(name, value.shape, out, True))


@operation(features, 2)
def norm(scope: Scope, value: Value) -> None:
    plan = scope.plan
    layer: Layer = "LayerNorm"
    if value.rank == 1 or (value.rank == 2 and isinstance(value.shape[0], int)):
        layer = plan.pick(["LayerNorm", "BatchNorm1d", {"module": "BatchNorm1d", "momentum": 0.3}])
    if value.rank == 3 and isinstance(value.shape[0], int):
        layer = plan.pick(["LayerNorm", "BatchNorm2d", {"module": "GroupNorm", "num_groups": 1}])
    name = scope.add("norm", layer, value.shape, value)
    if not scope.listed:
        scope.modules.append(Registered(name, value.shape, value.shape))


@operation(both(rank(3), lambda scope, value: isinstance(value.shape[0], int)), 8)
def convolution(scope: Scope, value: Value) -> None:
    plan = scope.plan
    channels, height, width = value.shape
    kernel = plan.pick([1, 3])
    layer: dict[str, Any] = {
        "module": "Conv2d",
        "out_channels": scope.number(out := plan.pick(WIDTHS)),
    }
    layer["kernel_size"] = scope.number(kernel)
    padded = (
        kernel == 1
        or plan.chance(70)
        or not all(isinstance(s, int) and s > 3 for s in (height, width))
    )
    if kernel == 3 and padded:
        layer["padding"] = 1
    if plan.chance(20):
        layer["bias"] = False
    sizes = (height, width)
    if not padded:
        sizes = (height - 2, width - 2)  # type: ignore[operator]
    elif value.known and plan.chance(20):
        layer["stride"] = 2
        sizes = tuple((size + 1) // 2 for size in sizes)  # type: ignore[operator, assignment]
    name = scope.add("conv", layer, (out, *sizes), value)
    if not scope.listed:
        scope.modules.append(Registered(name, value.shape, (out, *sizes)))


@operation(both(rank(3), lambda scope, value: value.known and min(value.shape[1:]) > 1), 3)  # type: ignore[type-var]
def pooling(scope: Scope, value: Value) -> None:
    channels, height, width = value.shape
    layer, half = scope.plan.pick([
        ({"call": "max_pool2d", "kernel_size": 2}, True),
        ({"call": "avg_pool2d", "kernel_size": [2, 2]}, True),
        ({"module": "MaxPool2d", "kernel_size": 2}, True),
        ({"module": "AvgPool2d", "kernel_size": 3, "stride": 1, "padding": 1}, False),
        ({"call": "max_pool2d", "kernel_size": 3, "stride": 1, "padding": 1}, False),
    ])  # fmt: skip
    sizes = (height // 2, width // 2) if half else (height, width)  # type: ignore[operator]
    scope.add("pool", layer, (channels, *sizes), value)


@operation(rank(3), 2)
def adaptive(scope: Scope, value: Value) -> None:
    layer = scope.plan.pick([
        {"module": "AdaptiveAvgPool2d", "output_size": 2},
        {"call": "adaptive_max_pool2d", "output_size": [2, 2]},
        {"call": "interpolate", "size": [2, 2]},
    ])  # fmt: skip
    scope.add("pool", layer, (value.shape[0], 2, 2), value)


@operation(both(rank(2), features), 2)
def recurrent(scope: Scope, value: Value) -> None:
    width = scope.plan.pick(WIDTHS)
    kind = scope.plan.pick(["GRU", "LSTM"])
    layer = {"module": kind, "hidden_size": scope.number(width), "batch_first": True}
    scope.add("rnn", layer, (value.shape[0], width), value)
    scope.item(0, (value.shape[0], width))


@operation(both(rank(2), features), 2)
def attention(scope: Scope, value: Value) -> None:
    plan = scope.plan
    text = "_" if value is scope.previous else value.name
    three = [f"={text}"] * 3
    scope.read(value)
    if plan.chance(50):
        heads = 2 if value.last % 2 == 0 else 1  # type: ignore[operator]
        layer = {
            "module": "MultiheadAttention", "from": three, "num_heads": heads, "dropout": 0.1,
            "batch_first": True, "with": {"need_weights": plan.chance(50)},
        }  # fmt: skip
        scope.add("attn", layer, value.shape)
        scope.item(0, value.shape)
        return
    call = {"call": "scaled_dot_product_attention", "from": three, "dropout_p": 0.2}
    scope.add("attn", {**call, "is_causal": plan.chance(50)}, value.shape)


@operation(always, 4)
def activation(scope: Scope, value: Value) -> None:
    plan = scope.plan
    layer: Layer = {"act": plan.pick(ACTIVATIONS)}
    way = plan.number(0, 9)
    if way == 9 and value.rank < 4:
        layer = {"act": "prelu", "args": {"init": 0.1}}
    elif way == 8:
        layer = {"act": "leaky_relu", "negative_slope": scope.number(0.2)}
    elif way == 7:
        layer = {"act": plan.pick(["softmax", "log_softmax"]), "dim": -1}
    elif way == 6:
        layer = plan.pick(["relu", "ReLU", "tanh", "Tanh", "sigmoid"])
    scope.add("act", layer, value.shape, value)


@operation(always)
def dropout(scope: Scope, value: Value) -> None:
    layer = scope.plan.pick([
        {"module": "Dropout", "p": 0.3}, {"call": "dropout", "p": 0.4}, "Dropout", "Identity",
        {"call": "dropout", "p": 0.4, "training": False},
    ])  # fmt: skip
    scope.add("drop", layer, value.shape, value)


@operation(both(named, features), 2)
def tied(scope: Scope, value: Value) -> None:
    """Two layers with one weight, one after the other or side by side."""
    plan = scope.plan
    first = scope.add("fc", {"module": "Linear", "out_features": value.last}, value.shape, value)
    second = {"module": "Linear", "out_features": value.last, "tie": {"weight": f"{first}.weight"}}
    scope.add(
        "fc",
        second,
        value.shape,
        plan.pick([scope.previous, value if value.name else scope.previous]),
    )


@operation(lambda scope, value: bool(outside(scope)), 10)
def outer(scope: Scope, value: Value) -> None:
    """A value from around the container that this is in."""
    other = scope.plan.pick(outside(scope))
    pattern = scope.plan.pick(["={} + {}.mean()", "={} * {}.sigmoid().sum()", "={} - {}.amax()"])
    scope.add("mixed", pattern.format(scope.text(value), scope.text(other)), value.shape)


def outside(scope: Scope) -> list[Value]:
    return [value for value in scope.visible() if value.scope is not scope]


# Expressions, views, branches


@operation(always, 3)
def elementwise(scope: Scope, value: Value) -> None:
    text = expression(scope, scope.plan.pick(ELEMENTWISE), value)
    scope.add("value", text if scope.plan.chance(50) else {"value": text}, value.shape)


@operation(lambda scope, value: bool(scope.similar(value.shape, value)), 14)
def residual(scope: Scope, value: Value) -> None:
    plan = scope.plan
    other = plan.pick(scope.similar(value.shape, value))
    pair = [scope.text(value), scope.text(other)]
    pattern = plan.pick(["={} + {}", "={} * {}.sigmoid()", "={} - {}", "=maximum({}, {})"])
    if plan.chance(25) and "_" not in pair:
        scope.add("sum", {"call": "add", "from": pair}, value.shape)
        return
    scope.add("sum", pattern.format(*pair), value.shape)


@operation(lambda scope, value: bool(scope.similar(value.shape, value)) and value.known, 6)
def joining(scope: Scope, value: Value) -> None:
    plan = scope.plan
    other = plan.pick(scope.similar(value.shape, value))
    one = scope.text(value)
    pair = [f"={one}" if one == "_" else one, other.name]
    scope.read(other)
    if plan.chance(30) and value.rank < 3:
        scope.add("stack", {"call": "stack", "from": pair, "dim": 1}, (2, *value.shape))
        return
    dim = plan.number(0, value.rank - 1)
    sizes = [2 * size if d == dim else size for d, size in enumerate(value.shape)]  # type: ignore[operator]
    if plan.chance(40):
        text = f"=cat([{one}, {other.name}], dim={dim + 1})"
        scope.add("cat", text, tuple(sizes))
        return
    scope.add("cat", {"call": "cat", "from": pair, "dim": dim + 1}, tuple(sizes))


@operation(always, 2)
def same_view(scope: Scope, value: Value) -> None:
    scope.add("view", expression(scope, scope.plan.pick(VIEWS_OF_ANY), value), value.shape)


@operation(lambda scope, value: value.known and value.rank > 1, 4)
def flatten(scope: Scope, value: Value) -> None:
    out = (math.prod(value.shape),)  # type: ignore[arg-type]
    way = scope.plan.number(0, 3)
    if way == 0:
        scope.add("flat", {"call": "flatten", "start_dim": 1}, out, value)
    elif way == 1:
        scope.add("flat", "Flatten", out, value)
    elif way == 2:
        scope.add("flat", expression(scope, "={}.reshape({}.shape[0], -1)", value), out)
    else:
        scope.add("flat", {"call": "reshape", "shape": [-1, out[0]]}, out, value)


@operation(rank(2, 3, 4), 3)
def transpose(scope: Scope, value: Value) -> None:
    plan = scope.plan
    first = plan.number(1, value.rank - 1)
    sizes = list(value.shape)
    sizes[first - 1], sizes[first] = sizes[first], sizes[first - 1]
    if plan.chance(50):
        text = expression(scope, f"={{}}.transpose({first}, {first + 1})", value)
        scope.add("turned", text, tuple(sizes))
        return
    dims = {"dim0": first, "dim1": scope.number(first + 1)}
    scope.add("turned", {"call": "transpose", **dims}, tuple(sizes), value)


@operation(lambda scope, value: isinstance(value.last, int) and value.last > 1, 3)
def part(scope: Scope, value: Value) -> None:
    """A slice, or an item of `chunk`, along the last dimension."""
    plan = scope.plan
    size = value.last
    assert isinstance(size, int)
    options = [("={}[..., 1:]", size - 1), ("={}[..., ::2]", (size + 1) // 2), ("={}[..., :-1]", size - 1),
               ("={}.narrow(-1, 0, 1)", 1), ("={}.split(1, dim=-1)[1]", 1)]  # fmt: skip
    if size % 2 == 0:
        options += [("={}.chunk(2, dim=-1)[0]", size // 2), ("=chunk({}, 2, -1)[1]", size // 2)] * 2
    pattern, last = plan.pick(options)
    scope.add("part", expression(scope, pattern, value), (*value.shape[:-1], last))


@operation(
    lambda scope, value: isinstance(value.last, int) and value.last % 2 == 0 and value.rank < 3, 2
)
def unflatten(scope: Scope, value: Value) -> None:
    out = (*value.shape[:-1], 2, value.last // 2)  # type: ignore[operator]
    dim = value.rank
    if scope.plan.chance(50):
        scope.add("split", expression(scope, f"={{}}.unflatten({dim}, (2, -1))", value), out)
        return
    scope.add("split", {"call": "unflatten", "dim": dim, "sizes": [2, out[-1]]}, out, value)


@operation(rank(2, 3, 4), 2)
def reduction(scope: Scope, value: Value) -> None:
    text = scope.plan.pick(
        ["={}.mean(1)", "={}.sum(dim=1)", "={}.amax(1)", "={}.max(1)[0]", "={}.select(1, 0)"]
    )
    scope.add("mean", expression(scope, text, value), value.shape[1:])


# Parameters, buffers, constants


@operation(both(named, features), 4)
def weight(scope: Scope, value: Value) -> None:
    plan = scope.plan
    width = plan.pick(WIDTHS)
    init = plan.pick(["normal_", "xavier_uniform_", {"uniform_": {"a": -1, "b": 1}}])
    layer: dict[str, Any] = {"param": [scope.number(value.last), width], "init": init}  # type: ignore[arg-type]
    if plan.chance(30):
        layer = {"param": f"=randn({value.last}, {width}) * 0.5"}
    name = scope.state("w", layer)
    text = scope.text(value)
    if plan.chance(40):
        out = scope.fresh("linear")
        call = {"call": "linear", "weight": f"={name}.T", "from": f"={text}"}
        del out
        scope.add("linear", call, (*value.shape[:-1], width))
        return
    scope.add("product", f"={text} @ {name}", (*value.shape[:-1], width))


@operation(both(named, features), 3)
def constant(scope: Scope, value: Value) -> None:
    plan, size = scope.plan, value.last
    layer = plan.pick([
        {"buffer": f"=arange({size})"}, {"buffer": f"=ones({size})", "persistent": False},
        {"buffer": [size], "init": "ones_"}, {"const": f"=linspace(0, 1, {size})"}, {"const": 1.5},
        {"const": f"=tensor([{', '.join(['0.5'] * size)}])"}, {"param": [size], "init": "ones_"},  # type: ignore[operator]
    ])  # fmt: skip
    name = scope.state("c", layer)
    scope.add("scaled", expression(scope, f"={{}} * {name}", value), value.shape)


# Conditions


@operation(features, 2)
def condition(scope: Scope, value: Value) -> None:
    plan = scope.plan
    when = plan.pick([True, False, "=1 > 2", "=True", "=training", "=not training"])
    if when in ("=training", "=not training"):
        inner: dict[str, Any] = plan.pick([
            {"value": "=_ * 0.5"}, {"call": "dropout", "p": 0.3}, {"act": "tanh"}, {"module": "Dropout"},
            {"layers": [{"module": "LayerNorm"}, {"act": "relu"}]},
        ])  # fmt: skip
    else:
        inner = plan.pick([
            {"value": "=_ + 1"}, {"act": "gelu"}, {"module": "LayerNorm"},
            {"layers": {"norm": "LayerNorm", "act": {"act": "relu"}}}, {"module": "Dropout"},
        ])  # fmt: skip
    scope.only_modules = False
    scope.add("maybe", {"when": when, **inner}, value.shape, value)


# Modules called again, lists


def again(scope: Scope, value: Value) -> bool:
    return any(module.shape == value.shape for module in scope.visible_modules())


@operation(again, 6)
def use(scope: Scope, value: Value) -> None:
    modules = [m for m in scope.visible_modules() if m.shape == value.shape]
    module = scope.plan.pick(modules)
    scope.mention(module.name)
    if scope.plan.chance(50):
        scope.add("again", {"use": module.name}, module.out, value)
        return
    scope.add("again", f"={module.name}({scope.text(value)})", module.out)


@operation(both(named, features), 3)
def declared(scope: Scope, value: Value) -> None:
    plan = scope.plan
    width = plan.pick(WIDTHS)
    layer: dict[str, Any] = plan.pick([
        {"module": "Linear", "out_features": width},
        {"layers": [{"module": "Linear", "out_features": width}, {"act": "relu"}]},
        {"layers": {"fc": {"module": "Linear", "out_features": width}, "out": "=_ * 2"}},
    ])  # fmt: skip
    name = scope.add("enc", {**layer, "declare": True}, None)
    text = scope.text(value)
    pattern = plan.pick(
        [
            "={m}({v})",
            "={m}({v}) + {m}(-{v})",
            "={m}({m}({v}))" if width == value.last else "={m}({v})",
        ]
    )
    out = (*value.shape[:-1], width)
    scope.modules.append(Registered(name, value.shape, out))
    scope.add("code", pattern.format(m=name, v=text), out)


@operation(both(named, features), 4)
def module_list(scope: Scope, value: Value) -> None:
    plan = scope.plan
    count = plan.number(1, 3)
    if plan.chance(30):
        items: list[Any] = [
            {"module": "Linear", "out_features": value.last},
            {"act": "tanh"},
            "LayerNorm",
        ]
        name = scope.add("list", {"as": "list", "layers": items[:count]}, None)
    elif plan.chance(30):
        params = {
            "param": [value.last, value.last],
            "repeat": count,
            "as": "list",
            "init": "normal_",
        }
        name = scope.add("list", params, None)
        scope.read(value)
        layer = {"repeat": count, "value": f"=_ @ {name}[i]"}
        scope.add("mix", layer, value.shape, value)
        return
    else:
        item = {"module": "Linear", "repeat": scope.number(count), "as": "list"}
        name = scope.add("list", {**item, "out_features": value.last}, None)
    if plan.chance(50):
        text = plan.pick(["={}[i](_)", "={0}[i // 2](_) + {0}[i](_)", "={0}[i](_) * (i + 1)"])
        layer = {"repeat": count, "value": text.format(name)}
        scope.add("mix", layer, value.shape, value)
        return
    v = scope.text(value)
    text = " + ".join(f"{name}[{k}]({v})" for k in range(count))
    scope.add("mix", f"={text}", value.shape)


# Repeats


@operation(features, 6)
def repeat_module(scope: Scope, value: Value) -> None:
    plan, size = scope.plan, value.last
    count = plan.number(0, 3)
    repeat: Any = plan.pick([count, count, {"n": scope.number(count), "as": "k"}])
    i = "k" if isinstance(repeat, dict) else "i"
    layer = plan.pick([
        {"module": "Linear", "out_features": scope.number(size)}, {"module": "LayerNorm"},  # type: ignore[arg-type]
        {"act": "tanh"}, {"value": f"=_ * 0.5 + {i}"}, {"call": "roll", "shifts": f"={i}", "dims": -1},
        {"module": "Dropout", "p": f"=0.1 * {i}"},
        {"module": "Linear", "out_features": size, "when": f"={i} != 1"},
    ])  # fmt: skip
    out = value.shape
    way = plan.number(0, 4)
    if way == 4:
        widths = [plan.pick(WIDTHS) for _ in range(plan.number(1, 3))]
        repeat, layer = {"over": widths, "as": "w"}, {"module": "Linear", "out_features": "=w"}
        out = (*out[:-1], widths[-1])
    elif way == 3 and count and i == "i":
        repeat, layer = count, {"module": "Linear", "out_features": "=2 * i + 3"}
        out = (*out[:-1], 2 * count + 1)
    if isinstance(repeat, dict) and plan.chance(40):
        repeat["name"] = f"=f'step{{{'i' if 'over' in repeat else i} + 1}}'"
    scope.only_modules = False
    if scope.listed and plan.chance(30) and not (isinstance(repeat, dict) and "name" in repeat):
        layer = {"as": "inline", **layer}
    scope.add("rep", {"repeat": repeat, **layer}, out, value)


@operation(both(rank(3), lambda scope, value: isinstance(value.shape[0], int)), 3)
def repeat_convolution(scope: Scope, value: Value) -> None:
    layer = {"module": "Conv2d", "out_channels": value.shape[0], "kernel_size": 3, "padding": 1}
    scope.only_modules = False
    scope.add("convs", {"repeat": scope.plan.number(1, 3), **layer}, value.shape, value)


# Containers


@operation(both(deeper, always), 8)
def container(scope: Scope, value: Value) -> None:
    plan = scope.plan
    inner = scope.nested(value, plan.chance(45))
    inline = inner.listed == scope.listed and plan.chance(15)
    if inline:  # its layers come to stand beside these
        inner.taken |= scope.layers.keys() | scope.taken
    scope.read(value)
    inner.grow(plan.number(1, 4))
    inner.close()
    out = inner.previous.shape
    layer: dict[str, Any] = {"layers": inner.body()}
    if out == value.shape and plan.chance(45):
        layer["repeat"] = plan.number(1, 3)
        if scope.listed and inner.listed and plan.chance(35):
            layer["as"] = "inline"
    elif inline:
        layer["as"] = "inline"
        scope.taken |= inner.layers.keys() | inner.taken
    elif plan.chance(15):
        layer["as"] = "graph"
    elif inner.only_modules and plan.chance(50):
        layer["as"] = "sequential"
    if plan.chance(5) and "as" not in layer:
        layer["freeze"] = True
    scope.only_modules = False
    name = scope.add("part", layer, out, value)
    if not scope.listed and not inner.listed and layer.get("as") != "sequential":
        way = f"{name}.0" if "repeat" in layer else name
        scope.paths += [f"{way}.{v.name}" for v in inner.values if v.exists]
        scope.paths += [f"{way}.{path}" for path in inner.paths]
    if not scope.listed and layer.get("as") != "inline" and registers(inner.body()):
        here = scope if inner.read_outside else None
        scope.modules.append(Registered(name, value.shape, out, only_in=here))


def registers(layers: Any) -> bool:
    """Whether anything in it is a module; a container of calls alone cannot be called again."""
    for layer in map(full, layers if isinstance(layers, list) else layers.values()):
        inner = "layers" in layer and registers(layer["layers"])
        if inner or layer.keys() & {"module", "act", "param", "buffer", "block"}:
            return True
    return False


# Blocks

LETTERS: dict[int, Shape] = {1: ("F",), 2: ("S", "F"), 3: ("C", "H", "W")}


def define_block(scope: Scope, shape: Shape) -> BlockInfo:
    plan = scope.plan
    args: dict[str, Any] = {}
    inner = Scope(plan, args, plan.chance(30), scope.depth + 1)
    inputs = 2 if plan.chance(30) else 1
    letters = LETTERS[len(shape)]
    for name in ("x", "y")[:inputs]:
        value = Value(name, letters, inner)
        inner.values.append(value)
        inner.unread += [value] if name == "y" else []
    inner.previous = inner.values[0]
    kinds = [kind for kind in ("scale", "flag", "gain", "depth") if plan.chance(30)]
    defaults = {"scale": 0.5, "flag": False, "gain": None, "depth": 1}
    args.update({kind: defaults[kind] for kind in kinds})
    inner.grow(plan.number(1, 3))
    if inner.listed and inputs == 2:
        inner.read(inner.values[1])
        inner.add("value", "=_ + y.mean()", inner.previous.shape, inner.previous)
    extras: dict[str, Layer] = {
        "scale": "=_ * scale", "flag": {"act": "relu", "when": "=flag"}, "gain": "=_ + gain",
        "depth": {"repeat": "=depth", "act": "tanh"},
    }  # fmt: skip
    for kind in kinds:
        inner.add(kind, extras[kind], inner.previous.shape, inner.previous)
    value = inner.previous
    if plan.chance(40):
        args["width"] = plan.pick([None, 4])
        kinds.append("width")
        if value.rank == 3 and plan.chance(70):
            layer = {"module": "Conv2d", "out_channels": "=width", "kernel_size": 1}
            inner.needs.add(value.shape[0])
            inner.add("conv", layer, ("width", *value.shape[1:]), value)
        else:
            layer = {"module": "Linear", "out_features": "=width"}
            inner.needs.add(value.last)
            inner.add("fc", layer, (*value.shape[:-1], "width"), value)
    inner.close()
    if "width" in kinds and not inner.listed and plan.chance(20) and inner.previous.rank < 3:
        inner.add("more", "={}.relu()".format("_"), inner.previous.shape, inner.previous)
    name = f"Block{len(plan.infos) + 1}"
    _leave_out_unread(args, inner.layers)
    block: dict[str, Any] = {"args": args, "layers": inner.body()}
    if inputs == 2 or plan.chance(20):
        block["inputs"] = ["x", "y"][:inputs]
    pair = inputs == 2 and inner.previous.shape == letters and plan.chance(60) and not inner.listed
    if pair:
        block["outputs"] = ["=x + 1", inner.previous.output]
    if plan.chance(10):
        block["init"] = {"Linear.weight": {"normal_": {"std": 0.2}}}
    if not args:
        del block["args"]
    plan.blocks[name] = block
    info = BlockInfo(
        name, letters, inputs, inner.previous.shape, tuple(kinds), frozenset(inner.needs), pair
    )
    plan.infos.append(info)
    return info


@operation(both(deeper, rank(1, 2, 3)), 12)
def block(scope: Scope, value: Value) -> None:
    plan = scope.plan
    known = [info for info in plan.infos if len(info.shape) == value.rank]
    known = [info for info in known if info.inputs == 1 or not scope.listed]
    if not known or (len(plan.infos) < 3 and plan.chance(45)):
        info = define_block(scope, value.shape)
        if info.inputs == 2 and scope.listed:
            info = None  # type: ignore[assignment]
    else:
        info = plan.pick(known)
    if info is None or not takes(info, value):
        scope.add("act", {"act": "relu"}, value.shape, value)
        return
    instance(scope, value, info)


def takes(info: BlockInfo, value: Value) -> bool:
    sizes = dict(zip(info.shape, value.shape, strict=True))
    return all(isinstance(sizes.get(letter, 0), int) for letter in info.needs)


def instance(scope: Scope, value: Value, info: BlockInfo) -> None:
    plan = scope.plan
    sizes: dict[Size, Size] = dict(zip(info.shape, value.shape, strict=True))
    layer: dict[str, Any] = {"block": info.name}
    sizes["width"] = plan.pick([*WIDTHS, *[s for s in value.shape[-1:] if isinstance(s, int)] * 4])
    if "width" in info.args:
        layer["width"] = scope.number(sizes["width"])  # type: ignore[arg-type]
    out = tuple(sizes.get(size, size) for size in info.out)
    preserves = out == value.shape
    if preserves and plan.chance(50):
        layer["repeat"] = plan.number(1, 3)
    indexed = "repeat" in layer
    if "scale" in info.args and plan.chance(70):
        layer["scale"] = "=0.5 * i" if indexed and plan.chance(50) else scope.number(1.5)
    if "flag" in info.args and plan.chance(70):
        layer["flag"] = "=i == 0" if indexed and plan.chance(50) else plan.chance(50)
    if "depth" in info.args and plan.chance(70):
        layer["depth"] = plan.number(0, 2)
    if "gain" in info.args:
        others = [v for v in scope.visible() if v.name is not None and not scope.listed]
        layer["gain"] = scope.number(2)
        if others and plan.chance(60):
            other = plan.pick(others)
            scope.read(other)
            layer["gain"] = f"={other.name}.mean()"
    scope.only_modules = False
    if info.inputs == 1:
        name = scope.add("block", layer, out, value)
    else:
        others = [v for v in scope.visible() if v.shape == value.shape] or [value]
        other = plan.pick(others)
        scope.read(value)
        scope.read(other)
        pair = [f"={scope.text(value)}", f"={scope.text(other)}"]
        if plan.chance(40):
            pair[1] = effect(scope, other)
        name = scope.add("block", {"from": pair, **layer}, out)
    if info.pair:
        scope.item(1, out)
    elif not scope.listed and "repeat" not in layer and info.inputs == 1 and "gain" not in layer:
        scope.modules.append(Registered(name, value.shape, out))


# Values that several read, and that are drawn or come from a module that counts


def effect(scope: Scope, value: Value) -> str:
    """An expression of the value's shape; most make a difference when computed once more."""
    modules = [m for m in scope.visible_modules() if m.shape == value.shape == m.out]
    if modules and scope.plan.chance(60):
        module = scope.plan.pick(modules)
        scope.mention(module.name)
        return f"={module.name}({scope.text(value)})"
    patterns = ["=dropout({}, 0.25)", "={} + rand_like({})", "=dropout({}) * 2", "={}.tanh()"]
    return expression(scope, scope.plan.pick(patterns), value)


@operation(always, 10)
def shared(scope: Scope, value: Value) -> None:
    """A layer that reads what its `from` says more than once, hands it on, or repeats with it."""
    plan = scope.plan
    scope.only_modules = False
    text = effect(scope, value)
    layer: dict[str, Any] = plan.pick([
        {"value": "=_ - _ * 0.5"}, {"value": "=_ * sigmoid(_)"}, {"value": "=_ * 2 if training else _"},
        {"layers": ["=_ - relu(_)", "=_ * 2"]}, {"layers": {"twice": "=_ * _"}},
        {"call": "dropout", "p": 0.3, "when": False}, {"value": "=_ + 1", "when": "=1 > 2"},
        {"module": "Dropout", "when": False}, {"value": "=_ - _.tanh()", "when": "=training"},
        {"act": "tanh", "when": "=not training"}, {"value": "=_ * _ + i", "repeat": 2},
        {"call": "add", "other": "=_ * 2"}, {"call": "roll", "shifts": 1, "dims": "=_.ndim - 1"},
        {"call": "where", "from": [f"={scope.text(value)} > 0", text, f"={scope.text(value)} * 0.5"]},
        {"call": "mul", "repeat": 2, "from": [f"={scope.text(value)} * 1", text]},
        {"value": "=_ + _.mean()", "from": [text]},
    ])  # fmt: skip
    scope.add("shared", {"from": text, **layer}, value.shape)
    if plan.chance(60):
        after = scope.previous
        pattern = plan.pick(["={} + {}.tanh()", "={} - {} * 0.5", "={} * dropout({}, 0.5)"])
        scope.add("twice", expression(scope, pattern, after), after.shape)


# Whole specs


@dataclass(frozen=True)
class Case:
    """A spec, and how its inputs are made."""

    document: dict[str, Any]
    inputs: tuple[tuple[int, ...], ...]
    paths: tuple[str, ...]  # of values, inner ones too

    def tensors(self) -> list[Tensor]:
        generator = torch.Generator().manual_seed(11)
        return [torch.randn(shape, generator=generator) for shape in self.inputs]


def _inputs(plan: Plan, scope: Scope) -> tuple[dict[str, Any], list[tuple[int, ...]]]:
    declared: dict[str, Any] = {}
    made: list[tuple[int, ...]] = []
    kind = plan.pick(["row", "sequence", "image"])
    first: Shape = ()
    for name in ("x", "z")[: 2 if plan.chance(25) else 1]:
        free = plan.chance(35)
        shape: Shape
        if first and plan.chance(60):
            shape = first
        elif kind == "row":
            shape = (plan.pick((2, 3, 4, 6, 8)),)
        elif kind == "sequence":
            shape = ("T" if free else 6, plan.pick((2, 4, 6)))
        else:
            shape = (plan.pick((1, 2, 3)), *(("H", "W") if free else (plan.pick((4, 6)), 6)))
        first = first or shape
        examples = {size: 6 for size in shape if isinstance(size, str)}
        declared[name] = ["N", *shape]
        if examples or plan.chance(10):
            declared[name] = {"shape": ["N", *shape], "example": {"N": 2, **examples}}
        value = Value(name, shape, scope)
        scope.values.append(value)
        scope.unread.append(value)
        made.append((BATCH, *(FREE if isinstance(size, str) else size for size in shape)))
    return declared, made


@st.composite
def specs(draw: Draw) -> Case:
    """A valid spec with its inputs."""
    plan = Plan(draw)
    scope = Scope(plan, {}, False, 0)
    declared, made = _inputs(plan, scope)
    scope.previous = scope.values[0]
    scope.grow(plan.number(2, 7))
    document: dict[str, Any] = {"netspec": 1, "inputs": declared, "layers": scope.layers}
    outputs = _outputs(plan, scope)
    if outputs is not None:
        document["outputs"] = outputs
    if plan.blocks:
        document["blocks"] = plan.blocks
    if plan.chance(40):
        document["name"] = plan.pick(["Net", "LeNet5", "A"])
    if plan.chance(15):
        document["init"] = plan.pick([
            {"Linear.weight": {"normal_": {"std": 0.02}}, "Linear.bias": "zeros_"},
            {"Linear": {"weight": "xavier_uniform_"}, "LayerNorm.weight": {"constant_": {"val": 2.0}}},
        ])  # fmt: skip
    _leave_out_unread(scope.args, scope.layers)
    if scope.args:
        document["args"] = scope.args
    shown = [value for value in scope.values if not value.hidden and value.exists]
    named = [value.name for value in shown if value.name is not None]
    return Case(document, tuple(made), (*named, *scope.paths))


def _leave_out_unread(args: dict[str, Any], layers: dict[str, Layer]) -> None:
    """Takes away the args whose layer was given up."""
    words = set(re.findall(r"\w+", repr(layers)))
    for name in args.keys() - words:
        del args[name]


def _outputs(plan: Plan, scope: Scope) -> Any:
    """All that nothing has read, with the last value and sometimes an inner one."""
    last = scope.previous
    wanted = [value.output for value in scope.unread if value is not last]
    inner = [plan.pick(scope.paths)] if scope.paths and plan.chance(50) else []
    way = plan.number(0, 9)
    if not wanted and not inner and way < 6:
        return None
    names = [*wanted, *inner, last.output]
    if way == 9 and not wanted:
        return {"train": {"out": last.output, "aux": names}, "eval": last.output}
    if way >= 6:
        shown = [str(name) for name in names]
        return {name if name.isidentifier() else f"out{k}": name for k, name in enumerate(shown)}
    return [names[:-1], names[-1]] if way == 5 else names


# What is in a spec


def traits(document: dict[str, Any]) -> set[str]:
    """What a spec has of the language, to count how many specs have it."""
    found = _traits_of(document, set(document["inputs"]))
    for block in document.get("blocks", {}).values():
        found |= _traits_of(block, set(block.get("inputs", ["x"])))
    outputs = document.get("outputs")
    found |= {"several outputs"} if isinstance(outputs, (list, dict)) else set()
    free = any(len(re.findall("[A-Z]", str(i))) > 1 for i in document["inputs"].values())
    return found | ({"free sizes"} if free else set())


def _traits_of(block: dict[str, Any], names: set[str]) -> set[str]:
    found: set[str] = set()
    layers = block["layers"]
    items = list(layers.items() if isinstance(layers, dict) else enumerate(layers))
    own = {str(name) for name, _ in items}
    for _, short in items:
        layer = full(short)
        words = " ".join(str(v) for k, v in layer.items() if k not in ("layers", "doc"))
        reads = set(re.findall(r"[A-Za-z_]\w*", words)) & (names | own | {"_"})
        found |= {trait for trait, key in _KEYS.items() if key & layer.keys()}
        found |= {trait for trait, word in _WORDS.items() if re.search(word, words)}
        found |= {"branches"} if len(reads) > 1 else set()
        found |= (
            {"outer values"} if reads & (names - own) - set(block.get("inputs", "xz")) else set()
        )
        if "layers" in layer:
            found |= {"containers"} | _traits_of(layer, names | own)
    return found


_KEYS = {
    "blocks": {"block"}, "repeats": {"repeat"}, "shared": {"use", "declare"}, "tied": {"tie"},
    "state": {"param", "buffer", "const"}, "conditions": {"when"}, "expressions": {"value"},
    "activations": {"act"}, "modules": {"module"}, "calls": {"call"},
}  # fmt: skip
_WORDS = {
    "views": r"flatten|Flatten|reshape|transpose|unflatten|\[\.\.\.|\[:\]|chunk|split|narrow|select"
    r"|view|expand|movedim|squeeze|\.T\b",
    "joins": r"\bcat\b|\bstack\b",
    "norms": "Norm",
    "dropout": "[dD]ropout",
    "lists": r"'list'|\blist\b",
    "training": "training",
}


# What is nearly a spec

HOSTILE_TEXTS = (
    "yes", "no", "on", "off", "Yes", "NO", "y", "n", "null", "~", "true", "False", "", " ", "1e3", "1e-3",
    "012", "0o17", "0x1F", "1_000", "12:30:00", "2001-01-01", ".inf", "-.inf", ".nan", ".5", "5.", "+1", "-",
    "=x", "==x", "===x", "= x", "=", "==", "-1", "--- ", "...", "---", "- a", "? a", ": a", "a: b", "a #b", "#b",
    "&a", "*a", "!a", "!!str a", "|", ">", "@a", "`a`", "%a", "'", '"', "'a'", '"a"', "a'b", "[a]", "{a: b}", "a,b",
    "\t", "a\tb", "\ta", "a\n", "\na", "a\nb", "a\n\nb\n", "a\r\nb", "a\rb", "a\u0085b", "a\u2028b", "\ufeff",
    " a", "a ", "a  b", "é", "😀", "日本語: はい", "\\", "\\n", "\x07", "\x00", "\x7f", "a" * 200, "ab cd " * 60, "<<", "=a: b",
)  # fmt: skip

plain_texts = st.one_of(
    st.sampled_from(HOSTILE_TEXTS), st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
)
plain_numbers = st.one_of(
    st.integers(-(10**40), 10**40), st.floats(), st.sampled_from([0, 1, -1, 0.0, -0.0, 1e-3, 1e3, 1e22, 1e300, 5e-324]),
)  # fmt: skip
not_expressions = plain_texts.filter(lambda text: not text.startswith("=") or text.startswith("=="))
plain_values = st.recursive(
    st.one_of(st.none(), st.booleans(), plain_numbers, not_expressions),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(plain_texts, inner, max_size=4)
    ),
    max_leaves=8,
)  # fmt: skip

KEYS = (
    "module", "call", "act", "block", "layers", "param", "buffer", "use", "value", "const", "spec", "from",
    "repeat", "as", "when", "declare", "keep", "init", "tie", "freeze", "doc", "args", "with", "inputs", "outputs",
    "blocks", "include", "name", "netspec", "n", "over", "shape", "dtype", "example", "inplace", "bias", "dim",
    "kernel_size", "out_features", "train", "eval", "x", "training", "persistent", "pin", "0", "forward",
)  # fmt: skip
WORDS = (
    "x", "_", "=_", "=x", "=_ + x", "=_ @ _", "=x.shape[0]", "=x.shape", "=i", "=training", "=1/0", "=10**100",
    "='a' * 9999", "=[1, 2][5]", "=x[0]", "=x[..., None]", "=nope", "=_.nope()", "=len(x)", "=x if x else x",
    "=not x", "=x.sum()", "=arange(x.shape[0])", "=(", "=lambda: 1", "=x.__class__", "=f'{i}'", "=-x", "=x == 1",
    "=x.chunk(2)", "=zeros(3)", "=zeros(10 ** 9)", "=min(1, 2)", "=range(10)", "=x.T", "=x.dtype", "=x.device", "=float64", "=inf",
    "Linear", "Conv2d", "LSTM", "MultiheadAttention", "BatchNorm2d", "Transformer", "Embedding", "CrossEntropyLoss",
    "relu", "cat", "stack", "max_pool2d", "linear", "conv2d", "nonzero", "unbind", "eval", "os", "relu_", "dropout",
    "list", "inline", "sequential", "graph", "normal_", "zeros_", "int64", "bool", "fc1.weight", "part1.0.fc1",
)  # fmt: skip
odd_values = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 9), st.sampled_from([0.5, -1.0, 10**6, 2**31, 2**63, 10**18, 1e308]),
    st.sampled_from(WORDS), st.sampled_from(HOSTILE_TEXTS), st.builds(list), st.builds(dict),
    st.lists(st.one_of(st.integers(-2, 5), st.sampled_from(WORDS)), max_size=3),
    st.dictionaries(st.sampled_from(KEYS), st.one_of(st.integers(-2, 5), st.sampled_from(WORDS)), max_size=2),
)  # fmt: skip


@st.composite
def mutants(draw: Draw) -> dict[str, Any]:
    """A valid spec with one to three mistakes."""
    document = copy.deepcopy(draw(specs()).document)
    for _ in range(draw(st.integers(1, 3))):
        places = [p for p in _places(document) if p[0] is not document or p[1] != "netspec"]
        inner = [p for p in places if p[0] is not document]
        holder, key = draw(st.sampled_from(inner or places))
        _mutate(draw, holder, key, [h[k] for h, k in places])
    return document


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each place of a value: what holds it, and its key there."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from _places(value[key])


def _mutate(draw: Draw, holder: Any, key: Any, everywhere: list[Any]) -> None:
    """One mistake at a place, of a kind that its value may suffer."""
    value = holder[key]
    ways = ["drop", "odd", "swap", "copy"]
    if isinstance(value, (dict, list)):
        ways += ["swap", "copy", *(["add"] * 3 if isinstance(value, dict) else [])]
    elif isinstance(value, str):
        ways += ["typo", "word", "word", "similar", "similar"]
    else:
        ways += ["number", "number", "number", "word", "similar"]
    ways += ["rename"] if isinstance(holder, dict) else []
    way = draw(st.sampled_from(ways))
    if way == "drop":
        del holder[key]
    elif way == "rename":
        new = draw(st.one_of(st.sampled_from(KEYS), st.just(_with_typo(draw, str(key)))))
        items = [(new if name == key else name, item) for name, item in holder.items()]
        holder.clear()
        holder.update(items)
    elif way == "typo":
        holder[key] = _with_typo(draw, value)
    elif way == "word":
        holder[key] = draw(st.sampled_from(WORDS))
    elif way == "number":
        holder[key] = draw(st.sampled_from([0, -1, 1, 2, 3, 5, 7, 1.5, 1000, 10**9, True]))
    elif way == "similar":
        holder[key] = draw(st.sampled_from([v for v in everywhere if type(v) is type(value)]))
    elif way == "add":
        value[draw(st.sampled_from(KEYS))] = draw(odd_values)
    elif way in ("swap", "copy"):
        other = draw(
            st.sampled_from(list(holder) if isinstance(holder, dict) else range(len(holder)))
        )
        if way == "swap":
            holder[key], holder[other] = holder[other], holder[key]
        else:
            holder[key] = copy.deepcopy(holder[other])
    else:
        holder[key] = draw(odd_values)


def _with_typo(draw: Draw, word: str) -> str:
    at = draw(st.integers(0, max(0, len(word) - 1)))
    letter = draw(
        st.sampled_from(
            ["", "", "e", "_", "x", "1", ".", "(", ")", "[", "=", " ", "-", word[:1] * 2]
        )
    )
    return word[:at] + letter + word[at + draw(st.integers(0, 1)) :]


PIECES = (
    "{", "}", "[", "]", ":", ": ", ",", "- ", "#", " #", "&a ", "*a", "!", "|", ">", "'", '"', "%", "@", "`", "=", "\n",
    "\t", "\\", "é", "😀", "\u2028", "?", "~", "<<: ", "---", "...", "  ", "    ", "x", "1", "_", "netspec: 1\n", "layers:\n",
)  # fmt: skip


@st.composite
def near_texts(draw: Draw) -> str:
    """The text of a spec with pieces of YAML thrown in, cut out, moved; or nothing but pieces."""
    if draw(st.integers(0, 9)) == 9:
        return "".join(draw(st.lists(st.sampled_from((*PIECES, *KEYS, *WORDS)), max_size=40)))
    flow = draw(st.sampled_from([None, None, False]))
    text = yaml.safe_dump(
        draw(specs()).document, sort_keys=False, width=120, default_flow_style=flow
    )
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        way = draw(st.sampled_from(["insert", "insert", "cut", "line", "indent", "truncate"]))
        if way == "insert":
            text = text[:at] + draw(st.sampled_from(PIECES)) + text[at:]
        elif way == "cut":
            text = text[:at] + text[at + draw(st.integers(1, 8)) :]
        elif way == "truncate":
            text = text[:at]
        else:
            lines = text.split("\n")
            number = draw(st.integers(0, len(lines) - 1))
            line = lines.pop(number)
            lines.insert(
                draw(st.integers(0, len(lines))) if way == "line" else number,
                line if way == "line" else f"  {line}",
            )
            text = "\n".join(lines)
    return text
