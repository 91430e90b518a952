"""`trainer.strategy` → what Lightning is asked for."""

from __future__ import annotations

from typing import Any

from netspec.run.device import Device


def find_strategy(name: str, device: Device) -> Any:
    """`auto`, `ddp`, or fully sharded data parallel."""
    if name == "ddp":
        from lightning.pytorch.strategies import DDPStrategy

        backend = "nccl" if device.kind == "cuda" else "gloo"
        return DDPStrategy(process_group_backend=backend)
    return "auto"
