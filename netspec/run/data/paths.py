"""Folders and files that the options name, and what is said where they are missing."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from netspec.errors import Diagnostic, RunError, Span
from netspec.run.data.validation_errors import override_span


def existing(root: str | None, option: str, what: str) -> Path:
    """The path that this option gives. Raises RunError: NS601 where none is given or there."""
    if root is None:
        fact = f"no {what} is given: `data.{option}` is `null`"
        raise RunError(Diagnostic("NS601", fact, override_span(option, root)))
    path = _path(root, option)
    if not path.exists():
        fact = f"there is no {what} `{root}`"
        note = () if path.is_absolute() else (f"looked in `{Path.cwd()}`",)
        raise RunError(Diagnostic("NS601", fact, override_span(option, root), notes=note))
    if what == "folder" and not path.is_dir():
        fact = f"`{root}` is a file, and a folder is expected"
        raise RunError(Diagnostic("NS601", fact, override_span(option, root)))
    if not (path.is_dir() or path.is_file()):
        fact = f"`{root}` is neither a file nor a folder"
        raise RunError(Diagnostic("NS601", fact, override_span(option, root)))
    return path


def _path(root: str, option: str) -> Path:
    try:
        path = Path(root).expanduser()
        path.exists()
    except (OSError, ValueError, RuntimeError) as error:  # a null character, no such user
        fact = f"`{root}` can't be a path: {error}"
        raise RunError(Diagnostic("NS601", fact, override_span(option, root))) from None
    return path


def bytes_of(path: Path) -> bytes:
    """A file's bytes. Raises RunError: NS602 with the system's own words, and for what is no plain
    file, or larger than the memory: a pipe or a device would be read for ever."""
    try:
        if not path.is_file():
            raise IsADirectoryError("it is no plain file")
        refuse_too_large(path, path.stat().st_size)
        return path.read_bytes()
    except (OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "there is not enough memory"
        fact = f"`{path.name}` cannot be read: {reason}"
        raise RunError(Diagnostic("NS602", fact, Span(str(path)))) from None


def refuse_too_large(path: Path, size: int) -> None:
    """Raises RunError (NS602) for what would not fit in this machine's memory."""
    if size > _memory():
        fact = f"`{path.name}` would take {size:,} bytes, more than this machine's memory"
        raise RunError(Diagnostic("NS602", fact, Span(str(path))))


@cache
def _memory() -> int:
    """The bytes of this machine's memory, or many where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 1 << 40
