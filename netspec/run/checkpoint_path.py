"""Which file is meant by the name of a checkpoint."""

from __future__ import annotations

import os
from pathlib import Path

from netspec.errors import Diagnostic, Origin, RunError, Span, did_you_mean
from netspec.run.folder import BEST, LAST


def find_checkpoint(name: str | os.PathLike[str], span: Span | None = None) -> Path:
    """The file that a name means, which stands at `span`. Raises RunError (NS703)."""
    path = Path(name)
    tries = [path, path.parent / f"{path.name}.safetensors", path / BEST, path / LAST]
    for candidate in tries:
        if os.path.isfile(candidate):  # False for what can't be a path, too
            return candidate
    here = path.parent if os.path.isdir(path.parent) else Path(".")
    near = did_you_mean(path.name, [f.name for f in here.iterdir() if f.name != path.name])
    fact = f"there is no checkpoint `{name}`"
    if os.path.isdir(path):
        fact, near = f"the folder `{name}` has no {BEST}", None
    help = near or "name a file like outputs/…/checkpoints/best.safetensors, or a run's folder"
    place = span or Span.of(Origin("override", "checkpoint", f"checkpoint={name}"))
    raise RunError(Diagnostic("NS703", fact, place, help=help))
