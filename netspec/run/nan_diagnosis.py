"""A loss that is no number: at which step, and which layer was the first to give none."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from netspec.compiled import Compiled
from netspec.errors import Diagnostic, Span
from netspec.ir.lower.session import Activation
from netspec.pipeline import compile_recipe
from netspec.run.data.dataset import Batch
from netspec.run.data_compatibility import output_span
from netspec.run.preflight import Prepared

_HELP = (
    "lower optimizer.lr, clip gradients (trainer.gradient_clip=1), or warm up (scheduler.warmup)"
)


def diverged(
    prepared: Prepared, model: nn.Module, batch: Batch | None, step: int, loss: Tensor
) -> Diagnostic:
    """The diagnostic NS708 for a loss that is NaN or infinite at a step (counted from 0)."""
    value = float(loss.detach())
    shown = "NaN" if value != value else "infinite"
    notes = []
    span = output_span(prepared.compiled)
    broken = _broken_parameter(model)
    if broken is not None:
        notes.append(f"`{broken}` held no numbers before this step: the step before broke it")
    if batch is not None and not all(_finite(value) for value in batch[0]):
        notes.append("the batch itself holds what is no number")
    elif batch is not None:
        found = first_broken_layer(prepared.compiled, model, batch)
        if found is not None:
            name, span = found
            notes.append(f"`{name}` is the first layer whose output holds what is no number")
        elif broken is None:
            notes.append("every layer's output is finite: the loss itself overflows")
    fact = f"the loss is {shown} at step {step:,}"
    return Diagnostic("NS708", fact, span, tuple(notes), _HELP)


def untrained(prepared: Prepared) -> Diagnostic:
    """The diagnostic NS702 for a loss that no trained parameter has a part in."""
    names = ", ".join(f"`{name}`" for name in prepared.scoring.objective.loss["train"].names)
    fact = "no trained parameter has a part in the loss"
    note = f"the usual loss looks at the first output; the model gives {names}"
    help = "write a loss over the outputs that are to be trained: loss.layers=…, see docs/runs.md"
    span = output_span(prepared.compiled)
    return Diagnostic("NS702", fact, span, (note,), help)


def _broken_parameter(model: nn.Module) -> str | None:
    for name, parameter in model.named_parameters():
        if not _finite(parameter.detach()):
            return name
    return None


def first_broken_layer(
    compiled: Compiled, model: nn.Module, batch: Batch
) -> tuple[str, Span] | None:
    """The first layer of the spec, in its order, whose value is not finite for this batch."""
    layers = compiled.spec.document.layers
    names = list(layers) if isinstance(layers, dict) else list(map(str, range(len(layers))))
    recipe = compiled.recipe
    activation = Activation(recipe.activation.form, recipe.activation.fn)
    for name in names:
        try:
            tapped = compile_recipe(recipe, activation, [name]).built.make()
        except Exception:  # a layer that gives no value
            continue
        tapped.load_state_dict(model.state_dict())
        first = next(model.parameters(), torch.empty(0))
        tapped.to(first.device, first.dtype if first.is_floating_point() else None)
        with torch.no_grad():
            value = tapped.train(model.training)(*batch[0])[name]
        if not _finite(value):
            key: str | int = name if isinstance(layers, dict) else int(name)
            return name, compiled.program.source.key_span_of(("layers", key))
    return None


def _finite(value: object) -> bool:
    if isinstance(value, Tensor):
        return not value.is_floating_point() or bool(torch.isfinite(value).all())
    if isinstance(value, (tuple, list)):
        return all(_finite(item) for item in value)
    return True
