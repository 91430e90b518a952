"""Where a run writes what people read."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape

from netspec.display import visible
from netspec.run.overrides import as_written

Verbosity = Literal["full", "brief", "silent"]  # what a run says while it lasts
_SCRIPTS = ("train.py", "eval.py")


@cache
def console() -> Console:
    """The console of this process: stdout, coloured in a terminal alone."""
    return Console(highlight=False, soft_wrap=True)


def quiet() -> None:
    """Lightning tells every choice; those are the run's, and stand in its configuration.

    To be called once it is imported, which sets what it tells.
    """
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "pytorch_lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for module in (r"lightning\..*", r"torch\..*", r"torchmetrics\..*"):
        warnings.filterwarnings("ignore", module=module)


def say(text: str) -> None:
    """Lines of text, in which no name that data or a spec gave commands the terminal."""
    console().print("\n".join(map(visible, text.split("\n"))), markup=False, emoji=False)


def called(name: str) -> str:
    """How the user calls a command here: the script of a checkout, or the installed `netspec`."""
    script = Path(sys.argv[0])
    return f"python {script.with_name(name)}.py" if script.name in _SCRIPTS else f"netspec {name}"


def shown(folder: Path) -> Path:
    """A folder as short as it can be called from here."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def tell_start(lines: Mapping[str, str]) -> None:
    """What is trained on what, before it begins."""
    width = max(map(len, lines))
    told = [f"[dim]{n:<{width}}[/]  {escape(visible(value))}" for n, value in lines.items()]
    console().print("\n".join(told), emoji=False)  # at once: a notebook frames each print


def figure_lines(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures of the best weights, each under its name."""
    best, test = metrics.get("best"), metrics.get("test")
    monitor = metrics["monitor"]["name"]
    lines = []
    if best is not None:
        lines.append(("best", f"epoch {int(best['epoch'])}, {monitor} {best[monitor]:.4f}"))
    if test is not None:
        lines.append(("test", "  ".join(f"{name} {value:.4f}" for name, value in test.items())))
    return lines


def tell_result(metrics: Mapping[str, Any], folder: Path) -> None:
    """The figures of the best weights, and where everything is."""
    lines = [f"{name}    {text}" for name, text in figure_lines(metrics)]
    lines.append(f"folder  {folder}")
    plugins = "".join(
        f" {text}" for text in metrics.get("overrides", ()) if text.startswith("plugins=")
    )
    lines.append(f"next    {called('eval')} checkpoint={folder}{plugins}")
    say("\n".join(lines))


def tell_point(
    number: int, overrides: Sequence[str], found: Mapping[str, Any] | None = None
) -> None:
    """A line when a point of a sweep begins, and one with its figures when it ends."""
    if found is None:
        say(f"job {number}: {' '.join(map(as_written, overrides))}")
        return
    best, test = found.get("best"), found.get("test")
    name = found["monitor"]["name"]
    figures = [f"best {name} {best[name]:.4f}"] if best else []
    figures += [f"test {key} {value:.4f}" for key, value in (test or {}).items()]
    say(f"job {number}: {'  '.join(figures)}  {found['seconds']:.1f} s")
