"""Memory of a training step, activations in new memory beside those in place: bytes, no times.

    python scripts/bench_memory.py [--quick] [--json FILE]

Storages are counted, each once: what autograd holds for the backward pass, and the most that live
at one time, in training and in evaluation. Parameters and buffers are left out, their gradients are
not. The run is on `meta`, which gives the CPU's figures of training to the byte; in evaluation its
batch norm also gives the statistics of its channels, some hundred bytes (tests/test_memory.py).
What a kernel takes for itself while it runs is not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from _timing import introduce, options, table, write_json
from handwritten import resnet18_in_place
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import netspec
from netspec.pipeline import compile_spec

HERE = Path(__file__).resolve().parent
MODELS = HERE.parent / "configs" / "model"
FUNCTIONS = ("relu", "leaky_relu", "relu6", "silu", "elu")
QUICK_FUNCTIONS = ("leaky_relu",)
CLASSES: Mapping[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "relu6": nn.ReLU6,
    "silu": nn.SiLU,
    "elu": nn.ELU,
}


@dataclass(frozen=True)
class Subject:
    """A spec, and the shape of the batch that it is run on."""

    name: str
    spec: Path
    shape: tuple[int, ...]


LENET = Subject("LeNet, 64×1×28×28", MODELS / "lenet.yaml", (64, 1, 28, 28))
ALEXNET = Subject("AlexNet, 128×3×224×224", MODELS / "alexnet.yaml", (128, 3, 224, 224))
RESNET18 = Subject("ResNet-18, 32×3×224×224", MODELS / "resnet18.yaml", (32, 3, 224, 224))
MOBILENET = Subject(
    "MobileNetV2, 32×3×224×224", MODELS / "zoo" / "mobilenet_v2.yaml", (32, 3, 224, 224)
)
SUBJECTS = (LENET, ALEXNET, RESNET18, MOBILENET)


@dataclass(frozen=True)
class Memory:
    """Bytes: held for backward, the most in a forward and backward pass, the most in evaluation."""

    held: int
    peak: int
    evaluation: int


@dataclass(frozen=True)
class Row:
    """One model and function; `base` is what `inplace` is measured against.

    Of its `activations`, so many are `in_place`, and of those torch copies `copied` first.
    """

    name: str
    fn: str
    base: Memory
    inplace: Memory
    activations: int
    in_place: int
    copied: int


def main() -> None:
    given = options(__doc__)
    torch.set_num_threads(1)
    about = "Bytes of distinct storages, parameters and buffers left out; on `meta`."
    introduce("Memory", about)
    functions = QUICK_FUNCTIONS if given.quick else FUNCTIONS
    forms = [beside_modules(subject, fn) for subject in SUBJECTS for fn in functions]
    by_hand = [beside_torchvision(RESNET18, fn) for fn in functions]
    print(memory_table(forms, "act=module"))
    print("\n### ResNet-18 with torchvision's placement written by hand\n")
    print(memory_table(by_hand, "torchvision's"))
    tables = {"forms": forms, "torchvision": by_hand}
    write_json(given.json, {name: list(map(asdict, rows)) for name, rows in tables.items()})


def beside_modules(subject: Subject, fn: str) -> Row:
    """The spec with `act=inplace` beside `act=module`."""
    act = {"form": "module", "fn": fn}
    return _row(subject, fn, partial(netspec.build, subject.spec, act=act))


def beside_torchvision(subject: Subject, fn: str) -> Row:
    """ResNet-18 with `act=inplace` beside torchvision's, which has this function in place."""
    return _row(subject, fn, partial(resnet18_in_place, CLASSES[fn]))


def _row(subject: Subject, fn: str, make_base: Callable[[], nn.Module]) -> Row:
    compiled = compile_spec(subject.spec, act={"form": "inplace", "fn": fn})
    with torch.device("meta"):
        x = torch.empty(subject.shape)
        base, inplace = make_base(), compiled.built.make()
    accepted = [decision for decision in compiled.decisions if decision.obstacle is None]
    return Row(
        subject.name,
        fn,
        measure_memory(base, x),
        measure_memory(inplace, x),
        len(compiled.decisions),
        len(accepted),
        sum(decision.copies for decision in accepted),
    )


# Counting


def measure_memory(model: nn.Module, x: Tensor) -> Memory:
    """What one training step and one evaluation of a batch take; the loss is the output's sum."""
    model.train()
    held = held_bytes(model, x)
    with _Living(model, x) as training:
        model(x).sum().backward()
    model.zero_grad(set_to_none=True)
    model.eval()
    with torch.no_grad(), _Living(model, x) as evaluation:
        model(x)
    return Memory(held, training.peak, evaluation.peak)


def held_bytes(model: nn.Module, x: Tensor) -> int:
    """The bytes that autograd holds between a forward and a backward pass."""
    apart = _addresses(model)
    held: dict[int, int] = {}

    def hold(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in apart:
            held[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(hold, _unchanged):
        output = model(x)
    del output  # until here the graph kept all storages, so that no address came twice
    return sum(held.values())


class _Living(TorchDispatchMode):
    """Watches every kernel; `peak` is the most bytes that were alive right after one."""

    def __init__(self, model: nn.Module, x: Tensor) -> None:
        super().__init__()
        self.peak = 0
        self._apart = _addresses(model)
        self._living: dict[int, tuple[StorageWeakRef, int]] = {}
        self._meet([x])

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        value = func(*args, **(kwargs or {}))
        self._meet(leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor))
        return value

    def _meet(self, tensors: Iterable[Tensor]) -> None:
        # A weak reference keeps the address of its storage from being used again.
        living = {key: kept for key, kept in self._living.items() if not kept[0].expired()}
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if storage._cdata not in self._apart:
                living[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self._living = living
        self.peak = max(self.peak, sum(size for _, size in living.values()))


def _addresses(model: nn.Module) -> set[int]:
    """The storages of parameters and buffers, which live as long as the model."""
    return {t.untyped_storage()._cdata for t in (*model.parameters(), *model.buffers())}


def _unchanged(tensor: Tensor) -> Tensor:
    return tensor


# Showing


def memory_table(rows: Iterable[Row], base: str) -> str:
    """The rows as Markdown: megabytes of both, and their ratios."""
    head = [
        "model", "function", "in place", "of them copied",
        f"held for backward, {base}, MB", "act=inplace, MB", "ratio",
        f"peak of a step, {base}, MB", "act=inplace, MB", "ratio",
        f"peak without gradients, {base}, MB", "act=inplace, MB", "ratio",
    ]  # fmt: skip
    cells = [
        [
            row.name, row.fn, f"{row.in_place} of {row.activations}", str(row.copied),
            *_compared(row.base.held, row.inplace.held),
            *_compared(row.base.peak, row.inplace.peak),
            *_compared(row.base.evaluation, row.inplace.evaluation),
        ]
        for row in rows
    ]  # fmt: skip
    return table(head, cells)


def _compared(base: int, other: int) -> tuple[str, str, str]:
    return f"{base / 1e6:.1f}", f"{other / 1e6:.1f}", f"**{other / base:.3f}**"


if __name__ == "__main__":
    main()
