"""A program → what may overwrite its input in it: recorded at all sizes and modes, then decided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn

from netspec.checks.inplace.decide import Decision, decide
from netspec.checks.inplace.effects import Memo
from netspec.checks.inplace.overwriting import Record
from netspec.checks.inplace.trace import record
from netspec.ir.graph import Child, Program
from netspec.ir.traversal import registered_in
from netspec.ir.walk.run_operator import Refuses
from netspec.ops.types import TensorType, contiguous

_LARGE = 101  # a free size at which `x[:6]` and `x[5:]` overlap, and `x[::2]` and `x[1::3]`


def decide_in_place(program: Program, module: nn.Module, auto: bool) -> tuple[Decision, ...]:
    """A decision for each call that asks to overwrite and, with `auto`, for each activation.

    `module` is the program's model on `meta`.
    """
    if not program.overwrites and not _has_activation(program.root):
        return ()
    memo = Memo()
    records = [record(program, module, *run, auto, memo) for run in _probed(program)]
    if not any(probe.training for probe in program.probes):
        records += _if_it_runs(program, module, _types(program, 0), True, auto, memo)
    if any(call.into.viewed for r in records for call in r.calls):
        for training in (True, False):
            records += _if_it_runs(program, module, _large(program), training, auto, memo)
    return decide(records)


def _has_activation(child: Child) -> bool:
    """Whether it, or some child below, is an `act:` layer in its module form."""
    return any(one.activation for one in registered_in(child))


def _probed(program: Program) -> Iterator[tuple[Sequence[TensorType | None], bool]]:
    for number, probe in enumerate(program.probes):
        yield _types(program, number), probe.training


def _if_it_runs(
    program: Program,
    module: nn.Module,
    types: Sequence[TensorType | None],
    training: bool,
    auto: bool,
    memo: Memo,
) -> list[Record]:
    """A record in a mode, or at sizes, at which nobody has run the program yet."""
    try:
        return [record(program, module, types, training, auto, memo)]
    except Refuses:  # a batch norm takes no batch of one in train mode
        return []


def _types(program: Program, number: int) -> tuple[TensorType | None, ...]:
    """The types of the inputs at the probe of this number; None for one that is left out there."""
    return tuple([_type(port.facts[number]) for port in program.inputs])


def _large(program: Program) -> tuple[TensorType, ...]:
    """The inputs with each free size large; free is a size that differs between the probes."""
    types = zip(*[_types(program, number) for number in range(len(program.probes))], strict=True)
    return tuple([_enlarged([one for one in each if one is not None]) for each in types])


def _enlarged(types: Sequence[TensorType]) -> TensorType:
    sizes = zip(*[each.shape for each in types], strict=True)
    shape = tuple([size[0] if len(set(size)) == 1 else _LARGE for size in sizes])
    return contiguous(shape, types[0].dtype)


def _type(fact: object) -> TensorType | None:
    assert fact is None or isinstance(fact, TensorType), "an input is a tensor, or left out"
    return fact
