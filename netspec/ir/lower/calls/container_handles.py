"""Lists and dicts of what layers register: their items are reached, and they are not called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from netspec.errors import did_you_mean
from netspec.ir.expr import Const, Expr, Item, Part, Value
from netspec.ir.graph import (
    Child,
    NewDict,
    NewList,
    Place,
)  # fmt: skip
from netspec.ir.lower.refusal import refuse
from netspec.ir.lower.scope import (
    Binding,
    Instance,
    Module,
    Registration,
    Scope,
)
from netspec.ir.lower.values import Operand


@dataclass(slots=True, eq=False)
class ListInstance(Instance):
    """A ModuleList or ParameterList: registered, indexed, not called."""

    name: str
    children: list[Binding]
    path: tuple[str | int, ...]
    slot: Registration | None  # None for the copies of a repeat, which are called, and made already

    @property
    def items(self) -> int | None:
        return len(self.children) if self.slot is not None else None

    def made_of(self, children: tuple[Child, ...]) -> NewList | NewDict:
        """How it is made, of children that are."""
        return NewList(children)

    def close(self) -> None:
        """Fills the slot, once all children are made."""
        if self.slot is not None and self.slot.holder is not None:
            children = self.slot.holder.children()
            self.slot.new = self.made_of(children)
            self.slot.called = any(child.called for child in children)

    def call(
        self,
        scope: Scope,
        at: Expr,
        args: Sequence[Operand],
        kwargs: Mapping[str, Operand],
        place: Place,
    ) -> Operand:
        fact = f"`{self.name}` is a ModuleList, which has no forward and cannot be called"
        raise refuse("NS207", fact, place.span(), f"call an item of it: `{self.name}[0](x)`")

    def child(
        self, scope: Scope, module: Module, position: Operand, place: Place
    ) -> Operand | Module | None:
        if self.slot is None:
            return None
        if position.is_unknown:
            return position
        if not position.static or not isinstance(position.facts[0], int):
            fact = f"an index into `{self.name}` must be a number known when the model is built"
            raise refuse("NS303", fact, place.span())
        index, count = position.facts[0], len(self.children)
        if not -count <= index < count:
            fact = f"`{self.name}[{index}]` is outside: it has {count} items, 0 to {count - 1}"
            raise refuse("NS305", fact, place.span())
        at = _item_of(module.binding.at, index % count)
        return _item(self.children[index], at, f"{self.name}[{index}]", scope)


@dataclass(slots=True, eq=False)
class DictInstance(ListInstance):
    """A ModuleDict or ParameterDict: registered, its items reached by their names, not called."""

    has_named_items: ClassVar[bool] = True
    names: tuple[str, ...] = ()
    absent: Mapping[str, Binding] = field(default_factory=dict)  # the items whose `when` is false

    def made_of(self, children: tuple[Child, ...]) -> NewList | NewDict:
        return NewDict(children)

    def call(
        self,
        scope: Scope,
        at: Expr,
        args: Sequence[Operand],
        kwargs: Mapping[str, Operand],
        place: Place,
    ) -> Operand:
        fact = f"`{self.name}` is a ModuleDict, which has no forward and cannot be called"
        first = self.names[0] if self.names else "name"
        raise refuse("NS207", fact, place.span(), f"call an item of it: `{self.name}.{first}(x)`")

    def child(
        self, scope: Scope, module: Module, position: Operand, place: Place
    ) -> Operand | Module | None:
        if position.is_unknown:
            return position
        name = position.facts[0]
        if not position.static or not isinstance(name, str):
            fact = f"an item of `{self.name}` is reached by a name known when the model is built"
            raise refuse("NS303", fact, place.span(), f"it has {', '.join(self.names)}")
        if name in self.absent:
            binding = self.absent[name]
            return binding.value or Module(binding, f"{self.name}.{name}")
        if name not in self.names:
            help = did_you_mean(name, self.names) or f"it has {', '.join(self.names)}"
            raise refuse("NS207", f"`{self.name}` has no item `{name}`", place.span(), help)
        binding = self.children[self.names.index(name)]
        at = _item_of(module.binding.at, name)
        return _item(binding, at, f"{self.name}.{name}", scope)


def _item(binding: Binding, at: Expr, name: str, scope: Scope) -> Operand | Module:
    """An item of a list or a dict, as it is reached at `at`: its value, or what may be called."""
    if binding.refused:
        return scope.context.unknown
    if binding.instance is None:
        assert binding.value is not None, "a parameter has a value"
        return Operand(at, binding.value.facts)
    return Module(Binding(binding.place, None, binding.instance, at), name)


def _item_of(container: Expr | None, index: int | str) -> Expr:
    """How an item is reached: through its list here, which a graph around may have handed in."""
    if isinstance(container, Part):
        return Part((*container.path, index))
    assert isinstance(container, Value), "a list is a part, or was handed in"
    return Item(container, Const(index))
