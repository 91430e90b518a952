"""`netspec train`: one run, or one of a sweep's."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from netspec.errors import SpecError
from netspec.run.command import print_error, run_command
from netspec.run.overrides import key_of
from netspec.run.placing import placed

_OF_FOLDER = ("folder", "resume")


def train_command(arguments: Sequence[str]) -> int:
    """Train, or sweep with -m; gives the exit status."""
    return run_command("train", train_job, arguments, placed)


def train_job(config: DictConfig) -> dict[str, Any]:
    """One job that Hydra starts: trains, and gives what metrics.json has.

    In a sweep errors are raised, for the sweep to tell; else they are told here, and end all.
    """
    from netspec.run.fit import train
    from netspec.run.keeper import Interrupted
    from netspec.run.settings import read_settings
    from netspec.run.terminal import quiet, tell_result

    hydra = HydraConfig.get()
    overrides = [text for text in hydra.overrides.task if key_of(text) not in _OF_FOLDER]
    folder = Path(hydra.runtime.output_dir)
    quiet()
    if hydra.mode == RunMode.MULTIRUN:
        return train(read_settings(config, overrides), overrides, folder)
    try:
        found = train(read_settings(config, overrides), overrides, folder)
    except SpecError as error:
        print_error(error)
        sys.exit(1)
    except (Interrupted, KeyboardInterrupt):
        sys.stderr.write(f"\nstopped; go on with: {go_on(folder)}\n")
        sys.exit(130)
    tell_result(found, folder)
    return found


def go_on(folder: Path) -> str:
    """The command that goes on with the run in a folder."""
    return f"python train.py resume={shown(folder)}"


def shown(folder: Path) -> Path:
    """A folder as short as it can be called from here."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
