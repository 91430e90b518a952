"""A program's modules on `meta`, where equal ones are one: to ask what calls of them give.

A model of many layers has few kinds of them, and only those are made. Ties are left out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from typing_extensions import assert_never

from netspec.ir.expr import Const, Expr
from netspec.ir.graph import (
    Child,
    Freeze,
    New,
    NewBuffer,
    NewDict,
    NewGraph,
    NewInstance,
    NewList,
    NewModule,
    NewParameter,
    NewSequence,
)  # fmt: skip
from netspec.ops.meta_modules import meta_module
from netspec.ops.types import Fact
from netspec.ops.values import to_value


def shared_modules(root: Child) -> nn.Module:
    """What a child would be on `meta`, in train mode."""
    made = _Maker().child(root)
    assert isinstance(made, nn.Module), "a model is a module"
    return made


@dataclass(slots=True)
class _Maker:
    made: dict[int, nn.Module] = field(default_factory=dict)  # by the id of what says how

    def child(self, child: Child) -> nn.Module | torch.Tensor:
        found = self._new(child.new)
        if not any(isinstance(step, Freeze) for step in child.after):
            return found
        return deepcopy(found).requires_grad_(False)

    def _new(self, new: New) -> nn.Module | torch.Tensor:
        match new:
            case NewParameter(_, fact):
                return nn.Parameter(_tensor(fact))
            case NewBuffer(_, _, fact):
                return _tensor(fact)
        found = self.made.get(id(new))
        if found is None:
            found = self.made[id(new)] = self._module(new)
        return found

    def _module(
        self, new: NewModule | NewSequence | NewList | NewDict | NewGraph | NewInstance
    ) -> nn.Module:
        match new:
            case NewModule(operator, args, kwargs):
                named = tuple((name, _value(expr)) for name, expr in kwargs)
                return meta_module(operator, tuple(map(_value, args)), named)[0].train()
            case NewSequence(children):
                return nn.Sequential(OrderedDict(self._named(children)))
            case NewList(children):
                items: list[Any] = [made for _, made in self._named(children)]
                parameters = any(isinstance(made, torch.Tensor) for made in items)
                return nn.ParameterList(items) if parameters else nn.ModuleList(items)
            case NewDict(children):
                return self._holding(children)
            case NewGraph(graph):
                return self._holding(graph.children)
            case NewInstance():
                raise AssertionError("a program's graphs are not instances of classes yet")
            case _:
                assert_never(new)

    def _holding(self, children: Sequence[Child]) -> nn.Module:
        module = nn.Module()
        for name, made in self._named(children):
            if isinstance(made, torch.Tensor) and not isinstance(made, nn.Parameter):
                module.register_buffer(name, made)
            else:
                setattr(module, name, made)
        return module

    def _named(self, children: Sequence[Child]) -> list[tuple[str, Any]]:
        return [(child.name, self.child(child)) for child in children]


def _value(expr: Expr) -> Fact:
    assert isinstance(expr, Const), "a module is made of what is known"
    return expr.value


def _tensor(fact: Fact) -> torch.Tensor:
    made = to_value(fact)
    assert isinstance(made, torch.Tensor), "a parameter or buffer is a tensor"
    return made
