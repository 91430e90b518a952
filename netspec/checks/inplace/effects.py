"""What one call did to the storages that it met, as data: it holds of each call that is its equal.

A model has many calls and few kinds of them. The first of a kind is run and watched; of the others
it is known what they read, keep and copy, so that only their results have to be there.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from netspec.checks.inplace.cpu_trial import Trial
from netspec.checks.inplace.nested import replaced, tensors_in
from netspec.checks.inplace.region import Region
from netspec.checks.inplace.storage import Copied, Storage
from netspec.ir.expr import Const
from netspec.ir.graph import Child, NewModule
from netspec.ir.walk.walker import Step
from netspec.ops import registry
from netspec.ops.overwriting import MethodOf, Pair
from netspec.ops.torch_internals import is_one_of_several
from netspec.ops.types import memo_key

_PLAIN = (int, float, complex, str, type(None), torch.dtype, torch.device, type(Ellipsis))


@dataclass(frozen=True, slots=True)
class Copy:
    """Storage `copy` was made as a copy of `source`, or of argument `argument`, at `region`."""

    copy: int
    source: int
    region: Region
    argument: int | None
    tensor: torch.Tensor


@dataclass(frozen=True, slots=True)
class Effects:
    """Times count from the call's start. Storages are numbered, those of the arguments first.

    What happens to the module's own state is left out: nothing may overwrite that, whoever reads
    it. `blank` is the result, if all of it is new memory: to be cloned, which no kernel sees.
    """

    ticks: int
    born: tuple[int, ...]  # of the new storages
    reads: tuple[tuple[int, int, Region], ...]  # time, storage
    saves: tuple[tuple[int, int], ...]
    parts: tuple[tuple[int, int], ...]
    copies: tuple[Copy, ...]
    results: tuple[int | None, ...]  # the storage of each tensor of the result; None of own state
    blank: Any = None

    def on(
        self, storages: Sequence[Storage], given: Sequence[torch.Tensor], start: int, step: Step
    ) -> list[Storage]:
        """The new storages of a call that starts now, with all effects on them and on these."""
        new = [Storage("value", step.path, start + time) for time in self.born]
        every = [*storages, *new]
        for time, number, region in self.reads:
            every[number].reads.append((start + time, region, step))
        for time, number in self.saves:
            storage = every[number]
            storage.saves.append((start + time, step, storage.name == step.path))
        for time, number in self.parts:
            every[number].parts.append((start + time, step))
        for copy in self.copies:
            tensor = copy.tensor if copy.argument is None else given[copy.argument]
            every[copy.copy].copied = Copied(every[copy.source], copy.region, tensor)
        return new


@dataclass(slots=True, eq=False)
class Log:
    """What a call does that runs now, to the storages of `tensors`, its arguments, and others."""

    start: int
    tensors: Sequence[torch.Tensor]
    given: Sequence[Storage]
    born: list[Storage] = field(default_factory=list)
    reads: list[tuple[int, Storage, Region]] = field(default_factory=list)
    saves: list[tuple[int, Storage]] = field(default_factory=list)
    parts: list[tuple[int, Storage]] = field(default_factory=list)
    copies: list[Storage] = field(default_factory=list)

    def effects(self, end: int, value: Any, results: Sequence[Storage]) -> Effects | None:
        """What it did; None where that holds for no other call, as it met what was there before."""
        numbers = {s: n for n, s in enumerate(dict.fromkeys((*self.given, *self.born)))}
        met = [s for _, s, _ in self.reads] + [s for _, s in (*self.saves, *self.parts)]
        strange = [s for s in (*met, *results) if s not in numbers]
        if any(s.kind not in ("parameter", "buffer") for s in strange):
            return None
        copies = [self._copy(storage, numbers) for storage in self.copies]
        if None in copies:
            return None
        first = self.start
        new = all(result in self.born for result in results)
        return Effects(
            end - first,
            tuple([storage.born - first for storage in self.born]),
            tuple([(time - first, numbers[s], r) for time, s, r in self.reads if s in numbers]),
            tuple([(time - first, numbers[s]) for time, s in self.saves if s in numbers]),
            tuple([(time - first, numbers[s]) for time, s in self.parts if s in numbers]),
            tuple([copy for copy in copies if copy is not None]),
            tuple([numbers.get(storage) for storage in results]),
            blank_of(value) if new else None,
        )

    def _copy(self, storage: Storage, numbers: Mapping[Storage, int]) -> Copy | None:
        copied = storage.copied
        assert copied is not None, "it is a copy"
        if storage not in numbers or copied.storage not in numbers:
            return None
        argument = next((n for n, t in enumerate(self.tensors) if t is copied.tensor), None)
        if argument is None and is_one_of_several(copied.tensor):
            return None
        return Copy(
            numbers[storage], numbers[copied.storage], copied.region, argument, copied.tensor
        )


@dataclass(slots=True, eq=False)
class Memo:
    """What is known of the calls of one program, by what they are given."""

    effects: dict[Hashable, Effects] = field(default_factory=dict)
    trials: dict[Hashable, Trial] = field(default_factory=dict)
    pairs: dict[Hashable, Pair] = field(default_factory=dict)
    _kinds: dict[NewModule, int] = field(default_factory=dict)
    _of_child: dict[int, int | None] = field(default_factory=dict)

    def kind_of_module(self, child: Child | None, module: nn.Module) -> Hashable | None:
        """The same for modules that are made alike; None where its arguments do not tell all."""
        if child is None:
            return None
        if id(child) not in self._of_child:
            self._of_child[id(child)] = self._kind_of(child)
        kind = self._of_child[id(child)]
        return None if kind is None else (kind, module.training)

    def _kind_of(self, child: Child) -> int | None:
        new = child.new
        if not isinstance(new, NewModule) or new.operator.registered is not None:
            return None
        if not all(isinstance(each, Const) for each in (*new.args, *dict(new.kwargs).values())):
            return None
        return self._kinds.setdefault(new, len(self._kinds))


def kind_of_operator(target: Any) -> Hashable | None:
    """The function itself; None for one that was registered, which may do anything."""
    if isinstance(target, MethodOf):
        return target
    return target if registry.of_target(target) is None else None


def key_of(
    kind: Hashable | None, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Hashable | None:
    """Equal for calls that do the same to equal storages; None for one that is like no other."""
    if kind is None:
        return None
    memories: dict[int, int] = {}
    parts: list[Hashable] = [kind]
    fits = all(_add(value, parts, memories) for value in args)
    for name, value in kwargs.items():
        parts.append(name)
        fits = fits and _add(value, parts, memories)
    return tuple(parts) if fits else None


def _add(value: Any, parts: list[Hashable], memories: dict[int, int]) -> bool:
    """Whether an argument has a key, which is added to the parts."""
    if isinstance(value, torch.Tensor):
        if value.layout is not torch.strided or value.is_quantized:
            return False
        memory = value.untyped_storage()
        parts += (
            type(value), value.dtype, value.device, value.shape, value.stride(),
            value.storage_offset(), memory.nbytes(), value.requires_grad, value.is_leaf,
            value._is_view(), is_one_of_several(value), value.is_conj(), value.is_neg(),
            memories.setdefault(memory._cdata, len(memories)),
        )  # fmt: skip
        return True
    if isinstance(value, (tuple, list)):
        parts += (type(value), len(value))
        return all(_add(item, parts, memories) for item in value)
    if isinstance(value, dict):
        parts += (dict, len(value))
        return all(_add(item, parts, memories) for pair in value.items() for item in pair)
    if isinstance(value, slice):
        parts.append(slice)
        return all(_add(item, parts, memories) for item in (value.start, value.stop, value.step))
    if isinstance(value, _PLAIN):
        key = memo_key(value)
        assert isinstance(key, Hashable), "it is of a plain value"
        parts.append(type(value).__name__)
        parts.append(key)
        return True
    return False


def cloned(blank: Any) -> Any:
    """The same nest of values, with tensors in new memory."""
    if isinstance(blank, torch.Tensor):
        return blank.clone()
    return replaced(blank, iter([tensor.clone() for tensor in tensors_in(blank)]))


def blank_of(value: Any) -> Any:
    """A value whose clone is this result in new memory; None where a clone would be another."""
    tensors = list(tensors_in(value))
    if not tensors or not all(map(_is_clone_of_itself, tensors)):
        return None
    if len({tensor.untyped_storage()._cdata for tensor in tensors}) < len(tensors):
        return None
    return replaced(value, iter([_unwritten(tensor) for tensor in tensors]))


def _unwritten(like: torch.Tensor) -> torch.Tensor:
    blank = torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device=like.device)
    return blank.requires_grad_(like.requires_grad)


def _is_clone_of_itself(tensor: torch.Tensor) -> bool:
    if type(tensor) is not torch.Tensor or tensor._is_view() or tensor.device.type != "meta":
        return False
    if tensor.is_conj() or tensor.is_neg():
        return False
    clone = _unwritten(tensor).clone()
    return (
        clone.stride() == tensor.stride()
        and clone.is_leaf == tensor.is_leaf
        and clone.untyped_storage().nbytes() == tensor.untyped_storage().nbytes()
        and tensor.storage_offset() == 0
    )
