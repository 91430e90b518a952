"""What the run's folder says of the run: run.yaml, spec.yaml, summary.txt, metrics.json."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from netspec.checks.inplace.messages import decisions_text
from netspec.language.dump import dump_spec
from netspec.run import folder as files
from netspec.run.device import Device
from netspec.run.evaluate_split import Measured
from netspec.run.initial_model import Start
from netspec.run.interruption import Interrupted
from netspec.run.overrides import as_written
from netspec.run.preflight import Prepared
from netspec.run.processes import rank
from netspec.run.run_callback import Keeper
from netspec.version import __version__
from netspec.view.summary import summarize
from netspec.view.table import summary_text

_RESULTS = ("best", "last", "epochs")
_NOT_SAID = ("folder", "resume")  # what is about this folder, not about the run


def describe_run(prepared: Prepared) -> dict[str, Any]:
    """What a checkpoint carries beside its recipe, as plain values."""
    settings = prepared.settings
    return {
        "run": settings.model_dump(mode="json"),
        "task": prepared.scoring.objective.task,
        "data": {
            "name": prepared.data.name,
            "classes": prepared.data.classes,
            "facts": dict(prepared.data.facts),
            "fingerprint": prepared.data.fingerprint,
        },
        "metrics_asked": list(prepared.scoring.metrics),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    return {
        "netspec": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


@dataclass(slots=True)
class Record:
    """metrics.json as the run goes on."""

    folder: Path
    prepared: Prepared
    info: Mapping[str, Any]
    device: Device
    started: str = field(
        default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds")
    )
    parameters: int = 0
    start: Mapping[str, Any] = field(default_factory=dict)  # `weights` and `frozen`
    earlier: Mapping[str, Any] = field(default_factory=dict)  # results, where the run goes on
    _clock: float = field(default_factory=time.monotonic)

    def write(self, status: str, **more: Any) -> dict[str, Any]:
        settings = self.prepared.settings
        monitor = self.prepared.monitor
        found: dict[str, Any] = {
            "status": status,
            "error": None,
            "monitor": {"name": monitor.name, "mode": monitor.mode},
            "best": None,
            "last": None,
            "test": None,
            "overrides": [as_written(text) for text in self.prepared.overrides],
            "spec": self.prepared.choice.source,
            "act": settings.act.form,
            "seed": settings.seed,
            "parameters": self.parameters,
            **self.start,
            "device": str(self.device.torch),
            "precision": settings.precision,
            "versions": versions(),
            "started": self.started,
            "seconds": round(time.monotonic() - self._clock, 3),
            "epochs": 0,
            **more,
        }
        files.write_json(self.folder / files.METRICS, found)
        return found

    @contextmanager
    def told_how_it_ends(self, keeper: Keeper) -> Iterator[None]:
        """Says in metrics.json why it ended, where it did not finish: at its start, amid it, or in
        its test."""
        try:
            yield
        except (Interrupted, KeyboardInterrupt) as stop:
            self._stopped("interrupted", keeper, f"{stop}" or None)
            raise
        except BaseException as error:
            self._stopped("failed", keeper, str(error).strip() or type(error).__name__)
            raise

    def _stopped(self, status: str, keeper: Keeper, error: str | None) -> None:
        if rank():
            return
        results = _results(keeper) if keeper.rows else self.earlier
        self.write(status, error=error, **results)

    def finished(self, keeper: Keeper, tested: Measured | None) -> dict[str, Any]:
        test = tested.metrics if tested is not None else None
        return self.write("finished", test=test, **_results(keeper))


def _results(keeper: Keeper) -> dict[str, Any]:
    last = keeper.rows[-1] if keeper.rows else None
    return {
        "best": keeper.best,
        "last": last,
        "epochs": int(last["epoch"] or 0) if last else 0,
        "seconds": round(keeper.elapsed(), 3),
    }


def write_start(
    folder: Path, prepared: Prepared, start: Start, record: Record, resumed: bool
) -> None:
    """What is known before the first step. A resumed run keeps what is there."""
    record.parameters = sum(p.numel() for p in start.model.parameters())
    record.start = start.record()
    if resumed:
        before = files.read_metrics(folder) or {}
        record.start = {**record.start, "weights": before.get("weights")}
        record.started = str(before.get("started", record.started))
        record.earlier = {key: before[key] for key in _RESULTS if before.get(key) is not None}
        record.write("running", **record.earlier)
        return
    record.write("running")  # first, so that whoever finds the folder knows whose it is
    plain = prepared.settings.model_dump(mode="json", exclude=set(_NOT_SAID))
    files.write_text(folder / files.RUN, OmegaConf.to_yaml(OmegaConf.create(plain)))
    files.write_text(folder / files.SPEC, dump_spec(prepared.compiled.spec))
    summary = summarize(prepared.compiled.program, prepared.compiled.built.empty())
    text = summary_text(summary, 100)
    if prepared.compiled.decisions:
        text += f"\n{decisions_text(prepared.compiled.decisions)}"
    for name, lines in start.lines().items():
        text += f"\n{name}\n" + "".join(f"  {line}\n" for line in lines)
    files.write_text(folder / files.SUMMARY, text)


def write_failure(folder: Path, overrides: Sequence[str], error: Exception) -> None:
    """Say in metrics.json that a run failed, if it does not say so already."""
    found = files.read_metrics(folder) or {}
    if found.get("status") in ("failed", "finished"):
        return
    said = str(error).strip() or type(error).__name__
    begun = {"overrides": [as_written(text) for text in overrides], **found}
    files.write_json(folder / files.METRICS, {**begun, "status": "failed", "error": said})
