"""The form of a program's activations: the same program, with some of them in place."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from netspec.ir.expr import Const
from netspec.ir.graph import Child, NewDict, NewGraph, NewList, NewModule, NewSequence, Program
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
    match child.new:
        case NewSequence(children) | NewList(children) | NewDict(children):
            changed = _all(children, path, paths, above)
            return replace(child, new=replace(child.new, children=changed))
        case NewGraph(graph):
            changed = _all(graph.children, path, paths, above)
            return replace(child, new=NewGraph(replace(graph, children=changed)))
        case _:
            return child


def _all(
    children: tuple[Child, ...], path: str, paths: frozenset[str], above: set[str]
) -> tuple[Child, ...]:
    prefix = f"{path}." if path else ""
    return tuple([_changed(child, prefix + child.name, paths, above) for child in children])
