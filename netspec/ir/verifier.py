"""What holds of every program, after lowering and after each pass. What breaks it is our mistake.

- A value is defined once, before it is read, in its own graph; a loop's item is read within it.
- A value has a type at each probe; of several values that are unpacked, one for each.
- Children have a name of their own, and what an expression, a tie, an `init` names is there.
- A module that is called says so; one that says so is named by an expression, or kept.
- A call gives an instance of a graph all that it takes, and nothing else.
- Tied parameters are of one type. Arguments of constructors are constants; the values of parameters
  and buffers are made of these, and of what is registered before.
- A place lies inside of its text.
"""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import assert_never

from netspec.ir.expr import (
    Attribute,
    Binary,
    Builtin,
    Call,
    CallPart,
    Choice,
    Comparison,
    Const,
    DictOf,
    Expr,
    Item,
    ListOf,
    Logic,
    Method,
    Part,
    SliceOf,
    Training,
    Tuple,
    Unary,
    Value,
    operands_of,
    walk,
)
from netspec.ir.graph import (
    Assign,
    Child,
    Container,
    Freeze,
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
    Place,
    Port,
    Program,
    Tie,
)
from netspec.ir.lower.values import UNKNOWN
from netspec.ir.made import parameters_of
from netspec.ir.traversal import child_at, children_of, graphs_of, output_expressions
from netspec.ops.types import Fact


def verify_program(program: Program) -> None:
    """Raises AssertionError, with a sentence, where something does not hold."""
    assert program.probes, f"`{program.name}` was tried at no sizes"
    for port in program.inputs:
        _verify_types(port.facts, 1, len(program.probes), f"the input `{port.name}`")
    _verify_child(program.root, program.name)
    match program.root.new:
        case NewGraph(graph):
            own, taken = ([port.name for port in ports] for ports in (program.inputs, graph.inputs))
            assert own == taken, f"`{program.name}` takes {own}, and its graph {taken}"
        case NewSequence():
            assert len(program.inputs) == 1, f"the chain `{program.name}` takes one input"
        case _:
            raise AssertionError(f"`{program.name}` is neither a graph nor a chain")
    for graph in graphs_of(program.root):
        verify_graph(graph, len(program.probes))


def _is_kept(child: Child) -> bool:
    """Whether it stays although nothing names it: a list of kept things is kept as well."""
    if child.kept:
        return True
    held = child.new.children if isinstance(child.new, (NewList, NewDict)) else ()
    return any(map(_is_kept, held))


def verify_graph(graph: Graph, probes: int) -> None:
    """The same of one graph, whose values have types at so many probes."""
    _verify_names(graph.children, graph.name)
    for child in graph.children:
        _verify_child(child, f"{graph.name}.{child.name}")
    _verify_state(graph)
    for tie in graph.ties:
        _verify_tie(tie, graph)
    for init in graph.inits:
        _verify_init(init, NewGraph(graph), graph.name)
    _verify_place(graph.place, graph.name)
    body = _Body(graph, probes)
    body.verify()
    body.verify_called()


class _Body:
    """One `forward`, statement by statement: the values so far, and the children it named."""

    def __init__(self, graph: Graph, probes: int) -> None:
        self.graph = graph
        self.probes = probes
        self.children = {child.name: child for child in graph.children}
        self.defined: set[int] = set()  # ever
        self.alive: set[int] = set()  # what may be read
        self.named: set[str] = set()
        self.items: dict[int, Sequence[Child]] = {}  # what the item of a loop may be

    def verify(self) -> None:
        for port in self.graph.inputs:
            self._define(port.id, port.name)
            _verify_types(port.facts, 1, self.probes, self._of(port.name))
        for statement in self.graph.body:
            match statement:
                case Assign():
                    self._assign(statement)
                case Loop():
                    self._loop(statement)
                case _:
                    assert_never(statement)
        for expr in output_expressions(self.graph.outputs):
            self._read(expr, "outputs")

    def verify_called(self) -> None:
        """Each module that says that it is called is named here, or kept."""
        for child in self.graph.children:
            meant = child.name in self.named or _is_kept(child) or not child.called
            assert meant, f"{self._of(child.name)} says it is called, and no expression names it"

    def _of(self, name: str) -> str:
        return f"`{self.graph.name}.{name}`"

    def _define(self, value: int, name: str) -> None:
        assert value not in self.defined, f"{self._of(name)} defines a value again"
        self.defined.add(value)
        self.alive.add(value)

    def _assign(self, statement: Assign) -> None:
        what = self._of(statement.names[0])
        self._read(statement.expr, what)
        assert len(statement.targets) == len(statement.names), f"{what} has a name for each value"
        for target, name in zip(statement.targets, statement.names, strict=True):
            self._define(target, name)
        _verify_types(statement.facts, len(statement.targets), self.probes, what)
        _verify_place(statement.place, what)

    def _loop(self, loop: Loop) -> None:
        what = self._of(loop.names[0])
        for start in loop.start:
            self._read(start, what)
        self._read(Part(loop.part), what)
        counts = {len(loop.carried), len(loop.start), len(loop.names)}
        assert len(counts) == 1, f"{what} has a start and a name for each value that it carries"
        for value, name in zip(loop.carried, loop.names, strict=True):
            self._define(value, name)
        self._define(loop.item, "the item of a loop")
        listed = self._child(loop.part)
        assert listed is not None and isinstance(listed.new, NewList), f"{what} is of a list"
        self.items[loop.item] = listed.new.children
        self._read(loop.call, what)
        self.alive.remove(loop.item)
        _verify_types(loop.facts, len(loop.carried), self.probes, what)
        _verify_place(loop.place, what)

    def _read(self, expr: Expr, what: str) -> None:
        match expr:
            case Value():
                assert expr.id in self.alive, f"{what} reads value {expr.id} before it is there"
                return
            case CallPart():
                self._call(expr, what)
            case Part():
                self._name(expr.path, what)
                return
            case Call():
                is_class = expr.operator.is_module
                assert not is_class, f"{what} calls the class `{expr.operator.name}`"
            case (
                Const() | Training() | Tuple() | ListOf() | DictOf() | SliceOf() | Method()
                | Builtin() | Attribute() | Item() | Unary() | Binary() | Comparison()
                | Logic() | Choice()
            ):  # fmt: skip
                pass
            case _:
                assert_never(expr)
        for operand in operands_of(expr):
            self._read(operand, what)

    def _name(self, path: Sequence[str | int], what: str) -> None:
        """A path leads to a child, or into a module of torch's."""
        first = str(path[0])
        self.named.add(first)
        child = self.children.get(first)
        for key in path[1:]:
            if child is None or isinstance(child.new, NewModule):
                break
            child = child_at(child, (key,))
        assert child is not None, f"{what} names `{_dotted(path)}`, which is not there"

    def _child(self, path: Sequence[str | int]) -> Child | None:
        """The child at a path; None inside of torch's own."""
        found = self.children.get(str(path[0]))
        return found if len(path) == 1 else child_at(found, path[1:])

    def _call(self, call: CallPart, what: str) -> None:
        match call.target:
            case Part(path):
                child = self._child(path)
                if child is not None:  # None is inside of torch's own
                    assert child.called, f"{what} calls `{child.name}`, which says it is not"
                    _verify_call(call, child.new, what)
            case Value(id):
                for child in self.items.get(id, ()):
                    _verify_call(call, child.new, what)
            case _:  # an item or an attribute of what a graph around handed in
                pass


def _verify_call(call: CallPart, new: New, what: str) -> None:
    """What is called takes just what it is given."""
    match new:
        case NewModule():  # torch was asked
            pass
        case NewGraph(graph):
            _verify_arguments(call, graph.inputs, what)
        case NewSequence():
            given = len(call.args) == 1 and not call.kwargs
            assert given, f"{what} calls a chain, which takes one value"
        case NewList() | NewDict() | NewParameter() | NewBuffer() | NewInstance():
            raise AssertionError(f"{what} calls a {type(new).__name__}")
        case _:
            assert_never(new)


def _verify_arguments(call: CallPart, ports: Sequence[Port], what: str) -> None:
    names = [port.name for port in ports]
    given = len(call.args)
    assert given <= len(ports), f"{what} calls what takes {names} with {given} values"
    rest = {port.name: port for port in ports[len(call.args) :]}
    for name, _ in call.kwargs:
        assert name in rest, f"{what} gives `{name}`, which is given already, or no input"
        del rest[name]
    missing = [port.name for port in rest.values() if not port.optional]
    assert not missing, f"{what} calls what takes {names} without {missing}"


def _verify_child(child: Child, what: str) -> None:
    """A child, and what is below it as far as no graph of its own begins."""
    _verify_place(child.place, what)
    match child.new:
        case NewModule(operator, args, kwargs, names):
            assert operator.is_module, f"`{what}` is made by `{operator.name}`, which is no class"
            for value in args:
                assert isinstance(value, Const), f"an argument of `{what}` is no constant"
            for name, value in kwargs:
                assert isinstance(value, Const), f"`{name}` of `{what}` is no constant"
            assert len(names) in (0, len(args)), f"an argument of `{what}` has no name"
        case NewSequence(children) | NewList(children) | NewDict(children):
            _verify_names(children, what)
            for inner in children:
                _verify_child(inner, f"{what}.{inner.name}")
        case NewParameter(fact=fact) | NewBuffer(fact=fact):
            assert fact is not None, f"`{what}` has no type"
        case NewGraph():
            pass
        case NewInstance():
            raise AssertionError(f"`{what}` is an instance of a class before there are any")
        case _:
            assert_never(child.new)
    for step in child.after:
        match step:
            case Init():
                _verify_init(step, child.new, what)
            case Freeze():
                pass
            case _:
                assert_never(step)


def _verify_state(graph: Graph) -> None:
    """Parameters and buffers are made of constants, and of what is registered before them."""
    there: set[str | int] = set()
    for child in graph.children:
        there |= {child.name} if isinstance(child.new, Container) else set()
        inner = () if isinstance(child.new, NewGraph) else children_of(child.new)
        for state in (child, *inner):
            if isinstance(state.new, (NewParameter, NewBuffer)):
                what = f"the value of `{graph.name}.{state.name}`"
                for node in walk(state.new.value):
                    assert not isinstance(node, Value), f"{what} is of a call"
                    if isinstance(node, Part):
                        early = node.path[0] not in there
                        assert not early, f"{what} reads `{_dotted(node.path)}`, which is not there"
        there.add(child.name)


def _verify_names(children: Sequence[Child], what: str) -> None:
    names = [child.name for child in children]
    assert len(set(names)) == len(names), f"two children of `{what}` have one name: {names}"


def _verify_init(init: Init, new: New, what: str) -> None:
    target = _parameter_at(new, init.target)
    assert target is not None, f"an `init` of `{what}` is of no parameter: {_dotted(init.target)}"
    _verify_place(init.place, what)


def _verify_tie(tie: Tie, graph: Graph) -> None:
    what = f"the tie of `{_dotted(tie.target)}` to `{_dotted(tie.source)}` in `{graph.name}`"
    types = [_parameter_at(NewGraph(graph), path) for path in (tie.target, tie.source)]
    assert None not in types, f"{what} has no such parameter"
    assert types[0] == types[1], f"{what} is of {types[0]} and {types[1]}"
    _verify_place(tie.place, what)


def _parameter_at(new: New, path: Sequence[str | int]) -> Fact:
    """The type of the parameter or buffer at a path; None where there is none."""
    for number, key in enumerate(path):
        children = children_of(new)
        if not children:
            return parameters_of(new).get(_dotted(path[number:]))
        found = child_at(Child("", new), (key,))
        if found is None:
            return None
        new = found.new
    return parameters_of(new).get("") if isinstance(new, (NewParameter, NewBuffer)) else None


def _verify_types(facts: Sequence[Fact], count: int, probes: int, what: str) -> None:
    """A type at each probe, and at those beyond; of several values, one for each."""
    assert len(facts) >= probes, f"{what} has {len(facts)} types for {probes} probes"
    for fact in facts:
        assert fact is not UNKNOWN, f"the type of {what} is not known"
        each = count == 1 or (isinstance(fact, tuple) and len(fact) == count)
        assert each, f"{what} has no type for each of its {count} values: {fact}"


def _dotted(path: Sequence[str | int]) -> str:
    return ".".join(map(str, path))


def _verify_place(place: Place | None, what: str) -> None:
    if place is None:
        return
    assert place.exists, f"{what} is at {place.path}, which `{place.source.file}` has not"
