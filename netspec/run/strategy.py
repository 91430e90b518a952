"""`trainer.strategy` → what Lightning is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from torch import nn
from torch.distributed.device_mesh import DeviceMesh

from netspec.run.device import Device


def find_strategy(name: str, device: Device, processes: int) -> Strategy | str:
    """`auto`: one process; `ddp`: a whole model in each; `fsdp`: a share of it in each."""
    backend = "nccl" if device.kind == "cuda" else "gloo"
    if name == "ddp":
        return DDPStrategy(process_group_backend=backend)
    if name == "fsdp":
        return Sharded(processes, backend)
    return "auto"


class Sharded(ModelParallelStrategy):
    """Fully sharded data parallel (FSDP2), whose checkpoints are those of a single process."""

    def __init__(self, processes: int, backend: str) -> None:
        super().__init__(processes, 1, False, backend)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> Any:
        """The whole checkpoint; its weights and optimizer states go to the shards right away."""
        from torch.distributed.checkpoint.state_dict import (
            StateDictOptions,
            set_model_state_dict,
            set_optimizer_state_dict,
        )
        from torch.distributed.fsdp import FullyShardedDataParallel, OptimStateKeyType

        checkpoint = self.checkpoint_io.load_checkpoint(Path(checkpoint_path))
        whole = StateDictOptions(full_state_dict=True)
        model = self.model
        assert model is not None, "a strategy is set up before it loads"
        set_model_state_dict(model, checkpoint["state_dict"], options=whole)
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            named = FullyShardedDataParallel.rekey_optim_state_dict(
                state, OptimStateKeyType.PARAM_NAME, model
            )
            set_optimizer_state_dict(model, optimizer, named, options=whole)
        return checkpoint


def shard(model: nn.Module, mesh: DeviceMesh) -> None:
    """Let each process hold a share of the parameters: container by container, then the rest.

    A container that shares parameters with another part stays with the rest, as do single layers,
    whose weights other layers may read.
    """
    from torch.distributed.fsdp import fully_shard  # a second of imports, for sharded runs alone

    owners: dict[int, set[str]] = {}
    for name, child in model.named_children():
        for parameter in child.parameters():
            owners.setdefault(id(parameter), set()).add(name)
    for container in _containers(model):
        if all(len(owners[id(p)]) == 1 for p in container.parameters()):
            fully_shard(container, mesh=mesh)
    fully_shard(model, mesh=mesh)


def _containers(model: nn.Module) -> list[nn.Module]:
    found: list[nn.Module] = []
    for child in model.children():
        if isinstance(child, nn.ModuleList):
            found += [item for item in child if any(True for _ in item.parameters())]
        elif any(True for _ in child.children()) and any(True for _ in child.parameters()):
            found.append(child)
    return found
