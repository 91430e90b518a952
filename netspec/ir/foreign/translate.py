"""A layer of another tool → the layers that a spec writes, as far as torch has their classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netspec.ir.foreign.written import Written, read_layer
from netspec.language.dump import flow_text
from netspec.ops import catalog
from netspec.ops.catalog import Operator
from netspec.ops.foreign_names import INPUT_SIZES, argument_of, module_of
from netspec.ops.signatures import signatures_of
from netspec.source import Plain

Layer = dict[str, Plain]

_JOINS = ("Concat", "Concatenate", "Cat")
_SAME = ("linear", "identity", "none")  # activations that do nothing
_INPUTS = ("InputLayer", "Input")
_MOST = 12  # layers of a container that are written out


def translated(written: Written) -> list[Layer] | None:
    """The layers that say the same, mostly one; None where torch has no such class."""
    name = written.name
    if name in ("Sequential", "ModuleList", "Functional", "Model"):
        return _container(written)
    if name in _JOINS:
        return [{"call": "cat", "dim": _dim_of(written)}]
    if name == "Activation":
        function = next(iter((*written.args, *written.kwargs.values())), None)
        return [{"act": str(function)}] if _is_activation(str(function)) else None
    function = _activation_named(name)
    if function is not None and not written.args:
        kept = {k: v for k, v in written.kwargs.items() if k != "inplace"}
        own = _arguments(_activation_class(function), written, kept)
        return [{"act": function, **own}]
    operator = _class_of(name)
    if operator is None:
        return None
    layer: Layer = {"module": operator.name, **_arguments(operator, written, written.kwargs)}
    if written.copies > 1:
        layer["repeat"] = written.copies
    return [layer, *_activation_after(written)]


def text_of(written: Written, name: str | None = None) -> str | None:
    """The translation on one line, after the layer's name where it has one."""
    layers = translated(written)
    if not layers:
        return None
    texts = [flow_text(layer) for layer in layers]
    if name is not None and name.isidentifier():
        texts[0] = f"{name}: {texts[0]}"
    return " and then ".join(f"`{text}`" for text in texts)


def is_inputs(written: Written) -> bool:
    """Whether this is no layer, and says what the model takes."""
    return written.name in _INPUTS


def _class_of(name: str) -> Operator | None:
    found = catalog.find_module(name)
    other = module_of(name) if found is None else None
    return found or (catalog.find_module(other) if other is not None else None)


def _activation_named(name: str) -> str | None:
    """The function of an activation that is named by its class, in any case: `Relu`, `ReLU`."""
    if name.islower() and _is_activation(name):
        return name
    folded = name.lower()
    for function in catalog.activation_names():
        module = catalog.module_of_activation(function)
        if module is not None and module.name.lower() == folded:
            return function
    return None


def _is_activation(name: str) -> bool:
    return catalog.module_of_activation(name) is not None


def _activation_class(function: str) -> Operator:
    operator = catalog.module_of_activation(function)
    assert operator is not None, "an activation has a class"
    return operator


def _container(written: Written) -> list[Layer] | None:
    inner = written.kwargs.get("layers", list(written.args))
    if not isinstance(inner, list) or not 0 < len(inner) <= _MOST:
        return None
    layers: list[Plain] = []
    for item in inner:
        one = read_layer(item.lstrip("=") if isinstance(item, str) else item)
        if one is not None and is_inputs(one):
            continue
        found = translated(one) if one is not None else None
        if found is None:
            return None
        layers += found
    return [{"layers": layers}]


def _arguments(operator: Operator, written: Written, named: Mapping[str, Plain]) -> Layer:
    """The arguments by torch's names; what torch has no name for is left out."""
    parameters = signatures_of(operator)[0].parameters
    known = [p.name for p in parameters]
    defaults = {p.name: p.default for p in parameters if not p.required}
    found: Layer = {}
    for name, value in zip(_positional(known, written), written.args, strict=False):
        if value is not None:
            found[name] = _value(name, value)
    for name, value in named.items():
        own = name if name in known else argument_of(name, known)
        plain = _value(own or name, value)
        if own is None or value is None or isinstance(value, dict) or plain == "valid":
            continue
        if own == "padding" and plain == "same" and "Pool" in operator.name:
            continue  # torch's pools take numbers
        if own not in defaults or defaults[own] != plain:
            found[own] = plain
    return found


def _positional(known: Sequence[str], written: Written) -> list[str]:
    """The names of the arguments by position; rows of Ultralytics leave sizes of the input out."""
    if written.tool != "Ultralytics":
        return list(known)
    return [name for name in known if name not in INPUT_SIZES]


def _value(name: str, value: Plain) -> Plain:
    """A pair of equal numbers as the one number; begin and end of a padding as one of them."""
    if name == "normalized_shape":  # whose length says over how many dimensions
        return value
    if isinstance(value, list) and len(value) in (2, 3, 4, 6) and len(set(map(str, value))) == 1:
        return value[0]
    return value


def _dim_of(written: Written) -> Plain:
    dim = next(iter(written.args), written.kwargs.get("axis", written.kwargs.get("dim", 1)))
    return dim if isinstance(dim, int) else 1


def _activation_after(written: Written) -> list[Layer]:
    """The activation that Keras writes into a layer, as the layer that it is here."""
    name = written.kwargs.get("activation")
    if not isinstance(name, str) or name in _SAME:
        return []
    layer: Layer = {"act": name}
    if name == "softmax":
        layer["dim"] = -1
    return [layer] if _is_activation(name) else []
