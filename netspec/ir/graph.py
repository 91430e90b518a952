"""The program: a tree of modules to be made, and the graphs that call them. Frozen, closed."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from netspec.errors import Span
from netspec.ir.expr import Expr
from netspec.ir.stated import Stated
from netspec.language.expressions import name_stretch, narrowed, stretch_of
from netspec.language.overrides import Text
from netspec.ops.catalog import Operator
from netspec.ops.registry import Registered
from netspec.ops.types import Fact
from netspec.source import Path


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where in which text a thing of the program was written; of an expression, which part."""

    source: Text
    path: Path
    text: str = ""  # of the expression
    node: ast.expr | ast.keyword | None = None

    @property
    def line(self) -> int:
        return self.source.line_of(self.path)

    @property
    def exists(self) -> bool:
        """Whether the text has something at this path."""
        if self.node is not None:
            return True
        value: Any = self.source.value
        for key in self.path:
            inside = isinstance(value, dict) and key in value
            if not inside and not (isinstance(value, list) and isinstance(key, int)):
                return False
            value = value[key]
        return True

    @property
    def value(self) -> Any:
        """What the text has at this path."""
        found: Any = self.source.value
        for key in self.path:
            found = found[key]
        return found

    def span(self) -> Span:
        """Of the value that stands here, or of the part of an expression."""
        span = self.source.span_of(self.path)
        found = stretch_of(self.text, self.node) if self.node is not None else None
        return span if found is None else narrowed(span, self.text, *found)

    def key_span(self) -> Span:
        """Of the key, or of the name that the part of an expression begins with."""
        if self.node is None:
            return self.source.key_span_of(self.path)
        found = name_stretch(self.text, self.node)
        span = self.source.span_of(self.path)
        return span if found is None else narrowed(span, self.text, *found)

    def at(self, *keys: str | int) -> Place:
        return Place(self.source, (*self.path, *keys))

    def of(self, node: ast.expr | ast.keyword) -> Place:
        """A part of the expression that stands here."""
        return Place(self.source, self.path, self.text, node)

    def positional(self, index: int) -> Place | None:
        """The argument at this position of the call that stands here, as it is written."""
        if not isinstance(self.node, ast.Call):
            return None
        method = isinstance(self.node.func, ast.Attribute)
        written = index - 1 if method else index
        return self.of(self.node.args[written]) if 0 <= written < len(self.node.args) else None

    def argument(self, name: str) -> Place | None:
        """The argument of this name of the layer or the call that stands here, if it is given."""
        if isinstance(self.node, ast.Call):
            return next((self.of(k) for k in self.node.keywords if k.arg == name), None)
        places = (self.at(name), self.at("args", name)) if self.node is None else ()
        return next((place for place in places if place.exists), None)


@dataclass(frozen=True, slots=True)
class NewModule:
    """A call of a class of torch.nn (or a registered one)."""

    operator: Operator
    args: tuple[Expr, ...]
    kwargs: tuple[tuple[str, Expr], ...]
    names: tuple[str, ...] = field(default=(), compare=False)  # of the positional args


@dataclass(frozen=True, slots=True)
class NewSequence:
    """An `nn.Sequential`; numbered where the names are 0, 1, 2, …"""

    children: tuple[Child, ...]


@dataclass(frozen=True, slots=True)
class NewList:
    """An `nn.ModuleList`, or an `nn.ParameterList` where all children are parameters."""

    children: tuple[Child, ...]


@dataclass(frozen=True, slots=True)
class NewDict:
    """An `nn.ModuleDict`, or an `nn.ParameterDict` where all children are parameters."""

    children: tuple[Child, ...]


@dataclass(frozen=True, slots=True)
class NewGraph:
    """An instance of a class with a generated `forward`."""

    graph: Graph


@dataclass(frozen=True, slots=True)
class NewParameter:
    """An `nn.Parameter` with this value."""

    value: Expr
    fact: Fact = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class NewBuffer:
    """A buffer with this value; `const` layers are buffers that are not persistent."""

    value: Expr
    persistent: bool
    fact: Fact = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class NewInstance:
    """A NewGraph once its class is known: the class's number, and the arguments of `__init__`."""

    owner: int
    args: tuple[Expr, ...]


New: TypeAlias = (
    NewModule | NewSequence | NewList | NewDict | NewGraph | NewParameter | NewBuffer | NewInstance
)
Container: TypeAlias = NewSequence | NewList | NewDict  # torch's own, with children and no graph


def container_name(new: Container) -> str:
    """The class of torch.nn that a container is: `Sequential`, `ModuleList`, `ParameterDict`."""
    if isinstance(new, NewSequence):
        return "Sequential"
    parameters = new.children and all(isinstance(c.new, NewParameter) for c in new.children)
    kind = "List" if isinstance(new, NewList) else "Dict"
    return f"{'Parameter' if parameters else 'Module'}{kind}"


Rows: TypeAlias = int | tuple[int | None, int | None]  # one, or from one to another


@dataclass(frozen=True, slots=True)
class Init:
    """A function of torch.nn.init on a parameter of a fresh child, or of a graph: its path there.

    `rows`: on this row of it only, or on those from one number to another.
    """

    target: tuple[str, ...]
    operator: Operator
    kwargs: tuple[tuple[str, Expr], ...]
    rows: Rows | None = None
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Freeze:
    """`requires_grad_(False)` on a fresh child."""


@dataclass(frozen=True, slots=True)
class Child:
    """A child as it is registered: its name, how it is made, and what is done right after."""

    name: str
    new: New
    after: tuple[Init | Freeze, ...] = ()
    called: bool = field(default=True, compare=False)
    kept: bool = field(default=False, compare=False)  # `keep: true`
    place: Place | None = field(default=None, compare=False)
    activation: bool = field(default=False, compare=False)  # an `act:` layer in its module form


@dataclass(frozen=True, slots=True)
class Tie:
    """`self.<target> = self.<source>`: two names, one parameter."""

    target: tuple[str | int, ...]
    source: tuple[str | int, ...]
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Assign:
    """`targets = expr`. Several targets unpack a tuple. `facts` are one for each probe.

    One that is `unnamed` stands for no layer: where nothing reads it, it is left out.
    """

    targets: tuple[int, ...]
    expr: Expr
    names: tuple[str, ...]
    keep: bool = field(default=False, compare=False)
    facts: tuple[Fact, ...] = field(default=(), compare=False)
    place: Place | None = field(default=None, compare=False)
    unnamed: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Loop:
    """`for item in self.<part>: carried = item(carried, …)`; the carried values start as given."""

    part: tuple[str | int, ...]
    item: int
    carried: tuple[int, ...]
    start: tuple[Expr, ...]
    call: Expr
    names: tuple[str, ...]
    facts: tuple[Fact, ...] = field(default=(), compare=False)
    place: Place | None = field(default=None, compare=False)


Statement: TypeAlias = Assign | Loop


@dataclass(frozen=True, slots=True)
class ByMode:
    """Other outputs in train than in eval mode."""

    train: Expr
    eval: Expr


@dataclass(frozen=True, slots=True)
class Port:
    """An input of a graph. One that is `optional` is None where the caller leaves it out."""

    id: int
    name: str
    facts: tuple[Fact, ...] = field(default=(), compare=False)
    optional: bool = False


@dataclass(frozen=True, slots=True)
class InitRule:
    """A rule for each module of a class below, in the order of `modules()`.

    It passes over the modules of the paths `but`: an `init` nearer to them says what is there.
    """

    module: Operator
    parameter: str
    operator: Operator
    kwargs: tuple[tuple[str, Expr], ...]
    may_be_none: bool = False  # some of those modules have None there
    but: tuple[str, ...] = ()
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Graph:
    """A module with a `forward` of its own: its children, and what is computed with them."""

    name: str
    inputs: tuple[Port, ...]
    children: tuple[Child, ...]
    body: tuple[Statement, ...]
    outputs: Expr | ByMode
    ties: tuple[Tie, ...] = ()
    rules: tuple[InitRule, ...] = ()
    inits: tuple[Init, ...] = ()  # run after the rules
    source: Text | None = field(default=None, compare=False)
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Probe:
    """One set of free sizes, a mode, and inputs that are None, at which facts are found."""

    sizes: tuple[tuple[str, int], ...]
    training: bool
    index: int = 0  # which of the two sets of sizes
    left_out: frozenset[str] = frozenset()  # the inputs that the caller leaves out


@dataclass(frozen=True, slots=True)
class Program:
    """A checked spec, ready to be built."""

    name: str
    root: Child
    probes: tuple[Probe, ...]
    inputs: tuple[Port, ...]
    source: Text
    overwrites: bool = False  # some call asks to overwrite its input
    refuses_gradients: bool = False  # some call takes no tensor that is trained
    registered: tuple[Registered, ...] = ()  # what Python code registered, and the program names
    stated: tuple[Stated, ...] = ()  # which free sizes it takes, as its inputs say
