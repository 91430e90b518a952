"""A file's tensors and a model's own: which go together, and how what does not is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from netspec.errors import nearest
from netspec.ops.torch_internals import NormBase

_SHOWN = 10  # names or shapes of each kind that a message lists
_PAIRED = 5  # near names that it offers
_COMPILED = "_orig_mod"  # torch.compile puts it before the names of what it wraps
_WRAPPERS = ("module.", "model.")  # of DDP and averaged models; of a LightningModule
_NESTED = 8


@dataclass(frozen=True, slots=True)
class Misshapen:
    """A key whose shape in the file is not the model's."""

    key: str
    theirs: tuple[int, ...]
    ours: tuple[int, ...]

    def __str__(self) -> str:
        return f"{list(self.theirs)} in the file, and {list(self.ours)} here"


@dataclass(frozen=True, slots=True, eq=False)
class StateDictDiff:
    """How a file's tensors fit a model; names are without what was `removed` from all of them."""

    found: Mapping[str, Tensor]  # by the model's keys, in its shapes
    missing: tuple[str, ...]  # keys of the model
    unknown: tuple[str, ...]  # keys of the file
    misshapen: tuple[Misshapen, ...]
    untied: tuple[tuple[str, str], ...]  # keys of one parameter that differ in the file
    left_out: tuple[str, ...]  # keys of the file that do not begin with the prefix
    removed: tuple[str, ...]  # prefixes of wrappers
    uncounted: int  # counters of batch norms that old files do not have
    near: tuple[tuple[str, str], ...]  # missing and unknown keys that may be the same
    prefix: str | None  # what stands before the model's keys in the file
    inner: str | None  # what stands before the file's keys in the model

    def is_whole(self) -> bool:
        return not (self.missing or self.unknown or self.misshapen or self.untied)

    def notes(self) -> tuple[str, ...]:
        """What differs, for a message: the first of each kind, and how many there are."""
        shapes = [f"`{each.key}` is {each}" for each in self.misshapen[:_SHOWN]]
        if len(self.misshapen) > _SHOWN:
            shapes.append(f"and {len(self.misshapen) - _SHOWN} more of other shapes")
        near = [f"`{theirs}` of the file may be `{ours}`" for ours, theirs in self.near]
        untied = [
            f"`{one}` and `{other}` are one parameter here, and differ in the file"
            for one, other in self.untied[:_SHOWN]
        ]
        removed = " and ".join(f"`{prefix}`" for prefix in self.removed)
        return (
            *shapes,
            *_listed("the file has no", self.missing),
            *_listed("the model has no", self.unknown),
            *near,
            *untied,
            *([f"{removed} was taken off the file's keys"] if removed else []),
        )


def _listed(what: str, names: Sequence[str]) -> Iterator[str]:
    if names:
        shown = ", ".join(f"`{name}`" for name in names[:_SHOWN])
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        yield f"{what} {shown}{more}"


def compare(model: nn.Module, tensors: Mapping[str, Tensor], prefix: str = "") -> StateDictDiff:
    """Compare a file's tensors with a model's parameters and buffers; nothing is changed.

    Only keys that begin with `prefix` are looked at, without it. Prefixes of DDP, torch.compile and
    Lightning are taken off where more keys are the model's without them. The model may be on
    `meta`.
    """
    own = own_tensors(model)
    below = {n.removeprefix(prefix): value for n, value in tensors.items() if n.startswith(prefix)}
    names, removed = _unwrapped(list(below), own)
    given = dict(zip(names, below.values(), strict=True))
    both = [name for name in own if name in given]
    fitting = {name: given[name] for name in both if given[name].shape == own[name].shape}
    misshapen = tuple(
        Misshapen(name, tuple(given[name].shape), tuple(own[name].shape))
        for name in both
        if name not in fitting
    )
    groups = _tied(own)
    there = {id(own[name]) for name in both}
    absent = [name for name in own if name not in given and id(own[name]) not in there]
    counters = _counters(model)
    missing = tuple(name for name in absent if name not in counters)
    unknown = tuple(name for name in given if name not in own)
    before, inner = _before(own, given), _before(given, own)
    alike = () if before or inner else tuple(_pairs(missing, unknown, own, given))
    return StateDictDiff(
        found=fitting,
        missing=missing,
        unknown=unknown,
        misshapen=misshapen,
        untied=tuple(_differing(groups, fitting)),
        left_out=tuple(name for name in tensors if not name.startswith(prefix)),
        removed=removed,
        uncounted=len(absent) - len(missing),
        near=alike,
        prefix=None if before is None else prefix + _in_file(before, names, list(below)),
        inner=inner,
    )


def own_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of a model's state dict, themselves, under each of their keys."""
    state = model.state_dict(keep_vars=True)
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def _tied(own: Mapping[str, Tensor]) -> list[list[str]]:
    """The keys of each tensor that has several."""
    groups: dict[int, list[str]] = {}
    for name, value in own.items():
        groups.setdefault(id(value), []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def _differing(
    groups: Sequence[Sequence[str]], found: Mapping[str, Tensor]
) -> Iterator[tuple[str, str]]:
    for group in groups:
        first, *others = [name for name in group if name in found] or [""]
        for other in others:
            if not torch.equal(found[first], found[other]):
                yield first, other


def _counters(model: nn.Module) -> set[str]:
    """Keys that torch leaves alone where a file lacks them: they count a batch norm's batches."""
    return {
        f"{path}.num_batches_tracked" if path else "num_batches_tracked"
        for path, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, NormBase)
    }


# Prefixes


def _unwrapped(
    names: Sequence[str], own: Mapping[str, Tensor]
) -> tuple[Sequence[str], tuple[str, ...]]:
    """The names without what wrappers put before them, and what that was."""
    removed: tuple[str, ...] = ()
    plain = [".".join(p for p in name.split(".") if p != _COMPILED) for name in names]
    if plain != list(names) and len({*plain}) == len(plain) and _COMPILED not in _parts(own):
        names, removed = plain, (f"{_COMPILED}.",)
    levels = [(names, removed)]
    while len(levels) <= _NESTED:
        names, removed = levels[-1]
        prefix = next((p for p in _WRAPPERS if _begin_with(p, names)), None)
        shorter = [name.removeprefix(prefix or "") for name in names]
        if prefix is None or len({*shorter}) < len(shorter):
            break
        levels.append((shorter, (*removed, prefix)))
    common = [sum(name in own for name in names) for names, _ in levels]
    return levels[common.index(max(common))] if any(common) else levels[-1]


def _parts(names: Mapping[str, object]) -> set[str]:
    return {part for name in names for part in name.split(".")}


def _begin_with(prefix: str, names: Sequence[str]) -> bool:
    """Whether most do: an averaged model counts its steps beside the model that it wraps."""
    return 2 * sum(name.startswith(prefix) for name in names) > len(names)


def _before(wanted: Mapping[str, object], given: Mapping[str, object]) -> str | None:
    """What stands before most of the wanted keys in the given ones, and none has as it is."""
    found = Counter(
        name[: index + 1]
        for name in given
        for index, character in enumerate(name)
        if character == "." and name[index + 1 :] in wanted
    )
    prefix, count = max(found.items(), key=lambda item: item[1], default=("", 0))
    as_they_are = sum(name in given for name in wanted)
    return prefix if 2 * count > len(wanted) and count > as_they_are else None


def _in_file(prefix: str, names: Sequence[str], in_file: Sequence[str]) -> str:
    """A prefix of names as the file has it, where wrappers stand before it or in it."""
    name = next(name for name in names if name.startswith(prefix))
    return in_file[names.index(name)].removesuffix(name.removeprefix(prefix))


# Near names


def _pairs(
    missing: Sequence[str],
    unknown: Sequence[str],
    own: Mapping[str, Tensor],
    given: Mapping[str, Tensor],
) -> Iterator[tuple[str, str]]:
    """Missing keys, each with the unknown one that it may be: by end and shape, then by name.

    Where few keys differ, end and shape alone may tell: `fc.weight`, called `classifier.weight`.
    """
    left = list(unknown)
    few = max(len(missing), len(unknown)) <= _SHOWN
    for name in missing[:_PAIRED]:
        alike = [n for n in left if _end(n) == _end(name) and given[n].shape == own[name].shape]
        near = alike if few and len(alike) == 1 else nearest(name, alike)
        if near:
            left.remove(near[0])
            yield name, near[0]


def _end(name: str) -> str:
    return name.rpartition(".")[2]
