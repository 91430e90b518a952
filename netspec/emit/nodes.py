"""Python syntax nodes, each on a line of the spec."""

from __future__ import annotations

import ast
import math
from collections.abc import Sequence
from dataclasses import dataclass
from keyword import iskeyword

import torch

from netspec.ops.catalog import Operator
from netspec.ops.types import Slice, dtype_name

LOAD, STORE = ast.Load(), ast.Store()

IMPORTS = """import math
from collections import OrderedDict
import torch
import torch.nn.functional as F
from torch import nn
"""  # all that the classes may name
IMPORTED = {line.split()[-1]: line for line in IMPORTS.splitlines()}  # by the name that it brings


@dataclass(slots=True)
class Nodes:
    """Makes nodes that stand on one line of the spec."""

    line: int = 1

    def name(self, name: str) -> ast.Name:
        return ast.Name(name, LOAD, lineno=self.line, col_offset=0)

    def target(self, name: str) -> ast.Name:
        return ast.Name(name, STORE, lineno=self.line, col_offset=0)

    def attribute(self, value: ast.expr, attr: str) -> ast.Attribute:
        return ast.Attribute(value, attr, LOAD, lineno=self.line, col_offset=0)

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
        return ast.Subscript(value, index, LOAD, lineno=self.line, col_offset=0)

    def tuple_(self, items: Sequence[ast.expr]) -> ast.Tuple:
        return ast.Tuple(list(items), LOAD, lineno=self.line, col_offset=0)

    def list_(self, items: Sequence[ast.expr]) -> ast.List:
        return ast.List(list(items), LOAD, lineno=self.line, col_offset=0)

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
                return self.attribute(self.name("torch"), dtype_name(value))
            case bool() | None | str():
                return self.constant(value)
            case float() if math.isnan(value) or math.isinf(value):
                return self.call(self.name("float"), [self.constant(str(value))])
            case int() | float() if value < 0 or (value == 0 and str(value)[0] == "-"):
                operand = self.constant(-value)
                return ast.UnaryOp(ast.USub(), operand, lineno=self.line, col_offset=0)
            case _:
                return self.constant(value)

    def annotation(self, text: str) -> ast.expr:
        """A type, on this line."""
        annotation = ast.parse(text, mode="eval").body
        for node in ast.walk(annotation):
            if isinstance(node, ast.expr):
                node.lineno = node.end_lineno = self.line
        return annotation

    def function(self, operator: Operator) -> ast.expr:
        """`nn.Conv2d`, `F.relu`, `torch.cat`, `nn.init.zeros_`; what was registered, bare."""
        match operator.home:
            case "registered":
                return self.name(operator.symbol)
            case "init":
                return self.attribute(self.attribute(self.name("nn"), "init"), operator.name)
            case "Tensor":
                torch_tensor = self.attribute(self.name("torch"), "Tensor")
                return self.attribute(torch_tensor, operator.name)
            case home:
                return self.attribute(self.name(home), operator.name)

    def member(self, owner: ast.expr, name: str) -> ast.expr:
        """`self.conv1`, or `getattr(self, "0")` where the name is no identifier."""
        if is_attribute(name):
            return self.attribute(owner, name)
        return self.call(self.name("getattr"), [owner, self.constant(name)])


def is_attribute(name: str) -> bool:
    """Whether `self.<name>` is that attribute: no keyword, and not mangled inside of a class."""
    mangled = name.startswith("__") and not name.endswith("__")
    return name.isidentifier() and not iskeyword(name) and not mangled


def function_of(
    name: str, names: Sequence[str], body: list[ast.stmt], line: int
) -> ast.FunctionDef:
    args = [ast.arg(arg, None, lineno=line, col_offset=0) for arg in names]
    arguments = ast.arguments([], args, None, [], [], None, [])
    function = ast.FunctionDef(name, arguments, body, [], None, lineno=line, col_offset=0)
    add_type_params(function)
    return function


def add_type_params(node: ast.FunctionDef | ast.ClassDef) -> None:
    """Python 3.12 and later want the field, the versions before don't know it."""
    if "type_params" in node._fields:
        node.type_params = []  # type: ignore[union-attr]
