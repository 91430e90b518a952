"""`netspec show`: the summary of a spec's model, or its program."""

from __future__ import annotations

import json
import sys
import webbrowser
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from netspec import find
from netspec.checks.inplace.messages import decisions_json, decisions_text
from netspec.commands.output_file import refuses, write_result
from netspec.commands.spec_argument import Changes, analyse_given, compile_given, read_changes
from netspec.commands.spec_files import STDIN
from netspec.commands.watch import Watched, serve
from netspec.compiled import checked_sizes, notes_of
from netspec.display import visible
from netspec.drawing.graph import drawing_of
from netspec.drawing.mermaid import mermaid_text
from netspec.drawing.page import page_html
from netspec.drawing.svg import svg_text
from netspec.errors import SpecError
from netspec.ir.printer import program_text
from netspec.reporting.terminal import look_of, print_error, tell
from netspec.sizes.find import LayerSizes, Sizes
from netspec.sizes.report import sizes_json, sizes_text
from netspec.view.summary import Summary, summarize, summary_json
from netspec.view.table import summary_text
from netspec.view.terminal import terminal_text


def show_command(options: Namespace) -> int:
    """Print the table, JSON, or the program; gives the exit status."""
    if options.program and (options.size or options.depth):
        sys.stderr.write("--size and --depth are of the table; --program prints none\n")
        return 2
    written = options.html is not None or options.svg is not None
    if options.open and not (written or options.watch):
        sys.stderr.write("--open shows what --html, --svg or --watch make\n")
        return 2
    if options.watch and options.spec == STDIN:
        sys.stderr.write("standard input does not change; name a file\n")
        return 2
    draws = written or options.mermaid or options.watch
    if options.size and draws:
        sys.stderr.write("--size is of the table; a picture has none\n")
        return 2
    try:
        changes = read_changes(options)
    except SpecError as error:
        print_error(error)
        return 2
    if draws:
        return _draw(options, changes)
    try:
        compiled = compile_given(options.spec, changes)
        if options.program:
            sys.stdout.write(program_text(compiled.program))
            return 0
        sizes = checked_sizes(compiled)
        summary = summarize(compiled.program, compiled.built.empty(), dict(options.size))
    except SpecError as error:
        print_error(error)
        return 1
    shown = _folded(_with_formulas(summary, sizes), options.depth)
    if options.json:
        told = summary_json(shown) | {
            "in_place": decisions_json(compiled.decisions),
            "sizes": sizes_json(sizes),
        }
        sys.stdout.write(f"{json.dumps(told, indent=2)}\n")
        return 0
    look = look_of(sys.stdout)
    # What is piped into a file or another program is the whole table, always in the same form.
    text = summary_text(shown) if look.width is None else terminal_text(shown, look)
    sys.stdout.write(text)
    if compiled.decisions:
        sys.stdout.write(f"\n{decisions_text(compiled.decisions)}")
    for note in notes_of(compiled):
        sys.stdout.write(f"\nnote: {visible(note.text)}\n")
    if sizes.free:
        sys.stdout.write(f"\n{sizes_text(sizes)}")
    return 0


def _draw(options: Namespace, changes: Changes) -> int:
    """A picture: 0 of a spec that is right, 1 of one that is wrong."""
    options.output = options.html if options.svg is None else options.svg
    if refuses(options):
        return 2
    try:
        if options.watch:
            file = find.path_of(options.spec)
            return serve(Watched(lambda: analyse_given(file, changes), [Path(file)]), options.open)
        found = analyse_given(options.spec, changes)
    except SpecError as error:
        print_error(error)
        return 1
    if options.mermaid:
        text = mermaid_text(drawing_of(found), options.depth or 1)
    elif options.svg is not None:
        text = svg_text(drawing_of(found), options.depth or 1)
    else:
        text = page_html(found)
    status = write_result(text, options)
    if status == 0 and options.open:
        webbrowser.open(Path(options.output).resolve().as_uri())
    if status == 0 and found.diagnostics:
        tell(found.diagnostics, sys.stderr)
        return 1
    return status


def _with_formulas(summary: Summary, sizes: Sizes) -> Summary:
    """The summary with each output as a formula of the free sizes; `≈` where it was only tried."""
    left: dict[str, list[LayerSizes]] = {}
    for one in reversed(sizes.layers):
        left.setdefault(one.path, []).append(one)
    rows = []
    for row in summary.rows:
        layer = left[row.path].pop() if left.get(row.path) else None
        if layer is not None and layer.value is not None:
            text = sizes.text(layer.value)
            row = replace(row, output=f"≈ {text}" if layer.tried else text)
        rows.append(row)
    return replace(summary, rows=tuple(rows))


def _folded(summary: Summary, depth: int | None) -> Summary:
    """The summary with the rows of the outermost levels; their figures hold those below."""
    if depth is None:
        return summary
    return replace(summary, rows=tuple(row for row in summary.rows if row.depth < depth))
