"""A checkpoint of one spec → one of another, whose layers were only renamed or moved."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from netspec.analysis.analyse import Analysis
from netspec.comparison.model import NetworkDiff
from netspec.compiled import Compiled
from netspec.display import visible
from netspec.errors import Diagnostic, Origin, RunError, Span, SpecError
from netspec.pipeline import compile_recipe
from netspec.reporting.terminal import print_error
from netspec.run.checkpoint import read_checkpoint, write_checkpoint, write_weights
from netspec.run.checkpoint_path import find_checkpoint
from netspec.run.state_dict_diff import StateDictDiff, compare
from netspec.run.tensors import read_tensors

_NAMED = 8  # keys of each sort that are named


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """What went into the new file: tensors by B's keys, and those that have none."""

    weights: Mapping[str, Tensor]
    into: StateDictDiff  # how they fit B
    has_spec: bool  # whether they came from a checkpoint of netspec's


def carry_checkpoint(found: NetworkDiff, source: str, out: str) -> int:
    """Write the checkpoint with B's keys and tell what could not be carried; gives the status.

    1 where something is missing of B: it then takes the file with `strict=False` alone. A file that
    is there is never overwritten.
    """
    try:
        return _carry(found, source, Path(out))
    except SpecError as error:
        print_error(error)
        return 2


def _carry(found: NetworkDiff, source: str, out: Path) -> int:
    span = Span.of(Origin("option", "--checkpoint", f"--checkpoint {source}"))
    path = find_checkpoint(source, span)
    carried = carry_weights(found, path)
    whole = carried.into.is_whole()
    with _fresh(out):
        if whole and carried.has_spec:
            recipe = found.b.recipe
            assert recipe is not None, "a spec that is right has one"
            write_checkpoint(out, carried.weights, recipe, read_checkpoint(path).info)
        else:
            write_weights(out, carried.weights)
    for line in _lines(found, carried, out):
        sys.stdout.write(f"{line}\n")
    return 0 if whole else 1


def carry_weights(found: NetworkDiff, path: Path) -> Carried:
    """A's tensors by B's keys. Raises RunError: NS703, NS712 as reading does, NS704 where the file
    is no whole checkpoint of A."""
    read = read_tensors(path)
    fits = compare(_compiled(found.a).built.empty(), read.tensors)
    if not fits.is_whole():
        fact = f"`{path.name}` is no checkpoint of the first spec"
        help = "name first the spec, with its args, that it was made with"
        raise RunError(Diagnostic("NS704", fact, Span(str(path)), fits.notes(), help))
    by_tensor = {found.a.tensors[key].first_key: value for key, value in fits.found.items()}
    weights: dict[str, Tensor] = {}
    for key, ours in found.keys.carried.items():
        value = fits.found.get(ours, by_tensor.get(found.a.tensors[ours].first_key))
        if value is not None:  # counters of batch norms that an old file does not have
            weights[key] = value
    into = compare(_compiled(found.b).built.empty(), weights)
    return Carried(weights, into, read.has_spec)


def _compiled(analysis: Analysis) -> Compiled:
    recipe = analysis.recipe
    assert recipe is not None, "a spec that is right has one"
    return compile_recipe(recipe, recipe.activation)


@contextmanager
def _fresh(path: Path) -> Iterator[None]:
    """The file is made by this call, and is gone again if it isn't filled. Raises RunError."""
    try:
        with path.open("xb"):
            pass
    except FileExistsError:
        fact = f"`{path}` is there already, and no checkpoint is overwritten"
        help = "name another file after --out"
        raise RunError(Diagnostic("NS706", fact, _option_out(path), help=help)) from None
    except (OSError, ValueError) as error:
        fact = f"`{path}` can't be written: {getattr(error, 'strerror', None) or error}"
        raise RunError(Diagnostic("NS706", fact.lower(), _option_out(path))) from None
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _option_out(path: Path) -> Span:
    return Span.of(Origin("option", "--out", f"--out {path}"))


def _lines(found: NetworkDiff, carried: Carried, out: Path) -> Iterator[str]:
    """What is in the file, and what could not be carried, with the reason."""
    keys = found.keys
    renamed = sum(1 for key in carried.weights if key in keys.renamed)
    names = f", {renamed} of them under other names" if renamed else ""
    total = len(found.b.tensors)
    yield f"wrote {visible(str(out))}: {len(carried.weights)} of {total} tensors{names}"
    uncertain = set(keys.uncertain)
    new = [key for key in keys.new if key not in uncertain]
    shapes = [
        f"{one.key}, {list(one.shape_in_a)} there and {list(one.shape)} here"
        for one in keys.reshaped
    ]
    yield from _listed("not carried, of other shapes", shapes)
    yield from _listed("not carried, since several layers could be it", keys.uncertain)
    yield from _listed("not carried, since the first spec has none", new)
    yield from _listed("left behind", keys.unused)
    if not carried.into.is_whole():
        yield "load it with strict=False: what it lacks keeps the values that it was built with"
    elif carried.has_spec:
        yield "it is a checkpoint of the second spec, and loads strictly; it can't be resumed from"
    else:
        yield "it loads strictly"


def _listed(what: str, names: Sequence[str]) -> Iterator[str]:
    if names:
        shown = ", ".join(visible(name) for name in names[:_NAMED])
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        yield f"{what}: {shown}{more}"
