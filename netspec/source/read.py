"""A file or a text → Source."""

from __future__ import annotations

import os
import pathlib
from typing import NoReturn

from netspec import file_trace
from netspec.errors import Diagnostic, Span, SpecError, did_you_mean
from netspec.limits import current
from netspec.source.compose import compose
from netspec.source.document import Source
from netspec.source.places import Lines, Places


def read_source(path: str | os.PathLike[str]) -> Source:
    """The file at this path → Source; no other file is opened.

    Raises SpecError: NS105 where it cannot be read, and what read_text raises.
    """
    name = os.fspath(path)
    return _read(_text_of(name), name, pathlib.Path(name))


def read_text(text: str, file: str = "<string>", path: pathlib.Path | None = None) -> Source:
    """YAML text → Source; `file` is what messages call it. Raises SpecError.

    With a `path` it is the text that a file there has, or will have; the file is not opened.
    """
    return _read(text, file, path)


def _read(text: str, file: str, path: pathlib.Path | None) -> Source:
    lines = Lines(text.lstrip("\ufeff"))
    try:
        size = len(lines.text.encode())
    except UnicodeEncodeError as error:
        fact = f"U+{ord(lines.text[error.start]):04X} is half a character (a surrogate)"
        shown = Lines(lines.text.encode(errors="replace").decode())
        raise SpecError(Diagnostic("NS101", fact, shown.span(file, error.start))) from None
    if size > current().text:
        raise SpecError(_too_large(Span(file, 1)))
    value, root = compose(lines, file)
    return Source(file, lines.text, path, value, Places(lines, root))


def _too_large(span: Span) -> Diagnostic:
    fact = f"a spec has at most {current().text:,} bytes, and this has more"
    return Diagnostic("NS103", fact, span)


def _text_of(name: str) -> str:
    data = _bytes_of(name)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        lines = Lines(data.decode(errors="replace"))
        span = lines.span(name, len(data[: error.start].decode()))
        fact = f"the file is not UTF-8: byte 0x{data[error.start]:02X} begins no character"
        raise SpecError(Diagnostic("NS105", fact, span, help="save it as UTF-8")) from None


def _bytes_of(name: str) -> bytes:
    try:
        kind = file_trace.kind(name)
        if kind == "folder":
            _unreadable(name, f"`{name}` is a folder, and a spec is a file", _files_in(name))
        if kind != "file":
            _unreadable(name, f"`{name}` is not an ordinary file")
        data = file_trace.read_bytes(name)
    except FileNotFoundError:
        _unreadable(name, f"there is no file `{name}`", _near(name))
    except OSError as error:
        reason = (error.strerror or "no reason given").lower()
        _unreadable(name, f"`{name}` cannot be read: {reason}")
    except ValueError:
        _unreadable(name, f"`{name!r}` cannot be the name of a file")
    if len(data) > current().text:
        raise SpecError(_too_large(Span(name)))
    return data


def _unreadable(name: str, fact: str, help: str | None = None) -> NoReturn:
    raise SpecError(Diagnostic("NS105", fact, Span(name), help=help))


def _near(name: str) -> str | None:
    path = pathlib.Path(name)
    if not file_trace.is_folder(path.parent):
        return f"there is no folder `{path.parent}` either"
    names = file_trace.names_in(path.parent)
    same = [found for found in names if pathlib.Path(found).stem == path.stem]
    return f"did you mean `{same[0]}`?" if same else did_you_mean(path.name, names)


def _files_in(name: str) -> str | None:
    files = [found for found in file_trace.names_in(name) if found.endswith((".yaml", ".yml"))]
    return "in it: " + ", ".join(f"`{found}`" for found in files[:4]) if files else None
