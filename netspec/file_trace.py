"""What an answer depends on in the file system: each question that was asked, and its answer.

An answer stands as long as all of its questions get the same answers (a verifying trace, as build
systems call it): also that a file was not there. Whatever a spec makes netspec ask is asked here.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeVar

from netspec.limits import current

Kind = Literal["file", "folder", "other"]
Trace = dict[tuple[str, str], str]  # (question, path) → a digest of the answer
T = TypeVar("T")
MOST_NAMES = 10_000  # of a folder that are listed
_CHANGED = "changed"  # while it was read: no digest is this
_CANNOT = (OSError, RuntimeError, ValueError)

_trace: ContextVar[Trace | None] = ContextVar("trace", default=None)
_unsaved: ContextVar[Mapping[str, bytes]] = ContextVar("unsaved", default=MappingProxyType({}))


@contextmanager
def with_unsaved(texts: Mapping[str, str]) -> Iterator[None]:
    """The texts of these files, by their paths, stand in the place of those on the disk."""
    token = _unsaved.set({os.path.realpath(p): text.encode() for p, text in texts.items()})
    try:
        yield
    finally:
        _unsaved.reset(token)


def _unsaved_at(path: str) -> bytes | None:
    texts = _unsaved.get()
    return texts.get(os.path.realpath(path)) if texts else None


@contextmanager
def traced() -> Iterator[Trace]:
    """All that is asked inside; a trace around it gets it too."""
    trace: Trace = {}
    token = _trace.set(trace)
    try:
        yield trace
    finally:
        _trace.reset(token)
        add(trace)


def add(trace: Trace) -> None:
    """Puts to the trace under way what was asked for an answer that is used again."""
    for (question, path), answer in trace.items():
        _note(question, path, answer)


def holds(trace: Mapping[tuple[str, str], str], now: Trace | None = None) -> bool:
    """Whether each question is answered as it was; `now` has answers of this moment, and gets more.

    The trace may be a stranger's: only what a spec could make netspec ask is asked.
    """
    now = {} if now is None else now
    token = _trace.set(now)
    try:
        return all(_is_still(question, path, was, now) for (question, path), was in trace.items())
    finally:
        _trace.reset(token)


def _is_still(question: str, path: str, was: str, now: Trace) -> bool:
    if question not in _QUESTIONS:
        return False
    if (question, path) not in now:
        with suppress(*_CANNOT):
            _asked(question, path, _QUESTIONS[question])
    return now[question, path] == was != _CHANGED


def digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()


def kind(path: str | os.PathLike[str]) -> Kind:
    """What is there. Raises OSError, and ValueError for what can't be a path."""
    return _asked("kind", path, _kind)


def is_file(path: str | os.PathLike[str]) -> bool:
    return _is(path, "file")


def is_folder(path: str | os.PathLike[str]) -> bool:
    return _is(path, "folder")


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """An ordinary file's bytes, with the first one beyond the limit. Raises OSError, ValueError."""
    return _asked("bytes", path, _bytes)


def names_in(folder: str | os.PathLike[str]) -> list[str]:
    """The first names in a folder, sorted; none of one that can't be listed."""
    try:
        return _asked("names", folder, _names)
    except OSError:
        return []


def real_path(path: str | os.PathLike[str]) -> Path:
    """Where all links lead. Raises OSError, RuntimeError, ValueError."""
    return Path(_asked("path", path, _real))


def _kind(path: str) -> Kind:
    if _unsaved_at(path) is not None:
        return "file"
    mode = os.stat(path).st_mode
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"


def _bytes(path: str) -> bytes:
    unsaved = _unsaved_at(path)
    if unsaved is not None:
        return unsaved[: current().text + 1]
    if _kind(path) != "file":  # a pipe may never end, nor even begin
        raise OSError(errno.EINVAL, "not an ordinary file")
    with open(path, "rb") as file:
        return file.read(current().text + 1)


def _names(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in islice(entries, MOST_NAMES))


def _real(path: str) -> str:
    return str(Path(path).resolve())


_QUESTIONS: Mapping[str, Callable[[str], object]] = {
    "kind": _kind,
    "bytes": _bytes,
    "names": _names,
    "path": _real,
}


def _is(path: str | os.PathLike[str], wanted: Kind) -> bool:
    with suppress(OSError, ValueError):
        return kind(path) == wanted
    return False


def _asked(question: str, path: str | os.PathLike[str], ask: Callable[[str], T]) -> T:
    path = os.fspath(path)
    try:
        answer = ask(path)
    except _CANNOT as error:
        _note(question, path, f"{type(error).__name__} {getattr(error, 'errno', None)}")
        raise
    if _trace.get() is not None:
        _note(question, path, digest(answer if isinstance(answer, bytes) else _text(answer)))
    return answer


def _text(answer: object) -> bytes:
    return ascii(answer).encode()


def _note(question: str, path: str, answer: str) -> None:
    trace = _trace.get()
    if trace is not None:
        was = trace.setdefault((question, path), answer)
        if was != answer:
            trace[question, path] = _CHANGED
