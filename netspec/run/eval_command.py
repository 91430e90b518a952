"""`netspec eval`: from what was typed to an evaluation that is told and written."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from omegaconf import DictConfig

from netspec.errors import Diagnostic, Origin, RunError, Span, SpecError
from netspec.reporting.terminal import print_error
from netspec.run.command import run_command, typed_overrides
from netspec.run.lookup import look_up_evaluated
from netspec.run.overrides import parsed
from netspec.run.settings import read_eval_settings
from netspec.run.terminal import quiet, say

_OWN_CHANGE = re.compile(r"(?:data|act)\.[^=]+=.*", re.S)
_PATH = re.compile(r"(checkpoint|out|weights)=(.*)", re.S)
_BARE = re.compile(r"[\w./~:+-]+")  # what Hydra takes without quotes


def eval_command(arguments: Sequence[str]) -> int:
    """Evaluate a checkpoint, or a spec with weights; gives the exit status."""
    return run_command("eval", eval_job, [_quoted(text) for text in arguments], with_additions)


def _quoted(argument: str) -> str:
    """A path as Hydra takes it: one that has blanks, commas or `=` in quotes."""
    match = _PATH.fullmatch(argument)
    if match is None or _BARE.fullmatch(match[2]) or match[2][:1] in ("'", '"', ""):
        return argument
    escaped = match[2].replace("\\", "\\\\").replace('"', '\\"')
    return f'{match[1]}="{escaped}"'


def with_additions(overrides: Sequence[str], many: bool) -> list[str]:
    """The overrides, with keys of data and act as additions: they may change what the checkpoint
    has, which Hydra does not see."""
    if many:
        fact = "an evaluation is of one checkpoint: there is no sweep of them"
        help = "call it once for each, or compare the runs with `netspec report`"
        place = Span("-m", origin=Origin("option", "-m", "-m"))
        raise RunError(Diagnostic("NS702", fact, place, help=help))
    changes = [text for text in overrides if _OWN_CHANGE.fullmatch(text)]
    for text in changes:
        parsed(text)
    return [f"++{text}" if text in changes else text for text in overrides]


def eval_job(config: DictConfig) -> None:
    """The job that Hydra starts: evaluates, tells, and writes evaluation.json."""
    overrides = [text.removeprefix("++") for text in typed_overrides()]
    try:
        settings = read_eval_settings(config, overrides)
        look_up_evaluated(settings, overrides)
        from netspec.run.evaluate import evaluate, write  # seconds of imports

        quiet()
        found = evaluate(settings, overrides)
        say(f"{found}\n")
        folder = write(found, settings.out, overrides)
    except SpecError as error:
        print_error(error)
        sys.exit(1)
    say(f"folder  {folder}")
