"""The loss, written like a layer: compiled by netspec as a network of outputs and target."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from netspec.compiled import Compiled
from netspec.errors import Diagnostic, RunError, SpecError
from netspec.ops.types import dtype_name
from netspec.pipeline import compile_spec
from netspec.run.settings import place_of

Type = tuple[tuple[int, ...], torch.dtype]
USUAL: Mapping[str, dict[str, str]] = {
    "classification": {"call": "cross_entropy"},
    "binary": {"call": "binary_cross_entropy_with_logits"},
    "segmentation": {"call": "cross_entropy"},
    "language": {"call": "cross_entropy"},
    "regression": {"call": "mse_loss"},
}


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss as a module of outputs and target, and what it is called in messages."""

    module: nn.Module
    names: tuple[str, ...]  # of the outputs that it is given, in their order

    def __call__(self, outputs: Mapping[str, Tensor], target: Tensor) -> Tensor:
        value: Tensor = self.module(*(outputs[name] for name in self.names), target)
        return value


def make_loss(
    node: Mapping[str, Any],
    outputs: Mapping[str, Type],
    target: Type,
    overrides: Sequence[str],
) -> Loss:
    """`{call: cross_entropy, label_smoothing: 0.1}` → the loss for outputs of these types.

    A layer of any kind: by default it is given the first output and the target. In a container
    (`layers:`) every output has its name, and a model's only output is `output`. Raises SpecError,
    placed in the run's configuration, where the layer is wrong or does not give a scalar.
    """
    layer = dict(node)
    first = next(iter(outputs))
    if "layers" not in layer and "value" not in layer:
        layer.setdefault("from", [first, "target"])
    text = json.dumps(layer)  # an output that the loss does not name is none of its inputs
    named = [name for name in outputs if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)]
    types = {**{name: outputs[name] for name in named}, "target": target}
    spec = {
        "netspec": 1,
        "name": "Loss",
        "inputs": {name: _declared(shape, dtype) for name, (shape, dtype) in types.items()},
        "layers": {"loss": layer},
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's of shapes: they are refused, or told below
            compiled = compile_spec(spec)
    except SpecError as error:
        given = {**outputs, "target": target}
        raise RunError([_placed(d, given, overrides) for d in error.diagnostics]) from None
    module = compiled.built.make()
    _must_be_scalar(compiled, types, overrides)
    if any(True for _ in module.parameters()):
        fact = "a loss has no parameters: they would be trained, and not saved with the model"
        raise RunError(Diagnostic("NS702", fact, place_of("loss", overrides)))
    return Loss(module, tuple(named))


def _declared(shape: tuple[int, ...], dtype: torch.dtype) -> dict[str, object]:
    """An input of this shape; its first dimension is the batch's, and free."""
    sizes: list[object] = ["N", *shape[1:]] if shape else []
    return {"shape": sizes, "dtype": dtype_name(dtype)}


def _must_be_scalar(
    compiled: Compiled, types: Mapping[str, Type], overrides: Sequence[str]
) -> None:
    with torch.device("meta"):
        module = compiled.built.make()
        given = [torch.empty(shape, dtype=dtype) for shape, dtype in types.values()]
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("error", "Using a target size")
                result = module(*given)
        except (UserWarning, RuntimeError, ValueError, IndexError):  # other numbers of rows, too
            listed = ", ".join(f"`{name}` {list(shape)}" for name, (shape, _) in types.items())
            fact = f"the loss compares what is of different shapes: {listed}"
            raise RunError(Diagnostic("NS702", fact, place_of("loss", overrides))) from None
    if not isinstance(result, Tensor) or result.ndim:
        shape = list(result.shape) if isinstance(result, Tensor) else type(result).__name__
        fact = f"the loss gives {shape}, and a single number is needed"
        help = "leave `reduction` out, or take its mean"
        raise RunError(Diagnostic("NS702", fact, place_of("loss", overrides), help=help))


def _placed(
    diagnostic: Diagnostic, types: Mapping[str, Type], overrides: Sequence[str]
) -> Diagnostic:
    """A diagnostic about the small spec, placed where the loss was written."""
    word = diagnostic.fact.split("`")
    key = f"loss.{word[-2]}" if len(word) > 2 else "loss"
    span = place_of(key if _was_given(key, overrides) else "loss", overrides)
    shown = ", ".join(f"`{name}` {list(shape)}" for name, (shape, _) in types.items())
    notes = (*diagnostic.notes, f"a loss is given {shown}")
    return Diagnostic(diagnostic.code, diagnostic.fact, span, notes, diagnostic.help)


def _was_given(key: str, overrides: Sequence[str]) -> bool:
    return any(text.lstrip("+~").startswith(f"{key}=") for text in overrides)
