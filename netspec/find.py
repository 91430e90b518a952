"""Sources by path or by name: where specs have names, and what a user may call them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from netspec import file_trace
from netspec.errors import Diagnostic, Help, Span, SpecError, nearest
from netspec.language.files import Files
from netspec.language.overrides import Text
from netspec.language.variants import resolved
from netspec.source import Source, from_mapping, read_source

_NAMED = 8  # specs that a message names


def model_folders() -> tuple[Path, ...]:
    """Where specs have names: `configs/model` here, in the installed package, in the checkout.

    And below each of them in `zoo`: the well-known architectures.
    """
    package = Path(__file__).resolve().parent
    folders = (Path("configs/model"), package / "configs/model", package.parent / "configs/model")
    all_of_them = [each for folder in folders for each in (folder, folder / "zoo")]
    return tuple(folder for folder in all_of_them if file_trace.is_folder(folder))


def files() -> Files:
    """What opens the files that specs name."""
    return Files(model_folders())


def read(source: str | os.PathLike[str] | Mapping[str, object]) -> Source:
    """A path, a name or a mapping → its Source. Raises SpecError."""
    if isinstance(source, Mapping):
        return from_mapping(source)
    return read_source(path_of(source))


def text_of(source: str | os.PathLike[str]) -> Text:
    """The text that a path or a name stands for: for a variant, the other spec's with its args.

    Raises SpecError.
    """
    return resolved(read(source), files())


def path_of(source: str | os.PathLike[str]) -> str:
    """A path as it is given; a bare name is looked up among the named specs."""
    name = os.fspath(source)
    if Path(name).suffix or os.sep in name or "/" in name or file_trace.is_file(name):
        return name
    for folder in model_folders():
        if file_trace.is_file(folder / f"{name}.yaml"):  # False for what can't be a name, too
            return str(folder / f"{name}.yaml")
    raise SpecError(Diagnostic("NS105", f"there is no spec `{name}`", Span(name), help=_near(name)))


def _near(name: str) -> str:
    """What may have been meant: files of this folder first, then names; else the first names."""
    here = {Path(each).stem: each for each in file_trace.names_in(".") if _is_yaml(each)}
    files = [here[stem] for stem in ([name] if name in here else nearest(name, list(here)))]
    names = spec_names()
    near = [*files, *nearest(name, names)]
    if near:
        return Help(f"did you mean {' or '.join(f'`{each}`' for each in near)}?", name, *near)
    more = len(names) - _NAMED
    rest = f" and {more} more; `netspec list` tells all" if more > 0 else ""
    return f"there are {', '.join(names[:_NAMED])}{rest}"


def _is_yaml(name: str) -> bool:
    return name.endswith((".yaml", ".yml"))


def spec_names() -> list[str]:
    """The names of all named specs."""
    files = [Path(name) for folder in model_folders() for name in file_trace.names_in(folder)]
    return list(dict.fromkeys(file.stem for file in files if file.suffix == ".yaml"))
