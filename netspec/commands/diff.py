"""`netspec diff`: what differs between two networks, and a checkpoint of one for the other."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace

from netspec import find
from netspec.commands.output_file import refuses, write_result
from netspec.commands.spec_argument import Changes, analyse_given, read_changes
from netspec.commands.spec_files import STDIN
from netspec.comparison.compare import compare
from netspec.comparison.model import NetworkDiff
from netspec.comparison.report import comparison_json, comparison_text
from netspec.drawing.comparison import comparison_html
from netspec.errors import SpecError
from netspec.language.overrides import args_of
from netspec.reporting.terminal import look_of, print_error, tell

Carry = Callable[[NetworkDiff, str, str], int]  # a checkpoint of A, and the new file → the status


def diff_command(options: Namespace, carry: Carry | None) -> int:
    """Print what differs: 0 where nothing does, 1 where something does, 2 where a spec is wrong.

    With `carry` the checkpoint is carried in its place.
    """
    wrong = _wrong_usage(options)
    if wrong is not None:
        sys.stderr.write(f"{wrong}\n")
        return 2
    options.output = options.html
    if refuses(options):
        return 2
    try:
        changes = read_changes(options)
        a = analyse_given(options.a, _of_first(options.a, changes))
        b = analyse_given(options.b or options.a, changes)
    except SpecError as error:
        print_error(error)
        return 2
    if a.diagnostics or b.diagnostics:
        tell(dict.fromkeys((*a.diagnostics, *b.diagnostics)), sys.stderr)
        return 2
    found = compare(a, b)
    if carry is not None:
        return carry(found, options.checkpoint, options.out)
    return _tell(found, options)


def _wrong_usage(options: Namespace) -> str | None:
    changes = options.changes or options.arg or options.fn or options.act != "module"
    if options.b is None and not changes:
        return "name a second spec, or what is to be changed in this one: --set, --arg, --act, --fn"
    if options.a == options.b == STDIN:
        return "standard input is one spec; name a file for the other one"
    if options.b is None and options.a == STDIN:
        return "standard input can be read once; name a file"
    if (options.checkpoint is None) != (options.out is None):
        return "--checkpoint IN and --out OUT go together"
    if options.checkpoint is not None and (options.json or options.html):
        return "--checkpoint writes a file and tells what is in it; leave --json and --html out"
    return None


def _of_first(spec: str, changes: Changes) -> Changes:
    """What of all that was typed is of the first spec: args without a default, and plugins."""
    args = {} if spec == STDIN else args_of(find.text_of(spec))
    needed = {name for name, default in args.items() if default is None}
    given = {name: value for name, value in changes.args.items() if name in needed}
    return replace(changes, act="module", args=given, overrides=())


def _tell(found: NetworkDiff, options: Namespace) -> int:
    changed = options.b in (None, options.a)
    names = (options.a, f"{options.a}, changed" if changed else options.b)
    status = 0 if found.equal else 1
    if options.json:
        sys.stdout.write(f"{json.dumps(comparison_json(found, names), indent=2)}\n")
        return status
    if options.html is not None:
        return write_result(comparison_html(found, names), options) or status
    sys.stdout.write(comparison_text(found, names, look_of(sys.stdout)))
    return status
