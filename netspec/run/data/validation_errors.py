"""What pydantic has against the options of the data, in the words of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from netspec.errors import Diagnostic, Origin, Span, did_you_mean


def override_span(key: str, value: object) -> Span:
    """The place of an option, as it would be written on the command line."""
    return Span.of(Origin("override", f"data.{key}", f"data.{key}={_shown(value)}"))


def diagnose(
    error: ValidationError, settings: Mapping[str, object], model: type[BaseModel]
) -> list[Diagnostic]:
    """One NS605 for each option that pydantic names, in the order in which it does."""
    found: dict[str, Diagnostic] = {}
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        keys = _keys(item["loc"], settings)
        found.setdefault(".".join(keys), _diagnostic(item["type"], keys, settings, model))
    return list(found.values())


def _keys(location: tuple[str | int, ...], settings: Mapping[str, object]) -> tuple[str, ...]:
    """The option's own keys of pydantic's location, without what it adds for unions and lists."""
    keys: list[str] = []
    here: Any = settings
    for part in location:
        if not (isinstance(here, Mapping) and part in here):
            break
        here = here[part]
        keys.append(str(part))
    return tuple(keys) or (str(location[0]),)


def _diagnostic(
    kind: str, keys: tuple[str, ...], settings: Mapping[str, object], model: type[BaseModel]
) -> Diagnostic:
    owner = _owner(model, keys)
    value: Any = settings
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else value
    path = ".".join(keys)
    span = override_span(path, value)
    if kind == "extra_forbidden":
        known = list(owner.model_fields)
        within = ".".join(("data", *keys[:-1]))
        help = did_you_mean(keys[-1], known) or f"known here: {', '.join(known)}"
        return Diagnostic("NS605", f"unknown key `{keys[-1]}` in `{within}`", span, help=help)
    expected = owner.model_fields[keys[-1]].description if keys[-1] in owner.model_fields else None
    fact = f"`data.{path}` is `{_shown(value)}`, and {expected or 'another value'} is expected"
    return Diagnostic("NS605", fact, span)


def _owner(model: type[BaseModel], keys: tuple[str, ...]) -> type[BaseModel]:
    """The model that has the last of these keys, or would have it."""
    for key in keys[:-1]:
        field = model.model_fields.get(key)
        inner = getattr(field.annotation, "__args__", ()) if field else ()
        models = [a for a in inner if isinstance(a, type) and issubclass(a, BaseModel)]
        if not models:
            return model
        model = models[0]
    return model


def _shown(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{','.join(_shown(item) for item in value)}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{_shown(item)}' for key, item in value.items())}}}"
    return str(value)
