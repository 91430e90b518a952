"""The answers of `check` that no disk has."""

from __future__ import annotations

import os
import sys
import sysconfig
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from netspec import file_trace
from netspec.commands.answer_cache import Answer, AnswerCache
from netspec.commands.find_specs import Checked, given_args, look_at
from netspec.commands.spec_argument import Changes, compile_given, read_changes
from netspec.compiled import check_dtype, check_stated, notes_of
from netspec.errors import Origin, Span, SpecError
from netspec.file_trace import Trace, traced
from netspec.limits import current
from netspec.request import read_dtype

# What a run's data gives where a spec leaves it null, and with what such a spec is checked.
GIVEN_BY_DATA = {
    "num_classes": 10, "in_channels": 3, "image_size": 224, "image_height": 224, "image_width": 224,
    "num_features": 16, "vocab_size": 100, "context": 16,
}  # fmt: skip
_PACKAGE = str(Path(__file__).resolve().parent.parent)


def check_specs(
    files: Sequence[str], options: Namespace, cache: AnswerCache | None
) -> dict[str, Answer]:
    """What is wrong with each file; the cache keeps it. Raises SpecError for what was typed."""
    with traced() as typed:
        changes = read_changes(options)
        dtype = _read_dtype(options.dtype)
    looks: dict[str, tuple[Checked, Trace]] = {}
    for file in files:
        with traced() as looked:
            looks[file] = look_at(file), looked
    given = own_changes({file: spec for file, (spec, _) in looks.items()}, changes)
    answers: dict[str, Answer] = {}
    for file, (spec, looked) in looks.items():
        with traced() as trace:
            file_trace.add(typed)
            file_trace.add(looked)
            own, taken = given[file]
            answers[file] = _with_taken(_check(spec, own, dtype), taken)
            told = not options.plugin or _read_modules()
        if cache is not None and told:
            cache.keep(file, answers[file], trace)
    if cache is not None:
        cache.prune()
    return answers


def own_changes(
    specs: Mapping[str, Checked], changes: Changes
) -> dict[str, tuple[Changes, Mapping[str, object]]]:
    """For each file its own part of what was typed, and args that a run's data would give."""
    args = given_args(list(specs.values()), changes.args)
    found: dict[str, tuple[Changes, Mapping[str, object]]] = {}
    for file, spec in specs.items():
        given = args[spec.name]
        taken = {
            name: GIVEN_BY_DATA[name] for name in spec.left if name in GIVEN_BY_DATA.keys() - given
        }
        found[file] = replace(changes, args={**given, **taken}), taken
    return found


def _read_dtype(name: str | None) -> torch.dtype | None:
    try:
        return None if name is None else read_dtype(name)
    except SpecError as error:
        span = Span.of(Origin("option", "--dtype", f"--dtype {name}"))
        raise SpecError([replace(found, span=span) for found in error.diagnostics]) from None


def _check(spec: Checked, changes: Changes, dtype: torch.dtype | None) -> Answer:
    if not spec.alone:
        return Answer(spec.name, spec.problems)
    try:
        compiled = compile_given(spec.given, changes)
        check_dtype(compiled, dtype)
        check_stated(compiled)
        return Answer(spec.name, notes=notes_of(compiled))
    except SpecError as error:
        return Answer(spec.name, error.diagnostics)


def _with_taken(answer: Answer, taken: Mapping[str, object]) -> Answer:
    """An answer whose mistakes tell with which args of the data they were found."""
    if not taken:
        return answer
    shown = ", ".join(f"{name}={value}" for name, value in taken.items())
    note = f"checked with {shown}, which a run's data gives; --arg checks others"
    problems = tuple(replace(found, notes=(*found.notes, note)) for found in answer.found)
    return replace(answer, found=problems)


def _read_modules() -> bool:
    """Puts the files of plugins, and of what they import beside installed packages, to the trace.

    Packages are known by their versions. False where a file can't be told from another one.
    """
    try:
        return all(len(file_trace.read_bytes(file)) <= current().text for file in _module_files())
    except (OSError, ValueError):
        return False


def _module_files() -> list[str]:
    paths = sysconfig.get_paths()
    folders = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    known = tuple(os.path.join(folder, "") for folder in (*folders, _PACKAGE))
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    # torch's own namespaces of operators have `_ops.py`, which is no path.
    return [file for file in files if file and os.path.isabs(file) and not file.startswith(known)]
