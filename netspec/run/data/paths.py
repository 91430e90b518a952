"""Folders and files that the options name, and what is said where they are missing."""

from __future__ import annotations

from pathlib import Path

from netspec.errors import Diagnostic, RunError, Span
from netspec.run.data.complain import override_span


def existing(root: str | None, option: str, what: str) -> Path:
    """The path that this option gives. Raises RunError: NS601 where none is given or there."""
    if root is None:
        fact = f"no {what} is given: `data.{option}` is `null`"
        raise RunError(Diagnostic("NS601", fact, override_span(option, root)))
    path = Path(root).expanduser()
    if not path.exists():
        fact = f"there is no {what} `{root}`"
        note = () if path.is_absolute() else (f"looked in `{Path.cwd()}`",)
        raise RunError(Diagnostic("NS601", fact, override_span(option, root), notes=note))
    if what == "folder" and not path.is_dir():
        fact = f"`{root}` is a file, and a folder is expected"
        raise RunError(Diagnostic("NS601", fact, override_span(option, root)))
    return path


def bytes_of(path: Path) -> bytes:
    """A file's bytes. Raises RunError: NS602 with the system's own words."""
    try:
        return path.read_bytes()
    except OSError as error:
        fact = f"`{path.name}` cannot be read: {error.strerror or error}"
        raise RunError(Diagnostic("NS602", fact, Span(str(path)))) from None
