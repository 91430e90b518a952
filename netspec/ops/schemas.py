"""ATen schemas as signatures, under the names that torch's Python binding gives the parameters."""

from __future__ import annotations

from functools import cache
from keyword import iskeyword

import torch

from netspec.ops.arguments import ArgumentType, Kind, Parameter, SequenceOf, Signature
from netspec.ops.type_hints import either

# Parameters that a spec has no use for, or that name places outside of the model.
NEVER_GIVEN = frozenset(
    ("out", "generator", "layout", "pin_memory", "memory_format", "requires_grad", "non_blocking")
)

_PLAIN = {
    "Tensor": Kind.TENSOR,
    "int": Kind.INT,
    "SymInt": Kind.INT,
    "float": Kind.FLOAT,
    "bool": Kind.BOOL,
    "str": Kind.STR,
    "number": Kind.SCALAR,
    "Scalar": Kind.SCALAR,
    "ScalarType": Kind.DTYPE,
    "Device": Kind.DEVICE,
}


def read_schema(schema: torch.FunctionSchema, *, method: bool) -> tuple[Signature, ...]:
    """The ways to call one overload from Python; none where Python has no such overload.

    Where the only positional argument is a list of ints, Python takes it bare, too: `x.view(2, 3)`.
    """
    if _is_internal(schema):
        return ()
    parameters: list[Parameter] = []
    for argument in schema.arguments:
        if argument.name in NEVER_GIVEN:
            continue
        accepts = _read_type(str(argument.real_type), argument.N)  # type: ignore[attr-defined]  # the stub has no N
        required = not argument.has_default_value()
        if required and accepts in (Kind.DEVICE, Kind.OPAQUE):
            return ()
        name = argument.name
        if name == "self" and not method and accepts is Kind.TENSOR:
            name = "input"
        elif iskeyword(name):  # `from` of `uniform_`, which Python takes by position only
            name += "_"
        default = _read_default(argument)
        if not required and default is None:
            accepts = either(accepts, Kind.NONE)
        parameters.append(Parameter(name, accepts, required, argument.kwarg_only, default))
    if method:
        parameters.sort(key=lambda parameter: parameter.name != "self")
        if not parameters or parameters[0] != Parameter("self", Kind.TENSOR):
            return ()
    whole = Signature(tuple(parameters))
    return whole, *_with_bare_ints(whole, method)


def _is_internal(schema: torch.FunctionSchema) -> bool:
    """Overloads for TorchScript's own use, and those by dimension names."""
    overload = schema.overload_name
    if overload.startswith("prim_") or "hacked_twin" in overload:
        return True
    return any("Dimname" in str(argument.real_type) for argument in schema.arguments)


def _with_bare_ints(whole: Signature, method: bool) -> tuple[Signature, ...]:
    lead = whole.parameters[:1] if method else ()
    rest = whole.parameters[len(lead) :]
    positional = [parameter for parameter in rest if not parameter.keyword_only]
    if len(positional) != 1 or not isinstance(positional[0].accepts, SequenceOf):
        return ()
    if positional[0].accepts.item is not Kind.INT:
        return ()
    named = tuple(parameter for parameter in rest if parameter.keyword_only)
    return (Signature(lead + named, star=Parameter(positional[0].name, Kind.INT)),)


def _read_default(argument: torch.Argument) -> object:
    """The default as Python has it: an empty list of sizes is None there, a dtype no number."""
    default = argument.default_value
    if isinstance(default, list):
        return tuple(default) or None
    if default is not None and str(argument.real_type) == "ScalarType":
        assert default == 4, f"the dtype {default} of {argument.name} has no name here yet"
        return torch.int64
    return default


@cache
def _read_type(text: str, length: int | None) -> ArgumentType:
    if text in _PLAIN:
        return _PLAIN[text]
    head, _, inner = text.partition("[")
    inner = inner.removesuffix("]")
    if head == "Optional":
        return either(_read_type(inner, length), Kind.NONE)
    if head != "List":
        return Kind.OPAQUE
    item = _read_type(inner, None)
    # `int[2]` takes one int for both; `int[1]` takes one int or a list of any length
    if length is None:
        return SequenceOf(item)
    return either(item, SequenceOf(item, None if length == 1 else length))
