"""The closed table: what it lists, and what it must never list."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from netspec.ops import catalog
from netspec.ops.catalog import (
    Operator,
    find_dtype,
    find_function,
    find_init,
    find_method,
    find_module,
    function_of_activation,
    module_of_activation,
    overwrites,
)

FINDERS = {
    "module": (find_module, catalog.module_names),
    "function": (find_function, catalog.function_names),
    "method": (find_method, catalog.method_names),
    "init": (find_init, catalog.init_names),
    "dtype": (find_dtype, catalog.dtype_names),
}


@pytest.mark.parametrize("what", FINDERS)
def test_the_lists_of_names_agree_with_the_lookups(what: str) -> None:
    find, names = FINDERS[what]
    assert list(names()) == sorted(set(names()))
    assert all(find(name) is not None for name in names())
    assert all(name.isidentifier() and not name.startswith("_") for name in names())


@pytest.mark.parametrize(
    "name",
    [
        *(
            "importlib",
            "torch",
            "os",
            "sys",
            "np",
            "math",
            "warnings",
            "Tensor",
            "nn",
            "functional",
        ),
        *("__class__", "__init__", "__reduce_ex__", "_C", "_VF", "_threshold", ""),
        *("F.relu", "nn.functional", "functional.relu", "relu ", "relu()"),
        *("numpy", "data_ptr", "tolist", "item", "storage", "untyped_storage", "set_", "data"),
        *("resize_", "resize_as_", "resize", "as_strided", "as_strided_", "share_memory_"),
        *("apply_", "map_", "map2_", "apply", "register_hook", "register_parameter", "vmap"),
        *("backward", "requires_grad_", "detach_", "retain_grad", "record_stream", "grad"),
        *("load", "save", "from_file", "compile", "from_numpy", "from_dlpack", "frombuffer"),
        *("cuda", "cpu", "xpu", "ipu", "mtia", "pin_memory", "type", "new", "as_subclass"),
        *("set_default_dtype", "manual_seed", "no_grad", "autocast", "is_tensor", "jit", "ops"),
        *("handle_torch_function", "boolean_dispatch", "has_torch_function", "assert_int_or_pair"),
        *("module_load", "__getitem__", "__setstate__", "fbgemm_pack_gemm_matrix_fp16"),
        *(
            "native_batch_norm",
            "batch_norm_elemt",
            "miopen_rnn",
            "quantized_lstm_cell",
            "lstm_cell",
        ),
        *("Module", "Sequential", "ModuleList", "DataParallel", "LazyLinear", "Parameter", "init"),
    ],
)
def test_a_name_outside_of_the_table_is_not_found(name: str) -> None:
    assert find_module(name) is None
    assert find_function(name) is None
    assert find_method(name) is None
    assert find_init(name) is None
    assert find_dtype(name) is None


def test_a_function_is_looked_for_in_functional_then_torch_then_tensor() -> None:
    assert find_function("relu") == Operator("relu", "F", F.relu)
    assert find_function("max_pool2d") == Operator("max_pool2d", "F", F.max_pool2d)
    assert find_function("hardswish") == Operator("hardswish", "F", F.hardswish)
    assert find_function("cat") == Operator("cat", "torch", torch.cat)
    assert find_function("einsum") == Operator("einsum", "torch", torch.einsum)
    assert find_function("unique") == Operator("unique", "torch", torch.unique)
    assert find_function("view") == Operator("view", "Tensor", torch.Tensor.view)
    assert find_function("float") == Operator("float", "Tensor", torch.Tensor.float)
    assert find_method("relu") == Operator("relu", "Tensor", torch.Tensor.relu)
    assert find_method("unflatten") == Operator("unflatten", "Tensor", torch.Tensor.unflatten)
    assert find_method("cat") is None


def test_every_function_is_what_its_written_name_reaches() -> None:
    homes = {"F": F, "torch": torch, "Tensor": torch.Tensor}
    for name in catalog.function_names():
        operator = find_function(name)
        assert operator is not None
        assert operator.target is getattr(homes[operator.home], name)
    for name in catalog.module_names():
        operator = find_module(name)
        assert operator is not None and operator.target is getattr(nn, name)


def test_what_is_left_out_is_there_to_leave_out() -> None:
    assert all(hasattr(nn, name) for name in catalog._NO_LAYER)
    assert all(hasattr(torch.Tensor, name) or hasattr(torch, name) for name in catalog._LEFT_OUT)


def test_a_function_gives_tensors() -> None:
    x = torch.zeros(2, 3, 4, 4)
    for name in ("relu", "float", "flatten", "detach", "clone", "contiguous", "abs"):
        operator = find_function(name)
        assert operator is not None and isinstance(operator.target(x), torch.Tensor)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("relu", False), ("relu_", True), ("threshold_", True), ("add", False), ("add_", True)],
)
def test_a_trailing_underscore_overwrites(name: str, expected: bool) -> None:
    operator = find_function(name)
    assert operator is not None and overwrites(operator) is expected


def test_initialisers_overwrite_and_layers_do_not() -> None:
    assert all(overwrites(init) for name in catalog.init_names() if (init := find_init(name)))
    assert not any(overwrites(m) for name in catalog.module_names() if (m := find_module(name)))
    assert find_init("kaiming_normal_") == Operator(
        "kaiming_normal_", "init", nn.init.kaiming_normal_
    )
    assert find_init("kaiming_normal") is None and find_init("_no_grad_fill_") is None


def test_dtypes_are_found_by_name() -> None:
    assert find_dtype("float32") is torch.float32
    assert find_dtype("long") is torch.int64
    assert find_dtype("torch.float32") is None


PAIRS = {
    "relu": "ReLU",
    "relu6": "ReLU6",
    "leaky_relu": "LeakyReLU",
    "prelu": "PReLU",
    "rrelu": "RReLU",
    "elu": "ELU",
    "selu": "SELU",
    "celu": "CELU",
    "gelu": "GELU",
    "glu": "GLU",
    "silu": "SiLU",
    "mish": "Mish",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "logsigmoid": "LogSigmoid",
    "softmax": "Softmax",
    "softmin": "Softmin",
    "log_softmax": "LogSoftmax",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "softshrink": "Softshrink",
    "hardshrink": "Hardshrink",
    "tanhshrink": "Tanhshrink",
    "hardtanh": "Hardtanh",
    "hardsigmoid": "Hardsigmoid",
    "hardswish": "Hardswish",
    "threshold": "Threshold",
}


def test_activations_are_paired() -> None:
    assert set(catalog.activation_names()) == set(PAIRS)
    for function, module in PAIRS.items():
        assert module_of_activation(function) == find_module(module)
        assert function_of_activation(module) == find_function(function)
    assert module_of_activation("conv2d") is None and module_of_activation("relu_") is None
    assert function_of_activation("MultiheadAttention") is None


ARGUMENTS = {"threshold": (0.1, 20.0), "softmax": (1,), "softmin": (1,), "log_softmax": (1,)}


@pytest.mark.parametrize("name", sorted(PAIRS.keys() - {"prelu"}))
def test_both_forms_of_an_activation_compute_the_same(name: str) -> None:
    module, function = module_of_activation(name), find_function(name)
    assert module is not None and function is not None
    x = torch.randn(4, 6)
    arguments = ARGUMENTS.get(name, ())
    layer = module.target(*arguments)
    assert isinstance(layer, nn.Module)
    assert torch.equal(layer.eval()(x), function.target(x, *arguments))
