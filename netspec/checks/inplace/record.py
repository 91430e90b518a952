"""A run of a program → what happened to each storage, and the calls that could overwrite theirs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from netspec.checks.inplace.region import Region, region_of
from netspec.checks.inplace.trial import Trial, is_one_of_several, refusal_of_part, try_in_place
from netspec.ir.graph import NewModule, Program
from netspec.ir.walk.run_operator import Refuses, ask
from netspec.ir.walk.walker import Bound, Given, Step, walk
from netspec.ops import registry
from netspec.ops.execution_limits import spend_step
from netspec.ops.facts import OperatorRejects, TensorType, fact_of
from netspec.ops.kernel_differences import OTHER_KERNELS
from netspec.ops.overwriting import Pair, has_inplace, module_pair, pair_of
from netspec.ops.writes import written_tensors

AT_THE_END = math.inf
Kind = Literal["input", "parameter", "buffer", "value"]


@dataclass(slots=True, eq=False)
class Storage:
    """Memory that the run met, and what was done with it, in the order of the run's clock."""

    kind: Kind
    name: str
    born: int
    reads: list[tuple[float, Region, Step]] = field(default_factory=list)
    saves: list[tuple[int, Step, bool]] = field(default_factory=list)  # as a result of that step?
    parts: list[tuple[float, Step]] = field(default_factory=list)  # used: views of one call of many
    viewed: bool = False
    copied: Copied | None = None


@dataclass(frozen=True, slots=True)
class Copied:
    """What a storage is a copy of, only because of sizes, strides or dtype that can be others.

    `contiguous` and `reshape` copy, or give what they take: a batch of one, or a model in
    `channels_last`, makes one of the other. The copy then lies in `storage`, at `region`.
    """

    storage: Storage
    region: Region
    tensor: torch.Tensor


@dataclass(frozen=True, slots=True)
class Entered:
    """A call of one of our own modules that is not over: since when, and its path."""

    since: int
    path: str


@dataclass(frozen=True, slots=True, eq=False)
class Overwriting:
    """One call that could overwrite its input, run out of place from `start` to `end`."""

    key: str
    step: Step
    name: str
    explicit: bool
    start: int
    end: int
    into: Storage
    region: Region
    result: Storage | None
    of_view: bool  # as autograd sees it
    same_strides: bool  # the result lies in memory as the input does
    within: tuple[Entered, ...]
    trial: Trial
    unchanged: bool = False  # it writes the same bytes, which torch counts all the same
    argument: bool = False  # it is overwritten beside what the call gives


@dataclass(frozen=True, slots=True)
class Record:
    """A whole run at one probe; `formless` are activations that have no form in place."""

    calls: tuple[Overwriting, ...]
    formless: Mapping[str, Step]
    copies: tuple[Storage, ...]  # those that have a `copied`


def record(
    program: Program,
    module: nn.Module,
    types: Sequence[TensorType | None],
    training: bool,
    auto: bool,
) -> Record:
    """A run on inputs of these types. `auto`: activations could overwrite, even if none asks.

    `module` is the program's model on `meta`; every parameter of it is made to require grad, as any
    of them may, and so does every input. Raises Refuses where torch does not take such inputs.
    """
    module.train(training)
    recorder = _Recorder(auto)
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

    def __init__(self, auto: bool) -> None:
        self.auto = auto
        self.clock = 0
        self.calls: list[Overwriting] = []
        self.formless: dict[str, Step] = {}
        self.copies: list[Storage] = []
        self.paused = False
        self.function = ""  # of torch, that runs now
        self._storages: dict[int, tuple[Storage, torch.UntypedStorage]] = {}
        self._steps: list[Step] = []
        self._entered: list[Entered] = []
        self._times: dict[str, int] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        hooks = torch.autograd.graph.saved_tensors_hooks(self.save, _never_needed)
        with torch.enable_grad(), hooks, _Functions(self), _Kernels(self):
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

    def module(self, bound: Bound, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        child = bound.child
        pair = pair_of(bound.module, args, kwargs)
        if pair is not None:
            return self._overwriting(self._own_key(), pair, True, args, kwargs)
        if self.auto and child is not None and child.activation:
            assert isinstance(child.new, NewModule), "an activation's form is a module here"
            if has_inplace(child.new.operator):
                return self._overwriting(bound.path, module_pair(bound.module), False, args, kwargs)
            self.formless.setdefault(bound.path, self._steps[-1])
        value = self._ask(bound.module, args, kwargs)
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
            value = self._ask(target, args, kwargs)
            self._written(target, args, kwargs, start)
            given = [self.of(tensor) for tensor in tensors_in((*args, *kwargs.values()))]
            for tensor in tensors_in(value):
                storage = self.of(tensor)
                storage.viewed |= storage in given
            return value
        return self._overwriting(self._own_key(), pair, True, args, kwargs)

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
                self._own_key(), self._steps[-1], getattr(target, "__name__", ""), True, start,
                self.clock, storage, region_of(tensors[number]), None, False, True,
                tuple(self._entered), Trial(), argument=True,
            )  # fmt: skip
            self.calls.append(call)
            self.clock += 1

    def meet(self, parameter: nn.Parameter) -> None:
        return None

    def _own_key(self) -> str:
        """Of a call that the spec asks for: where it is, and the how-manieth there."""
        path = self._steps[-1].path
        self._times[path] = self._times.get(path, 0) + 1
        return f"{path} {self._times[path]}"  # no path of a module has a space

    # What it does

    def _ask(
        self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        value, exact = ask(target, args, kwargs)
        if not exact:
            self.read_and_save(args, kwargs, value)
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
        key: str,
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
        try:
            value = self._ask(pair.outside, args, kwargs)
        except Refuses as error:  # `bernoulli_` takes a tensor of chances, and `bernoulli` does not
            value, refusal = into.clone(), str(error).splitlines()[0]
        if isinstance(value, torch.Tensor) and value.dtype != into.dtype:
            value = value.to(into.dtype)  # a comparison in place keeps the dtype of its input
        self.clock += 1
        storage = self.of(into)
        result = self.of(value) if isinstance(value, torch.Tensor) else None
        same = result is storage  # as a dropout in eval mode: it gives what it takes
        if same and not explicit:
            return value
        self.paused = True
        trial = self._trial(pair, args, kwargs, storage) if refusal is None else Trial(refusal)
        self.paused = False
        if not trial.writes:
            return value
        call = Overwriting(
            key, self._steps[-1], pair.name, explicit, start, self.clock, storage,
            region_of(into), None if same else result, into._is_view(),
            isinstance(value, torch.Tensor) and value.stride() == into.stride(),
            tuple(self._entered), trial, same,
        )  # fmt: skip
        self.calls.append(call)
        self.clock += 1  # what comes next may be kept before its own kernel runs
        return value

    def _trial(
        self, pair: Pair, args: Sequence[Any], kwargs: Mapping[str, Any], into: Storage
    ) -> Trial:
        """Of the value, and of what it is a copy of: it may be overwritten instead."""
        trial = try_in_place(pair, args, kwargs)
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
            name = self._steps[-1].path if self._steps else ""
            found = self._storages[memory._cdata] = (Storage("value", name, self.clock), memory)
        return found[0]

    def _is_known(self, tensor: torch.Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self._storages

    def read(self, tensor: torch.Tensor, time: float, by: Step | None = None) -> None:
        step = by or (self._steps[-1] if self._steps else Step("", "", 0, None))
        self.of(tensor).reads.append((time, region_of(tensor), step))

    def save(self, tensor: torch.Tensor) -> None:
        if self.paused:
            return
        storage = self.of(tensor)
        step = self._steps[-1] if self._steps else Step("", "", 0, None)
        storage.saves.append((self.clock, step, storage.name == step.path))

    def kernel(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], value: Any) -> None:
        self.clock += 1
        for tensor in tensors_in((*args, *kwargs.values())):
            if is_one_of_several(tensor):
                self.of(tensor).parts.append((self.clock, self._steps[-1]))
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


_COPYING = (torch.ops.aten.clone.default, torch.ops.aten._to_copy.default)


def _never_needed(_: None) -> torch.Tensor:
    raise AssertionError("nobody runs the backward pass of a record")


def _only_views(func: Any) -> bool:
    """Whether an ATen operator reads no bytes: all that it gives are views of what it takes."""
    results = func._schema.returns
    return bool(results) and all(
        result.alias_info is not None and not result.alias_info.is_write for result in results
    )


class _Kernels(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.recorder = recorder

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        spend_step(func, args)
        value = func(*args, **named)
        if not self.recorder.paused:
            self.recorder.kernel(func, args, named, value)
        return value


class _Functions(TorchFunctionMode):
    """Sees attention and RNNs before they fall apart: their kernels differ from `meta`'s."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        name = self.recorder.function = getattr(func, "__name__", "")
        value = func(*args, **named)
        self.recorder.function = ""
        if name in OTHER_KERNELS and not self.recorder.paused:
            self.recorder.read_and_save(args, named, value)
        return value


def kept_by(module: nn.Module) -> Iterator[torch.Tensor]:
    """What a registered module holds beside its state, which somebody may look at: `self.last`."""
    if registry.of_target(type(module)) is None:
        return
    for part in module.modules():
        yield from tensors_in(list(part.__dict__.values()))


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """All tensors in nested tuples, lists and dicts."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_in(item)
