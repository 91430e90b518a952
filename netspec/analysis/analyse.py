"""A text, right or wrong, whole or half written → all that is known of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from netspec import file_trace, find
from netspec.analysis.calls import LayerCall, calls_of
from netspec.analysis.legible import read_tolerantly
from netspec.analysis.model import Edge, Name, Node, Stored, Tie
from netspec.analysis.moved import moved
from netspec.analysis.names import names_of
from netspec.analysis.nodes import Picture, picture_of
from netspec.errors import Diagnostic, Span, SpecError
from netspec.file_trace import Trace
from netspec.ir.graph import Place
from netspec.language.load import Definition, Spec, is_library, plain_source, read_library
from netspec.language.overrides import Overrides
from netspec.limits import AnyLimits, bounded, read_limits
from netspec.ops import registry
from netspec.ops.process_state import without_collections
from netspec.ops.types import dtype_name
from netspec.pipeline import Examined, examine, sizes_of, state_dict_of, summary_of
from netspec.recipe import Recipe
from netspec.request import Act
from netspec.sizes.find import Sizes
from netspec.source import Source
from netspec.view.summary import Summary


@dataclass(frozen=True, slots=True)
class _Asked:
    """With what a text is analysed, beside itself."""

    args: Mapping[str, object]
    act: Act
    overrides: Overrides | None
    plugins: Sequence[str]
    limits: AnyLimits
    registered: object


@dataclass(frozen=True, eq=False)
class Analysis:
    """A spec as it is written at one moment.

    `diagnostics` say what is wrong, in the order of lines; nothing, if it can be built. The rest
    is made when it is asked for. Where something is wrong, the nodes that don't depend on it have
    their types all the same.
    """

    diagnostics: tuple[Diagnostic, ...]
    source: Source | None  # as far as it could be read
    _examined: Examined
    _read: Source | None  # from which that was found; another text where only comments changed
    _asked: _Asked
    _trace: Trace
    _is_whole: bool  # whether all of its text could be read
    _library: Mapping[str, Definition] | None = None  # the blocks of a text that has only blocks

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """The inputs and layers of the model, each before those inside of it."""
        return self._picture.nodes

    @property
    def edges(self) -> tuple[Edge, ...]:
        """Which values go where."""
        return self._picture.edges

    @property
    def ties(self) -> tuple[Tie, ...]:
        """The parameters that are one."""
        return self._picture.ties

    @cached_property
    def names(self) -> tuple[Name, ...]:
        """The names that the text defines, with all places that use them."""
        if self.source is None:
            return ()
        spec = self._examined.spec
        blocks = spec.blocks if spec is not None else self._library or {}
        included = {
            name: (plain_source(each.source), each.path)
            for name, each in blocks.items()
            if plain_source(each.source) is not self._read
        }
        return names_of(self.source, included)

    @property
    def block_args(self) -> Mapping[str, Mapping[str, object]]:
        """The args, with their defaults, of each block that the layers can name."""
        spec = self._examined.spec
        blocks = spec.blocks if spec is not None else self._library or {}
        return {name: definition.block.args for name, definition in blocks.items()}

    @property
    def is_library(self) -> bool:
        """Whether the text has only blocks, for other files to include."""
        return self._library is not None

    def text_of(self, file: str) -> str | None:
        """The text of a file as it was read, by the name that spans call it."""
        if self.source is not None and self.source.file == file:
            return self.source.text
        spec = self._examined.spec
        read = [plain_source(one) for one in spec.files] if spec is not None else []
        blocks = spec.blocks if spec is not None else self._library or {}
        read += [plain_source(each.source) for each in blocks.values()]
        return next((one.text for one in read if one.file == file), None)

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The files that were read for it, beside its own."""
        read = [Path(file) for question, file in self._trace if question == "bytes"]
        return tuple(dict.fromkeys(file.absolute() for file in read))

    @cached_property
    def asked_files(self) -> tuple[Path, ...]:
        """The files that it depends on: those that were read, and those that were not there."""
        return tuple(dict.fromkeys(Path(file).absolute() for _, file in self._trace))

    @cached_property
    def by_path(self) -> Mapping[str, Node]:
        """The nodes by their paths."""
        return {node.path: node for node in self.nodes}

    @cached_property
    def children(self) -> Mapping[str, Sequence[Node]]:
        """The nodes that are inside of each one, by its path; the outermost ones by the empty path.

        A layer's own name may have no dot, and what is around it need not be a node.
        """
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            found.setdefault(self.around(node.path), []).append(node)
        return found

    def around(self, path: str) -> str:
        """The path of the node that a layer, or a key, is inside of; or nothing."""
        found = path.rpartition(".")[0]
        while found and found not in self.by_path:
            found = found.rpartition(".")[0]
        return found

    def at(self, line: int, column: int) -> str | None:
        """The path of the layer or input at a position of the text, counted from 1.

        In a block it is the one of the first layer that is made of it.
        """
        if self.source is None:
            return None
        path = self.source.path_at(line, column)
        while path:
            if path in self._by_text_path:
                return self._by_text_path[path]
            path = path[:-1]
        return None

    def place_of(self, path: str) -> Span | None:
        """Where the text has the name of a layer or an input."""
        node = self.by_path.get(path)
        return None if node is None else node.place

    @cached_property
    def calls(self) -> Mapping[str, LayerCall]:
        """What each layer calls with which arguments, by its path; empty where something is wrong.

        What a graph gives stands below its own path, as `(outputs)`.
        """
        program = self._examined.program
        return {} if program is None else calls_of(program)

    @cached_property
    def tensors(self) -> Mapping[str, Stored]:
        """The keys of the model's state dict, in its order; nothing where something is wrong."""
        state = state_dict_of(self._examined) or {}
        first: dict[int, str] = {}
        return {
            key: Stored(
                tuple(value.shape), dtype_name(value.dtype), first.setdefault(id(value), key)
            )
            for key, value in state.items()
        }

    @property
    def recipe(self) -> Recipe | None:
        """All that the model is made from; None where something is wrong."""
        return self._examined.recipe

    def costs(self) -> Summary | None:
        """FLOPs and bytes of each layer, as `netspec show` has them, by the nodes' paths.

        None where something is wrong.
        """
        return self._costs

    def sizes(self) -> Sizes | None:
        """Which sizes the network is valid for, and what each layer gives, as formulas.

        None where something is wrong.
        """
        return self._sizes

    @cached_property
    def _sizes(self) -> Sizes | None:
        return sizes_of(self._examined)

    @cached_property
    def _costs(self) -> Summary | None:
        with bounded(read_limits(self._asked.limits)):
            return summary_of(self._examined)

    @cached_property
    def _picture(self) -> Picture:
        outcome = self._examined.outcome
        if outcome is None:
            return Picture((), (), ())
        with bounded(read_limits(self._asked.limits)), without_collections():
            return picture_of(outcome, self._examined.decisions, self._span_of)

    @cached_property
    def _by_text_path(self) -> Mapping[tuple[str | int, ...], str]:
        found: dict[tuple[str | int, ...], str] = {}
        file = None if self.source is None else self.source.file
        for node in self.nodes:
            if node.place.file == file or not node.place.line:
                found.setdefault(node.text_path, node.path)
        return found

    def _span_of(self, place: Place) -> Span:
        if place.source is self._read and self.source is not None:
            place = Place(self.source, place.path)
        return place.key_span()


def analyse(
    source: str | os.PathLike[str] | Mapping[str, object] | Source | Spec,
    *,
    path: str | os.PathLike[str] | None = None,
    args: Mapping[str, object] | None = None,
    act: Act = "module",
    overrides: Overrides | None = None,
    plugins: Sequence[str] | None = None,
    limits: AnyLimits = None,
    before: Analysis | None = None,
    unsaved: Mapping[str, str] | None = None,
) -> Analysis:
    """All that is known of a spec, right or wrong; it raises nothing for what a user wrote.

    With a `path`, `source` is the text that the file there has or will have: the file is not
    opened, and what the text includes lies beside it. Else `source` is what `check` takes. `before`
    is an analysis of an earlier version of the text: where only comments and white space differ,
    what it found is kept. `unsaved` has texts of other files, by their paths, as an editor has them
    open: they stand in the place of what the disk has. A text that has only blocks is looked at as
    the file that others include.
    """
    with file_trace.with_unsaved(unsaved or {}):
        return _analyse(source, path, args, act, overrides, plugins, limits, before)


def _analyse(
    source: str | os.PathLike[str] | Mapping[str, object] | Source | Spec,
    path: str | os.PathLike[str] | None,
    args: Mapping[str, object] | None,
    act: Act,
    overrides: Overrides | None,
    plugins: Sequence[str] | None,
    limits: AnyLimits,
    before: Analysis | None,
) -> Analysis:
    asked = _Asked(args or {}, act, overrides, tuple(plugins or ()), limits, registry.state())
    text, problems = _read(source, path, limits)
    if text is None:
        return Analysis(problems, None, Examined(problems), None, asked, {}, False)
    if before is not None and before._is_whole and not problems and before._asked == asked:
        kept = moved(before.source, text, before.diagnostics) if before.source else None
        if kept is not None and file_trace.holds(before._trace):
            return replace(before, diagnostics=kept, source=text)
    library: Mapping[str, Definition] | None = None
    with file_trace.traced() as trace:
        if is_library(text):
            with bounded(read_limits(limits)):
                library, of_blocks = read_library(text, find.files())
            examined = Examined(tuple(of_blocks))
        else:
            given = text if not isinstance(source, Spec) else source
            examined = examine(given, args, act, overrides, plugins, limits)
    found = problems if problems else examined.problems
    diagnostics = SpecError(found).diagnostics if found else ()
    return Analysis(diagnostics, text, examined, text, asked, trace, not problems, library)


def _read(
    source: str | os.PathLike[str] | Mapping[str, object] | Source | Spec,
    path: str | os.PathLike[str] | None,
    limits: AnyLimits,
) -> tuple[Source | None, tuple[Diagnostic, ...]]:
    """The text as far as it can be read, what keeps the rest from it."""
    if isinstance(source, Spec):
        return plain_source(source.source), ()
    if isinstance(source, Source):
        return source, ()
    try:
        with bounded(read_limits(limits)):
            if path is not None:
                assert isinstance(source, str), "with a path, the source is a text"
                return read_tolerantly(source, os.fspath(path), Path(path))
            if isinstance(source, Mapping):
                return find.read(source), ()
            file = find.path_of(source)
            try:
                return find.read(file), ()
            except SpecError as error:
                return _as_far(file, error.diagnostics)
    except SpecError as error:
        return None, error.diagnostics


def _as_far(
    file: str, problems: tuple[Diagnostic, ...]
) -> tuple[Source | None, tuple[Diagnostic, ...]]:
    """A file whose text is no YAML, as far as it can be read."""
    try:
        with open(file, encoding="utf-8-sig", newline="") as opened:
            return read_tolerantly(opened.read(), file, Path(file))
    except (OSError, UnicodeDecodeError):
        return None, problems
