"""The command `netspec`."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from io import TextIOWrapper

from netspec import __version__
from netspec.commands import parsers

_USAGE = """\
netspec: PyTorch models from YAML specs

  netspec check SPEC…                 all that is wrong with specs; --json and --sarif for programs
  netspec show SPEC                   shapes, parameters, FLOPs and bytes, layer by layer
  netspec diff A B                    what differs between two networks; checkpoints for the other
  netspec verify SPEC                 all forms of a model, proved equal bit by bit
  netspec export SPEC [-o FILE]       the model as Python source
  netspec explain [CODE]              what an error code means, and its mend
  netspec schema [-o FILE]            a JSON Schema of the language, for editors
  netspec list [FILTER]               the specs that have a name, plugins and their layers
  netspec new NAME [--from SPEC]      a spec to begin with, and a test of it
  netspec lsp                         a language server: shapes, errors, names while one types

  netspec train [KEY=VALUE …]         train and test a model; -m sweeps, --help tells the keys
  netspec eval checkpoint=PATH [KEY=VALUE …]   a checkpoint's metrics, confusion and classes
  netspec predict CHECKPOINT PATH…    the classes of images
  netspec sample CHECKPOINT           a text that a language model writes
  netspec report FOLDER               a table and a page of all runs below a folder

  netspec COMMAND --help              the options of a command
  netspec --version
"""
_COMMANDS = (
    "check", "show", "diff", "verify", "export", "explain", "schema", "list", "new", "lsp",
    "train", "eval", "predict", "sample", "report",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a character that its encoding lacks ends nothing
            stream.reconfigure(errors="backslashreplace")
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
    if command == "--version":
        print(f"netspec {__version__}")
        return 0
    if command not in _COMMANDS:
        return _unknown(command)
    if command in ("train", "eval", "predict", "sample", "report"):
        return _run_of_runs(command, given[1:])
    return _run_of_specs(command, given[1:])


def _run_of_specs(command: str, given: list[str]) -> int:
    """A command about specs. What is typed is parsed before torch is imported."""
    if command == "check":
        options = parsers.check_parser().parse_args(given)
        from netspec.commands.check import check_command
        from netspec.commands.typed_limits import with_limits

        return with_limits(options, check_command)
    if command == "show":
        options = parsers.show_parser().parse_args(given)
        from netspec.commands.show import show_command
        from netspec.commands.typed_limits import with_limits

        return with_limits(options, show_command)
    if command == "diff":
        options = parsers.diff_parser().parse_args(given)
        from netspec.commands.typed_limits import with_limits

        return with_limits(options, _diff)
    if command == "verify":
        options = parsers.verify_parser().parse_args(given)
        from netspec.commands.typed_limits import with_limits
        from netspec.commands.verify import verify_command

        return with_limits(options, verify_command)
    if command == "export":
        options = parsers.export_parser().parse_args(given)
        from netspec.commands.export import export_command
        from netspec.commands.typed_limits import with_limits

        return with_limits(options, export_command)
    if command == "explain":
        options = parsers.explain_parser().parse_args(given)
        from netspec.commands.explain import explain_command

        return explain_command(options)
    if command == "list":
        options = parsers.list_parser().parse_args(given)
        from netspec.commands.listing import list_command

        return list_command(options)
    if command == "new":
        options = parsers.new_parser().parse_args(given)
        from netspec.commands.new import new_command

        return new_command(options)
    if command == "lsp":
        options = parsers.lsp_parser().parse_args(given)
        from netspec.commands.lsp import lsp_command

        return lsp_command(options)
    options = parsers.schema_parser().parse_args(given)
    from netspec.commands.schema import schema_command

    return schema_command(options)


def _diff(options: Namespace) -> int:
    from netspec.commands.diff import diff_command

    if options.checkpoint is None:
        return diff_command(options, None)
    from netspec.run.carry import carry_checkpoint

    return diff_command(options, carry_checkpoint)


_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def _run_of_runs(command: str, given: list[str]) -> int:
    # Threads that wait by spinning, OpenMP's default, take the processors from each other wherever
    # there are other processes: epochs 10 to 25 times as long. It is read when torch is loaded.
    if not any(name in os.environ for name in _WAITING):
        os.environ["OMP_WAIT_POLICY"] = "passive"
    if command == "train":
        from netspec.run.train_command import train_command

        return train_command(given)
    if command == "eval":
        from netspec.run.eval_command import eval_command

        return eval_command(given)
    if command == "predict":
        from netspec.run.predict import predict_command

        return predict_command(given)
    if command == "sample":
        from netspec.run.sample import sample_command

        return sample_command(given)
    from netspec.run.train_command import report_command

    return report_command(given)


def _unknown(command: str) -> int:
    from netspec.display import visible
    from netspec.errors import did_you_mean

    near = did_you_mean(command, _COMMANDS)
    offer = f"; {near}" if near else f"\n\n{_USAGE.rstrip()}"
    sys.stderr.write(f"there is no command `{visible(command)}`{offer}\n")
    return 2
