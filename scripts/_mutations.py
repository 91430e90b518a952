"""Mutations of one expression or statement each, found in Python's own tree of a file.

Not changed: what says nothing when it runs (texts, annotations, docstrings, imports), assertions,
which only a mistake of ours reaches, and the decorators of data.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("netspec/ir", "netspec/ops", "netspec/emit", "netspec/checks", "netspec/explain")
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}  # fmt: skip


@dataclass(frozen=True)
class Mutation:
    """`old`, which stands in `path` from the character `start`, becomes `new`."""

    path: str
    line: int
    last_line: int  # of the statement's own lines, by which the tests are chosen
    start: int
    old: str
    new: str
    kind: str
    function: str  # where it is, by name; empty in the module itself
    shown: str  # the statement's line, without its indent

    @property
    def name(self) -> str:
        """What names it in files that outlive the line's number."""
        return f"{self.path} | {self.function} | {self.shown} | {_one_line(self.old)} → {self.new}"

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.kind}: {_one_line(self.old)} → {self.new}"

    def planted(self, text: str) -> str:
        """The file's text with the mutation in it."""
        end = self.start + len(self.old)
        assert text[self.start : end] == self.old, f"{self.path} is another than it was"
        return text[: self.start] + self.new + text[end:]


def python_files(paths: Sequence[str]) -> Iterator[str]:
    """The files themselves, and those of the folders."""
    for path in paths:
        there = (ROOT / path).resolve()
        files = sorted(there.rglob("*.py")) if there.is_dir() else [there]
        yield from (file.relative_to(ROOT).as_posix() for file in files)


def mutations_of(path: str) -> list[Mutation]:
    """All mutations of a file, from its first line to its last."""
    return mutations_in(path, (ROOT / path).read_text(encoding="utf-8"))


def mutations_in(path: str, text: str) -> list[Mutation]:
    """The same of a text, which stands in `path`."""
    return _File(path, text).found()


class _File:
    def __init__(self, path: str, text: str) -> None:
        self.path, self.text = path, text
        lines = text.splitlines(keepends=True)
        self.lines = [line.rstrip("\n") for line in lines]
        self.bytes = [line.encode() for line in lines]
        self.starts = [0]
        for line in lines:
            self.starts.append(self.starts[-1] + len(line))

    def found(self) -> list[Mutation]:
        found = list(self._block(ast.parse(self.text).body, ""))
        return sorted(found, key=lambda mutation: (mutation.start, mutation.new))

    def _block(self, body: list[ast.stmt], function: str) -> Iterator[Mutation]:
        for statement in body:
            yield from self._statement(statement, function)

    def _statement(self, node: ast.stmt, function: str) -> Iterator[Mutation]:
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.Assert)) or _is_quiet(node):
            return
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            inner = f"{function}.{node.name}" if function else node.name
            if isinstance(node, ast.FunctionDef):
                for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
                    yield from self._expressions(default, node, inner)
            yield from self._block(node.body, inner)
            return
        for old, new, kind in _statement_mutations(node, bool(function)):
            yield self._mutation(node, function, old, new, kind)
        for child in _own_expressions(node):
            yield from self._expressions(child, node, function)
        for inner_body in _bodies(node):
            yield from self._block(inner_body, function)

    def _expressions(self, node: ast.expr, at: ast.stmt, function: str) -> Iterator[Mutation]:
        for old, new, kind in _expression_mutations(node):
            yield self._mutation(at, function, old, new, kind)
        if isinstance(node, ast.JoinedStr):
            return
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.comprehension):
                for part in (child.iter, *child.ifs):
                    yield from self._expressions(part, at, function)
                for condition in child.ifs:
                    yield self._mutation(at, function, condition, "True", "dropped condition")
            elif isinstance(child, ast.keyword):
                yield from self._expressions(child.value, at, function)
            elif isinstance(child, ast.expr):
                yield from self._expressions(child, at, function)

    def _mutation(
        self, at: ast.stmt, function: str, old: ast.stmt | ast.expr, new: str, kind: str
    ) -> Mutation:
        start, end = self._offset(old.lineno, old.col_offset), self._end(old)
        bodies = _bodies(at)
        last = bodies[0][0].lineno - 1 if bodies and bodies[0] else at.end_lineno
        if isinstance(at, ast.FunctionDef):
            last = at.body[0].lineno - 1
        text = self.text[start:end]
        if isinstance(old, ast.expr):
            new = f"({new})" if "\n" in text or not new.isidentifier() else new
        shown = self.lines[old.lineno - 1].strip()
        lines = (old.lineno, max(at.lineno, last or 0))
        return Mutation(self.path, *lines, start, text, new, kind, function, shown)

    def _end(self, node: ast.stmt | ast.expr) -> int:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self._offset(node.end_lineno, node.end_col_offset)

    def _offset(self, line: int, column: int) -> int:
        return self.starts[line - 1] + len(self.bytes[line - 1][:column].decode())


_Change = tuple[ast.expr, str, str]


def _statement_mutations(
    node: ast.stmt, in_function: bool
) -> Iterator[tuple[ast.stmt | ast.expr, str, str]]:
    match node:
        case ast.Return(value=ast.expr() as value) if not _is_constant(value, None):
            yield value, "None", "return None"
        case ast.Expr(value=ast.Call() | ast.Await()) if in_function:
            yield node, "pass", "dropped call"
        case ast.Expr(value=ast.YieldFrom() | ast.Yield()) if in_function:
            yield node, "pass", "dropped yield"
        case ast.AugAssign():
            yield node, "pass", "dropped assignment"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]) if in_function:
            yield node, "pass", "dropped assignment"
        case ast.Raise(exc=ast.Call(func=ast.Name(id="AssertionError"))):
            pass
        case ast.Raise() | ast.Continue() | ast.Break() | ast.Delete():
            yield node, "pass", f"dropped {type(node).__name__.lower()}"
        case ast.If(test=test) | ast.While(test=test):
            yield test, f"not ({ast.unparse(test)})", "negated condition"
        case _:
            pass


def _expression_mutations(node: ast.expr) -> Iterator[_Change]:
    match node:
        case ast.Compare(left=left, ops=ops, comparators=others):
            for index, operator in enumerate(ops):
                swapped = [*ops[:index], COMPARISONS[type(operator)](), *ops[index + 1 :]]
                changed = ast.Compare(left=left, ops=swapped, comparators=others)
                yield node, ast.unparse(changed), "comparison"
            if len(ops) > 1:
                less = ast.Compare(left=left, ops=ops[:-1], comparators=others[:-1])
                yield node, ast.unparse(less), "dropped comparison"
        case ast.BoolOp(op=operator, values=values):
            other = ast.And() if isinstance(operator, ast.Or) else ast.Or()
            yield node, ast.unparse(ast.BoolOp(op=other, values=values)), "and, or"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield node, ast.unparse(operand), "removed not"
        case ast.IfExp(test=test, body=body, orelse=orelse):
            swapped = ast.IfExp(test=test, body=orelse, orelse=body)
            yield node, ast.unparse(swapped), "swapped branches"
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in OPERATORS and not (
            _is_text(left) or _is_text(right)
        ):
            changed = ast.BinOp(left=left, op=OPERATORS[type(operator)](), right=right)
            yield node, ast.unparse(changed), "operator"
        case ast.Constant(value=bool(value)):
            yield node, str(not value), "constant"
        case ast.Constant(value=int(value)):
            yield node, str(value + 1), "constant"
        case _:
            pass


def _own_expressions(node: ast.stmt) -> Iterator[ast.expr]:
    """The expressions of a statement itself, without annotations and the statements in it."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "targets", "target", "decorator_list"):
            continue
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, ast.expr):
                yield part
            elif isinstance(part, ast.withitem):
                yield part.context_expr
            elif isinstance(part, ast.match_case) and part.guard is not None:
                yield part.guard


def _bodies(node: ast.stmt) -> list[list[ast.stmt]]:
    """The blocks in a statement, such as an `if`."""
    match node:
        case ast.Match(cases=cases):
            return [case.body for case in cases]
        case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=final):
            return [body, *(handler.body for handler in handlers), orelse, final]
        case ast.For(body=body, orelse=orelse) | ast.While(body=body, orelse=orelse):
            return [body, orelse]
        case ast.If(body=body, orelse=orelse):
            return [body, orelse]
        case ast.With(body=body):
            return [body]
    return []


def _is_quiet(node: ast.stmt) -> bool:
    """Whether nothing of it runs, or it has no other use than to be read."""
    match node:
        case ast.Expr(value=ast.Constant()) | ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.Expr(value=ast.Call(func=ast.Name(id="assert_never"))):
            return True
        case ast.AnnAssign(annotation=ast.Name(id="TypeAlias")) | ast.AnnAssign(value=None):
            return True
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.BinOp(op=ast.BitOr())):
            return name.lstrip("_")[:1].isupper() and not name.isupper()  # a union of types
    return False


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _is_constant(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _one_line(text: str) -> str:
    return " ".join(text.split())
