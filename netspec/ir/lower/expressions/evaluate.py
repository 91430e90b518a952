"""Expressions: a checked syntax tree in a scope → an operand; names, items and calls.

This is the interpreter of the language's expressions; Python never evaluates them.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from netspec.errors import did_you_mean
from netspec.ir.effects import has_effects
from netspec.ir.expr import (
    Attribute,
    Binary,
    Builtin,
    Comparison,
    Const,
    Expr,
    Item,
    ListOf,
    Method,
    SliceOf,
    Training,
    Tuple,
)  # fmt: skip
from netspec.ir.graph import Place
from netspec.ir.lower.calls.collected import collection_given, is_collection
from netspec.ir.lower.calls.functions import call_function, call_method
from netspec.ir.lower.expressions.mends import bare_text, inner_layer, layer_in_argument
from netspec.ir.lower.expressions.numbers import (
    BINARY,
    BUILTINS,
    check_size,
    compare_all,
)  # fmt: skip
from netspec.ir.lower.expressions.operators import (
    OF_THE_MODEL,
    are_booleans,
    as_condition,
    asks_dtype,
    attribute_of,
    check_length,
    choose,
    compare_identity,
    compute,
    follows_the_model,
    guard,
    holds_tensor,
    is_plain,
    length,
    pick,
    run_on_tensors,
    so_far,
    unary,
)
from netspec.ir.lower.refusal import Refused, refuse
from netspec.ir.lower.scope import Binding, Module, Scope
from netspec.ir.lower.session import tuple_of
from netspec.ir.lower.unknown_names import undefined
from netspec.ir.lower.values import Operand, join
from netspec.language.expressions import (
    NotAnExpression,
    is_expression,
    literal,
    parse_expression,
)  # fmt: skip
from netspec.limits import spend
from netspec.ops import catalog, registry
from netspec.ops.types import Slice, TensorType, has_tensor

_OPS: dict[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%",
    ast.Pow: "**", ast.MatMult: "@", ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^",
    ast.USub: "-", ast.UAdd: "+", ast.Not: "not", ast.Invert: "~",
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.Is: "is", ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in",
    ast.And: "and", ast.Or: "or",
}  # fmt: skip
_CONSTANTS = {"inf": math.inf, "pi": math.pi}
_ATTRIBUTES = ("shape", "ndim", "dtype", "device", "T", "mT")
_SIZES = ("size", "dim", "numel")
_A_PART = 25  # the work of one name, number or operator


def evaluate(text: str, scope: Scope, place: Place) -> Operand:
    """`=a + b` → what it means in this scope. Raises Refused."""
    try:
        tree = parse_expression(text).tree
    except NotAnExpression:  # which was told when the spec was read
        raise Refused from None
    place = Place(place.source, place.path, text)
    found = _evaluate(tree, scope, place)
    if not isinstance(tree, ast.Name):  # what the text itself writes out may be longer
        check_length(found, place)
    return found


def evaluate_plain(value: object, scope: Scope, place: Place) -> Operand:
    """A plain value, with the expressions in it evaluated; lists become tuples. Raises Refused."""
    if isinstance(value, str):
        if value[:1] == "=" and is_expression(value):
            return evaluate(value, scope, place)
        scope.context.problems.texts[value] = partial(bare_text, value, scope)
        return scope.context.const(literal(value))
    if isinstance(value, list):
        items = [evaluate_plain(item, scope, place.at(i)) for i, item in enumerate(value)]
        listed = tuple_of(scope.context, items)
        if any(map(is_expression, value)):
            check_length(listed, place)
        return listed
    if isinstance(value, dict):
        fact = "a mapping is not a value that a layer takes"
        raise refuse("NS205", fact, place.span(), layer_in_argument(value, place))
    if isinstance(value, (int, float)):
        guard(lambda: check_size(value), place)
    return scope.context.const(value)


def static_value(value: object, scope: Scope, place: Place, what: str) -> Any:
    """A plain value or expression that must be known when the model is built."""
    operand = evaluate_plain(value, scope, place)
    if operand.is_unknown:
        raise Refused
    if not operand.static and not operand.is_known:
        on = "a free size, or on a tensor's values" if operand.sized else "the mode"
        if scope.context.probes.asks_given(operand):
            on = "whether an input is given"
        note = _sizes_note(scope, operand)
        if asks_dtype(operand):
            on, note = OF_THE_MODEL, None
        fact = f"{what} depends on {on}, and must be known when the model is built"
        raise refuse("NS303", fact, place.span(), note)
    return operand.facts[0]


def _sizes_note(scope: Scope, operand: Operand) -> str | None:
    if scope.context.probes.asks_given(operand):
        return "an input that may be left out is given in one call, and not in another"
    if operand.modal and not operand.sized:
        modes = {p.training: f for p, f in zip(scope.context.probes, operand.facts, strict=True)}
        return f"it is {modes[True]} in train mode, and {modes[False]} in eval mode"
    pairs = []
    tried = scope.context.probes.tried
    for probe, fact in zip(scope.context.probes[:tried], operand.facts[:tried], strict=True):
        if isinstance(fact, (int, float)) and probe.sizes:
            at = ", ".join(f"{name} = {size}" for name, size in probe.sizes)
            pairs.append(f"{fact} at {at}")
    return f"it is {', and '.join(dict.fromkeys(pairs))}" if pairs else None


def _evaluate(node: ast.expr, scope: Scope, place: Place) -> Operand:
    found = _reference(node, scope, place)
    if isinstance(found, Module):
        if found.binding.value is not None:
            return found.binding.value
        fact = f"`{found.name}` is a module, and a value is expected"
        raise refuse("NS207", fact, place.of(node).span(), f"call it: `{found.name}(x)`")
    return found


def _identified(node: ast.expr, scope: Scope, place: Place) -> Operand:
    """An operand of `is`, which a module may be too: it is None where its `when` is false."""
    found = _reference(node, scope, place)
    if not isinstance(found, Module) or found.binding.value is not None:
        return _value_of(found, place)
    if found.binding.refused:
        return scope.context.unknown
    return scope.context.const(None if found.binding.absent else found.name)


def _each(
    nodes: Sequence[ast.expr],
    scope: Scope,
    place: Place,
    read: Callable[[ast.expr, Scope, Place], Operand] = _evaluate,
) -> list[Operand]:
    """Several parts of an expression; a refused one is reported, and the others are checked."""
    found = []
    for node in nodes:
        value = scope.context.unknown
        with scope.context.problems:
            value = read(node, scope, place)
        found.append(value)
    return found


def _reference(node: ast.expr, scope: Scope, place: Place) -> Operand | Module:
    """An operand, or a module where the node names one that gives no value of its own."""
    spend(_A_PART)
    place = place.of(node)
    match node:
        case ast.Constant(value=value):
            return scope.context.const(value)
        case ast.Name(id=name):
            return _name(name, scope, place)
        case ast.Attribute(value=of, attr=name):
            return _attribute(_module_or_value(of, scope, place), name, scope, place)
        case ast.Subscript(value=of, slice=index):
            return _item(_module_or_value(of, scope, place), index, scope, place)
        case ast.Call():
            return _call(node, scope, place)
        case ast.Tuple(elts=items):
            return tuple_of(scope.context, _each(items, scope, place))
        case ast.List(elts=items):
            listed = tuple_of(scope.context, _each(items, scope, place))
            if isinstance(listed.expr, Tuple):
                return replace(listed, expr=ListOf(listed.expr.items))
            return listed
        case ast.Slice(lower=start, upper=stop, step=step):
            return _slice(start, stop, step, scope, place)
        case ast.UnaryOp(op=op, operand=operand):
            return unary(_OPS[type(op)], _evaluate(operand, scope, place), scope, place)
        case ast.BinOp(left=left, op=op, right=right):
            operands = _each((left, right), scope, place)
            symbol = _OPS[type(op)]
            return compute(
                symbol, BINARY[symbol], operands, lambda a, b: Binary(symbol, a, b), scope, place
            )
        case ast.Compare(left=left, ops=ops, comparators=rights):
            return _compare(left, ops, rights, scope, place)
        case ast.BoolOp(op=op, values=items):
            return _logic(_OPS[type(op)], items, scope, place)
        case ast.IfExp(test=test, body=body, orelse=other):
            return _choice(test, body, other, scope, place)
        case ast.JoinedStr(values=parts):
            return _text(parts, scope, place)
    raise AssertionError(f"{type(node).__name__} passed the parser's closed set")


def _name(name: str, scope: Scope, place: Place) -> Operand | Module:
    if name == "_":
        if scope.previous is None:
            raise refuse("NS207", "`_` has no value here: nothing comes before", place.span())
        return scope.context.seen(scope.previous)
    binding = scope.find(name)
    if binding is not None and not (name in scope.args and binding.holds(place)):
        if binding.value is not None:
            return binding.value
        return Module(binding, name)
    if name in scope.args:
        return scope.args[name]
    if name == "training":
        modes = tuple(probe.training for probe in scope.context.probes)
        return Operand(Training(), modes, sized=False, modal=True)
    dtype = catalog.find_dtype(name)
    if dtype is not None:
        return scope.context.const(dtype)
    if name in _CONSTANTS:
        return scope.context.const(_CONSTANTS[name])
    raise undefined(scope, name, place)


def _module_or_value(node: ast.expr, scope: Scope, place: Place) -> Operand | Module:
    """For `m.p`, `m[k]`: a name that registers a module means the module first."""
    if isinstance(node, ast.Name) and node.id != "_":
        binding = scope.find(node.id)
        if binding is not None and (binding.instance is not None or binding.refused):
            return Module(binding, node.id)
    return _reference(node, scope, place)


def _value_of(found: Operand | Module, place: Place) -> Operand:
    if isinstance(found, Operand):
        return found
    if found.binding.value is None:
        fact = f"`{found.name}` is registered and gives no value"
        raise refuse("NS207", fact, place.span(), f"call it: `{found.name}(x)`")
    return found.binding.value


def _attribute(found: Operand | Module, name: str, scope: Scope, place: Place) -> Operand | Module:
    if isinstance(found, Module):
        if found.binding.refused:
            return scope.context.unknown
        instance, at = found.binding.instance, found.binding.at
        assert instance is not None and at is not None, "a Module is registered"
        parameter = instance.parameter(scope.context, at, name, place)
        if parameter is not None:
            return parameter
        item = _named_item(found, name, scope, place)
        if item is not None:
            return item
    operand = _value_of(found, place)
    if name not in _ATTRIBUTES and isinstance(found, Module):
        _refuse_inner_layer((found.name, name), scope, place)
    if name not in _ATTRIBUTES:
        help = did_you_mean(name, (*_ATTRIBUTES, *catalog.method_names()))
        raise refuse("NS206", f"`.{name}` is not known here", place.key_span(), help)
    if operand.is_unknown:
        return operand
    if is_collection(operand):
        raise collection_given(scope, place, f"`.{name}`", operand)
    if not all(isinstance(fact, TensorType) for fact in operand.facts):  # not in one mode, maybe
        help = None
        if operand.is_tensor and scope.context.probes.asks_given(operand):
            help = "it is None where an input is left out: write `… if c is not None else …`"
        raise refuse("NS304", f"only a tensor has `.{name}`", place.span(), help)
    expr = Attribute(operand.expr, name)
    if name in ("T", "mT"):
        return run_on_tensors(f".{name}", lambda x: getattr(x, name), [operand], expr, scope, place)
    if name == "device":
        return replace(operand, expr=expr, facts=(torch.device("meta"),) * len(operand.facts))
    values = tuple(attribute_of(fact, name) for fact in operand.facts)
    if name == "dtype" and follows_the_model(values[0]) and scope.entry is not None:
        return replace(operand, expr=expr, facts=values)
    return scope.context.fold_if_equal(expr, values, operand)


def _named_item(
    found: Operand | Module, name: str, scope: Scope, place: Place
) -> Operand | Module | None:
    """`heads.cls`, where `heads` is `as: dict`."""
    if isinstance(found, Operand) or found.binding.instance is None:
        return None
    if not found.binding.instance.has_named_items:
        return None
    return found.binding.instance.child(scope, found, scope.context.const(name), place)


def item_at(path: str, scope: Scope, place: Place) -> Binding | None:
    """`heads.cls`, `linears.0`: an item of what is `as: dict` or `as: list`. Raises Refused."""
    first, *rest = path.split(".")
    binding = scope.find(first)
    for key in rest:
        if binding is None or binding.refused:
            return binding
        if binding.instance is None or binding.instance.items is None:
            return None
        number = key.isdigit() and not binding.instance.has_named_items
        position = scope.context.const(int(key) if number else key)
        found = binding.instance.child(scope, Module(binding, first), position, place)
        binding = found.binding if isinstance(found, Module) else None
    return binding


def _item(found: Operand | Module, index: ast.expr, scope: Scope, place: Place) -> Operand | Module:
    (position,) = _each((index,), scope, place)
    if isinstance(found, Module) and found.binding.refused:
        return scope.context.unknown
    if isinstance(found, Module) and found.binding.instance is not None:
        child = found.binding.instance.child(scope, found, position, place)
        if child is not None:
            return child
    operand = _value_of(found, place)
    if operand.is_unknown or position.is_unknown:
        return scope.context.unknown
    expr = Item(operand.expr, position.expr)
    if operand.static and position.static:
        picked = guard(partial(pick, operand.facts[0], position.facts[0]), place)
        if is_plain(picked):
            return scope.context.const(picked)
    if operand.is_tensor or position.is_tensor:
        return run_on_tensors("[]", lambda x, k: x[k], [operand, position], expr, scope, place)
    values = scope.context.probes.each(
        lambda i: guard(partial(pick, operand.facts[i], position.facts[i]), place),
        [operand, position],
    )
    number = position.facts[0] if position.static else None
    if isinstance(operand.expr, (Tuple, ListOf)) and isinstance(number, int):
        item = operand.expr.items[number]
        if any(has_effects(other) for other in operand.expr.items if other is not item):
            return replace(operand, expr=expr, facts=values)
        if isinstance(item, Const):
            return scope.context.const(values[0])
        return replace(operand, expr=item, facts=values)
    if is_plain(values[0]) and position.static:
        return scope.context.fold_if_equal(expr, values, operand)
    return Operand(expr, values, *join([operand, position]))


def _slice(
    start: ast.expr | None, stop: ast.expr | None, step: ast.expr | None, scope: Scope, place: Place
) -> Operand:
    parts = [
        None if part is None else _evaluate(part, scope, place) for part in (start, stop, step)
    ]
    given = [part for part in parts if part is not None]
    if any(part.is_unknown for part in given):
        return scope.context.unknown
    columns = [part.facts if part else (None,) * len(scope.context.probes) for part in parts]
    values = tuple(Slice(*column) for column in zip(*columns, strict=True))
    if all(part.static for part in given):
        return scope.context.const(values[0])
    exprs = [part.expr if part is not None else None for part in parts]
    return Operand(SliceOf(*exprs), values, *join(given))


def _compare(
    left: ast.expr, ops: list[ast.cmpop], rights: list[ast.expr], scope: Scope, place: Place
) -> Operand:
    symbols = tuple(_OPS[type(op)] for op in ops)
    read = _identified if symbols in (("is",), ("is not",)) else _evaluate
    operands = _each((left, *rights), scope, place, read)
    if any(operand.is_unknown for operand in operands):
        return scope.context.unknown
    if symbols in (("is",), ("is not",)):
        return compare_identity(symbols[0], operands, scope, place)
    if any(isinstance(o.facts[0], tuple) and has_tensor(o.facts[0]) for o in operands):
        fact = f"`{symbols[0]}` of tuples with tensors in them has no answer"
        raise refuse("NS304", fact, place.span(), "compare items of them: `a[0] == b[0]`")
    if holds_tensor(operands) and symbols[0] in ("is", "is not", "in", "not in"):
        raise refuse("NS304", f"`{symbols[0]}` is not for tensors", place.span())
    if holds_tensor(operands) and len(symbols) > 1:
        raise refuse("NS304", "a chain of comparisons is not for tensors", place.span())
    compare = partial(compare_all, symbols)

    def make(first: Expr, *others: Expr) -> Expr:
        return Comparison(first, symbols, others)

    return compute("".join(symbols), compare, operands, make, scope, place)


def _logic(symbol: str, items: list[ast.expr], scope: Scope, place: Place) -> Operand:
    kept: list[Operand] = []
    doubt = False
    for node in items:
        with scope.context.narrowed(so_far(symbol, kept), symbol == "and"):
            operand = _part(node, scope, place) if doubt else _evaluate(node, scope, place)
        doubt = doubt or operand.is_unknown
        if operand.is_tensor:
            fact = f"`{symbol}` is not for tensors; use `&` or `|`"
            raise refuse("NS304", fact, place.span())
        if operand.static:
            if bool(operand.facts[0]) is (symbol == "or"):
                if are_booleans((*kept, operand)):  # it decides, wherever it stands
                    kept.clear()
                kept.append(operand)
                break
            if node is not items[-1]:
                continue
            if kept and are_booleans((*kept, operand)):
                continue
        kept.append(operand)
    if doubt:
        return scope.context.unknown
    found = so_far(symbol, kept)
    assert found is not None, "one at least is kept"
    return found


def _choice(test: ast.expr, body: ast.expr, other: ast.expr, scope: Scope, place: Place) -> Operand:
    condition = as_condition(_each((test,), scope, place)[0])
    if condition.is_unknown:
        for node in (body, other):
            _part(node, scope, place)
        return condition
    if condition.is_tensor:
        raise refuse("NS304", "a condition is not a tensor; use `where`", place.span())
    if condition.static:
        return _evaluate(body if condition.facts[0] else other, scope, place)
    with scope.context.narrowed(condition):
        then = _evaluate(body, scope, place)
    with scope.context.narrowed(condition, truth=False):
        return choose(condition, then, _evaluate(other, scope, place))


def _part(node: ast.expr, scope: Scope, place: Place) -> Operand:
    """A part that may not be asked for when the condition before it is mended."""
    with scope.context.problems.in_doubt():
        return _each((node,), scope, place)[0]


def _text(parts: list[ast.expr], scope: Scope, place: Place) -> Operand:
    text = ""
    for part in parts:
        match part:
            case ast.Constant(value=str() as words):
                text += words
            case ast.FormattedValue(value=value, conversion=-1, format_spec=spec):
                operand = _evaluate(value, scope, place)
                if operand.is_unknown:
                    raise Refused
                if not operand.static:
                    fact = "an f-string needs values known when the model is built"
                    raise refuse("NS303", fact, place.span())
                form = spec.values[0].value if isinstance(spec, ast.JoinedStr) else ""  # type: ignore[attr-defined]
                text += guard(partial(format, operand.facts[0], form), place)
            case _:
                raise refuse("NS208", "`!r` and the like are not for f-strings", place.span())
    guard(lambda: check_size(text), place)
    return scope.context.const(text)


def _call(node: ast.Call, scope: Scope, place: Place) -> Operand:
    function = node.func
    if isinstance(function, ast.Name):
        binding = scope.find(function.id) if function.id != "_" else None
        if binding is not None and binding.instance is not None:
            return _call_module(Module(binding, function.id), node, scope, place)
        if binding is not None and binding.refused:
            _arguments(node, scope, place)
            return scope.context.unknown
        if binding is not None or function.id in scope.args:
            fact = f"`{function.id}` is a value, and cannot be called"
            help = _hidden_function(function.id, binding)
            raise refuse("NS207", fact, place.key_span(), help)
        items = _count_of_items(node, scope)
        if items is not None:
            return scope.context.const(items)
        args, kwargs = _arguments(node, scope, place)
        return _call_name(function.id, args, kwargs, scope, place)
    if isinstance(function, ast.Attribute):
        registered = _registered(function, scope)
        if registered is not None:
            args, kwargs = _arguments(node, scope, place)
            return call_function(registered, args, kwargs, scope, place)
        owner = _module_or_value(function.value, scope, place)
        if isinstance(owner, Module) and owner.binding.refused and owner.binding.held:
            _arguments(node, scope, place)
            return scope.context.unknown
        item = _named_item(owner, function.attr, scope, place.of(function))
        if isinstance(item, Module):
            return _call_module(item, node, scope, place)
        if item is not None and item.is_unknown:
            _arguments(node, scope, place)
            return item
        if isinstance(owner, Module) and catalog.find_method(function.attr) is None:
            _refuse_inner_layer((owner.name, function.attr), scope, place)
        receiver = _value_of(owner, place)
        args, kwargs = _arguments(node, scope, place)
        if function.attr in _SIZES:
            return _size(function.attr, receiver, args, scope, place)
        return call_method(function.attr, receiver, args, kwargs, scope, place)
    found = _reference(function, scope, place)
    if isinstance(found, Module):
        return _call_module(found, node, scope, place)
    if found.is_unknown:
        _arguments(node, scope, place)
        return found
    match function:
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=int(index))):
            _refuse_inner_layer((name, index), scope, place)
    raise refuse("NS207", "a value cannot be called", place.span())


def _refuse_inner_layer(keys: tuple[str, str | int], scope: Scope, place: Place) -> None:
    """Raises Refused (NS206) where these keys lead to a layer inside of another one."""
    help = inner_layer(scope, keys)
    if help is not None:
        fact = f"`{keys[0]}.{keys[1]}` is a layer inside of another one"
        raise refuse("NS206", f"{fact}, which expressions do not reach", place.key_span(), help)


def _registered(function: ast.Attribute, scope: Scope) -> str | None:
    """`mylib.swish` of `mylib.swish(x)`, where `mylib` is no value here: `mylib/swish`."""
    space = function.value
    if not isinstance(space, ast.Name) or space.id not in registry.namespaces():
        return None
    if scope.find(space.id) is not None or space.id in scope.args:
        return None
    return f"{space.id}/{function.attr}"


def _hidden_function(name: str, binding: Binding | None) -> str | None:
    if catalog.find_function(name) is None:
        return None
    line = binding.place.line if binding is not None else 0
    where = f"the layer of line {line}" if line else "an arg or a layer"
    return f"`{name}` is {where} here; rename it to call the function"


def _arguments(
    node: ast.Call, scope: Scope, place: Place
) -> tuple[list[Operand], dict[str, Operand]]:
    args = _each(node.args, scope, place)
    values = _each([keyword.value for keyword in node.keywords], scope, place)
    kwargs: dict[str, Operand] = {}
    for keyword, value in zip(node.keywords, values, strict=True):
        assert keyword.arg is not None, "the parser refuses stars"
        kwargs[keyword.arg] = value
    return args, kwargs


def _call_module(module: Module, node: ast.Call, scope: Scope, place: Place) -> Operand:
    binding = module.binding
    args, kwargs = _arguments(node, scope, place)
    if binding.refused:
        raise Refused
    if binding.absent:
        fact = f"`{module.name}` does not exist here: its `when` is false"
        help = f"write `… if {module.name} is not None else …`"
        raise refuse("NS207", fact, place.span(), help)
    assert binding.instance is not None and binding.at is not None, "a Module is registered"
    return binding.instance.call(scope, binding.at, args, kwargs, place)


def _count_of_items(node: ast.Call, scope: Scope) -> int | None:
    """Of `len(heads)`, where `heads` is a list or a dict of modules."""
    match node:
        case ast.Call(func=ast.Name(id="len"), args=[ast.Name(id=name)], keywords=[]):
            binding = scope.find(name)
            return None if binding is None or binding.instance is None else binding.instance.items
        case _:
            return None


def _call_name(
    name: str, args: list[Operand], kwargs: dict[str, Operand], scope: Scope, place: Place
) -> Operand:
    if name == "len" and len(args) == 1 and not kwargs and args[0].is_tensor:
        return _size("size", args[0], [scope.context.const(0)], scope, place)
    if name == "len" and len(args) == 1 and isinstance(args[0].facts[0], tuple):
        return length(args[0], scope, place)
    unknown = any(operand.is_unknown for operand in args)
    if name in BUILTINS and unknown:
        return scope.context.unknown
    if name in BUILTINS and not kwargs and not any(_holds_tensor(arg) for arg in args):
        return compute(name, BUILTINS[name], args, lambda *a: Builtin(name, a), scope, place)
    return call_function(name, args, kwargs, scope, place)


def _holds_tensor(operand: Operand) -> bool:
    """Whether a tensor is it, or in it, at any probe."""
    return any(map(has_tensor, operand.facts[:1] if operand.static else operand.facts))


def _size(name: str, receiver: Operand, args: list[Operand], scope: Scope, place: Place) -> Operand:
    """`x.size(1)`, `x.size()`, `x.dim()`, `x.numel()`, by way of `x.shape`."""
    if receiver.is_unknown or any(operand.is_unknown for operand in args):
        return scope.context.unknown
    if not receiver.is_tensor:
        if is_collection(receiver):
            raise collection_given(scope, place, f"`.{name}()`", receiver)
        raise refuse("NS304", f"only a tensor has `.{name}()`", place.span())
    shape = _attribute(receiver, "shape", scope, place)
    assert isinstance(shape, Operand), "a shape is a value"
    shapes = [fact.shape for fact in receiver.facts if isinstance(fact, TensorType)]
    if name == "dim":
        ranks = tuple(map(len, shapes))
        return scope.context.fold_if_equal(Method("dim", receiver.expr, ()), ranks, receiver)
    if name == "numel":
        counts = tuple(math.prod(shape) for shape in shapes)
        return scope.context.fold_if_equal(Method("numel", receiver.expr, ()), counts, receiver)
    if not args:
        return shape
    position = args[0]
    values = scope.context.probes.each(
        lambda i: guard(partial(pick, shapes[i], position.facts[i]), place), [receiver, position]
    )
    expr = Item(Attribute(receiver.expr, "shape"), position.expr)
    if position.static:
        return scope.context.fold_if_equal(expr, values, receiver)
    return Operand(expr, values, *join([receiver, position]))
