"""The commands that Hydra drives: from what was typed to one call of Hydra, or a clear no."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from netspec.errors import Diagnostic, Origin, RunError, Span, SpecError, did_you_mean, nearest
from netspec.reporting.terminal import print_error
from netspec.run.folder import exclusive_folder, remove_unused
from netspec.run.help import help_text
from netspec.run.overrides import (
    as_written,
    for_hydra,
    key_of,
    last_of_each,
    not_an_override,
    parsed,
    quoted,
)
from netspec.run.run_plugins import load_for_data

PACKAGE = Path(__file__).resolve().parent.parent
_FULL_ERROR = "HYDRA_FULL_ERROR"
Task = Callable[[DictConfig], object]
Place = Callable[[Sequence[str], bool], list[str]]
Complete = Callable[[Sequence[str], DictConfig], list[str]]


def _unplaced(overrides: Sequence[str], many: bool) -> list[str]:  # noqa: ARG001
    return list(overrides)


def _unchanged(overrides: Sequence[str], config: DictConfig) -> list[str]:  # noqa: ARG001
    return list(overrides)


def run_command(
    name: str,
    task: Task,
    arguments: Sequence[str],
    place: Place = _unplaced,
    complete: Complete = _unchanged,
) -> int:
    """Compose the configuration `name` with these arguments and run the task on it, or on each
    point of a sweep.

    `place` may change the overrides before, and `complete` a sweep's, by what they compose to.
    Gives the exit status; what is wrong is told on stderr.
    """
    try:
        options = read_flags(arguments)
        flags = [argument for argument in arguments if argument not in options.overrides]
        with config_folders(name) as (folder, searchpath):
            overrides = last_of_each([for_hydra(text) for text in options.overrides])
            overrides = place(overrides, bool(options.multirun))
            if options.help:
                others = [Path(p.removeprefix("file://")) for p in searchpath[:-1]]
                sys.stdout.write(help_text(name, [folder, *others]))
                return 0
            load_for_data(overrides)
            if searchpath:
                overrides.append(f"hydra.searchpath=[{','.join(searchpath)}]")
            if is_question(options) and not options.cfg:
                return call_hydra(folder, name, task, [*flags, *overrides])
            fixed = [text for text in overrides if not is_sweep(text, options)]
            composed = compose(folder, name, fixed)
            if is_question(options):
                return call_hydra(folder, name, task, [*flags, *overrides])
            if options.multirun:
                overrides = complete(overrides, composed)
            many = bool(options.multirun)
            with output_folder(composed, many) as made:
                own = f"hydra.{'sweep' if many else 'run'}.dir={quoted(str(made))}"
                return call_hydra(folder, name, task, [*flags, *overrides, own], many)
    except SpecError as error:
        print_error(error)
        return 1
    except KeyboardInterrupt:  # before there was a run to go on with
        sys.stderr.write("\nstopped\n")
        return 130


_NOT_HERE = ("config_name", "config_path", "config_dir", "package", "experimental_rerun")


def read_flags(arguments: Sequence[str]) -> Namespace:
    """Hydra's flags, and the overrides among them. Raises RunError (NS702)."""
    parser = get_args_parser()
    known = [text for action in parser._actions for text in action.option_strings]

    def refuse(message: str) -> NoReturn:
        said = message.removeprefix("unrecognized arguments: ")
        fact = message if said == message else f"there is no flag `{said}`"
        help = did_you_mean(said, known) or "`--help` tells the flags and the keys"
        raise RunError(Diagnostic("NS702", fact, Span.whole("command line"), help=help))

    parser.error = refuse  # type: ignore[method-assign]
    options = parser.parse_intermixed_args(list(arguments))
    for name in _NOT_HERE:
        if getattr(options, name, None):
            fact = f"`--{name.replace('_', '-')}` is not for here: a command has its configuration"
            help = "options of groups stand in configs/run, here: configs/run/GROUP/NAME.yaml"
            raise RunError(Diagnostic("NS702", fact, Span.whole("command line"), help=help))
    return options


@contextmanager
def output_folder(config: DictConfig, many: bool) -> Iterator[Path]:
    """Makes the folder of the run, or of the sweep, and takes it away again if it stays empty.

    A folder that is called by the clock is this run's alone: what starts in the same second gets
    another one, with a number. Raises RunError (NS702, NS706).
    """
    node = config.hydra.sweep if many else config.hydra.run
    try:
        path = Path(str(node.dir))
        by_clock = "${now:" in OmegaConf.to_yaml(node, resolve=False)
        made = None if path.exists() and not by_clock else path
        path = exclusive_folder(path) if by_clock else path
        path.mkdir(parents=True, exist_ok=True)
    except OmegaConfBaseException as error:
        raise RunError(
            Diagnostic("NS702", _first_line(error), Span.whole("command line"))
        ) from None
    except (OSError, ValueError) as error:
        number = error.errno if isinstance(error, OSError) else None
        reason = os.strerror(number).lower() if number else str(error)
        fact = f"this can't be the folder of a run: {reason}"
        help = "choose another one: folder=…"
        raise RunError(Diagnostic("NS706", fact, Span(str(node.dir)), help=help)) from None
    try:
        yield path
    finally:
        if made is not None:
            remove_unused(path)


def is_question(options: object) -> bool:
    """Whether Hydra is only asked to show something."""
    asked = ("help", "hydra_help", "cfg", "info", "shell_completion", "version")
    return any(getattr(options, name, None) for name in asked)


def is_sweep(override: str, options: object) -> bool:
    if not getattr(options, "multirun", False):
        return False
    return bool(parsed(override).is_sweep_override())


@contextmanager
def config_folders(name: str) -> Iterator[tuple[Path, list[str]]]:
    """The folder that has the configuration, and where else Hydra looks for options of groups.

    A user's own `configs/run` in the working folder comes first; netspec's own is always there.
    """
    own = next(
        folder
        for folder in (PACKAGE / "configs" / "run", PACKAGE.parent / "configs" / "run")
        if folder.is_dir()
    )
    users = Path("configs/run").resolve()
    folders = [users, own] if users.is_dir() and users != own else [own]
    primary = next(folder for folder in folders if (folder / f"{name}.yaml").is_file())
    others = [f"file://{folder}" for folder in folders if folder != primary]
    yield primary, ([*others, "netspec://model"] if others else [])


def compose(folder: Path, name: str, overrides: Sequence[str]) -> DictConfig:
    """The configuration with these overrides, Hydra's own part included.

    Raises RunError (NS701, NS702) for what Hydra can't find or read. A program around that uses
    Hydra itself finds it as it was.
    """
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with (
            told(overrides, folder, name),
            hydra.initialize_config_dir(config_dir=str(folder), version_base="1.3"),
        ):
            return hydra.compose(name, overrides=list(overrides), return_hydra_config=True)
    finally:
        GlobalHydra.instance().hydra = before


@contextmanager
def told(
    overrides: Sequence[str], folder: Path | None = None, name: str = "train"
) -> Iterator[None]:
    """Turns what Hydra says of these overrides into RunErrors (NS701, NS702)."""
    try:
        yield
    except OverrideParseException as error:
        raise RunError(not_an_override(error.override, str(error))) from None
    except MissingConfigException as error:
        raise RunError(_missing(error)) from None
    except ConfigCompositionException as error:
        with config_folders(name) as (primary, _):
            known = _keys(folder or primary, name)
        raise RunError(_refused(error, overrides, known)) from None
    except _OF_HYDRA as error:
        for text in overrides:
            if not key_of(text):
                raise RunError(not_an_override(text, "")) from None
            if _names_no_option(text, name):
                fact = f"`{key_of(text)}` takes the name of an option"
                place = Span.of(Origin("override", key_of(text), as_written(text)))
                raise RunError(Diagnostic("NS702", fact, place)) from None
        span = Span.whole("command line")
        raise RunError(Diagnostic("NS702", _first_line(error), span)) from None


# What Hydra and its parts raise at values that they did not expect.
_OF_HYDRA = (
    HydraException,
    OmegaConfBaseException,
    ValueError,
    AttributeError,
    TypeError,
    KeyError,
    IndexError,
    AssertionError,
)


def _names_no_option(override: str, name: str) -> bool:
    """Whether an override gives a group what can't be the name of an option."""
    with config_folders(name) as (folder, _):
        groups = {"model", "hydra", *(entry.name for entry in folder.iterdir() if entry.is_dir())}
    value = parsed(override).value()
    items = value if isinstance(value, list) else [value]
    return key_of(override) in groups and not all(isinstance(item, str) for item in items)


def _missing(error: MissingConfigException) -> Diagnostic:
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    options = [str(name) for name in error.options or ()]
    near = did_you_mean(option, options) or (f"there are {', '.join(options)}" if options else None)
    fact = f"the group `{group}` has no option `{option}`" if group else f"no file `{option}`"
    return Diagnostic(
        "NS701", fact, Span.of(Origin("override", group, f"{group}={option}")), help=near
    )


def _refused(
    error: ConfigCompositionException, overrides: Sequence[str], known: Sequence[str]
) -> Diagnostic:
    said = str(error)
    nameless = [text for text in overrides if not key_of(text)]
    if nameless:
        return not_an_override(nameless[0], "")
    for text in sorted(overrides, key=len, reverse=True):
        key = key_of(text)
        if f"'{key}'" in said or text in said:
            span = Span.of(Origin("override", key, f"the override {as_written(text)}"))
            if "Ambiguous value" in str(error.__cause__ or error):
                fact = f"`{key}` has several values, and this is no sweep"
                help = f"-m runs one after another; one value with commas is quoted: '{key}=\"…\"'"
                return Diagnostic("NS702", fact, span, help=help)
            if key in known:
                cause = _first_line(error.__cause__ or error)
                return Diagnostic("NS702", f"`{key}` does not take this value: {cause}", span)
            return Diagnostic("NS701", f"a run has no `{key}`", span, help=_near(key, known))
    return Diagnostic("NS702", _first_line(error), Span.whole("command line"))


def _near(key: str, known: Sequence[str]) -> str | None:
    near = did_you_mean(key, known)
    if near:
        return near
    parent = key.rpartition(".")[0]
    last = key.rpartition(".")[2]
    siblings = [name for name in known if name.rpartition(".")[0] == parent and name]
    by_last = did_you_mean(last, [name.rpartition(".")[2] for name in siblings])
    in_groups = {name.rpartition(".")[2]: name for name in known if "." in name}
    meant = [f"`{in_groups[name]}`" for name in nearest(last, list(in_groups))]
    if meant and not by_last:
        return f"did you mean {' or '.join(meant)}?"
    if by_last or not siblings:
        return by_last
    shown = ", ".join(name.rpartition(".")[2] for name in siblings)
    return f"`{parent}` has {shown}" if parent else f"there are {shown}"


@lru_cache(maxsize=8)
def _keys(folder: Path, name: str) -> list[str]:
    """Every path of the configuration as it is without overrides."""
    config = compose(folder, name, [])
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict), "a configuration is a mapping"
    plain.pop("hydra")
    return list(_paths(plain, ""))


def _paths(value: Mapping[Any, Any], prefix: str) -> Iterator[str]:
    for key, item in value.items():
        yield f"{prefix}{key}"
        if isinstance(item, dict):
            yield from _paths(item, f"{prefix}{key}.")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__


def call_hydra(
    folder: Path, name: str, task: Task, arguments: Sequence[str], many: bool = False
) -> int:
    """Hydra's own main, as if these arguments had been typed.

    Raises SpecError where the sweeper of several jobs hands on that of one.
    """
    before, full = sys.argv, os.environ.get(_FULL_ERROR)
    sys.argv = [before[0], *arguments]
    if many:
        os.environ[_FULL_ERROR] = "1"  # else Hydra prints a traceback of it, and exits
    try:
        hydra.main(version_base="1.3", config_path=str(folder), config_name=name)(task)()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except HydraException as error:
        raise RunError(
            Diagnostic("NS702", _first_line(error), Span.whole("command line"))
        ) from None
    finally:
        sys.argv = before
        if full is None:
            os.environ.pop(_FULL_ERROR, None)
    return 0


def without_hydra(config: DictConfig) -> DictConfig:
    """A composed configuration without Hydra's own part, which it loses."""
    with open_dict(config):
        del config["hydra"]
    return config


def typed_overrides() -> list[str]:
    """The overrides of this job as they were given, with interpolations in them."""
    plain = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    assert isinstance(plain, list), "overrides are a list"
    return [str(text) for text in plain]


def is_worker() -> bool:
    """Whether this process was started as one of several of the same run."""
    return int(os.environ.get("LOCAL_RANK", "0")) > 0 or int(os.environ.get("RANK", "0")) > 0
