"""Whether two models are the same, bit by bit: keys, parameters, outputs, gradients, buffers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn


def compare(model: nn.Module, twin: nn.Module, inputs: Sequence[Tensor]) -> list[str]:
    """What differs between two models; nothing where they are the same.

    Both run forward and backward in eval mode, then in train mode with one step of SGD, and stay
    there: pass models that nobody needs afterwards.
    """
    differences = compare_state(model, twin)
    if differences:
        return differences
    for mode in ("eval", "train"):
        ours, theirs = run_once(model, inputs, mode), run_once(twin, inputs, mode)
        differences += [f"{mode}: {text}" for text in compare_values(ours, theirs)]
    for each in (model, twin):
        torch.optim.SGD(each.parameters(), lr=0.01).step()
    return differences + [f"after a step: {text}" for text in compare_state(model, twin)]


def compare_state(model: nn.Module, twin: nn.Module) -> list[str]:
    """What differs in keys, in names, sizes and `requires_grad` of parameters, and in values."""
    keys, twin_keys = list(model.state_dict()), list(twin.state_dict())
    if keys != twin_keys:
        return [f"the keys are {keys}, the twin's {twin_keys}"]
    parameters, twin_parameters = describe_parameters(model), describe_parameters(twin)
    if parameters != twin_parameters:
        return [f"the parameters are {parameters}, the twin's {twin_parameters}"]
    return compare_values(model.state_dict(), twin.state_dict())


def describe_parameters(model: nn.Module) -> list[tuple[str, tuple[int, ...], bool]]:
    """Name, size and `requires_grad` of each parameter, in torch's order."""
    return [(name, tuple(p.shape), p.requires_grad) for name, p in model.named_parameters()]


def call_plainly(model: nn.Module, *inputs: Tensor) -> object:
    return model(*inputs)


def run_once(
    model: nn.Module,
    inputs: Sequence[Tensor],
    mode: str,
    call: Callable[..., object] = call_plainly,
) -> dict[str, object]:
    """Outputs and gradients of one forward and backward from a fixed seed.

    `call(model, *inputs)` gives the outputs.
    """
    model.train(mode == "train")
    model.zero_grad(set_to_none=True)
    inputs = [x.clone().requires_grad_(x.is_floating_point()) for x in inputs]
    torch.manual_seed(7)
    outputs = call(model, *inputs)
    loss = sum(weighted_sum(value) for value in flatten(outputs) if value.requires_grad)
    assert isinstance(loss, Tensor), "no output depends on anything that requires grad"
    loss.backward()
    return {
        "outputs": outputs,
        "gradients": {name: p.grad for name, p in model.named_parameters()},
        "input gradients": [x.grad for x in inputs],
    }


def weighted_sum(value: Tensor) -> Tensor:
    """A sum with other weights for each element: the plain sum of a softmax is constant."""
    weights = torch.linspace(-1.0, 1.0, value.numel(), dtype=value.dtype, device=value.device)
    return (value.flatten() * weights).sum()


def flatten(value: object) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists and mappings."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from flatten(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from flatten(item)


def compare_values(ours: object, theirs: object, where: str = "") -> list[str]:
    """What differs between two nested values; tensors have to be `torch.equal` and of one dtype."""
    if type(ours) is not type(theirs):
        return [f"{where}: {type(ours).__name__}, the twin's {type(theirs).__name__}"]
    if isinstance(ours, Tensor) and isinstance(theirs, Tensor):
        return compare_tensors(ours, theirs, where)
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        if list(ours) != list(theirs):
            return [f"{where}: keys {list(ours)}, the twin's {list(theirs)}"]
        pairs = [(f"{where}.{key}".lstrip("."), ours[key], theirs[key]) for key in ours]
    elif isinstance(ours, (tuple, list)) and isinstance(theirs, (tuple, list)):
        if len(ours) != len(theirs):
            return [f"{where}: {len(ours)} values, the twin's {len(theirs)}"]
        pairs = [(f"{where}[{i}]", ours[i], theirs[i]) for i in range(len(ours))]
    else:
        return [] if ours == theirs else [f"{where}: {ours!r}, the twin's {theirs!r}"]
    return [text for place, a, b in pairs for text in compare_values(a, b, place)]


def compare_tensors(ours: Tensor, theirs: Tensor, where: str) -> list[str]:
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        kinds = [f"{t.dtype} {list(t.shape)}" for t in (ours, theirs)]
        return [f"{where}: {kinds[0]}, the twin's {kinds[1]}"]
    if torch.equal(ours, theirs):
        return []
    return [f"{where}: apart by {(ours.double() - theirs.double()).abs().max().item():.3g}"]
