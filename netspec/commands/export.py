"""`netspec export`: a spec's model as Python source."""

from __future__ import annotations

from argparse import Namespace

from netspec.commands.output_file import refuses, write_result
from netspec.commands.spec_argument import compile_given, read_changes
from netspec.compiled import source_of
from netspec.errors import SpecError
from netspec.reporting.terminal import print_error


def export_command(options: Namespace) -> int:
    """Write the source; gives the exit status."""
    if refuses(options):
        return 2
    try:
        changes = read_changes(options)
    except SpecError as error:
        print_error(error)
        return 2
    try:
        compiled = compile_given(options.spec, changes)
    except SpecError as error:
        print_error(error)
        return 1
    return write_result(source_of(compiled), options)
