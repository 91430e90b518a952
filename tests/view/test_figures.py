"""The figures of a summary, each against what torch measures on the real model on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from netspec.compiled import Compiled
from netspec.pipeline import compile_spec
from netspec.view.summary import Summary, summarize
from tests.test_cases import FORMS, OK, options_of
from tests.twins.registry import TWINS, Twin

SPECS = Path(__file__).parents[2] / "configs" / "model"

# Where the CPU's kernels are others than the composition that `meta` runs: recurrent layers (one
# kernel with a workspace), attention that a fused kernel takes (dropout 0). All else is exact.
OTHER_ON_CPU = {
    "lstm_tagger",
    "gpt-vocab=11-context=8-width=6-depth=1-heads=3-dropout=0.0",
    "infer.yaml",  # LSTM, GRU, MultiheadAttention
    "init_layers.yaml",  # GRU
    "init_rows_and_paths.yaml",  # LSTM
    "kind_module_with.yaml",  # MultiheadAttention
    "kind_use_block.yaml",  # MultiheadAttention
    "lstm.yaml",
}
REFUSES_ONE = {"kind_call_state.yaml", "short_forms.yaml"}  # a batch norm of single values


def summary_of(compiled: Compiled, sizes: dict[str, int] | None = None) -> Summary:
    with torch.device("meta"):
        model = compiled.built.make()
    return summarize(compiled.program, model, sizes)


def measured(model: nn.Module, inputs: Sequence[Tensor]) -> tuple[int, int]:
    """FLOPs of a forward pass, and bytes of the distinct storages that autograd saved."""
    own = {t.untyped_storage()._cdata for t in (*model.parameters(), *model.buffers())}
    held: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        held[storage._cdata] = storage
        return tensor

    model.train()
    counter = FlopCounterMode(display=False)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), counter:
        model(*inputs)
    saved = sum(storage.nbytes() for key, storage in held.items() if key not in own)
    return counter.get_total_flops(), saved


def declared(compiled: Compiled) -> list[list[object]]:
    """The shapes of the inputs as written, short or in full."""
    inputs = compiled.program.source.value["inputs"]
    return [value["shape"] if isinstance(value, dict) else value for value in inputs.values()]


def sizes_of(compiled: Compiled, inputs: Sequence[Tensor]) -> dict[str, int]:
    """The free sizes that these inputs have."""
    pairs = [
        pair
        for shape, given in zip(declared(compiled), inputs, strict=True)
        for pair in zip(shape, given.shape, strict=True)
    ]
    return {name: size for name, size in pairs if isinstance(name, str) and name[0] != "="}


def inputs_at(compiled: Compiled, sizes: dict[str, int]) -> list[Tensor]:
    found = []
    for shape, port in zip(declared(compiled), compiled.program.inputs, strict=True):
        known = port.facts[0]
        pairs = zip(shape, known.shape, strict=True)
        zeros = torch.zeros([sizes.get(name, number) for name, number in pairs])
        found.append(zeros.to(known.dtype))
    return found


def check(
    name: str, compiled: Compiled, summary: Summary, make: Callable[[], nn.Module], inputs: object
) -> None:
    real = measured(make(), inputs)
    told = (summary.flops, summary.saved_bytes)
    if name in OTHER_ON_CPU:
        assert told != real, f"take {name} out of OTHER_ON_CPU"
        assert summary.approximate
    else:
        assert told == real
    top = [row for row in summary.rows if row.depth == 0]
    assert sum(row.flops for row in top) == summary.flops
    assert sum(row.saved_bytes for row in top) == summary.saved_bytes
    assert sum(row.parameters for row in top) == summary.parameters


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "twin", [pytest.param(t, id=str(t), marks=[pytest.mark.slow] * t.slow) for t in TWINS]
)
def test_figures_of_networks_are_those_of_the_real_model(twin: Twin, form: str, batch: int) -> None:
    compiled = compile_spec(SPECS / f"{twin.spec}.yaml", twin.args, form)
    inputs = twin.inputs(batch)
    summary = summary_of(compiled, sizes_of(compiled, inputs))
    check(str(twin), compiled, summary, compiled.built.make, inputs)
    model = compiled.built.make()
    assert summary.parameters == sum(p.numel() for p in model.parameters())
    assert summary.trainable == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert summary.parameter_bytes == sum(p.nbytes for p in model.parameters())
    assert summary.buffers_bytes == sum(b.nbytes for b in model.buffers())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", OK, ids=lambda case: case.name)
def test_figures_of_cases_are_those_of_the_real_model(case: Path, form: str) -> None:
    compiled = compile_spec(case, act=form, **options_of(case))
    summary = summary_of(compiled)
    inputs = inputs_at(compiled, dict(summary.probe))
    if case.name in REFUSES_ONE:
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            measured(compiled.built.make(), inputs)
        assert summary.approximate and summary.rows
        summary = summary_of(compiled, {"N": 4})
        inputs = inputs_at(compiled, dict(summary.probe))
    check(case.name, compiled, summary, compiled.built.make, inputs)


def test_both_forms_cost_the_same() -> None:
    module, functional = (summary_of(compile_spec("lenet", act=form)) for form in FORMS)
    assert [(row.path, row.output, row.flops, row.saved_bytes) for row in module.rows] == [
        (row.path, row.output, row.flops, row.saved_bytes) for row in functional.rows
    ]


def test_every_free_size_may_be_given() -> None:
    compiled = compile_spec("gpt")
    small, large = (summary_of(compiled, {"N": 1, "T": t}) for t in (8, 16))
    assert small.probe == (("N", 1), ("T", 8))
    assert small.flops < large.flops and small.saved_bytes < large.saved_bytes
