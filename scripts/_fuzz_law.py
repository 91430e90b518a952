"""The law that fuzzing tries to break: of any text come placed diagnostics or a model, and no more.

No more: no other exception, no more than a few seconds or much memory, nothing printed, no warning,
and no change to what the process had before (random states, dtypes, modes of autograd, files).
"""

from __future__ import annotations

import ast
import gc
import io
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent))  # also where a test imports this
from _fuzz_cases import FOLDERS, ROOT, Case

import netspec
from netspec import caches
from netspec.errors import Diagnostic, SpecError, render

SECONDS = 2.0  # of the processor's time, for one case
SECONDS_TO_BUILD = 60.0  # twice; torch makes a few thousand modules a second
A_BYTE = 30e-6  # seconds more for each byte of a long text
MEMORY = 300 * 2**20  # bytes more than before it
FOR_A_BYTE = 1_000  # bytes more for each byte of a long text
LIMIT = 6 * 2**30  # bytes of addresses above which the system says no
LONG = 8_000  # characters of a message
FORGET = 100  # accepted cases between two clean-ups: classes live as long as the process
BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")  # YAML 1.1's lines
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
NO_MEMORY = re.compile(r"can't allocate|(out of|not enough) memory|bad_alloc|MemoryError")


def slowness() -> float:
    """How much slower this machine is now than the one on which the limits were set; at least 1."""
    began = process_time()
    texts = {}
    for number in range(1_000_000):
        texts[number % 1000] = str(number)
    return max(1.0, (process_time() - began) / 0.17)


class Hang(BaseException):
    """The case took too long; no `except Exception` stops it."""


@dataclass(frozen=True)
class Broken(Exception):
    """The law does not hold. `kind` is the same for cases that break it in the same place."""

    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}\n{self.detail}"


@dataclass
class Checker:
    """Puts cases to the law; made by `checker`."""

    folder: Path
    capture: int  # the file that standard output and error go to
    slowness: float
    accepted: int = 0

    def outcome(self, case: Case, deep: bool = False) -> tuple[str, float]:
        """`accepted` or the first code, and seconds. `deep`: what is accepted is built as well.

        Raises Broken.
        """
        forget_peak()
        before, memory, started, began = state(), peak_memory(), process_time(), perf_counter()
        try:
            with limited(self.slowness * (SECONDS + A_BYTE * len(case.data))):
                found, spec = self._check(case)
            if not found and deep:
                with limited(SECONDS_TO_BUILD):
                    build(spec)
        except Hang as error:
            raise Broken(*_where("hang", error)) from None
        except SpecError as error:
            raise Broken(*_where("SpecError", error)) from None
        except Exception as error:
            raise Broken(*_where(type(error).__name__, error)) from None
        seconds = min(process_time() - started, perf_counter() - began)
        self._check_aftermath(before, memory + FOR_A_BYTE * len(case.data))
        for diagnostic in found:
            check_diagnostic(diagnostic, case)
        if found:
            return found[0].code, seconds
        self.accepted += 1
        if self.accepted % FORGET == 0:
            caches.clear()
            gc.collect()
            gc.freeze()  # what is left stays: no later case has to look through it
        return "accepted", seconds

    def _copy_folders(self) -> None:
        for each in FOLDERS:
            if not (self.folder / each).is_dir():
                shutil.copytree(ROOT / each, self.folder / each)

    def drop_printed(self) -> None:
        """Forgets what was printed between two cases, by what runs them."""
        os.ftruncate(self.capture, 0)
        os.lseek(self.capture, 0, os.SEEK_SET)

    def _check(self, case: Case) -> tuple[Sequence[Diagnostic], netspec.Spec | None]:
        source: str | Path = self.folder / case.folder / "case.yaml"
        try:
            if case.folder:
                self._copy_folders()
                Path(source).write_bytes(case.data)
                spec = netspec.load(source)
            else:
                spec = netspec.loads(case.data.decode(errors="surrogatepass"))
        except SpecError as error:
            return error.diagnostics, None
        return netspec.check(spec), spec

    def _check_aftermath(self, before: dict[str, object], memory: int) -> None:
        size = os.fstat(self.capture).st_size
        if size:
            text = os.pread(self.capture, 2000, 0).decode(errors="replace")
            self.drop_printed()
            raise Broken(f"printed: {re.sub(r'0x[0-9a-f]+|[0-9]+', '#', text)[:120]}", text)
        after = state()
        changed = [name for name in before if before[name] != after[name]]
        if changed:
            raise Broken(f"changed: {', '.join(changed)}", "")
        grown = peak_memory() - memory
        if grown > MEMORY:
            raise Broken("memory", f"{grown / 2**20:.0f} MiB more at the peak")


@contextmanager
def checker() -> Iterator[Checker]:
    """A Checker with a folder for the cases; what is printed meanwhile is caught."""
    netspec.build("lenet", device="meta")  # what torch imports late
    netspec.to_python("gpt")
    torch.set_num_threads(1)
    torch.set_warn_always(True)
    handler = signal.signal(signal.SIGPROF, _too_long)
    with ExitStack() as stack:
        stack.callback(signal.signal, signal.SIGPROF, handler)
        stack.callback(torch.set_warn_always, False)
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("always")
        warnings.showwarning = _print_warning
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        yield Checker(folder, stack.enter_context(captured()), slowness())


@contextmanager
def captured() -> Iterator[int]:
    """What goes to standard output and error goes to a file instead, whose number this is."""
    with tempfile.TemporaryFile(buffering=0) as file, ExitStack() as stack:
        text = io.TextIOWrapper(file, "utf-8", "backslashreplace", write_through=True)
        for number, stream in ((1, sys.stdout), (2, sys.stderr)):
            stream.flush()
            kept = os.dup(number)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, number)
            os.dup2(file.fileno(), number)
        stack.enter_context(redirect_stdout(text))
        stack.enter_context(redirect_stderr(text))
        yield file.fileno()


def build(spec: netspec.Spec | None) -> None:
    """Makes the model on `meta`, writes its source, and reads the spec's dump."""
    assert spec is not None, "it was accepted"
    for act in ("module", "functional", "inplace"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own, as of a model that is written by hand
            model = netspec.build(spec, act=act, device="meta")
        assert isinstance(model, nn.Module), "not a model"
        ast.parse(netspec.to_python(spec, act=act))
    if spec.source.value and not any(isinstance(v, str) and ".yaml" in v for v in _texts(spec)):
        assert netspec.loads(netspec.dump(spec)) == spec, "its dump reads as another spec"


def _texts(spec: netspec.Spec) -> Iterator[object]:
    stack = [spec.source.value]
    while stack:
        item = stack.pop()
        if isinstance(item, (dict, list)):
            stack.extend(item.values() if isinstance(item, dict) else item)
        yield item


def check_diagnostic(diagnostic: Diagnostic, case: Case) -> None:
    """The place is in the text, and the words can be shown on a terminal. Raises Broken."""
    span, told = diagnostic.span, render(diagnostic)
    try:
        assert re.fullmatch(r"NS[1-5]\d\d", diagnostic.code), "a code"
        assert span.line >= 1, "no line"
        assert 1 <= span.column <= len(span.text) + 1, "the column is outside of the line"
        assert span.width >= 1, "no width"
        assert span.column + span.width <= max(len(span.text), span.column) + 1, "too wide"
        assert diagnostic.fact.strip(), "no fact"
        assert len(told) <= LONG, "a very long message"
        assert not CONTROL.search(told), "control characters"
        told.encode()
        assert not NO_MEMORY.search(diagnostic.fact), "memory ran out"
        if span.file in ("<string>",) or span.file.endswith("/case.yaml"):
            text = case.data.decode(errors="replace").lstrip("\ufeff")
            lines = BREAK.split(text)
            assert span.line <= len(lines), "there is no such line"
            shown, line = (CONTROL.sub("\ufffd", t) for t in (span.text, lines[span.line - 1]))
            too_large = diagnostic.code == "NS103" and not span.text  # it was not read at all
            assert shown == line or "\ufffd" in text or too_large, "the line is another"
    except (AssertionError, UnicodeEncodeError) as error:
        kind = f"diagnostic {diagnostic.code}: {error}"[:120]
        raise Broken(kind, f"{span!r}\n{told!r}") from None


def state() -> dict[str, object]:
    """What a check may not change."""
    return {
        "random state of torch": torch.get_rng_state().numpy().tobytes(),
        "random state": random.getstate(),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "grad mode": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "autocast": torch.is_autocast_enabled("cpu"),
        "fast path": torch.backends.mha.get_fastpath_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "anomaly mode": torch.is_anomaly_enabled(),
        "threads": (torch.get_num_threads(), threading.active_count()),
        "collector": gc.isenabled(),
        "recursion limit": sys.getrecursionlimit(),
        "folder": os.getcwd(),
        "warnings": warnings.filters[:3],
        "environment": len(os.environ),
    }


def peak_memory() -> int:
    """Bytes that the process had in memory at most since the last `forget_peak`."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def forget_peak() -> None:
    """Counts the peak anew, where the system lets one (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raises Hang after so many seconds of the processor's time."""
    signal.setitimer(signal.ITIMER_PROF, seconds, 0.5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _print_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object
) -> None:
    """As Python does where nobody has changed it (pytest does)."""
    sys.stderr.write(warnings.formatwarning(message, category, filename, lineno))


def _too_long(*_: object) -> None:
    raise Hang


def _where(kind: str, error: BaseException) -> tuple[str, str]:
    """The kind with netspec's innermost line, and the traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/netspec/" in frame.filename]
    at = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "no line of netspec"
    text = "".join(traceback.format_exception(error))
    return f"{kind} at {at}", text[-6000:]
