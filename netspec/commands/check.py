"""`netspec check`: all that is wrong with specs, for people, editors and code scanning.

Where all answers are kept on disk, torch is never imported.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence
from dataclasses import replace

from netspec.commands.answer_cache import Answer, AnswerCache, open_cache
from netspec.commands.spec_files import spec_files
from netspec.display import visible
from netspec.errors import Diagnostic, Note, SpecError
from netspec.reporting.data import Found, json_of
from netspec.reporting.terminal import print_error, tell


def check_command(options: Namespace) -> int:
    """Check and tell; gives the exit status. With --fix, what is certain is mended first."""
    files, status = spec_files(options.specs), 0
    try:
        if options.fix or options.diff:
            from netspec.commands.fix_files import fix_files

            status = fix_files(files, options)
        answers = _answers(files, options, open_cache(options))
    except SpecError as error:
        print_error(error)
        return 2
    found = _once(Found(each.name, diagnostic) for each in answers for diagnostic in each.found)
    notes = list(dict.fromkeys(note for each in answers for note in each.notes))
    if options.diff:
        return status or (1 if found else 0)
    if options.json:
        _write_json(json_of(found, notes))
    elif options.sarif:
        from netspec.reporting.pages import read_pages
        from netspec.reporting.sarif import sarif_of

        _write_json(sarif_of(found, read_pages(), notes))
    else:
        _tell_people([each.name for each in answers], found, notes)
    return status or (1 if found else 0)


def _answers(
    files: Sequence[str], options: Namespace, cache: AnswerCache | None
) -> Sequence[Answer]:
    """An answer for each file, of a file that was named in two ways one.

    Raises SpecError where what was typed is wrong.
    """
    kept = {file: cache.find(file) for file in files} if cache is not None else {}
    answers = {file: answer for file, answer in kept.items() if answer is not None}
    left = [file for file in files if file not in answers]
    if left:
        from netspec.commands.check_specs import check_specs

        answers |= check_specs(left, options, cache)
    once: dict[str, Answer] = {}
    for file in files:
        once.setdefault(answers[file].name, answers[file])
    return list(once.values())


def _once(found: Iterable[Found]) -> list[Found]:
    """A mistake in a file that several specs include is told once."""
    return list({(one.place, one.diagnostic): one for one in found}.values())


def _write_json(value: object) -> None:
    sys.stdout.write(f"{json.dumps(value, indent=2)}\n")


def _tell_people(specs: Sequence[str], found: Sequence[Found], notes: Sequence[Note]) -> None:
    tell([_with_file(one, specs) for one in found], sys.stdout)
    if found:
        sys.stdout.write("\n")
    for note in notes:
        sys.stdout.write(f"note: {visible(note.text)}\n")
    sys.stdout.write(f"{_verdict(specs, found)}\n")


def _with_file(found: Found, specs: Sequence[str]) -> Diagnostic:
    """The diagnostic; of several specs, it names the one in which an override is wrong."""
    diagnostic = found.diagnostic
    if diagnostic.span.line or diagnostic.span.file == found.file or len(specs) < 2:
        return diagnostic
    return replace(diagnostic, notes=(*diagnostic.notes, f"in `{found.file}`"))


def _verdict(specs: Sequence[str], found: Sequence[Found]) -> str:
    """`lenet.yaml: fine`, `lenet.yaml: 2 errors`, `3 specs: 2 errors in 1 of them`."""
    subject = visible(specs[0]) if len(specs) == 1 else f"{len(specs)} specs"
    if not found:
        return f"{subject}: fine"
    count = "1 error" if len(found) == 1 else f"{len(found)} errors"
    wrong = len({one.file for one in found})
    return f"{subject}: {count}" + (f" in {wrong} of them" if len(specs) > 1 else "")
