"""A spec that is another one with other args: `spec: resnet18`, `args: {depths: [3, 4, 6, 3]}`.

It is read as the other one with overrides, which have their places in this file; so all that holds
for a spec holds for it, and a path of the other is a path of this.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from netspec.errors import Diagnostic, SpecError, nearest
from netspec.language.files import CannotOpen, Files, class_name_of
from netspec.language.overrides import Override, Text, apply_overrides, args_of
from netspec.language.schema import Document, Variant
from netspec.language.validation_errors import diagnose, unknown_arg
from netspec.source import Plain, Source

_DEEPEST = 16


def resolved(source: Source, files: Files) -> Text:
    """The spec that a text stands for: itself, or another one with the args that it says.

    Raises SpecError where the text says so and is wrong.
    """
    return _resolved(source, files, ())


def _resolved(source: Source, files: Files, around: tuple[str, ...]) -> Text:
    if not _is_variant(source.value):
        return source
    try:
        variant = Variant.model_validate(source.value)
    except ValidationError as error:
        raise SpecError(diagnose(error, source, Variant)) from None
    place = source.span_of(("spec",))
    if source.file in around:
        fact = f"`{variant.spec}` is itself, by way of other files"
        raise SpecError(Diagnostic("NS213", fact, place))
    if len(around) == _DEEPEST:
        fact = f"more than {_DEEPEST} specs are each another one"
        raise SpecError(Diagnostic("NS213", fact, place))
    try:
        base = files.part(variant.spec, source)
    except CannotOpen as error:
        raise SpecError(Diagnostic("NS206", error.fact, place, help=error.help)) from None
    files.variants.append(source)
    text = _resolved(base, files, (*around, source.file))
    problems = list(_unknown_args(variant, source, text))
    if problems:
        raise SpecError(problems)
    return apply_overrides(text, tuple(_changes(variant, source)))


def _is_variant(value: Plain) -> bool:
    """Whether a text says that it is another spec, maybe with a slip in that word."""
    if not isinstance(value, dict) or "spec" in value:
        return isinstance(value, dict)
    unknown = [key for key in value if key not in Document.model_fields]
    return not value.keys() & {"inputs", "layers"} and bool(nearest("spec", unknown))


def _changes(variant: Variant, source: Source) -> Iterator[Override]:
    if variant.name or source.path is not None:
        name = variant.name or class_name_of(source.path)
        yield Override(("name",), name, False, f"name={name}", source)
    if variant.doc is not None:
        yield Override(("doc",), variant.doc, False, "doc", source)
    for arg, value in variant.args.items():
        yield Override(("args", arg), value, False, f"args.{arg}", source)


def _unknown_args(variant: Variant, source: Source, base: Text) -> Iterator[Diagnostic]:
    known = args_of(base)
    for arg in variant.args:
        if arg not in known:
            yield unknown_arg(variant.spec, arg, known, source.key_span_of(("args", arg)))
