"""`netspec verify`: all forms of a spec, compared bit by bit."""

from __future__ import annotations

import json
import sys
from argparse import Namespace

from netspec.commands.spec_argument import read_changes, with_given
from netspec.errors import SpecError
from netspec.proof.verify import verification_json, verification_text, verify
from netspec.reporting.terminal import print_error


def verify_command(options: Namespace) -> int:
    """Print the table, or JSON; gives 0 where all is equal, 1 where not, 2 for wrong usage."""
    try:
        changes = read_changes(options)
    except SpecError as error:
        print_error(error)
        return 2
    try:
        found = with_given(
            options.spec,
            changes,
            lambda source: verify(
                source, args=changes.args, fn=options.fn, overrides=changes.overrides,
                seed=options.seed, plugins=changes.plugins,
            ),
        )  # fmt: skip
    except SpecError as error:
        print_error(error)
        return 1
    if options.json:
        sys.stdout.write(f"{json.dumps(verification_json(found), indent=2)}\n")
    else:
        sys.stdout.write(verification_text(found))
    return 0 if found.equal else 1
