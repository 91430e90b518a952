"""What a caller gives for a spec, and the specs that it names as parts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping

from netspec import file_trace, find
from netspec.caches import Cache
from netspec.errors import Diagnostic, SpecError
from netspec.ir.foreign.documents import foreign_document
from netspec.ir.graph import Place
from netspec.ir.lower.refusal import Refused, refuse
from netspec.language.files import CannotOpen, Files
from netspec.language.load import Spec, load_spec, plain_source, read_spec
from netspec.language.overrides import Override, apply_overrides
from netspec.language.variants import resolved
from netspec.limits import allow_text, current
from netspec.plugins import how_to_enable, is_enabled
from netspec.source import Source, read_text

AnySource = str | os.PathLike[str] | Mapping[str, object] | Source | Spec


def load_source(source: Source) -> Spec:
    """The spec of a text. Raises SpecError."""
    try:
        return load_spec(source, find.files())
    except SpecError:
        foreign = foreign_document(source)
        if foreign:
            raise SpecError(foreign) from None
        raise


def load_text(text: str) -> Spec:
    """The spec of a text that is in no file; one that was loaded before is remembered.

    Raises SpecError.
    """
    key = text, current(), os.getcwd()
    known = _loaded.get(key)
    if known is not None and file_trace.holds(known[1]):
        file_trace.add(known[1])
        return known[0]
    with file_trace.traced() as trace:
        spec = load_source(read_text(text))
    _loaded.keep(key, (spec, trace))
    return spec


_loaded: Cache[object, tuple[Spec, file_trace.Trace]] = Cache(32)


def read_with_overrides(
    source: AnySource, overrides: tuple[Override, ...], files: Files
) -> tuple[Spec | None, list[Diagnostic]]:
    """The spec as far as it can be read, and what is wrong with its text. Raises SpecError."""
    if not isinstance(source, Spec):
        text = source if isinstance(source, Source) else find.read(source)
        foreign = foreign_document(text)
        if foreign:
            return None, foreign
        return read_spec(apply_overrides(resolved(text, files), overrides), files)
    if not overrides:
        return source, []
    own = source.source
    before = () if isinstance(own, Source) else own.overrides
    return read_spec(apply_overrides(plain_source(own), (*before, *overrides)), files)


def missing_plugins(spec: Spec) -> list[Diagnostic]:
    """NS219 for each plugin that a spec says it needs, and that is not enabled."""
    return [
        Diagnostic(
            "NS219", f"`{need.plugin}` is required, and is not enabled", need.span,
            help=how_to_enable(need.plugin),
        )
        for need in spec.requires
        if not is_enabled(need.plugin)
    ]  # fmt: skip


def part_finder(files: Files) -> Callable[[str, Place], Spec]:
    """What opens the specs that a spec names as parts, each once."""
    specs: dict[str, Spec] = {}

    def find(name: str, place: Place) -> Spec:
        try:
            source = files.part(name, plain_source(place.source))
            if source.file not in specs:
                found = specs[source.file] = load_spec(source, files)
                allow_text(text_size(found))
            missing = missing_plugins(specs[source.file])
        except CannotOpen as error:
            raise refuse("NS206", error.fact, place.span(), error.help) from None
        except SpecError as error:
            raise Refused(*error.diagnostics) from None
        if missing:
            raise Refused(*missing)
        return specs[source.file]

    return find


def name_of(source: AnySource) -> str:
    """What messages call a source of which no layer is to be named."""
    text = source.source if isinstance(source, Spec) else source
    if isinstance(text, Mapping):
        return "<mapping>"
    return str(text) if isinstance(text, (str, os.PathLike)) else plain_source(text).file


def text_size(spec: Spec) -> int:
    """The characters of a spec's texts; of a mapping, those that it would take."""
    return sum(len(source.text or repr(source.value)) for source in spec.files)


def identity_of(source: AnySource) -> object:
    """The same for sources that are one text, or one file. Raises SpecError.

    Of others it holds only as long as the source lives: whoever remembers it keeps that, too.
    """
    spec = source if isinstance(source, Spec) else None
    text = source if spec is None else spec.source
    alone = spec is None or all(file is text for file in spec.files)
    if isinstance(text, Source) and text.text and alone:
        return ("text", text.path, text.file, text.text, os.getcwd())
    if isinstance(source, (Spec, Source)):
        return ("spec", id(source))
    if isinstance(source, Mapping):
        return ("mapping", json.dumps(source, default=repr))
    return ("path", os.path.abspath(find.path_of(source)))
