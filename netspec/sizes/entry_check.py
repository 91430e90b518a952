"""One check at a model's entry, in the place of torch's own error in the middle of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from netspec.ir.graph import Program
from netspec.sizes.constraints import Constraint
from netspec.sizes.find import Sizes, declared_shapes

_MOST_KEPT = 1000


@dataclass(slots=True)
class EntryCheck:
    """A forward pre-hook: raises ValueError for inputs that the network does not take.

    `declared` has each input's sizes, in the order of `forward`. It says nothing while torch
    compiles, exports or traces a model: there it would only freeze one call's sizes.
    """

    name: str
    declared: Mapping[str, tuple[int | str, ...]]
    constraints: tuple[Constraint, ...]
    _taken: set[object] = field(default_factory=set)  # what was found to be right before

    def __call__(self, module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        if torch.compiler.is_compiling() or _is_tracing():
            return
        given = {**dict(zip(self.declared, args)), **kwargs}  # noqa: B905  some may be left out
        shapes = {
            name: tuple(given[name].shape)
            for name in self.declared
            if isinstance(given.get(name), Tensor)
        }
        key = (module.training, *shapes.items())
        if key in self._taken:
            return
        sizes = self._sizes(shapes)
        other = "eval" if module.training else "train"
        broken = [
            one
            for one in self.constraints
            if one.mode != other and sizes.keys() >= set(one.names) and not one.holds(sizes)
        ]
        if broken:
            here = ", ".join(f"{name} = {size}" for name, size in sizes.items())
            lines = "; ".join(one.line for one in broken)
            raise ValueError(f"{self.name} does not take {here}. It is valid for {lines}")
        if len(self._taken) < _MOST_KEPT:
            self._taken.add(key)

    def _sizes(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
        """Each free size. Raises ValueError where a shape is not as it is declared."""
        found: dict[str, int] = {}
        for name, shape in shapes.items():
            declared = self.declared[name]
            wanted = [
                found.setdefault(size, own) if isinstance(size, str) else size
                for size, own in zip(declared, shape, strict=False)
            ]
            if len(declared) != len(shape) or wanted != list(shape):
                told = ", ".join(map(str, declared))
                at = ", ".join(f"{letter} = {size}" for letter, size in found.items())
                beside = f", with {at}" if len(shapes) > 1 and at else ""
                raise ValueError(
                    f"{self.name} takes [{told}] for `{name}`{beside}, and is given {list(shape)}"
                )
        return found


def _is_tracing() -> bool:
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def add_entry_check(model: nn.Module, program: Program, sizes: Sizes) -> None:
    """Makes the model check what it is given; its keys, parameters and forward stay as they are."""
    failing = tuple([one for one in sizes.constraints if one.fails])
    check = EntryCheck(program.name, declared_shapes(program), failing)
    model.register_forward_pre_hook(check, with_kwargs=True)
