"""Syntax trees → Python source as a person would lay it out."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from netspec.display import visible
from netspec.emit.nodes import IMPORTED
from netspec.emit.tree import Written
from netspec.ops.catalog import Operator
from netspec.ops.registry import Registered

_WIDTH = 88


class NotImportable(Exception):
    """What was registered in a script or inside of a function: no other file can import it."""

    def __init__(self, registered: Registered) -> None:
        super().__init__(registered.path)
        self.registered = registered


def write_text(written: Written, header: str) -> str:
    """The source of a program: imports, classes in the order of their use, `build_model`.

    Raises NotImportable.
    """
    trees: list[ast.stmt] = [*(tree for _, tree in written.classes), written.builder]
    used = {node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)} | {
        "nn"
    }
    imports = [line for name, line in IMPORTED.items() if name in used]
    lines = [f'"""{_docstring(header)}"""', ""]
    standard = [line for line in imports if "torch" not in line]
    lines += [*standard, ""] if standard else []
    lines += [line for line in imports if "torch" in line]
    more = _imports_of([one for one in written.imports if one.symbol in used])
    lines += ["", *more] if more else []
    for tree in trees:
        lines += ["", "", *_definition(tree, 0)]
    return "\n".join(lines) + "\n"


def _imports_of(imports: Sequence[Operator]) -> list[str]:
    """`from mylib.layers import Swish, swish`, a line for each module. Raises NotImportable."""
    names: dict[str, list[str]] = {}
    for one in imports:
        assert one.registered is not None, "only what was registered is imported"
        if not one.registered.is_importable:
            raise NotImportable(one.registered)
        name = one.target.__name__
        shown = name if name == one.symbol else f"{name} as {one.symbol}"
        names.setdefault(one.target.__module__, []).append(shown)
    return [f"from {module} import {', '.join(sorted(names[module]))}" for module in sorted(names)]


def _docstring(text: str) -> str:
    """Words that hold a name from the spec, so that nothing in it ends the string around it."""
    return visible(text).replace("\\", "\\\\").replace('"', "'")


def _definition(node: ast.stmt, depth: int) -> list[str]:
    indent = "    " * depth
    match node:
        case ast.ClassDef(name=name, bases=[base], body=body):
            lines = [f"{indent}class {name}({ast.unparse(base)}):"]
            for index, item in enumerate(body):
                lines += ([""] if index else []) + _definition(item, depth + 1)
            return lines
        case ast.FunctionDef():
            return [*_head(node, indent), *_body(node.body, depth)]
        case ast.For(target=target, iter=iter_, body=body):
            head = f"{indent}for {_target(target)} in {ast.unparse(iter_)}:"
            return [head, *_body(body, depth)]
        case ast.If(test=test, body=body):
            return [f"{indent}if {_unparsed(test)}:", *_body(body, depth)]
        case ast.Assign(targets=[target], value=value):
            return _laid_out(f"{indent}{_target(target)} = ", value, depth)
        case ast.Return(value=ast.Tuple(elts=[_, _, *_] as items)) if _fits(items, depth):
            return [f"{indent}return {', '.join(map(_unparsed, items))}"]
        case ast.Return(value=ast.expr() as value):
            return _laid_out(f"{indent}return ", value, depth)
        case ast.Expr(value=value):
            return _laid_out(indent, value, depth)
    raise AssertionError(f"{type(node).__name__} is never emitted")


def _fits(items: list[ast.expr], depth: int) -> bool:
    return sum(len(_unparsed(item)) + 2 for item in items) + 4 * depth + 7 <= _WIDTH


def _head(node: ast.FunctionDef, indent: str) -> list[str]:
    args = [arg.arg for arg in node.args.args]
    for index, default in enumerate(reversed(node.args.defaults), 1):
        annotation = node.args.args[-index].annotation
        shown = f": {ast.unparse(annotation)} = " if annotation is not None else "="
        args[-index] += f"{shown}{ast.unparse(default)}"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    head = f"{indent}def {node.name}({', '.join(args)}){returns}:"
    if len(head) <= _WIDTH:
        return [head]
    return [
        f"{indent}def {node.name}(",
        *(f"{indent}    {a}," for a in args),
        f"{indent}){returns}:",
    ]


def _body(body: list[ast.stmt], depth: int) -> list[str]:
    return [line for item in body for line in _definition(item, depth + 1)]


def _target(node: ast.expr) -> str:
    if isinstance(node, ast.Tuple):
        return ", ".join(ast.unparse(item) for item in node.elts)
    return _unparsed(node)


def _laid_out(prefix: str, value: ast.expr, depth: int, suffix: str = "") -> list[str]:
    """One line where it fits, else a call's or a list's items a line each."""
    text = _unparsed(value)
    if len(prefix) + len(text) + len(suffix) <= _WIDTH:
        return [f"{prefix}{text}{suffix}"]
    indent = "    " * (depth + 1)
    match value:
        case ast.Call(func=func, args=args, keywords=keywords) if args or keywords:
            if len(args) == 1 and not keywords and isinstance(args[0], (ast.Call, ast.List)):
                inner = _laid_out(f"{prefix}{ast.unparse(func)}(", args[0], depth, f"){suffix}")
                if len(inner) > 1:
                    return inner
            flat = ", ".join(
                [*map(_unparsed, args), *(f"{k.arg}={_unparsed(k.value)}" for k in keywords)]
            )
            if len(indent) + len(flat) <= _WIDTH and len(args) + len(keywords) > 1:
                return [
                    f"{prefix}{ast.unparse(func)}(",
                    f"{indent}{flat}",
                    f"{indent[4:]}){suffix}",
                ]
            lines = [f"{prefix}{ast.unparse(func)}("]
            for arg in args:
                lines += _laid_out(indent, arg, depth + 1, ",")
            for keyword in keywords:
                lines += _laid_out(f"{indent}{keyword.arg}=", keyword.value, depth + 1, ",")
            return [*lines, f"{indent[4:]}){suffix}"]
        case ast.List(elts=items) | ast.Tuple(elts=items) if items:
            opening, closing = ("[", "]") if isinstance(value, ast.List) else ("(", ")")
            lines = [f"{prefix}{opening}"]
            for item in items:
                lines += _laid_out(indent, item, depth + 1, ",")
            return [*lines, f"{indent[4:]}{closing}{suffix}"]
        case ast.Dict(keys=keys, values=values):
            lines = [f"{prefix}{{"]
            for key, item in zip(keys, values, strict=True):
                assert key is not None, "no dict is unpacked"
                lines += _laid_out(f"{indent}{ast.unparse(key)}: ", item, depth + 1, ",")
            return [*lines, f"{indent[4:]}}}{suffix}"]
        case ast.Starred(value=inner_value):
            return _laid_out(f"{prefix}*", inner_value, depth, suffix)
        case ast.ListComp(elt=elt, generators=[generator]):
            loop = f"for {ast.unparse(generator.target)} in {ast.unparse(generator.iter)}"
            made = _laid_out(indent, elt, depth + 1)
            return [f"{prefix}[", *made, f"{indent}{loop}", f"{indent[4:]}]{suffix}"]
        case ast.BinOp() | ast.BoolOp() | ast.Compare() | ast.IfExp() if prefix.endswith("= "):
            return [f"{prefix}(", f"{indent}{text}", f"{indent[4:]}){suffix}"]
        case _:
            return [f"{prefix}{text}{suffix}"]


def _unparsed(node: ast.expr) -> str:
    text = ast.unparse(node)
    # `return (a, b)` is a, b to a reader
    return text.replace("'", '"') if '"' not in text else text
