"""Graphs → classes: instances of one graph share a class, and what differs becomes a parameter."""

from __future__ import annotations

import builtins
import keyword
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from netspec.emit.nodes import IMPORTED
from netspec.ir.expr import Call, CallPart, Const, Expr, Item, Method, SliceOf, rebuild
from netspec.ir.graph import (
    Assign,
    ByMode,
    Child,
    Graph,
    Init,
    Loop,
    New,
    NewBuffer,
    NewDict,
    NewGraph,
    NewInstance,
    NewList,
    NewModule,
    NewParameter,
    NewSequence,
    Program,
    Statement,
)  # fmt: skip
from netspec.ir.traversal import children_of, map_children
from netspec.ops.catalog import Operator, module_members, operator_of
from netspec.ops.types import memo_key

_TAKEN = frozenset({"self", "build_model", "super", *IMPORTED})


@dataclass(frozen=True, slots=True)
class Registration:
    """Stands in a class's graph for a constant that may differ from instance to instance."""

    index: int


@dataclass(frozen=True, slots=True)
class ClassPlan:
    """A class to be written: its graph with slots, and what stands in each of them.

    A slot is the value that all instances share, or the name of a parameter of `__init__`.
    """

    number: int
    name: str
    graph: Graph
    literals: tuple[Const | str, ...]
    parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All classes, each after those that it needs, and how the model itself is made."""

    classes: tuple[ClassPlan, ...]
    root: Child
    imports: tuple[Operator, ...] = ()  # what Python code registered


@dataclass(slots=True)
class _Member:
    """One graph on its way into a class."""

    graph: Graph
    shape: Graph
    slots: list[Const]
    keys: list[tuple[str, str]]


def plan_classes(program: Program) -> Plan:
    """The classes of a program. The same program gives the same plan, in every process."""
    levels = _levels(program.root.new)
    imports = tuple(map(operator_of, program.registered))
    symbols = frozenset(one.symbol for one in imports)
    planner = _Planner(symbols)
    for graphs in levels:
        planner.add_level(graphs)
    root = replace(program.root, new=planner.resolve(program.root.new))
    return Plan(_named(planner.classes, symbols), root, imports)


def _levels(root: New) -> list[list[Graph]]:
    """The graphs below, those without inner graphs first; each once."""
    heights: dict[int, int] = {}
    graphs: dict[int, Graph] = {}
    stack: list[tuple[Graph, bool]] = [(graph, False) for graph in _graphs_in(root)]
    while stack:
        graph, ready = stack.pop()
        if id(graph) in heights:
            continue
        inner = [g for child in graph.children for g in _graphs_in(child.new)]
        if ready or all(id(g) in heights for g in inner):
            heights[id(graph)] = 1 + max((heights[id(g)] for g in inner), default=-1)
            graphs[id(graph)] = graph
            continue
        stack.append((graph, True))
        stack.extend((g, False) for g in reversed(inner) if id(g) not in heights)
    levels: list[list[Graph]] = [[] for _ in range(1 + max(heights.values(), default=-1))]
    for key, graph in graphs.items():
        levels[heights[key]].append(graph)
    return levels


def _graphs_in(new: New, seen: set[int] | None = None) -> Iterator[Graph]:
    """The graphs that a thing to be made holds, not those inside of them."""
    seen = set() if seen is None else seen  # the ids of containers: one may stand in many places
    if isinstance(new, NewGraph):
        yield new.graph
        return
    if id(new) in seen:
        return
    seen.add(id(new))
    for child in children_of(new):
        yield from _graphs_in(child.new, seen)


class _Planner:
    """Gathers graphs by their shape, level by level."""

    def __init__(self, symbols: frozenset[str]) -> None:
        self.symbols = symbols
        self.classes: list[ClassPlan] = []
        self.instance_of: dict[int, NewInstance] = {}
        self.resolved: dict[int, New] = {}  # by the id of what it was

    def add_level(self, graphs: Sequence[Graph]) -> None:
        written: dict[object, list[Graph]] = {}
        for graph in graphs:
            place = graph.place
            key = (graph.name, place and (place.source.file, place.path))
            written.setdefault(key, []).append(graph)
        for same in written.values():
            if len(same) == 1:
                self._add_only(same[0])
                continue
            groups: dict[Graph, list[_Member]] = {}
            for graph in same:
                member = self._abstract(graph)
                groups.setdefault(member.shape, []).append(member)
            for members in groups.values():
                self._add_class(members)

    def _add_only(self, graph: Graph) -> None:
        """A class with one instance: all its constants stay where they are."""
        number = len(self.classes)
        if any(True for child in graph.children for _ in _graphs_in(child.new)):
            children = tuple(map(self._resolved, graph.children))
            shape = replace(graph, children=children)
        else:
            shape = graph
        self.classes.append(ClassPlan(number, graph.name, shape, (), ()))
        self.instance_of[id(graph)] = NewInstance(number, ())

    def _add_class(self, members: list[_Member]) -> None:
        number = len(self.classes)
        first = members[0]
        literals: list[Const | str] = []
        names: dict[object, str] = {}
        for index, const in enumerate(first.slots):
            column = tuple(memo_key(member.slots[index].value) for member in members)
            if all(value == column[0] for value in column):
                literals.append(const)
                continue
            if column not in names:
                same = [k for k in range(len(first.slots)) if _column(members, k) == column]
                children = (child.name for child in first.graph.children)
                taken = {*names.values(), *children, *self.symbols}
                names[column] = _parameter_name(members, same, taken)
            literals.append(names[column])
        parameters = tuple(names.values())
        self.classes.append(
            ClassPlan(number, first.graph.name, first.shape, tuple(literals), parameters)
        )
        for member in members:
            values = {
                name: member.slots[index]
                for index, name in enumerate(literals)
                if isinstance(name, str)
            }
            args = tuple(values[name] for name in parameters)
            self.instance_of[id(member.graph)] = NewInstance(number, args)

    def resolve(self, new: New) -> New:
        """The same thing with graphs replaced by instances of their classes."""
        if isinstance(new, NewGraph):
            return self.instance_of[id(new.graph)]
        found = self.resolved.get(id(new))
        if found is None:
            found = self.resolved[id(new)] = map_children(new, self._resolved)
        return found

    def _resolved(self, child: Child) -> Child:
        new = self.resolve(child.new)
        return child if new is child.new else replace(child, new=new)

    def _abstract(self, graph: Graph) -> _Member:
        """The graph with a slot for each constant."""
        slots: list[Const] = []
        keys: list[tuple[str, str]] = []

        def slot(const: Const, key: str, owner: str) -> Const:
            slots.append(const)
            keys.append((key, owner))
            return Const(Registration(len(slots) - 1), const.origin)

        def expr_(expr: Expr, key: str, owner: str) -> Expr:
            if isinstance(expr, Const):
                return slot(expr, key, owner) if _may_vary(expr) else expr
            if isinstance(expr, (Item, SliceOf)):
                return expr
            return rebuild(expr, lambda operand: expr_(operand, key, owner))

        def new_(new: New, owner: str) -> New:
            match new:
                case NewModule(operator, args, kwargs, names):
                    known = names or ("value",) * len(args)
                    return NewModule(
                        operator,
                        tuple(expr_(a, k, owner) for a, k in zip(args, known, strict=True)),
                        tuple((k, expr_(v, k, owner)) for k, v in kwargs),
                        names,
                    )
                case NewSequence() | NewList() | NewDict():
                    return map_children(new, child_)
                case NewGraph(inner):
                    found = self.instance_of[id(inner)]
                    names = self.classes[found.owner].parameters
                    args = tuple(expr_(a, k, owner) for a, k in zip(found.args, names, strict=True))
                    return NewInstance(found.owner, args)
                case NewParameter(value, fact):
                    return NewParameter(expr_(value, "value", owner), fact)
                case NewBuffer(value, persistent, fact):
                    return NewBuffer(expr_(value, "value", owner), persistent, fact)
                case NewInstance():
                    raise AssertionError("a graph's children are not instances yet")

        def child_(child: Child) -> Child:
            after = tuple(
                replace(s, kwargs=tuple((k, expr_(v, k, child.name)) for k, v in s.kwargs))
                if isinstance(s, Init)
                else s
                for s in child.after
            )
            return replace(child, new=new_(child.new, child.name), after=after)

        def statement_(statement: Statement) -> Statement:
            if isinstance(statement, Loop):
                start = tuple(expr_(e, "start", statement.names[0]) for e in statement.start)
                call = _call_exprs(statement.call, statement.names[0], expr_)
                return replace(statement, start=start, call=call)
            return replace(statement, expr=_call_exprs(statement.expr, statement.names[0], expr_))

        children = tuple(child_(child) for child in graph.children)
        body = tuple(statement_(statement) for statement in graph.body)
        outputs = graph.outputs
        if isinstance(outputs, ByMode):
            outputs = ByMode(expr_(outputs.train, "out", ""), expr_(outputs.eval, "out", ""))
        else:
            outputs = expr_(outputs, "out", "")
        rules = tuple(
            replace(rule, kwargs=tuple((k, expr_(v, k, "")) for k, v in rule.kwargs))
            for rule in graph.rules
        )
        inits = tuple(
            replace(s, kwargs=tuple((k, expr_(v, k, "")) for k, v in s.kwargs)) for s in graph.inits
        )
        shape = replace(
            graph, children=children, body=body, outputs=outputs, rules=rules, inits=inits
        )
        return _Member(graph, shape, slots, keys)


def _call_exprs(expr: Expr, owner: str, change: Callable[[Expr, str, str], Expr]) -> Expr:
    """As `change`, with each keyword argument's own name as the key of its constants."""
    match expr:
        case Call(operator, args, kwargs):
            return Call(
                operator,
                tuple(change(a, "value", owner) for a in args),
                tuple((k, change(v, k, owner)) for k, v in kwargs),
            )
        case CallPart(target, args, kwargs):
            return CallPart(
                target,
                tuple(change(a, "value", owner) for a in args),
                tuple((k, change(v, k, owner)) for k, v in kwargs),
            )
        case Method(name, receiver, args, kwargs):
            return Method(
                name,
                change(receiver, "value", owner),
                tuple(change(a, "value", owner) for a in args),
                tuple((k, change(v, k, owner)) for k, v in kwargs),
            )
        case _:
            return change(expr, "value", owner)


def _may_vary(const: Const) -> bool:
    return isinstance(const.value, (bool, int, float, str, tuple)) and not (
        isinstance(const.value, tuple) and any(v is ... for v in const.value)
    )


def _column(members: list[_Member], index: int) -> tuple[object, ...]:
    return tuple(memo_key(member.slots[index].value) for member in members)


def _parameter_name(members: list[_Member], same: list[int], taken: set[str]) -> str:
    """By the arg that the constants came from, else by their key, else with the layer's name."""
    first = members[0]
    origins = [first.slots[index].origin for index in same]
    options = [origin for origin in origins if origin is not None]
    options += [first.keys[index][0] for index in same]
    key, owner = first.keys[same[0]]
    options += [f"{_identifier(owner)}_{key}"]
    options += [f"{key}_{number}" for number in range(2, len(first.slots) + 3)]
    for option in options:
        is_name = option.isidentifier() and not keyword.iskeyword(option)
        is_name = is_name and unicodedata.is_normalized("NFKC", option)
        is_name = is_name and not option.startswith("_") and option not in module_members()
        if is_name and option not in taken and option not in _TAKEN:
            return option
    raise AssertionError("one of the numbered names is free")


def _identifier(text: str) -> str:
    name = text.replace("-", "_").replace(".", "_")
    return name if name.isidentifier() else f"layer_{name}"


def _named(classes: list[ClassPlan], symbols: frozenset[str]) -> tuple[ClassPlan, ...]:
    """Each class with a name of its own: the smallest variant has the plain one."""
    by_name: dict[str, list[ClassPlan]] = {}
    for plan in classes:
        by_name.setdefault(_class_name(plan.name, symbols), []).append(plan)
    taken: set[str] = set(_TAKEN) | symbols | set(by_name)
    names: dict[int, str] = {}
    for name, plans in by_name.items():
        if len(plans) > 1:
            plans = sorted(plans, key=lambda plan: (len(_words(plan)), plan.number))
        names[plans[0].number] = name
        if len(plans) == 1:
            continue
        base = set(_words(plans[0]))
        for plan in plans[1:]:
            extra = [word for word in _words(plan) if word not in base]
            suffix = "".join(_camel(word) for word in extra[:2])
            option, count = f"{name}{suffix}", 2
            while option in taken or option == name:
                option = f"{name}{suffix}{count}"
                count += 1
            taken.add(option)
            names[plan.number] = option
    return tuple(replace(plan, name=names[plan.number]) for plan in classes)


def _words(plan: ClassPlan) -> list[str]:
    words = dict.fromkeys(child.name for child in plan.graph.children)
    for statement in plan.graph.body:
        if isinstance(statement, Assign):
            words.update(dict.fromkeys(statement.names))
    return list(words)


def _camel(word: str) -> str:
    parts = word.replace("-", "_").replace(".", "_").split("_")
    return "".join(part[:1].upper() + part[1:] for part in parts)


def _class_name(name: str, symbols: frozenset[str]) -> str:
    # Python reads an identifier in this form, and the exported text has to mean the same.
    name = unicodedata.normalize("NFKC", name)
    cleaned = "".join(ch for ch in name if ch.isalnum() or ch == "_")
    taken = cleaned in _TAKEN or cleaned in symbols or hasattr(builtins, cleaned)
    if not cleaned.isidentifier() or keyword.iskeyword(cleaned) or taken:
        return f"Model{cleaned}"
    return cleaned
