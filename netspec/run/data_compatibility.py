"""Whether data and model fit: inputs, target, classes; told at the spec's own lines."""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from netspec.compiled import Compiled
from netspec.errors import Diagnostic, RunError, Span
from netspec.ir.graph import NewGraph, Port
from netspec.ir.stated import Stated
from netspec.ops.types import TensorType, dtype_name
from netspec.run.data.dataset import Data, Field, Wanted
from netspec.run.size_constraints import nearest_sizes, with_constraints
from netspec.sizes.find import declared_shapes
from netspec.source import Path

_EXAMPLES = 2  # of the batch that is tried


@dataclass(frozen=True, slots=True)
class Outputs:
    """What the model gives for a batch of two, in train and in eval mode, by name."""

    train: Mapping[str, TensorType]
    eval: Mapping[str, TensorType]


def named_outputs(result: object, first: str | None = None) -> dict[str, Tensor]:
    """A model's result by name: a single tensor is `output`, items of a tuple `output_0`, ….

    `first` names the one that is to come first, where it is there.

    Raises TypeError where it holds something else than tensors.
    """
    if isinstance(result, Tensor):
        return {"output": result}
    if isinstance(result, Mapping):
        pairs = [(str(name), value) for name, value in result.items()]
    elif isinstance(result, (tuple, list)):
        pairs = [(f"output_{index}", value) for index, value in enumerate(result)]
    else:
        raise TypeError(f"a model that gives {type(result).__name__} can't be trained")
    tensors = {name: value for name, value in pairs if isinstance(value, Tensor)}
    if not tensors:
        raise TypeError("the model gives no tensor")
    if first in tensors:
        return {first: tensors[first], **tensors}
    return tensors


def input_order(compiled: Compiled, data: Data) -> tuple[int, ...]:
    """For each input of the model, which of the data's fields it is.

    Fields go by their names; one without a name is the model's first input. Raises RunError
    (NS603) where an input is not there, or a field is of another shape or dtype.
    """
    ports = compiled.program.inputs
    by_name = {field.name: index for index, field in enumerate(data.inputs)}
    order: list[int] = []
    problems: list[Diagnostic] = []
    left_out: list[Port] = []  # inputs with a default
    for index, port in enumerate(ports):
        found = by_name.get(port.name, by_name.get(None) if index == 0 else None)
        if found is None and port.optional:
            left_out.append(port)
            continue
        if found is None:
            problems.append(_no_field(compiled, data, port))
            continue
        problems += [_no_field(compiled, data, missing) for missing in left_out]
        left_out.clear()
        order.append(found)
        problem = _misfit(compiled, data, port, data.inputs[found])
        if problem is not None:
            problems.append(problem)
    if not problems:
        problems += _not_stated(compiled, data, order)
    left = [f"`{data.inputs[i].name}`" for i in set(range(len(data.inputs))) - set(order)]
    if left and not problems:
        fact = f"no input takes {', '.join(left)} of {data.name}"
        problems.append(Diagnostic("NS603", fact, _span(compiled, ("inputs",))))
    if problems:
        raise RunError(problems)
    return tuple(order)


def _no_field(compiled: Compiled, data: Data, port: Port) -> Diagnostic:
    names = ", ".join(f"`{field.name or 'the first input'}`" for field in data.inputs)
    fact = f"{data.name} has nothing for the input `{port.name}`; it has {names}"
    return Diagnostic("NS603", fact, _span(compiled, ("inputs", port.name)))


def _misfit(compiled: Compiled, data: Data, port: Port, field: Field) -> Diagnostic | None:
    known = [fact for fact in port.facts if isinstance(fact, TensorType)]
    if not known:
        return None
    wanted = [
        sizes[0] if len(set(sizes)) == 1 else None
        for sizes in zip(*(fact.shape for fact in known), strict=True)
    ][1:]
    fits = len(wanted) == len(field.shape) and all(
        size is None or size == own for size, own in zip(wanted, field.shape, strict=True)
    )
    span = _span(compiled, ("inputs", port.name))
    if not fits:
        shown = ", ".join("?" if size is None else str(size) for size in wanted)
        fact = (
            f"the input `{port.name}` takes examples of [{shown}], "
            f"and {data.name} has {list(field.shape)}"
        )
        help = f"'model.inputs.{port.name}=[N, {', '.join(map(str, field.shape))}]'"
        return Diagnostic("NS603", fact, span, help=help)
    wanted_dtype = known[0].dtype
    if wanted_dtype != field.dtype:
        own, theirs = dtype_name(wanted_dtype), dtype_name(field.dtype)
        fact = f"the input `{port.name}` is {own}, and {data.name} has {theirs}"
        shape = ", ".join(["N", *map(str, field.shape)])
        help = f"'model.inputs.{port.name}={{shape: [{shape}], dtype: {theirs}}}'"
        return Diagnostic("NS603", fact, span, help=help)
    return None


def _not_stated(compiled: Compiled, data: Data, order: Sequence[int]) -> list[Diagnostic]:
    """NS603 for each condition that the spec states, and the data's sizes don't meet."""
    found = free_sizes(compiled, data, order)
    broken = broken_by(compiled, found)
    if not broken:
        return []
    here = ", ".join(f"{name} = {size}" for name, size in found.items())
    conditions = [(one.names, one.holds) for one in compiled.program.stated]
    shape = next(iter(declared_shapes(compiled.program).values()))
    mend = nearest_sizes(shape, found, conditions)
    return [
        Diagnostic("NS603", f"{one.told}, and {data.name} has {here}", one.span, help=mend)
        for one in broken
    ]


def free_sizes(
    compiled: Compiled, data: Data, order: Sequence[int], batch: int | None = None
) -> dict[str, int]:
    """The free sizes of examples, by the names that the spec has for them; of a batch of them, the
    name of its size, too."""
    found: dict[str, int] = {}
    shapes = declared_shapes(compiled.program)
    for shape, index in zip(shapes.values(), order):  # noqa: B905  a default may be left out
        sizes = (batch, *data.inputs[index].shape)
        pairs = zip(shape, sizes, strict=True)
        found |= {name: n for name, n in pairs if isinstance(name, str) and n is not None}
    return found


def broken_by(compiled: Compiled, sizes: Mapping[str, int]) -> list[Stated]:
    """What the spec states of these sizes, or of some of them, and they don't meet."""
    stated = compiled.program.stated
    return [one for one in stated if one.names <= sizes.keys() and not one.holds(sizes)]


def find_outputs(
    compiled: Compiled, data: Data, order: Sequence[int], first: str | None = None
) -> Outputs:
    """What the model gives for two examples of the data, tried on `meta`; `first` comes first.

    Raises RunError (NS603), at the line of the spec where it fails.
    """
    model, device = tried_model(compiled)
    inputs = [example_batch(data.inputs[index], _EXAMPLES, device) for index in order]
    return Outputs(
        _types(run_placed(model.train(), inputs, compiled), compiled, first),
        _types(run_placed(model.eval(), inputs, compiled), compiled, first),
    )


def tried_model(compiled: Compiled) -> tuple[nn.Module, str]:
    """The model to be tried, and where: what was registered may look at numbers, all else not."""
    if not compiled.built.registered:
        return compiled.built.empty(), "meta"
    with torch.random.fork_rng(devices=[]):
        return compiled.built.make(), "cpu"


def example_batch(field: Field, size: int, device: str) -> Tensor:
    """So many examples of a field, all zero."""
    return torch.zeros((size, *field.shape), dtype=field.dtype, device=device)


def _types(result: object, compiled: Compiled, first: str | None) -> dict[str, TensorType]:
    try:
        named = named_outputs(result, first)
    except TypeError as error:
        raise RunError(Diagnostic("NS603", str(error), output_span(compiled))) from None
    value = next(iter(named.values()))
    if value.ndim == 0 or len(value) != _EXAMPLES:
        fact = f"the model gives {list(value.shape)} for {_EXAMPLES} examples, and not one row each"
        raise RunError(Diagnostic("NS603", fact, output_span(compiled)))
    return {
        name: TensorType(tuple(value.shape), tuple(value.stride()), value.dtype)
        for name, value in named.items()
    }


def run_placed(model: nn.Module, inputs: Sequence[Tensor], compiled: Compiled) -> object:
    """One forward pass without gradients; what fails is told at the line of the spec.

    Raises RunError (NS603).
    """
    try:
        with torch.no_grad():
            return model(*inputs)
    except (RuntimeError, IndexError, ValueError, TypeError, NotImplementedError) as error:
        problem = failure(error, compiled, model)
        training = model.training
        raise RunError(with_constraints(problem, compiled, inputs, training)) from None


def failure(error: BaseException, compiled: Compiled, model: nn.Module | None = None) -> Diagnostic:
    """What torch said of a forward pass, at the last line of the spec's files in its traceback.

    A chain of modules has no lines of the spec in it; there the layer is found by its module.
    """
    said = str(error).strip().partition("\n")[0]
    fact = f"the model does not run on this data: {said[:1].lower()}{said[1:]}"
    files = {kept.file: kept for kept in compiled.recipe.texts()}
    files |= {os.path.abspath(kept.path): kept for kept in files.values() if kept.path}
    span = _layer_span(error, compiled, model) or output_span(compiled)
    for frame in traceback.extract_tb(error.__traceback__):
        kept = files.get(frame.filename)
        if kept is not None and frame.lineno:
            span = line_span(kept.file, frame.lineno, kept.text)
    return Diagnostic("NS603", fact, span)


def _layer_span(error: BaseException, compiled: Compiled, model: nn.Module | None) -> Span | None:
    """The layer at the top of the spec in whose module it failed."""
    layers = compiled.spec.document.layers
    paths = {id(module): path for path, module in model.named_modules()} if model else {}
    for frame, _ in traceback.walk_tb(error.__traceback__):
        name = paths.get(id(frame.f_locals.get("self")), "").partition(".")[0]
        if isinstance(layers, dict) and name in layers:
            return _key_span(compiled, ("layers", name))
    return None


def line_span(file: str, number: int, text: str) -> Span:
    """All that a line of a file says."""
    line = text.splitlines()[number - 1]
    shown = line.strip()
    return Span(file, number, line.index(shown) + 1 if shown else 1, len(shown), line)


def check_classes(compiled: Compiled, data: Data, outputs: Outputs, binary: bool) -> None:
    """Whether the first output tells as many classes apart as the data has.

    Raises RunError (NS604), at the layer that gives the output.
    """
    count = data.gives.get("vocab_size") if data.task == "language" else len(data.classes or ())
    if not count or data.task == "regression":
        return
    first = next(iter(outputs.eval.values()))
    dimension = -1 if data.task == "language" else 1
    if len(first.shape) < 2:
        fact = f"the model gives {list(first.shape)}, and classes want a dimension of their own"
        raise RunError(Diagnostic("NS604", fact, output_span(compiled)))
    given = first.shape[dimension]
    enough = given >= count if data.task == "language" else given == count or binary
    if enough:
        return
    what = "symbols" if data.task == "language" else "classes"
    fact = f"the model tells {given} {what} apart, and {data.name} has {count}"
    args = compiled.spec.document.args
    fitting = [name for name in ("num_classes", "vocab_size", "vocab", "classes") if name in args]
    help = f"model.args.{fitting[0]}={count}" if fitting else None
    raise RunError(Diagnostic("NS604", fact, output_span(compiled), help=help))


def output_span(compiled: Compiled) -> Span:
    """The layer that gives the model's output, or where outputs are declared."""
    document = compiled.spec.document
    outputs = document.outputs
    layers = document.layers
    if isinstance(outputs, str) and isinstance(layers, dict) and outputs in layers:
        return _key_span(compiled, ("layers", outputs))
    if outputs is not None:
        return _span(compiled, ("outputs",))
    new = compiled.program.root.new
    if isinstance(new, NewGraph) and new.graph.body:  # not a layer that is left out by `when`
        place = new.graph.body[-1].place
        if place is not None and place.path[:1] == ("layers",):
            return _key_span(compiled, place.path[:2])
    last: str | int = list(layers)[-1] if isinstance(layers, dict) else len(layers) - 1
    return _key_span(compiled, ("layers", last))


def _span(compiled: Compiled, path: Path) -> Span:
    return compiled.program.source.span_of(path)


def _key_span(compiled: Compiled, path: Path) -> Span:
    return compiled.program.source.key_span_of(path)


def wanted_by(compiled: Compiled, output: str | None = None) -> Wanted:
    """The model's inputs and its output (the first, or the one named), for data that is made up."""
    fields = tuple(
        Field(port.name, tuple(fact.shape[1:]), fact.dtype)
        for port in compiled.program.inputs
        for fact in port.facts[:1]
        if isinstance(fact, TensorType)
    )
    model, device = tried_model(compiled)
    result = run_placed(
        model.eval(), [example_batch(field, _EXAMPLES, device) for field in fields], compiled
    )
    try:
        first = next(iter(named_outputs(result, output).values()))
    except TypeError:
        return Wanted(fields, None)
    return Wanted(fields, Field(None, tuple(first.shape[1:]), first.dtype))
