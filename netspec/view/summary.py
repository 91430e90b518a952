"""A program → its summary: what each layer gives, holds, computes, and keeps for backward."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn

from netspec.errors import Diagnostic, Origin, Span, SpecError, did_you_mean
from netspec.ir.graph import Port, Program
from netspec.ir.walk.run_operator import Refuses
from netspec.limits import (
    AnyLimits,
    OutOfWork,
    bounded,
    current,
    raised_help,
    read_limits,
    too_much_work,
)
from netspec.ops.shapes import other_sizes, shape_text
from netspec.ops.types import Fact, TensorType
from netspec.view.meter import Cost
from netspec.view.trace import Trace, Visit, trace

Sizes = dict[str, int]
_RUNS = 3  # of the whole model; a check asks each operator once


@dataclass(frozen=True, slots=True)
class Row:
    """One layer. What several share counts in the row that has it first.

    A row's figures hold those of the rows below it (with a greater `depth`), so the rows of depth 0
    add up to the summary's totals. `approximate`: on another backend FLOPs or bytes may differ.
    """

    path: str
    depth: int
    kind: str
    output: str
    parameters: int
    flops: int
    saved_bytes: int
    approximate: bool
    line: int


@dataclass(frozen=True, slots=True)
class Summary:
    """A whole model, in train mode, for a batch of the sizes in `probe`.

    `flops` are those of one forward pass, two for each multiply-add, as torch's FlopCounterMode
    counts them. `saved_bytes` is what autograd holds from the forward pass to the backward pass:
    each storage once, the model's inputs among them, its parameters and buffers not.
    """

    name: str
    rows: tuple[Row, ...]
    parameters: int
    trainable: int
    parameter_bytes: int
    buffers_bytes: int
    flops: int
    saved_bytes: int
    probe: tuple[tuple[str, int], ...]
    approximate: bool


@dataclass(frozen=True, slots=True)
class _Measured:
    """The visits of a run at `ran`, and what they cost at `sizes`."""

    visits: tuple[Visit, ...]
    costs: tuple[Cost, ...]
    total: Cost
    sizes: Sizes
    ran: Sizes
    exact: bool


def summarize(
    program: Program,
    module: nn.Module,
    sizes: Mapping[str, int] | None = None,
    limits: AnyLimits = None,
) -> Summary:
    """The summary of a program, from two runs of its model on `meta`; nothing is allocated.

    `module` is the program's model on `meta`, made for this: it is left in train mode. `sizes` are
    for the free sizes of the inputs; those left out are 1 for a batch (a first dimension), and the
    spec's own example for others. Where a layer does not take a batch of 1 (a batch norm of single
    values), the figures are drawn on from those of 2 and 3, and marked approximate.

    Raises SpecError where `sizes` names what is no free size, or a size that cannot be, and where
    the runs would take more work than they may.
    """
    span = Span(program.source.file)
    allowed = read_limits(limits)
    allowed = replace(allowed, work=_RUNS * allowed.work)
    with bounded(allowed, _RUNS * len(program.source.text)):
        try:
            return _summarize(program, module, sizes or {})
        except OutOfWork:
            raise SpecError(too_much_work("a summary", span)) from None


def _summarize(program: Program, module: nn.Module, sizes: Mapping[str, int]) -> Summary:
    asked = _asked_sizes(program, sizes)
    assert all(parameter.is_meta for parameter in module.parameters()), "the model is on `meta`"
    measured = _measure(program, module, asked, given=bool(sizes))
    texts = _outputs(program, module, measured)
    triples = zip(measured.visits, measured.costs, texts, strict=True)
    parameters = _distinct(module.parameters())
    return Summary(
        name=program.name,
        rows=tuple([_row(*triple, measured.exact) for triple in triples]),
        parameters=sum(p.numel() for p in parameters),
        trainable=sum(p.numel() for p in parameters if p.requires_grad),
        parameter_bytes=_bytes(parameters),
        buffers_bytes=_bytes(_distinct(module.buffers())),
        flops=measured.total.flops,
        saved_bytes=measured.total.saved_bytes,
        probe=tuple(measured.sizes.items()),
        approximate=not measured.exact or measured.total.guesses > 0,
    )


def summary_json(summary: Summary) -> dict[str, object]:
    """The summary as plain values."""
    return {
        **asdict(summary),
        "rows": [asdict(row) for row in summary.rows],
        "probe": dict(summary.probe),
    }


def _row(visit: Visit, cost: Cost, output: str, exact: bool) -> Row:
    return Row(
        visit.path, visit.depth, visit.kind, output, cost.parameters, cost.flops,
        cost.saved_bytes, not exact or cost.guesses > 0, visit.line,
    )  # fmt: skip


def _asked_sizes(program: Program, given: Mapping[str, int]) -> Sizes:
    """The given free sizes; else 1 for a first dimension, and the example for the others."""
    free = dict(program.probes[0].sizes)
    batch = _batch_of(program)
    problems = []
    for name, size in given.items():
        span = Span.of(Origin("size", name, f"{name}={size}"))
        if name not in free:
            help = did_you_mean(name, free) or f"it has {', '.join(free) or 'none'}"
            fact = f"`{program.name}` has no free size `{name}`"
            problems.append(Diagnostic("NS209", fact, span, help=help))
        elif size < 1:
            problems.append(Diagnostic("NS205", f"a size is 1 or more, not {size}", span))
    if problems:
        raise SpecError(problems)
    asked = {name: 1 if name in batch else size for name, size in free.items()}
    if not all(one.holds(asked) for one in program.stated):
        asked = dict(free)
    asked |= given
    here = ", ".join(f"{name} = {size}" for name, size in asked.items())
    broken = [
        Diagnostic(
            "NS205", f"the spec takes sizes with `{one.text}` only, and not {here}", one.span
        )
        for one in program.stated
        if not one.holds(asked)
    ]
    if broken:
        raise SpecError(broken)
    for port in program.inputs:
        _check_elements(program, port, asked)
    return asked


def _check_elements(program: Program, port: Port, sizes: Sizes) -> None:
    """Raises SpecError where an input would be larger than torch can describe."""
    elements, most = math.prod(_shape(program, port, sizes)), current().input_elements
    if elements > most:
        at = ", ".join(f"{name}={size}" for name, size in sizes.items())
        fact = f"input `{port.name}` has {elements:,} elements"
        help = raised_help("input_elements", most)
        raise SpecError(
            Diagnostic("NS217", fact, Span.of(Origin("size", port.name, at)), help=help)
        )


def _batch_of(program: Program) -> set[int | str]:
    """The free sizes that are the first dimension of an input."""
    shapes = [_declared(program, port) for port in program.inputs]
    return {shape[0] for shape in shapes if shape}


def _declared(program: Program, port: Port) -> list[int | str]:
    """An input's shape as the spec has it, expressions computed."""
    value: Any = program.source.value
    declared = value["inputs"][port.name]
    shape = declared["shape"] if isinstance(declared, dict) else declared
    known = port.facts[0]
    assert isinstance(known, TensorType), "an input is a tensor"
    letters = dict(program.probes[0].sizes)
    pairs = zip(shape, known.shape, strict=True)
    return [size if size in letters else number for size, number in pairs]


def _shape(program: Program, port: Port, sizes: Sizes) -> list[int]:
    return [sizes[size] if isinstance(size, str) else size for size in _declared(program, port)]


def _run(program: Program, module: nn.Module, sizes: Sizes) -> Trace:
    inputs = []
    for port in program.inputs:
        known = port.facts[0]
        assert isinstance(known, TensorType), "an input is a tensor"
        shape = _shape(program, port, sizes)
        inputs.append(torch.empty(shape, dtype=known.dtype, device="meta"))
    return trace(program, module, inputs)


def _measure(program: Program, module: nn.Module, asked: Sizes, given: bool) -> _Measured:
    """The figures at the sizes asked for; where not even larger batches run, none."""
    try:
        found = _run(program, module, asked)
        costs = tuple(visit.cost for visit in found.visits)
        return _Measured(found.visits, costs, found.total, asked, asked, exact=True)
    except Refuses:
        pass
    batch = _batch_of(program) & asked.keys()
    low: Sizes = asked | {str(name): 2 for name in batch}
    high: Sizes = asked | {str(name): 3 for name in batch}
    try:
        two, three = _run(program, module, low), _run(program, module, high)
    except Refuses as refusal:
        if given:
            raise _unfit(program, asked, refusal) from None
        return _Measured((), (), Cost(), asked, asked, exact=False)
    steps = max((asked[str(name)] for name in batch), default=2) - 2
    costs = tuple(
        a.cost.ahead(b.cost, steps) for a, b in zip(two.visits, three.visits, strict=True)
    )
    total = two.total.ahead(three.total, steps)
    return _Measured(two.visits, costs, total, asked, low, exact=False)


def _unfit(program: Program, asked: Sizes, refusal: Refuses) -> SpecError:
    at = ", ".join(f"{name} = {size}" for name, size in asked.items())
    fact = f"`{program.name}` does not take {at}: {refusal}"
    return SpecError(Diagnostic("NS301", fact, Span(program.source.file)))


def _outputs(program: Program, module: nn.Module, measured: _Measured) -> list[str]:
    """What each visit gives, as text: a second run at other sizes tells which numbers are free."""
    sizes = measured.ran
    facts = [visit.output for visit in measured.visits]
    own = dict(program.probes[-1].sizes)  # other examples of the spec, which are known to work
    for others in (other_sizes(sizes), own) if sizes and facts else ():
        with suppress(Refuses):
            twins = [visit.output for visit in _run(program, module, others).visits]
            if len(twins) == len(facts):
                pairs = zip(facts, twins, strict=True)
                return [_output(fact, twin, sizes, others) for fact, twin in pairs]
    return [_output(fact, fact, {}, {}) for fact in facts]


def _output(fact: Fact, twin: Fact, sizes: Sizes, others: Sizes) -> str:
    return "" if fact is None else shape_text(fact, twin, sizes, others)


def _distinct(tensors: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    return list({id(tensor): tensor for tensor in tensors}.values())


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
