"""Plain values → a Spec: the schema's word on every key, expressions parsed, includes read."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from netspec.errors import MAX_DIAGNOSTICS, Diagnostic, Span, SpecError, nearest
from netspec.language.expressions import NotAnExpression, is_expression, narrowed, parse_expression
from netspec.language.files import CannotOpen, Files, class_name_of
from netspec.language.overrides import Overridden, Text
from netspec.language.schema import Block, Document, Library, LostLayer
from netspec.language.validation_errors import diagnose, is_layer, refused_paths
from netspec.language.variants import resolved
from netspec.source import Path, Plain, Source

# Without them the rest of a spec cannot be judged.
_DECISIVE = ("netspec", "args", "inputs", "include", "blocks", "layers")
_OF_NETWORKS = frozenset({"inputs", "layers", "spec"})  # which no file of blocks alone has
_PRINTED = re.compile(r"\(\w+\)")
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """A block where it was defined: its model, and the place of its text."""

    name: str
    block: Block
    source: Text
    path: Path
    blocks: Mapping[str, Definition]  # those that it can name: its own, its neighbours


@dataclass(frozen=True, slots=True)
class Required:
    """A plugin that a spec, or a file that it includes, says it needs, and where."""

    plugin: str
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Spec:
    """A spec that was read: the document, its text, and the blocks that its layers can name.

    Two specs are equal when their documents and the blocks that they include are.
    """

    document: Document
    source: Text
    blocks: Mapping[str, Definition]
    files: tuple[Text, ...]
    requires: tuple[Required, ...] = ()
    is_complete: bool = True  # all files that it includes could be read

    @property
    def name(self) -> str:
        """The class name: the spec's own, else the file's in CamelCase."""
        return self.document.name or class_name_of(self.source.path)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Spec):
            return NotImplemented
        return _ordered(self) == _ordered(other)

    def __hash__(self) -> int:
        return hash(_ordered(self))


def _ordered(spec: Spec) -> tuple[str, ...]:
    """The models as text, in which the order of layers counts, as it does in a network."""
    blocks = (definition.block for _, definition in sorted(spec.blocks.items()))
    return (repr(spec.document), *map(repr, blocks))


def load_spec(source: Text, files: Files | None = None) -> Spec:
    """A source → its Spec, with the blocks of every include.

    Raises SpecError with all that the schema, the expressions and the includes have against it.
    """
    spec, problems = read_spec(source, files)
    if problems or spec is None:
        raise SpecError(problems)
    return spec


def read_spec(source: Text, files: Files | None = None) -> tuple[Spec | None, list[Diagnostic]]:
    """The Spec, and all that is wrong with the text of it.

    With mistakes it is as much of the Spec as is sure, for the rest to be checked and never to be
    built: layers that the schema refuses are LostLayers. None where too much is open.
    """
    problems: list[Diagnostic] = []
    files = files or Files()
    if isinstance(source, Source):
        try:
            source = resolved(source, files)
        except SpecError as error:
            return None, list(error.diagnostics)
    document = _validated(Document, source, problems)
    if not isinstance(document, Document):
        return None, problems
    reader = _Includes(files, [source])
    before = len(problems)
    blocks = reader.definitions(document, source, problems)
    complete = len(problems) == before
    files_read, requires = tuple(reader.sources), tuple(reader.requires)
    return Spec(document, source, blocks, files_read, requires, complete), problems


def is_library(source: Source) -> bool:
    """Whether a text has only blocks, for other files to include."""
    value = source.value
    return isinstance(value, dict) and "blocks" in value and not _OF_NETWORKS & value.keys()


def read_library(source: Source, files: Files) -> tuple[dict[str, Definition], list[Diagnostic]]:
    """The blocks that a library has, and all that is wrong with its text."""
    problems: list[Diagnostic] = []
    library = _validated(Library, source, problems)
    if library is None:
        return {}, problems
    return _Includes(files, [source]).definitions(library, source, problems), problems


def _validated(
    model: type[Document] | type[Library], source: Text, problems: list[Diagnostic]
) -> Document | Library | None:
    problems += _expression_problems(source) + _key_problems(source)
    try:
        return model.model_validate(source.value)
    except ValidationError as error:
        problems += diagnose(error, source, model)
        if len(problems) >= MAX_DIAGNOSTICS:
            return None
        return _without_lost(model, source, error)


def _without_lost(
    model: type[Document] | type[Library], source: Text, error: ValidationError
) -> Document | Library | None:
    """The model without what the schema refuses, or None where that decides about the rest."""
    value: Any = source.value
    for path in refused_paths(error, source):
        depth = max((i for i in range(2, len(path) + 1) if is_layer(path[:i])), default=0)
        if depth:
            value = _replaced(value, path[:depth], LostLayer.model_construct())
        elif len(path) == 1 and not nearest(str(path[0]), _DECISIVE):
            value = {key: item for key, item in value.items() if key != path[0]}
        else:
            return None
    try:
        return model.model_validate(value)
    except ValidationError:
        return None


def _replaced(value: Any, path: Path, by: LostLayer) -> Any:
    """A copy of a plain value in which something else stands at a path."""
    if not path or isinstance(value, LostLayer):
        return by if not path else value
    changed = value.copy()
    changed[path[0]] = _replaced(value[path[0]], path[1:], by)
    return changed


@dataclass(slots=True)
class _Includes:
    """Reads included files, each once."""

    files: Files
    sources: list[Text]
    requires: list[Required] = field(default_factory=list)
    _busy: set[str] = field(default_factory=set)
    _read: dict[str, dict[str, Definition]] = field(default_factory=dict)

    def definitions(
        self, owner: Document | Library, source: Text, problems: list[Diagnostic]
    ) -> dict[str, Definition]:
        found: dict[str, Definition] = {}
        for index, plugin in enumerate(owner.requires):
            self.requires.append(Required(plugin, source.span_of(("requires", index))))
        many = isinstance(owner.include, list)
        names = owner.include if isinstance(owner.include, list) else [owner.include or ""]
        for index, name in enumerate(names):
            path: Path = ("include", index) if many else ("include",)
            if name and len(problems) < MAX_DIAGNOSTICS:
                found |= self._included(name, source, path, problems)
        own = _define(owner.blocks, source, ("blocks",), found)
        for name in own.keys() & found.keys():
            fact = f"block `{name}` is defined here and in {found[name].source.file}"
            problems.append(Diagnostic("NS213", fact, source.key_span_of(("blocks", name))))
        return found | own

    def _included(
        self, name: str, source: Text, path: Path, problems: list[Diagnostic]
    ) -> dict[str, Definition]:
        try:
            library = self.files.include(name, plain_source(source))
        except CannotOpen as error:
            problems.append(Diagnostic("NS213", error.fact, source.span_of(path), help=error.help))
            return {}
        except SpecError as error:
            problems += error.diagnostics
            return {}
        if library.file in self._busy:
            fact = f"`{name}` includes itself, by way of other files"
            problems.append(Diagnostic("NS213", fact, source.span_of(path)))
            return {}
        if library.file in self._read:
            return self._read[library.file]
        whole = isinstance(library.value, dict) and "layers" in library.value
        validated = _validated(Document if whole else Library, library, problems)
        if validated is None:
            return {}
        if library not in self.sources:
            self.sources.append(library)
        self._busy.add(library.file)
        found = self._read[library.file] = self.definitions(validated, library, problems)
        self._busy.discard(library.file)
        return found


def plain_source(source: Text) -> Source:
    """The source below any overrides."""
    return source.source if isinstance(source, Overridden) else source


def _define(
    blocks: Mapping[str, Block], source: Text, path: Path, around: MutableMapping[str, Definition]
) -> dict[str, Definition]:
    own: dict[str, Definition] = {}
    visible = ChainMap(own, around)
    for name, block in blocks.items():
        at = (*path, name)
        inner = _define(block.blocks, source, (*at, "blocks"), visible)
        own[name] = Definition(name, block, source, at, ChainMap(inner, visible))
    return own


def _expression_problems(source: Text) -> list[Diagnostic]:
    problems: list[Diagnostic] = []
    if source.text and "=" not in source.text and not isinstance(source, Overridden):
        return problems
    for path, text in _strings(source.value, ()):
        if is_expression(text):
            try:
                parse_expression(text)
            except NotAnExpression as error:
                problems.append(expression_diagnostic(source, path, text, error))
    return problems


def expression_diagnostic(
    source: Text, path: Path, text: str, error: NotAnExpression
) -> Diagnostic:
    """A text that is no expression, placed at the character where it goes wrong."""
    span = narrowed(source.span_of(path), text, error.start, error.width)
    return Diagnostic("NS208", error.fact, span, help=error.help)


def _strings(value: Plain, path: Path) -> Iterator[tuple[Path, str]]:
    stack: list[tuple[Path, Plain]] = [(path, value)]
    while stack:
        where, item = stack.pop()
        if isinstance(item, str):
            if item[:1] == "=":
                yield where, item
        elif isinstance(item, dict):
            stack.extend(((*where, k), v) for k, v in item.items() if k != "doc")
        elif isinstance(item, list):
            stack.extend(((*where, i), v) for i, v in enumerate(item))


def _key_problems(source: Text) -> list[Diagnostic]:
    problems = []
    for path, name, what in _declared_names(source.value):
        if _KEY.fullmatch(name) or _is_printed(source.value, path):
            continue
        fact = f"`{name}` cannot be the name of {what}"
        help = "letters, digits, `_` and `-`"
        problems.append(Diagnostic("NS210", fact, source.key_span_of(path), help=help))
    return problems


def _is_printed(value: Any, path: Path) -> bool:
    """Whether it is a layer as torch prints one, `(conv1): Conv2d(…)`; that is told as a whole."""
    for key in path:
        value = value[key]
    return bool(_PRINTED.fullmatch(str(path[-1]))) and isinstance(value, str) and value[-1:] == ")"


def _declared_names(value: Any) -> Iterator[tuple[Path, str, str]]:
    stack: list[tuple[Path, Any]] = [((), value)]
    while stack:
        path, item = stack.pop()
        if not isinstance(item, dict):
            continue
        layers = item.get("layers")
        if isinstance(layers, dict):
            for name, layer in layers.items():
                yield (*path, "layers", name), name, "a layer"
                stack.append(((*path, "layers", name), layer))
        elif isinstance(layers, list):
            stack.extend(((*path, "layers", i), layer) for i, layer in enumerate(layers))
        blocks = item.get("blocks")
        if isinstance(blocks, dict):
            for name, block in blocks.items():
                yield (*path, "blocks", name), name, "a block"
                stack.append(((*path, "blocks", name), block))
