"""`netspec train`: one run, or one of a sweep's."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from netspec.errors import SpecError
from netspec.reporting.terminal import print_error
from netspec.run.command import run_command, typed_overrides
from netspec.run.folder import status_of
from netspec.run.interruption import Interrupted
from netspec.run.lookup import look_up
from netspec.run.overrides import key_of
from netspec.run.run_folder_overrides import OF_FOLDER, going_on, placed
from netspec.run.settings import read_settings
from netspec.run.terminal import called, quiet, say, shown, tell_point, tell_result

if TYPE_CHECKING:
    from netspec.run.sweeper_direction import Direction

_CHECKED_SWEEPER = "hydra_plugins.netspec_plugin."  # which searches for nothing


def train_command(arguments: Sequence[str]) -> int:
    """Train, or sweep with -m; gives the exit status."""
    return run_command("train", train_job, arguments, placed, _completed)


def _completed(overrides: Sequence[str], config: DictConfig) -> list[str]:
    """The overrides of a sweep, with a sweeper that searches told which way: the runs' own."""
    if str(config.hydra.sweeper.get("_target_")).startswith(_CHECKED_SWEEPER):
        return list(overrides)
    from netspec.run.sweeper_direction import with_direction

    found = with_direction(overrides, config)
    for text in found[len(overrides) :]:
        say(f"{text}, since that is better")
    return found


def train_job(config: DictConfig) -> float | None:
    """One job that Hydra starts: trains, and gives the best value of what is monitored.

    In a sweep errors are raised, for the sweep to tell; else they are told here, and end all.
    """
    hydra = HydraConfig.get()
    overrides = [text for text in typed_overrides() if key_of(text) not in OF_FOLDER]
    folder = shown(Path(hydra.runtime.output_dir))
    if hydra.mode == RunMode.MULTIRUN:
        return _point(config, overrides, folder, int(hydra.job.num))
    try:
        settings = read_settings(config, overrides)
        look_up(settings, overrides)
        from netspec.run.training import train  # seconds of imports

        quiet()
        found = train(settings, overrides, folder)
    except SpecError as error:
        print_error(error)
        sys.exit(1)
    except (Interrupted, KeyboardInterrupt):
        how = f"; go on with: {go_on(folder)}" if status_of(folder) else ""
        sys.stderr.write(f"\nstopped{how}\n")
        sys.exit(130)
    if not found:  # a worker, which torchrun or SLURM started
        return None
    tell_result(found, shown(folder))
    return _best(found)


def _point(config: DictConfig, overrides: list[str], folder: Path, number: int) -> float | None:
    """One point of a sweep. What fails is written down before it is raised."""
    from netspec.run.run_metadata import write_failure
    from netspec.run.training import train

    quiet()
    tell_point(number, overrides)
    try:
        sought = _direction()
        found = train(read_settings(config, overrides), overrides, folder, "brief", sought=sought)
    except Interrupted:
        raise KeyboardInterrupt from None  # ends the sweep too
    except Exception as error:
        write_failure(folder, overrides, error)
        raise
    tell_point(number, overrides, found)
    return _best(found)


def _direction() -> Direction | None:
    """Which way the sweep's sweeper looks for the best."""
    from netspec.run.sweeper_direction import direction_of

    return direction_of(OmegaConf.create({"hydra": HydraConfig.get()}))


def _best(metrics: dict[str, Any]) -> float | None:
    best = metrics.get("best")
    return None if best is None else float(best[metrics["monitor"]["name"]])


def go_on(folder: Path) -> str:
    """The command that goes on with the run in a folder."""
    return f"{called('train')} {going_on(shown(folder))}"


def report_command(arguments: Sequence[str]) -> int:
    """`netspec report FOLDER`: the table and the page of all runs below a folder."""
    from netspec.run.report import write_report

    parser = ArgumentParser(
        prog="netspec report", description="A table and a page of all runs below a folder."
    )
    parser.add_argument("folder", type=Path, help="a sweep's folder, or any that holds runs")
    try:
        report = write_report(parser.parse_args(arguments).folder)
    except SpecError as error:
        print_error(error)
        return 1
    say("\n".join([report.text, *(f"wrote {path}" for path in report.paths)]))
    return 0
