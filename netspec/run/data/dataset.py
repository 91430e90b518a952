"""What a run knows of its data: fields, splits, and how examples become a batch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

from netspec.run.data.augment import Augment


def digest(*parts: bytes | Tensor) -> str:
    """Bytes and tensors → the SHA-256 of them one after the other, types and shapes included."""
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            found.update(f"{part.dtype} {list(part.shape)}".encode())
            found.update(part.contiguous().view(-1).view(torch.uint8).numpy().data)
        else:
            found.update(part)
    return found.hexdigest()


Batch: TypeAlias = tuple[tuple[Tensor, ...], Tensor]
"""The inputs in the order of `Data.inputs`, and the target; the batch is dimension 0 of each."""


@dataclass(frozen=True)
class Field:
    """One tensor of ONE example, so without the batch; no name means the model's first input."""

    name: str | None
    shape: tuple[int, ...]
    dtype: torch.dtype


class Examples(Protocol):
    """One split: numbered examples that are read a batch at a time, each time the same."""

    def __len__(self) -> int: ...

    def batch(self, indices: Tensor) -> Batch:
        """The examples at these positions (int64, one dimension) as one batch, normalised."""
        ...

    def fingerprint(self) -> str:
        """What is another one where any example is: of numbers in memory a digest of them all, of
        files that are read as they are needed a digest of their names, sizes and times."""
        ...


@dataclass(frozen=True)
class Wanted:
    """The model's own inputs and output, all sizes known: what `random` makes examples for."""

    inputs: tuple[Field, ...]
    output: Field | None


@dataclass(frozen=True)
class Data:
    """A data set as runs use it.

    `task` is "classification", "regression", "language" or "segmentation". `classes` names what
    classification and segmentation tell apart. `gives` holds what a spec's arguments may be left
    null for, such as `num_classes`. `facts` is what a prediction needs later, as plain JSON.
    A split that the data does not have is None; `augment` is for the training split alone.
    """

    name: str
    task: str
    inputs: tuple[Field, ...]
    target: Field
    classes: tuple[str, ...] | None
    train: Examples | None
    validation: Examples | None
    test: Examples | None
    augment: Augment | None
    gives: Mapping[str, int]
    facts: Mapping[str, Any]

    @cached_property
    def fingerprint(self) -> str:
        """What tells these examples from others of the same settings."""
        splits = (self.train, self.validation, self.test)
        found = ["" if split is None else split.fingerprint() for split in splits]
        return digest("\n".join([*found, *(self.classes or ())]).encode())
