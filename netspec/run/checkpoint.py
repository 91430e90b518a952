"""Checkpoints: weights, and all that rebuilds their model, in one safetensors file.

The weights stand under the keys of the model's `state_dict`. The file's metadata has, as JSON, the
spec's texts with args, overrides and form, and what was trained on what. A checkpoint to resume
from holds the training state as well, below `~state/`. There is no pickle in it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from netspec.compiled import Compiled
from netspec.errors import Diagnostic, RunError, Span
from netspec.ir.lower.session import Activation
from netspec.language.files import Kept
from netspec.language.overrides import Override
from netspec.limits import AnyLimits, raised, read_limits
from netspec.ops.process_state import own_random_state
from netspec.pipeline import compile_recipe
from netspec.plugins import enabled, how_to_enable, is_enabled
from netspec.recipe import Recipe, recipe_key
from netspec.request import Act, hashable, read_activation
from netspec.run.checkpoint_path import find_checkpoint
from netspec.run.folder import replace_file
from netspec.run.state_codec import flatten, restore
from netspec.run.state_dict_diff import compare
from netspec.run.tensors import STATE, read_safetensors

FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A checkpoint as it was read. `info` is plain; `state` is None where it can't be resumed."""

    path: Path
    recipe: Recipe
    info: Mapping[str, Any]
    weights: Mapping[str, torch.Tensor]
    state: Mapping[str, Any] | None = field(default=None)

    def compile(self, act: Act | None = None) -> Compiled:
        """The model's program, in another form if asked. Raises SpecError, RunError (NS219)."""
        for name in self.recipe.needs:
            if not is_enabled(name):
                span = Span(str(self.path))
                if name == "__main__":
                    fact = f"`{self.path.name}` needs layers that a script registered for itself"
                    help = "call it from that script, or register them in a module, as a plugin"
                    raise RunError(Diagnostic("NS219", fact, span, help=help))
                fact = f"`{self.path.name}` needs layers that the plugin `{name}` registers"
                raise RunError(Diagnostic("NS219", fact, span, help=how_to_enable(name)))
        activation = self.recipe.activation if act is None else read_activation(act)
        return compile_recipe(self.recipe, activation)

    def build(self, act: Act | None = None) -> nn.Module:
        """The model with its weights, in train mode on the CPU. Raises SpecError, RunError."""
        with own_random_state():
            model = self.compile(act).built.make()
        load_own(model, self)
        return model


def load_checkpoint(
    path: str | os.PathLike[str],
    *,
    act: Act | None = None,
    plugins: Sequence[str] | None = None,
    limits: AnyLimits = None,
) -> nn.Module:
    """The model of a checkpoint with its weights, in eval mode on the CPU, from this file alone.

    `path` is the file, also without its suffix, or a run's folder, whose best weights are meant;
    `act` is a form as in `build`: every form takes the same weights; `plugins` are enabled as
    there, and `limits` hold as there. Raises RunError: NS703, NS704 where the file is no whole
    checkpoint, NS219 where it needs a plugin that is not enabled.
    """
    with enabled(plugins), raised(read_limits(limits)):
        return read_checkpoint(find_checkpoint(path)).build(act).eval()


def write_checkpoint(
    path: Path,
    weights: Mapping[str, torch.Tensor],
    recipe: Recipe,
    info: Mapping[str, Any],
    state: Mapping[str, Any] | None = None,
) -> None:
    """Write a checkpoint; the file is whole, or as it was. Raises RunError (NS706): no space."""
    tensors = {name: _apart(tensor) for name, tensor in weights.items()}
    head: dict[str, Any] = {"version": FORMAT, "recipe": _recipe_to_plain(recipe), "info": info}
    if state is not None:
        kept: dict[str, torch.Tensor] = {}
        head["state"] = flatten(state, kept)
        tensors |= {f"{STATE}{name}": _apart(tensor) for name, tensor in kept.items()}
    _write(path, tensors, {"netspec": json.dumps(head)})


def write_weights(path: Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Write weights alone, as any safetensors file has them. Raises RunError (NS706): no space."""
    _write(path, {name: _apart(tensor) for name, tensor in weights.items()}, {})


def _write(path: Path, tensors: dict[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    def fill(to: Path) -> None:
        try:
            save_file(tensors, to, {"format": "pt", **metadata})
        except SafetensorError as error:
            number = re.search(r"os error (\d+)", str(error))
            raise OSError(int(number[1]) if number else 0, str(error)) from None

    replace_file(path, fill)


def _apart(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor with memory of its own, which safetensors asks for: tied weights are kept twice."""
    return tensor.detach().to("cpu", copy=True).contiguous()


def read_checkpoint(path: Path) -> Checkpoint:
    """Raises RunError (NS703) where the file is not a whole checkpoint of netspec's."""
    metadata, tensors = read_safetensors(path)
    if "netspec" not in metadata:
        fact = f"`{path.name}` has weights, and no spec: it was not written by netspec"
        help = "load it into a model: netspec.load_weights(model, FILE), or train.py weights=FILE"
        raise RunError(Diagnostic("NS703", fact, Span(str(path)), help=help))
    try:
        head = _Head.model_validate_json(metadata["netspec"])
        recipe = head.recipe.recipe()
        state = None if head.state is None else restore(head.state, _part(tensors, STATE))
    except (ValidationError, ValueError, KeyError, TypeError, RecursionError) as error:
        said = str(error).partition("\n")[0]
        fact = f"`{path.name}` has a head that this version of netspec can't read: {said}"
        raise RunError(Diagnostic("NS703", fact, Span(str(path)))) from None
    weights = {name: value for name, value in tensors.items() if not name.startswith(STATE)}
    return Checkpoint(path, recipe, head.info, weights, state)


def _part(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {n.removeprefix(prefix): value for n, value in tensors.items() if n.startswith(prefix)}


def load_own(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's weights into its own model.

    Raises RunError (NS704), which names the keys and shapes that differ: somebody changed it.
    """
    found = compare(model, checkpoint.weights)
    if not found.is_whole():
        fact = f"`{checkpoint.path.name}` does not fit the model of its own spec"
        span = Span(str(checkpoint.path))
        raise RunError(Diagnostic("NS704", fact, span, found.notes()))
    model.load_state_dict(dict(found.found))


# The recipe as JSON


class _Text(BaseModel):
    model_config = ConfigDict(extra="forbid")
    file: str
    path: str | None
    text: str

    def kept(self) -> Kept:
        if "\0" in f"{self.file}{self.path}":
            raise ValueError("a file's name has a null character")
        return Kept(self.file, self.path, self.text)


class _Named(BaseModel):
    model_config = ConfigDict(extra="forbid")
    owner: str
    name: str
    source: _Text


class _Change(BaseModel):
    model_config = ConfigDict(extra="forbid")
    path: tuple[str, ...]
    value: Any
    delete: bool
    text: str

    def override(self) -> Override:
        return Override(self.path, self.value, self.delete, self.text)


class _Recipe(BaseModel):
    model_config = ConfigDict(extra="forbid")
    main: _Text
    mapping: str | None
    named: list[_Named]
    args: dict[str, Any]
    form: str
    fn: str | None
    overrides: list[_Change]
    outputs: tuple[str, ...]
    needs: tuple[str, ...] = ()

    def recipe(self) -> Recipe:
        if self.form not in ("module", "functional", "inplace"):
            raise ValueError(f"there is no form {self.form!r}")
        if self.mapping is not None and not isinstance(json.loads(self.mapping), dict):
            raise ValueError("the spec is no mapping")
        args = tuple(sorted((name, hashable(value)) for name, value in self.args.items()))
        return Recipe(
            self.main.kept(),
            self.mapping,
            tuple(((named.owner, named.name), named.source.kept()) for named in self.named),
            args,
            recipe_key(args),
            replace(Activation("module", self.fn), form=self.form),  # type: ignore[arg-type]
            tuple(change.override() for change in self.overrides),
            self.outputs,
            self.needs,
        )


class _Head(BaseModel):
    model_config = ConfigDict(extra="forbid")
    version: Annotated[int, Field(strict=True, ge=FORMAT, le=FORMAT)]
    recipe: _Recipe
    info: dict[str, Any]
    state: Any = None


def _recipe_to_plain(recipe: Recipe) -> dict[str, Any]:
    return {
        "main": _text(recipe.main),
        "mapping": recipe.mapping,
        "named": [
            {"owner": owner, "name": name, "source": _text(kept)}
            for (owner, name), kept in recipe.named
        ],
        "args": dict(recipe.args),
        "form": recipe.activation.form,
        "fn": recipe.activation.fn,
        "overrides": [
            {"path": o.path, "value": o.value, "delete": o.delete, "text": o.text}
            for o in recipe.overrides
        ],
        "outputs": recipe.outputs,
        "needs": recipe.needs,
    }


def _text(kept: Kept) -> dict[str, str | None]:
    return {"file": kept.file, "path": kept.path, "text": kept.text}
