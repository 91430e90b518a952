"""Random documents, whose every part is mostly of the right kind, and how they are written."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence

from _fuzz_expressions import NAMES, Code, argument, arguments, expression, number

from netspec.ops import catalog
from netspec.ops.arguments import Kind
from netspec.ops.catalog import Operator
from netspec.ops.signatures import Parameter, Signature, forward_signature_of, signatures_of

SHORT = ("relu", "ReLU", "Tanh", "abs", "BatchNorm2d", "Flatten", "tanh")
KEYS = (
    "netspec", "name", "doc", "args", "inputs", "include", "blocks", "layers", "outputs", "init",
    "module", "call", "act", "block", "spec", "param", "buffer", "use", "value", "const", "with",
    "from", "repeat", "as", "when", "declare", "keep", "tie", "freeze", "pin", "persistent", "n",
    "over", "shape", "dtype", "example", "train", "eval", "x", "0", "training", "forward", "bias",
    "dim", "kernel_size", "out_features", "inplace", "self", "_",
)  # fmt: skip

SPECS = ("lenet", "part", "resnet18", "../lenet", "/etc/passwd", "gpt", "resnet34")
RULES = ("Linear", "Linear.weight", "Conv2d.bias", "a.weight", "a.weight[0]", "b.bias[n:]", "c")


def tree(rng: random.Random) -> str:
    """A document whose every part is mostly of the right kind."""
    document: dict[str, object] = {"netspec": 1}
    if rng.random() < 0.03:
        args = {rng.choice(("num_classes", "last_relu", *NAMES)): plain(rng, 2)}
        document |= {"spec": rng.choice(SPECS)} | _some(rng, {"args": args, "name": "V"}, 0.7)
        return write(rng, document)
    if rng.random() < 0.2:
        document["args"] = {name: plain(rng, 2) for name in rng.sample(NAMES, rng.randint(1, 3))}
    names = rng.sample(("x", "y", "z"), rng.choice((1, 1, 1, 2, 3)))
    document["inputs"] = {name: _input(rng) for name in names}
    if rng.random() < 0.25:
        document["blocks"] = {
            name: {"layers": _layers(rng, 2)}
            | _some(rng, {"args": {"n": 1}, "inputs": ["x", "y"], "outputs": "a"})
            for name in rng.sample(("B", "C", "b"), rng.randint(1, 2))
        }
    document["layers"] = layers = _layers(rng, 3)
    read = [name for name in layers if rng.random() < 0.7] if isinstance(layers, dict) else []
    document["outputs"] = rng.choice(
        (
            [*read, *names],
            [*names, *({"when": _condition(rng), "value": name} for name in read)],
            {"train": read, "eval": [*read, *names]},
            plain(rng, 2),
        )
    )
    document |= _some(rng, {
        "name": rng.choice(KEYS),
        "init": {rng.choice(RULES): _init(rng)}, "doc": "text",
    }, 0.08)  # fmt: skip
    for _ in range(rng.choice((0, 0, 0, 0, 0, 1, 2))):
        _damage(rng, document)
    return write(rng, document)


def _condition(rng: random.Random) -> object:
    return rng.choice((True, False, "=training", "=x.shape[0] > 2", f"={expression(rng, 2)}"))


def _input(rng: random.Random) -> object:
    sizes = [
        "N",
        *(
            rng.choice((1, 2, 3, 4, 8, 8, "T", "=n", number(rng)))
            for _ in range(rng.choice((0, 1, 1, 2, 3, 3)))
        ),
    ]
    if rng.random() < 0.8:
        return sizes
    return {"shape": sizes, "dtype": rng.choice(catalog.dtype_names())} | _some(
        rng,
        {
            "example": {"N": number(rng), "T": [2, number(rng)]},
            "default": f"={expression(rng, 2)}",
        },
    )


def _layers(rng: random.Random, depth: int) -> object:
    names = [f"{letter}{k or ''}" for k in range(2) for letter in "abcdefgh"]
    chosen = (
        names[: rng.choice((1, 2, 3, 4))] if depth < 3 else names[: rng.choice((1, 2, 2, 3, 4, 7))]
    )
    if rng.random() < 0.2:
        return [layer(rng, depth, chosen) for _ in chosen]
    return {
        name if rng.random() < 0.98 else rng.choice(KEYS): layer(rng, depth, chosen)
        for name in chosen
    }


def layer(rng: random.Random, depth: int, names: Sequence[str]) -> object:
    """A layer in its short or its full form, which may name those given."""
    way = rng.randrange(20)
    if way < 2 or (way in (13, 16, 18) and rng.random() < 0.7):
        return rng.choice((*SHORT, rng.choice(catalog.function_names())))
    if way == 2:
        return f"={expression(rng, 3)}"
    found: dict[str, object]
    if way < 8:
        found = _operator_layer(
            rng, "module", catalog.find_module(rng.choice(catalog.module_names()))
        )
    elif way < 12:
        found = _operator_layer(
            rng, "call", catalog.find_function(rng.choice(catalog.function_names()))
        )
    elif way == 12:
        found = {"act": rng.choice((*catalog.activation_names(), "='re' + 'lu'", "=n", "=x"))}
    elif way == 13:
        found = {"block": rng.choice(("B", "C", "b"))} | _some(rng, {"n": plain(rng, 1)})
    elif way == 14 and depth > 0:
        found = {"layers": _layers(rng, depth - 1)} | _some(
            rng, {"as": rng.choice(("list", "inline", "graph", "sequential"))}
        )
    elif way == 15:
        sizes: object = [argument(rng, Kind.INT, 1) for _ in range(rng.randrange(4))]
        found = {
            rng.choice(("param", "buffer")): rng.choice((sizes, f"={expression(rng, 2)}")),
            "init": _init(rng),
        }
    elif way == 16:
        found = {"use": rng.choice(names)}
    elif way == 17:
        found = {"const": rng.choice((plain(rng, 2), f"={expression(rng, 2)}"))}
    elif way == 18:
        found = {"spec": rng.choice(SPECS)}
    else:
        found = {"value": f"={expression(rng, 3)}"}
    return found | _some(rng, _modifiers(rng, names), 0.04)


def _modifiers(rng: random.Random, names: Sequence[str]) -> dict[str, object]:
    name = rng.choice((*names, "x", "_"))
    return {
        "from": rng.choice((name, [name, "x"], f"={expression(rng, 2)}", [f"={expression(rng, 2)}",
        name])),
        "repeat": rng.choice((2, 3, 0, number(rng), {"n": 2, "as": "k"}, {"over": [1, 2],
        "as": "w"}, {"over": plain(rng, 2)})),
        "as": rng.choice(("list", "inline", "graph", "sequential")),
        "when": _condition(rng),
        "declare": True, "keep": True,
        "init": {rng.choice(("weight", "bias", "weight[0]", f"bias[{number(rng)}:n]")): _init(rng)},
        "freeze": True,
        "tie": {"weight": rng.choice((f"{name}.weight", f"='{name}.weight' if n else None"))},
        "args": {rng.choice(KEYS): plain(rng, 1)},
        "with": {"need_weights": False},
        rng.choice(KEYS): plain(rng, 2),
    }  # fmt: skip


def _operator_layer(rng: random.Random, kind: str, operator: Operator | None) -> dict[str, object]:
    assert operator is not None, "the name is the catalog's"
    signature = rng.choice(signatures_of(operator))
    if kind == "call":
        signature = Signature(signature.parameters[1:], signature.star)
    layer: dict[str, object] = {kind: operator.name}
    for parameter in signature.parameters:
        if rng.random() < (0.97 if parameter.required else 0.12):
            value = argument(rng, parameter.accepts, 2)
            layer[parameter.name] = f"={value}" if isinstance(value, Code) else value
    if kind == "module":
        takes = forward_signature_of(operator.target).parameters  # type: ignore[arg-type]
        needed = [p for p in takes if p.required] or list(takes[:1])
        if len(needed) > 1 and rng.random() < 0.9:
            layer["from"] = [rng.choice(("x", "y", "z", "x", "_", "=x.long()")) for _ in needed]
        layer |= _some(rng, {"with": _with(rng, takes)}, 0.1)
    return layer


def _with(rng: random.Random, takes: Sequence[Parameter]) -> dict[str, object]:
    optional = [parameter for parameter in takes if not parameter.required]
    chosen = rng.sample(optional, min(len(optional), 1))
    return {parameter.name: argument(rng, parameter.accepts, 2) for parameter in chosen}


def _init(rng: random.Random) -> object:
    operator = catalog.find_init(rng.choice(catalog.init_names()))
    assert operator is not None, "the name is the catalog's"
    _, named = arguments(rng, Signature(signatures_of(operator)[0].parameters[1:]), 1)
    return operator.name if rng.random() < 0.5 else {operator.name: named}


def _some(rng: random.Random, options: dict[str, object], share: float = 0.3) -> dict[str, object]:
    return {key: value for key, value in options.items() if rng.random() < share}


def plain(rng: random.Random, depth: int) -> object:
    """Any plain value."""
    way = rng.randrange(9)
    if way < 2 and depth > 0:
        return [plain(rng, depth - 1) for _ in range(rng.randrange(4))]
    if way == 2 and depth > 0:
        return {rng.choice(KEYS): plain(rng, depth - 1) for _ in range(rng.randrange(4))}
    if way < 5:
        return number(rng)
    if way == 5:
        return f"={expression(rng, 2)}"
    return rng.choice(
        (
            *KEYS,
            *NAMES,
            "==x",
            "",
            "é\u202e",
            "\x1b[31m",
            "a\nb",
            rng.choice(catalog.module_names()),
        )
    )


def _damage(rng: random.Random, document: dict[str, object]) -> None:
    """Something else in one place of the tree."""
    holder: object = document
    while isinstance(holder, (dict, list)) and holder:
        key = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        inner = holder[key]  # type: ignore[index, call-overload]
        if not isinstance(inner, (dict, list)) or not inner or rng.random() < 0.25:
            holder[key] = plain(rng, 2)  # type: ignore[index, call-overload]
            return
        holder = inner


def write(rng: random.Random, value: object, indent: int = 0) -> str:
    """YAML, in blocks or in braces by chance; a mapping in blocks ends with a new line."""
    spaces = "  " * indent
    if isinstance(value, dict) and value and rng.random() < (1 if not indent else 0.6):
        return "".join(
            f"{spaces}{_key(rng, key)}:{_below(rng, item, indent)}" for key, item in value.items()
        )
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{_key(rng, key)}: {flow(rng, item)}" for key, item in value.items())
            + "}"
        )
    return flow(rng, value)


def _below(rng: random.Random, value: object, indent: int) -> str:
    text = write(rng, value, indent + 1)
    return f"\n{text}" if text.endswith("\n") else f" {text}\n"


def flow(rng: random.Random, value: object) -> str:
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{_key(rng, key)}: {flow(rng, item)}" for key, item in value.items())
            + "}"
        )
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(flow(rng, item) for item in value) + "]"
    if isinstance(value, Code):
        value = f"={value}"
    if isinstance(value, float):
        return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(repr(value), repr(value))
    if isinstance(value, str) and value.isidentifier() and rng.random() < 0.97:
        return value
    return json.dumps(value, ensure_ascii=False)


def _key(rng: random.Random, key: object) -> str:
    text = str(key)
    return text if re.fullmatch(r"\w[\w.-]*", text) and rng.random() < 0.99 else json.dumps(text)
