"""A program → what each layer is: the class or function that it calls, with which arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from typing_extensions import assert_never

from netspec.ir.expr import Call, CallPart, Const, Expr, Method, Part, Value, rebuild, walk
from netspec.ir.expr_text import expr_text, operator_text
from netspec.ir.graph import (
    Assign,
    ByMode,
    Child,
    Freeze,
    Graph,
    Init,
    Loop,
    NewBuffer,
    NewDict,
    NewGraph,
    NewInstance,
    NewList,
    NewModule,
    NewParameter,
    NewSequence,
    Place,
    Program,
    container_name,
)
from netspec.ir.walk.names import join_path, path_of_statement
from netspec.ops.catalog import Operator
from netspec.ops.signatures import signatures_of

_OPERAND = "•"  # in the place of what an expression reads
OUTPUTS = "(outputs)"  # the last part of the path of what a graph gives; no layer has this name


@dataclass(frozen=True, slots=True)
class LayerCall:
    """What a layer calls: its target (`nn.Conv2d`, `F.relu`, `• + •`), arguments as texts by name,
    without those that say the default, and what it reads, by paths, in its order.

    `inferred` are the arguments that the spec does not say, `defaults` those of its target. What
    a block reads of its own inputs has the block's path before the input's name.
    """

    target: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    inferred: frozenset[str] = frozenset()
    reads: tuple[str, ...] = ()
    defaults: Mapping[str, str] = field(default_factory=dict)


def calls_of(program: Program) -> Mapping[str, LayerCall]:
    """What each layer of a program calls, by its path."""
    found: dict[str, LayerCall] = {}
    root = program.root
    if isinstance(root.new, NewGraph):
        _graph(root.new.graph, "", found)
    else:
        _children(root, "", found)
    return found


def _children(child: Child, path: str, found: dict[str, LayerCall]) -> None:
    match child.new:
        case NewSequence(children) | NewList(children) | NewDict(children):
            for inner in children:
                _child(inner, join_path(path, inner.name), found)
        case NewGraph(graph):
            _graph(graph, path, found)
        case NewModule() | NewParameter() | NewBuffer() | NewInstance():
            pass
        case _:
            assert_never(child.new)


def _child(child: Child, path: str, found: dict[str, LayerCall]) -> None:
    """What is registered: how it is made, and what is in it."""
    found[path] = _made(child)
    _children(child, path, found)


def _made(child: Child) -> LayerCall:
    new, arguments = child.new, _done_after(child)
    match new:
        case NewModule(operator, args, kwargs, names):
            pairs = [*zip(names, args, strict=False), *kwargs]
            defaults = _defaults(operator)
            given = _without(defaults, pairs)
            inferred = {name for name in given if not _is_written(child.place, name)}
            return LayerCall(
                operator_text(operator), given | arguments, frozenset(inferred), defaults=defaults
            )
        case NewParameter(value) | NewBuffer(value):
            kind = "nn.Parameter" if isinstance(new, NewParameter) else "nn.Buffer"
            return LayerCall(kind, {"value": _text(value)} | arguments)
        case NewSequence() | NewList() | NewDict():
            return LayerCall(container_name(new), arguments)
        case NewGraph(graph):
            return LayerCall(graph.name, arguments)
        case NewInstance():
            raise AssertionError("a program before its classes are planned has none")
        case _:
            assert_never(new)


def _done_after(child: Child) -> dict[str, str]:
    """`init` and `freeze`, as if they were arguments."""
    found: dict[str, str] = {}
    for one in child.after:
        match one:
            case Init(target, operator, kwargs):
                told = ", ".join(f"{name}={_text(value)}" for name, value in kwargs)
                rows = "" if one.rows is None else f" on rows {one.rows}"
                found[f"init {'.'.join(target)}{rows}".strip()] = f"{operator.name}({told})"
            case Freeze():
                found["freeze"] = "True"
            case _:
                assert_never(one)
    return found


def _graph(graph: Graph, path: str, found: dict[str, LayerCall]) -> None:
    for child in graph.children:
        _child(child, join_path(path, child.name), found)
    names = {port.id: join_path(path, port.name) for port in graph.inputs}
    for statement in graph.body:
        match statement:
            case Assign(targets=targets):
                at = path_of_statement(statement, path)
                found[at] = _assigned(statement, found.get(at), names, path)
                for target in targets:
                    names[target] = at
            case Loop(part=part, carried=carried, start=start, item=item):
                at = join_path(path, ".".join(map(str, part)))
                names[item] = at
                reads = [one for expr in start for one in _reads(expr, names, path)]
                if at in found:
                    found[at] = replace(found[at], reads=tuple(reads))
                for one in carried:
                    names[one] = at
            case _:
                assert_never(statement)
    outputs = graph.outputs
    last = (outputs.train, outputs.eval) if isinstance(outputs, ByMode) else (outputs,)
    texts = [_text(one) for one in last]
    reads = [one for expr in last for one in _reads(expr, names, path)]
    found[join_path(path, OUTPUTS)] = LayerCall(" / ".join(texts), reads=tuple(reads))


def _assigned(
    statement: Assign, made: LayerCall | None, names: Mapping[int, str], path: str
) -> LayerCall:
    """A layer's call: of its own module beside how that is made, of another one by its path."""
    expr = statement.expr
    if isinstance(expr, CallPart) and isinstance(expr.target, Part) and made is not None:
        reads = [one for arg in expr.args for one in _reads(arg, names, path)]
        reads += [one for _, value in expr.kwargs for one in _reads(value, names, path)]
        named = {f"with {name}": _text(value) for name, value in expr.kwargs}
        return replace(made, arguments={**made.arguments, **named}, reads=tuple(reads))
    reads = _reads(expr, names, path)
    if isinstance(expr, Call):
        pairs = _named(expr.operator, expr.args, expr.kwargs)
        defaults = _defaults(expr.operator)
        given = _without(defaults, pairs)
        told = {name: text for name, text in given.items() if text != _OPERAND}
        return LayerCall(operator_text(expr.operator), told, reads=tuple(reads), defaults=defaults)
    if isinstance(expr, Method) and isinstance(expr.receiver, Value):
        texts = [_text(arg) for arg in expr.args]
        named = {str(i): text for i, text in enumerate(texts) if text != _OPERAND}
        named |= {name: _text(value) for name, value in expr.kwargs}
        return LayerCall(f"{_OPERAND}.{expr.name}", named, reads=tuple(reads))
    return LayerCall(_text(expr), reads=tuple(reads))


def _named(
    operator: Operator, args: Sequence[Expr], kwargs: Iterable[tuple[str, Expr]]
) -> list[tuple[str, Expr]]:
    names = list(signatures_of(operator)[0].parameters)
    known = [names[i].name if i < len(names) else str(i) for i in range(len(args))]
    return [*zip(known, args, strict=True), *kwargs]


def _defaults(operator: Operator) -> dict[str, str]:
    known = signatures_of(operator)[0].parameters
    return {p.name: _text(Const(p.default)) for p in known if not p.required}


def _without(defaults: Mapping[str, str], pairs: Iterable[tuple[str, Expr]]) -> dict[str, str]:
    """The arguments as texts, without those that say the default."""
    texts = {name: _text(value) for name, value in pairs}
    return {name: text for name, text in texts.items() if defaults.get(name) != text}


def _is_written(place: Place | None, name: str) -> bool:
    return place is not None and place.argument(name) is not None


def _text(expr: Expr) -> str:
    return expr_text(_blank(expr), {0: _OPERAND})


def _blank(expr: Expr) -> Expr:
    return Value(0) if isinstance(expr, (Value, Part)) else rebuild(expr, _blank)


def _reads(expr: Expr, names: Mapping[int, str], path: str) -> list[str]:
    found = []
    for one in walk(expr):
        if isinstance(one, Value):
            found.append(names.get(one.id, ""))
        elif isinstance(one, Part):
            found.append(join_path(path, ".".join(map(str, one.path))))
    return found
