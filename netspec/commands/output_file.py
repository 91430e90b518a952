"""What a command makes, on stdout or in a file that is not overwritten by accident."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from netspec.display import visible


def refuses(options: Namespace) -> bool:
    """Whether the file that was named is there, and may not be overwritten; says so on stderr."""
    if options.output is None or options.force or not Path(options.output).exists():
        return False
    sys.stderr.write(f"`{visible(options.output)}` is there already; --force overwrites it\n")
    return True


def write_result(text: str, options: Namespace) -> int:
    """Write the text where the options say; gives the exit status."""
    if options.output is None:
        sys.stdout.write(text)
        return 0
    if refuses(options):
        return 2
    name, mode = visible(options.output), "w" if options.force else "x"
    try:
        with open(options.output, mode, encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        reason = (error.strerror or "no reason given").lower()
        sys.stderr.write(f"`{name}` cannot be written: {reason}\n")
        return 2
    sys.stdout.write(f"wrote {name}\n")
    return 0
