"""The form of a program's activations: the same program, with some of them in place."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from netspec.ir.expr import Const
from netspec.ir.graph import Child, NewModule, Program
from netspec.ir.traversal import map_children
from netspec.ops.overwriting import INPLACE


def in_place(program: Program, paths: Collection[str]) -> Program:
    """The program with `inplace=True` in the modules at these paths of `state_dict`."""
    if not paths:
        return program
    above = {path[:end] for path in paths for end in _dots(path)}
    return replace(program, root=_changed(program.root, "", frozenset(paths), above))


def _dots(path: str) -> list[int]:
    return [i for i, letter in enumerate(path) if letter == "."]


def _changed(child: Child, path: str, paths: frozenset[str], above: set[str]) -> Child:
    """A child with what is below it; `above` are the paths of what holds something changed."""
    if path in paths:
        assert isinstance(child.new, NewModule), "an activation in its module form"
        kwargs = (*child.new.kwargs, (INPLACE, Const(True)))
        return replace(child, new=replace(child.new, kwargs=kwargs))
    if path and path not in above:
        return child
    prefix = f"{path}." if path else ""
    new = map_children(child.new, lambda c: _changed(c, prefix + c.name, paths, above))
    return replace(child, new=new)
