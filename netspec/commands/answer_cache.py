"""The answers of `check` on disk, each for as long as all that it depends on is as it was.

An entry's name is a digest of what was typed, where, and by which programs it was answered
(ccache's direct mode); inside it has the trace of all files that were asked for. Whatever is wrong
with an entry or its folder, the spec is checked as if there were none.
"""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from argparse import Namespace
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from netspec.commands.environment import environment
from netspec.commands.spec_files import STDIN
from netspec.errors import Diagnostic, Help, Note, Related, Span
from netspec.file_trace import Trace, digest, holds

VARIABLE = "NETSPEC_CACHE"  # another folder; 0: none
MOST_ENTRIES = 4_096
MOST_BYTES = 64_000_000
MOST_OF_ONE = 1_000_000  # bytes
_FORMAT = 3
_OFF = ("0", "off", "no", "false")
_SHOWN = ("specs", "json", "sarif", "fix", "diff", "no_cache")  # options that change no answer
_OURS = re.compile(r"[0-9a-f]{32}(\.json|\.[0-9a-f]{16}\.tmp)")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a check of one file says: how messages call the file, its mistakes, and notes beside."""

    name: str
    found: tuple[Diagnostic, ...] = ()
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class AnswerCache:
    """The answers in a folder that hold for what was typed."""

    folder: Path
    asked: str  # what was typed, where, and what answers: the same for all files of a command
    now: Trace = field(default_factory=dict)  # what was asked of the files already

    def find(self, file: str) -> Answer | None:
        """The answer that was kept, if nothing has changed since."""
        key = self._key(file)
        try:
            head, _, body = _read(self.folder / f"{key}.json").partition(b"\n")
            if head.decode() != digest(key.encode() + body):
                return None
            trace, answer = _entry_of(json.loads(body))
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        return answer if holds(trace, self.now) else None

    def keep(self, file: str, answer: Answer, trace: Trace) -> None:
        """Keeps an answer and what it depends on, unless the folder cannot be written."""
        key = self._key(file)
        body = json.dumps(_data_of(answer, trace)).encode()
        if file == STDIN or len(body) > MOST_OF_ONE:
            return
        own = self.folder / f"{key}.{os.urandom(8).hex()}.tmp"
        with suppress(OSError, ValueError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                with open(os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                    out.write(digest(key.encode() + body).encode() + b"\n" + body)
                os.replace(own, self.folder / f"{key}.json")
            except OSError:
                own.unlink(missing_ok=True)

    def prune(self) -> None:
        """Removes the oldest entries where there are too many, or they take too much."""
        with suppress(OSError, ValueError):
            entries = [each for each in os.scandir(self.folder) if _OURS.fullmatch(each.name)]
            sized = sorted(map(_age_and_size, entries), reverse=True)
            taken = 0
            for number, (_, size, path) in enumerate(sized, 1):
                taken += size
                if number > MOST_ENTRIES or taken > MOST_BYTES:
                    Path(path).unlink(missing_ok=True)

    def _key(self, file: str) -> str:
        return digest(json.dumps([self.asked, file]).encode())


def open_cache(options: Namespace) -> AnswerCache | None:
    """The answers to what was typed; None where none may be used or kept.

    So it is where --no-cache or NETSPEC_CACHE=0 says so, where it cannot be told what answers, and
    in a process that has torch already, whose state may be any. Of several specs each gets the args
    that it has, so an answer to --arg depends on all of them: it is not kept.
    """
    folder = cache_folder()
    several = len(options.specs) > 1 or os.path.isdir(options.specs[0])
    if options.no_cache or folder is None or not _is_fresh() or (options.arg and several):
        return None
    answers = environment(plugins=bool(options.plugin))
    if answers is None:
        return None
    typed = {name: value for name, value in vars(options).items() if name not in _SHOWN}
    asked = json.dumps([_FORMAT, answers, os.getcwd(), typed], sort_keys=True)
    return AnswerCache(folder / "check", digest(asked.encode()))


def _is_fresh() -> bool:
    return "torch" not in sys.modules


def cache_folder() -> Path | None:
    """The folder for what netspec remembers between its calls; None where nothing is to be."""
    given = os.environ.get(VARIABLE, "")
    if given:
        return None if given.lower() in _OFF else Path(given)
    with suppress(RuntimeError):  # nobody's home is known
        return _users_cache() / "netspec"
    return None


def _users_cache() -> Path:
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return Path(local) if local else Path.home() / "AppData" / "Local"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return given if given.is_absolute() else Path.home() / ".cache"


def _read(path: Path) -> bytes:
    """An entry of ours. Raises OSError where it is somebody else's, or no ordinary file."""
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        status = os.fstat(file.fileno())
        theirs = sys.platform != "win32" and status.st_uid != os.geteuid()
        if theirs or not stat.S_ISREG(status.st_mode) or status.st_size > 2 * MOST_OF_ONE:
            raise OSError
        return file.read()


def _age_and_size(entry: os.DirEntry[str]) -> tuple[int, int, str]:
    status = entry.stat()
    return status.st_mtime_ns, status.st_size, entry.path


def _data_of(answer: Answer, trace: Trace) -> dict[str, object]:
    return {
        "trace": [[question, path, was] for (question, path), was in trace.items()],
        "name": answer.name,
        "found": [_plain(diagnostic) for diagnostic in answer.found],
        "notes": [[note.text, _plain_span(note.span)] for note in answer.notes],
    }


def _plain(diagnostic: Diagnostic) -> list[object]:
    related = [[_plain_span(one.span), one.fact] for one in diagnostic.related]
    place, help = _plain_span(diagnostic.span), diagnostic.help
    edits = [help.word, *help.instead] if isinstance(help, Help) else None
    return [diagnostic.code, diagnostic.fact, place, diagnostic.notes, help, edits, related]


def _plain_span(span: Span) -> list[object]:
    return [span.file, span.line, span.column, span.width, span.text]


def _entry_of(data: object) -> tuple[Trace, Answer]:
    """An entry of which every part has its type. Raises TypeError, ValueError, KeyError."""
    if not isinstance(data, dict):
        raise TypeError
    questions = [tuple(map(_text, _list(each, 3))) for each in _list(data["trace"])]
    trace = {(question, path): was for question, path, was in questions}
    found = tuple(map(_diagnostic, _list(data["found"])))
    noted = map(_pair, _list(data["notes"]))
    notes = tuple(Note(_text(text), _span(span)) for text, span in noted)
    return trace, Answer(_text(data["name"]), found, notes)


def _diagnostic(data: object) -> Diagnostic:
    code, fact, place, notes, help, edits, related = _list(data, 7)
    shown = None if help is None else _text(help)
    if shown is not None and edits is not None:
        shown = Help(shown, *_texts(edits))
    others = tuple(Related(_span(at), _text(what)) for at, what in map(_pair, _list(related)))
    return Diagnostic(_text(code), _text(fact), _span(place), _texts(notes), shown, others)


def _pair(data: object) -> tuple[object, object]:
    first, second = _list(data, 2)
    return first, second


def _span(data: object) -> Span:
    file, line, column, width, text = _list(data, 5)
    return Span(_text(file), _count(line), _count(column), _count(width), _text(text))


def _texts(data: object) -> tuple[str, ...]:
    return tuple(map(_text, _list(data)))


def _list(data: object, length: int | None = None) -> list[object]:
    if not isinstance(data, list) or length not in (None, len(data)):
        raise TypeError
    return data


def _text(data: object) -> str:
    if not isinstance(data, str):
        raise TypeError
    data.encode(errors="surrogateescape")  # half a character is in no file's name and no message
    return data


def _count(data: object) -> int:
    if type(data) is not int or not 0 <= data <= MOST_OF_ONE:
        raise TypeError
    return data
