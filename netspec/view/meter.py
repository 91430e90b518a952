"""What a run costs: FLOPs, and the bytes that autograd holds for the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import flop_registry

from netspec.ops.execution_limits import spend_step
from netspec.ops.kernel_differences import BY_BACKEND
from netspec.ops.torch_internals import DispatchMode


@dataclass(frozen=True, slots=True)
class Cost:
    """What was spent up to one moment, or between two."""

    parameters: int = 0
    flops: int = 0
    saved_bytes: int = 0
    guesses: int = 0  # how many operators were run whose figures other backends don't share

    def __sub__(self, before: Cost) -> Cost:
        return Cost(
            self.parameters - before.parameters,
            self.flops - before.flops,
            self.saved_bytes - before.saved_bytes,
            self.guesses - before.guesses,
        )

    def ahead(self, following: Cost, steps: int) -> Cost:
        """The cost `steps` steps ahead on the line from this to the following one, or behind."""
        return Cost(
            self.parameters,
            self.flops + steps * (following.flops - self.flops),
            self.saved_bytes + steps * (following.saved_bytes - self.saved_bytes),
            self.guesses,
        )


@dataclass(slots=True)
class Meter:
    """Counts while it is read: FLOPs, each saved storage once, each parameter once."""

    flops: int = 0
    guesses: int = 0
    saved_bytes: int = 0
    parameters: int = 0
    _held: dict[int, torch.UntypedStorage] = field(default_factory=dict)
    _met: set[int] = field(default_factory=set)

    def read(self) -> Cost:
        return Cost(self.parameters, self.flops, self.saved_bytes, self.guesses)

    def own(self, tensors: Iterable[torch.Tensor]) -> None:
        """These are there anyway: they count for nothing when they are saved."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            self._held[storage._cdata] = storage

    def save(self, tensor: torch.Tensor) -> None:
        """Counts a saved tensor's storage, and keeps it: a freed one's address would come again."""
        storage = tensor.untyped_storage()
        if storage._cdata not in self._held:
            self._held[storage._cdata] = storage
            self.saved_bytes += storage.nbytes()

    def meet(self, parameters: Iterable[nn.Parameter]) -> None:
        """Counts the parameters that were not met before."""
        for parameter in parameters:
            if id(parameter) not in self._met:
                self._met.add(id(parameter))
                self.parameters += parameter.numel()


@contextmanager
def counting(meter: Meter) -> Iterator[None]:
    """All that torch runs inside is counted by the meter."""
    hooks = torch.autograd.graph.saved_tensors_hooks(meter.save, _never_needed)
    with torch.enable_grad(), hooks, _Functions(meter), _Kernels(meter):
        yield


def _never_needed(_: None) -> torch.Tensor:
    raise AssertionError("nobody runs the backward pass of a summary")


class _Kernels(DispatchMode):  # type: ignore[no-untyped-call]
    """Counts FLOPs by torch's own formulas, as FlopCounterMode does, without its module tree."""

    def __init__(self, meter: Meter) -> None:
        super().__init__()
        self.meter = meter

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        spend_step(func, args)
        result = func(*args, **named)
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.meter.flops += formula(*args, **named, out_val=result)
        return result


class _Functions(TorchFunctionMode):
    """Sees which functions are called, by modules too, before they fall apart into kernels."""

    def __init__(self, meter: Meter) -> None:
        super().__init__()
        self.meter = meter

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if getattr(func, "__name__", None) in BY_BACKEND:
            self.meter.guesses += 1
        return func(*args, **(kwargs or {}))
