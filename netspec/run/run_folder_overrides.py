"""Where a run is kept, and with what an interrupted one goes on."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from netspec.errors import Diagnostic, Origin, RunError, Span
from netspec.run.folder import METRICS, read_metrics
from netspec.run.overrides import for_hydra, key_of, last_of_each, quoted, value_of

SWEEP = "sweep.json"  # in the folder of a sweep: how it was called
OF_FOLDER = ("folder", "resume")  # what is about the run's folder, not about the run
_GO_ON = ("running", "interrupted", "failed")


def placed(overrides: Sequence[str], many: bool) -> list[str]:
    """The overrides with Hydra told where to put the run, or the sweep.

    `resume=FOLDER` takes the overrides that the run in the folder was called with, and what is
    given now on top; `resume=true` means the run in `folder=…`, else the newest one that was not
    finished. Raises RunError (NS709) where there is nothing to go on with.
    """
    given = {key_of(text): value_of(text) for text in overrides if key_of(text) in OF_FOLDER}
    rest = [text for text in overrides if key_of(text) not in OF_FOLDER]
    folder = given.get("folder")
    resume = given.get("resume", False)
    if resume is not False and resume is not None:
        found = _folder_to_resume(resume, folder, many)
        before = [for_hydra(text) for text in _called_with(found, many)]
        rest = [*last_of_each([*before, *rest]), "resume=true"]
        folder = str(found)
    if folder is None:
        return rest
    if folder == "" or isinstance(folder, (bool, list, dict)):
        fact = "`folder` takes the path of a folder"
        raise RunError(Diagnostic("NS702", fact, _span("folder", folder)))
    key = "hydra.sweep.dir" if many else "hydra.run.dir"
    return [*rest, f"{key}={quoted(str(folder))}"]


def going_on(folder: Path) -> str:
    """The override that goes on in a folder, as it is typed in a shell."""
    plain = re.fullmatch(r"[\w./-]+", str(folder))
    return shlex.quote(f"resume={folder if plain else quoted(str(folder))}")


def _folder_to_resume(resume: object, folder: object, many: bool) -> Path:
    if resume is not True:
        return Path(str(resume))
    if folder is not None:
        return Path(str(folder))
    name = SWEEP if many else METRICS
    top = Path("multirun" if many else "outputs")
    newest = sorted(top.rglob(name), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in newest:
        if many or (read_metrics(file.parent) or {}).get("status") in _GO_ON:
            return file.parent
    fact = f"no run below {top}/ waits to be gone on with"
    help = "name its folder: resume=FOLDER"
    raise RunError(Diagnostic("NS709", fact, _span("resume", "true"), help=help))


def _called_with(folder: Path, many: bool) -> list[str]:
    try:
        found = json.loads((folder / (SWEEP if many else METRICS)).read_text(encoding="utf-8"))
        return [str(text) for text in found["overrides"]]
    except (OSError, ValueError, KeyError, TypeError):
        what = "sweep" if many else "run"
        fact = f"there is no {what} in {folder} to go on with"
        span = _span("resume", folder)
        raise RunError(Diagnostic("NS709", fact, span)) from None


def _span(key: str, value: object) -> Span:
    return Span.of(Origin("override", key, f"the override {key}={value}"))
