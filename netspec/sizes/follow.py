"""A program followed once with formulas in the place of its free sizes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import torch
from torch import nn

from netspec.ir.graph import NewModule, Program
from netspec.ir.walk.run_operator import Refuses
from netspec.ir.walk.walker import Bound, RunsInSteps, Step, call_builtin, walk
from netspec.ops.types import TensorType, type_of
from netspec.sizes.ask import answer_to
from netspec.sizes.formula import Formula, Symbol, constant, replaced, symbol, value_at
from netspec.sizes.from_sympy import NotSymbolic
from netspec.sizes.indices import limits_of_indices, numbers_of
from netspec.sizes.predicate import Predicate, names_in, replace_in
from netspec.sizes.question import Answer, Need, Number, by_name, leaves, make_question, mapped
from netspec.sizes.symbolic import with_order
from netspec.sizes.values import Shaped, Size, SizedType, number_of, python_call

# What is looked at before the rest is left open: all calls, and those that differ.
MOST_CALLS = 50_000
MOST_ANSWERS = 2_000


@dataclass(frozen=True, slots=True)
class NeededBy:
    """What a step needs of the free sizes."""

    need: Need
    step: Step | None


@dataclass(frozen=True, slots=True)
class Given:
    """What a step gives: nested, with a SizedType for each tensor and a Number for each size."""

    step: Step
    value: Any
    tried: str  # why torch could not say so with symbols; "" where it did


@dataclass(slots=True)
class Followed:
    """What was found in one mode."""

    sizes: dict[str, int]
    given: list[Given] = field(default_factory=list)
    needs: list[NeededBy] = field(default_factory=list)
    output: Any = None
    stopped: str = ""  # why the rest is not known
    stopped_at: Step | None = None


def follow(
    program: Program, module: nn.Module, training: bool, free: Mapping[str, tuple[int | str, ...]]
) -> Followed:
    """The program's values as formulas, in this mode; `module` is its model on `meta`.

    `free` has the shape of each input as it is declared.
    """
    module.train(training)
    sizes = dict(program.probes[0].sizes)
    follower = _Follower(found=Followed(sizes))
    inputs = []
    for port in program.inputs:
        fact = port.facts[0]
        assert isinstance(fact, TensorType), "an input is a tensor"
        dims = [constant(s) if isinstance(s, int) else symbol(s) for s in free[port.name]]
        inputs.append(Shaped(SizedType(tuple(dims), fact.dtype), follower))
    try:
        found = walk(program, module, inputs, follower)  # type: ignore[arg-type]
        follower.found.output = _data(found)
    except (Refuses, NotSymbolic, ArithmeticError, ValueError) as reason:
        follower.found.stopped = str(reason)
        follower.found.stopped_at = follower.steps[-1] if follower.steps else None
    return follower.found


def _data(value: Any) -> Any:
    def leaf(one: Any) -> Any:
        if isinstance(one, Shaped):
            return one.type
        if isinstance(one, torch.Tensor):
            return _known(one)
        return Number(one.formula) if isinstance(one, Size) else one

    return mapped(value, leaf)


def _known(tensor: torch.Tensor) -> SizedType:
    fact = type_of(tensor)
    dims = tuple(map(constant, fact.shape))
    return with_order(dims, tuple(map(constant, fact.stride)), fact.dtype)


@dataclass(slots=True)
class _Follower(RunsInSteps):
    found: Followed = field(default_factory=lambda: Followed({}))
    _tried: str = ""
    _calls: int = 0
    _answers: dict[int, Answer] = field(default_factory=dict)

    def value(self, formula: Formula) -> int:
        found = value_at(formula, self.found.sizes)
        assert isinstance(found, int), "the value of a formula of numbers"
        return found

    def assume(self, predicate: Predicate) -> None:
        self._need(Need(predicate, fails=False, branch=True))

    def attribute(self, tensor: Shaped, name: str) -> Any:
        return self.operator(_Attribute(name), (tensor,), {})

    def step(self, step: Step, run: Callable[[], Any]) -> Any:
        self.steps.append(step)
        index = len(self.found.given)
        self.found.given.append(Given(step, None, ""))
        self._tried = ""
        value = run()
        self.found.given[index] = Given(step, _data(value), self._tried)
        self.steps.pop()
        return value

    def builtin(self, name: str, args: tuple[Any, ...]) -> Any:
        found = python_call(name, args)
        if found is not None:
            return found
        return call_builtin(name, args)

    def module(self, bound: Bound, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        new = bound.child.new if bound.child else None
        training = _reads_mode(bound.module) and bound.module.training
        if isinstance(new, NewModule) and new.operator.registered is None:
            key: object = ("module", new, training)
            return self._ask(bound.module, key, args, kwargs, own=False)
        return self._ask(bound.module, ("own", bound.path), args, kwargs, own=True)

    def operator(
        self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        if not any(_is_tensor(one) for one in leaves((args, dict(kwargs)))):
            if not any(isinstance(one, Size) for one in leaves((args, dict(kwargs)))):
                return target(*args, **kwargs)
            if getattr(target, "__module__", "") == "_operator" or _is_pythons(target):
                return target(*args, **kwargs)
        return self._ask(target, ("call", target), args, kwargs, own=False)

    def _ask(
        self,
        target: Callable[..., Any],
        key: object,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        own: bool,
    ) -> Any:
        question, sizes = make_question(target, key, args, tuple(kwargs.items()), self.value)
        answer = answer_to(question, own)
        self._calls += 1
        self._answers[id(answer)] = answer  # the same for the same question
        if self._calls > MOST_CALLS or len(self._answers) > MOST_ANSWERS:
            raise Refuses("the network makes more calls than are looked at")
        by_number = by_name(sizes)

        def back(one: Symbol) -> Formula | None:
            return by_number.get(one.name)

        for need in answer.needs:
            predicate = replace_in(need.predicate, back)
            self._need(Need(predicate, need.fails, need.branch))
        if answer.tried:
            self._tried = answer.tried
        for limit in limits_of_indices(target, args, kwargs, self.found.sizes):
            self._need(Need(limit, fails=True, by_numbers=True))
        value = mapped(answer.value, lambda one: self._result(one, back))
        if isinstance(value, Shaped) and not value.dtype.is_floating_point:
            return replace(value, numbers=numbers_of(target, args, kwargs))
        return value

    def _result(self, one: Any, back: Callable[[Symbol], Formula | None]) -> Any:
        if isinstance(one, Number):
            return number_of(replaced(one.formula, back), self)
        if not isinstance(one, SizedType):
            return one
        dims = tuple([replaced(dim, back) for dim in one.dims])
        if one.strides is None:
            return Shaped(SizedType(dims, one.dtype, one.order), self)
        strides = tuple([replaced(step, back) for step in one.strides])
        return Shaped(with_order(dims, strides, one.dtype), self)

    def _need(self, need: Need) -> None:
        if names_in(need.predicate):
            self.found.needs.append(NeededBy(need, self.steps[-1] if self.steps else None))


@dataclass(frozen=True, slots=True)
class _Attribute:
    """A tensor's property as a function of the tensor."""

    name: str

    def __call__(self, tensor: Any) -> Any:
        return getattr(tensor, self.name)


def _is_tensor(one: Any) -> bool:
    return isinstance(one, (Shaped, torch.Tensor))


def _is_pythons(target: Callable[..., Any]) -> bool:
    """Whether a function is one of the language's own for numbers, of which torch knows nothing."""
    return getattr(target, "__module__", "").startswith("netspec.ir.lower")


def _reads_mode(module: nn.Module) -> bool:
    classes: set[type] = {type(part) for part in module.modules()}
    return any(map(_class_reads_mode, classes))


@cache
def _class_reads_mode(cls: type) -> bool:
    try:
        text = inspect.getsource(cls)
    except (OSError, TypeError):
        return True
    return "training" in text
