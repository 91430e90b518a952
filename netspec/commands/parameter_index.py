"""How many parameters named specs have: told by an index where it is true, else counted anew.

To count them, each spec has to be built on `meta`, which takes seconds for a hundred. A folder of
specs may have an index beside them, `index.json`, written by `scripts/index_models.py`. It holds a
digest of all specs below the folder, and says nothing about others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from netspec.errors import SpecError

INDEX = "index.json"


def parameters_of(files: Iterable[str]) -> dict[str, int | None]:
    """The number of parameters of each spec, by its file; None where its args have no defaults."""
    indices: dict[Path, dict[str, int | None]] = {}
    found = {}
    for file in files:
        folder, name = _place(Path(file))
        if folder not in indices:
            indices[folder] = _index_of(folder)
        known = indices[folder]
        found[file] = known[name] if name in known else count(file)
    return found


def count(file: str) -> int | None:
    """The parameters of a spec with its default args, or None where it can't be built so."""
    from netspec.api import build

    try:
        model = build(file, device="meta")
    except SpecError:
        return None
    return sum(parameter.numel() for parameter in model.parameters())


def digest_of(folder: Path) -> str:
    """What decides the counts of all specs below a folder: their texts."""
    found = hashlib.sha256()
    for file in sorted(folder.rglob("*.yaml")):
        found.update(f"{file.relative_to(folder).as_posix()}\0".encode())
        found.update(file.read_bytes() + b"\0")
    return found.hexdigest()


def _place(file: Path) -> tuple[Path, str]:
    """The folder that may have an index, and what a spec is called there."""
    folder = file.parent.parent if file.parent.name == "zoo" else file.parent
    return folder, file.stem


def _index_of(folder: Path) -> dict[str, int | None]:
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        return dict(index["parameters"]) if index["digest"] == digest_of(folder) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
