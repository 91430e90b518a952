"""Layers that nothing called: they are made all the same, or told."""

from __future__ import annotations

from netspec.ir.lower.calls.container_handles import ListInstance
from netspec.ir.lower.calls.handles import GraphInstance, WeightedActivation
from netspec.ir.lower.calls.module_handle import ModuleInstance
from netspec.ir.lower.refusal import refuse
from netspec.ir.lower.scope import Binding, GraphBuilder, Scope


def fill_open_slots(builder: GraphBuilder, scope: Scope) -> None:
    """What was declared and never called: made all the same if its sizes are known."""
    for binding in scope.names.values():
        _fill(binding, builder)


def check_open_slots(scope: Scope) -> None:
    """The arguments of what is declared, and not called for a mistake elsewhere."""
    for binding in scope.names.values():
        instance = binding.instance
        children = instance.children if isinstance(instance, ListInstance) else [binding]
        for child in children:
            if child.refused or not isinstance(child.instance, ModuleInstance):
                continue
            if child.instance.module is None and not child.instance.refused:
                _check_open(child.instance, scope)


def _check_open(instance: ModuleInstance, scope: Scope) -> None:
    with scope.context.problems:
        instance.make(scope.context, [scope.context.unknown] * 3)


def _fill(binding: Binding, builder: GraphBuilder) -> None:
    instance = binding.instance
    if isinstance(instance, WeightedActivation):
        instance = instance.holder
    if isinstance(instance, ListInstance):
        for child in instance.children:
            _fill(child, builder)
        instance.close()
    elif isinstance(instance, ModuleInstance) and instance.module is None:
        instance.make(builder.context, ())
    elif isinstance(instance, GraphInstance) and instance.slot.new is None:
        fact = f"`{instance.name}` is declared, and nothing calls it"
        help = "call it, or leave it out: what it takes is not known otherwise"
        raise refuse("NS501", fact, binding.place.key_span(), help)
