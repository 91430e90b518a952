"""`netspec check`: all that is wrong with specs, for people, editors and code scanning."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence
from dataclasses import replace

from netspec.commands.find_specs import Checked, collect, given_args
from netspec.commands.spec_argument import Changes, compile_given, read_changes
from netspec.display import visible
from netspec.errors import Diagnostic, SpecError
from netspec.pipeline import gradient_notes
from netspec.reporting.data import Found, json_of, sarif_of
from netspec.reporting.pages import read_pages
from netspec.reporting.terminal import print_error, tell


def check_command(options: Namespace) -> int:
    """Check and tell; gives the exit status."""
    try:
        changes = read_changes(options)
    except SpecError as error:
        print_error(error)
        return 2
    specs = collect(options.specs)
    args = given_args(specs, changes.args)
    found: list[Found] = []
    notes: list[str] = []
    for spec in specs:
        found += _check(spec, replace(changes, args=args[spec.name]), notes)
    found = _once(found)
    if options.json:
        _write_json(json_of(found))
    elif options.sarif:
        _write_json(sarif_of(found, read_pages()))
    else:
        _tell_people(specs, found, notes)
    return 1 if found else 0


def _check(spec: Checked, changes: Changes, notes: list[str]) -> list[Found]:
    """What is wrong with a spec; what is worth a note beside is put to the others."""
    try:
        if spec.alone:
            notes += gradient_notes(compile_given(spec.given, changes))
    except SpecError as error:
        return [Found(spec.name, diagnostic) for diagnostic in error.diagnostics]
    return [Found(spec.name, diagnostic) for diagnostic in spec.problems]


def _once(found: Iterable[Found]) -> list[Found]:
    """A mistake in a file that several specs include is told once."""
    return list({(one.place, one.diagnostic): one for one in found}.values())


def _write_json(value: object) -> None:
    sys.stdout.write(f"{json.dumps(value, indent=2)}\n")


def _tell_people(specs: Sequence[Checked], found: Sequence[Found], notes: Sequence[str]) -> None:
    tell([_with_file(one, specs) for one in found], sys.stdout)
    if found:
        sys.stdout.write("\n")
    for note in dict.fromkeys(notes):
        sys.stdout.write(f"note: {visible(note)}\n")
    sys.stdout.write(f"{_verdict(specs, found)}\n")


def _with_file(found: Found, specs: Sequence[Checked]) -> Diagnostic:
    """The diagnostic; of several specs, it names the one in which an override is wrong."""
    diagnostic = found.diagnostic
    if diagnostic.span.line or diagnostic.span.file == found.file or len(specs) < 2:
        return diagnostic
    return replace(diagnostic, notes=(*diagnostic.notes, f"in `{found.file}`"))


def _verdict(specs: Sequence[Checked], found: Sequence[Found]) -> str:
    """`lenet.yaml: fine`, `lenet.yaml: 2 errors`, `3 specs: 2 errors in 1 of them`."""
    subject = visible(specs[0].name) if len(specs) == 1 else f"{len(specs)} specs"
    if not found:
        return f"{subject}: fine"
    count = "1 error" if len(found) == 1 else f"{len(found)} errors"
    wrong = len({one.file for one in found})
    return f"{subject}: {count}" + (f" in {wrong} of them" if len(specs) > 1 else "")
