"""What torch can do with a model, tried on built models and on their hand-written twins alike."""

from __future__ import annotations

import copy
import importlib.util
import os
import pickle
import shutil
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
            module.register_full_backward_hook(
                lambda m, x, y, path=path: saw(trace.backward, path, y)
            )
    loss(run(model, inputs)).backward()
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


# In another process, where netspec's classes do not exist.

LOADER = """
import pickle, sys, traceback
from pathlib import Path

import torch

torch.set_num_threads(1)


def answer(make):
    try:
        model, inputs = make()
        torch.manual_seed(3)
        classes = [(type(m).__module__, type(m).__qualname__) for m in model.modules()]
        return {"classes": classes, "outputs": model(*inputs)}
    except Exception as error:
        return "".join(traceback.format_exception_only(error)) + traceback.format_exc()


for case in Path(sys.argv[1]).iterdir():
    inputs = torch.load(case / "inputs.pt")
    pickled, part = (case / "model.pickle").read_bytes(), (case / "part.pickle").read_bytes()
    answers = {
        "pickle": answer(lambda: (pickle.loads(pickled), inputs)),
        "torch.save": answer(lambda: (torch.load(case / "model.pt", weights_only=False), inputs)),
        "pickle a part": answer(lambda: pickle.loads(part)),
    }
    torch.save(answers, case / "answers.pt")
    try:
        (case / "back.pickle").write_bytes(pickle.dumps(pickle.loads(pickled)))
    except Exception as error:
        (case / "back.pickle").write_bytes(pickle.dumps(error))
"""
ELSEWHERE = ("pickle", "torch.save", "pickle a part", "pickle, there and back")

Part = tuple[nn.Module, tuple[Tensor, ...]]


def elsewhere(
    subjects: Sequence[Subject], folder: Path, specs: Path | None = None
) -> dict[str, dict[str, str | None]]:
    """For each subject, and each of ELSEWHERE, None where it works, else the error in one line.

    The models are written here and read in a process that starts in another folder, after `specs`,
    the folder that they were built from, is gone.
    """
    models = {subject.name: subject.make() for subject in subjects}
    parts: dict[str, Part] = {}
    for number, subject in enumerate(subjects):
        model, inputs, case = models[subject.name], subject.inputs(2), folder / f"cases/{number}"
        parts[subject.name] = called_part(model, inputs)
        case.mkdir(parents=True)
        torch.save(inputs, case / "inputs.pt")
        torch.save(model, case / "model.pt")
        (case / "model.pickle").write_bytes(pickle.dumps(model))
        (case / "part.pickle").write_bytes(pickle.dumps(parts[subject.name]))
    if specs is not None:
        shutil.rmtree(specs)
    command = [sys.executable, "-c", LOADER, str(folder / "cases")]
    subprocess.run(command, cwd=folder, check=True)
    return {
        subject.name: compare_answers(
            folder / f"cases/{number}", models[subject.name], parts[subject.name], subject.inputs(2)
        )
        for number, subject in enumerate(subjects)
    }


def compare_answers(
    case: Path, model: nn.Module, part: Part, inputs: tuple[Tensor, ...]
) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    answers = torch.load(case / "answers.pt")
    for feature, answer in answers.items():
        expected, given = part if feature == "pickle a part" else (model, inputs)
        if isinstance(answer, str):
            found[feature] = answer.splitlines()[0]
        elif answer["classes"] != class_names(expected):
            found[feature] = f"the classes are {answer['classes']}"
        else:
            found[feature] = "; ".join(compare_values(answer["outputs"], run(expected, given)))
    back = pickle.loads((case / "back.pickle").read_bytes())
    if not isinstance(back, nn.Module):
        found["pickle, there and back"] = in_one_line(back)
    elif [type(m) for m in back.modules()] != [type(m) for m in model.modules()]:
        found["pickle, there and back"] = "what comes back has other classes"
    else:
        differences = compare_values(run(back, inputs), run(model, inputs))
        found["pickle, there and back"] = "; ".join(differences)
    return {feature: error or None for feature, error in found.items()}


def class_names(model: nn.Module) -> list[tuple[str, str]]:
    return [(type(m).__module__, type(m).__qualname__) for m in model.modules()]


def called_part(model: nn.Module, inputs: tuple[Tensor, ...]) -> Part:
    """A module inside the model, not one of torch's own if there is another, and a call of it.

    Where nothing is called inside, the model itself.
    """
    calls: list[Part] = []
    handles = [
        module.register_forward_pre_hook(lambda module, args: calls.append((module, args)))
        for module in model.modules()
        if module is not model
    ]
    with torch.no_grad():
        model(*inputs)
    for handle in handles:
        handle.remove()
    own = [call for call in calls if not type(call[0]).__module__.startswith("torch.")]
    return next(iter([*own, *calls, (model, inputs)]))


# As replicas that share their gradients, in spawned processes.

WORLD = 2


@dataclass(frozen=True)
class Replica:
    """A model on its way to the spawned processes, and its inputs there, one set for each."""

    name: str
    model: nn.Module
    parts: tuple[tuple[Tensor, ...], ...]


def replicate(subjects: Sequence[Subject], folder: Path) -> dict[str, str | None]:
    """DistributedDataParallel in spawned processes: None where each replica ends up with the
    gradients that one process gets for the whole batch, else the error in one line."""
    items = [replica(subject) for subject in subjects]
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.multiprocessing.spawn(train_replicas, (items, folder), nprocs=WORLD)
    found = [torch.load(folder / f"gradients{rank}.pt") for rank in range(WORLD)]
    return {
        item.name: next(
            filter(None, [compare_gradients(each[item.name], item) for each in found]), None
        )
        for item in items
    }


def replica(subject: Subject) -> Replica:
    inputs = subject.inputs(2 * WORLD)
    parts = tuple(zip(*(x.chunk(WORLD) for x in inputs), strict=True))
    # A batch that is always 1 goes whole to each process.
    return Replica(
        subject.name, subject.make(), parts if len(parts) == WORLD else (inputs,) * WORLD
    )


def train_replicas(rank: int, items: Sequence[Replica], folder: Path) -> None:
    """Writes, for each item, what one replica has after a step, or the error in one line."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    meeting, patience = f"file://{folder / 'meeting'}", timedelta(seconds=120)
    torch.distributed.init_process_group(
        "gloo", init_method=meeting, rank=rank, world_size=WORLD, timeout=patience
    )
    found: dict[str, object] = {}
    for item in items:
        try:
            model = DistributedDataParallel(item.model, find_unused_parameters=True)
            loss(model(*item.parts[rank])).backward()
            found[item.name] = gradients(item.model)
        except Exception as error:
            found[item.name] = in_one_line(error)
    torch.save(found, folder / f"gradients{rank}.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def loss(outputs: object) -> Tensor:
    """A sum over the samples, so that the losses of a batch's parts add up to the whole's."""
    return sum(value.square().sum() for value in flatten(outputs) if value.requires_grad)


def gradients(model: nn.Module) -> dict[str, Tensor | None]:
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def compare_gradients(found: object, item: Replica) -> str | None:
    """The first gradient that is not one process's on the whole batch, over the number of them."""
    if isinstance(found, str):
        return found
    whole = tuple(torch.cat(each) for each in zip(*dict.fromkeys(item.parts), strict=True))
    item.model.zero_grad()
    (loss(item.model(*whole)) / len(set(item.parts))).backward()
    for name, expected in gradients(item.model).items():
        ours = found[name]
        if (ours is None) != (expected is None):
            return f"only one of the two models has a gradient of {name}"
        if ours is not None:
            noise = 1e-5 * max(1.0, expected.abs().max().item())
            if not torch.allclose(ours, expected, rtol=1e-4, atol=noise):
                return f"the gradient of {name} is apart by {(ours - expected).abs().max():.2g}"
    return None


# The table of docs/compatibility.md

COLUMNS = (*FEATURES, "hooks", *ELSEWHERE, "DDP")


def mark(errors: Mapping[str, str | None]) -> str:
    """What stands in a cell, from the error of each form: ✓ both work, ✗ neither, or which one."""
    working = [form for form, error in errors.items() if error is None]
    return "✓" if len(working) == len(errors) else ", ".join(working) or "✗"


def works_in(table: str, twin: Twin, form: str, feature: str) -> bool:
    """Whether the table says that a form of a network can do this."""
    line = next(line for line in table.splitlines() if line.startswith(f"| {label(twin)} |"))
    cell = line.split(" | ")[1:][COLUMNS.index(feature)].strip(" |")
    return cell == "✓" or form in cell.split(", ")


def exception(twin: Twin, form: str, feature: str, error: str, theirs: str | None) -> str:
    """A line of the list of exceptions: a model's error beside its twin's."""
    also = (
        "none: it works" if theirs is None else "the same" if theirs == error else clipped(theirs)
    )
    return f"| {label(twin)} | {form} | {feature} | {clipped(error)} | {also} |"


def label(twin: Twin) -> str:
    args = ", ".join(f"{name}={value}" for name, value in twin.args.items())
    return f"`{twin.spec}`{f' {args}' if args else ''}"


def clipped(error: str, width: int = 120) -> str:
    text = error.replace("|", "\\|")
    return text if len(text) <= width else f"{text[: width - 1].rstrip()}…"
