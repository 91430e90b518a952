"""The signatures of torch's operators, read off torch: Python's hints, else ATen's schemas."""

from __future__ import annotations

import contextlib
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import cast

import torch
from torch import nn

from netspec.ops.arguments import (
    ArgumentType,
    Choices,
    Kind,
    Misfit,
    Parameter,
    SequenceOf,
    Signature,
    coerce,
)
from netspec.ops.catalog import Operator, find_module, module_names, schemas_of
from netspec.ops.schemas import NEVER_GIVEN, read_schema
from netspec.ops.torch_internals import boolean_dispatched
from netspec.ops.type_hints import either, read_hint

__all__ = ["Parameter", "Signature", "forward_signature_of", "signatures_of"]

_FLAG = either(Kind.BOOL, Kind.NONE)
_SIZE = either(Kind.INT, SequenceOf(Kind.INT))

# Where torch's hints are missing or wrong: by parameter, everywhere, and by operator.
_BY_PARAMETER: Mapping[str, ArgumentType] = {
    "dtype": either(Kind.DTYPE, Kind.NONE),  # the functional softmax says `int | None`
    "size_average": _FLAG,
    "reduce": _FLAG,
}
_BY_OPERATOR: Mapping[tuple[str, str], ArgumentType] = {
    ("MultiheadAttention", "embed_dim"): Kind.INT,
    ("MultiheadAttention", "num_heads"): Kind.INT,
    ("MultiheadAttention", "kdim"): either(Kind.INT, Kind.NONE),
    ("MultiheadAttention", "vdim"): either(Kind.INT, Kind.NONE),
    ("Transformer", "custom_encoder"): Kind.NONE,  # a module, which no argument is
    ("Transformer", "custom_decoder"): Kind.NONE,
    ("linear_cross_entropy", "options"): Kind.NONE,
    ("tensordot", "a"): Kind.TENSOR,
    ("tensordot", "b"): Kind.TENSOR,
    ("lu", "A"): Kind.TENSOR,
    ("unique", "dim"): either(Kind.INT, Kind.NONE),
    ("RNN", "hx"): either(Kind.TENSOR, Kind.NONE),
    ("GRU", "hx"): either(Kind.TENSOR, Kind.NONE),
    ("LSTM", "hx"): either(SequenceOf(Kind.TENSOR, 2), Kind.NONE),
}

# The functional hints of sizes (`BroadcastingList2[int]`) are None at run time; the class of the
# same name has them in full. These functions' classes go by another name.
_CLASS_OF = dict.fromkeys(
    ("interpolate", "upsample", "upsample_nearest", "upsample_bilinear"), "Upsample"
)

# Operators of which neither hints nor schemas tell what Python takes.
_SELF = Parameter("self", Kind.TENSOR)
_DTYPE = Parameter("dtype", _BY_PARAMETER["dtype"], required=False, keyword_only=True)
_DEVICE = Parameter("device", either(Kind.DEVICE, Kind.NONE), required=False, keyword_only=True)
_COPY = Parameter("copy", Kind.BOOL, required=False, default=False)
_AS_TUPLE = Parameter("as_tuple", Kind.BOOL, required=False, keyword_only=True, default=False)
_EQUATION = Parameter("equation", Kind.STR)
_WRITTEN_OUT: Mapping[tuple[str, str], tuple[Signature, ...]] = {
    ("torch", "tensor"): (Signature((Parameter("data", Kind.ANYTHING), _DTYPE, _DEVICE)),),
    ("torch", "einsum"): (
        Signature((_EQUATION,), star=Parameter("operands", Kind.TENSOR)),
        Signature((_EQUATION, Parameter("operands", SequenceOf(Kind.TENSOR)))),
    ),
    ("torch", "nonzero"): (Signature((Parameter("input", Kind.TENSOR), _AS_TUPLE)),),
    ("Tensor", "nonzero"): (Signature((_SELF, _AS_TUPLE)),),
    ("Tensor", "to"): (  # a change of dtype; a move to another device is not the spec's to make
        Signature((_SELF, Parameter("dtype", Kind.DTYPE), _COPY)),
        Signature((_SELF, Parameter("tensor", Kind.TENSOR), _COPY)),
    ),
}


@cache
def signatures_of(operator: Operator) -> tuple[Signature, ...]:
    """The ways to call an operator, its overloads in torch's order; a method takes `self` first.

    A parameter that a spec cannot or must not give (`out`, `generator`, a module's `device`) is
    left out.
    """
    if operator.is_module:
        return (_signature_of_constructor(cast("type[nn.Module]", operator.target)),)
    if operator.registered is not None:
        return (_from_python(operator.name, operator.target, {}),)
    written = _WRITTEN_OUT.get((operator.home, operator.name))
    if written is not None:
        return written
    function = _python_function(operator.target)
    if function is not None:
        return (_signature_of_function(operator, function),)
    method = operator.home == "Tensor"
    schemas = schemas_of(_schema_name(operator))
    found = [form for schema in schemas for form in read_schema(schema, method=method)]
    if not found:  # the casts: `x.float()`
        found = [Signature((_SELF,))]
    return tuple(dict.fromkeys(found))


def forward_signature_of(module: type[nn.Module]) -> Signature:
    """What a module's call takes, without `self`."""
    return _signature_of_forward(cast("Callable[..., object]", module))


def signature_of_class(cls: type) -> Signature:
    """What the constructor of any class of torch takes, as its hints say, without `self`."""
    return _of_module(cls.__name__, cast("Callable[..., object]", cls.__init__))  # type: ignore[misc]


@cache
def _signature_of_forward(module: Callable[..., object]) -> Signature:
    return _of_module(module.__name__, cast("type[nn.Module]", module).forward)


def _signature_of_constructor(module: type[nn.Module]) -> Signature:
    for recurrent in (nn.RNN, nn.LSTM, nn.GRU):
        if module.__init__ is recurrent.__init__:
            return _signature_of_rnn(recurrent)
    signature = _of_module(module.__name__, module.__init__)
    return Signature(_without(signature, "device").parameters)  # `*args` are Module's own, unused


def _signature_of_rnn(module: type[nn.RNNBase]) -> Signature:
    """nn.RNN, LSTM and GRU hand `*args, **kwargs` on to RNNBase."""
    base = _without(_of_module(module.__name__, nn.RNNBase.__init__), "device", "mode")
    if module is not nn.LSTM:
        base = _without(base, "proj_size")
    if module is not nn.RNN:
        return base
    choice = Parameter("nonlinearity", Choices(("tanh", "relu")), required=False, default="tanh")
    return Signature((*base.parameters[:3], choice, *base.parameters[3:]))


def _signature_of_function(operator: Operator, function: Callable[..., object]) -> Signature:
    types_in_schemas: dict[str, ArgumentType] = {}
    for schema in schemas_of(_schema_name(operator)):
        for form in read_schema(schema, method=operator.home == "Tensor"):
            for parameter in form.parameters:
                known = types_in_schemas.get(parameter.name, parameter.accepts)
                types_in_schemas[parameter.name] = either(known, parameter.accepts)
    return _from_python(operator.name, function, types_in_schemas)


def _schema_name(operator: Operator) -> str:
    return getattr(operator.target, "__name__", operator.name)


def _python_function(target: Callable[..., object]) -> Callable[..., object] | None:
    """The function whose signature holds: of two that a flag picks from, the one without."""
    while target in boolean_dispatched:
        target = boolean_dispatched[target]["if_false"]
    return target if isinstance(target, types.FunctionType) else None


def _of_module(name: str, function: Callable[..., object]) -> Signature:
    """The signature of one of a module's own methods, without its `self`."""
    whole = _from_python(name, function, {})
    return Signature(whole.parameters[1:], whole.star)


def _from_python(
    operator: str, function: Callable[..., object], known: Mapping[str, ArgumentType]
) -> Signature:
    hints = _hints_of(function)
    of_torch = str(function.__module__).partition(".")[0] == "torch"
    parameters, star = [], None
    for parameter in inspect.signature(function).parameters.values():
        name = parameter.name
        if parameter.kind is parameter.VAR_POSITIONAL:
            star = Parameter(name, read_hint(hints.get(name, torch.Tensor)))
            continue
        if parameter.kind is parameter.VAR_KEYWORD or _is_internal(parameter, of_torch):
            continue
        accepts = _type_of(operator, parameter, hints, known, of_torch)
        required = parameter.default is parameter.empty
        default = None if required else parameter.default
        keyword_only = parameter.kind is parameter.KEYWORD_ONLY or star is not None
        parameters.append(Parameter(name, accepts, required, keyword_only, default))
    return Signature(tuple(map(_widened, parameters)), star)


def _is_internal(parameter: inspect.Parameter, of_torch: bool) -> bool:
    return parameter.name.startswith("_") or (of_torch and parameter.name in NEVER_GIVEN)


def _hints_of(function: Callable[..., object]) -> Mapping[str, object]:
    """The hints that can be evaluated; what only a type checker understands is left out."""
    try:
        return typing.get_type_hints(function)
    except Exception:  # one of the hints; which, the loop finds
        hints: dict[str, object] = {}
        for name, hint in function.__annotations__.items():
            alone = types.SimpleNamespace(__annotations__={name: hint})
            with contextlib.suppress(Exception):
                hints |= typing.get_type_hints(alone, function.__globals__)
        return hints


def _type_of(
    operator: str,
    parameter: inspect.Parameter,
    hints: Mapping[str, object],
    known: Mapping[str, ArgumentType],
    of_torch: bool,
) -> ArgumentType:
    name = parameter.name
    corrected = _BY_OPERATOR.get((operator, name)) or _BY_PARAMETER.get(name)
    if corrected is not None and of_torch:
        return corrected
    lost = name in hints and hints[name] is type(None)
    if lost or operator in _CLASS_OF:
        found = _type_in_class(operator, name)
        if lost or found is not None:
            return found or _SIZE
    if name in hints:
        return read_hint(hints[name])
    if name in known:
        return known[name]
    if name in ("input", "self"):
        return Kind.TENSOR
    return type_of_default(parameter) or Kind.ANYTHING


def type_of_default(parameter: inspect.Parameter) -> ArgumentType | None:
    """What a parameter without a hint takes, where its default tells; an int might be a float."""
    plain = type(parameter.default)
    return read_hint(plain) if plain in (bool, float, str) else None


def _type_in_class(function: str, parameter: str) -> ArgumentType | None:
    """The type of a function's parameter in the class that does the same."""
    operator = _class_of(function)
    if operator is None:
        return None
    module = cast("type[nn.Module]", operator.target)
    places = (*signatures_of(operator), forward_signature_of(module))
    for place in places:
        for candidate in place.parameters:
            if candidate.name == parameter:
                return candidate.accepts
    return None


def _class_of(function: str) -> Operator | None:
    bare = function.removesuffix("_with_indices").replace("_", "")
    return find_module(_CLASS_OF.get(function) or _class_names().get(bare, ""))


@cache
def _class_names() -> Mapping[str, str]:
    return {name.lower(): name for name in module_names()}


def _widened(parameter: Parameter) -> Parameter:
    """The parameter, made to take its own default, as hints forget `| None`, or say int for 1.0."""
    if parameter.required or not isinstance(coerce(parameter, parameter.default), Misfit):
        return parameter
    accepts = either(parameter.accepts, read_hint(type(parameter.default)))
    return Parameter(parameter.name, accepts, False, parameter.keyword_only, parameter.default)


def _without(signature: Signature, *names: str) -> Signature:
    kept = tuple(p for p in signature.parameters if p.name not in names)
    return Signature(kept, signature.star)
