"""What torch's operators take, against Python's own view and torch's stubs."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import BuiltinFunctionType

import pytest
import torch
from torch import nn

from netspec.ops import catalog
from netspec.ops.arguments import Either, Kind, Misfit, SequenceOf, coerce, describe
from netspec.ops.catalog import Operator, find_function, find_init, find_method, find_module
from netspec.ops.schemas import NEVER_GIVEN
from netspec.ops.signatures import Parameter, Signature, forward_signature_of, signatures_of


@cache
def operators() -> tuple[Operator, ...]:
    found = [find_module(name) for name in catalog.module_names()]
    found += [find_function(name) for name in catalog.function_names()]
    found += [find_method(name) for name in catalog.method_names()]
    found += [find_init(name) for name in catalog.init_names()]
    return tuple(dict.fromkeys(operator for operator in found if operator is not None))


def parameters() -> Iterator[tuple[Operator, Parameter]]:
    for operator in operators():
        signatures = list(signatures_of(operator))
        if isinstance(operator.target, type):
            signatures.append(forward_signature_of(operator.target))
        for signature in signatures:
            for parameter in (*signature.parameters, signature.star):
                if parameter is not None:
                    yield operator, parameter


def test_every_operator_has_a_signature() -> None:
    assert len(operators()) > 1000
    assert all(signatures_of(operator) for operator in operators())
    assert all(hash(signatures_of(operator)) is not None for operator in operators())


def test_every_default_fits() -> None:
    for operator, parameter in parameters():
        if not parameter.required:
            fitted = coerce(parameter, parameter.default)
            assert not isinstance(fitted, Misfit), (operator, parameter)


def test_few_parameters_take_anything() -> None:
    untyped = {f"{o.home}.{o.name}.{p.name}" for o, p in parameters() if p.accepts is Kind.ANYTHING}
    assert untyped == {"torch.tensordot.dims", "torch.tensor.data"}


def test_few_parameters_are_out_of_a_specs_reach() -> None:
    opaque = {f"{o.home}.{o.name}.{p.name}" for o, p in parameters() if "OPAQUE" in repr(p.accepts)}
    callables = {"activation", "distance_function", "options"}
    recipes = {"scale_recipe_a", "scale_recipe_b", "swizzle_a", "swizzle_b"}
    assert {name.split(".")[2] for name in opaque} == callables | recipes


def test_nothing_takes_what_a_spec_must_not_give() -> None:
    for operator, parameter in parameters():
        assert parameter.name not in NEVER_GIVEN
        assert not parameter.name.startswith("_")
        assert operator.home != "nn" or parameter.name != "device"
        if parameter.name == "device":
            assert isinstance(coerce(parameter, "cuda"), Misfit)
            assert isinstance(coerce(parameter, 0), Misfit)


def written(signature: Signature) -> list[str]:
    """`name: type`, `name: type = default`, with `*` before what follows by keyword only."""
    lines = []
    for parameter in signature.parameters:
        star = "*" if parameter.keyword_only else ""
        default = "" if parameter.required else f" = {parameter.default!r}"
        lines.append(f"{star}{parameter.name}: {describe(parameter.accepts)}{default}")
    if signature.star is not None:
        lines.append(f"*{signature.star.name}: {describe(signature.star.accepts)} …")
    return lines


def test_conv2d() -> None:
    assert written(signatures_of(module("Conv2d"))[0]) == [
        "in_channels: an int",
        "out_channels: an int",
        "kernel_size: an int or a pair of ints",
        "stride: an int or a pair of ints = 1",
        "padding: a string, an int or a pair of ints = 0",
        "dilation: an int or a pair of ints = 1",
        "groups: an int = 1",
        "bias: a bool = True",
        "padding_mode: one of `zeros`, `reflect`, `replicate`, `circular` = 'zeros'",
        "dtype: a dtype or null = None",
    ]
    assert written(forward_signature_of(nn.Conv2d)) == ["input: a tensor"]


def test_recurrent_layers() -> None:
    lstm = [
        "input_size: an int",
        "hidden_size: an int",
        "num_layers: an int = 1",
        "bias: a bool = True",
        "batch_first: a bool = False",
        "dropout: a number = 0.0",
        "bidirectional: a bool = False",
        "proj_size: an int = 0",
        "dtype: a dtype or null = None",
    ]
    gru = [line for line in lstm if "proj_size" not in line]
    assert written(signatures_of(module("LSTM"))[0]) == lstm
    assert written(signatures_of(module("GRU"))[0]) == gru
    choice = "nonlinearity: one of `tanh`, `relu` = 'tanh'"
    assert written(signatures_of(module("RNN"))[0]) == [*gru[:3], choice, *gru[3:]]
    assert written(forward_signature_of(nn.LSTM)) == [
        "input: a tensor",
        "hx: a pair of tensors or null = None",
    ]


@pytest.mark.parametrize(("name", "arguments"), [("RNN", 9), ("LSTM", 9), ("GRU", 8)])
def test_recurrent_layers_take_what_their_signature_says(name: str, arguments: int) -> None:
    operator = module(name)
    signature = signatures_of(operator)[0]
    assert len(signature.parameters) == arguments
    given = {p.name: 4 if p.required else p.default for p in signature.parameters}
    assert isinstance(operator.target(**given), nn.Module)


def test_multihead_attention() -> None:
    assert written(signatures_of(module("MultiheadAttention"))[0]) == [
        "embed_dim: an int",
        "num_heads: an int",
        "dropout: a number = 0.0",
        "bias: a bool = True",
        "add_bias_kv: a bool = False",
        "add_zero_attn: a bool = False",
        "kdim: an int or null = None",
        "vdim: an int or null = None",
        "batch_first: a bool = False",
        "dtype: a dtype or null = None",
    ]
    assert written(forward_signature_of(nn.MultiheadAttention)) == [
        "query: a tensor",
        "key: a tensor",
        "value: a tensor",
        "key_padding_mask: a tensor or null = None",
        "need_weights: a bool = True",
        "attn_mask: a tensor or null = None",
        "average_attn_weights: a bool = True",
        "is_causal: a bool = False",
    ]


SIZE = "an int or a pair of ints"
SIZES = "an int or a list of ints"
FUNCTIONS = {
    "max_pool2d": [
        [
            "input: a tensor",
            f"kernel_size: {SIZES}",
            "stride: an int, a list of ints or null = None",
            f"padding: {SIZES} = 0",
            f"dilation: {SIZES} = 1",
            "ceil_mode: a bool = False",
            "return_indices: a bool = False",
        ]
    ],
    "conv2d": [
        [
            "input: a tensor",
            "weight: a tensor",
            "bias: a tensor or null = None",
            f"stride: {SIZE} = (1, 1)",
            f"padding: {padding}",
            f"dilation: {SIZE} = (1, 1)",
            "groups: an int = 1",
        ]
        for padding in (f"{SIZE} = (0, 0)", "a string = 'valid'")
    ],
    "batch_norm": [
        [
            "input: a tensor",
            "running_mean: a tensor or null",
            "running_var: a tensor or null",
            "weight: a tensor or null = None",
            "bias: a tensor or null = None",
            "training: a bool = False",
            "momentum: a number = 0.1",
            "eps: a number = 1e-05",
        ]
    ],
    "avg_pool2d": [
        [
            "input: a tensor",
            f"kernel_size: {SIZE}",
            "stride: an int, a pair of ints or null = None",
            f"padding: {SIZE} = (0, 0)",
            "ceil_mode: a bool = False",
            "count_include_pad: a bool = True",
            "divisor_override: an int or null = None",
        ]
    ],
    "interpolate": [
        [
            "input: a tensor",
            "size: an int, a list of ints or null = None",
            "scale_factor: a number, a list of numbers or null = None",
            "mode: a string = 'nearest'",
            "align_corners: a bool or null = None",
            "recompute_scale_factor: a bool or null = None",
            "antialias: a bool = False",
        ]
    ],
    "scaled_dot_product_attention": [
        [
            "query: a tensor",
            "key: a tensor",
            "value: a tensor",
            "attn_mask: a tensor or null = None",
            "dropout_p: a number = 0.0",
            "is_causal: a bool = False",
            "*scale: a number or null = None",
            "*enable_gqa: a bool = False",
        ]
    ],
    "softmax": [
        ["input: a tensor", "dim: an int or null = None", "dtype: a dtype or null = None"],
    ],
    "adaptive_avg_pool2d": [
        ["input: a tensor", "output_size: an int, a list of ints and nulls or null"]
    ],
    "cat": [["tensors: a list of tensors", "dim: an int = 0"]],
    "flatten": [["input: a tensor", "start_dim: an int = 0", "end_dim: an int = -1"]],
    "where": [
        ["condition: a tensor", "input: a tensor", "other: a tensor"],
        ["condition: a tensor", "input: a tensor", "other: a number or a bool"],
        ["condition: a tensor", "self: a number or a bool", "other: a tensor"],
        ["condition: a tensor", "self: a number or a bool", "other: a number or a bool"],
        ["condition: a tensor"],
    ],
    "einsum": [
        ["equation: a string", "*operands: a tensor …"],
        ["equation: a string", "operands: a list of tensors"],
    ],
    "meshgrid": [["*indexing: a string or null = None", "*tensors: a tensor …"]],
    "zeros": [
        [
            "size: a list of ints",
            "*dtype: a dtype or null = None",
            "*device: a device or null = None",
        ],
        [
            "*dtype: a dtype or null = None",
            "*device: a device or null = None",
            "*size: an int …",
        ],
    ],
}
METHODS = {
    "view": [
        ["self: a tensor", "size: a list of ints"],
        ["self: a tensor", "*size: an int …"],
        ["self: a tensor", "dtype: a dtype"],
    ],
    "transpose": [["self: a tensor", "dim0: an int", "dim1: an int"]],
    "masked_fill": [
        ["self: a tensor", "mask: a tensor", "value: a number or a bool"],
        ["self: a tensor", "mask: a tensor", "value: a tensor"],
    ],
    "where": [
        ["self: a tensor", "condition: a tensor", "other: a tensor"],
        ["self: a tensor", "condition: a tensor", "other: a number or a bool"],
    ],
    "split": [["self: a tensor", "split_size: an int or a list of ints", "dim: an int = 0"]],
    "to": [
        ["self: a tensor", "dtype: a dtype", "copy: a bool = False"],
        ["self: a tensor", "tensor: a tensor", "copy: a bool = False"],
    ],
    "float": [["self: a tensor"]],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    operator = find_function(name)
    assert operator is not None
    assert [written(signature) for signature in signatures_of(operator)] == FUNCTIONS[name]


@pytest.mark.parametrize("name", METHODS)
def test_methods(name: str) -> None:
    operator = find_method(name)
    assert operator is not None
    assert [written(signature) for signature in signatures_of(operator)] == METHODS[name]


def test_constructors_have_the_names_that_python_takes() -> None:
    for name in catalog.module_names():
        operator = module(name)
        assert isinstance(operator.target, type)
        if issubclass(operator.target, nn.RNNBase):
            continue
        known = {p.name for p in signatures_of(operator)[0].parameters}
        python = inspect.signature(operator.target.__init__).parameters.values()
        named = {
            p.name for p in python if p.kind is p.POSITIONAL_OR_KEYWORD or p.kind is p.KEYWORD_ONLY
        }
        assert known == {n for n in named - {"self"} if n != "device" and not n.startswith("_")}, (
            name
        )


Form = tuple[tuple[tuple[str, bool, bool], ...], str | None]


def test_builtins_have_the_names_of_torchs_stubs() -> None:
    """The stubs come from the code generator that makes torch's own argument parsers."""
    functions = forms_in("_VariableFunctions.pyi", None)
    methods = forms_in("__init__.pyi", "TensorBase")
    other, compared = set(), 0
    for operator in operators():
        if operator.home == "Tensor":
            stub = methods.get(operator.name)
        elif isinstance(operator.target, BuiltinFunctionType) and operator.home == "torch":
            stub = functions.get(operator.name)
        else:
            stub = None
        if stub is None:
            continue
        compared += 1
        ours = {form_of(signature) for signature in signatures_of(operator)}
        if not ours & stub or any(ours.isdisjoint({form}) for form in stub if is_current(form)):
            other.add(f"{operator.home}.{operator.name}")
    assert compared > 800
    assert other == KNOWN_TO_DIFFER


# Where a stub writes two forms as one, has what Python does not take (`other` of `to`, `names`), or
# lists a form that torch has deprecated.
KNOWN_TO_DIFFER = {
    *("torch.div", "Tensor.div", "Tensor.div_", "torch.nonzero", "Tensor.nonzero", "Tensor.to"),
    *("torch.arange", "torch.full", "torch.linspace", "torch.logspace", "torch.tensor"),
    *("Tensor.new_ones", "Tensor.hash_tensor"),
}


def is_current(form: Form) -> bool:
    """Deprecated forms put a scalar before the tensors: `addmm(beta, self, alpha, …)`."""
    return not any(name in ("beta", "alpha", "value") and required for name, required, _ in form[0])


def form_of(signature: Signature) -> Form:
    rows = tuple((p.name, p.required, p.keyword_only) for p in signature.parameters)
    return rows, signature.star.name if signature.star else None


def forms_in(stub: str, holder: str | None) -> dict[str, set[Form]]:
    body = ast.parse((Path(torch.__file__).parent / "_C" / stub).read_text("utf-8")).body
    if holder is not None:
        body = next(n.body for n in body if isinstance(n, ast.ClassDef) and n.name == holder)
    forms: dict[str, set[Form]] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef):
            forms.setdefault(node.name, set()).add(form_in(node.args))
    return forms


def form_in(arguments: ast.arguments) -> Form:
    positional = arguments.posonlyargs + arguments.args
    required = len(positional) - len(arguments.defaults)
    rows = [(a.arg, i < required, False) for i, a in enumerate(positional)]
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    rows += [(a.arg, default is None, True) for a, default in named]
    star = arguments.vararg.arg if arguments.vararg else None
    return tuple(row for row in rows if row[0] not in NEVER_GIVEN), star


def test_a_class_of_the_users_own_is_read_as_well() -> None:
    class Scale(nn.Module):
        def __init__(self, size: int, mode: Missing = None, *rest: int, flag: bool = True) -> None:  # type: ignore[name-defined]  # noqa: F821
            super().__init__()

        def forward(self, x: torch.Tensor, factor: float = 1.0) -> torch.Tensor:
            return x

    operator = Operator("Scale", "nn", Scale)
    assert written(signatures_of(operator)[0]) == [
        "size: an int",
        "mode: anything = None",
        "*flag: a bool = True",
    ]
    assert written(forward_signature_of(Scale)) == ["x: a tensor", "factor: a number = 1.0"]


def test_sizes_of_pooling_come_from_the_class() -> None:
    function = find_function("adaptive_max_pool3d_with_indices")
    assert function is not None
    output_size = signatures_of(function)[0].parameters[1]
    assert output_size.accepts == Either(
        (Kind.INT, Kind.NONE, SequenceOf(Either((Kind.INT, Kind.NONE))))
    )


def module(name: str) -> Operator:
    operator = find_module(name)
    assert operator is not None
    return operator
