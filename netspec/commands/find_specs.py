"""What is known of a file before it is checked: whether it is a spec, or blocks, and its args."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from netspec import find
from netspec.commands.spec_argument import name_of
from netspec.commands.spec_files import STDIN
from netspec.errors import Diagnostic, Span, SpecError
from netspec.language.load import load_spec, plain_source
from netspec.language.overrides import args_of
from netspec.source import Source, from_mapping

_OWN_KEYS = ("layers", "inputs")  # a file of blocks, which others include, has neither


@dataclass(frozen=True, slots=True)
class Checked:
    """A file to check: as it was given, as messages call it, its args, and what is known already.

    `alone`: it is a whole spec. Otherwise `problems` is all that there is to say.
    """

    given: str
    name: str
    args: tuple[str, ...] = ()
    left: tuple[str, ...] = ()  # args that have to be given
    alone: bool = True
    problems: tuple[Diagnostic, ...] = ()


def given_args(
    specs: Sequence[Checked], args: Mapping[str, object]
) -> dict[str, dict[str, object]]:
    """For each file the args that were typed; an arg that some have is not given to the others."""
    known = {name for spec in specs for name in spec.args}
    return {
        spec.name: {key: args[key] for key in args if key in spec.args or key not in known}
        for spec in specs
    }


def _empty(folder: str) -> Checked:
    fact = f"there is no spec below the folder `{folder}`"
    help = "a spec is a .yaml or .yml file with `netspec: 1` at its left edge"
    diagnostic = Diagnostic("NS105", fact, Span(folder), help=help)
    return Checked(folder, folder, alone=False, problems=(diagnostic,))


def look_at(file: str) -> Checked:
    """A file as it was named, or a folder that has no spec below it."""
    name = name_of(file)
    if file == STDIN:
        return Checked(file, name)
    if Path(file).is_dir():
        return _empty(file)
    try:
        text = find.text_of(file)
    except SpecError as error:
        return Checked(file, name, alone=False, problems=error.diagnostics)
    value = text.value
    if isinstance(value, dict) and "blocks" in value and not any(k in value for k in _OWN_KEYS):
        return Checked(file, name, alone=False, problems=_problems_of_blocks(plain_source(text)))
    args = args_of(text)
    return Checked(file, name, tuple(args), tuple(n for n, value in args.items() if value is None))


def _problems_of_blocks(source: Source) -> tuple[Diagnostic, ...]:
    """What is wrong with a file of blocks as it stands: a spec that includes it is read."""
    assert source.path is not None, "it was read from a file"
    host = from_mapping(
        {"netspec": 1, "inputs": {"x": ["N"]}, "layers": ["=x"], "include": source.path.name}
    )
    try:
        load_spec(replace(host, path=source.path.with_name("host")), find.files())
    except SpecError as error:
        return error.diagnostics
    return ()
