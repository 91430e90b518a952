"""`device=auto|cpu|cuda|cuda:1|mps` → what Lightning is asked for."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

import torch

from netspec.errors import Diagnostic, Origin, RunError, Span

_PER_CORE = 8  # processes that may share one


@dataclass(frozen=True, slots=True)
class Device:
    """A kind of accelerator, and which ones of it, or how many."""

    kind: str  # cpu, cuda, mps
    which: list[int] | int

    @property
    def torch(self) -> torch.device:
        first = self.which[0] if isinstance(self.which, list) else 0
        return torch.device(self.kind, first) if self.kind == "cuda" else torch.device(self.kind)


def find_device(name: str, count: int = 1) -> Device:
    """The device that a name means. Raises RunError (NS705), which tells what is there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if _mps() else "cpu"
    match = re.fullmatch(r"(cpu|cuda|mps)(?::(\d+))?", name)
    if match is None or (match[1] == "cpu" and match[2]):
        raise _refused(name, f"`{name}` is no device")
    kind, index = match[1], match[2]
    there = {"cpu": os.cpu_count() or 1, "cuda": torch.cuda.device_count(), "mps": int(_mps())}
    if not there[kind] or (index and int(index) >= there[kind]):
        raise _refused(name, f"there is no device `{name}` here")
    if index and count > 1:
        raise _refused(name, f"`{name}` is one device, and trainer.devices asks for {count}")
    if kind == "cpu" and count > _PER_CORE * there[kind]:
        raise _refused(
            name, f"trainer.devices asks for {count:,} processes, and there are {there[kind]} cores"
        )
    if kind != "cpu" and count > there[kind]:
        raise _refused(
            name, f"trainer.devices asks for {count} of `{kind}`, and {there[kind]} are here"
        )
    return Device(kind, [int(index)] if index else count)


def _mps() -> bool:
    return torch.backends.mps.is_available()


def _refused(name: str, fact: str) -> RunError:
    found = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    found += ["mps"] if _mps() else []
    shown = ", ".join(f"`{device}`" for device in found)
    help = f"this machine has {shown}; `auto` takes the best of them"
    if not torch.cuda.is_available() and name.startswith("cuda") and torch.version.cuda is None:
        help += f"; this torch ({torch.__version__}) is a build without CUDA"
    return RunError(
        Diagnostic(
            "NS705", fact, Span.of(Origin("override", "device", f"device={name}")), help=help
        )
    )
