"""A layer as another tool writes it → its class and arguments, read as data."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from netspec.language.schema import FOREIGN_KEYS, class_key_of
from netspec.source import Plain

_TOOLS: Mapping[str, str] = {
    "_target_": "Hydra", "class_path": "jsonargparse", "class_name": "Keras", "op_type": "ONNX",
}  # fmt: skip
_INSIDE = ("init_args", "config", "attributes", "params", "kwargs")  # which hold the arguments
_LONGEST, _DEEPEST = 2_000, 40  # characters and brackets of a call that is read
_NOTHING = ("None", "null", "~")


@dataclass(frozen=True, slots=True)
class Written:
    """A class and its arguments; `key` is what says so, `tool` who writes it like this.

    `copies` and `reads_others` are what a row of Ultralytics says beside them.
    """

    cls: str
    args: tuple[Plain, ...] = ()
    kwargs: Mapping[str, Plain] = field(default_factory=dict)
    tool: str | None = None
    key: str | None = None
    copies: int = 1
    reads_others: bool = False

    @property
    def name(self) -> str:
        """The class without the modules that it lies in."""
        return self.cls.rpartition(".")[2].rpartition(":")[2].strip()


def read_layer(value: object) -> Written | None:
    """What a mapping, a row or a call says; None of what is none of another tool's."""
    if isinstance(value, list):
        return read_row(value)
    if isinstance(value, str):
        return read_call(value)
    if not isinstance(value, dict):
        return None
    cls = class_key_of(value)
    if cls is not None:
        return _of_class(cls, value[cls], cls)
    if isinstance(value.get("module"), str) and isinstance(value.get("args"), list):
        return _of_class(value["module"], value["args"], "args")
    key = next((key for key in FOREIGN_KEYS if isinstance(value.get(key), str)), None)
    if key is None:
        return None
    inner = next((value[one] for one in _INSIDE if isinstance(value.get(one), dict)), None)
    given = inner if isinstance(inner, dict) else value
    positional = value.get("_args_")
    kwargs = {name: item for name, item in given.items() if given is not value or name != key}
    args = tuple(positional) if isinstance(positional, list) else ()
    return Written(str(value[key]), args, kwargs, _TOOLS.get(key), key)


def _of_class(cls: str, given: Plain, key: str) -> Written:
    """A class with its arguments beside it: a mapping, a list, one alone or none."""
    if isinstance(given, dict):
        return Written(cls, (), given, None, key)
    args = given if isinstance(given, list) else [] if given is None else [given]
    return Written(cls, tuple(args), {}, None, key)


def read_row(row: Sequence[Plain]) -> Written | None:
    """`[-1, 1, Conv, [64, 3, 2]]`: where from, how many, the class, its arguments."""
    if len(row) != 4 or not isinstance(row[2], str) or not isinstance(row[3], list):
        return None
    if not isinstance(row[0], (int, list)) or not isinstance(row[1], int):
        return None
    args = tuple(None if arg in _NOTHING else arg for arg in row[3])
    return Written(row[2], args, {}, "Ultralytics", None, row[1], row[0] != -1)


def read_call(text: str) -> Written | None:
    """`nn.Linear(4, 8)`, `dict(type='Conv2d')`: what Python would call, and never does here."""
    if len(text) > _LONGEST or text.count("(") > _DEEPEST:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if not isinstance(node, ast.Call) or not isinstance(node.func, (ast.Name, ast.Attribute)):
        return None
    kwargs = {k.arg: _literal(k.value) for k in node.keywords if k.arg is not None}
    cls = ast.unparse(node.func)
    if cls == "dict" and isinstance(kwargs.get("type"), str):
        cls = str(kwargs.pop("type"))
    return Written(cls, tuple(map(_literal, node.args)), kwargs)


def _literal(node: ast.expr) -> Plain:
    """A literal of Python as a plain value; of anything else its text, as an expression."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return f"={ast.unparse(node)}"
    return _plain(value)


def _plain(value: object) -> Plain:
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)
