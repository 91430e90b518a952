"""A pickle of plain data and numpy arrays → what it holds, with nothing else let in."""

from __future__ import annotations

import io
import pickle

import numpy

from netspec.errors import Diagnostic, RunError, Span

# How numpy's pickles make an empty array, which their next step fills.
_RECONSTRUCT: object = numpy.zeros(0).__reduce__()[0]
_BROKEN = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError,
    OverflowError, ImportError, MemoryError, RecursionError, NotImplementedError, SystemError,
    RuntimeError, BufferError, AssertionError,
)  # fmt: skip


class _Refused(Exception):
    """A name that no plain pickle has."""


def load_plain(data: bytes, name: str, place: str) -> object:
    """The dicts, lists, texts, numbers and arrays of a pickle; bytes come out as texts.

    Raises RunError: NS602 where the pickle is broken, and where it names anything but the two
    things that numpy's arrays need, before that thing is looked up.
    """
    try:
        return _texts(_Plain(io.BytesIO(data), encoding="bytes").load())
    except _Refused as refused:
        fact = f"`{name}` is a pickle that wants to run `{refused}`"
        help = "the real file holds arrays, lists and texts alone: fetch it again"
        raise RunError(Diagnostic("NS602", fact, Span(place), help=help)) from None
    except _BROKEN as error:
        fact = f"`{name}` is no whole pickle: {str(error) or type(error).__name__}"
        raise RunError(Diagnostic("NS602", fact, Span(place))) from None


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        known: dict[tuple[str, str], object] = {
            ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
            ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
            ("numpy", "ndarray"): numpy.ndarray,
            ("numpy", "dtype"): numpy.dtype,
            ("_codecs", "encode"): _latin,  # how Python 3 writes bytes for Python 2
        }
        if (module, name) not in known:
            raise _Refused(f"{module}.{name}")
        return known[module, name]


def _latin(text: object, encoding: object) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise ValueError("a text in another encoding than latin1")
    return text.encode("latin1")


def _texts(value: object) -> object:
    """The same with its bytes as texts, as Python 2 wrote them."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list):
        return [_texts(item) for item in value]
    if isinstance(value, dict):
        return {_texts(key): _texts(item) for key, item in value.items()}
    return value
