"""The spec that a command was given, with what was typed to change it."""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from netspec import find
from netspec.analysis.analyse import Analysis, analyse
from netspec.commands.spec_files import STDIN
from netspec.compiled import Compiled
from netspec.errors import Diagnostic, GiveArg, Origin, Span, SpecError
from netspec.language.overrides import Override, parse_overrides
from netspec.pipeline import compile_spec
from netspec.plugins import enabled, load
from netspec.request import Act, read_activation
from netspec.source import Source, read_text

T = TypeVar("T")
STDIN_NAME = "<stdin>"


@dataclass(frozen=True, slots=True)
class Changes:
    """The form of activations, the args and the overrides of one call, and how args were typed."""

    act: Act
    args: Mapping[str, object]
    overrides: tuple[Override, ...]
    typed: Mapping[str, str]
    plugins: tuple[str, ...] = ()


def read_changes(options: Namespace) -> Changes:
    """What was typed behind --act, --arg and --set. Raises SpecError where it is none of that."""
    problems = _unloaded(options.plugin)
    act: Act = options.act if options.fn is None else {"form": options.act, "fn": options.fn}
    try:
        with enabled(() if problems else options.plugin):
            read_activation(act)
    except SpecError as error:
        fn = "" if options.fn is None else f" --fn {options.fn}"
        span = Span.of(Origin("option", "--act", f"--act {options.act}{fn}"))
        problems += [replace(found, span=span) for found in error.diagnostics]
    args = _parsed(options.arg, "--arg", problems)
    overrides = _parsed(options.changes, "--set", problems)
    if problems:
        raise SpecError(problems)
    values = {".".join(arg.path): arg.value for arg in args}
    typed = {".".join(arg.path): arg.text for arg in args}
    return Changes(act, values, tuple(overrides), typed, tuple(options.plugin))


def _unloaded(plugins: Iterable[str]) -> list[Diagnostic]:
    problems: list[Diagnostic] = []
    for plugin in plugins:
        try:
            load([plugin])
        except SpecError as error:
            span = Span.of(Origin("option", "--plugin", f"--plugin {plugin}"))
            problems += [replace(problem, span=span) for problem in error.diagnostics]
    return problems


def _parsed(texts: Iterable[str], option: str, problems: list[Diagnostic]) -> list[Override]:
    found: list[Override] = []
    for text in texts:
        try:
            found += parse_overrides([text])
        except SpecError as error:
            span = Span.of(Origin("option", option, f"{option} {text}"))
            problems += [replace(problem, span=span) for problem in error.diagnostics]
    return found


def compile_given(file: str, changes: Changes) -> Compiled:
    """The model of a path, a name, or `-`. Raises SpecError in the words of the command line."""
    return with_given(
        file,
        changes,
        lambda s: compile_spec(
            s, changes.args, changes.act, changes.overrides, plugins=changes.plugins
        ),
    )


def analyse_given(file: str, changes: Changes) -> Analysis:
    """The analysis of a path, a name, or `-`. Raises SpecError for what was typed."""
    return with_given(
        file,
        changes,
        lambda s: analyse(
            s, args=changes.args, act=changes.act, overrides=changes.overrides,
            plugins=changes.plugins,
        ),
    )  # fmt: skip


def with_given(file: str, changes: Changes, use: Callable[[str | Source], T]) -> T:
    """What comes of a path, a name, or `-`. Raises SpecError in the words of the command line."""
    try:
        return use(read_text(_standard_input(), STDIN_NAME) if file == STDIN else file)
    except SpecError as error:
        raise SpecError([_as_typed(found, changes) for found in error.diagnostics]) from None


def _standard_input() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        fact = f"the text is not UTF-8: byte 0x{error.object[error.start]:02X} begins no character"
        raise SpecError(Diagnostic("NS105", fact, Span(STDIN_NAME))) from None


def _as_typed(diagnostic: Diagnostic, changes: Changes) -> Diagnostic:
    """A diagnostic that speaks of the options that were typed, not of Python's arguments."""
    span = diagnostic.span
    if span.origin is not None and span.origin.kind == "arg" and span.origin.name in changes.typed:
        typed = changes.typed[span.origin.name]
        span = Span.of(Origin("option", "--arg", f"--arg {typed}"))
    help = diagnostic.help
    if isinstance(help, GiveArg):
        help = help.by(f"give --arg {help.name}=…")
    notes = (*diagnostic.notes, *_given_in(span, changes))
    return replace(diagnostic, span=span, notes=notes, help=help)


def _given_in(span: Span, changes: Changes) -> list[str]:
    """A note for each typed arg that stands in what is marked: its value may be what is wrong."""
    marked = span.text[span.column - 1 : span.column - 1 + span.width]
    words = re.findall(r"\w+", marked)
    return [f"given: --arg {text}" for name, text in changes.typed.items() if name in words]


def name_of(file: str) -> str:
    """What messages call a spec: its path, also of one that was given by name."""
    if file == STDIN:
        return STDIN_NAME
    try:
        return find.path_of(file)
    except SpecError:
        return file
