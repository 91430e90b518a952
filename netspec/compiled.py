"""A compiled spec, and what can be asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from netspec.checks.dtypes import find_dtype_clash
from netspec.checks.gradients import notes_without_derivative
from netspec.checks.inplace.decide import Decision
from netspec.checks.layouts import notes_of_layouts
from netspec.emit.module import Built
from netspec.emit.text import NotImportable, write_text
from netspec.emit.tree import Written
from netspec.errors import Diagnostic, Note, Span, SpecError
from netspec.ir.graph import Program
from netspec.language.load import Spec
from netspec.recipe import Recipe
from netspec.request import read_dtype
from netspec.sizes.find import Sizes, find_sizes
from netspec.sizes.stated import more_than_stated
from netspec.source import Source


@dataclass(frozen=True, slots=True)
class Compiled:
    """A program, its classes, and what it was made from."""

    program: Program
    written: Written
    built: Built
    recipe: Recipe
    spec: Spec
    decisions: tuple[Decision, ...] = ()


def notes_of(compiled: Compiled) -> tuple[Note, ...]:
    """What is worth a look in it, and no mistake."""
    return (*gradient_notes(compiled), *notes_of_layouts(compiled.program, compiled.built.empty()))


def gradient_notes(compiled: Compiled) -> tuple[Note, ...]:
    """One for each layer of which torch has no derivative, and which needs one."""
    return notes_without_derivative(compiled.program)


def check_dtype(compiled: Compiled, dtype: str | torch.dtype | None) -> None:
    """Raises SpecError where a layer does not run in this dtype."""
    wanted = None if dtype is None else read_dtype(dtype)
    if wanted is None or not wanted.is_floating_point or wanted is torch.float32:
        return
    problems = find_dtype_clash(compiled.program, compiled.built.empty(), wanted)
    if problems:
        raise SpecError(problems)


def check_stated(compiled: Compiled) -> None:
    """Raises SpecError (NS306) where a network needs more of its sizes than its inputs state.

    torch's symbols are asked for it, if anything is stated.
    """
    if compiled.program.stated:
        checked_sizes(compiled)


def checked_sizes(compiled: Compiled) -> Sizes:
    """Formulas and constraints of its sizes, as torch's symbols have them.

    Raises SpecError (NS306) as check_stated does.
    """
    sizes = find_sizes(compiled.program, compiled.built.empty())
    problems = more_than_stated(compiled.program, sizes.constraints)
    if problems:
        raise SpecError(problems)
    return sizes


def source_of(compiled: Compiled) -> str:
    """The model as Python source. Raises SpecError (NS221)."""
    text = compiled.spec.source
    file = text.file if isinstance(text, Source) else text.given
    name = Path(file).name.strip("<>")
    header = f"{compiled.program.name}, written by netspec from {name}."
    try:
        return write_text(compiled.written, header)
    except NotImportable as error:
        registered = error.registered
        fact = (
            f"no file can import `{registered.name}`, which was registered as `{registered.path}`"
        )
        help = "move it to the top of a module, and register it there"
        raise SpecError(Diagnostic("NS221", fact, Span(file), help=help)) from None
