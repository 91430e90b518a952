"""Values while a spec is lowered: an expression, and what is known of it at each probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from netspec.ir.expr import Const, Expr
from netspec.ops.types import Fact, TensorType


class _Unknown(Enum):
    """The fact of what an earlier mistake leaves open: it fits everywhere, and makes no other."""

    UNKNOWN = "unknown"


UNKNOWN = _Unknown.UNKNOWN


@dataclass(frozen=True, slots=True)
class Operand:
    """An expression and what is known of it at each probe.

    `sized` where it depends on a free size or on a tensor's data, `modal` where on `training`, or
    on an input's being given.
    """

    expr: Expr
    facts: tuple[Fact, ...]
    sized: bool = True
    modal: bool = False

    @property
    def static(self) -> bool:
        return isinstance(self.expr, Const)

    @property
    def is_known(self) -> bool:
        """Whether it is known when the model is built, although `forward` computes it."""
        return not (self.sized or self.modal or self.is_tensor or self.is_unknown)

    @property
    def is_tensor(self) -> bool:
        return isinstance(self.facts[0], TensorType)

    @property
    def is_unknown(self) -> bool:
        """Whether an earlier mistake leaves open what it is."""
        return self.facts[0] is UNKNOWN


def same(a: Fact, b: Fact) -> bool:
    """Equal, and of one type: 1, 1.0 and True are three values."""
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def are_same(facts: Sequence[Fact]) -> bool:
    """Whether a value is the same at each probe."""
    first = facts[0]
    return all(fact is first or same(fact, first) for fact in facts)


def join(operands: Sequence[Operand]) -> tuple[bool, bool]:
    """What something made of these depends on: (sized, modal)."""
    return any(o.sized for o in operands), any(o.modal for o in operands)
