"""Where names live while a spec is lowered: graphs under construction, and scopes within them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from netspec.errors import Diagnostic, Related
from netspec.ir.expr import (
    Call,
    CallPart,
    Const,
    Expr,
    Item,
    Method,
    Part,
    Training,
    Tuple,
    Value,
    values_in,
)  # fmt: skip
from netspec.ir.graph import Assign, Child, Freeze, Init, New, Place, Port, Statement, Tie
from netspec.ir.lower.refusal import Refused, refuse
from netspec.ir.lower.session import Context, Origin, Seen
from netspec.ir.lower.values import Operand
from netspec.language.load import Definition
from netspec.language.overrides import Text
from netspec.language.schema import Layer, Layers


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps that containers take for the layers inside of them, whatever kinds those are."""

    lower_layers: Callable[[Layers, Scope, Place], None]
    lower_layer: Callable[[Layer, str, Scope, Place, Callable[[], list[Operand]]], None]
    declare_child: Callable[[Layer, str, Scope, Place], None]


@dataclass(slots=True, eq=False)
class Registration:
    """A child's place among the registered ones; what it is may be known only at its first call."""

    name: str
    place: Place
    new: New | None = None
    after: tuple[Init | Freeze, ...] = ()
    called: bool = False
    keep: bool = False
    activation: bool = False
    holder: Holder | None = None  # of a list, whose children may be made later

    def child(self) -> Child:
        assert self.new is not None, f"slot `{self.name}` was never filled"
        return Child(
            self.name, self.new, self.after, self.called or self.keep, self.keep, self.place,
            self.activation,
        )  # fmt: skip


@dataclass(slots=True, eq=False)
class Holder:
    """The children of one container, in the order in which they are declared."""

    slots: dict[str, Registration] = field(default_factory=dict)
    counter: int = 0

    def add(self, slot: Registration) -> None:
        if slot.name in self.slots:
            before = self.slots[slot.name].place
            if before.path == slot.place.path:
                fact = f"each copy of the repeat registers `{slot.name}` in one container"
                help = "number them, as a list of `layers`, or leave `as: inline` out"
                raise refuse("NS210", fact, slot.place.key_span(), help)
            fact = f"two layers are registered as `{slot.name}`"
            first = before.line
            note = (f"the other one is on line {first}",) if first else ()
            other = Related(before.key_span(), "the other one")
            raise Refused(Diagnostic("NS210", fact, slot.place.key_span(), note, related=(other,)))
        self.slots[slot.name] = slot

    def children(self) -> tuple[Child, ...]:
        return tuple(slot.child() for slot in self.slots.values() if slot.new is not None)


@dataclass(slots=True, eq=False)
class GraphBuilder:
    """A graph under construction."""

    name: str
    context: Context
    steps: Steps
    source: Text
    outer: Scope | None = None  # of the graph around it; None for a block and for the spec itself
    holder: Holder = field(default_factory=Holder)
    inputs: list[Port] = field(default_factory=list)
    body: list[Statement] = field(default_factory=list)
    ties: list[Tie] = field(default_factory=list)
    sources: list[Operand] = field(default_factory=list)  # of the inputs, in the graph around
    count: int = 0
    captures: dict[object, Value] = field(default_factory=dict)
    caller: Scope | None = None  # of a block, whose names it does not see
    at: tuple[str | int, ...] = ()  # where it is registered in the graph around
    made_by: list[Seen] = field(default_factory=list)  # the layer of each value

    def fresh(self) -> int:
        self.count += 1
        self.made_by.append(self.context.at_layer)
        return self.count - 1

    def reads(self, expr: Expr) -> tuple[tuple[str, Origin], ...]:
        """From where the arguments of a call come, by their names or positions."""
        if isinstance(expr, Item) and isinstance(expr.of, CallPart):
            expr = expr.of
        match expr:
            case CallPart(_, args, kwargs) | Call(_, args, kwargs):
                pairs = [*((str(i), arg) for i, arg in enumerate(args)), *kwargs]
            case Method(_, receiver, args, kwargs):
                pairs = [*((str(i), arg) for i, arg in enumerate((receiver, *args))), *kwargs]
            case _:
                pairs = [("", expr)]
        found = [(name, origin) for name, arg in pairs for origin in self.origins(arg)]
        return tuple(dict.fromkeys(found))

    def reads_of(self, inputs: Sequence[Operand]) -> tuple[tuple[str, Origin], ...]:
        """From where these inputs of a layer come, by their positions."""
        pairs = enumerate(inputs)
        return tuple((str(i), origin) for i, o in pairs for origin in self.origins(o.expr))

    def origins(self, expr: Expr) -> tuple[Origin, ...]:
        """The layers and inputs whose values an expression reads, each once."""
        if type(expr) is Value:
            return self._origins_of(expr.id)
        return tuple(dict.fromkeys(o for v in values_in(expr) for o in self._origins_of(v)))

    def _origins_of(self, value: int) -> tuple[Origin, ...]:
        if value < 0:  # of what was refused
            return ()
        if self.outer is not None or self.caller is not None:
            for port, source in zip(self.inputs, self.sources, strict=True):
                if port.id == value:
                    around = self.outer
                    return (port.name,) if around is None else around.graph.origins(source.expr)
        maker = self.made_by[value]
        if maker is not self.context.at_layer:
            return (maker,)
        made = (s.expr for s in self.body if isinstance(s, Assign) and value in s.targets)
        return tuple(origin for expr in made for origin in self.origins(expr))

    def add_input(self, name: str, operand: Operand, optional: bool = False) -> Operand:
        """A new input that holds this operand of the caller's; constants need none."""
        if operand.static:
            return operand
        port = Port(self.fresh(), name, operand.facts, optional)
        self.inputs.append(port)
        self.sources.append(operand)
        return replace(operand, expr=Value(port.id))

    def assign(self, name: str, operand: Operand, place: Place, keep: bool = False) -> Operand:
        """`name = expr`; constants and names of values need no statement."""
        if keep and isinstance(operand.expr, Value):
            self._keep(operand.expr.id)
        if isinstance(operand.expr, (Const, Value)) or _is_tuple_of_values(operand.expr):
            return operand
        target = self.fresh()
        self.body.append(Assign((target,), operand.expr, (name,), keep, operand.facts, place))
        return Operand(Value(target), operand.facts, operand.sized, operand.modal)

    def _keep(self, value: int) -> None:
        """The statement that assigns this value is meant, although nothing reads it."""
        for index in reversed(range(len(self.body))):
            statement = self.body[index]
            if isinstance(statement, Assign) and value in statement.targets:
                self.body[index] = replace(statement, keep=True)
                return

    def hold(self, operand: Operand, place: Place) -> Operand:
        """An operand that several may read, as one value: it is computed once per call.

        Where nothing reads it in the end, it is not computed.
        """
        expr = operand.expr
        if operand.is_unknown or isinstance(expr, _LEAVES) or _is_tuple_of_values(expr):
            return operand
        target, name = self.fresh(), str(place.path[-1])
        statement = Assign((target,), operand.expr, (name,), False, operand.facts, place, True)
        self.body.append(statement)
        return Operand(Value(target), operand.facts, operand.sized, operand.modal)

    def take_back(self, value: Operand) -> Operand:
        """The expression of a value that was assigned last, and that nothing has read, again."""
        last = self.body[-1] if self.body else None
        if not isinstance(last, Assign) or last.targets != (getattr(value.expr, "id", None),):
            return value
        self.body.pop()
        return replace(value, expr=last.expr, facts=last.facts)

    def unpack(
        self, names: list[str], operand: Operand, items: list[Operand], place: Place
    ) -> list[Operand]:
        """`a, b = expr`, where the facts of the parts are those of `items`."""
        targets = tuple(self.fresh() for _ in names)
        facts = tuple(zip(*(item.facts for item in items), strict=True))
        self.body.append(Assign(targets, operand.expr, tuple(names), True, facts, place))
        return [
            replace(item, expr=Value(target)) for target, item in zip(targets, items, strict=True)
        ]

    def capture(self, key: object, name: str, operand: Operand) -> Operand:
        """A value of the graph around this one, as an input of this one."""
        if operand.static:
            return operand
        if key not in self.captures:
            port = Port(self.fresh(), name, operand.facts)
            self.inputs.append(port)
            self.sources.append(operand)
            self.captures[key] = Value(port.id)
        return replace(operand, expr=self.captures[key])


_LEAVES = (Const, Value, Part, Training)


def _is_tuple_of_values(expr: Expr) -> bool:
    return isinstance(expr, Tuple) and all(isinstance(i, (Const, Value)) for i in expr.items)


class Instance:
    """A registered thing that layers and expressions may call, index, or take parameters of."""

    __slots__ = ()
    has_named_items: ClassVar[bool] = False  # `heads.cls` is one of its items

    @property
    def items(self) -> int | None:
        """How many items it has, if it is a list or a dict of them."""
        return None

    def call(
        self,
        scope: Scope,
        at: Expr,
        args: Sequence[Operand],
        kwargs: Mapping[str, Operand],
        place: Place,
    ) -> Operand:
        """What a call gives; `at` is how the caller's graph reaches it. Raises Refused."""
        raise NotImplementedError

    def parameter(self, context: Context, at: Expr, name: str, place: Place) -> Operand | None:
        """Its own parameter or buffer of this name, if it has one."""
        return None

    def child(
        self, scope: Scope, module: Module, position: Operand, place: Place
    ) -> Operand | Module | None:
        """Its item at this position, if it is a list, or of this name, if it is a dict."""
        return None


@dataclass(slots=True, eq=False)
class Binding:
    """What a layer's name means: the value that it gives, and the module that it registers."""

    place: Place
    value: Operand | None = None
    instance: Instance | None = None
    at: Expr | None = None  # how the module is reached in the graph that registers it
    refused: bool = False
    held: bool = False  # a list or a dict: its items are called, and it has no value
    absent: bool = False  # its `when` is false: the value is the one that passes through

    def holds(self, place: Place) -> bool:
        """Whether a place lies inside of its layer, which is not there before its end."""
        return place.path[: len(self.place.path)] == self.place.path

    @property
    def is_open(self) -> bool:
        """Its layer is being lowered: the name still means what it meant before."""
        return not (self.value or self.instance or self.refused or self.absent)


@dataclass(frozen=True, slots=True)
class Module:
    """A registered module that an expression names."""

    binding: Binding
    name: str


@dataclass(frozen=True, slots=True)
class PendingTie:
    """A tie to be made when all children of the graph are known."""

    target: tuple[str | int, ...]
    reference: str
    place: Place
    scope: Scope | None = None  # in which it stands; None where it was handed up


@dataclass(slots=True, eq=False)
class Scope:
    """The names of one `layers:`; it looks outwards up to the block's edge."""

    graph: GraphBuilder
    source: Text
    args: Mapping[str, Operand]
    blocks: Mapping[str, Definition]
    outer: Scope | None = None
    holder: Holder = field(default_factory=Holder)
    prefix: tuple[str | int, ...] = ()  # from the graph to the holder
    numbered: bool = False
    names: dict[str, Binding] = field(default_factory=dict)
    previous: Operand | None = None
    entry: Operand | None = None  # the first input, from which factories take their device
    taps: Mapping[str, list[str]] = field(default_factory=dict)
    ties: list[PendingTie] = field(default_factory=list)
    indexed: bool = False  # children are items of a list
    held: bool = False  # children are items of a list or a dict, and not called here
    label: str = ""  # of the container, for the classes of children that are numbered
    copies: bool = False  # the children are copies of one layer
    ports: list[Operand] = field(default_factory=list)
    last_name: str | None = None  # under which the last layer was registered
    layers: tuple[Layers, Place] | None = None  # all of them, those to come too
    block: str = ""  # whose outermost scope this is
    called: frozenset[str] | None = None  # the names that its layers call, once they are asked for

    def with_args(self, args: Mapping[str, Operand]) -> Scope:
        """The same names and children, with other args."""
        return replace(self, args=args)

    def inlined(self, previous: Operand, taps: Mapping[str, list[str]], numbered: bool) -> Scope:
        """The scope of layers inside of one, whose children are registered beside this one's."""
        return Scope(
            self.graph, self.source, self.args, self.blocks, outer=self, holder=self.holder,
            prefix=self.prefix, numbered=numbered, previous=previous, entry=self.entry, taps=taps,
            ties=self.ties, indexed=self.indexed,
        )  # fmt: skip

    def of_graph(
        self,
        graph: GraphBuilder,
        ports: list[Operand],
        taps: Mapping[str, list[str]],
        numbered: bool,
    ) -> Scope:
        """The scope of the layers of another graph, that sees these names and is given `ports`."""
        return Scope(
            graph, self.source, self.args, self.blocks, outer=self, holder=graph.holder,
            numbered=numbered, previous=ports[0], entry=ports[0], taps=taps, ports=ports,
        )  # fmt: skip

    def listed(self, name: str, named: bool) -> Scope:
        """The scope in which the children of a list are declared, or where `named` of a dict."""
        return Scope(
            self.graph, self.source, self.args, self.blocks, outer=self, holder=Holder(),
            prefix=self.part(name).path, numbered=not named, entry=self.entry, ties=self.ties,
            indexed=not named, held=True, label=name,
        )  # fmt: skip

    def part(self, name: str) -> Part:
        """How a child registered by this scope is reached from its graph."""
        return Part((*self.prefix, int(name) if self.indexed else name))

    @property
    def context(self) -> Context:
        return self.graph.context

    def find(self, name: str) -> Binding | None:
        """What a name means here: of this scope, or of those around it, brought into this graph."""
        scope: Scope | None = self
        crossed: list[GraphBuilder] = []
        while scope is not None:
            if name in scope.names and not scope.names[name].is_open:
                return self._seen(captured_through(scope.names[name], name, crossed))
            if scope.outer is not None and scope.outer.graph is not scope.graph:
                crossed.append(scope.graph)
            scope = scope.outer
        return None

    def registered(self, name: str) -> Binding | None:
        """What a name means in this graph: of this scope, or of those around it in the graph."""
        scope: Scope | None = self
        while scope is not None and scope.graph is self.graph:
            if name in scope.names:
                return scope.names[name]
            scope = scope.outer
        return None

    def _seen(self, binding: Binding) -> Binding:
        value = binding.value and self.context.seen(binding.value)
        return binding if value is binding.value else replace(binding, value=value)

    def later(self, name: str) -> Place | None:
        """The layer of this name that is still to come, here or around."""
        scope: Scope | None = self
        while scope is not None:
            if scope.layers is not None and isinstance(scope.layers[0], Mapping):
                layers, place = scope.layers
                binding = scope.names.get(name)
                if name in layers and (binding is None or binding.is_open):
                    return place.at(name)
            scope = scope.outer
        return None

    def visible(self) -> list[str]:
        """All names that could be meant here, the nearest first."""
        names: list[str] = []
        scope: Scope | None = self
        while scope is not None:
            names += [
                name
                for name, binding in scope.names.items()
                if name not in names and not binding.is_open
            ]
            scope = scope.outer
        return names

    def is_refused(self, name: str) -> bool:
        """Whether a layer of this name was refused, so that nothing is known of what is in it."""
        binding = self.find(name)
        return binding is not None and binding.refused


def captured_through(binding: Binding, name: str, crossed: list[GraphBuilder]) -> Binding:
    if not crossed:
        return binding
    value, at = binding.value, binding.at
    for graph in reversed(crossed):
        if value is not None:
            value = graph.capture(("value", value.expr), name, value)
        if at is not None and binding.instance is not None:
            held = graph.capture(
                ("module", at), name, Operand(at, (None,) * len(graph.context.probes))
            )
            at = held.expr
    return Binding(binding.place, value, binding.instance, at, binding.refused)
