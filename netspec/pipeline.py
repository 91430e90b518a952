"""The stages from text to model, in order: read, lower, check, overwrite, write, compile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import nn

from netspec import file_trace, find
from netspec.caches import Cache
from netspec.checks.gradients import find_refused_gradient
from netspec.checks.inplace.decide import Decision
from netspec.checks.unsaved import find_unsaved
from netspec.checks.unused import find_unused, find_unused_args
from netspec.compiled import Compiled
from netspec.emit.class_cache import ClassCache
from netspec.emit.classes import plan_classes
from netspec.emit.module import compile_classes, release
from netspec.emit.tree import Written, write_trees
from netspec.errors import Diagnostic, Span, SpecError
from netspec.explain.operation import explain_rejection
from netspec.file_trace import Trace
from netspec.in_place_form import overwrite
from netspec.ir.graph import Place, Program
from netspec.ir.lower.program import Outcome, lower_as_far
from netspec.ir.lower.session import Activation
from netspec.ir.verifier import verify_program
from netspec.language.files import Files
from netspec.language.load import Spec, load_spec, plain_source
from netspec.language.overrides import Overrides, Text, apply_overrides
from netspec.limits import (
    AnyLimits,
    OutOfWork,
    allow_text,
    bounded,
    current,
    raised,
    read_limits,
    too_much_work,
)
from netspec.ops import registry
from netspec.ops.process_state import one_thread, silence, without_collections
from netspec.plugins import enabled, is_enabled
from netspec.recipe import Recipe, recipe_of
from netspec.request import Act, Request, read_request
from netspec.sizes.find import Sizes, find_sizes
from netspec.spec_source import (
    AnySource,
    identity_of,
    missing_plugins,
    name_of,
    part_finder,
    read_with_overrides,
    text_size,
)
from netspec.view.summary import Summary, summarize

T = TypeVar("T")

# The stages


@dataclass(frozen=True, slots=True)
class Examined:
    """A spec as far as it can be followed, and all that is wrong with it.

    Where nothing is wrong there is a program, with all in place that is safe, and its recipe;
    `outcome` is there as soon as the layers could be read.
    """

    problems: tuple[Diagnostic, ...]
    spec: Spec | None = None
    outcome: Outcome | None = None
    program: Program | None = None
    recipe: Recipe | None = None
    decisions: tuple[Decision, ...] = ()


def _examine(
    spec: Spec | None, problems: Sequence[Diagnostic], files: Files, request: Request
) -> Examined:
    """Lower, check, overwrite: what is found in a spec, beside what is wrong with its text."""
    if spec is None:
        return Examined(tuple(problems))
    missing = missing_plugins(spec)
    if missing:
        return Examined((*problems, *missing), spec)
    allow_text(text_size(spec))
    with registry.recording_use() as used:
        outcome = lower_as_far(
            spec, request.args, request.activation, part_finder(files), explain_rejection,
            request.outputs,
        )  # fmt: skip
    if not spec.is_complete:
        return Examined(tuple(problems), spec, outcome)
    if problems or outcome.program is None:
        return Examined((*problems, *outcome.problems), spec, outcome)
    program = replace(outcome.program, registered=tuple(used))
    _verify(program)
    found = [
        *find_unused(program.root, spec.document),
        *find_unsaved(program.root),
        *find_unused_args(spec),
    ]
    if found:
        return Examined(tuple(found), spec, outcome)
    recipe = recipe_of(spec, files, request, tuple(sorted({each.home for each in used})))
    decisions: tuple[Decision, ...] = ()
    in_place_form = request.activation.form == "inplace"
    if program.overwrites or in_place_form:
        try:
            program, decisions = overwrite(
                program, lambda it: compile_classes(_write(it), recipe, rebuild), in_place_form
            )
        except SpecError as error:
            return Examined(error.diagnostics, spec, outcome)
        _verify(program)
    return Examined((), spec, outcome, program, recipe, decisions)


def _compile(examined: Examined) -> Compiled:
    """Write, compile: the classes of a spec in which nothing is wrong. Raises SpecError."""
    spec, program, recipe = examined.spec, examined.program, examined.recipe
    if spec is None or program is None or recipe is None:
        raise SpecError(examined.problems)
    written = _write(program, plain_source(spec.source))
    built = _classes.get(recipe)
    if built is None or built.registered != program.registered:  # registered anew since then
        built = _classes.keep(recipe, compile_classes(written, recipe, rebuild))
    problems = find_refused_gradient(program, built.empty()) if program.refuses_gradients else []
    if problems:
        raise SpecError(problems)
    return Compiled(program, written, built, recipe, spec, examined.decisions)


def _write(program: Program, source: Text | None = None) -> Written:
    """The code of a program. Raises SpecError where it is longer than a check may write."""
    try:
        return write_trees(plan_classes(program), program.source if source is None else source)
    except OutOfWork:
        place = Place(program.source, ("layers",))
        raise SpecError(too_much_work("writing this model", place.key_span())) from None


def _verify(program: Program) -> None:
    """In tests, each program is looked over: our own mistake must not stop a spec that is right."""
    if os.environ.get("NETSPEC_VERIFY"):
        verify_program(program)


# Who asks for them


def compile_spec(
    source: AnySource,
    args: Mapping[str, object] | None = None,
    act: Act = "module",
    overrides: Overrides | None = None,
    outputs: Sequence[str] | None = None,
    plugins: Sequence[str] | None = None,
    limits: AnyLimits = None,
) -> Compiled:
    """All stages; what was compiled before and has not changed is remembered. Raises SpecError."""
    with _one_check(name_of(source), limits), enabled(plugins):
        request = read_request(args, act, overrides, outputs)
        key = (identity_of(source), request.key, registry.state(), current())
        remembered = _recall(key)
        if remembered is not None:
            return remembered
        with without_collections(), silence(), file_trace.traced() as trace:
            files = find.files()
            spec, problems = read_with_overrides(source, request.overrides, files)
            compiled = _compile(_examine(spec, problems, files, request))
        _compiled.keep(key, (compiled, source, trace))
        return compiled


def examine(
    source: AnySource,
    args: Mapping[str, object] | None = None,
    act: Act = "module",
    overrides: Overrides | None = None,
    plugins: Sequence[str] | None = None,
    limits: AnyLimits = None,
) -> Examined:
    """The stages up to the checks: nothing is written, compiled or remembered.

    It raises nothing for what is wrong with a spec, or with what it is to be built with.
    """
    try:
        with _one_check(name_of(source), limits), enabled(plugins):
            request = read_request(args, act, overrides)
            with without_collections(), silence():
                files = find.files()
                spec, problems = read_with_overrides(source, request.overrides, files)
                return _examine(spec, problems, files, request)
    except SpecError as error:
        return Examined(error.diagnostics)


def compile_recipe(recipe: Recipe, activation: Activation, outputs: Sequence[str] = ()) -> Compiled:
    """The model of a recipe, from its own texts and no file. Raises SpecError."""
    kept = dict(recipe.named)
    with _one_check(recipe.main.file):
        files = Files((), kept, {name: text.source() for name, text in kept.items()})
        spec = load_spec(apply_overrides(recipe.source(), recipe.overrides), files)
        request = Request(dict(recipe.args), activation, recipe.overrides, tuple(outputs))
        return _compile(_examine(spec, (), files, request))


def rebuild(recipe: Recipe, class_name: str) -> nn.Module:
    """An empty instance of a class of a model that was copied or pickled.

    In the process that built the model it is the same class; elsewhere the recipe makes it anew,
    with the plugins that it needs, as a pickle imports what it needs.
    """
    if recipe not in _classes:
        missing = [name for name in recipe.needs if not is_enabled(name)]
        with enabled(missing), raised(recipe.limits):
            compile_recipe(recipe, recipe.activation, recipe.outputs)
    cls = _classes[recipe].classes[class_name]
    return cls.__new__(cls)


def summary_of(examined: Examined) -> Summary | None:
    """What each layer of a spec costs; None where something is wrong with it, or it is too much."""
    try:
        return _asked_of_model(examined, summarize)
    except SpecError:
        return None


def sizes_of(examined: Examined) -> Sizes | None:
    """Which sizes a spec's network is valid for; None where something is wrong with it."""
    return _asked_of_model(examined, find_sizes)


def state_dict_of(examined: Examined) -> Mapping[str, torch.Tensor] | None:
    """The state dict of a spec's model on `meta`, not detached; None where something is wrong."""

    def ask(_: Program, module: nn.Module) -> dict[str, torch.Tensor]:
        state = module.state_dict(keep_vars=True)
        return {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}

    return _asked_of_model(examined, ask)


def _asked_of_model(examined: Examined, ask: Callable[[Program, nn.Module], T]) -> T | None:
    """What is asked of a program and its model on `meta`; no class of that is kept."""
    program, recipe = examined.program, examined.recipe
    if program is None or recipe is None:
        return None
    with one_thread(), without_collections(), silence():
        built = compile_classes(_write(program), recipe, rebuild)
        try:
            return ask(program, built.empty())
        finally:
            release(built)


@contextmanager
def _one_check(file: str, limits: AnyLimits = None) -> Iterator[None]:
    """One thread, and one budget for all that it asks. Raises SpecError where that runs out."""
    with one_thread(), bounded(read_limits(limits)):
        try:
            yield
        except OutOfWork:
            raise SpecError(too_much_work("checking this spec", Span(file))) from None


# What is remembered

_classes: ClassCache[Recipe] = ClassCache(64)
_compiled: Cache[object, tuple[Compiled, AnySource, Trace]] = Cache(32)


def _recall(key: object) -> Compiled | None:
    """What the same source gave before, if all its files are as they were."""
    found = _compiled.get(key)
    if found is None or not file_trace.holds(found[2]):
        return None
    file_trace.add(found[2])
    return found[0]
