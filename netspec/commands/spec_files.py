"""The files that `check` was given: those that were named, and all specs below a folder.

Nothing here imports torch, nor reads YAML.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from netspec.limits import Limits
from netspec.spec_text import says_it_is_a_spec

STDIN = "-"


def spec_files(given: Iterable[str]) -> list[str]:
    """What was named, each once; a folder stands for itself only where no spec is below it."""
    found: dict[str, None] = {}
    for file in given:
        inside = sorted(_below(file)) if file != STDIN and Path(file).is_dir() else []
        found |= dict.fromkeys(inside or [file])
    return list(found)


def _below(folder: str) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = os.path.join(place, name)
            if name.endswith((".yaml", ".yml")) and _is_ours(Path(path)):
                yield path


def _is_ours(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return says_it_is_a_spec(file.read(Limits().text).decode(errors="replace"))
    except OSError:
        return True  # checking it tells why it can't be read
