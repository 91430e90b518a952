"""What torch can do with a model, tried on built models and on their hand-written twins alike."""

from __future__ import annotations

import copy
import importlib.util
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
import torch.multiprocessing
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import netspec
from tests.compare import compare_values, flatten
from tests.twins.registry import Twin

ROOT = Path(__file__).parents[1]
SPECS = ROOT / "configs" / "model"
SEED = 3


@dataclass(frozen=True)
class Subject:
    """A model to try things on, built or hand-written; `source` is it from a Python file."""

    name: str
    make: Callable[[], nn.Module]  # the same parameters at every call
    source: Callable[[Path], nn.Module]  # TorchScript reads the file, which lies in this folder
    inputs: Callable[[int], tuple[Tensor, ...]]  # for a batch size


def built(twin: Twin, form: str, *, training: bool = False, specs: Path = SPECS) -> Subject:
    """What netspec builds for a twin, with the twin's parameters."""
    path, args = specs / f"{twin.spec}.yaml", dict(twin.args)
    name = f"{twin}-{form}"

    def make() -> nn.Module:
        return netspec.build(path, args=args, act=form, seed=SEED).train(training)

    def source(folder: Path) -> nn.Module:
        return imported(netspec.to_python(path, args=args, act=form), name, folder).train(training)

    return Subject(name, make, source, twin.inputs)


def hand_written(twin: Twin, *, training: bool = False) -> Subject:
    def make() -> nn.Module:
        torch.manual_seed(SEED)
        return twin.make().train(training)

    return Subject(f"{twin}-twin", make, lambda folder: make(), twin.inputs)


def imported(text: str, name: str, folder: Path) -> nn.Module:
    """The model of a source that `to_python` wrote, imported from a file in the folder."""
    file = folder / f"{name}.py"
    file.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(f"exported {name}", file)
    assert spec and spec.loader, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.manual_seed(SEED)
    return module.build_model()


# Features of one model in this process. Each raises where torch can't, or where outputs differ.


def run(model: Callable[..., object], inputs: Sequence[Tensor]) -> object:
    torch.manual_seed(SEED)
    return model(*inputs)


def same(ours: object, expected: object) -> None:
    differences = compare_values(ours, expected)
    assert not differences, "; ".join(differences)


def deepcopy(subject: Subject, folder: Path) -> None:
    model, inputs = subject.make(), subject.inputs(2)
    expected = run(model, inputs)
    copied = copy.deepcopy(model)
    classes = [type(module) for module in copied.modules()]
    assert classes == [type(module) for module in model.modules()], "the copy has other classes"
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data.zero_()
    same(run(copied, inputs), expected)


def compile_eager(subject: Subject, folder: Path) -> None:
    torch._dynamo.reset()
    model, inputs = subject.make(), subject.inputs(2)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    same(run(compiled, inputs), run(model, inputs))


def compile_step(subject: Subject, folder: Path) -> None:
    """A function of the user's own that calls the model: its frame has other globals."""
    torch._dynamo.reset()
    model, inputs = subject.make(), subject.inputs(2)

    def step(*inputs: Tensor) -> Tensor:
        return sum(value.sum() for value in flatten(model(*inputs)))

    same(run(torch.compile(step, fullgraph=True, backend="eager"), inputs), run(step, inputs))


def compile_inductor(subject: Subject, folder: Path) -> None:
    torch._dynamo.reset()
    model, inputs = subject.make(), subject.inputs(2)
    compiled = run(torch.compile(model, fullgraph=True), inputs)
    for ours, expected in zip(flatten(compiled), flatten(run(model, inputs)), strict=True):
        torch.testing.assert_close(ours, expected)


def export(subject: Subject, folder: Path) -> None:
    model, inputs = subject.make(), subject.inputs(2)
    program = torch.export.export(model, inputs)
    same(run(program.module(), inputs), run(model, inputs))


def export_dynamic(subject: Subject, folder: Path) -> None:
    model, inputs = subject.make(), subject.inputs(2)
    batch = torch.export.Dim("N")
    program = torch.export.export(model, inputs, dynamic_shapes=tuple({0: batch} for _ in inputs))
    inputs = subject.inputs(5)
    same(run(program.module(), inputs), run(model, inputs))


def fx_trace(subject: Subject, folder: Path) -> None:
    model, inputs = subject.make(), subject.inputs(2)
    same(run(torch.fx.symbolic_trace(model), inputs), run(model, inputs))


def jit_trace(subject: Subject, folder: Path) -> None:
    model, inputs = subject.make(), subject.inputs(2)
    same(run(torch.jit.trace(model, inputs), inputs), run(model, inputs))


def jit_script(subject: Subject, folder: Path) -> None:
    model, inputs = subject.source(folder), subject.inputs(2)
    same(run(torch.jit.script(model), inputs), run(model, inputs))


FEATURES: Mapping[str, Callable[[Subject, Path], None]] = {
    "deepcopy": deepcopy,
    "compile": compile_eager,
    "compile around": compile_step,
    "export": export,
    "export, any N": export_dynamic,
    "fx": fx_trace,
    "jit.trace": jit_trace,
    "jit.script": jit_script,
}


def attempt(feature: str, subject: Subject, folder: Path) -> str | None:
    """None where it works, else the error in one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            FEATURES[feature](subject, folder)
    except Exception as error:
        return in_one_line(error)
    return None


def in_one_line(error: BaseException) -> str:
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}"


# Hooks, against the twin: a model's own activations aside, they fire at the same paths.


@dataclass
class Trace:
    """What hooks saw: before and after each call forward, and on the way back."""

    forward: list[tuple[str, str]]
    outputs: list[tuple[str, object]]
    backward: list[tuple[str, object]]


def traced(model: nn.Module, inputs: tuple[Tensor, ...], paths: Collection[str]) -> Trace:
    """A forward and a backward with hooks on the modules at these paths."""
    trace = Trace([], [], [])
    for path, module in model.named_modules():
        if path in paths:
            module.register_forward_pre_hook(lambda m, x, path=path: saw(trace.forward, path, "in"))
            module.register_forward_hook(lambda m, x, y, path=path: saw(trace.outputs, path, y))
            module.register_forward_hook(lambda m, x, y, path=path: saw(trace.forward, path, "out"))
            module.register_full_backward_hook(lambda m, x, y, path=path: saw(trace.backward, path, y))
    total(run(model, inputs)).backward()
    return trace


def saw(seen: list[tuple[str, object]], path: str, what: object) -> None:
    seen.append((path, what))


def hooks(model: Subject, twin: Subject) -> None:
    """Hooks fire in the same order with the same values, and change the outputs in the same way."""
    inputs = twin.inputs(2)
    paths = common_paths(model.make(), twin.make(), inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no input of an embedding requires grad
        ours, theirs = traced(model.make(), inputs, paths), traced(twin.make(), inputs, paths)
    assert ours.forward == theirs.forward, f"fired {ours.forward}, the twin's {theirs.forward}"
    same(ours.outputs, theirs.outputs)
    same(ours.backward, theirs.backward)
    changed = []
    for subject in (model, twin):
        changing = subject.make()
        for path in paths:
            changing.get_submodule(path).register_forward_hook(lambda m, x, y: doubled(y))
        changed.append(run(changing, inputs))
    same(*changed)


def doubled(output: object) -> Tensor | None:
    return output * 2 if isinstance(output, Tensor) else None


def common_paths(model: nn.Module, twin: nn.Module, inputs: tuple[Tensor, ...]) -> list[str]:
    """The modules that both call; all that hold parameters of their own are among them."""
    ours, theirs = called_paths(model, inputs), called_paths(twin, inputs)
    stateful = [path for path in ours if [*model.get_submodule(path).parameters(recurse=False)]]
    missed = [path for path in stateful if path not in theirs]
    assert not missed, f"the twin does not call {missed}"
    return [path for path in ours if path in theirs]


def called_paths(model: nn.Module, inputs: tuple[Tensor, ...]) -> list[str]:
    called: dict[str, None] = {}
    for path, module in model.named_modules():
        module.register_forward_hook(lambda m, x, y, path=path: called.setdefault(path))
    run(model, inputs)
    return list(called)


# In another process, where the classes do not exist.

LOADER = """
import pickle, sys, traceback
from pathlib import Path

import torch

torch.set_num_threads(1)


def answers(case):
    model = pickle.loads((case / "model.pickle").read_bytes())
    saved = torch.load(case / "model.pt", weights_only=False)
    part, args = pickle.loads((case / "part.pickle").read_bytes())
    inputs = torch.load(case / "inputs.pt")
    found = {"classes": [(type(m).__module__, type(m).__name__) for m in model.modules()]}
    found["one class"] = type(model) is type(saved)
    for name, made, given in [("model", model, inputs), ("saved", saved, inputs), ("part", part, args)]:
        torch.manual_seed(0)
        found[name] = made(*given)
    (case / "back.pickle").write_bytes(pickle.dumps(model))
    return found


for case in sorted(Path(sys.argv[1]).iterdir()):
    try:
        found = answers(case)
    except Exception as error:
        traceback.print_exc()
        found = f"{type(error).__name__}: {error}"
    torch.save(found, case / "answers.pt")
"""


@dataclass(frozen=True)
class Elsewhere:
    """What another process found in a model, and the error, if there is one, of each feature."""

    pickle: str | None
    save: str | None
    part: str | None
    back: str | None


def elsewhere(subjects: Mapping[str, nn.Module]) -> None:
    """Not used."""


# As replicas that share their gradients, in spawned processes.

WORLD = 2


@dataclass(frozen=True)
class Replica:
    """A model on its way to the spawned processes, and the inputs, one part for each."""

    name: str
    model: nn.Module
    parts: tuple[tuple[Tensor, ...], ...]


def replica(subject: Subject) -> Replica:
    whole, halves = subject.inputs(2 * WORLD), [x.chunk(WORLD) for x in subject.inputs(2 * WORLD)]
    splits = all(len(half) == WORLD and len(x) == 2 * WORLD for half, x in zip(halves, whole))
    parts = tuple(zip(*halves)) if splits else (whole,) * WORLD
    return Replica(subject.name, subject.make(), parts)


def total(outputs: object) -> Tensor:
    """A loss that is a sum over the samples, so that the parts' losses add up to the whole's."""
    return sum(value.square().sum() for value in flatten(outputs) if value.requires_grad)


def gradients(model: nn.Module) -> dict[str, Tensor | None]:
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def expected_gradients(item: Replica) -> dict[str, Tensor | None]:
    """What one process gets on the whole batch; replicas take the mean over the processes."""
    model = copy.deepcopy(item.model)
    alike = all(part is item.parts[0] for part in item.parts)
    whole = item.parts[0] if alike else tuple(torch.cat(xs) for xs in zip(*item.parts))
    (total(model(*whole)) * (1.0 if alike else 1 / WORLD)).backward()
    return gradients(model)


def replicate(items: Sequence[Replica], folder: Path) -> dict[str, object]:
    """By name, the gradients that the replicas agreed on, or the error in one line."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.multiprocessing.spawn(_replicate, (list(items), folder), nprocs=WORLD)
    return torch.load(folder / "gradients.pt")


def _replicate(rank: int, items: list[Replica], folder: Path) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder / 'meeting'}",
        rank=rank,
        world_size=WORLD,
        timeout=timedelta(seconds=120),
    )
    found: dict[str, object] = {}
    for item in items:
        try:
            model = DistributedDataParallel(item.model, find_unused_parameters=True)
            total(model(*item.parts[rank])).backward()
            found[item.name] = gradients(item.model)
        except Exception as error:
            found[item.name] = in_one_line(error)
    if rank == 0:
        torch.save(found, folder / "gradients.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
