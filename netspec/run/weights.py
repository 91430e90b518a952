"""Weights of a file → a model that is there already: all of them, or those that fit."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from netspec.errors import Diagnostic, Origin, RunError, Span
from netspec.ops.types import dtype_name
from netspec.run.checkpoint_path import find_checkpoint
from netspec.run.state_dict_diff import StateDictDiff, compare, own_tensors
from netspec.run.tensors import TensorFile, read_tensors

Spelled = Callable[[str, object], str]  # an option and its value, as the caller writes it
_NAMED = 6  # keys of a layer, or of the file, that a line names


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of loading weights; `str()` of it tells it in a few lines.

    `reset` has the model's keys that kept the values which they had, each with the reason; `unused`
    the file's keys that went nowhere. Both are empty where the loading was strict, but for keys
    outside of a `prefix`.
    """

    file: str
    loaded: tuple[str, ...]
    reset: Mapping[str, str]
    unused: tuple[str, ...]
    removed: tuple[str, ...]  # what wrappers had put before the file's keys
    under: str | None  # the key of the file that holds the state dict
    cast: Mapping[str, int]  # "float16 to float32", and how many tensors
    uncounted: int  # counters of batch norms that the file does not have
    untied: tuple[tuple[str, str], ...] = ()  # keys of one parameter; the second one's value counts

    def reset_layers(self) -> dict[str, str]:
        """What was reset, with the reason: layers by their paths, keys where others were loaded."""
        kept = {_layer(key) for key in self.loaded}
        layers: dict[str, str] = {}
        for key, reason in self.reset.items():
            layers.setdefault(key if _layer(key) in kept else _layer(key) or key, reason)
        return layers

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        count = len(self.loaded) + len(self.reset) + self.uncounted
        lines = [f"{self.file}: {len(self.loaded)} of {count} tensors"]
        lines += [f"reset: {layer} ({reason})" for layer, reason in self.reset_layers().items()]
        if self.unused:
            more = f" and {len(self.unused) - _NAMED} more" if len(self.unused) > _NAMED else ""
            lines.append(f"not used of the file: {', '.join(self.unused[:_NAMED])}{more}")
        taken = [f"`{prefix}`" for prefix in self.removed]
        if self.under is not None:
            lines.append(f"the file's weights stand under `{self.under}`")
        if taken:
            lines.append(f"taken off the file's keys: {', '.join(taken)}")
        lines += [f"cast: {count} tensors from {kinds}" for kinds, count in self.cast.items()]
        lines += [
            f"one parameter here, with two values in the file: {one}, {other} (which counts)"
            for one, other in self.untied
        ]
        if self.uncounted:
            lines.append(f"not in the file: {self.uncounted} num_batches_tracked of batch norms")
        return lines


def load_weights(
    model: nn.Module,
    file: str | os.PathLike[str],
    *,
    strict: bool = True,
    prefix: str = "",
) -> Loaded:
    """Load a file's weights into a model, in place; it may be on any device, and in any dtype.

    `file` is a safetensors file, a state dict that `torch.save` wrote (alone, or under
    `state_dict`, `model_state_dict` or `model`), a checkpoint of netspec's or a run's folder;
    nothing in it is run. What DDP, `torch.compile` and Lightning put before keys is taken off; with
    `prefix` only the keys that begin with it are taken, without it. Where keys or shapes differ,
    nothing is loaded; with `strict=False` all that fits is, and the rest keeps its values.

    Raises RunError: NS703 where it is no whole file of weights, NS704 where it does not fit (with
    `strict=False`, where nothing does), NS712 where it needs code.
    """
    path = find_checkpoint(file, Span.of(Origin("option", "file", str(file))))
    return _load(model, read_tensors(path), strict, prefix, in_python)


def load_for_run(model: nn.Module, file: str, strict: bool, prefix: str, span: Span) -> Loaded:
    """As load_weights, in the words of the command line; the file is named at `span`."""
    return _load(model, read_tensors(find_checkpoint(file, span)), strict, prefix, in_runs)


def check_for_run(model: nn.Module, file: str, strict: bool, prefix: str, span: Span) -> None:
    """Raises what load_for_run would; the model may be on `meta`."""
    read = read_tensors(find_checkpoint(file, span))
    _refuse_misfit(read, compare(model, read.tensors, prefix), strict, in_runs, model)


def in_python(option: str, value: object) -> str:
    return f"{option}={value!r}"


def in_runs(option: str, value: object) -> str:
    return f"weights.{option}={str(value).lower() if isinstance(value, bool) else value}"


def _layer(key: str) -> str:
    return key.rpartition(".")[0]


def _load(
    model: nn.Module, read: TensorFile, strict: bool, prefix: str, spelled: Spelled
) -> Loaded:
    own = own_tensors(model)
    if any(value.is_meta for value in own.values()):
        fact = "the model is on `meta`, and has no numbers to take the place of"
        help = "build it without device='meta'"
        raise RunError(Diagnostic("NS704", fact, Span(str(read.path)), help=help))
    found = compare(model, read.tensors, prefix)
    _refuse_misfit(read, found, strict, spelled, model)
    model.load_state_dict(dict(found.found), strict=False)
    reasons = dict.fromkeys(found.missing, "not in the file")
    reasons |= {each.key: str(each) for each in found.misshapen}
    misshapen = [each.key for each in found.misshapen]
    return Loaded(
        file=str(read.path),
        loaded=tuple(found.found),
        reset={key: reasons[key] for key in own if key in reasons},
        unused=(*misshapen, *found.unknown, *found.left_out),
        removed=found.removed,
        under=read.under,
        cast=_casts(found.found, own),
        uncounted=found.uncounted,
        untied=found.untied,
    )


def _casts(found: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, int]:
    return dict(
        Counter(
            f"{dtype_name(value.dtype)} to {dtype_name(own[key].dtype)}"
            for key, value in found.items()
            if value.dtype != own[key].dtype
        )
    )


def _refuse_misfit(
    read: TensorFile, found: StateDictDiff, strict: bool, spelled: Spelled, model: nn.Module
) -> None:
    """Raises RunError (NS704) where the weights do not fit, or, if not strict, none of them."""
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    if strict and found.is_whole():
        return
    if not strict and (parameters & {*found.found} or (not parameters and found.found)):
        return
    fact = f"`{read.path.name}` does not fit the model"
    if not strict:
        fact = f"no parameter of `{read.path.name}` fits the model"
    span = Span(str(read.path))
    help = _mend(found, strict, spelled)
    raise RunError(Diagnostic("NS704", fact, span, found.notes(), help))


def _mend(found: StateDictDiff, strict: bool, spelled: Spelled) -> str:
    if found.left_out and not (found.found or found.misshapen or found.unknown):
        return f"no key of the file begins with the prefix; the first is `{found.left_out[0]}`"
    if found.prefix is not None:
        begin = f"keys of the file begin with `{found.prefix}`, and the model's do not"
        return f"{begin}: {spelled('prefix', found.prefix)} takes these without it"
    if found.inner is not None:
        part = found.inner.rstrip(".")
        help = f"these weights are of the part `{part}`"
        return f"{help}: netspec.load_weights(model.get_submodule({part!r}), …) loads them there"
    if strict and found.found:
        whole = not (found.missing or found.misshapen)
        rest = "" if whole else ", and the rest stays as it was initialised"
        return f"with {spelled('strict', False)} what fits is loaded{rest}"
    return "take the spec that the weights were made with, or one with these names and sizes"


def digest_of(file: str) -> str:
    """The SHA-256 of a file, by which it is known again under any name."""
    found = hashlib.sha256()
    with Path(file).open("rb") as opened:
        while chunk := opened.read(1 << 20):
            found.update(chunk)
    return found.hexdigest()
