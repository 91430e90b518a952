"""What users call: specs from text, models and source from specs, and what is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from netspec import find
from netspec.compiled import check_dtype, check_stated, checked_sizes, notes_of, source_of
from netspec.errors import Diagnostic, SpecError
from netspec.language.load import Spec
from netspec.language.overrides import Overrides
from netspec.limits import AnyLimits, bounded, read_limits
from netspec.ops.process_state import one_thread, own_random_state
from netspec.pipeline import compile_spec
from netspec.request import Act, read_dtype
from netspec.sizes.entry_check import add_entry_check
from netspec.sizes.export import export_shapes
from netspec.sizes.find import find_sizes
from netspec.spec_source import AnySource, load_source, load_text


def load(
    source: str | os.PathLike[str] | Mapping[str, object], *, limits: AnyLimits = None
) -> Spec:
    """A spec from a path, a name in `configs/model`, or a mapping. Raises SpecError."""
    with bounded(read_limits(limits)):
        return load_source(find.read(source))


def loads(text: str, *, limits: AnyLimits = None) -> Spec:
    """A spec from YAML text; messages call it `<string>`. Raises SpecError."""
    with bounded(read_limits(limits)):
        return load_text(text)


def build(
    source: AnySource,
    *,
    args: Mapping[str, object] | None = None,
    act: Act = "module",
    overrides: Overrides | None = None,
    outputs: Sequence[str] | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    seed: int | None = None,
    checks: bool = False,
    plugins: Sequence[str] | None = None,
    limits: AnyLimits = None,
) -> nn.Module:
    """The model that a spec describes, as a plain nn.Module.

    `source` is a path, a name in `configs/model`, a mapping or a Spec; `args` are the spec's own;
    `act` is the form of its activations, `"module"`, `"functional"`, or both form and function,
    `{"form": "functional", "fn": "gelu"}`; `overrides` change the spec, as a mapping
    `{"layers.conv1.out_channels": 12}` or a list of `"path=value"` and `"~path"`.
    With `outputs`, paths of layers, the model gives a dict: its own output under `"output"`, and
    each of these values under its path.
    Parameters are drawn on the CPU, then moved to `device` and cast to `dtype`, so that one seed
    gives the same ones everywhere; on `"meta"` nothing is allocated. `seed` leaves the global
    random state as it was. With `checks`, each call of the model first looks at the sizes of its
    inputs, and raises ValueError with the constraint and its layer for those that the network does
    not take; finding the constraints takes a second or a few. `plugins`, by their names, are loaded
    and enabled for this call: then the spec can name the layers that they registered. `limits` are
    for specs that are larger than a stranger's may be: `{"elements": 10**12}`. Raises SpecError
    with every mistake in the spec, and where a layer does not run in `dtype`.
    """
    compiled = compile_spec(source, args, act, overrides, outputs, plugins, limits)
    check_dtype(compiled, dtype)
    target = torch.device(device) if device is not None else None
    if target is not None and target.type == "meta":
        model = compiled.built.empty()
    elif seed is None:
        with one_thread():  # another one may build from a seed
            model = compiled.built.make()
    else:
        with own_random_state():
            torch.manual_seed(seed)
            model = compiled.built.make()
    if target is not None and target.type != "meta":
        model = model.to(target)
    if checks:
        sizes = find_sizes(compiled.program, compiled.built.empty())
        add_entry_check(model, compiled.program, sizes)
    return model if dtype is None else model.to(read_dtype(dtype))


def check(
    source: AnySource,
    *,
    args: Mapping[str, object] | None = None,
    act: Act = "module",
    overrides: Overrides | None = None,
    outputs: Sequence[str] | None = None,
    dtype: str | torch.dtype | None = None,
    plugins: Sequence[str] | None = None,
    limits: AnyLimits = None,
) -> tuple[Diagnostic, ...]:
    """What is wrong with a spec, in the order of its lines; nothing, if it can be built.

    With `dtype`, what would not run after `build(…, dtype=dtype)`, too. What is worth a look and
    no mistake is in `notes`.
    """
    try:
        compiled = compile_spec(source, args, act, overrides, outputs, plugins, limits)
        check_dtype(compiled, dtype)
        check_stated(compiled)
    except SpecError as error:
        return error.diagnostics
    return ()


def notes(
    source: AnySource,
    *,
    args: Mapping[str, object] | None = None,
    act: Act = "module",
    overrides: Overrides | None = None,
    outputs: Sequence[str] | None = None,
    plugins: Sequence[str] | None = None,
    limits: AnyLimits = None,
) -> tuple[str, ...]:
    """What is worth a look in a spec that can be built, a line each, as `netspec check` tells it.

    Raises SpecError where it can't be built.
    """
    compiled = compile_spec(source, args, act, overrides, outputs, plugins, limits)
    return tuple([note.text for note in notes_of(compiled)])


def to_python(
    source: AnySource,
    *,
    args: Mapping[str, object] | None = None,
    act: Act = "module",
    overrides: Overrides | None = None,
    outputs: Sequence[str] | None = None,
    plugins: Sequence[str] | None = None,
    limits: AnyLimits = None,
) -> str:
    """The model as Python source; `build_model()` in it makes the model.

    It needs torch alone, and the modules of layers that were registered.
    """
    return source_of(compile_spec(source, args, act, overrides, outputs, plugins, limits))


def dynamic_shapes(
    source: AnySource,
    *,
    args: Mapping[str, object] | None = None,
    act: Act = "module",
    overrides: Overrides | None = None,
    plugins: Sequence[str] | None = None,
    limits: AnyLimits = None,
) -> dict[str, dict[int, Any]]:
    """The `dynamic_shapes` of torch.export for a spec's model, in eval mode: for each input, a
    `Dim` for each dimension that is free, within the sizes that the network is valid for, and at
    which no layer has a dimension of 1: torch.export takes that for a fixed one.

    Raises SpecError where the spec can't be built, and at the layer (NS301) that needs of the sizes
    what no Dim can say.
    """
    compiled = compile_spec(source, args, act, overrides, None, plugins, limits)
    return export_shapes(compiled.program, checked_sizes(compiled))
