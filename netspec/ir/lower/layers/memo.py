"""Layers that were lowered before: the same class, arguments and input types give the same again.

Only layers without expressions and modifiers, beside a `from`, are remembered, and only within one
lowering; what was refused never is, so every message keeps its own place.
"""

from __future__ import annotations

from typing_extensions import assert_never

from netspec.ir.expr import Call, CallPart, Expr, Method, Part, Value, values_in, walk
from netspec.ir.graph import NewModule, Place
from netspec.ir.lower.calls.module_handle import ModuleInstance
from netspec.ir.lower.scope import Registration, Scope
from netspec.ir.lower.session import KnownCall, KnownModule
from netspec.ir.lower.values import Operand
from netspec.language.schema import ActLayer, CallLayer, ModuleLayer
from netspec.ops.types import memo_key

Key = tuple[object, ...]
Plain = ModuleLayer | CallLayer | ActLayer  # which may need nothing but their arguments


def key_of(layer: Plain, inputs: list[Operand], reached: frozenset[int] | None) -> Key | None:
    """What decides a plain layer entirely, or None where that is more than what it says."""
    match layer:
        case ModuleLayer(module=name) | CallLayer(call=name) | ActLayer(act=name):
            pass
        case _:
            assert_never(layer)
    extra = layer.extra
    if len(inputs) != 1 or name[:1] == "=":
        return None
    items: list[object] = [layer.kind, name, reached, memo_key(inputs[0].facts)]
    for key, value in extra.items():
        kind = type(value)
        if kind is str:
            if value[:1] == "=":
                return None
        elif kind is not int and kind is not float and kind is not bool:
            return None
        items.append((key, kind, value))
    return tuple(items)


def recall(
    key: Key, name: str, scope: Scope, place: Place, source: Operand, keep: bool
) -> Operand | None:
    """The value of a layer like one before, registered under its own name, or None."""
    known = scope.context.known.get(key)
    if known is None:
        return None
    if isinstance(known, KnownCall):
        return Operand(_with_input(known.expr, source.expr), known.facts)
    scope.context.bounds.add_layers(1, place)
    scope.context.bounds.add_elements(known.elements, place)
    slot = Registration(name, place, known.new, called=True, keep=keep, activation=key[0] == "act")
    scope.holder.add(slot)
    binding = scope.names[name]
    at = binding.at = scope.part(name)
    binding.instance = ModuleInstance(name, known.operator, {}, slot, (), known.key, known.module)
    return Operand(CallPart(at, (source.expr,)), known.facts)


def remember(key: Key, name: str, scope: Scope, source: Operand, value: Operand) -> None:
    """Keeps what a plain layer came to."""
    expr = value.expr
    if isinstance(expr, CallPart):
        instance = scope.names[name].instance
        if not isinstance(instance, ModuleInstance) or expr.args != (source.expr,) or expr.kwargs:
            return
        assert instance.module is not None, "it was just called"
        new = instance.slot.new
        assert isinstance(new, NewModule), "a module instance makes a module"
        scope.context.known[key] = KnownModule(
            instance.operator, new, instance.module, instance.key, instance.elements, value.facts
        )
    elif isinstance(expr, (Call, Method)) and _only_input(expr, source.expr):
        scope.context.known[key] = KnownCall(expr, value.facts)


def _only_input(expr: Call | Method, source: Expr) -> bool:
    """Whether the call reads the input as its first argument, and nowhere else."""
    if not isinstance(source, Value) or values_in(expr) != [source.id]:
        return False
    if any(isinstance(node, Part) for node in walk(expr)):
        return False
    return (expr.receiver if isinstance(expr, Method) else expr.args[0]) == source


def _with_input(expr: Call | Method, source: Expr) -> Expr:
    if isinstance(expr, Method):
        return Method(expr.name, source, expr.args, expr.kwargs)
    return Call(expr.operator, (source, *expr.args[1:]), expr.kwargs)
