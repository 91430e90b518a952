"""Several processes for one run: started here, or by torchrun and the like."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from netspec.errors import Diagnostic, RunError, Span
from netspec.run.settings import Settings

WORKER = "NETSPEC_WORKER"  # set in the processes that are started here
_WAIT = 30.0  # seconds for a worker to end by itself after the run
_SOON = 5.0  # and to end before it, where the others found it gone


def rank() -> int:
    """This process's number among those of the run; 0 writes the files."""
    return int(os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or 0)


def world_size(settings: Settings) -> int:
    """How many processes a run has."""
    given = os.environ.get("WORLD_SIZE")
    if given:
        return int(given)
    return settings.trainer.devices if settings.trainer.strategy != "auto" else 1


class Workers:
    """The other processes of a run on this machine, while it lasts.

    They get the settings and the folder, and never write there. Where the environment says that
    somebody else started the processes, none are.
    """

    def __init__(self, settings: Settings, overrides: Sequence[str], folder: Path) -> None:
        self.settings = settings
        self.overrides = overrides
        self.folder = folder
        self.started: list[subprocess.Popen[bytes]] = []
        self.said: list[IO[bytes]] = []  # why each of them ended
        self.set: list[str] = []

    def __enter__(self) -> Workers:
        count = world_size(self.settings)
        if count == 1 or "LOCAL_RANK" in os.environ:
            return self
        shared = {
            "WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(_free_port()),
            "NODE_RANK": "0",
        }
        if sys.platform == "linux":
            shared["GLOO_SOCKET_IFNAME"] = os.environ.get("GLOO_SOCKET_IFNAME", "lo")
        told = json.dumps(
            {
                "settings": self.settings.model_dump(mode="json"),
                "overrides": list(self.overrides),
                "folder": str(self.folder),
            }
        )
        for index in range(1, count):
            own = {"RANK": str(index), "LOCAL_RANK": str(index), WORKER: "1"}
            self.said.append(tempfile.TemporaryFile())
            worker = subprocess.Popen(
                [sys.executable, "-m", "netspec.run.ddp_worker"],
                env={**os.environ, **shared, **own},
                stdin=subprocess.PIPE,
                stdout=self.said[-1],
            )
            assert worker.stdin is not None, "a pipe was asked for"
            worker.stdin.write(told.encode())
            worker.stdin.close()
            self.started.append(worker)
        mine = {**shared, "RANK": "0", "LOCAL_RANK": "0"}
        self.set = list(mine)
        os.environ.update(mine)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        lost = self._lost() if isinstance(error, RuntimeError) else None
        for worker in self.started:
            if kind is not None:
                worker.terminate()
            try:
                worker.wait(_WAIT)
            except subprocess.TimeoutExpired:
                worker.kill()
        for said in self.said:
            said.close()
        for name in self.set:
            os.environ.pop(name, None)
        if self.started:
            _leave_group()
        if lost is not None:
            raise lost from None

    def _lost(self) -> RunError | None:
        """The error of a process that ended first, and left the others without an answer."""
        end = time.monotonic() + _SOON
        while time.monotonic() < end:
            for index, (worker, said) in enumerate(zip(self.started, self.said, strict=True), 1):
                status = worker.poll()
                if status:
                    how = f"killed by signal {-status}" if status < 0 else f"status {status}"
                    said.seek(0)
                    notes = tuple(said.read().decode(errors="replace").strip().splitlines())
                    fact = f"process {index} of {len(self.started) + 1} ended: {how}"
                    help = "go on with it: resume=…"
                    span = Span(str(self.folder))
                    return RunError(Diagnostic("NS710", fact, span, notes, help))
            time.sleep(0.05)
        return None


def _leave_group() -> None:
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
