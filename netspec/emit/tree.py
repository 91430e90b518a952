"""A program → Python syntax trees: the only emitter. What runs and what is exported is this."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from keyword import iskeyword

import torch
from typing_extensions import assert_never

from netspec.emit.classes import ClassPlan, Plan, Slot
from netspec.emit.names import Names, name_values
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
)  # fmt: skip
from netspec.ir.graph import (
    Assign,
    ByMode,
    Child,
    Freeze,
    Graph,
    InitRule,
    Loop,
    New,
    NewBuffer,
    NewGraph,
    NewInstance,
    NewList,
    NewModule,
    NewParameter,
    NewSequence,
    Tie,
)  # fmt: skip
from netspec.ops.catalog import Operator
from netspec.ops.facts import Slice
from netspec.spec.overrides import Text

_LOAD, _STORE = ast.Load(), ast.Store()
_BINARY: Mapping[str, type[ast.operator]] = {
    "+": ast.Add, "-": ast.Sub, "*": ast.Mult, "/": ast.Div, "//": ast.FloorDiv, "%": ast.Mod,
    "**": ast.Pow, "@": ast.MatMult, "&": ast.BitAnd, "|": ast.BitOr, "^": ast.BitXor,
}  # fmt: skip
_UNARY: Mapping[str, type[ast.unaryop]] = {
    "-": ast.USub, "+": ast.UAdd, "not": ast.Not, "~": ast.Invert,
}  # fmt: skip
_COMPARE: Mapping[str, type[ast.cmpop]] = {
    "==": ast.Eq, "!=": ast.NotEq, "<": ast.Lt, "<=": ast.LtE, ">": ast.Gt, ">=": ast.GtE,
    "is": ast.Is, "is not": ast.IsNot, "in": ast.In, "not in": ast.NotIn,
}  # fmt: skip
BUILDER = "build_model"
IMPORTS = """from collections import OrderedDict
import torch
import torch.nn.functional as F
from torch import nn
"""  # all that the classes may name


@dataclass(frozen=True, slots=True)
class Written:
    """The trees of a program: its classes with their files, and the function that makes it."""

    classes: tuple[tuple[Text | None, ast.ClassDef], ...]
    builder: ast.FunctionDef
    source: Text


def write_trees(plan: Plan, source: Text) -> Written:
    """The syntax trees of a plan. Their line numbers are those of the specs' texts."""
    names = frozenset(c.name for c in plan.classes)
    classes = tuple(
        (item.graph.source, _Class(item, plan.classes, names).definition()) for item in plan.classes
    )
    return Written(classes, _builder(plan), source)


@dataclass(slots=True)
class _Nodes:
    """Makes nodes that stand on one line of the spec."""

    line: int = 1

    def name(self, name: str) -> ast.Name:
        return ast.Name(name, _LOAD, lineno=self.line, col_offset=0)

    def target(self, name: str) -> ast.Name:
        return ast.Name(name, _STORE, lineno=self.line, col_offset=0)

    def attribute(self, value: ast.expr, attr: str) -> ast.Attribute:
        return ast.Attribute(value, attr, _LOAD, lineno=self.line, col_offset=0)

    def constant(self, value: object) -> ast.Constant:
        return ast.Constant(value, lineno=self.line, col_offset=0)  # type: ignore[arg-type]

    def call(
        self,
        function: ast.expr,
        args: Sequence[ast.expr] = (),
        kwargs: Sequence[tuple[str, ast.expr]] = (),
    ) -> ast.Call:
        keywords = [ast.keyword(k, v, lineno=self.line, col_offset=0) for k, v in kwargs]
        return ast.Call(function, list(args), keywords, lineno=self.line, col_offset=0)

    def item(self, value: ast.expr, index: ast.expr) -> ast.Subscript:
        return ast.Subscript(value, index, _LOAD, lineno=self.line, col_offset=0)

    def tuple_(self, items: Sequence[ast.expr]) -> ast.Tuple:
        return ast.Tuple(list(items), _LOAD, lineno=self.line, col_offset=0)

    def list_(self, items: Sequence[ast.expr]) -> ast.List:
        return ast.List(list(items), _LOAD, lineno=self.line, col_offset=0)

    def assign(self, target: ast.expr, value: ast.expr) -> ast.Assign:
        return ast.Assign([target], value, lineno=self.line, col_offset=0)

    def expression(self, value: ast.expr) -> ast.Expr:
        return ast.Expr(value, lineno=self.line, col_offset=0)

    def literal(self, value: object) -> ast.expr:
        """A constant as code: negative numbers, infinities, dtypes and tuples have their own."""
        match value:
            case tuple():
                return self.tuple_([self.literal(item) for item in value])
            case Slice(start, stop, step):
                parts = [None if v is None else self.literal(v) for v in (start, stop, step)]
                return ast.Slice(*parts, lineno=self.line, col_offset=0)
            case torch.dtype():
                return self.attribute(self.name("torch"), str(value).removeprefix("torch."))
            case bool() | None | str():
                return self.constant(value)
            case float() if math.isnan(value) or math.isinf(value):
                return self.call(self.name("float"), [self.constant(str(value))])
            case int() | float() if value < 0 or (value == 0 and str(value)[0] == "-"):
                operand = self.constant(-value)
                return ast.UnaryOp(ast.USub(), operand, lineno=self.line, col_offset=0)
            case _:
                return self.constant(value)

    def function(self, operator: Operator) -> ast.expr:
        """`nn.Conv2d`, `F.relu`, `torch.cat`, `nn.init.zeros_`."""
        match operator.home:
            case "init":
                return self.attribute(self.attribute(self.name("nn"), "init"), operator.name)
            case "Tensor":
                torch_tensor = self.attribute(self.name("torch"), "Tensor")
                return self.attribute(torch_tensor, operator.name)
            case home:
                return self.attribute(self.name(home), operator.name)

    def member(self, owner: ast.expr, name: str) -> ast.expr:
        """`self.conv1`, or `getattr(self, "0")` where the name is no identifier."""
        if _is_attribute(name):
            return self.attribute(owner, name)
        return self.call(self.name("getattr"), [owner, self.constant(name)])


def _is_attribute(name: str) -> bool:
    """Whether `self.<name>` is that attribute: no keyword, and not mangled inside of a class."""
    mangled = name.startswith("__") and not name.endswith("__")
    return name.isidentifier() and not iskeyword(name) and not mangled


@dataclass(slots=True)
class _Expressions:
    """Expressions of one graph as code; slots are literals, parameters or `self`'s attributes."""

    nodes: _Nodes
    literals: tuple[Const | str, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)
    in_init: bool = False
    used: dict[str, None] = field(default_factory=dict)  # parameters that `forward` reads

    def code(self, expr: Expr) -> ast.expr:
        n = self.nodes
        match expr:
            case CallPart(target, args, kwargs):
                return n.call(self.code(target), *self._arguments(args, kwargs))
            case Value(id):
                return n.name(self.names[id])
            case Const(value=Slot(index)):
                return self._slot(index)
            case Const(value):
                return n.literal(value)
            case Part(path):
                return self._part(path)
            case Call(operator, args, kwargs):
                return n.call(n.function(operator), *self._arguments(args, kwargs))
            case Binary(op, left, right):
                return ast.BinOp(
                    self.code(left), _BINARY[op](), self.code(right), lineno=n.line, col_offset=0
                )
            case Method(name, receiver, args, kwargs):
                function = n.attribute(self.code(receiver), name)
                return n.call(function, *self._arguments(args, kwargs))
            case Item(of, index_):
                return n.item(self.code(of), self.code(index_))
            case Training():
                return n.attribute(n.name("self"), "training")
            case Tuple(items):
                return n.tuple_([self.code(item) for item in items])
            case ListOf(items):
                return n.list_([self.code(item) for item in items])
            case DictOf(pairs):
                keys: list[ast.expr | None] = [n.constant(key) for key, _ in pairs]
                return ast.Dict(keys, [self.code(v) for _, v in pairs], lineno=n.line, col_offset=0)
            case SliceOf(start, stop, step):
                parts = [None if part is None else self.code(part) for part in (start, stop, step)]
                return ast.Slice(*parts, lineno=n.line, col_offset=0)
            case Builtin(name, args):
                return n.call(n.name(name), [self.code(arg) for arg in args])
            case Attribute(of, name):
                return n.member(self.code(of), name)
            case Unary(op, operand):
                return ast.UnaryOp(_UNARY[op](), self.code(operand), lineno=n.line, col_offset=0)
            case Comparison(left, ops, rights):
                found = [_COMPARE[op]() for op in ops]
                others = [self.code(right) for right in rights]
                return ast.Compare(self.code(left), found, others, lineno=n.line, col_offset=0)
            case Logic(op, items):
                kind = ast.And() if op == "and" else ast.Or()
                values = [self.code(item) for item in items]
                return ast.BoolOp(kind, values, lineno=n.line, col_offset=0)
            case Choice(condition, then, other):
                return ast.IfExp(
                    self.code(condition), self.code(then), self.code(other),
                    lineno=n.line, col_offset=0,
                )  # fmt: skip
            case _:
                assert_never(expr)

    def _slot(self, index: int) -> ast.expr:
        found = self.literals[index]
        if isinstance(found, Const):
            return self.nodes.literal(found.value)
        if self.in_init:
            return self.nodes.name(found)
        self.used[found] = None
        return self.nodes.attribute(self.nodes.name("self"), found)

    def _part(self, path: tuple[str | int, ...]) -> ast.expr:
        node: ast.expr = self.nodes.name("self")
        for part in path:
            if isinstance(part, int):
                node = self.nodes.item(node, self.nodes.constant(part))
            else:
                node = self.nodes.member(node, part)
        return node

    def _arguments(
        self, args: tuple[Expr, ...], kwargs: tuple[tuple[str, Expr], ...]
    ) -> tuple[list[ast.expr], list[tuple[str, ast.expr]]]:
        return [self.code(a) for a in args], [(k, self.code(v)) for k, v in kwargs]


class _Maker:
    """Code that makes children: constructor calls, and what is done right after."""

    def __init__(
        self, nodes: _Nodes, expressions: _Expressions, classes: Sequence[ClassPlan]
    ) -> None:
        self.nodes = nodes
        self.expressions = expressions
        self.classes = classes
        self.statements: list[ast.stmt] = []
        self._made: dict[int, ast.Call] = {}

    def add(self, child: Child, owner: ast.expr) -> None:
        """Registers a child on its owner (`self`), and does what comes after."""
        n = self.nodes
        n.line = _line(child, n.line)
        if isinstance(child.new, NewBuffer):
            kwargs = [] if child.new.persistent else [("persistent", n.constant(False))]
            value = self.expressions.code(child.new.value)
            register = n.attribute(owner, "register_buffer")
            call = n.call(register, [n.constant(child.name), value], kwargs)
            self.statements.append(n.expression(call))
        elif _grows(child.new):
            self._set(owner, child, self._empty(child.new))
            assert isinstance(child.new, (NewSequence, NewList)), "only containers grow"
            self.grow(child.new, n.member(owner, child.name))
        else:
            self._set(owner, child, self.make(child.new))
        self.after(child, n.member(owner, child.name))

    def _set(self, owner: ast.expr, child: Child, value: ast.expr) -> None:
        n = self.nodes
        if _is_attribute(child.name):
            target = ast.Attribute(owner, child.name, _STORE, lineno=n.line, col_offset=0)
            self.statements.append(n.assign(target, value))
            return
        kind = "register_parameter" if isinstance(child.new, NewParameter) else "add_module"
        call = n.call(n.attribute(owner, kind), [n.constant(child.name), value])
        self.statements.append(n.expression(call))

    def grow(self, new: NewSequence | NewList, owner: ast.expr) -> None:
        """Adds the children of a container one by one, each with what comes after it."""
        n = self.nodes
        for index, child in enumerate(new.children):
            n.line = _line(child, n.line)
            value = self._empty(child.new) if _grows(child.new) else self.make(child.new)
            if isinstance(new, NewList):
                call = n.call(n.attribute(owner, "append"), [value])
            else:
                call = n.call(n.attribute(owner, "add_module"), [n.constant(child.name), value])
            self.statements.append(n.expression(call))
            own = self._of(owner, child, index)
            if _grows(child.new):
                assert isinstance(child.new, (NewSequence, NewList)), "only containers grow"
                self.grow(child.new, own)
            self.after(child, own)

    def _of(self, owner: ast.expr, child: Child, index: int) -> ast.expr:
        if child.name.isdigit():
            return self.nodes.item(owner, self.nodes.constant(index))
        return self.nodes.member(owner, child.name)

    def _empty(self, new: New) -> ast.expr:
        n = self.nodes
        return n.call(n.attribute(n.name("nn"), _container(new)))

    def make(self, new: New) -> ast.expr:
        """The expression that makes a child."""
        n = self.nodes
        match new:
            case NewModule():
                return self._module(new)
            case NewSequence(children):
                return self._sequence(children)
            case NewList(children):
                items = self._items(children)
                container = n.attribute(n.name("nn"), _container(new))
                return n.call(
                    container, [items if items is not None else n.list_(self._each(children))]
                )
            case NewParameter(value):
                parameter = n.attribute(n.name("nn"), "Parameter")
                return n.call(parameter, [self.expressions.code(value)])
            case NewInstance(owner, args):
                plan = self.classes[owner]
                named = [
                    (k, self.expressions.code(v))
                    for k, v in zip(plan.parameters, args, strict=True)
                ]
                return n.call(n.name(plan.name), (), named)
            case NewBuffer() | NewGraph():
                raise AssertionError(f"{type(new).__name__} is made elsewhere")
            case _:
                assert_never(new)

    def _module(self, new: NewModule) -> ast.Call:
        """A constructor call; equal ones share the nodes of their arguments, not their line."""
        n = self.nodes
        made = self._made.get(id(new))
        if made is None:
            code = self.expressions.code
            named = [(k, code(v)) for k, v in new.kwargs]
            made = n.call(n.function(new.operator), [code(a) for a in new.args], named)
            self._made[id(new)] = made
            return made
        return ast.Call(made.func, made.args, made.keywords, lineno=n.line, col_offset=0)

    def _each(self, children: Sequence[Child]) -> list[ast.expr]:
        made = []
        for child in children:
            self.nodes.line = _line(child, self.nodes.line)
            made.append(self.make(child.new))
        return made

    def _sequence(self, children: Sequence[Child]) -> ast.expr:
        n = self.nodes
        line = n.line
        sequential = n.attribute(n.name("nn"), "Sequential")
        if [child.name for child in children] == [str(i) for i in range(len(children))]:
            items = self._items(children)
            if items is None:
                return n.call(sequential, self._each(children))
            return n.call(sequential, [ast.Starred(items, _LOAD, lineno=line, col_offset=0)])
        pairs = []
        for child, made in zip(children, self._each(children), strict=True):
            pairs.append(n.tuple_([n.constant(child.name), made]))
        n.line = line
        return n.call(sequential, [n.call(n.name("OrderedDict"), [n.list_(pairs)])])

    def _items(self, children: Sequence[Child]) -> ast.expr | None:
        """`[nn.Linear(10, 10) for _ in range(10)]` where there are three or more of a kind."""
        n = self.nodes
        if len(children) < 3 or any(c.new != children[0].new for c in children[1:]):
            return None
        n.line = _line(children[0], n.line)
        made = self.make(children[0].new)
        count = n.call(n.name("range"), [n.constant(len(children))])
        loop = ast.comprehension(n.target("_"), count, [], 0)
        return ast.ListComp(made, [loop], lineno=n.line, col_offset=0)

    def after(self, child: Child, made: ast.expr) -> None:
        n = self.nodes
        for step in child.after:
            if isinstance(step, Freeze):
                freeze = n.call(n.attribute(made, "requires_grad_"), [n.constant(False)])
                self.statements.append(n.expression(freeze))
                continue
            target = made
            for part in step.target:
                target = (
                    n.item(target, n.constant(int(part)))
                    if part.isdigit()
                    else n.member(target, part)
                )
            kwargs = [(k, self.expressions.code(v)) for k, v in step.kwargs]
            self.statements.append(
                n.expression(n.call(n.function(step.operator), [target], kwargs))
            )


def _container(new: New) -> str:
    if isinstance(new, NewSequence):
        return "Sequential"
    assert isinstance(new, NewList), "a container is a sequence or a list"
    parameters = new.children and all(isinstance(c.new, NewParameter) for c in new.children)
    return "ParameterList" if parameters else "ModuleList"


def _grows(new: New) -> bool:
    """Whether something is to be done after a child of a container was made, before the next."""
    if not isinstance(new, (NewSequence, NewList)):
        return False
    return any(child.after or _grows(child.new) for child in new.children)


def _line(child: Child, default: int) -> int:
    return (child.place.line if child.place else 0) or default


class _Class:
    """One class of ours as a tree."""

    def __init__(
        self, plan: ClassPlan, classes: Sequence[ClassPlan], names: frozenset[str]
    ) -> None:
        self.plan = plan
        self.graph = plan.graph
        self.classes = classes
        self.nodes = _Nodes(max(1, plan.graph.place.line if plan.graph.place else 1))
        self.line = self.nodes.line
        self.variables: Names = name_values(plan.graph, names)

    def definition(self) -> ast.ClassDef:
        forward, used = self._forward()
        n = _Nodes(self.line)
        body: list[ast.stmt] = [forward]
        if self.graph.children or self.plan.parameters:
            body = [self._init(used), forward]
        module = n.attribute(n.name("nn"), "Module")
        definition = ast.ClassDef(
            self.plan.name, [module], [], body, [], lineno=self.line, col_offset=0
        )
        _add_type_params(definition)
        return definition

    def _forward(self) -> tuple[ast.FunctionDef, list[str]]:
        n = _Nodes(self.line)
        code = _Expressions(n, self.plan.literals, self.variables.of)
        body: list[ast.stmt] = []
        for statement in self.graph.body:
            n.line = (statement.place.line if statement.place else 0) or n.line
            body += self._statement(statement, code, n)
        n.line = self._output_line(n.line)
        body += self._return(self.graph.outputs, code, n)
        names = ["self", *(self.variables.of[port.id] for port in self.graph.inputs)]
        inputs = _input_names(self.graph, self.variables)
        assert names[1:] == inputs, "an input's name is its variable's"
        forward = _function("forward", names, body, self.line)
        forward.returns = self._annotation(n)
        return forward, list(code.used)

    def _annotation(self, n: _Nodes) -> ast.expr | None:
        """The type of outputs that differ by mode: without it, torch.jit.script takes the first."""
        outputs = self.graph.outputs
        if not isinstance(outputs, ByMode):
            return None
        absent = {
            target
            for statement in self.graph.body
            if isinstance(statement, Assign) and isinstance(statement.expr, Choice)
            if statement.expr.other == Const(None)
            for target in statement.targets
        }
        types = dict.fromkeys(_type_of(expr, absent) for expr in (outputs.train, outputs.eval))
        if len(types) == 1:
            return None
        annotation = ast.parse(" | ".join(types), mode="eval").body
        for node in ast.walk(annotation):
            if isinstance(node, ast.expr):
                node.lineno = node.end_lineno = n.line
        return annotation

    def _output_line(self, line: int) -> int:
        place = self.graph.place
        if place is None:
            return line
        return max(place.source.line_of((*place.path, "outputs")), 0) or line

    def _statement(self, statement: Assign | Loop, code: _Expressions, n: _Nodes) -> list[ast.stmt]:
        if isinstance(statement, Loop):
            return self._loop(statement, code, n)
        value = code.code(statement.expr)
        targets = [n.target(self.variables.of[t]) for t in statement.targets]
        if len(targets) == 1:
            return [n.assign(targets[0], value)]
        packed = ast.Tuple(list(targets), _STORE, lineno=n.line, col_offset=0)
        return [n.assign(packed, value)]

    def _loop(self, loop: Loop, code: _Expressions, n: _Nodes) -> list[ast.stmt]:
        statements: list[ast.stmt] = []
        for target, start in zip(loop.carried, loop.start, strict=True):
            name = self.variables.of[target]
            if not (isinstance(start, Value) and self.variables.of[start.id] == name):
                statements.append(n.assign(n.target(name), code.code(start)))
        targets: list[ast.expr] = [n.target(self.variables.of[t]) for t in loop.carried]
        packed = (
            targets[0]
            if len(targets) == 1
            else ast.Tuple(targets, _STORE, lineno=n.line, col_offset=0)
        )
        call = n.assign(packed, code.code(loop.call))
        item = n.target(self.variables.of[loop.item])
        loop_ = ast.For(item, code.code(Part(loop.part)), [call], [], lineno=n.line, col_offset=0)
        return [*statements, loop_]

    def _return(self, outputs: Expr | ByMode, code: _Expressions, n: _Nodes) -> list[ast.stmt]:
        if isinstance(outputs, ByMode) and outputs.train == outputs.eval:
            outputs = outputs.train
        if isinstance(outputs, ByMode):
            train = ast.Return(code.code(outputs.train), lineno=n.line, col_offset=0)
            test = code.code(Training())
            return [
                ast.If(test, [train], [], lineno=n.line, col_offset=0),
                ast.Return(code.code(outputs.eval), lineno=n.line, col_offset=0),
            ]
        return [ast.Return(code.code(outputs), lineno=n.line, col_offset=0)]

    def _init(self, used: Sequence[str]) -> ast.FunctionDef:
        n = _Nodes(self.line)
        code = _Expressions(n, self.plan.literals, {}, in_init=True)
        maker = _Maker(n, code, self.classes)
        this = n.name("self")
        start = n.call(n.attribute(n.call(n.name("super")), "__init__"))
        maker.statements.append(n.expression(start))
        for name in used:
            target = ast.Attribute(this, name, _STORE, lineno=n.line, col_offset=0)
            maker.statements.append(n.assign(target, n.name(name)))
        for child in self.graph.children:
            maker.add(child, this)
        for tie in self.graph.ties:
            n.line = (tie.place.line if tie.place else 0) or n.line
            maker.statements.append(self._tie(tie, n))
        maker.statements += _rules(self.graph.rules, code, n, this)
        names = ["self", *self.plan.parameters]
        return _function("__init__", names, maker.statements, self.line)

    def _tie(self, tie: Tie, n: _Nodes) -> ast.Assign:
        *owner, name = tie.target
        target = self._member(owner, n)
        assert isinstance(name, str), "a parameter has a name"
        return n.assign(
            ast.Attribute(target, name, _STORE, lineno=n.line, col_offset=0),
            self._member(list(tie.source), n),
        )

    def _member(self, path: Sequence[str | int], n: _Nodes) -> ast.expr:
        """A path into the children: by index through sequences and lists, else by name."""
        node: ast.expr = n.name("self")
        children: Sequence[Child] | None = self.graph.children
        indexed = False
        for part in path:
            text = str(part)
            child = next((c for c in children or () if c.name == text), None)
            by_index = isinstance(part, int) or (text.isdigit() and indexed)
            node = n.item(node, n.constant(int(text))) if by_index else n.member(node, text)
            new = child.new if child else None
            if isinstance(new, NewInstance):
                children, indexed = self.classes[new.owner].graph.children, False
            elif isinstance(new, (NewSequence, NewList)):
                children, indexed = new.children, True
            else:
                children, indexed = None, child is None and text.isdigit()
        return node


def _type_of(expr: Expr, absent: set[int]) -> str:
    """The type of an output as an annotation."""
    match expr:
        case Tuple(items):
            return f"tuple[{', '.join(_type_of(item, absent) for item in items)}]"
        case DictOf(pairs):
            kinds = dict.fromkeys(_type_of(value, absent) for _, value in pairs)
            optional = any(kind.endswith(" | None") for kind in kinds)
            bare = list(dict.fromkeys(kind.removesuffix(" | None") for kind in kinds))
            return f"dict[str, {' | '.join(bare + ['None'] * optional)}]"
        case Value(id=value) if value in absent:
            return "torch.Tensor | None"
        case _:
            return "torch.Tensor"


def _input_names(graph: Graph, variables: Names) -> list[str]:
    return [variables.of[port.id] for port in graph.inputs]


def _rules(
    rules: Sequence[InitRule], code: _Expressions, n: _Nodes, model: ast.expr
) -> list[ast.stmt]:
    """`for module in self.modules(): if isinstance(…): …`, one `if` for each class."""
    if not rules:
        return []
    n.line = (rules[0].place.line if rules[0].place else 0) or n.line
    tests: dict[str, ast.If] = {}
    for rule in rules:
        n.line = (rule.place.line if rule.place else 0) or n.line
        target = n.member(n.name("module"), rule.parameter)
        kwargs = [(k, code.code(v)) for k, v in rule.kwargs]
        step: ast.stmt = n.expression(n.call(n.function(rule.operator), [target], kwargs))
        if rule.guarded:
            there = ast.Compare(
                target, [ast.IsNot()], [n.constant(None)], lineno=n.line, col_offset=0
            )
            step = ast.If(there, [step], [], lineno=n.line, col_offset=0)
        if rule.module.name not in tests:
            test = n.call(n.name("isinstance"), [n.name("module"), n.function(rule.module)])
            tests[rule.module.name] = ast.If(test, [], [], lineno=n.line, col_offset=0)
        tests[rule.module.name].body.append(step)
    modules = n.call(n.attribute(model, "modules"))
    return [
        ast.For(n.target("module"), modules, list(tests.values()), [], lineno=n.line, col_offset=0)
    ]


def _builder(plan: Plan) -> ast.FunctionDef:
    """`def build_model(): return LeNet()`."""
    root = plan.root
    n = _Nodes(_line(root, 1))
    line = n.line
    maker = _Maker(n, _Expressions(n, in_init=True), plan.classes)
    if not _grows(root.new):
        made = maker.make(root.new)
        body: list[ast.stmt] = [ast.Return(made, lineno=line, col_offset=0)]
    else:
        assert isinstance(root.new, (NewSequence, NewList)), "only containers grow"
        maker.statements.append(n.assign(n.target("model"), maker._empty(root.new)))
        maker.grow(root.new, n.name("model"))
        body = [*maker.statements, ast.Return(n.name("model"), lineno=line, col_offset=0)]
    return _function(BUILDER, [], body, line)


def _function(name: str, names: Sequence[str], body: list[ast.stmt], line: int) -> ast.FunctionDef:
    args = [ast.arg(arg, None, lineno=line, col_offset=0) for arg in names]
    arguments = ast.arguments([], args, None, [], [], None, [])
    function = ast.FunctionDef(name, arguments, body, [], None, lineno=line, col_offset=0)
    _add_type_params(function)
    return function


def _add_type_params(node: ast.FunctionDef | ast.ClassDef) -> None:
    """Python 3.12 and later want the field, the versions before don't know it."""
    if "type_params" in node._fields:
        node.type_params = []  # type: ignore[union-attr]
