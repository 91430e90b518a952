"""The files that `check --fix` was given, mended one by one."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from netspec.analysis.analyse import analyse
from netspec.commands.check_specs import own_changes
from netspec.commands.find_specs import look_at
from netspec.commands.fix import (
    Edited,
    Find,
    Mending,
    NotWritten,
    Texts,
    diff_text,
    read_file,
    write,
)
from netspec.commands.spec_argument import Changes, read_changes
from netspec.commands.spec_files import STDIN
from netspec.display import visible
from netspec.errors import Diagnostic
from netspec.reporting.terminal import look_of


def fix_files(files: Sequence[str], options: Namespace) -> int:
    """Shows what is mended, and with --fix writes it; 2 where a file can't be, else 0.

    Raises SpecError for what was typed.
    """
    if STDIN in files:
        sys.stderr.write("standard input can't be mended; name a file\n")
        return 2
    specs = {file: look_at(file) for file in files}
    given = own_changes(specs, read_changes(options))
    mending, status = Mending({}), 0
    for spec in specs.values():
        if Path(spec.name).is_file():
            try:
                mending.files[os.path.realpath(spec.name)] = read_file(spec.name)
            except NotWritten as error:
                status = _refuse(spec.name, error)
    for file, spec in specs.items():
        if os.path.realpath(spec.name) in mending.files:
            mending.mend(_find(spec.name, given[file][0]))
    for edited in mending.files.values():
        if not edited.count:
            continue
        try:
            if options.fix:
                write(edited)
            _show(edited, options.fix)
        except NotWritten as error:
            status = _refuse(edited.name, error)
    return status


def _refuse(name: str, error: NotWritten) -> int:
    sys.stderr.write(f"`{visible(name)}` is not mended: {error}\n")
    return 2


def _find(file: str, changes: Changes) -> Find:
    own = os.path.realpath(file)

    def find(texts: Texts) -> Sequence[Diagnostic]:
        return analyse(
            texts[own], path=file, args=changes.args, act=changes.act, unsaved=texts,
            overrides=changes.overrides, plugins=changes.plugins,
        ).diagnostics  # fmt: skip

    return find


def _show(file: Edited, written: bool) -> None:
    sys.stdout.write(diff_text(file, look_of(sys.stdout)))
    if written:
        mistakes = "1 mistake" if file.count == 1 else f"{file.count} mistakes"
        sys.stdout.write(f"mended {mistakes} in {visible(file.name)}\n\n")
