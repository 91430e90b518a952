"""The spec of a run: which one, what the command line changes in it, and what it compiles to."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from netspec import find
from netspec.compiled import Compiled
from netspec.errors import Diagnostic, GiveArg, RunError, Span, SpecError
from netspec.language.load import Spec, load_spec, plain_source
from netspec.language.overrides import Override, apply_overrides, args_of
from netspec.language.validation_errors import unknown_arg
from netspec.language.variants import resolved
from netspec.pipeline import compile_spec
from netspec.run.overrides import DELETED, as_written, key_of, parsed
from netspec.run.settings import ActSettings
from netspec.source import Path, Plain, Source

_HEADER = re.compile(r"^\s*#\s*@")


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A spec by name or path, and the changes to it."""

    source: str
    overrides: tuple[Override, ...]


def read_choice(node: Mapping[str, Any], overrides: Sequence[str]) -> ModelChoice:
    """The composed group `model` → which spec, with which changes.

    The node holds the spec's name under `spec`, and every change of a configuration file (an
    experiment's) or of the command line as a tree. The command line comes last, in its order.
    """
    typed = [_typed(text, node) for text in overrides if key_of(text).startswith("model.")]
    paths = [change.path for change in typed]
    filed = [
        _override(path, value, f"model.{'.'.join(path)}={value}")
        for path, value in _leaves({k: v for k, v in node.items() if k != "spec"}, ())
        if not any(path[: len(own)] == own for own in paths)
    ]
    if not node.get("spec"):
        span = Span.whole("run's configuration", "model")
        raise RunError(Diagnostic("NS702", "no spec is named", span, help="model=…"))
    return ModelChoice(str(node["spec"]), (*filed, *typed))


def _typed(text: str, node: Mapping[str, Any]) -> Override:
    """An override as it was typed; what interpolates has its value in the node."""
    path = tuple(key_of(text).split(".")[1:])
    value: Any = parsed(text).value()
    if isinstance(value, str) and "${" in value:
        value = node
        for key in path:
            value = value[key]
    return _override(path, _plain(value), as_written(text))


def _override(path: tuple[str, ...], value: Plain, text: str) -> Override:
    return Override(path, value, value == DELETED, text)


def _plain(value: object) -> Plain:
    """What Hydra read, with plain strings in the place of its quoted ones."""
    if isinstance(value, dict):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    text = getattr(value, "text", value)
    assert text is None or isinstance(text, (bool, int, float, str)), "Hydra reads plain values"
    return text


def _leaves(
    tree: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Plain]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*path, str(key)))
        else:
            yield (*path, str(key)), value


def load_choice(choice: ModelChoice) -> Spec:
    """The changed spec, without what only Hydra could mean. Raises SpecError."""
    found, files = find.read(choice.source), find.files()
    refuse_hydra(found)
    source = resolved(found, files)
    refuse_hydra(plain_source(source))
    spec = load_spec(apply_overrides(source, choice.overrides), files)
    known = args_of(source)
    problems = [
        unknown_arg(spec.name, override.path[1], known, override.span)
        for override in choice.overrides
        if _is_new_arg(override, known)
    ]
    if problems:
        raise SpecError(problems)
    return spec


def _is_new_arg(override: Override, known: Collection[str]) -> bool:
    if len(override.path) < 2 or override.path[0] != "args" or override.delete:
        return False
    return override.path[1] not in known


def compile_choice(
    choice: ModelChoice, act: ActSettings, gives: Mapping[str, int] | None = None
) -> Compiled:
    """The model of a run; args that the spec leaves null are given by the data.

    Raises SpecError with every mistake, in the file or at the override.
    """
    try:
        return _compile(choice, act, gives or {})
    except SpecError as error:
        raise SpecError([_told(d, choice) for d in error.diagnostics]) from None


def _told(diagnostic: Diagnostic, choice: ModelChoice) -> Diagnostic:
    """A diagnostic of the compiler in the words of a run."""
    help = diagnostic.help
    if isinstance(help, GiveArg):
        return replace(diagnostic, help=help.by(f"give it: model.args.{help.name}=…"))
    return _with_line(diagnostic, choice)


def _with_line(diagnostic: Diagnostic, choice: ModelChoice) -> Diagnostic:
    """A diagnostic placed at an override also tells which line of the file that changes."""
    origin = diagnostic.span.origin
    for override in choice.overrides:
        if override.span.origin != origin or not override.path:
            continue
        source = find.text_of(choice.source)
        path, _ = _there(source.value, override.path)
        span = source.key_span_of(path)
        if not path or not span.line:
            return diagnostic
        shown = "".join(f".{key}" for key in path)[1:]
        note = f"`{shown}` stands at {span.file}:{span.line}"
        return replace(diagnostic, notes=(*diagnostic.notes, note))
    return diagnostic


def _there(value: Plain, wanted: Sequence[str]) -> tuple[Path, Plain]:
    """The longest beginning of a path that a spec's file has, and what stands there."""
    path: Path = ()
    for key in wanted:
        if isinstance(value, dict) and key in value:
            value, path = value[key], (*path, key)
        elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value, path = value[int(key)], (*path, int(key))
        else:
            break
    return path, value


def _compile(choice: ModelChoice, act: ActSettings, gives: Mapping[str, int]) -> Compiled:
    spec = load_choice(choice)
    args = {
        name: value
        for name, value in gives.items()
        if name in spec.document.args and spec.document.args[name] is None
    }
    compiled = compile_spec(choice.source, args, act.as_act(), choice.overrides)
    for kept in compiled.recipe.texts():
        refuse_hydra(kept.source())
    return compiled


def refuse_hydra(source: Source) -> None:
    """Raises SpecError (NS109) where a text says what only Hydra would heed.

    netspec gives none of it to Hydra: nothing would happen. But its writer meant something by it.
    """
    help = "a spec is read by netspec alone; the run's own settings stand in configs/run"
    problems = []
    for number, line in enumerate(source.text.splitlines(), 1):
        if _HEADER.match(line):
            shown = line.strip()
            start = line.index(shown)
            span = Span(source.file, number, start + 1, len(shown), line)
            problems.append(
                Diagnostic("NS109", f"`{shown}` is a header for Hydra", span, help=help)
            )
    for path, text in _strings(source.value, ()):
        if "${" in text:
            fact = f"`{text}` is an interpolation for Hydra"
            problems.append(Diagnostic("NS109", fact, source.span_of(path), help=help))
    if problems:
        raise SpecError(problems)


def _strings(value: Plain, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _strings(item, (*path, key))
            yield from _strings(str(key), (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strings(item, (*path, index))
