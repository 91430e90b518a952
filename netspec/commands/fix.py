"""`netspec check --fix`: the fixes that are certain, made in the files that were named.

A fix is certain where nothing but it can be meant: its code is of a name, an argument or of what is
overwritten, and the mistake is gone once it is made. Of several that are offered for one mistake it
is the only one that brings no other one before it or in its line. Which of two sizes is right
(NS3xx) nobody but the author knows.
"""

from __future__ import annotations

import difflib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from netspec.display import Look, Style, paint, visible
from netspec.errors import Diagnostic, Fix

Texts = Mapping[str, str]  # the files that may be edited, by their real paths, as they will be
Find = Callable[[Texts], Sequence[Diagnostic]]  # all that is wrong with a spec, with these texts

_CERTAIN = ("NS1", "NS2", "NS4")
_MOST = 200  # edits that one spec asks for
_BOM = "\ufeff"


@dataclass(slots=True)
class Edited:
    """A file that was named: what it held, its text now, and how many fixes are in that."""

    name: str
    read: bytes
    text: str
    count: int = 0


class NotWritten(Exception):
    """Why a file stays as it is."""


def read_file(name: str) -> Edited:
    """Raises NotWritten where it is no text."""
    try:
        read = Path(name).read_bytes()
        return Edited(name, read, read.decode().removeprefix(_BOM))
    except (OSError, ValueError) as error:
        raise NotWritten(getattr(error, "strerror", None) or str(error)) from None


@dataclass(slots=True)
class Mending:
    """Files by their real paths, which the fixes of one spec after the other change."""

    files: dict[str, Edited]
    refused: set[tuple[str, str, str]] = field(default_factory=set)

    def texts(self) -> dict[str, str]:
        return {path: file.text for path, file in self.files.items()}

    def mend(self, find: Find) -> None:
        """Make all fixes of a spec that are certain; nothing is written."""
        found = find(self.texts())
        for _ in range(_MOST):
            left = self._first_certain(found, find)
            if left is None:
                break
            found = left

    def _first_certain(
        self, found: Sequence[Diagnostic], find: Find
    ) -> Sequence[Diagnostic] | None:
        """Makes the first fix that is certain; gives what is wrong after it."""
        for diagnostic in found:
            key = (diagnostic.code, diagnostic.fact, diagnostic.span.text)
            path = os.path.realpath(diagnostic.span.file)
            fixes = diagnostic.fixes
            if key in self.refused or not fixes or path not in self.files:
                continue
            texts = [_made(fix, self.files[path].text) for fix in fixes]
            if diagnostic.code.startswith(_CERTAIN):
                tried = [(text, find({**self.texts(), path: text})) for text in texts]
                good = [one for one in tried if _mends(diagnostic, found, one[1], len(fixes) == 1)]
                if len(good) == 1:
                    self.files[path].text, left = good[0]
                    self.files[path].count += 1
                    return left
            self.refused.add(key)
        return None


def _made(fix: Fix, text: str) -> str:
    """The text with a fix; a line of which nothing is left goes with it."""
    after = fix.apply(text)
    lines = after.splitlines(keepends=True)
    index = fix.span.line - 1
    if not fix.replacement and not lines[index].strip():
        del lines[index]
    return "".join(lines)


def _mends(
    diagnostic: Diagnostic, before: Sequence[Diagnostic], after: Sequence[Diagnostic], alone: bool
) -> bool:
    """Whether a mistake is gone; of several fixes also that none comes in its line or before it."""
    known, left = (Counter((one.code, one.fact) for one in found) for found in (before, after))
    kind = (diagnostic.code, diagnostic.fact)
    if left[kind] >= known[kind]:
        return False
    place = (diagnostic.span.file, diagnostic.span.line)
    return alone or not any(
        (one.code, one.fact) not in known and (one.span.file, one.span.line) <= place
        for one in after
    )


def write(file: Edited) -> None:
    """Put the mended text in the file's place: all of it or nothing, and only if it is as it was.

    Raises NotWritten.
    """
    path = os.path.realpath(file.name)
    try:
        number, fresh = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".netspec-")
        try:
            with os.fdopen(number, "wb") as out:
                bom = _BOM if file.read.startswith(_BOM.encode()) else ""
                out.write((bom + file.text).encode())
                out.flush()
                os.fsync(out.fileno())
            shutil.copymode(path, fresh)
            if Path(path).read_bytes() != file.read:
                raise NotWritten("it was changed meanwhile, and is left as it is")
            os.replace(fresh, path)
        finally:
            Path(fresh).unlink(missing_ok=True)
    except OSError as error:
        raise NotWritten((error.strerror or str(error)).lower()) from None


def diff_text(file: Edited, look: Look) -> str:
    """What was changed, as a unified diff."""
    name, before = visible(file.name), file.read.decode().removeprefix(_BOM)
    lines = difflib.unified_diff(
        before.splitlines(), file.text.splitlines(), name, name, lineterm=""
    )
    return "".join(f"{_painted(line, look)}\n" for line in lines)


def _painted(line: str, look: Look) -> str:
    text = visible(line)
    if line.startswith(("---", "+++")):
        return paint(look, "strong", text)
    styles: dict[str, Style] = {"+": "added", "-": "removed", "@": "code"}
    style = styles.get(line[:1])
    return text if style is None else paint(look, style, text)
