"""What a model was made from: enough to make its classes anew in any process."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

from netspec.ir.lower.session import Activation
from netspec.language.files import Files, Kept
from netspec.language.load import Spec, plain_source
from netspec.language.overrides import Override
from netspec.limits import Limits, current
from netspec.ops.types import memo_key
from netspec.request import Request, hashable
from netspec.source import Source, from_mapping


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a model is made from, as texts and plain values: enough to make it anew anywhere."""

    main: Kept
    mapping: str | None  # a spec given as a mapping, as JSON
    named: tuple[tuple[tuple[str, str], Kept], ...]
    args: tuple[tuple[str, object], ...] = field(compare=False)
    typed_args: object  # what compares: 1, 1.0 and True are three values
    activation: Activation
    overrides: tuple[Override, ...]
    outputs: tuple[str, ...]
    needs: tuple[str, ...] = ()  # the plugins, or Python modules, that registered its layers
    variants: tuple[Kept, ...] = field(default=(), compare=False)  # which said some overrides
    limits: Limits = field(default=Limits(), compare=False)  # of the call that built it

    def source(self) -> Source:
        """The spec's own text, or mapping, read again."""
        if self.mapping is not None:
            return from_mapping(json.loads(self.mapping), self.main.file)
        return self.main.source()

    def texts(self) -> list[Kept]:
        """Every file that the model was made from."""
        return [self.main, *self.variants, *(kept for _, kept in self.named)]


def recipe_of(spec: Spec, files: Files, request: Request, needs: tuple[str, ...]) -> Recipe:
    """The recipe of a spec that was lowered with what was asked for."""
    main = plain_source(spec.source)
    mapping = None if main.text else json.dumps(main.value)
    own = () if isinstance(spec.source, Source) else spec.source.overrides
    named = tuple((key, _kept(source)) for key, source in files.opened.items())
    given = tuple(sorted((name, hashable(value)) for name, value in request.args.items()))
    typed = recipe_key(given)
    changed = tuple(replace(override, origin=None) for override in own or request.overrides)
    variants = tuple(map(_kept, files.variants))
    return Recipe(
        _kept(main), mapping, named, given, typed, request.activation, changed, request.outputs,
        needs, variants, current(),
    )  # fmt: skip


def recipe_key(args: tuple[tuple[str, object], ...]) -> object:
    """What compares of args: 1, 1.0 and True are three values."""
    return memo_key(args)


def _kept(source: Source) -> Kept:
    return Kept(source.file, str(source.path) if source.path else None, source.text)
