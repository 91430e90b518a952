"""The refusal of a layer that is written as another tool writes it."""

from __future__ import annotations

from netspec.errors import Diagnostic
from netspec.ir.foreign.translate import is_inputs, text_of
from netspec.ir.foreign.written import Written, read_call, read_layer
from netspec.ir.graph import Place
from netspec.ops import catalog
from netspec.ops.foreign_names import told_of_module

_ROW = "[from, number, class, arguments]"


def foreign_layer(value: object, place: Place) -> Diagnostic:
    """NS202: a layer of another tool, with the line that a spec has for it."""
    written = read_layer(value)
    name = str(place.path[-1]).strip("()") if place.path else ""
    if isinstance(value, str):
        fact = f"a layer is data, and `{value}` is a call of Python"
        help = help_for(written, name) if written is not None else "write `{module: Linear, …}`"
        return Diagnostic("NS202", fact, place.span(), help=help)
    if written is None:
        fact = f"layer `{name}` has no kind"
        return Diagnostic("NS202", fact, place.span(), help="write `{module: Linear, …}`")
    span = place.span() if written.key is None else place.at(written.key).key_span()
    return Diagnostic("NS202", _fact(written, name), span, help=help_for(written, name))


def _fact(written: Written, name: str) -> str:
    if written.key == "args":
        return f"the arguments of layer `{name}` are a list, and each of them has a name"
    if written.tool is None:
        return f"layer `{name}` has no kind"
    if written.key is None:
        return f"this is a row of {written.tool}, {_ROW}, and a layer is a mapping"
    return f"layer `{name}` is written for {written.tool}, with `{written.key}`"


def call_help(text: str, name: str) -> str | None:
    """Of a call where the name of a class or function is expected, as in `module: nn.ReLU()`."""
    written = read_call(text)
    if written is not None:
        return help_for(written, name)
    cls = text.partition("(")[0].rpartition(".")[2]
    if cls == text or "(" not in text or catalog.find_module(cls) is None:
        return None  # `Conv2d(3` of `{module: Conv2d(3, 64)}`, which YAML takes apart
    return f"a class is named by itself, and its arguments are keys: `{{module: {cls}, …}}`"


def help_for(written: Written, name: str | None = None) -> str:
    """What to write for it; of a class that torch does not have, how to make one."""
    if is_inputs(written):
        return "leave it out: what the model takes is written under `inputs`"
    text = text_of(written, name)
    if text is None:
        told = told_of_module(written.name) if written.tool != "Ultralytics" else None
        made = f"torch has no class `{written.name}`: write its layers as a block"
        return told or f"{made}, `{{block: {written.name}}}`, or register it in Python"
    if written.tool != "Ultralytics":
        return f"write {text}"
    help = f"write {text}"
    if written.name == "Conv":
        help += "; theirs also pads, and a BatchNorm2d and a SiLU follow"
    return f"{help}; `from` names what it reads" if written.reads_others else help
