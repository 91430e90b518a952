"""The names of a spec's text: where each is defined, and where it is used, in expressions too."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from netspec.analysis.model import Name, NameKind
from netspec.errors import Span
from netspec.language.expressions import (
    NotAnExpression,
    is_expression,
    narrowed,
    parse_expression,
    stretch_of,
)
from netspec.source import Path, Plain, Source

_PROSE = frozenset({"doc", "layers", "blocks"})  # keys whose texts are no names of values


def names_of(source: Source, included: Mapping[str, tuple[Source, Path]]) -> tuple[Name, ...]:
    """All names that a text defines, in its order; of a block of a library, if the text uses it.

    `included` has the text and the path of each block that another file defines. What the text uses
    and nothing defines is left out.
    """
    index = _Index(source)
    index.document(included)
    found = [known for known in index.found if known.source is source or known.uses]
    found.sort(key=lambda k: (k.source is source, k.definition.line, k.definition.column))
    return tuple(Name(k.name, k.kind, k.definition, tuple(k.uses)) for k in found)


@dataclass(slots=True, eq=False)
class _Known:
    name: str
    kind: NameKind
    definition: Span
    source: Source
    path: Path
    uses: list[Span] = field(default_factory=list)
    args: dict[str, _Known] = field(default_factory=dict)  # of a block


@dataclass(slots=True, eq=False)
class _Scope:
    """The names of one `layers:`, with those around it; a block sees none of the latter."""

    layers: dict[str, _Known]
    args: dict[str, _Known]
    blocks: dict[str, _Known]
    outer: _Scope | None = None

    def find(self, name: str, at: Path) -> _Known | None:
        """What a name means at a path: a layer, but not the one that stands there; else an arg."""
        scope: _Scope | None = self
        while scope is not None:
            found = scope.layers.get(name)
            if found is not None and at[: len(found.path)] != found.path:
                return found
            scope = scope.outer
        scope = self
        while scope is not None:
            if name in scope.args:
                return scope.args[name]
            scope = scope.outer
        return None


@dataclass(slots=True)
class _Index:
    source: Source
    found: list[_Known] = field(default_factory=list)

    def document(self, included: Mapping[str, tuple[Source, Path]]) -> None:
        value = self.source.value
        if not isinstance(value, dict):
            return
        blocks = {name: self._included(name, *where) for name, where in included.items()}
        inputs = self._keys(value.get("inputs"), ("inputs",), "input")
        self._body(value, (), inputs, self._keys(value.get("args"), ("args",), "arg"), blocks)
        shapes = _Scope({}, {}, {})
        shapes.args = {known.name: known for known in self.found if known.path[:1] == ("args",)}
        self._texts(value.get("inputs"), ("inputs",), shapes)

    def _included(self, name: str, source: Source, path: Path) -> _Known:
        """A block of another file, with its args."""
        block = self._add(name, "block", path, source)
        value: Plain = source.value
        for step in (*path, "args"):
            value = value.get(str(step)) if isinstance(value, dict) else None
        for arg in value if isinstance(value, dict) else ():
            block.args[arg] = self._add(arg, "arg", (*path, "args", arg), source)
        return block

    def _body(
        self,
        value: Mapping[str, Plain],
        path: Path,
        inputs: dict[str, _Known],
        args: dict[str, _Known],
        blocks: Mapping[str, _Known],
    ) -> None:
        """A spec or a block: its args, its own blocks, its layers and outputs."""
        found = value.get("blocks")
        defined = found if isinstance(found, dict) else {}
        own = self._keys(defined, (*path, "blocks"), "block")
        visible = {**blocks, **own}
        scope = _Scope(dict(inputs), args, visible)
        self._texts(value.get("args"), (*path, "args"), scope)
        bodies = [(name, block) for name, block in defined.items() if isinstance(block, dict)]
        for name, block in bodies:  # all first: a block may name one that stands below it
            own[name].args = self._keys(block.get("args"), (*own[name].path, "args"), "arg")
        for name, block in bodies:
            at = own[name].path
            self._body(block, at, self._listed_inputs(block, at), own[name].args, visible)
        self._layers(value.get("layers"), (*path, "layers"), scope)
        self._references(value.get("outputs"), (*path, "outputs"), scope)

    def _listed_inputs(self, block: Mapping[str, Plain], path: Path) -> dict[str, _Known]:
        """A block's inputs; one that says none has an `x`, which stands where the block does."""
        listed = block.get("inputs")
        if not isinstance(listed, list):
            return {"x": _Known("x", "input", self.source.key_span_of(path), self.source, ())}
        names = [(i, name) for i, name in enumerate(listed) if isinstance(name, str)]
        return {n: self._add(n, "input", (*path, "inputs", i)) for i, n in names}

    def _layers(self, layers: Plain, path: Path, scope: _Scope) -> None:
        if isinstance(layers, dict):
            scope.layers |= self._keys(layers, path, "layer")
            items: list[tuple[str | int, Plain]] = list(layers.items())
        else:
            items = list(enumerate(layers)) if isinstance(layers, list) else []
        for key, layer in items:
            self._layer(layer, (*path, key), scope)

    def _layer(self, layer: Plain, path: Path, scope: _Scope) -> None:
        if isinstance(layer, str):
            self._expression(layer, path, scope)
            return
        if not isinstance(layer, dict):
            return
        inner = _Scope({}, self._loop_names(layer, path), scope.blocks, scope)
        for key, value in layer.items():
            at: Path = (*path, key)
            match key:
                case "from" | "use":
                    self._references(value, at, inner)
                case "tie":
                    self._references(value, at, inner)
                case "block":
                    known = scope.blocks.get(value) if isinstance(value, str) else None
                    if known is not None:
                        known.uses.append(self.source.span_of(at))
                case "layers":
                    self._layers(value, at, _Scope({}, {}, scope.blocks, inner))
                case _ if key not in _PROSE:
                    self._texts(value, at, inner)
        known = scope.blocks.get(str(layer.get("block")))
        if known is not None:
            self._arguments(layer, path, known)

    def _arguments(self, layer: Mapping[str, Plain], path: Path, block: _Known) -> None:
        """The arguments that a layer gives to a block are uses of the block's args."""
        given = layer.get("args")
        paths: list[tuple[str, Path]] = [(key, (*path, key)) for key in layer]
        paths += [(key, (*path, "args", key)) for key in given] if isinstance(given, dict) else []
        for key, at in paths:
            if key in block.args:
                block.args[key].uses.append(self.source.key_span_of(at))

    def _loop_names(self, layer: Mapping[str, Plain], path: Path) -> dict[str, _Known]:
        repeat = layer.get("repeat")
        named = repeat.get("as") if isinstance(repeat, dict) else None
        if not isinstance(named, str):
            return {}
        return {named: self._add(named, "arg", (*path, "repeat", "as"))}

    def _keys(self, value: Plain, path: Path, kind: NameKind) -> dict[str, _Known]:
        if not isinstance(value, dict):
            return {}
        return {name: self._add(name, kind, (*path, name)) for name in value}

    def _add(self, name: str, kind: NameKind, path: Path, source: Source | None = None) -> _Known:
        """A name of this text, or of another one."""
        source = source or self.source
        known = _Known(name, kind, source.key_span_of(path), source, path)
        self.found.append(known)
        return known

    def _references(self, value: Plain, path: Path, scope: _Scope) -> None:
        """Names, paths and expressions, alone or in lists and mappings."""
        for at, text in _strings(value, path):
            if is_expression(text):
                self._expression(text, at, scope)
                continue
            first = text.partition(".")[0]
            known = scope.find(first, at)
            if known is not None:
                span = self.source.span_of(at)
                known.uses.append(narrowed(span, text, 0, len(first)))

    def _texts(self, value: Plain, path: Path, scope: _Scope) -> None:
        """The expressions in a value."""
        for at, text in _strings(value, path):
            self._expression(text, at, scope)

    def _expression(self, text: str, path: Path, scope: _Scope) -> None:
        if not is_expression(text):
            return
        try:
            tree = parse_expression(text).tree
        except NotAnExpression:
            return
        span = self.source.span_of(path)
        for node in ast.walk(tree):
            known = scope.find(node.id, path) if isinstance(node, ast.Name) else None
            if known is not None and isinstance(node, ast.Name):
                found = stretch_of(text, node)
                known.uses.append(narrowed(span, text, *found) if found is not None else span)


def _strings(value: Plain, path: Path) -> Iterator[tuple[Path, str]]:
    """The texts in a plain value, in its order."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            if key != "doc":
                yield from _strings(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strings(item, (*path, index))
