"""A run's folder: whose it is, what is in it, and files that are whole or not there."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from netspec.errors import Diagnostic, RunError, Span

RUN, SPEC, SUMMARY = "run.yaml", "spec.yaml", "summary.txt"
METRICS, CURVES, HISTORY = "metrics.json", "curves.svg", "metrics.csv"
SAMPLE = "sample.txt"  # of a language model
LOGGERS = "loggers.json"  # by which each logger goes on with the run
CHECKPOINTS = "checkpoints"
BEST, LAST = f"{CHECKPOINTS}/best.safetensors", f"{CHECKPOINTS}/last.safetensors"
STATUSES = ("running", "finished", "interrupted", "failed")
_OWN = (METRICS, RUN, SPEC, SUMMARY, HISTORY, CURVES, SAMPLE, LOGGERS, BEST, LAST)
_PART = re.compile(r"\.[\w-]+\.(json|yaml|txt|csv|svg|html|safetensors)\.\d+\.part")
_LOCK = ".lock"
_NUMBERED = 10_000  # folders of the same name


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The folder for this process alone; a killed process holds nothing.

    Raises RunError (NS707) where another run is in it.
    """
    with told_if_full(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        fact = "another run is in this folder now"
        help = "give each run a folder of its own: folder=…"
        raise RunError(Diagnostic("NS707", fact, Span(str(folder)), help=help)) from None
    try:
        _clear(folder)
        yield
    finally:
        lock.release()


def _clear(folder: Path) -> None:
    """Takes away what runs that were killed have left unfinished."""
    for place in (folder, folder / CHECKPOINTS):
        for path in place.glob(".*.part"):
            if _PART.fullmatch(path.name):
                path.unlink(missing_ok=True)


def exclusive_folder(wanted: Path) -> Path:
    """A folder that was not there before, made by this call: the wanted one, or with a number.

    Raises OSError; FileExistsError where a great many are there.
    """
    wanted.parent.mkdir(parents=True, exist_ok=True)
    for number in range(_NUMBERED):
        path = wanted.with_name(f"{wanted.name}-{number}") if number else wanted
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(wanted))


def remove_unused(folder: Path) -> None:
    """Takes a folder away in which no run has left anything."""
    with suppress(OSError, Timeout):
        if os.listdir(folder) == [_LOCK]:
            with FileLock(folder / _LOCK, timeout=0):
                (folder / _LOCK).unlink()
        folder.rmdir()  # which is refused where something is in it


def status_of(folder: Path) -> str | None:
    """What metrics.json says of the run in a folder; None where there was none."""
    status = (read_metrics(folder) or {}).get("status")
    return status if status in STATUSES else None


def foreign(folder: Path) -> list[str]:
    """What a run would write anew in a folder, and no run has written."""
    return [] if status_of(folder) else [name for name in _OWN if os.path.lexists(folder / name)]


def refuse_foreign(folder: Path, names: Sequence[str]) -> None:
    """Raises RunError (NS707) where a folder has these files, which are somebody's own."""
    if names:
        shown = ", ".join(f"`{name}`" for name in names)
        fact = f"what is in this folder would be overwritten, and no run has written it: {shown}"
        help = "choose another folder=…"
        raise RunError(Diagnostic("NS707", fact, Span(str(folder)), help=help))


def read_metrics(folder: Path) -> dict[str, Any] | None:
    """A run's metrics.json, or None where there is no whole one."""
    try:
        found = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def write_text(path: Path, text: str) -> None:
    """The whole file, or the one that was there before. Raises RunError (NS706): no space."""

    def fill(to: Path) -> None:
        with open(to, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(text)

    replace_file(path, fill)


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """As write_text; what is no number is null, since JSON has no NaN."""
    write_text(path, json.dumps(_finite(value), indent=1, ensure_ascii=False) + "\n")


def _finite(value: object) -> object:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def replace_file(path: Path, fill: Callable[[Path], None]) -> None:
    """Fill a file beside this one, see it on the disk, and put it in this one's place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.part")  # as _PART has it
    try:
        with told_if_full(path):
            fill(fresh)
            with open(fresh, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


@contextmanager
def told_if_full(path: Path) -> Iterator[None]:
    """Turns a full disk and the like into a RunError (NS706)."""
    try:
        yield
    except OSError as error:
        known = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG)
        # safetensors gives the number in the text alone
        number = error.errno or next(iter(map(int, re.findall(r"os error (\d+)", str(error)))), 0)
        if number not in known:
            raise
        fact = f"`{path.name}` could not be written: {os.strerror(number).lower()}"
        help = "what was there before is untouched; make room, then go on with resume=…"
        raise RunError(Diagnostic("NS706", fact, Span(str(path)), help=help)) from None
