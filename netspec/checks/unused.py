"""What nothing reads: a layer whose value is lost, a module that is never called."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from netspec.errors import Diagnostic
from netspec.ir.conditions import Readings
from netspec.ir.expr import Part, values_in, walk
from netspec.ir.graph import (
    Assign,
    Child,
    Graph,
    NewBuffer,
    NewDict,
    NewGraph,
    NewList,
    NewParameter,
    Place,
)
from netspec.ir.traversal import expressions_of, graphs_of
from netspec.language.assigned import help_for_statement
from netspec.language.expressions import as_expression, is_expression, names_in
from netspec.language.load import Definition, Spec, plain_source
from netspec.language.overrides import args_of
from netspec.language.schema import Document
from netspec.language.validation_errors import unknown_arg
from netspec.source import Path, Source

_WORD = re.compile(r"\w+")


def find_unused(root: Child, document: Document) -> list[Diagnostic]:
    """NS501 for each input and layer that nothing reads, each declared module that nothing calls.

    An input that only a layer with a false `when` names is read: it is there for that layer.
    """
    problems = _unread_inputs(root, document)
    readings = Readings()
    for graph in graphs_of(root):
        problems += _unread(graph, readings)
        problems += _uncalled(graph, readings)
    return problems


def find_unused_args(spec: Spec) -> list[Diagnostic]:
    """NS501 for each arg of the spec and its blocks that nothing in the text of it names.

    What is said of the text holds whatever the args are, and whatever overrides leave of it.
    """
    problems = _unused_in(spec.document.args, plain_source(spec.source), (), "the arg `{}`")
    return [*problems, *_unread_new_args(spec), *_unused_in_blocks(spec.blocks)]


def _unread_new_args(spec: Spec) -> Iterator[Diagnostic]:
    """NS209 for each arg that an override brings, and nothing reads: a name that is misspelt."""
    known = args_of(plain_source(spec.source))
    new = [name for name in spec.document.args if name not in known]
    if not new or not isinstance(spec.source.value, dict):
        return
    named = _named_in([item for key, item in spec.source.value.items() if key != "doc"])
    for name in new:
        if name not in named:
            yield unknown_arg(spec.name, name, known, spec.source.key_span_of(("args", name)))


def _unused_in_blocks(definitions: Mapping[str, Definition]) -> list[Diagnostic]:
    problems = []
    for name, definition in definitions.items():
        block, source = definition.block, plain_source(definition.source)
        problems += _unused_in(block.args, source, definition.path, f"`{{}}`, an arg of `{name}`")
        problems += _unused_in_blocks({key: definition.blocks[key] for key in block.blocks})
    return problems


def _unused_in(
    args: Mapping[str, object], source: Source, path: Path, what: str
) -> list[Diagnostic]:
    value: object = source.value
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    if not args or not isinstance(value, dict):
        return []
    named = _named_in([item for key, item in value.items() if key not in ("blocks", "doc")])
    return [
        Diagnostic(
            "NS501", f"nothing reads {what.format(name)}",
            source.key_span_of((*path, "args", name)), help="read it, or leave it out",
        )
        for name in args
        if name not in named and name in value.get("args", {})
    ]  # fmt: skip


def _named_in(value: object) -> set[str]:
    """All names in the expressions of a plain value, and what its texts begin with."""
    found: set[str] = set()
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            found.update(names_in(item) if is_expression(item) else {item.partition(".")[0]})
        elif isinstance(item, dict):
            stack.extend(item.values())
            rows = [key.partition("[")[2] for key in item if "[" in key]  # of `init`: `weight[pad]`
            found.update(word for text in rows for word in _WORD.findall(text))
        elif isinstance(item, list):
            stack.extend(item)
    return found


def _unread_inputs(root: Child, document: Document) -> list[Diagnostic]:
    if not isinstance(root.new, NewGraph) or root.place is None:
        return []
    graph = root.new.graph
    read = {value for expr in expressions_of(graph) for value in values_in(expr)}
    unread = [port.name for port in graph.inputs if port.id not in read]
    defaults = [step for step in graph.body if isinstance(step, Assign) and _is_default(step)]
    unread += [step.names[0] for step in defaults if step.targets[0] not in read]
    if not unread:
        return []
    named = _words_of(document)
    help = "read it, or leave it out"
    return [
        Diagnostic(
            "NS501", f"nothing reads the input `{name}`",
            root.place.at("inputs", name).key_span(), help=help,
        )
        for name in unread
        if name not in named
    ]  # fmt: skip


def _words_of(document: Document) -> set[str]:
    """All words of the values in the layers and outputs."""
    layers = document.model_dump(include={"layers", "outputs"})
    found: set[str] = set()
    stack: list[object] = [layers]
    while stack:
        value = stack.pop()
        if isinstance(value, str):
            found.update(_WORD.findall(value))
        elif isinstance(value, dict):
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
    return found


def _unread(graph: Graph, readings: Readings) -> Iterator[Diagnostic]:
    read = {value for expr in expressions_of(graph) for value in values_in(expr)}
    for statement in graph.body:
        if not isinstance(statement, Assign) or statement.keep or statement.place is None:
            continue
        if _is_default(statement):  # of an input: told of as one
            continue
        for target, name in zip(statement.targets, statement.names, strict=True):
            if target not in read:
                found = _diagnostic(f"nothing reads `{name}`", statement.place, readings)
                help = _overwriting_help(statement.place)
                yield found if help is None else replace(found, help=help)


def _overwriting_help(place: Place) -> str | None:
    """Of a value that is made only to overwrite another: what to read in its place."""
    written = place.at("value") if place.at("value").exists else place
    text = written.value if written.exists else None
    if not isinstance(text, str) or not is_expression(text):
        return None
    help = help_for_statement(text[1:].strip())
    return help and f"{help}; what comes after reads this layer"


def _is_default(statement: Assign) -> bool:
    """Whether this gives an input that was left out the value of its default."""
    return statement.place is not None and statement.place.path[:1] == ("inputs",)


def _uncalled(graph: Graph, readings: Readings) -> Iterator[Diagnostic]:
    """Modules that nothing calls, and parameters and buffers that nothing reads."""
    read = _parts_read(graph) if any(map(_is_state, graph.children)) else set()
    for child in graph.children:
        if isinstance(child.new, (NewList, NewDict)) and child.called and not child.kept:
            yield from _uncalled_items(child, readings)
        if child.place is None or child.called:
            continue
        if _is_state(child):
            if child.name not in read:
                yield _diagnostic(f"nothing reads `{child.name}`", child.place, readings)
        else:
            yield _diagnostic(
                f"`{child.name}` is declared, and nothing calls it", child.place, readings
            )


def _is_state(child: Child) -> bool:
    """Whether a child is read, not called: a parameter, a buffer, a list or dict of parameters."""
    if isinstance(child.new, (NewList, NewDict)):
        return all(isinstance(item.new, NewParameter) for item in child.new.children)
    return isinstance(child.new, (NewParameter, NewBuffer))


def _uncalled_items(listed: Child, readings: Readings) -> Iterator[Diagnostic]:
    assert isinstance(listed.new, (NewList, NewDict)), "only lists and dicts have items"
    for item in listed.new.children:
        if not item.called and item.place is not None and not isinstance(item.new, NewParameter):
            named = f"[{item.name}]" if isinstance(listed.new, NewList) else f".{item.name}"
            fact = f"`{listed.name}{named}` is declared, and nothing calls it"
            yield _diagnostic(fact, item.place, readings)


def _diagnostic(fact: str, place: Place, readings: Readings) -> Diagnostic:
    help = "use it, leave it out, or write `keep: true`"
    condition = readings.condition(place)
    if condition is not None:
        help = (
            f"write `when: {as_expression(condition)}` at `{place.path[-1]}`: only then something "
            "reads it"
        )
    return Diagnostic("NS501", fact, place.key_span(), help=help)


def _parts_read(graph: Graph) -> set[str | int]:
    """The children that the graph's expressions and ties name."""
    nodes = (node for expr in expressions_of(graph) for node in walk(expr))
    names = {node.path[0] for node in nodes if isinstance(node, Part)}
    return names | {tie.source[0] for tie in graph.ties} | {tie.target[0] for tie in graph.ties}
