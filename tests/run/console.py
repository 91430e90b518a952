"""Commands and what they say, as one text: `$ python train.py …`, then its whole output.

They run in this process, in the folder that is current; the output is stdout and stderr together.
"""

from __future__ import annotations

import contextlib
import io
import shlex
import sys
from collections.abc import Iterator, Sequence

from netspec.cli import main

PROMPT = "$ "
_COMMANDS = {
    ("python", "train.py"): ["train"],
    ("python", "eval.py"): ["eval"],
}


def commands_of(text: str) -> list[str]:
    """The commands of such a text, in their order."""
    return [line.removeprefix(PROMPT) for line in text.splitlines() if line.startswith(PROMPT)]


def played(text: str) -> tuple[str, list[int]]:
    """The same text with what its commands say now, and the status of each."""
    shown, statuses = "", []
    for command in commands_of(text):
        said, status = run(command)
        shown += f"{PROMPT}{command}\n{said}"
        statuses.append(status)
    return shown, statuses


def run(command: str) -> tuple[str, int]:
    """What a command says, and its exit status."""
    with saying() as said:
        status = main(arguments_of(command))
    return said.getvalue(), status


def arguments_of(command: str) -> list[str]:
    """A command line → the arguments of `netspec`."""
    words = shlex.split(command)
    if words[0] == "netspec":
        return words[1:]
    assert tuple(words[:2]) in _COMMANDS, f"`{command}` is none of netspec's commands"
    return [*_COMMANDS[words[0], words[1]], *words[2:]]


@contextlib.contextmanager
def saying() -> Iterator[io.StringIO]:
    """Gathers what is written to stdout and stderr, as one text."""
    said = io.StringIO()
    before: Sequence[object] = (sys.stdout, sys.stderr)
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        yield said
    assert (sys.stdout, sys.stderr) == tuple(before), "they are given back"
