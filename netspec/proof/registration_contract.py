"""Whether what was registered does what is believed of it, by its fake or its run on `meta`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import torch
from torch import nn

from netspec.checks.inplace.nested import tensors_in
from netspec.ir.graph import Program
from netspec.ir.walk.walker import RunsInSteps, walk
from netspec.ops import catalog, registry
from netspec.ops.process_state import own_random_state, silence
from netspec.ops.registry import Registered
from netspec.ops.torch_internals import tree_map
from netspec.proof.compare import named_tensors, same


def broken_word(
    program: Program, model: nn.Module, inputs: Sequence[torch.Tensor], seed: int
) -> str | None:
    """The first registered layer that is not as it says, with what is not; in both modes."""
    model = deepcopy(model)
    watcher = _Doubt()
    for training in (True, False):
        model.train(training)
        with own_random_state(), torch.no_grad():
            torch.manual_seed(seed)
            walk(program, model, [x.clone() for x in inputs], watcher)
    return watcher.found[0] if watcher.found else None


@dataclass
class _Doubt(RunsInSteps):
    """Runs a program, and asks every registered thing twice: what it would do, and does."""

    found: list[str] = field(default_factory=list)

    def call(
        self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        registered = registry.of_target(type(target) if isinstance(target, nn.Module) else target)
        if registered is None:
            return target(*args, **kwargs)
        before = [tensor.clone() for tensor in tensors_in((args, dict(kwargs)))]
        believed = _believed(registered, target, args, kwargs)
        twin = _twin_value(registered, args, kwargs)
        value = target(*args, **kwargs)
        line = self.steps[-1].line if self.steps else 0
        problem = _result_differs(registered, value, believed, args, kwargs) or _writes(
            registered, target, value, twin, before, args, kwargs
        )
        if problem is not None:
            self.found.append(f"`{registered.name}` (line {line}) {problem}")
        return value


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a call gives: the types of its tensors, and which lie in which input's memory."""

    types: tuple[tuple[tuple[int, ...], torch.dtype], ...]
    shared: frozenset[tuple[int, int]]


def _believed(
    registered: Registered,
    target: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> _Outcome | None:
    """None where only the CPU knows: then there is no word to break."""
    memories: dict[int, torch.Tensor] = {}

    def on_meta(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        memory = value.untyped_storage()
        size = memory.nbytes() // value.element_size()
        base = memories.setdefault(
            memory._cdata, torch.empty(size, dtype=value.dtype, device="meta")
        )
        return base.as_strided(value.shape, value.stride(), value.storage_offset())

    positional, named = tree_map(on_meta, args), tree_map(on_meta, dict(kwargs))
    call: Callable[..., Any]
    try:
        if registered.fake is not None:
            before = (target,) if isinstance(target, nn.Module) else ()
            value = registered.fake(*before, *positional, **named)
        else:
            call = deepcopy(target).to("meta") if isinstance(target, nn.Module) else target
            with silence():
                value = call(*positional, **named)
    except Exception:
        return None
    return _outcome(value, positional, named)


def _outcome(value: Any, args: Any, kwargs: Any) -> _Outcome:
    outputs, inputs = list(tensors_in(value)), list(tensors_in((args, dict(kwargs))))
    types = tuple((tuple(tensor.shape), tensor.dtype) for tensor in outputs)
    return _Outcome(types, _sharing(outputs, inputs))


def _result_differs(
    registered: Registered, value: Any, believed: _Outcome | None, args: Any, kwargs: Any
) -> str | None:
    if believed is None:
        return None
    who = "its fake" if registered.fake is not None else "its run on `meta`"
    found = _outcome(value, args, kwargs)
    if len(found.types) != len(believed.types):
        return f"gives {len(found.types)} tensors, and {who} says {len(believed.types)}"
    for own, told in zip(found.types, believed.types, strict=True):
        if own[0] != told[0]:
            return f"gives {list(own[0])}, and {who} says {list(told[0])}"
        if own[1] != told[1]:
            return f"gives {own[1]}, and {who} says {told[1]}"
    if found.shared - believed.shared:
        return f"gives what lies in its input's memory, and {who} says that it is new memory"
    if believed.shared - found.shared:
        return f"gives new memory, and {who} says that it is its input's"
    return None


def _writes(
    registered: Registered,
    target: Callable[..., Any],
    value: Any,
    twin: Any,
    before: Sequence[torch.Tensor],
    args: Any,
    kwargs: Any,
) -> str | None:
    inputs = list(tensors_in((args, dict(kwargs))))
    changed = [i for i, (x, old) in enumerate(zip(inputs, before, strict=True)) if not same(x, old)]
    overwriting = registered.name.endswith("_") or getattr(target, "inplace", False) is True
    if not overwriting:
        return "changes its input, and says nothing of it" if changed else None
    if any(i > 0 for i in changed):
        return "overwrites more than its first input"
    if twin is not None:
        pairs = list(zip(named_tensors(value, ""), named_tensors(twin, ""), strict=False))
        if not all(same(a, b) for (_, a), (_, b) in pairs):
            return f"gives other values than `{registered.name[:-1]}`, in whose place it is"
        if not same(inputs[0], next(tensors_in(value))):
            return "does not leave its result in its input"
    return None


def _twin_value(registered: Registered, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """What the twin in new memory gives for the same input, as it was."""
    if registered.kind != "function" or not registered.name.endswith("_"):
        return None
    twin = catalog.find_function(registered.name[:-1])
    assert twin is not None, f"`{registered.name}` was registered with its twin"
    copies = tree_map(lambda v: v.clone() if isinstance(v, torch.Tensor) else v, args)
    state = torch.get_rng_state()
    value = twin.target(*copies, **kwargs)
    torch.set_rng_state(state)
    return value


def _sharing(
    outputs: Sequence[torch.Tensor], inputs: Sequence[torch.Tensor]
) -> frozenset[tuple[int, int]]:
    """The pairs (output, input), counted from 0, that lie in one storage, on `meta` too."""
    pairs = product(enumerate(map(_storage, outputs)), enumerate(map(_storage, inputs)))
    return frozenset((o, i) for (o, out), (i, into) in pairs if out == into)


def _storage(tensor: torch.Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata
    return address
