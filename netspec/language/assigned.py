"""An assignment to a part of a tensor, as an expression that gives the whole anew.

`x[:, 0] = 0` → `x.index_fill(1, tensor([0]), 0)`: expressions give values, and assign nothing.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Sequence

_LONGEST = 120  # characters of an expression that is shown
IN_PARTS = (
    "`index_fill`, `select_scatter`, `slice_scatter`, `masked_fill`, `where` and `pad` give the "
    "whole with a part of it replaced"
)


def assigned(target: ast.expr, value: ast.expr) -> str | None:
    """The whole of which `target` is a part, with `value` in its place; None where that is long."""
    if isinstance(target, ast.Name):
        return _filled(target, value)
    if not isinstance(target, ast.Subscript):  # of a view that a function makes
        return None
    index = target.slice.elts if isinstance(target.slice, ast.Tuple) else [target.slice]
    found = _replaced(target.value, index, value)
    return found if found is not None and len(found) <= _LONGEST else None


def help_for(target: ast.expr, value: ast.expr) -> str:
    """The help line: what to write instead of an assignment."""
    found = assigned(target, value)
    if found is not None:
        return f"a value is made anew: `={found}`"
    return f"a value is made anew: {IN_PARTS}"


def help_for_statement(body: str) -> str | None:
    """The same of a text that only changes something: `x[:, 0] = 0`, `x += 1`, `x.mul_(2)`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # a whole file's syntax error makes Python look for that file
            (statement,) = ast.parse(body, mode="single").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    match statement:
        case ast.Assign(targets=[ast.Subscript() as target], value=value):
            return help_for(target, value)
        case ast.AugAssign(target=target, op=op, value=value):
            read = ast.parse(ast.unparse(target), mode="eval").body
            sum_ = ast.BinOp(read, op, value)
            if isinstance(target, ast.Subscript):
                return help_for(target, sum_)
            return f"a value is made anew: `={ast.unparse(sum_)}`"
        case ast.Expr(ast.Call(ast.Attribute(target, name)) as call) if _overwrites(name):
            anew = ast.Call(ast.Attribute(target, name[:-1]), call.args, call.keywords)
            return help_in_place(name, target, call.args) or help_for(target, anew)
    return None


def _overwrites(method: str) -> bool:
    return method.endswith("_") and not method.endswith("__")


def _filled(target: ast.expr, value: ast.expr) -> str:
    """A tensor like the target that holds this value everywhere."""
    text = ast.unparse(target)
    if not _is_number(value):
        return ast.unparse(value)
    number = ast.unparse(value)
    return f"zeros_like({text})" if number == "0" else f"full_like({text}, {number})"


def _is_number(value: ast.expr) -> bool:
    if isinstance(value, ast.UnaryOp):
        return _is_number(value.operand)
    return isinstance(value, ast.Constant) and isinstance(value.value, (int, float))


def _replaced(whole: ast.expr, index: Sequence[ast.expr], value: ast.expr) -> str | None:
    """The whole with the part at an index replaced: one dimension, and the rest inside of it."""
    text = _bracketed(whole)
    place = next((i for i, part in enumerate(index) if not _is_all(part)), None)
    if place is None:
        return _filled(whole, value)
    part, rest = index[place], index[place + 1 :]
    if any(isinstance(one, ast.Constant) and one.value is None for one in index):
        return None
    dots = [i for i, one in enumerate(index) if _is_dots(one)]
    dim = place if not dots or place < dots[0] else place - len(index)
    if _is_mask(part):
        if rest or place:
            return None
        mask, new = ast.unparse(part), ast.unparse(value)
        return f"{text}.masked_fill({mask}, {new})" if _is_number(value) else None
    chosen = ast.Subscript(whole, _tuple(index[: place + 1], dots, place, len(index)), ast.Load())
    if any(not _is_all(one) for one in rest):
        left = 0 if isinstance(part, ast.Slice) else 1
        kept = [*index[: place + 1 - left], *rest]
        if not left:
            kept[place] = ast.Slice()
        inner = _replaced(chosen, kept, value)
    elif _is_index(part) and _is_number(value):
        return f"{text}.index_fill({dim}, tensor([{ast.unparse(part)}]), {ast.unparse(value)})"
    else:
        inner = _filled(chosen, value)
    if inner is None:
        return None
    if not isinstance(part, ast.Slice):
        return f"{text}.select_scatter({inner}, {dim}, {ast.unparse(part)})"
    bounds = [ast.unparse(part.lower) if part.lower else "0"] if part.lower or part.upper else []
    bounds += [ast.unparse(part.upper)] if part.upper else []
    step = f", step={ast.unparse(part.step)}" if part.step else ""
    return f"{text}.slice_scatter({', '.join([inner, str(dim), *bounds])}{step})"


def _tuple(index: Sequence[ast.expr], dots: list[int], place: int, count: int) -> ast.expr:
    """The index that chooses in one dimension alone; behind dots, all that follows it too."""
    after = [ast.Slice()] * (count - place - 1) if dots and dots[0] < place else []
    items = [*index, *after]
    return items[0] if len(items) == 1 else ast.Tuple(items, ast.Load())


def _is_all(part: ast.expr) -> bool:
    """Whether an item of an index leaves its dimension as it is."""
    if isinstance(part, ast.Slice):
        return part.lower is None and part.upper is None and part.step is None
    return _is_dots(part)


def _is_dots(part: ast.expr) -> bool:
    return isinstance(part, ast.Constant) and part.value is ...


def _is_index(part: ast.expr) -> bool:
    """Whether it is a number that counts from the front."""
    return isinstance(part, ast.Constant) and isinstance(part.value, int)


def _is_mask(part: ast.expr) -> bool:
    if isinstance(part, ast.UnaryOp):
        return isinstance(part.op, ast.Invert)
    if isinstance(part, ast.BinOp):
        return isinstance(part.op, (ast.BitAnd, ast.BitOr, ast.BitXor))
    return isinstance(part, ast.Compare)


def _bracketed(whole: ast.expr) -> str:
    text = ast.unparse(whole)
    simple = isinstance(whole, (ast.Name, ast.Attribute, ast.Subscript, ast.Call))
    return text if simple else f"({text})"


def help_in_place(function: str, target: ast.expr, args: Sequence[ast.expr]) -> str | None:
    """The same of a function that only fills what it is given: `zero_`, `fill_`, `copy_`."""
    match function, args:
        case "zero_", _:
            return help_for(target, ast.Constant(0))
        case "fill_" | "copy_", [value, *_]:
            return help_for(target, value)
        case "normal_", []:
            return f"a value is made anew: `=randn_like({ast.unparse(target)})`"
        case "uniform_", []:
            return f"a value is made anew: `=rand_like({ast.unparse(target)})`"
    return None
