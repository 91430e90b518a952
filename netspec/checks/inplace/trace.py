"""A run of a program → what happened to each storage, and the calls that could overwrite theirs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from netspec.checks.inplace.cpu_trial import Trial, refusal_of_part, try_in_place
from netspec.checks.inplace.effects import (
    Effects,
    Log,
    Memo,
    cloned,
    key_of,
    kind_of_operator,
)
from netspec.checks.inplace.modes import Functions, Kernels
from netspec.checks.inplace.nested import tensors_in
from netspec.checks.inplace.overwriting import Entered, Overwriting, Record
from netspec.checks.inplace.region import region_of
from netspec.checks.inplace.storage import AT_THE_END, Copied, Kind, Storage
from netspec.ir.graph import NewModule, Program
from netspec.ir.walk.run_operator import Refuses, ask
from netspec.ir.walk.walker import Bound, Given, Step, call_builtin, walk
from netspec.ops import registry
from netspec.ops.execution_limits import spend_known_call
from netspec.ops.overwriting import INPLACE, Pair, has_inplace, module_pair, pair_of
from netspec.ops.torch_internals import is_one_of_several, without_dispatch
from netspec.ops.types import OperatorRejects, TensorType
from netspec.ops.values import fact_of
from netspec.ops.writes import written_tensors


def record(
    program: Program,
    module: nn.Module,
    types: Sequence[TensorType | None],
    training: bool,
    auto: bool,
    memo: Memo,
) -> Record:
    """A run on inputs of these types. `auto`: activations could overwrite, even if none asks.

    `module` is the program's model on `meta`; every parameter of it is made to require grad, as any
    of them may, and so does every input. Raises Refuses where torch does not take such inputs.
    """
    module.train(training)
    recorder = _Recorder(auto, memo)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(parameter.is_floating_point() or parameter.is_complex())
        recorder.add(parameter, "parameter", name)
    for name, buffer in module.named_buffers():
        recorder.add(buffer, "buffer", name)
    inputs: list[torch.Tensor | None] = []
    for port, fact in zip(program.inputs, types, strict=True):
        if fact is None:
            inputs.append(None)
            continue
        tensor = torch.empty_strided(fact.shape, fact.stride, dtype=fact.dtype, device="meta")
        tensor.requires_grad_(tensor.is_floating_point() or tensor.is_complex())
        recorder.add(tensor, "input", port.name)
        inputs.append(tensor)
    with recorder.watching():
        outputs = walk(program, module, inputs, recorder)
    end = Step("outputs", "outputs", 0, None)
    for tensor in tensors_in(outputs):
        recorder.read(tensor, AT_THE_END, end)
        if is_one_of_several(tensor):
            recorder.of(tensor).parts.append((AT_THE_END, end))
    return Record(tuple(recorder.calls), recorder.formless, tuple(recorder.copies))


class _Recorder:
    """Watches a walk; the clock moves with every kernel."""

    def __init__(self, auto: bool, memo: Memo) -> None:
        self.auto = auto
        self.memo = memo
        self.clock = 0
        self.calls: list[Overwriting] = []
        self.formless: dict[str, Step] = {}
        self.copies: list[Storage] = []
        self.paused = False
        self.function = ""  # of torch, that runs now
        self._storages: dict[int, tuple[Storage, torch.UntypedStorage]] = {}
        self._log: Log | None = None  # of the call that runs now, if it is a leaf's
        self._steps: list[Step] = []
        self._entered: list[Entered] = []
        self._times: dict[str, int] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        hooks = torch.autograd.graph.saved_tensors_hooks(self.save, _never_needed)
        with torch.enable_grad(), hooks, Kernels(self):
            yield

    # What the walk tells

    def step(self, step: Step, run: Callable[[], Any]) -> Any:
        self._steps.append(step)
        value = run()
        self._steps.pop()
        return value

    def enter(self, bound: Bound, given: Given, run: Callable[[], Any]) -> Any:
        self._entered.append(Entered(self.clock, bound.path))
        value = run()
        self._entered.pop()
        return value

    def builtin(self, name: str, args: tuple[Any, ...]) -> Any:
        return call_builtin(name, args)

    def module(self, bound: Bound, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        child = bound.child
        kind = self.memo.kind_of_module(child, bound.module)
        if getattr(bound.module, INPLACE, False) is True:
            pair = self._pair(kind, bound.module)
            return self._overwriting(self._own_key(), kind, pair, True, args, kwargs)
        if self.auto and child is not None and child.activation:
            assert isinstance(child.new, NewModule), "an activation's form is a module here"
            if has_inplace(child.new.operator):
                pair = self._pair(kind, bound.module)
                return self._overwriting(bound.path, kind, pair, False, args, kwargs)
            self.formless.setdefault(bound.path, self._step)
        value = self._ask(key_of(kind, args, kwargs), bound.module, args, kwargs)
        for tensor in kept_by(bound.module):
            if self._is_known(tensor):
                self.read(tensor, AT_THE_END)
        return value

    def operator(
        self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        pair = pair_of(target, args, kwargs)
        if pair is None:
            start = self.clock = self.clock + 1
            key = key_of(kind_of_operator(target), args, kwargs)
            value = self._ask(key, target, args, kwargs)
            self._written(target, args, kwargs, start)
            given = [self.of(tensor) for tensor in tensors_in((*args, *kwargs.values()))]
            for tensor in tensors_in(value):
                storage = self.of(tensor)
                storage.viewed |= storage in given
            return value
        kind = kind_of_operator(target)
        return self._overwriting(self._own_key(), kind, pair, True, args, kwargs)

    def _pair(self, kind: Hashable | None, module: nn.Module) -> Pair:
        pair = self.memo.pairs.get(kind)
        if pair is None:
            pair = module_pair(module)
            if kind is not None:
                self.memo.pairs[kind] = pair
        return pair

    def _written(
        self,
        target: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        start: int,
    ) -> None:
        """Arguments that a call overwrites beside what it gives, as running statistics."""
        if getattr(target, "__module__", "") == "_operator":
            return
        try:
            positional = tuple([fact_of(value) for value in args])
            numbers = written_tensors(
                target, positional, {n: fact_of(v) for n, v in kwargs.items()}
            )
        except OperatorRejects:  # a module among them, or a device
            return
        tensors = list(tensors_in((*args, *kwargs.values())))
        for number in sorted(numbers):
            storage = self.of(tensors[number])
            if storage.kind == "buffer":  # they are there for it
                continue
            self.clock += 1
            call = Overwriting(
                self._own_key(), self._step, getattr(target, "__name__", ""), True, start,
                self.clock, storage, region_of(tensors[number]), None, False, True,
                tuple(self._entered), Trial(), argument=True,
            )  # fmt: skip
            self.calls.append(call)
            self.clock += 1

    def meet(self, parameter: nn.Parameter) -> None:
        return None

    @property
    def _step(self) -> Step:
        """The innermost step that is run, or a nameless one: a loop's start stands in none."""
        return self._steps[-1] if self._steps else Step("", "", 0, None)

    def _own_key(self) -> str:
        """Of a call that the spec asks for: where it is, and the how-manieth there."""
        path = self._step.path
        self._times[path] = self._times.get(path, 0) + 1
        return f"{path} {self._times[path]}"  # no path of a module has a space

    # What it does

    def _ask(
        self,
        key: Hashable | None,
        target: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """What a call gives; what it does is noted. `key` is that of its equals, if there are."""
        if key is None:
            return self._watched(target, args, kwargs)
        known = self.memo.effects.get(key)
        if known is not None:
            return self._repeated(known, target, args, kwargs)
        given = list(tensors_in((*args, *kwargs.values())))
        log = self._log = Log(self.clock, given, [self.of(tensor) for tensor in given])
        try:
            value = self._watched(target, args, kwargs)
        finally:
            self._log = None
        results = list(tensors_in(value))
        if all(map(self._is_known, results)):
            with without_dispatch():
                effects = log.effects(self.clock, value, [self.of(tensor) for tensor in results])
            if effects is not None:
                self.memo.effects[key] = effects
        return value

    def _watched(
        self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        with Functions(self):
            value, exact = ask(target, args, kwargs)
        if not exact:
            self.read_and_save(args, kwargs, value)
        return value

    def _repeated(
        self,
        effects: Effects,
        target: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """What a call gives whose effects are known."""
        spend_known_call()
        given = list(tensors_in((*args, *kwargs.values())))
        storages = list(dict.fromkeys([self.of(tensor) for tensor in given]))
        storages += effects.on(storages, given, self.clock, self._step)
        self.copies += [storages[copy.copy] for copy in effects.copies]
        self.clock += effects.ticks
        self.paused = True
        try:
            with without_dispatch():
                if effects.blank is None:  # a view: autograd has to see what it is one of
                    value, _ = ask(target, args, kwargs)
                else:
                    value = cloned(effects.blank)
        finally:
            self.paused = False
        for tensor, number in zip(tensors_in(value), effects.results, strict=True):
            if number is not None:
                memory = tensor.untyped_storage()
                self._storages.setdefault(memory._cdata, (storages[number], memory))
        return value

    def read_and_save(self, args: Sequence[Any], kwargs: Mapping[str, Any], value: Any) -> None:
        """For a kernel that `meta` does not show: it may read and keep all that it is given."""
        self.clock += 1
        for tensor in tensors_in((*args, *kwargs.values())):
            self.read(tensor, self.clock)
            self.save(tensor)
        for tensor in tensors_in(value):
            self.save(tensor)

    def _overwriting(
        self,
        path: str,
        kind: Hashable | None,
        pair: Pair,
        explicit: bool,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:
        if not args:  # torch calls by this name what a function takes first
            args, kwargs = (kwargs["input"],), {k: v for k, v in kwargs.items() if k != "input"}
        into = args[0]
        assert isinstance(into, torch.Tensor), "what is overwritten is a tensor"
        start = self.clock = self.clock + 1
        refusal = None
        key = key_of(kind, args, kwargs)
        try:
            value = self._ask(key, pair.outside, args, kwargs)
        except Refuses as error:  # `bernoulli_` takes a tensor of chances, and `bernoulli` does not
            value = self._watched(torch.Tensor.clone, (into,), {})
            refusal = str(error).splitlines()[0]
        if isinstance(value, torch.Tensor) and value.dtype != into.dtype:
            # A comparison in place keeps the dtype of its input.
            value = self._watched(torch.Tensor.to, (value, into.dtype), {})
        self.clock += 1
        storage = self.of(into)
        result = self.of(value) if isinstance(value, torch.Tensor) else None
        same = result is storage  # as a dropout in eval mode: it gives what it takes
        if same and not explicit:
            return value
        self.paused = True
        trial = self._trial(key, pair, args, kwargs, storage) if refusal is None else Trial(refusal)
        self.paused = False
        if not trial.writes:
            return value
        call = Overwriting(
            path, self._step, pair.name, explicit, start, self.clock, storage,
            region_of(into), None if same else result, into._is_view(),
            isinstance(value, torch.Tensor) and value.stride() == into.stride(),
            tuple(self._entered), trial, same,
        )  # fmt: skip
        self.calls.append(call)
        self.clock += 1  # what comes next may be kept before its own kernel runs
        return value

    def _trial(
        self,
        key: Hashable | None,
        pair: Pair,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        into: Storage,
    ) -> Trial:
        """Of the value, and of what it is a copy of: it may be overwritten instead."""
        trial = self.memo.trials.get(key)
        if trial is None:
            trial = try_in_place(pair, args, kwargs)
            if key is not None:
                self.memo.trials[key] = trial
        copied = into.copied
        while copied is not None and trial.refusal is None:
            trial = replace(trial, refusal=refusal_of_part(copied.tensor))
            copied = copied.storage.copied
        return trial

    # What torch tells

    def add(self, tensor: torch.Tensor, kind: Kind, name: str) -> None:
        memory = tensor.untyped_storage()
        self._storages.setdefault(memory._cdata, (Storage(kind, name, 0), memory))

    def of(self, tensor: torch.Tensor) -> Storage:
        """The tensor's storage. It is kept: the address of a freed one would come again."""
        memory = tensor.untyped_storage()
        found = self._storages.get(memory._cdata)
        if found is None:
            name = self._step.path
            found = self._storages[memory._cdata] = (Storage("value", name, self.clock), memory)
            if self._log is not None:
                self._log.born.append(found[0])
        return found[0]

    def _is_known(self, tensor: torch.Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self._storages

    def read(self, tensor: torch.Tensor, time: float, by: Step | None = None) -> None:
        step = by or self._step
        storage, region = self.of(tensor), region_of(tensor)
        storage.reads.append((time, region, step))
        if self._log is not None:
            self._log.reads.append((self.clock, storage, region))

    def save(self, tensor: torch.Tensor) -> None:
        if self.paused:
            return
        storage = self.of(tensor)
        step = self._step
        storage.saves.append((self.clock, step, storage.name == step.path))
        if self._log is not None:
            self._log.saves.append((self.clock, storage))

    def kernel(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], value: Any) -> None:
        self.clock += 1
        for tensor in tensors_in((*args, *kwargs.values())):
            if is_one_of_several(tensor):
                storage = self.of(tensor)
                storage.parts.append((self.clock, self._step))
                if self._log is not None:
                    self._log.parts.append((self.clock, storage))
            if not _only_views(func):
                self.read(tensor, self.clock)
        for tensor in tensors_in(value):
            self.of(tensor)
        if func in _COPYING and self.function != "clone":
            self._copied(args[0], value)

    def _copied(self, tensor: torch.Tensor, copy: torch.Tensor) -> None:
        if copy.is_floating_point() and not tensor.is_floating_point():
            return  # no cast of a model makes its integers floats
        storage = self.of(copy)
        storage.copied = Copied(self.of(tensor), region_of(tensor), tensor)
        self.copies.append(storage)
        if self._log is not None:
            self._log.copies.append(storage)


_COPYING = (torch.ops.aten.clone.default, torch.ops.aten._to_copy.default)


def _never_needed(_: None) -> torch.Tensor:
    raise AssertionError("nobody runs the backward pass of a record")


def _only_views(func: Any) -> bool:
    """Whether an ATen operator reads no bytes: all that it gives are views of what it takes."""
    results = func._schema.returns
    return bool(results) and all(
        result.alias_info is not None and not result.alias_info.is_write for result in results
    )


def kept_by(module: nn.Module) -> Iterator[torch.Tensor]:
    """What a registered module holds beside its state, which somebody may look at: `self.last`."""
    if registry.of_target(type(module)) is None:
        return
    for part in module.modules():
        yield from tensors_in(list(part.__dict__.values()))
