"""Optimizers and schedules of torch.optim, written like layers and checked like them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, cast

import torch
from torch import nn
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from netspec.errors import Diagnostic, RunError, Span, SpecError, did_you_mean
from netspec.explain.operation import explain_rejection
from netspec.ir.lower.program import evaluate_alone
from netspec.ops.arguments import Misfit, Signature, coerce
from netspec.ops.signatures import signature_of_class
from netspec.run.settings import place_of, shown
from netspec.source import from_mapping

Plain = Mapping[str, Any]
_NOT_AT_ALL = {"LBFGS": "it evaluates the loss several times a step, which a run does not do"}
_NOT_HERE = {"LambdaLR", "MultiplicativeLR", "SequentialLR", "ChainedScheduler"}  # take functions
_NEVER_GIVEN = ("params", "optimizer", "last_epoch", "verbose", "lr_lambda", "scale_fn")


@dataclass(frozen=True, slots=True)
class Length:
    """How long a run is, in the names that a schedule's expressions may use."""

    steps: int
    epochs: int

    def names(self, warmup: int) -> dict[str, object]:
        return {
            "steps": self.steps,
            "epochs": self.epochs,
            "steps_per_epoch": max(1, self.steps // self.epochs),
            "warmup": warmup,
        }


@dataclass(frozen=True, slots=True)
class Schedule:
    """A scheduler, and how often it is stepped: each `step` or each `epoch`."""

    scheduler: LRScheduler | ReduceLROnPlateau
    interval: str


def make_optimizer(node: Plain, model: nn.Module, overrides: Sequence[str]) -> Optimizer:
    """`{optim: AdamW, lr: 0.001, groups: {"*.bias": {weight_decay: 0}}}` → the optimizer.

    Parameters that don't require grad are left out. Raises RunError with every wrong argument.
    """
    place = _Place("optimizer", overrides)
    cls = _optimizer_class(node, place)
    signature = signature_of_class(cls)
    own = {key: value for key, value in node.items() if key not in ("optim", "groups")}
    problems: list[Diagnostic] = []
    arguments = _fitted(cls.__name__, signature, own, place, problems)
    groups = _groups(node.get("groups"), model, cls, signature, place, problems)
    if problems:
        raise RunError(problems)
    try:
        return cls(groups, **arguments)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise RunError(Diagnostic("NS702", _said(cls.__name__, error), place.of())) from None


def make_schedule(
    node: Plain, optimizer: Optimizer, length: Length, mode: str, overrides: Sequence[str]
) -> Schedule | None:
    """`{schedule: CosineAnnealingLR, T_max: =steps, interval: step}` → the schedule, or None.

    `mode` ("min" or "max") is the better direction of what is monitored. Raises RunError.
    """
    place = _Place("scheduler", overrides)
    if not node:
        return None
    cls = _schedule_class(node, place)
    interval = node.get("interval", "epoch")
    warmup = _evaluated("warmup", node.get("warmup", 0), length.names(0), place)
    if interval not in ("step", "epoch"):
        fact = f"`interval` of a schedule is `step` or `epoch`, not `{shown(interval)}`"
        raise RunError(Diagnostic("NS702", fact, place.of("interval")))
    if not isinstance(warmup, int) or isinstance(warmup, bool) or not 0 <= warmup < length.steps:
        wanted = f"a number of steps below {length.steps:,}, the run's"
        fact = f"`warmup` is {wanted}, not `{shown(warmup)}`"
        raise RunError(Diagnostic("NS702", fact, place.of("warmup")))
    own = {k: v for k, v in node.items() if k not in ("schedule", "interval", "warmup")}
    own = {key: _evaluated(key, value, length.names(warmup), place) for key, value in own.items()}
    if cls is ReduceLROnPlateau:
        own = {"mode": mode, **own}
    problems: list[Diagnostic] = []
    arguments = _fitted(cls.__name__, signature_of_class(cls), own, place, problems)
    if problems:
        raise RunError(problems)
    return _scheduled(cls, optimizer, arguments, interval, warmup, place)


def try_schedule(schedule: Schedule, length: Length, overrides: Sequence[str]) -> None:
    """Go some way with a schedule that is thrown away. Raises RunError (NS702) if it fails."""
    scheduler = schedule.scheduler
    name = type(scheduler).__name__
    place = _Place("scheduler", overrides)
    steps = length.epochs if schedule.interval == "epoch" else length.steps
    total = getattr(scheduler, "total_steps", steps)
    if total < steps:
        fact = f"`{name}` ends after {total:,} steps, and the run has {steps:,}"
        help = "total_steps: =steps"
        raise RunError(Diagnostic("NS702", fact, place.of("total_steps"), help=help))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no optimizer steps before it
            for _ in range(min(steps, 1000)):
                if isinstance(scheduler, ReduceLROnPlateau):
                    scheduler.step(0.0)
                else:
                    scheduler.step()
    except (ArithmeticError, TypeError, ValueError, IndexError, RuntimeError) as error:
        raise RunError(Diagnostic("NS702", _said(name, error), place.of())) from None


def _scheduled(
    cls: type, optimizer: Optimizer, arguments: Plain, interval: str, warmup: int, place: _Place
) -> Schedule:
    if warmup and (interval != "step" or cls is ReduceLROnPlateau):
        fact = "`warmup` goes before a schedule that is stepped each step"
        raise RunError(Diagnostic("NS702", fact, place.of("warmup"), help="interval: step"))
    try:
        scheduler = cls(optimizer, **arguments)
        if warmup:
            before = lr_scheduler.LinearLR(optimizer, 1 / (warmup + 1), 1.0, warmup)
            scheduler = lr_scheduler.SequentialLR(optimizer, [before, scheduler], [warmup])
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise RunError(Diagnostic("NS702", _said(cls.__name__, error), place.of())) from None
    return Schedule(scheduler, interval)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the values of one group of the configuration came from."""

    group: str
    overrides: Sequence[str]

    def of(self, *keys: str) -> Span:
        return place_of(".".join((self.group, *keys)), self.overrides)


def _optimizer_class(node: Plain, place: _Place) -> type[Optimizer]:
    known = _classes(torch.optim, Optimizer)
    cls = known.get(str(node.get("optim")))
    if cls is None:
        raise RunError(_unknown("optim", "optimizer", node, known, place))
    if cls.__name__ in _NOT_AT_ALL:
        fact = f"`{cls.__name__}` can't train here: {_NOT_AT_ALL[cls.__name__]}"
        raise RunError(Diagnostic("NS702", fact, place.of("optim")))
    return cast("type[Optimizer]", cls)


def _schedule_class(node: Plain, place: _Place) -> type:
    known = _classes(lr_scheduler, LRScheduler)
    known = {name: cls for name, cls in known.items() if name not in _NOT_HERE}
    cls = known.get(str(node.get("schedule")))
    if cls is None:
        raise RunError(_unknown("schedule", "schedule", node, known, place))
    return cls


def _classes(module: object, base: type) -> dict[str, type]:
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, base)
        if value is not base and not name.startswith("_") and value.__name__ == name
    }


def _unknown(
    key: str, noun: str, node: Plain, known: Mapping[str, type], place: _Place
) -> Diagnostic:
    if key not in node:
        fact = f"no class is named: `{place.group}` has no `{key}`"
        help = f"there are {', '.join(sorted(known))}"
        return Diagnostic("NS702", fact, place.of(key), help=help)
    name = str(node[key])
    help = did_you_mean(name, known) or f"there are {', '.join(sorted(known))}"
    return Diagnostic("NS206", f"there is no {noun} `{name}`", place.of(key), help=help)


def _fitted(
    name: str, signature: Signature, own: Plain, place: _Place, problems: list[Diagnostic]
) -> dict[str, object]:
    known = {p.name: p for p in signature.parameters if p.name not in _NEVER_GIVEN}
    found: dict[str, object] = {}
    for key, value in own.items():
        if key not in known:
            near = did_you_mean(key, known) or f"it has {', '.join(known)}"
            fact = f"`{name}` has no argument `{key}`"
            problems.append(Diagnostic("NS203", fact, place.of(key), help=near))
            continue
        fitted = coerce(known[key], value)
        if isinstance(fitted, Misfit):
            fact = f"`{key}` of `{name}` is `{shown(value)}`, and {fitted.expected} is expected"
            problems.append(Diagnostic("NS205", fact, place.of(key)))
            continue
        found[key] = list(fitted) if isinstance(fitted, tuple) and key != "betas" else fitted
    for parameter in known.values():
        if parameter.required and parameter.name not in own:
            fact = f"`{name}` needs `{parameter.name}`"
            problems.append(Diagnostic("NS204", fact, place.of()))
    return found


def _groups(
    patterns: object,
    model: nn.Module,
    cls: type,
    signature: Signature,
    place: _Place,
    problems: list[Diagnostic],
) -> list[dict[str, object]]:
    """Parameter groups: each pattern's own, in the order of the patterns, then the others."""
    left = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not left:
        problems.append(Diagnostic("NS702", "no parameter of the model is trained", place.of()))
    if patterns is not None and not isinstance(patterns, Mapping):
        fact = "`groups` is a mapping of name patterns to arguments"
        problems.append(Diagnostic("NS702", fact, place.of("groups")))
        return []
    groups: list[dict[str, object]] = []
    for pattern, own in (patterns or {}).items():
        span = place.of("groups", str(pattern))
        names = [name for name in left if fnmatchcase(name, str(pattern))]
        if not isinstance(own, Mapping):
            fact = f"`groups.{pattern}` is a mapping of arguments"
            problems.append(Diagnostic("NS702", fact, span))
            continue
        if not names:
            near = did_you_mean(str(pattern), list(left))
            fact = f"no trained parameter that is left has a name like `{pattern}`"
            problems.append(Diagnostic("NS702", fact, span, help=near))
            continue
        there = _Place(f"{place.group}.groups.{pattern}", place.overrides)
        arguments = _fitted(cls.__name__, _optional(signature), own, there, problems)
        groups.append({"params": [left.pop(name) for name in names], **arguments})
    if left or not groups:
        groups.append({"params": list(left.values())})
    return groups


def _optional(signature: Signature) -> Signature:
    """The signature with nothing required, for a group that changes some arguments."""
    return Signature(tuple(p for p in signature.parameters if not p.required))


def _evaluated(key: str, value: object, names: Mapping[str, object], place: _Place) -> object:
    if not isinstance(value, str) or not value.startswith("="):
        return value
    source = from_mapping({key: value}, place.of(key).file)
    try:
        return evaluate_alone(value, names, source, (key,), explain_rejection)
    except SpecError as error:
        span = place.of(key)
        raise RunError(
            [Diagnostic(d.code, d.fact, span, d.notes, d.help) for d in error.diagnostics]
        ) from None


def _said(name: str, error: Exception) -> str:
    said = str(error).partition("\n")[0]
    return f"`{name}` refuses: {said[:1].lower()}{said[1:]}"
