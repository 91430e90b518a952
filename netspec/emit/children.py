"""Children: the code that makes and registers them, and what is done right after."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TypeGuard

from typing_extensions import assert_never

from netspec.emit.classes import ClassPlan
from netspec.emit.code import Code
from netspec.emit.nodes import LOAD, STORE, Nodes, is_attribute
from netspec.ir.graph import (
    Child,
    Container,
    Freeze,
    Graph,
    Init,
    InitRule,
    New,
    NewBuffer,
    NewDict,
    NewGraph,
    NewInstance,
    NewList,
    NewModule,
    NewParameter,
    NewSequence,
    Rows,
    container_name,
)
from netspec.limits import spend

_A_CHILD = 40  # the work of writing one and compiling it, but for those that a loop makes


class Maker:
    """Code that makes children: constructor calls, and what is done right after."""

    def __init__(self, nodes: Nodes, expressions: Code, classes: Sequence[ClassPlan]) -> None:
        self.nodes = nodes
        self.expressions = expressions
        self.classes = classes
        self.statements: list[ast.stmt] = []
        self._made: dict[int, ast.Call] = {}

    def add(self, child: Child, owner: ast.expr) -> None:
        """Registers a child on its owner (`self`), and does what comes after."""
        n = self.nodes
        n.line = line_of(child, n.line)
        if isinstance(child.new, NewBuffer):
            kwargs = [] if child.new.persistent else [("persistent", n.constant(False))]
            value = self.expressions.code(child.new.value)
            register = n.attribute(owner, "register_buffer")
            call = n.call(register, [n.constant(child.name), value], kwargs)
            self.statements.append(n.expression(call))
        elif grows(child.new):
            self._set(owner, child, self.empty(child.new))
            self.grow(child.new, n.member(owner, child.name))
        else:
            self._set(owner, child, self.make(child.new))
        self.after(child, n.member(owner, child.name))

    def _set(self, owner: ast.expr, child: Child, value: ast.expr) -> None:
        n = self.nodes
        if is_attribute(child.name):
            target = ast.Attribute(owner, child.name, STORE, lineno=n.line, col_offset=0)
            self.statements.append(n.assign(target, value))
            return
        kind = "register_parameter" if isinstance(child.new, NewParameter) else "add_module"
        call = n.call(n.attribute(owner, kind), [n.constant(child.name), value])
        self.statements.append(n.expression(call))

    def grow(self, new: Container, owner: ast.expr) -> None:
        """Adds the children of a container one by one, each with what comes after it."""
        n = self.nodes
        for index, child in enumerate(new.children):
            n.line = line_of(child, n.line)
            value = self.empty(child.new) if grows(child.new) else self.make(child.new)
            self.statements.append(self._added(new, owner, child.name, value))
            own = self._of(new, owner, child, index)
            if grows(child.new):
                self.grow(child.new, own)
            self.after(child, own)

    def _added(self, new: Container, owner: ast.expr, name: str, value: ast.expr) -> ast.stmt:
        """The statement that registers a child in its container."""
        n = self.nodes
        match new:
            case NewList():
                return n.expression(n.call(n.attribute(owner, "append"), [value]))
            case NewSequence():
                add = n.attribute(owner, "add_module")
                return n.expression(n.call(add, [n.constant(name), value]))
            case NewDict():
                key = n.constant(name)
                return n.assign(
                    ast.Subscript(owner, key, STORE, lineno=n.line, col_offset=0), value
                )
            case _:
                assert_never(new)

    def _of(self, new: Container, owner: ast.expr, child: Child, index: int) -> ast.expr:
        if isinstance(new, NewDict):
            return self.nodes.item(owner, self.nodes.constant(child.name))
        if child.name.isdigit():
            return self.nodes.item(owner, self.nodes.constant(index))
        return self.nodes.member(owner, child.name)

    def empty(self, new: Container) -> ast.expr:
        n = self.nodes
        return n.call(n.attribute(n.name("nn"), container_name(new)))

    def make(self, new: New) -> ast.expr:
        """The expression that makes a child."""
        spend(_A_CHILD)
        n = self.nodes
        match new:
            case NewModule():
                return self._module(new)
            case NewSequence(children):
                return self._sequence(children)
            case NewList(children):
                items = self._items(children)
                container = n.attribute(n.name("nn"), container_name(new))
                return n.call(
                    container, [items if items is not None else n.list_(self._each(children))]
                )
            case NewDict(children):
                return self._dict(new)
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
            self.nodes.line = line_of(child, self.nodes.line)
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
            return n.call(sequential, [ast.Starred(items, LOAD, lineno=line, col_offset=0)])
        return n.call(sequential, [self._named(children)])

    def _named(self, children: Sequence[Child]) -> ast.expr:
        """`OrderedDict([("fc", nn.Linear(4, 8)), …])`."""
        n = self.nodes
        line = n.line
        pairs = []
        for child, made in zip(children, self._each(children), strict=True):
            pairs.append(n.tuple_([n.constant(child.name), made]))
        n.line = line
        return n.call(n.name("OrderedDict"), [n.list_(pairs)])

    def _dict(self, new: NewDict) -> ast.expr:
        """`nn.ModuleDict({"fc": nn.Linear(4, 8), …})`; a ParameterDict would sort a plain dict."""
        n = self.nodes
        line = n.line
        container = container_name(new)
        made = n.attribute(n.name("nn"), container)
        if container == "ParameterDict":
            return n.call(made, [self._named(new.children)])
        keys = [n.constant(child.name) for child in new.children]
        values = self._each(new.children)
        n.line = line
        return n.call(made, [ast.Dict([*keys], values, lineno=line, col_offset=0)])

    def _items(self, children: Sequence[Child]) -> ast.expr | None:
        """`[nn.Linear(10, 10) for _ in range(10)]` where there are three or more of a kind."""
        n = self.nodes
        if len(children) < 3 or any(c.new != children[0].new for c in children[1:]):
            return None
        n.line = line_of(children[0], n.line)
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
            self.initialise(step, made, child.new)

    def initialise(self, step: Init, owner: ast.expr, within: New | Graph) -> None:
        """`nn.init.zeros_(owner.weight)`, or of rows of it; `within` is what the owner is."""
        n = self.nodes
        target = reach(step.target, owner, within, self.classes, n)
        if step.rows is not None:
            target = n.item(target, _index(step.rows, n))
        kwargs = [(k, self.expressions.code(v)) for k, v in step.kwargs]
        self.statements.append(n.expression(n.call(n.function(step.operator), [target], kwargs)))


def reach(
    path: Sequence[str | int],
    node: ast.expr,
    within: New | Graph,
    classes: Sequence[ClassPlan],
    n: Nodes,
) -> ast.expr:
    """A path into what `node` is: by index through sequences and lists, else by name."""
    here: New | Graph | None = within
    for part in path:
        text = str(part)
        if isinstance(here, NewInstance):
            here = classes[here.owner].graph
        if isinstance(here, NewGraph):
            here = here.graph
        indexed = isinstance(here, (NewSequence, NewList, NewModule))  # torch's own have lists
        by_index = isinstance(part, int) or (text.isdigit() and indexed)
        node = n.item(node, n.constant(int(text))) if by_index else n.member(node, text)
        if isinstance(here, (Graph, NewSequence, NewList, NewDict)):
            here = next((child.new for child in here.children if child.name == text), None)
    return node


def _index(rows: Rows, n: Nodes) -> ast.expr:
    if isinstance(rows, int):
        return n.constant(rows)
    start, stop = (None if end is None else n.constant(end) for end in rows)
    return ast.Slice(start, stop, None, lineno=n.line, col_offset=0)


def grows(new: New) -> TypeGuard[Container]:
    """Whether something is to be done after a child of a container was made, before the next."""
    if not isinstance(new, Container):
        return False
    return any(child.after or grows(child.new) for child in new.children)


def line_of(child: Child, default: int) -> int:
    return (child.place.line if child.place else 0) or default


def write_rules(
    rules: Sequence[InitRule], code: Code, n: Nodes, model: ast.expr, taken: Sequence[str]
) -> list[ast.stmt]:
    """`for module in self.modules(): if isinstance(…): …`, one `if` for each class.

    Where rules pass over modules, these are told by name; `taken` are names of arguments.
    """
    if not rules:
        return []
    by_name = next(name for name in ("name", "path", "where", "name_") if name not in taken)
    n.line = (rules[0].place.line if rules[0].place else 0) or n.line
    tests: dict[object, ast.If] = {}
    kept: dict[tuple[str, ...], ast.Assign] = {}
    for rule in rules:
        n.line = (rule.place.line if rule.place else 0) or n.line
        target = n.member(n.name("module"), rule.parameter)
        kwargs = [(k, code.code(v)) for k, v in rule.kwargs]
        step: ast.stmt = n.expression(n.call(n.function(rule.operator), [target], kwargs))
        if rule.may_be_none:
            there = ast.Compare(
                target, [ast.IsNot()], [n.constant(None)], lineno=n.line, col_offset=0
            )
            step = ast.If(there, [step], [], lineno=n.line, col_offset=0)
        key = (rule.module.name, rule.but)
        if key not in tests:
            test: ast.expr = n.call(
                n.name("isinstance"), [n.name("module"), n.function(rule.module)]
            )
            if rule.but:
                other = _is_none_of(rule.but, by_name, kept, taken, n)
                test = ast.BoolOp(ast.And(), [test, other], lineno=n.line, col_offset=0)
            tests[key] = ast.If(test, [], [], lineno=n.line, col_offset=0)
        tests[key].body.append(step)
    target_: ast.expr = n.target("module")
    modules = n.call(n.attribute(model, "modules"))
    if any(rule.but for rule in rules):
        names: list[ast.expr] = [n.target(by_name), n.target("module")]
        target_ = ast.Tuple(names, STORE, lineno=n.line, col_offset=0)
        modules = n.call(n.attribute(model, "named_modules"))
    loop = ast.For(target_, modules, list(tests.values()), [], lineno=n.line, col_offset=0)
    return [*kept.values(), loop]


def _is_none_of(
    paths: tuple[str, ...],
    by_name: str,
    kept: dict[tuple[str, ...], ast.Assign],
    taken: Sequence[str],
    n: Nodes,
) -> ast.expr:
    """`name != "fc"`, or `name not in kept` with the names in a variable of their own."""
    if len(paths) == 1:
        compare: ast.cmpop = ast.NotEq()
        other: ast.expr = n.constant(paths[0])
    else:
        compare = ast.NotIn()
        if paths not in kept:
            names = ("kept", *(f"kept_{number}" for number in range(2, len(kept) + len(taken) + 3)))
            used = [*taken, *(one.targets[0].id for one in kept.values())]  # type: ignore[attr-defined]
            variable = next(name for name in names if name not in used)
            listed = n.tuple_([n.constant(path) for path in paths])
            kept[paths] = n.assign(n.target(variable), listed)
        other = n.name(kept[paths].targets[0].id)  # type: ignore[attr-defined]
    return ast.Compare(n.name(by_name), [compare], [other], lineno=n.line, col_offset=0)
