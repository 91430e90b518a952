"""The files of a run folder and a sweep folder that the report reads, as they must look."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter


class _File(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class Monitor(_File):
    """The metric that chose the best epoch, and which way is better."""

    name: str
    mode: Literal["min", "max"]


class MetricsFile(_File):
    """`metrics.json`: what one run came to."""

    status: Literal["finished", "running", "interrupted", "failed"]
    error: str | None = None
    monitor: Monitor | None = None
    best: dict[str, float | None] | None = None
    last: dict[str, float | None] | None = None
    test: dict[str, float | None] | None = None
    overrides: list[str] = []
    spec: str | None = None
    act: str | None = None
    seed: int | None = None
    parameters: int | None = None
    device: str | None = None
    precision: str | None = None
    seconds: float | None = None
    epochs: int | None = None


class PointFile(_File):
    """One point of a sweep's grid, an item of `points.json`."""

    index: int
    folder: str
    overrides: list[str] = []
    parameters: int | None = None
    same_as: int | None = None
    data: str | None = None  # what tells its examples from others


POINTS = TypeAdapter(list[PointFile])
