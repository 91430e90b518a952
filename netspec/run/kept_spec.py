"""The spec of a run that goes on, out of the run's own folder, where its files are gone."""

from __future__ import annotations

from pathlib import Path

from netspec import find
from netspec.errors import SpecError
from netspec.recipe import Recipe
from netspec.run.checkpoint import read_checkpoint
from netspec.run.folder import LAST, SPEC
from netspec.run.model import ModelChoice


def kept_spec(choice: ModelChoice, folder: Path) -> Recipe | ModelChoice | None:
    """What takes the place of a spec of which a file is not there any more; None where all are.

    The last checkpoint has every text; before the first one there is the resolved spec, in which
    the run's changes are made already. Raises RunError (NS703) for a broken checkpoint.
    """
    last, resolved = folder / LAST, folder / SPEC
    if last.is_file():
        recipe = read_checkpoint(last).recipe
        paths = [Path(kept.path) for kept in recipe.texts() if kept.path]
        return recipe if not all(path.is_file() for path in paths) else None
    if _is_there(choice) or not resolved.is_file():
        return None
    return ModelChoice(str(resolved), ())


def _is_there(choice: ModelChoice) -> bool:
    try:
        return Path(find.path_of(choice.source)).is_file()
    except SpecError:
        return False
