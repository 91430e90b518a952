"""The command `netspec`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

_USAGE = """\
netspec: PyTorch models from YAML specs

  netspec train [KEY=VALUE …]         train and test a model; -m sweeps, --help tells the keys
  netspec eval checkpoint=PATH [KEY=VALUE …]   a checkpoint's metrics, confusion and classes
  netspec predict CHECKPOINT PATH…    the classes of images
  netspec sample CHECKPOINT           a text that a language model writes
  netspec report FOLDER               a table and a page of all runs below a folder
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit status."""
    try:
        return _run(list(sys.argv[1:] if arguments is None else arguments))
    except BrokenPipeError:  # what reads our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _run(given: list[str]) -> int:
    command = given[0] if given else "--help"
    if command in ("-h", "--help", "help"):
        print(_USAGE, end="")
        return 0
    if command == "train":
        from netspec.run.main import train_command

        return train_command(given[1:])
    if command == "eval":
        from netspec.run.evaluate import eval_command

        return eval_command(given[1:])
    if command == "predict":
        from netspec.run.predict import predict_command

        return predict_command(given[1:])
    if command == "sample":
        from netspec.run.sample import sample_command

        return sample_command(given[1:])
    if command == "report":
        from netspec.run.main import report_command

        return report_command(given[1:])
    sys.stderr.write(f"there is no command `{command}`\n\n{_USAGE}")
    return 2
