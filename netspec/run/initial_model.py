"""The model that a run begins with: its first parameters, from a seed or a file, some frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from netspec.run.freezing import Frozen, freeze_at
from netspec.run.preflight import Prepared
from netspec.run.settings import place_of
from netspec.run.weights import Loaded, digest_of, load_for_run


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """A model before its first step, and what was done to it."""

    model: nn.Module
    loaded: Loaded | None
    frozen: Frozen | None

    def lines(self) -> dict[str, list[str]]:
        """What is told of it: `weights` and `frozen`, where there is something."""
        found: dict[str, list[str]] = {}
        if self.loaded is not None:
            found["weights"] = self.loaded.lines()
        if self.frozen is not None:
            found["frozen"] = [str(self.frozen)]
        return found

    def record(self) -> dict[str, Any]:
        """What metrics.json keeps of it."""
        loaded, frozen = self.loaded, self.frozen
        return {
            "weights": None
            if loaded is None
            else {
                "file": loaded.file,
                "sha256": digest_of(loaded.file),
                "loaded": len(loaded.loaded),
                "reset": dict(loaded.reset),
                "unused": list(loaded.unused),
            },
            "frozen": None
            if frozen is None
            else {"patterns": list(frozen.patterns), "parameters": frozen.elements},
        }


def make_start(prepared: Prepared, resumed: bool) -> Start:
    """The model with its first parameters: from the seed, then from the file in `weights`.

    What is resumed needs no file: its own checkpoint has all. Raises RunError (NS703, NS704, NS712)
    for a file that is not there any more, or another one now.
    """
    settings = prepared.settings
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model: nn.Module = prepared.compiled.built.make()
    loaded = None
    given = settings.weights
    if given.file is not None and not resumed:
        span = place_of("weights.file", prepared.overrides)
        loaded = load_for_run(model, given.file, given.strict, given.prefix, span)
    frozen = None
    if settings.freeze:
        frozen = freeze_at(model, settings.freeze, place_of("freeze", prepared.overrides))
    if settings.compile:
        model.compile()
    return Start(model, loaded, frozen)
