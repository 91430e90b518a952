"""Names that people bring from other libraries, and what is meant by them here.

Only help lines are made of them; nothing is built from a name in this file.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

import torch

from netspec.errors import Help, did_you_mean
from netspec.ops import catalog, registry
from netspec.ops.registry import RegisteredKind

# Keras, Flax, Paddle and Caffe → the arguments of torch, the first of them that there is.
_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "filters": ("out_channels",),
    "num_filters": ("out_channels",),
    "units": ("out_features", "hidden_size"),
    "features": ("out_features", "out_channels", "num_features"),
    "out_dim": ("out_features", "out_channels"),
    "output_dim": ("out_features", "embedding_dim"),
    "vocab_size": ("num_embeddings",),
    "hidden_dim": ("hidden_size",),
    "n_layers": ("num_layers",),
    "heads": ("num_heads", "nhead"),
    "n_heads": ("num_heads", "nhead"),
    "num_heads": ("nhead",),
    "nhead": ("num_heads",),
    "d_model": ("embed_dim",),
    "embed_dim": ("d_model", "embedding_dim"),
    "kernel": ("kernel_size",),
    "pool_size": ("kernel_size",),
    "strides": ("stride",),
    "pad": ("padding",),
    "dilation_rate": ("dilation",),
    "use_bias": ("bias",),
    "kernel_shape": ("kernel_size",),
    "dilations": ("dilation",),
    "pads": ("padding",),
    "rate": ("p", "dropout"),
    "drop": ("p", "dropout"),
    "drop_rate": ("p", "dropout"),
    "dropout": ("p",),
    "dropout_rate": ("p", "dropout"),
    "prob": ("p",),
    "alpha": ("negative_slope",),
    "slope": ("negative_slope",),
    "epsilon": ("eps",),
    "group": ("groups", "num_groups"),
    "axis": ("dim",),
    "axes": ("dim", "dims"),
    "dimension": ("dim",),
    "keepdims": ("keepdim",),
}
INPUT_SIZES = ("in_channels", "in_features", "num_features", "input_size", "normalized_shape")
_LEFT_OUT = ("input_shape", "input_dim", "in_dim", "in_size", "in_ch", "inputs")
_NO_ARGUMENTS: Mapping[str, str] = {
    "activation": "an activation is a layer of its own: `{act: relu}`",
    "kernel_initializer": "write `init: {weight: xavier_uniform_}`",
    "bias_initializer": "write `init: {bias: zeros_}`",
    "trainable": "write `freeze: true` for a layer that is not trained",
    "requires_grad": "write `freeze: true` for a layer that is not trained",
    "name": "a layer's name is its key",
    "input": "what a layer reads is named by `from`",
    "device": "the device is chosen when the model is built, not in the spec",
}

_MODULES: Mapping[str, tuple[str, ...]] = {
    "Dense": ("Linear",),
    "FullyConnected": ("Linear",),
    "FC": ("Linear",),
    "MLP": ("Linear",),
    "Conv": ("Conv2d", "Conv1d"),
    "Convolution2D": ("Conv2d",),
    "DepthwiseConv2D": ("Conv2d",),
    "Conv2DTranspose": ("ConvTranspose2d",),
    "BatchNormalization": ("BatchNorm2d", "BatchNorm1d"),
    "BatchNorm": ("BatchNorm2d", "BatchNorm1d"),
    "LayerNormalization": ("LayerNorm",),
    "GroupNormalization": ("GroupNorm",),
    "MaxPool": ("MaxPool2d", "MaxPool1d"),
    "MaxPooling1D": ("MaxPool1d",),
    "MaxPooling2D": ("MaxPool2d",),
    "AvgPool": ("AvgPool2d", "AvgPool1d"),
    "AveragePooling1D": ("AvgPool1d",),
    "AveragePooling2D": ("AvgPool2d",),
    "GlobalAveragePooling1D": ("AdaptiveAvgPool1d",),
    "GlobalAveragePooling2D": ("AdaptiveAvgPool2d",),
    "GlobalAvgPool2d": ("AdaptiveAvgPool2d",),
    "GlobalMaxPooling2D": ("AdaptiveMaxPool2d",),
    "SpatialDropout2D": ("Dropout2d",),
    "UpSampling2D": ("Upsample",),
    "ZeroPadding2D": ("ZeroPad2d",),
    "Swish": ("SiLU",),
    "Embed": ("Embedding",),
    "Attention": ("MultiheadAttention",),
    "MultiHeadAttention": ("MultiheadAttention",),
    "Gemm": ("Linear",),
    "ConvTranspose": ("ConvTranspose2d",),
    "AveragePool": ("AvgPool2d", "AvgPool1d"),
    "GlobalAveragePool": ("AdaptiveAvgPool2d",),
    "GlobalMaxPool": ("AdaptiveMaxPool2d",),
    "InstanceNormalization": ("InstanceNorm2d",),
    "Resize": ("Upsample",),
    "UpSampling1D": ("Upsample",),
    "SeparableConv2D": ("Conv2d",),
    "SelfAttention": ("MultiheadAttention",),
}
_NO_MODULES: Mapping[str, str] = {
    "Sequential": "write `layers:` with the layers inside",
    "ModuleList": "write `as: list` with `layers:` or `repeat:`",
    "ModuleDict": "write `as: dict` with `layers:`",
    "Parameter": "write `param: [64, 3]` and `init:`",
    "ParameterList": "write `as: list` with `param:` layers",
    "Activation": "write `act: relu`",
    "Add": "write an expression: `=a + b`",
    "Multiply": "write an expression: `=a * b`",
    "Lambda": "write an expression: `=x * 2`",
    "Concat": "write `call: cat`",
    "Concatenate": "write `call: cat`",
    "Reshape": "write `call: reshape`",
    "Permute": "write `call: permute`",
    "MatMul": "write an expression: `=a @ b`",
    "Gather": "write an expression: `=x[:, index]`",
    "Transpose": "write `call: transpose`",
    "Input": "inputs are declared under `inputs:`",
    "SyncBatchNorm": "write `BatchNorm2d`; the run makes it synchronous",
}
_FUNCTIONS: Mapping[str, str] = {
    "swish": "silu",
    "dense": "linear",
    "lrelu": "leaky_relu",
    "leakyrelu": "leaky_relu",
    "hard_swish": "hardswish",
    "hard_sigmoid": "hardsigmoid",
    "global_avg_pool2d": "adaptive_avg_pool2d",
}
_DTYPES: Mapping[str, str] = {
    "bf16": "bfloat16",
    "fp16": "float16",
    "fp32": "float32",
    "fp64": "float64",
}


def argument_of(name: str, known: Sequence[str]) -> str | None:
    """torch's name, among these, of an argument that another library calls by this one."""
    return next((other for other in _ARGUMENTS.get(name, ()) if other in known), None)


def module_of(name: str) -> str | None:
    """The class of torch that another library calls by this name; of several the likeliest."""
    if name in _MODULES:
        return _MODULES[name][0]
    folded = name.lower().replace("_", "")
    return next((own for own in catalog.module_names() if own.lower() == folded), None)


def told_of_argument(name: str, known: Sequence[str]) -> str | None:
    """A help line for an argument that an operator with these parameters does not have."""
    meant = [other for other in _ARGUMENTS.get(name, ()) if other in known]
    if meant:
        return Help(f"did you mean `{meant[0]}`?", name, meant[0])
    if name in _LEFT_OUT and any(size in known for size in INPUT_SIZES):
        return "leave it out: the size of the input is told from the input"
    return did_you_mean(name, known) or _NO_ARGUMENTS.get(name) or _listed(known)


def _listed(known: Sequence[str]) -> str | None:
    names = [name for name in known if name not in ("self", "input", "tensor")]
    if not names:
        return None
    more = ", …" if len(names) > 8 else ""
    return f"it has {', '.join(f'`{name}`' for name in names[:8])}{more}"


def told_of_module(name: str) -> str | None:
    """A help line for a class that `torch.nn` does not have, or that is no layer."""
    bare = name.removeprefix("torch.").removeprefix("nn.").removeprefix("modules.")
    if bare != name and catalog.find_module(bare) is not None:
        return Help(f"write `{bare}`: a class is named by itself", name, bare)
    function = name.rpartition(".")[2]
    if function != name and catalog.find_function(function) is not None:
        return Help(f"write `{function}`: a function is named by itself", name, function)
    if "." in name and name.startswith(("torch.", "nn.")):
        return "a class is named by itself: `Conv2d`, not `torch.nn.Conv2d`"
    registered = _told_of_registered("module", name)
    if registered is not None:
        return registered
    without = name.removeprefix("Lazy")
    if without != name and catalog.find_module(without) is not None:
        help = f"write `{without}`: a size of the input may be left out of any layer"
        return Help(help, name, without)
    if catalog.find_function(name) is not None:
        return _twin(f"`{name}` is a function: write `call: {name}`", "module", name)
    return _other(name, _MODULES, _NO_MODULES) or did_you_mean(name, catalog.module_names())


def told_of_function(name: str, in_expression: bool = False) -> str | None:
    """A help line for a function that a spec cannot call."""
    bare = name.rpartition(".")[2]
    if bare != name and catalog.find_function(bare) is not None:
        return Help(f"write `{bare}`: a function is named by itself", name, bare)
    if bare != name and catalog.find_module(bare) is not None:
        return Help(f"write `{bare}`: a class is named by itself", name, bare)
    registered = _told_of_registered("function", name)
    if registered is not None:
        return registered
    if catalog.find_module(name) is not None and in_expression:
        twin = twin_of(name)
        other = "" if twin is None else f", or write `{twin}(…)`"
        return f"`{name}` is a module: make it a layer, and call that{other}"
    if catalog.find_module(name) is not None:
        return _twin(f"`{name}` is a module: write `module: {name}`", "call", name)
    if name in _FUNCTIONS:
        return Help(f"did you mean `{_FUNCTIONS[name]}`?", name, _FUNCTIONS[name])
    near = did_you_mean(name, catalog.function_names())
    if near is None and (name in vars(torch) or name in vars(torch.nn.functional)):
        return "torch has it, and specs don't: they call what only computes on tensors"
    return near


def _told_of_registered(kind: RegisteredKind, name: str) -> str | None:
    """Of a name that Python code might have registered."""
    plugins = registry.in_other_plugins(kind, name)
    if plugins:
        return f"the plugin `{plugins[0]}` has it, and is not enabled here"
    if "." in name:
        return "a spec names what torch has, or what Python code registered, never a path"
    namespace = name.rpartition("/")[0]
    if not namespace:
        return None
    known = catalog.module_names() if kind == "module" else catalog.function_names()
    near = did_you_mean(name, [one for one in known if "/" in one])
    if near is not None or namespace in registry.namespaces():
        return near
    return f"no plugin that is enabled has layers of `{namespace}`"


def told_of_activation(name: str) -> str | None:
    """A help line for an activation that does not exist in both forms."""
    function = catalog.function_of_activation(name)
    if function is not None:
        help = f"an activation is named by its function: `{function.name}`"
        return Help(help, name, function.name)
    if name in _FUNCTIONS and catalog.module_of_activation(_FUNCTIONS[name]) is not None:
        return Help(f"did you mean `{_FUNCTIONS[name]}`?", name, _FUNCTIONS[name])
    bare = name.rpartition(".")[2]
    if bare != name and catalog.module_of_activation(bare) is not None:
        return Help(f"write `{bare}`: an activation is named by itself", name, bare)
    near = did_you_mean(name, catalog.activation_names())
    if near is None and catalog.find_function(name) is None and catalog.find_module(name) is None:
        near = _told_of_registered("function", name)
    if near is None and catalog.find_function(name) is not None:
        return f"`{name}` has one form only: write `call: {name}`"
    if near is None and catalog.find_module(name) is not None:
        return f"`{name}` has one form only: write `module: {name}`"
    return near


def told_of_dtype(name: str) -> str | None:
    """A help line with the nearest dtypes that torch can compute with."""
    if name in _DTYPES:
        return f"did you mean `{_DTYPES[name]}`?"
    return did_you_mean(name, [known for known in catalog.dtype_names() if _computes(known)])


@cache  # torch warns once in a process
def _computes(dtype: str) -> bool:
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")  # of dtypes that are experimental, or on their way out
        try:
            torch.ones(1, dtype=catalog.find_dtype(dtype)).sum()
        except RuntimeError:
            return False
    return not given


def twin_of(name: str) -> str | None:
    """The class that does what a function does, or the function of a class, by their spelling."""
    folded = name.lower().replace("_", "")
    names: Iterable[str]
    if catalog.find_module(name) is not None:
        names = catalog.function_names()
    else:
        names = catalog.module_names()
    return next((other for other in names if other.lower().replace("_", "") == folded), None)


def _twin(help: str, kind: str, name: str) -> str:
    twin = twin_of(name)
    return help if twin is None else f"{help}, or `{kind}: {twin}`"


def _other(name: str, meant: Mapping[str, tuple[str, ...]], words: Mapping[str, str]) -> str | None:
    if name in words:
        return words[name]
    if name in meant:
        text = "did you mean " + " or ".join(f"`{other}`" for other in meant[name]) + "?"
        return Help(text, name, *meant[name])
    return None
