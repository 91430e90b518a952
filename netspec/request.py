"""What a caller asks for beside the spec itself: args, a form, overrides, outputs, a dtype."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import torch

from netspec.errors import Diagnostic, Origin, Span, SpecError, did_you_mean
from netspec.ir.lower.session import Activation, Form
from netspec.language.overrides import Override, Overrides, parse_overrides
from netspec.ops import catalog
from netspec.ops.foreign_names import told_of_dtype
from netspec.ops.types import memo_key

Act = str | Mapping[str, str]
FORMS: tuple[Form, ...] = get_args(Form)


@dataclass(frozen=True, slots=True)
class Request:
    """With what a spec is compiled."""

    args: Mapping[str, object]
    activation: Activation
    overrides: tuple[Override, ...] = ()
    outputs: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[object, ...]:
        """What two requests have in common that ask for the same."""
        return memo_key(hashable(self.args)), self.activation, self.overrides, self.outputs


def read_request(
    args: Mapping[str, object] | None = None,
    act: Act = "module",
    overrides: Overrides | None = None,
    outputs: Sequence[str] | None = None,
) -> Request:
    """What a caller gave. Raises SpecError."""
    outputs = (outputs,) if isinstance(outputs, str) else tuple(map(str, outputs or ()))
    return Request(args or {}, read_activation(act), parse_overrides(overrides), outputs)


def read_activation(act: Act) -> Activation:
    """`"functional"`, or `{"form": "functional", "fn": "gelu"}`. Raises SpecError."""
    given = {"form": act} if isinstance(act, str) else dict(act)
    span = Span.of(Origin("act", "act", f"act={act!r}"))
    for key in given:
        if key not in ("form", "fn"):
            fact = f"`act` has no `{key}`"
            raise SpecError(Diagnostic("NS201", fact, span, help="it has `form` and `fn`"))
    form = given.get("form", "module")
    if form not in FORMS:
        near = did_you_mean(str(form), FORMS) or "use `module`, `functional` or `inplace`"
        raise SpecError(Diagnostic("NS206", f"there is no form `{form}`", span, help=near))
    fn = given.get("fn")
    if fn is not None and catalog.module_of_activation(fn) is None:
        help = did_you_mean(fn, catalog.activation_names())
        raise SpecError(Diagnostic("NS206", f"there is no activation `{fn}`", span, help=help))
    return Activation(FORMS[FORMS.index(form)], fn)


def read_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """A dtype by its name. Raises SpecError."""
    if isinstance(dtype, torch.dtype):
        return dtype
    found = catalog.find_dtype(dtype)
    if found is None:
        help = told_of_dtype(dtype)
        span = Span.of(Origin("dtype", "dtype", f"dtype={dtype!r}"))
        raise SpecError(Diagnostic("NS206", f"there is no dtype `{dtype}`", span, help=help))
    return found


def hashable(value: object) -> object:
    """A plain value with tuples in the place of lists and mappings."""
    if isinstance(value, Mapping):
        return tuple(sorted((str(key), hashable(item)) for key, item in value.items()))
    if isinstance(value, (list, tuple)):
        return tuple(hashable(item) for item in value)
    return value
