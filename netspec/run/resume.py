"""Whether a run may use a folder, and go on with what is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from netspec.errors import Diagnostic, RunError, Span
from netspec.run import folder as files
from netspec.run.checkpoint import Checkpoint, read_checkpoint
from netspec.run.preflight import Prepared
from netspec.run.settings import Settings, shown
from netspec.run.training_info import Trained, read_trained

_FIXED = (
    "model", "data", "loss", "optimizer", "task", "seed", "precision", "act", "weights", "freeze",
)  # fmt: skip
_LENGTH = ("trainer.max_epochs", "trainer.max_steps")  # of a run that is finished


def refuse_changed(folder: Path, settings: Settings) -> None:
    """Raises RunError (NS709) where a finished run was of other settings."""
    before = OmegaConf.to_container(OmegaConf.load(folder / files.RUN))
    assert isinstance(before, dict), "run.yaml is written by a run"
    was, now = {str(key): value for key, value in before.items()}, settings.model_dump(mode="json")
    length = [f"`{key}` can't grow any more" for key in _LENGTH if _at(was, key) != _at(now, key)]
    _refuse_differences([*_differences(was, now), *length], folder)


def _at(run: Mapping[str, Any], path: str) -> object:
    group, _, key = path.partition(".")
    found = run.get(group)
    return found.get(key) if isinstance(found, Mapping) else None


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What of two runs' settings may not differ where one goes on with the other."""
    was, given = (
        dict(leaf for key in _FIXED for leaf in _leaves(key, run.get(key))) for run in (before, now)
    )
    return [
        f"`{key}` was `{shown(was.get(key))}`, and is `{shown(given.get(key))}` now"
        for key in {**was, **given}
        if was.get(key) != given.get(key)
    ]


def _leaves(path: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(f"{path}.{key}", item)
    else:
        yield path, value


def _refuse_differences(changed: Sequence[str], folder: Path) -> None:
    if changed:
        fact = "this run can't go on as another one"
        help = "start a new run, from these weights if you like: weights=…"
        raise RunError(Diagnostic("NS709", fact, Span(str(folder)), tuple(changed), help))


def refuse_taken(folder: Path, settings: Settings) -> None:
    """Raises RunError (NS707) where a folder has a run, and this one does not go on with it, or
    files of somebody else that it would overwrite."""
    status = files.status_of(folder)
    files.refuse_foreign(folder, files.foreign(folder))
    if settings.resume or status is None:
        return
    fact = f"a run is in this folder, and it is {status}"
    help = "choose another folder=…" if status == "finished" else f"go on with it: resume={folder}"
    raise RunError(Diagnostic("NS707", fact, Span(str(folder)), help=help))


def resumable(prepared: Prepared, info: Mapping[str, Any], folder: Path) -> Path | None:
    """The checkpoint to go on from; `info` is what a checkpoint of this run would say.

    Raises RunError: NS703 for one that does not say of which run it is, NS709 where the folder's
    run is another, or was of other data.
    """
    path = folder / files.LAST
    if not prepared.settings.resume or not path.is_file():
        return None
    before = read_checkpoint(path)
    trained = read_trained(before)
    changed = _differences(trained.run.model_dump(mode="json"), info["run"])
    if before.recipe.texts() != prepared.compiled.recipe.texts():
        changed.append("the spec's text is another one")
    _refuse_differences(changed, folder)
    _refuse_fewer_epochs(before, prepared.settings, folder)
    _refuse_other_data(trained, prepared, info, folder)
    return path


def _refuse_fewer_epochs(before: Checkpoint, settings: Settings, folder: Path) -> None:
    """Raises RunError (NS709) where more was trained already than is asked for."""
    done, asked = _epochs_done(before.state or {}), settings.trainer.max_epochs
    if done > asked:
        fact = f"this run has trained {done} epochs, and trainer.max_epochs is {asked}"
        help = f"go on to more of them: trainer.max_epochs={done + 1}"
        raise RunError(Diagnostic("NS709", fact, Span(str(folder)), help=help))


def _epochs_done(state: Mapping[str, Any]) -> int:
    """The epochs that a training state has behind it; 0 where it does not say."""
    try:
        return int(state["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])
    except (KeyError, TypeError, ValueError):  # told where it is restored
        return 0


def _refuse_other_data(
    trained: Trained, prepared: Prepared, info: Mapping[str, Any], folder: Path
) -> None:
    was, now = trained.data.fingerprint, info["data"]["fingerprint"]
    if was not in (None, now) and not prepared.settings.other_data:
        raise RunError(other_data(prepared.data.name, folder))


def other_data(name: str, folder: Path) -> Diagnostic:
    """What is said where the data's examples are not those that the folder's run began with."""
    fact = f"{name} has other examples than when this began"
    help = "put back what was there, or go on with what is there now: other_data=true"
    return Diagnostic("NS709", fact, Span(str(folder)), help=help)
