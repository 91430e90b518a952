"""A program → Python syntax trees: the only emitter. What runs and what is exported is this."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from netspec.emit.children import Maker, grows, line_of, reach, write_rules
from netspec.emit.classes import ClassPlan, Plan
from netspec.emit.code import Code
from netspec.emit.fold import fold
from netspec.emit.names import Names, name_values
from netspec.emit.nodes import STORE, Nodes, add_type_params, function_of
from netspec.ir.expr import Choice, Const, DictOf, Expr, Part, Training, Tuple, Value
from netspec.ir.graph import (
    Assign,
    ByMode,
    Graph,
    Loop,
    Tie,
)
from netspec.language.overrides import Text
from netspec.ops.catalog import Operator

BUILDER = "build_model"


@dataclass(frozen=True, slots=True)
class Written:
    """The trees of a program: its classes with their files, and the function that makes it."""

    classes: tuple[tuple[Text | None, ast.ClassDef], ...]
    builder: ast.FunctionDef
    source: Text
    imports: tuple[Operator, ...] = ()


def write_trees(plan: Plan, source: Text) -> Written:
    """The syntax trees of a plan. Their line numbers are those of the specs' texts."""
    names = frozenset((*(c.name for c in plan.classes), *(i.symbol for i in plan.imports)))
    classes = tuple(
        (item.graph.source, _Class(item, plan.classes, names).definition()) for item in plan.classes
    )
    return Written(classes, _builder(plan), source, plan.imports)


class _Class:
    """One class of ours as a tree."""

    def __init__(
        self, plan: ClassPlan, classes: Sequence[ClassPlan], names: frozenset[str]
    ) -> None:
        self.plan = plan
        self.graph, self.moved = fold(plan.graph)
        self.classes = classes
        self.nodes = Nodes(max(1, plan.graph.place.line if plan.graph.place else 1))
        self.line = self.nodes.line
        self.variables: Names = name_values(self.graph, names)

    def definition(self) -> ast.ClassDef:
        forward, used = self._forward()
        n = Nodes(self.line)
        body: list[ast.stmt] = [forward]
        if self.graph.children or self.plan.parameters:
            body = [self._init(used), forward]
        module = n.attribute(n.name("nn"), "Module")
        definition = ast.ClassDef(
            self.plan.name, [module], [], body, [], lineno=self.line, col_offset=0
        )
        add_type_params(definition)
        return definition

    def _forward(self) -> tuple[ast.FunctionDef, list[str]]:
        n = Nodes(self.line)
        code = Code(n, self.plan.literals, self.variables.of, moved=self.moved)
        body: list[ast.stmt] = []
        for statement in self.graph.body:
            n.line = (statement.place.line if statement.place else 0) or n.line
            body += self._statement(statement, code, n)
        n.line = self._output_line(n.line)
        body += self._return(self.graph.outputs, code, n)
        names = ["self", *(self.variables.of[port.id] for port in self.graph.inputs)]
        inputs = _input_names(self.graph, self.variables)
        assert names[1:] == inputs, "an input's name is its variable's"
        forward = function_of("forward", names, body, self.line)
        forward.returns = self._annotation(n)
        optional = [port.optional for port in self.graph.inputs]
        for arg, may_miss in zip(forward.args.args[1:], optional, strict=True):
            if may_miss:  # torch.jit.script takes what has no annotation for a tensor
                arg.annotation = n.annotation("torch.Tensor | None")
                forward.args.defaults.append(n.constant(None))
        return forward, list(code.used)

    def _annotation(self, n: Nodes) -> ast.expr | None:
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
        return n.annotation(" | ".join(types))

    def _output_line(self, line: int) -> int:
        place = self.graph.place
        if place is None:
            return line
        return max(place.source.line_of((*place.path, "outputs")), 0) or line

    def _statement(self, statement: Assign | Loop, code: Code, n: Nodes) -> list[ast.stmt]:
        if isinstance(statement, Loop):
            return self._loop(statement, code, n)
        value = code.code(statement.expr)
        targets = [n.target(self.variables.of[t]) for t in statement.targets]
        if len(targets) == 1:
            return [n.assign(targets[0], value)]
        packed = ast.Tuple(list(targets), STORE, lineno=n.line, col_offset=0)
        return [n.assign(packed, value)]

    def _loop(self, loop: Loop, code: Code, n: Nodes) -> list[ast.stmt]:
        statements: list[ast.stmt] = []
        for target, start in zip(loop.carried, loop.start, strict=True):
            name = self.variables.of[target]
            if not (isinstance(start, Value) and self.variables.of[start.id] == name):
                statements.append(n.assign(n.target(name), code.code(start)))
        targets: list[ast.expr] = [n.target(self.variables.of[t]) for t in loop.carried]
        packed = (
            targets[0]
            if len(targets) == 1
            else ast.Tuple(targets, STORE, lineno=n.line, col_offset=0)
        )
        call = n.assign(packed, code.code(loop.call))
        item = n.target(self.variables.of[loop.item])
        loop_ = ast.For(item, code.code(Part(loop.part)), [call], [], lineno=n.line, col_offset=0)
        return [*statements, loop_]

    def _return(self, outputs: Expr | ByMode, code: Code, n: Nodes) -> list[ast.stmt]:
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
        n = Nodes(self.line)
        code = Code(n, self.plan.literals, {}, in_init=True)
        maker = Maker(n, code, self.classes)
        this = n.name("self")
        start = n.call(n.attribute(n.call(n.name("super")), "__init__"))
        maker.statements.append(n.expression(start))
        for name in used:
            target = ast.Attribute(this, name, STORE, lineno=n.line, col_offset=0)
            maker.statements.append(n.assign(target, n.name(name)))
        for child in self.graph.children:
            maker.add(child, this)
        for tie in self.graph.ties:
            n.line = (tie.place.line if tie.place else 0) or n.line
            maker.statements.append(self._tie(tie, n))
        maker.statements += write_rules(self.graph.rules, code, n, this, self.plan.parameters)
        for step in self.graph.inits:
            n.line = (step.place.line if step.place else 0) or n.line
            maker.initialise(step, this, self.graph)
        names = ["self", *self.plan.parameters]
        return function_of("__init__", names, maker.statements, self.line)

    def _tie(self, tie: Tie, n: Nodes) -> ast.Assign:
        *owner, name = tie.target
        target = reach(owner, n.name("self"), self.graph, self.classes, n)
        assert isinstance(name, str), "a parameter has a name"
        return n.assign(
            ast.Attribute(target, name, STORE, lineno=n.line, col_offset=0),
            reach(tie.source, n.name("self"), self.graph, self.classes, n),
        )


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


def _builder(plan: Plan) -> ast.FunctionDef:
    """`def build_model(): return LeNet()`."""
    root = plan.root
    n = Nodes(line_of(root, 1))
    line = n.line
    maker = Maker(n, Code(n, in_init=True), plan.classes)
    if not grows(root.new):
        made = maker.make(root.new)
        body: list[ast.stmt] = [ast.Return(made, lineno=line, col_offset=0)]
    else:
        maker.statements.append(n.assign(n.target("model"), maker.empty(root.new)))
        maker.grow(root.new, n.name("model"))
        body = [*maker.statements, ast.Return(n.name("model"), lineno=line, col_offset=0)]
    return function_of(BUILDER, [], body, line)
