"""`netspec show`: the summary of a spec's model, or its program."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import replace

from netspec.checks.inplace.messages import decisions_json, decisions_text
from netspec.commands.spec_argument import compile_given, read_changes
from netspec.compiled import notes_of
from netspec.display import visible
from netspec.errors import SpecError
from netspec.ir.printer import program_text
from netspec.reporting.terminal import look_of, print_error
from netspec.view.summary import Summary, summarize, summary_json
from netspec.view.table import summary_text


def show_command(options: Namespace) -> int:
    """Print the table, JSON, or the program; gives the exit status."""
    if options.program and (options.size or options.depth):
        sys.stderr.write("--size and --depth are of the table; --program prints none\n")
        return 2
    try:
        changes = read_changes(options)
    except SpecError as error:
        print_error(error)
        return 2
    try:
        compiled = compile_given(options.spec, changes)
        if options.program:
            sys.stdout.write(program_text(compiled.program))
            return 0
        summary = summarize(compiled.program, compiled.built.empty(), dict(options.size))
    except SpecError as error:
        print_error(error)
        return 1
    shown = _folded(summary, options.depth)
    if options.json:
        told = summary_json(shown) | {"in_place": decisions_json(compiled.decisions)}
        sys.stdout.write(f"{json.dumps(told, indent=2)}\n")
        return 0
    sys.stdout.write(summary_text(shown, look_of(sys.stdout).width))
    if compiled.decisions:
        sys.stdout.write(f"\n{decisions_text(compiled.decisions)}")
    for note in notes_of(compiled):
        sys.stdout.write(f"\nnote: {visible(note.text)}\n")
    return 0


def _folded(summary: Summary, depth: int | None) -> Summary:
    """The summary with the rows of the outermost levels; their figures hold those below."""
    if depth is None:
        return summary
    return replace(summary, rows=tuple(row for row in summary.rows if row.depth < depth))
