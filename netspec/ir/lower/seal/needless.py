"""What nothing reads: statements, inputs, and statements that only name a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from netspec.ir.expr import (
    Choice,
    Const,
    Expr,
    Training,
    values_in,
)  # fmt: skip
from netspec.ir.graph import (
    Assign,
    ByMode,
    Statement,
)  # fmt: skip
from netspec.ir.lower.scope import GraphBuilder
from netspec.ir.traversal import expressions_in, output_expressions


def drop_unread(builder: GraphBuilder, outputs: Expr | ByMode) -> None:
    """What stands for no layer, and nothing reads, is not computed."""
    if not any(isinstance(one, Assign) and one.unnamed for one in builder.body):
        return
    read = _values_in(output_expressions(outputs))
    kept: list[Statement] = []
    for statement in reversed(builder.body):
        if isinstance(statement, Assign) and statement.unnamed and statement.targets[0] not in read:
            continue
        read |= _values_in(expressions_in(statement))
        kept.append(statement)
    builder.body[:] = reversed(kept)


def _values_in(exprs: Sequence[Expr]) -> set[int]:
    return {value for expr in exprs for value in values_in(expr)}


def drop_needless_inputs(builder: GraphBuilder, outputs: Expr | ByMode) -> None:
    """A nested container takes what its layers read, and nothing else.

    An input that only folded expressions read is none; so what nothing reads can be told.
    """
    if builder.outer is None:
        return
    read = _values_in(output_expressions(outputs))
    for statement in builder.body:
        read |= _values_in(expressions_in(statement))
    pairs = [
        (port, operand)
        for port, operand in zip(builder.inputs, builder.sources, strict=True)
        if port.id in read
    ]
    builder.inputs[:] = [port for port, _ in pairs]
    builder.sources[:] = [operand for _, operand in pairs]


def without_needless(builder: GraphBuilder, outputs: Expr | ByMode) -> tuple[Statement, ...]:
    """A layer of train mode only, which nothing reads in eval mode, gives None there."""
    if not isinstance(outputs, ByMode):
        return tuple(builder.body)
    elsewhere = set(values_in(outputs.eval))
    for statement in builder.body:
        elsewhere |= _values_in(expressions_in(statement))
    probes = builder.context.probes
    changed: list[Statement] = []
    for statement in builder.body:
        match statement:
            case Assign(targets=(target,), expr=Choice(Training(), then, _)) if (
                target not in elsewhere
            ):
                pairs = zip(statement.facts, probes, strict=True)
                facts = tuple([fact if probe.training else None for fact, probe in pairs])
                expr = Choice(Training(), then, Const(None))
                statement = replace(statement, expr=expr, facts=facts)
            case _:
                pass
        changed.append(statement)
    return tuple(changed)
