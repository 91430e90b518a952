"""Syntax trees → a running nn.Module. The one place that executes anything."""

from __future__ import annotations

import ast
import copyreg
import hashlib
import linecache
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from netspec.emit.nodes import IMPORTS
from netspec.emit.tree import BUILDER, Written
from netspec.language.overrides import Text
from netspec.ops.process_state import own_random_state
from netspec.ops.registry import Registered
from netspec.ops.unfilled import Unfilled

_MODULE_NAME = "netspec_models"


@dataclass(frozen=True, slots=True)
class Built:
    """The classes of a program, and the function that makes the model."""

    classes: dict[str, type[nn.Module]]
    make: Callable[[], nn.Module]
    registered: tuple[Registered, ...] = ()  # which the classes call
    files: tuple[str, ...] = ()  # whose lines tracebacks show
    holders: tuple[int, ...] = ()  # of each class, while it has no instance

    def empty(self) -> nn.Module:
        """The model on `meta`: its shapes, and no memory."""
        try:
            with torch.device("meta"), Unfilled():
                return self.make()
        except Exception:
            if not self.registered:
                raise
        with own_random_state():  # a registered class may look at its numbers
            return self.make().to("meta")


def compile_classes(
    written: Written, recipe: Hashable, rebuild: Callable[[Any, str], nn.Module]
) -> Built:
    """The classes, compiled file by file, so that each traceback names its own spec.

    `recipe` and `rebuild` let an instance be pickled: the class does not exist in another process,
    and is made anew there by `rebuild(recipe, class_name)`.
    """
    # Without `__name__`: dynamo would import it wherever it inlines a frame of these globals.
    namespace: dict[str, Any] = {one.symbol: one.target for one in written.imports}
    by_file: dict[str, list[ast.stmt]] = {}
    files: dict[int, str] = {}
    for source, tree in written.classes:
        assert source is not None, "a class has a source"
        file = files.get(id(source))
        if file is None:
            file = files[id(source)] = _file(source)
            _show_lines(source, file)
        by_file.setdefault(file, []).append(tree)
    by_file.setdefault(_file(written.source), []).append(written.builder)
    for file, trees in by_file.items():
        _run(ast.Module([*ast.parse(IMPORTS).body, *trees], []), file, namespace)
    classes: dict[str, type[nn.Module]] = {}
    for _, tree in written.classes:
        classes[tree.name] = _registered(namespace[tree.name], recipe, rebuild)
    shown = tuple(files.values())
    _shown.update(shown)
    used = tuple(one.registered for one in written.imports if one.registered)
    return Built(classes, namespace[BUILDER], used, shown, holders_of(classes))


_shown: Counter[str] = Counter()  # how many of the classes that live are of this file


def holders_of(classes: Mapping[str, type[nn.Module]]) -> tuple[int, ...]:
    """How many hold each class."""
    return tuple([sys.getrefcount(classes[name]) for name in classes])


def release(built: Built) -> None:
    """What the process keeps for the classes of a model, so that its instances can be copied."""
    for cls in built.classes.values():
        copyreg.dispatch_table.pop(cls, None)
    _shown.subtract(built.files)
    for file in built.files:
        if _shown[file] <= 0:
            del _shown[file]
            linecache.cache.pop(file, None)


def _registered(
    cls: type[nn.Module], recipe: Hashable, rebuild: Callable[[Any, str], nn.Module]
) -> type[nn.Module]:
    cls.__module__ = _MODULE_NAME
    copyreg.pickle(cls, _reducer(recipe, cls.__name__, rebuild))
    return cls


def _run(tree: ast.Module, file: str, namespace: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of `2 is x`: it is the spec's, and says what it says
        code = compile(tree, file, "exec", dont_inherit=True)
    exec(code, namespace)


def _reducer(
    recipe: Hashable, name: str, rebuild: Callable[[Any, str], nn.Module]
) -> Callable[[Any], tuple[Callable[..., Any], tuple[object, ...], object]]:
    def reduce(module: nn.Module) -> tuple[Callable[..., Any], tuple[object, ...], object]:
        return rebuild, (recipe, name), module.__dict__

    return reduce


def _file(source: Text) -> str:
    """The code's file name: the spec's, or one of its own for a text that is no file."""
    if source.path is not None:
        return str(source.path.absolute())  # a traceback after chdir still shows the text
    digest = hashlib.sha256(source.text.encode()).hexdigest()[:8]
    return f"{source.file.rstrip('>')} {digest}>"


def _show_lines(source: Text, file: str) -> None:
    """Lets tracebacks show the text where there is no file; one that is there, Python reads."""
    text = source.text
    if source.path is not None:
        linecache.cache.setdefault(file, (lambda: text,))
    elif text:
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
