"""A file of weights → its tensors by name. Nothing in the file is run.

Safetensors, or a state dict that `torch.save` wrote, alone or within a checkpoint. Which of them a
file is, its first bytes say, whatever its name.
"""

from __future__ import annotations

import pickle
import re
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from netspec.errors import Diagnostic, RunError, Span

STATE = "~state/"  # of netspec's own checkpoints: what resuming needs, and no model
_WRAPPERS = ("state_dict", "model_state_dict", "model")  # Lightning's; tutorials'; torchvision's
_SAVED_BY_TORCH = (b"PK\x03\x04", b"\x80")  # an archive; a pickle, as torch wrote before 1.6
_PLAIN = (Tensor, nn.Parameter, nn.Buffer)

# What torch's reader of archives and pickles raises at files that are damaged or something else.
_UNREADABLE = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    KeyError,
    IndexError,
    AttributeError,
    TypeError,
    AssertionError,
    OverflowError,
    RecursionError,
    MemoryError,
    struct.error,
)


_REPLACED = 100  # times that a file is read again

# What safetensors raises, and torch at a header whose sizes are no tensor's.
_NOT_SAFETENSORS = (
    SafetensorError,
    OSError,
    ValueError,
    TypeError,
    RuntimeError,
    KeyError,
    OverflowError,
    MemoryError,
)


@dataclass(frozen=True, slots=True, eq=False)
class TensorFile:
    """The tensors of a file, on the CPU; `under` is the key of the file that holds them, if any.

    `has_spec`: it is a checkpoint of netspec's.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    under: str | None = None
    has_spec: bool = False


def read_tensors(path: Path) -> TensorFile:
    """Raises RunError: NS703 for what is no whole file of weights, NS712 where it needs code."""
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise _unreadable(path, str(error)) from None
    if head[8:] != b"{" and head.startswith(_SAVED_BY_TORCH):
        return _read_saved(path)
    metadata, tensors = read_safetensors(path)
    if "netspec" in metadata:
        tensors = {name: value for name, value in tensors.items() if not name.startswith(STATE)}
    if not tensors:
        raise _unreadable(path, "it holds no tensors")
    return TensorFile(path, tensors, has_spec="netspec" in metadata)


def read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The metadata and the tensors of a safetensors file. Raises RunError (NS703).

    A run may put another file in its place meanwhile; `safe_open` opens it several times.
    """
    before, found = _identity(path), _read_or_error(path)
    for _ in range(_REPLACED):
        now = _identity(path)
        if now == before:
            break
        before, found = now, _read_or_error(path)
    if not isinstance(found, Exception):
        return found
    said = str(found).partition("\n")[0].removeprefix("Error while deserializing header: ")
    fact = f"`{path.name}` is not a whole safetensors file of {_size(path)}: {said}"
    raise RunError(Diagnostic("NS703", fact, Span(str(path))))


def _read_or_error(path: Path) -> tuple[dict[str, str], dict[str, Tensor]] | Exception:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            return metadata, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except _NOT_SAFETENSORS as error:
        return error


def _identity(path: Path) -> tuple[int, int] | None:
    """What another file in the same place has another one of."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _read_saved(path: Path) -> TensorFile:
    """What `torch.save` wrote, read as data alone: a pickle that names code is refused."""
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that TorchScript is guessed, or a format old
            found = torch.load(file, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise _not_loaded(path, error) from None
    under = None
    if isinstance(found, Mapping) and not _holds_tensors(found):
        under = next((key for key in _WRAPPERS if isinstance(found.get(key), Mapping)), None)
        found = found if under is None else found[under]
    return TensorFile(path, _as_state_dict(found, path, under), under)


def _holds_tensors(found: Mapping[object, object]) -> bool:
    return bool(found) and all(isinstance(value, Tensor) for value in found.values())


def _as_state_dict(found: object, path: Path, under: str | None) -> dict[str, Tensor]:
    """The tensors of a state dict by name. Raises RunError (NS703) for anything else."""
    if not isinstance(found, Mapping):
        raise _unreadable(path, f"it holds no state dict, but one {type(found).__name__}")
    if not found:
        raise _unreadable(path, "its state dict is empty")
    inside = "" if under is None else f" in `{under}`"
    tensors: dict[str, Tensor] = {}
    for name, value in found.items():
        if not isinstance(value, Tensor):
            kind = type(value).__name__
            raise _unreadable(path, f"`{name}`{inside} is no tensor, but of type {kind}")
        if not _is_plain(value):
            raise _unreadable(path, f"`{name}`{inside} is a tensor without plain numbers")
        tensors[str(name)] = value
    return tensors


def _is_plain(tensor: Tensor) -> bool:
    """Whether it has numbers of its own, one for each element."""
    dense = tensor.layout == torch.strided and not tensor.is_quantized
    return type(tensor) in _PLAIN and dense and not tensor.is_meta


def _not_loaded(path: Path, error: Exception) -> RunError:
    """Why torch gave nothing: code that it would need, or damage."""
    said = str(error)
    needed = re.search(r"GLOBAL ([\w.]+)|Unsupported class ([\w.]+)|type ([\w.]+) is not", said)
    if "TorchScript" in said:
        return _needs_code(path, "a TorchScript program")
    if isinstance(error, pickle.UnpicklingError) and needed:
        return _needs_code(path, f"`{needed[1] or needed[2] or needed[3]}`")
    return _unreadable(path, f"it may be cut off or damaged ({_reason(error)})")


def _reason(error: Exception) -> str:
    """What torch's reader said, without its advice."""
    inner = re.search(r"WeightsUnpickler error: ([^\n]+)", str(error))
    said = inner[1] if inner else str(error).partition("\n")[0]
    first = said.partition(". ")[0].strip().rstrip(".:")
    return f"{type(error).__name__}: {first}" if first and not inner else first or "it ends early"


def _needs_code(path: Path, what: str) -> RunError:
    fact = f"`{path.name}` holds more than tensors, and needs code to be read: {what}"
    help = "take a file of the state dict alone: torch.save(model.state_dict(), …), or safetensors"
    return RunError(Diagnostic("NS712", fact, Span(str(path)), help=help))


def _unreadable(path: Path, said: str) -> RunError:
    fact = f"`{path.name}` of {_size(path)} can't be read as weights: {said}"
    help = "weights are a safetensors file, or a state dict that torch.save wrote"
    return RunError(Diagnostic("NS703", fact, Span(str(path)), help=help))


def _size(path: Path) -> str:
    return f"{path.stat().st_size:,} bytes" if path.is_file() else "no size"
