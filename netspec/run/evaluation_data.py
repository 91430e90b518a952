"""The data of an evaluation: that of training, with changes, or other data that means the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from netspec.errors import Diagnostic, RunError, Span
from netspec.run.data.dataset import Batch, Data, Examples, digest
from netspec.run.overrides import key_of
from netspec.run.training_info import Trained

_UNKNOWN = -1
_SIZED = ("image_folder",)  # sources that cut images to a size


def data_settings(
    trained: Trained, changes: Mapping[str, Any] | None, overrides: Sequence[str]
) -> dict[str, Any]:
    """The settings of the data: what `data=` chose, else the checkpoint's own with the changes.

    Examples are normalised as in training, whatever their own mean is, and images cut to the same
    size, unless an override says otherwise.
    """
    chosen = dict(changes or {})
    if "source" not in chosen:
        chosen = _merged(trained.run.data, chosen)
    facts = trained.data.facts
    as_trained: dict[str, Any] = {}
    if chosen.get("normalize") == "auto" and "mean" in facts and "std" in facts:
        moments = [facts["mean"], facts["std"]]
        as_trained["normalize"] = "none" if facts["mean"] is None else moments
    if chosen.get("source") in _SIZED and "size" in facts and "channels" in facts:
        as_trained |= {"size": facts["size"], "channels": facts["channels"]}
    typed = {key_of(text) for text in overrides}
    kept = {key: value for key, value in as_trained.items() if f"data.{key}" not in typed}
    return {**chosen, **kept}


def _merged(own: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(own)
    for key, value in changes.items():
        before = merged.get(key)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(before, value) if both else value  # type: ignore[arg-type]
    return merged


def check_same_classes(trained: Trained, data: Data) -> None:
    """Raises RunError (NS604) where a number would mean another class than in training."""
    own, theirs = trained.data.classes, data.classes
    if own is None or theirs is None or tuple(own) == tuple(theirs):
        return
    both = list(zip(own, theirs, strict=False))
    first = next((index for index, (a, b) in enumerate(both) if a != b), None)
    if first is None:
        fact = f"the checkpoint knows {len(own)} classes, and {data.name} has {len(theirs)}"
    else:
        here, there = theirs[first], own[first]
        fact = f"class {first} is `{here}` in {data.name}, and `{there}` in the checkpoint"
    notes = (f"the checkpoint's: {_listed(own)}", f"{data.name}'s: {_listed(theirs)}")
    raise RunError(Diagnostic("NS604", fact, Span.whole("run's data"), notes))


def _listed(names: Sequence[str]) -> str:
    more = f", … ({len(names)})" if len(names) > 12 else ""
    return f"{', '.join(names[:12])}{more}"


@dataclass(frozen=True)
class _Renumbered:
    """Examples of a text whose characters have the numbers of training."""

    examples: Examples
    numbers: Tensor

    def __len__(self) -> int:
        return len(self.examples)

    def batch(self, indices: Tensor) -> Batch:
        inputs, target = self.examples.batch(indices)
        return tuple(self.numbers[value] for value in inputs), self.numbers[target]

    def fingerprint(self) -> str:
        return digest(self.examples.fingerprint().encode(), self.numbers)


def with_own_characters(trained: Trained, data: Data) -> Data:
    """Another text, with each character's number as in training.

    Raises RunError (NS604) for characters that were not there in training.
    """
    known, here = trained.data.facts.get("characters"), data.facts.get("characters")
    if known == here:
        return data
    if not isinstance(known, str) or not isinstance(here, str):
        fact = f"the checkpoint and {data.name} are not both texts of characters, or of bytes"
        raise RunError(Diagnostic("NS604", fact, Span.whole("run's data"), help="see data.level"))
    numbers = [known.find(character) for character in here]
    strange = [c for c, number in zip(here, numbers, strict=True) if number == _UNKNOWN]
    if strange:
        shown = ", ".join(map(repr, strange[:12]))
        more = f" and {len(strange) - 12} more" if len(strange) > 12 else ""
        fact = f"{data.name} has characters that were not there in training: {shown}{more}"
        help = "train with data.level=bytes, which knows every text"
        raise RunError(Diagnostic("NS604", fact, Span.whole("run's data"), help=help))
    table = torch.tensor(numbers)

    def renumbered(examples: Examples | None) -> Examples | None:
        return None if examples is None else _Renumbered(examples, table)

    return replace(
        data,
        train=renumbered(data.train),
        validation=renumbered(data.validation),
        test=renumbered(data.test),
        gives={**data.gives, "vocab_size": len(known), "num_classes": len(known)},
        facts={**data.facts, "characters": known},
    )
