"""What a spec means, said a second time and as simply as can be: a reference for the laws.

It walks the plain document layer by layer on real tensors, makes torch's own modules in the order
in which the layers stand, and hands expressions to Python's `eval` (here only, over specs that the
tests have made). It shares no code with netspec: what both agree on, two readings of the language
agree on. `Reference(document).make(seed, *inputs)` has `state_dict()`, `train()`, `eval()` and is
called like a module. Parts (`spec:`), includes and forms of activations are not its business.
"""

from __future__ import annotations

import ast
import inspect
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KINDS = ("module", "call", "act", "block", "layers", "param", "buffer", "use", "value", "const")
MODIFIERS = (
    "from", "repeat", "as", "when", "declare", "keep", "init", "tie", "freeze", "doc", "args",
    "with", "persistent", "pin",
)  # fmt: skip
SILENT = ("param", "buffer", "const")  # give no value
LISTS = ("cat", "stack", "hstack", "vstack")  # the first parameter is a list of tensors
ACTIVATIONS = {
    "celu": nn.CELU, "elu": nn.ELU, "gelu": nn.GELU, "hardsigmoid": nn.Hardsigmoid,
    "hardswish": nn.Hardswish, "hardtanh": nn.Hardtanh, "leaky_relu": nn.LeakyReLU,
    "log_softmax": nn.LogSoftmax, "mish": nn.Mish, "prelu": nn.PReLU, "relu": nn.ReLU,
    "relu6": nn.ReLU6, "selu": nn.SELU, "sigmoid": nn.Sigmoid, "silu": nn.SiLU,
    "softmax": nn.Softmax, "softplus": nn.Softplus, "softsign": nn.Softsign, "tanh": nn.Tanh,
    "tanhshrink": nn.Tanhshrink,
}  # fmt: skip
# A constructor's parameter → which input, and which of its dimensions, gives it.
INFERRED = {
    "in_channels": (0, 1), "num_features": (0, 1), "num_channels": (0, 1), "in_features": (0, -1),
    "input_size": (0, -1), "normalized_shape": (0, -1), "embed_dim": (0, -1),
    "in1_features": (0, -1), "in2_features": (1, -1),
}  # fmt: skip
NUMBERS = {
    "min": min, "max": max, "len": len, "round": round, "int": int, "float": float, "abs": abs,
    "range": range, "sum": sum, "sqrt": math.sqrt,
    "exp": math.exp, "log": math.log, "ceil": math.ceil, "floor": math.floor,
}  # fmt: skip

Step = Callable[[Any], object]


class Unsupported(Exception):
    """Something of the language that this interpreter does not know."""


@dataclass(eq=False)
class Registration:
    """The place of one registered thing: how it is made, called, and what is done right after."""

    name: str
    make: Callable[[], Any] | None = None  # None: it only holds children
    call: Callable[..., Any] | None = None
    children: dict[str, Registration] = field(default_factory=dict)
    persistent: bool | None = None  # None: no buffer
    listed: bool = False  # `as: list`: indexed, and not called
    kwargs: dict[str, Any] = field(default_factory=dict)
    after: list[Step] = field(default_factory=list)  # init, freeze
    ties: list[Step] = field(default_factory=list)
    rules: list[Step] = field(default_factory=list)
    thing: Any = None

    def construct(self) -> None:
        """Makes it and all below it, each in its turn."""
        if self.make is not None:
            self.thing = self.make()
        else:
            self.thing = nn.Module()
            for child in self.children.values():
                child.construct()
                self.register(child)
        for step in (*self.after, *self.ties, *self.rules):
            step(self.thing)

    def register(self, child: Registration) -> None:
        if isinstance(child.thing, nn.Module):
            self.thing.add_module(child.name, child.thing)
        elif isinstance(child.thing, nn.Parameter):
            self.thing.register_parameter(child.name, child.thing)
        else:
            self.thing.register_buffer(child.name, child.thing, persistent=child.persistent)

    def forget(self) -> None:
        self.thing = None
        for child in self.children.values():
            child.forget()


class Handle:
    """A registered thing as expressions see it: called, indexed, asked for its parameters."""

    def __init__(self, slot: Registration) -> None:
        self.slot = slot

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        assert self.slot.call is not None, "a list is not called"
        return self.slot.call(args, kwargs)

    def __getitem__(self, index: int) -> Any:
        child = list(self.slot.children.values())[index]
        return Handle(child) if child.call is not None else child.thing

    def parameter(self, name: str) -> Any:
        if self.slot.make is not None and self.slot.thing is None:
            self.slot.thing = self.slot.make()
        child = self.slot.children.get(name)
        found = getattr(self.slot.thing, name, None) if child is None else child.thing
        return found if isinstance(found, Tensor) else None


@dataclass(eq=False)
class Env:
    """The names of one `layers`, which may see those around it."""

    slot: Registration
    args: dict[str, Any]
    blocks: Mapping[str, Any]
    outer: Env | None = None
    numbered: bool = False
    previous: Any = None
    counter: list[int] = field(default_factory=lambda: [0])
    names: dict[str, Any] = field(default_factory=dict)
    handles: dict[str, Handle] = field(default_factory=dict)
    inner: dict[str, Env] = field(default_factory=dict)

    def chain(self) -> Iterator[Env]:
        env: Env | None = self
        while env is not None:
            yield env
            env = env.outer

    def handle(self, name: str) -> Handle | None:
        env = next((e for e in self.chain() if name in e.names or name in e.handles), None)
        return env.handles.get(name) if env is not None else None

    def value(self, path: str) -> Any:
        """The value of a name, or of one inside: `layer4.1.sum`."""
        first, _, rest = path.partition(".")
        for env in self.chain():
            if rest and first in env.inner:
                return env.inner[first].value(rest)
            if not rest and path in env.names:
                return env.names[path]
        raise Unsupported(f"no value `{path}`")

    def one_copy(self, variables: dict[str, Any], previous: Any) -> Env:
        """The same names, for one copy of a repeated layer."""
        return Env(
            self.slot, {**self.args, **variables}, self.blocks, self.outer, self.numbered, previous,
            self.counter, self.names, self.handles, self.inner,
        )  # fmt: skip


class Reference:
    """The network of a spec, interpreted; `act:` layers are modules."""

    def __init__(self, document: Mapping[str, Any], args: Mapping[str, Any] | None = None) -> None:
        self.document = document
        self.args = dict(args or {})
        self.root = Registration("")
        self.settled: dict[int, nn.Parameter] = {}  # by an `init` that stands nearer than rules
        self.training = False
        self.trial = False

    def make(self, seed: int, *inputs: Tensor) -> Reference:
        """Walks once to see what there is, then makes everything in order from the seed."""
        self.trial = True
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            self(*inputs)
        self.trial = False
        self.root.forget()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.root.construct()
        return self

    def train(self, mode: bool = True) -> Reference:
        self.training = mode
        self.root.thing.train(mode)
        return self

    def eval(self) -> Reference:
        return self.train(False)

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.root.thing.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Tensor]:
        return self.root.thing.state_dict()  # type: ignore[no-any-return]

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        return self.root.thing.named_parameters()  # type: ignore[no-any-return]

    def parameters(self) -> Iterator[nn.Parameter]:
        return self.root.thing.parameters()  # type: ignore[no-any-return]

    def value(self, path: str) -> Any:
        """What a layer, or one inside, gave in the last call."""
        return self.last.value(path)

    def __call__(self, *inputs: Tensor) -> Any:
        env = Env(self.root, {}, self.document.get("blocks") or {})
        env.names = dict(zip(self.document["inputs"], inputs, strict=True))
        self.last = env
        return self.block(self.document, self.args, env)

    # Blocks and layers, in their order

    def block(self, block: Mapping[str, Any], given: Mapping[str, Any], env: Env) -> Any:
        """One call of a block (or of the spec itself); `env` holds its inputs."""
        env.numbered = isinstance(block["layers"], list)
        env.previous = next(iter(env.names.values()))
        for name, default in (block.get("args") or {}).items():
            if name not in env.names:
                env.args[name] = given[name] if name in given else self.plain(default, env)
        self.layers(block["layers"], env)
        if self.trial:
            self.add_rules(block.get("init") or {}, env)
        return self.outputs(block.get("outputs"), env)

    def outputs(self, outputs: Any, env: Env) -> Any:
        match outputs:
            case None:
                return env.previous
            case str():
                return self.reference(outputs, env)
            case list():
                return tuple(self.outputs(item, env) for item in outputs)
            case {"train": train, "eval": other, **rest} if not rest:
                return self.outputs(train if self.training else other, env)
        return {key: self.outputs(item, env) for key, item in outputs.items()}

    def layers(self, layers: Any, env: Env) -> None:
        for key, layer in layers.items() if isinstance(layers, Mapping) else enumerate(layers):
            self.layer(full(layer), str(key), env, None)

    def layer(self, layer: dict[str, Any], key: str, env: Env, inputs: list[Any] | None) -> None:
        before = env.previous
        if inputs is None and "from" in layer:
            inputs = self.inputs(layer, env, None)  # once, whoever reads them
            env.previous = inputs[0]
        if "repeat" in layer:
            self.repeat(layer, key, env, inputs)
        else:
            self.one_layer(layer, key, env, inputs)
        if "from" in layer and (kind_of(layer) in SILENT or layer.get("as") == "list"):
            env.previous = before

    def one_layer(
        self, layer: dict[str, Any], key: str, env: Env, inputs: list[Any] | None
    ) -> None:
        condition = layer.get("when") is None or self.plain(layer["when"], env)
        by_mode = "training" in str(layer.get("when", ""))
        names = self.names_of(layer, key, env) if condition or by_mode else [key]
        skipped = not condition and not (by_mode and self.trial)
        value = NOTHING if skipped else self.kind(layer, names[0], env, inputs)
        if not condition and kind_of(layer) not in SILENT:
            value = self.inputs(layer, env, inputs)[0]
        for name in names:
            if names[0] in env.handles:
                env.handles[name] = env.handles[names[0]]
            if value is not NOTHING:
                env.names[name] = env.previous = value
            elif names[0] in env.names:
                env.names[name] = env.names[names[0]]

    def names_of(self, layer: dict[str, Any], key: str, env: Env) -> list[str]:
        """The name under which a layer is registered, and the key by which the text has it."""
        inline = layer.get("as") == "inline" and ("layers" in layer or "repeat" in layer)
        if not env.numbered or inline:
            return [key]
        env.counter[0] += 1
        number = str(env.counter[0] - 1)
        return [number] if key.isdigit() else [number, key]

    def inputs(self, layer: dict[str, Any], env: Env, inputs: list[Any] | None) -> list[Any]:
        source = layer.get("from")
        if inputs is not None or source is None:
            return [env.previous] if inputs is None else inputs
        sources = source if isinstance(source, list) else [source]
        return [self.reference(one, env) for one in sources]

    def reference(self, text: str, env: Env) -> Any:
        return self.evaluate(text, env) if is_expression(text) else env.value(text)

    # Kinds

    def kind(self, layer: dict[str, Any], name: str, env: Env, inputs: list[Any] | None) -> Any:
        """What a layer gives, or NOTHING; whatever it registers is registered."""
        kind = kind_of(layer)
        if kind in SILENT:
            self.state(kind, layer, name, env)
            return NOTHING
        if kind == "value":
            return self.evaluate(layer["value"], env)
        if kind == "call":
            args = self.inputs(layer, env, inputs)
            if layer["call"] in LISTS and all(isinstance(a, Tensor) for a in args):
                args = [args]
            return self.function(layer["call"], args, self.arguments(layer, env))
        if kind == "use":
            handle = env.handle(layer["use"])
            assert handle is not None, "a module of that name"
            return handle(*self.inputs(layer, env, inputs), **self.plain_values(layer, "with", env))
        if kind == "layers" and layer.get("as") == "inline":
            before = self.inputs(layer, env, inputs)[0]
            return self.nested(layer, name, env, env.slot, before, env.counter)
        handle = self.declare(layer, name, env)
        if layer.get("declare") or layer.get("as") == "list":
            return NOTHING
        return handle(*self.inputs(layer, env, inputs), **self.plain_values(layer, "with", env))

    def nested(
        self, layer: dict[str, Any], name: str, env: Env, slot: Registration, value: Any,
        counter: list[int] | None = None,
    ) -> Any:  # fmt: skip
        """One call of a container; an inline one goes on with the counter around it."""
        numbered = isinstance(layer["layers"], list) or (counter is not None and env.numbered)
        inner = Env(slot, env.args, env.blocks, env, numbered, value, counter or [0])
        env.inner.setdefault(name, inner)  # a path means the layer's own call, which is the first
        self.layers(layer["layers"], inner)
        return inner.previous

    def declare(self, layer: dict[str, Any], name: str, env: Env) -> Handle:
        """Registers what a layer registers; a second walk finds it there."""
        kind = kind_of(layer)
        slot = env.slot.children.get(name)
        if slot is None:
            slot = env.slot.children[name] = Registration(name)
            self.after(layer, slot, env)
        if kind in ("module", "act"):
            cls = ACTIVATIONS[layer["act"]] if kind == "act" else getattr(nn, layer["module"])
            self.declare_module(slot, cls, self.arguments(layer, env))
        elif kind == "block":
            given, block = self.arguments(layer, env), env.blocks[layer["block"]]
            slot.call = lambda args, _: self.call_block(slot, block, given, args, env)
        elif kind == "layers" and layer.get("as") == "list":
            slot.listed = True
            inner = Env(slot, env.args, env.blocks, env, True)
            items = layer["layers"]
            for item in items.values() if isinstance(items, Mapping) else items:
                self.list_item(full(item), inner)
        elif kind == "layers":
            slot.call = lambda args, _: self.nested(layer, name, env, slot, args[0])
        else:
            raise Unsupported(f"a declared `{kind}`")
        env.handles[name] = Handle(slot)
        return env.handles[name]

    def declare_module(
        self, slot: Registration, cls: type[nn.Module], kwargs: dict[str, Any]
    ) -> None:
        if slot.make is None:
            slot.kwargs = kwargs
            slot.make = lambda: cls(**slot.kwargs)

        def run(args: Sequence[Any], named: Mapping[str, Any]) -> Any:
            if slot.thing is None:
                infer(cls, slot.kwargs, args)
                slot.thing = cls(**slot.kwargs).train(self.training)
            return slot.thing(*args, **named)

        slot.call = run

    def call_block(
        self, slot: Registration, block: Mapping[str, Any], given: Mapping[str, Any], args: Sequence[Any],
        env: Env,
    ) -> Any:  # fmt: skip
        """One call of a block; arguments that are values become names in it."""
        inner = Env(slot, {}, {**env.blocks, **(block.get("blocks") or {})})
        inner.names = dict(zip(block.get("inputs", ["x"]), args, strict=True))
        inner.names |= {name: value for name, value in given.items() if isinstance(value, Tensor)}
        env.inner.setdefault(slot.name, inner)
        return self.block(block, given, inner)

    def list_item(self, layer: dict[str, Any], env: Env) -> None:
        if self.plain(layer.get("when", True), env):
            (name,) = self.names_of({}, "0", env)
            if kind_of(layer) in SILENT:
                self.state(kind_of(layer), layer, name, env)
            else:
                self.declare(layer, name, env)

    def state(self, kind: str, layer: dict[str, Any], name: str, env: Env) -> None:
        """A parameter or buffer, or a constant, which is only registered if it is a tensor."""
        slot = env.slot.children.get(name)
        if slot is None:
            here = env.one_copy({}, env.previous)
            make = lambda: self.tensor(layer[kind], here, kind == "param")  # noqa: E731
            made = make()
            if not isinstance(made, Tensor):
                env.names[name] = made
                return
            slot = env.slot.children[name] = Registration(name, make, thing=made)
            if kind != "param":
                slot.persistent = kind == "buffer" and layer.get("persistent", True)
            self.after(layer, slot, env)
            for step in slot.after:
                step(made)
        env.names[name] = slot.thing

    def tensor(self, value: Any, env: Env, trained: bool) -> Any:
        made = self.plain(value, env)
        if isinstance(value, list):
            made = torch.empty(made)
        return nn.Parameter(made) if trained else made

    # What is done after: init, freeze, tie, rules

    def after(self, layer: dict[str, Any], slot: Registration, env: Env) -> None:
        init = layer.get("init")
        if init is not None and kind_of(layer) in SILENT:
            slot.after.append(self.init_call(init, env))
        elif init is not None:
            for path, call in init.items():
                step = self.init_call(call, env)
                slot.after.append(lambda thing, p=path, s=step: self.own(s, attribute(thing, p)))
        if self.plain(layer.get("freeze", False), env):
            slot.after.append(lambda thing: thing.requires_grad_(False))
        for target, source in (layer.get("tie") or {}).items():
            *path, last = target.split(".")
            owner = next(e for e in env.chain() if source.split(".")[0] in e.slot.children)
            owner.slot.ties.append(
                lambda thing, p=".".join(path), name=last, s=source: setattr(
                    attribute(slot.thing, p), name, attribute(thing, s)
                )
            )

    def own(self, step: Step, parameter: nn.Parameter) -> None:
        """An `init` that stands on the layer: rules further out pass over the parameter."""
        step(parameter)
        self.settled[id(parameter)] = parameter

    def init_call(self, call: Any, env: Env) -> Step:
        ((name, given),) = ({call: {}} if isinstance(call, str) else call).items()
        kwargs = {key: self.plain(value, env) for key, value in (given or {}).items()}
        return lambda parameter: getattr(nn.init, name)(parameter, **kwargs)

    def add_rules(self, rules: Mapping[str, Any], env: Env) -> None:
        """`init` of a block: for each module in turn, the rules of its class."""
        steps: dict[str, list[tuple[str, Step]]] = {}
        for key, value in rules.items():
            cls, _, parameter = key.partition(".")
            for name, call in ({parameter: value} if parameter else value).items():
                steps.setdefault(cls, []).append((name, self.init_call(call, env)))

        def run(thing: nn.Module) -> None:
            met = {}
            for module in thing.modules():
                for cls, calls in steps.items():
                    for name, step in calls if isinstance(module, getattr(nn, cls)) else ():
                        parameter = getattr(module, name)
                        if parameter is not None and id(parameter) not in self.settled:
                            step(parameter)
                            met[id(parameter)] = parameter
            self.settled |= met

        env.slot.rules = [run]

    # Repeats

    def repeat(self, layer: dict[str, Any], key: str, env: Env, inputs: list[Any] | None) -> None:
        repeat = layer["repeat"] if isinstance(layer["repeat"], Mapping) else {"n": layer["repeat"]}
        items = self.plain(repeat["over"], env) if "over" in repeat else None
        over = items if items is not None else range(self.plain(repeat["n"], env))
        item = repeat.get("as", "i" if items is None else "w")
        rounds = [{"i": i, item: one} for i, one in enumerate(over)]
        copy = {k: v for k, v in layer.items() if k not in ("repeat", "from", "as", "declare")}
        names = self.names_of(layer, key, env)
        as_list = layer.get("as") == "list" or layer.get("declare", False)
        slot, inline = env.slot, None
        if layer.get("as") == "inline":
            inline = env.counter
            copy |= {"as": "inline"} if "layers" in copy else {}
        elif kind_of(layer) not in ("value", "call", "use"):
            slot = env.slot.children.setdefault(names[0], Registration(names[0], listed=as_list))
            env.handles |= dict.fromkeys(names, Handle(slot))
        if as_list:
            inner = Env(slot, env.args, env.blocks, env, True)
            for variables in rounds:
                self.list_item(copy, inner.one_copy(variables, env.previous))
            return

        def run(args: Sequence[Any], _: Any) -> Any:
            numbered = "name" not in repeat
            inner = Env(slot, env.args, env.blocks, env, numbered, counter=inline or [0])
            for one in names:
                env.inner.setdefault(one, inner)
            return self.copies(copy, repeat.get("name"), rounds, inner, list(args))

        env.previous = run(self.inputs(layer, env, inputs), {})
        env.names |= dict.fromkeys(names, env.previous)
        if slot is not env.slot:
            slot.call = run

    def copies(
        self, copy: dict[str, Any], named: Any, rounds: list[dict[str, Any]], env: Env,
        carried: list[Any],
    ) -> Any:  # fmt: skip
        """One copy after the other; what they give is carried on, as far as they take it."""
        several = False
        for index, variables in enumerate(rounds):
            one = env.one_copy(variables, carried[0])
            name = str(index) if named is None else self.plain(named, one)
            self.layer(copy, name, one, carried)
            several = isinstance(one.previous, tuple) and len(one.previous) == len(carried) > 1
            carried = list(one.previous) if several else [one.previous, *carried[1:]]
        return tuple(carried) if several else carried[0]

    # Expressions and functions

    def arguments(self, layer: dict[str, Any], env: Env) -> dict[str, Any]:
        free = [key for key in layer if key not in MODIFIERS and key != kind_of(layer)]
        given = {key: self.plain(layer[key], env) for key in free}
        return given | self.plain_values(layer, "args", env)

    def plain_values(self, layer: dict[str, Any], key: str, env: Env) -> dict[str, Any]:
        return {name: self.plain(value, env) for name, value in (layer.get(key) or {}).items()}

    def plain(self, value: Any, env: Env) -> Any:
        """A plain value with the expressions in it evaluated; lists become tuples."""
        if isinstance(value, str) and value.startswith("="):
            return self.evaluate(value, env) if is_expression(value) else value[1:]
        return tuple(self.plain(item, env) for item in value) if isinstance(value, list) else value

    def function(self, name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        target = find_function(name)
        if has_parameter(target, "training"):
            kwargs.setdefault("training", self.training)
        if kwargs.get("dropout_p") and not self.training:
            kwargs["dropout_p"] = 0.0
        return target(*args, **kwargs)

    def evaluate(self, text: str, env: Env) -> Any:
        tree = _Marked(env).visit(ast.parse(text[1:].strip(), mode="eval"))
        with warnings.catch_warnings():  # of a number beside `is`
            warnings.simplefilter("ignore", SyntaxWarning)
            code = compile(ast.fix_missing_locations(tree), "<expression>", "eval")
        return eval(code, _BUILTINS, _Names(self, env))  # noqa: S307


NOTHING = object()
_BUILTINS = {"__builtins__": {"__import__": __import__}}  # torch's own imports at first use


class _Marked(ast.NodeTransformer):
    """`m(…)`, `m.p` and `m[k]` mean the module `m` first; a name by itself means its value."""

    def __init__(self, env: Env) -> None:
        self.env = env

    def handle(self, node: ast.expr) -> Handle | None:
        return self.env.handle(node.id) if isinstance(node, ast.Name) else None

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name):
            node.func.id = ("module:" if self.handle(node.func) else "function:") + node.func.id
        return self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        handle = self.handle(node.value)
        if handle is not None and handle.parameter(node.attr) is not None:
            return ast.Name(f"parameter:{ast.unparse(node)}", ast.Load())
        return self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        handle = self.handle(node.value)
        if isinstance(node.value, ast.Name) and handle is not None and handle.slot.listed:
            node.value.id = f"module:{node.value.id}"
        return self.generic_visit(node)


class _Names(dict[str, Any]):
    """What the names of an expression mean."""

    def __init__(self, reference: Reference, env: Env) -> None:
        super().__init__()
        self.reference, self.env = reference, env

    def __missing__(self, name: str) -> Any:
        kind, _, rest = name.partition(":")
        if kind == "module":
            return self.env.handle(rest)
        if kind == "parameter":
            owner, _, parameter = rest.partition(".")
            return self.env.handle(owner).parameter(parameter)  # type: ignore[union-attr]
        if kind == "function":
            return lambda *args, **kwargs: self.call(rest, args, kwargs)
        if name == "_":
            return self.env.previous
        for env in self.env.chain():
            if name in env.names:
                return env.names[name]
        if name in self.env.args:
            return self.env.args[name]
        if name == "training":
            return self.reference.training
        if isinstance(found := getattr(torch, name, None), (torch.dtype, float)):
            return found
        raise Unsupported(f"the name `{name}`")

    def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        tensors = any(isinstance(a, Tensor) for a in args)
        if name in NUMBERS and not kwargs and (name == "len" or not tensors):
            return NUMBERS[name](*args)
        return self.reference.function(name, args, kwargs)


def full(layer: Any) -> dict[str, Any]:
    """A layer's short form in full."""
    if not isinstance(layer, str):
        return dict(layer)
    if layer.startswith("="):
        return {"value": layer}
    return {"module" if layer[0].isupper() else "call": layer}


def kind_of(layer: Mapping[str, Any]) -> str:
    (kind,) = [kind for kind in KINDS if kind in layer]
    return kind


def is_expression(text: str) -> bool:
    return text.startswith("=") and not text.startswith("==")


def find_function(name: str) -> Callable[..., Any]:
    homes = [home for home in (F, torch, Tensor) if hasattr(home, name)]
    if not homes:
        raise Unsupported(f"the function `{name}`")
    return getattr(homes[0], name)  # type: ignore[no-any-return]


def has_parameter(function: Callable[..., Any], name: str) -> bool:
    try:
        return name in inspect.signature(function).parameters
    except ValueError:
        return False


def attribute(thing: Any, path: str) -> Any:
    for part in path.split(".") if path else ():
        thing = getattr(thing, part)
    return thing


def infer(cls: type[nn.Module], kwargs: dict[str, Any], args: Sequence[Any]) -> None:
    """Fills in the sizes that the inputs decide and the spec leaves out."""
    parameters = inspect.signature(cls.__init__).parameters
    wanted = ["input_size"] if issubclass(cls, nn.RNNBase) else [
        name for name in INFERRED if name in parameters
        and parameters[name].default is inspect.Parameter.empty
    ]  # fmt: skip
    for name in wanted:
        if name not in kwargs:
            position, dimension = INFERRED[name]
            kwargs[name] = args[position].shape[dimension]
