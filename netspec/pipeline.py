"""The front door: the stages from text to model, in order."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import torch
from torch import nn

from netspec import file_trace, find
from netspec.caches import Cache
from netspec.checks.dtypes import find_dtype_clash
from netspec.checks.gradients import find_refused_gradient, notes_without_derivative
from netspec.checks.inplace.check import decide_in_place
from netspec.checks.inplace.decide import Decision
from netspec.checks.inplace.messages import refusals
from netspec.checks.layouts import notes_of_layouts
from netspec.checks.unsaved import find_unsaved
from netspec.checks.unused import find_unused, find_unused_args
from netspec.emit.classes import plan_classes
from netspec.emit.module import Built, compile_classes, in_use, release
from netspec.emit.text import NotImportable, write_text
from netspec.emit.tree import Written, write_trees
from netspec.errors import Diagnostic, Note, Span, SpecError, did_you_mean
from netspec.explain.operation import explain_rejection
from netspec.file_trace import Trace
from netspec.ir.foreign.documents import foreign_document
from netspec.ir.forms import in_place
from netspec.ir.graph import Place, Program
from netspec.ir.lower.program import Outcome, lower_as_far
from netspec.ir.lower.refusal import Refused, refuse
from netspec.ir.lower.session import Activation, Form
from netspec.ir.verifier import verify_program
from netspec.ir.walk.run_operator import Refuses
from netspec.language.files import CannotOpen, Files
from netspec.language.load import Spec, load_spec, plain_source, read_spec
from netspec.language.overrides import Override, Overrides, Text, apply_overrides, parse_overrides
from netspec.language.variants import resolved
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
from netspec.ops import catalog, registry
from netspec.ops.foreign_names import told_of_dtype
from netspec.ops.process_state import (
    one_thread,
    own_random_state,
    silence,
    without_collections,
)
from netspec.ops.types import memo_key
from netspec.plugins import enabled, how_to_enable, is_enabled
from netspec.recipe import Recipe, hashable, recipe_of
from netspec.source import Source, read_text
from netspec.view.summary import Summary, summarize

AnySource = str | os.PathLike[str] | Mapping[str, object] | Source | Spec
Act = str | Mapping[str, str]
FORMS: tuple[Form, ...] = get_args(Form)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A program, its classes, and what it was made from."""

    program: Program
    written: Written
    built: Built
    recipe: Recipe
    spec: Spec
    decisions: tuple[Decision, ...] = ()


def load(
    source: str | os.PathLike[str] | Mapping[str, object], *, limits: AnyLimits = None
) -> Spec:
    """A spec from a path, a name in `configs/model`, or a mapping. Raises SpecError."""
    with bounded(read_limits(limits)):
        return _loaded(find.read(source))


def loads(text: str, *, limits: AnyLimits = None) -> Spec:
    """A spec from YAML text; messages call it `<string>`. Raises SpecError."""
    with bounded(read_limits(limits)):
        return _loaded(read_text(text))


def _loaded(source: Source) -> Spec:
    try:
        return load_spec(source, find.files())
    except SpecError:
        foreign = foreign_document(source)
        if foreign:
            raise SpecError(foreign) from None
        raise


def compile_spec(
    source: AnySource,
    args: Mapping[str, object] | None = None,
    act: Act = "module",
    overrides: Overrides | None = None,
    outputs: Sequence[str] | None = None,
    plugins: Sequence[str] | None = None,
    limits: AnyLimits = None,
) -> Compiled:
    """The stages in order: read, load, lower, check, write, compile. Raises SpecError."""
    with _one_check(_file_of(source), limits), enabled(plugins):
        return _compile_spec(source, args, act, overrides, outputs)


def _compile_spec(
    source: AnySource,
    args: Mapping[str, object] | None,
    act: Act,
    overrides: Overrides | None,
    outputs: Sequence[str] | None,
) -> Compiled:
    activation = read_activation(act)
    changes = parse_overrides(overrides)
    outputs = (outputs,) if isinstance(outputs, str) else tuple(map(str, outputs or ()))
    given = memo_key(hashable(args or {}))
    asked = (given, activation, changes, tuple(outputs or ()), registry.state(), current())
    remembered = _recall(source, asked)
    if remembered is not None:
        return remembered
    with without_collections(), silence(), file_trace.traced() as trace:
        files = find.files()
        spec, problems = _spec_of(source, changes, files)
        made_from = _Given(args or {}, activation, changes, outputs)
        compiled = _compile(_examined(spec, problems, files, made_from))
    _remember(source, asked, compiled, trace)
    return compiled


@dataclass(frozen=True, slots=True)
class _Given:
    """What a spec is built with, beside its text."""

    args: Mapping[str, object]
    activation: Activation
    changes: tuple[Override, ...] = ()
    outputs: tuple[str, ...] = ()


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
        with _one_check(_file_of(source), limits), enabled(plugins):
            given = _Given(args or {}, read_activation(act), parse_overrides(overrides))
            with without_collections(), silence():
                files = find.files()
                spec, problems = _spec_of(source, given.changes, files)
                return _examined(spec, problems, files, given)
    except SpecError as error:
        return Examined(error.diagnostics)


def _examined(
    spec: Spec | None, problems: Sequence[Diagnostic], files: Files, given: _Given
) -> Examined:
    """What is found in a spec that was read, beside what is wrong with its text."""
    if spec is None:
        return Examined(tuple(problems))
    missing = _missing_plugins(spec)
    if missing:
        return Examined((*problems, *missing), spec)
    allow_text(_text_size(spec))
    with registry.recording_use() as used:
        outcome = lower_as_far(
            spec, given.args, given.activation, _part_finder(files), explain_rejection,
            given.outputs,
        )  # fmt: skip
    if not spec.is_complete:
        return Examined(tuple(problems), spec, outcome)
    if problems or outcome.program is None:
        return Examined((*problems, *outcome.problems), spec, outcome)
    program = replace(outcome.program, registered=tuple(used))
    _verify(program)
    found = find_unused(program.root, spec.document) + find_unsaved(program.root)
    found += find_unused_args(spec)
    if found:
        return Examined(tuple(found), spec, outcome)
    needs = tuple(sorted({registered.home for registered in used}))
    recipe = recipe_of(
        spec, files, given.args, given.activation, given.changes, given.outputs, needs
    )
    decisions: tuple[Decision, ...] = ()
    in_place_form = given.activation.form == "inplace"
    if program.overwrites or in_place_form:
        try:
            program, decisions = _overwrite(program, recipe, auto=in_place_form)
        except SpecError as error:
            return Examined(error.diagnostics, spec, outcome)
    return Examined((), spec, outcome, program, recipe, decisions)


def _compile(examined: Examined) -> Compiled:
    """The classes of a spec in which nothing is wrong. Raises SpecError."""
    spec, program, recipe = examined.spec, examined.program, examined.recipe
    if spec is None or program is None or recipe is None:
        raise SpecError(examined.problems)
    written = _write(program, plain_source(spec.source))
    built = _built.get(recipe)
    if built is None or built.registered != program.registered:  # registered anew since then
        built = compile_classes(written, recipe, rebuild)
        _keep(recipe, built)
    problems = find_refused_gradient(program, built.empty()) if program.refuses_gradients else []
    if problems:
        raise SpecError(problems)
    return Compiled(program, written, built, recipe, spec, examined.decisions)


def _verify(program: Program) -> None:
    """In tests, each program is looked over: our own mistake must not stop a spec that is right."""
    if os.environ.get("NETSPEC_VERIFY"):
        verify_program(program)


def summary_of(examined: Examined) -> Summary | None:
    """What each layer of a spec costs; None where something is wrong with it, or it is too much."""
    program, recipe = examined.program, examined.recipe
    if program is None or recipe is None:
        return None
    with one_thread(), without_collections(), silence():
        written = write_trees(plan_classes(program), program.source)
        built = compile_classes(written, recipe, rebuild)
        try:
            return summarize(program, built.empty())
        except SpecError:
            return None
        finally:
            release(built)


def _write(program: Program, source: Text) -> Written:
    """The code of a program. Raises SpecError where it is longer than a check may write."""
    try:
        return write_trees(plan_classes(program), source)
    except OutOfWork:
        place = Place(program.source, ("layers",))
        raise SpecError(too_much_work("writing this model", place.key_span())) from None


def _overwrite(
    program: Program, recipe: Recipe, auto: bool
) -> tuple[Program, tuple[Decision, ...]]:
    """The program with all in place that is safe; what is decided, a model on `meta` tells."""
    written = _write(program, program.source)
    built = compile_classes(written, recipe, rebuild)
    try:
        decisions = decide_in_place(program, built.empty(), auto)
    except Refuses as refusal:
        if not program.overwrites:  # nobody asked for it
            return program, ()
        fact = f"it cannot be told what may be overwritten: {refusal}"
        place = Place(program.source, ("layers",))
        raise SpecError(Diagnostic("NS406", fact, place.key_span())) from None
    except OutOfWork:
        place = Place(program.source, ("layers",))
        doing = "finding what may be overwritten"
        raise SpecError(too_much_work(doing, place.key_span())) from None
    finally:
        release(built)  # no instance of these classes outlives the question
    problems = refusals(program, decisions)
    if problems:
        raise SpecError(problems)
    accepted = {d.key for d in decisions if not d.explicit and d.obstacle is None}
    changed = in_place(program, accepted)
    _verify(changed)
    return changed, decisions


def build(
    source: AnySource,
    *,
    args: Mapping[str, object] | None = None,
    act: Act = "module",
    overrides: Overrides | None = None,
    outputs: Sequence[str] | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    seed: int | None = None,
    plugins: Sequence[str] | None = None,
    limits: AnyLimits = None,
) -> nn.Module:
    """The model that a spec describes, as a plain nn.Module.

    `source` is a path, a name in `configs/model`, a mapping or a Spec; `args` are the spec's own;
    `act` is the form of its activations, `"module"`, `"functional"`, or both form and function,
    `{"form": "functional", "fn": "gelu"}`; `overrides` change the spec, as a mapping
    `{"layers.conv1.out_channels": 12}` or a list of `"path=value"` and `"~path"`.
    With `outputs`, paths of layers, the model gives a dict: its own output under `"output"`, and
    each of these values under its path.
    Parameters are drawn on the CPU, then moved to `device` and cast to `dtype`, so that one seed
    gives the same ones everywhere; on `"meta"` nothing is allocated. `seed` leaves the global
    random state as it was. `plugins`, by their names, are loaded and enabled for this call: then
    the spec can name the layers that they registered. `limits` are for specs that are larger than
    a stranger's may be: `{"elements": 10**12}`. Raises SpecError with every mistake in the spec,
    and where a layer does not run in `dtype`.
    """
    compiled = compile_spec(source, args, act, overrides, outputs, plugins, limits)
    check_dtype(compiled, dtype)
    target = torch.device(device) if device is not None else None
    if target is not None and target.type == "meta":
        model = compiled.built.empty()
    elif seed is None:
        with one_thread():  # another one may build from a seed
            model = compiled.built.make()
    else:
        with own_random_state():
            torch.manual_seed(seed)
            model = compiled.built.make()
    if target is not None and target.type != "meta":
        model = model.to(target)
    return model if dtype is None else model.to(read_dtype(dtype))


def check_dtype(compiled: Compiled, dtype: str | torch.dtype | None) -> None:
    """Raises SpecError where a layer does not run in this dtype."""
    wanted = None if dtype is None else read_dtype(dtype)
    if wanted is None or not wanted.is_floating_point or wanted is torch.float32:
        return
    problems = find_dtype_clash(compiled.program, compiled.built.empty(), wanted)
    if problems:
        raise SpecError(problems)


def check(
    source: AnySource,
    *,
    args: Mapping[str, object] | None = None,
    act: Act = "module",
    overrides: Overrides | None = None,
    outputs: Sequence[str] | None = None,
    dtype: str | torch.dtype | None = None,
    plugins: Sequence[str] | None = None,
    limits: AnyLimits = None,
) -> tuple[Diagnostic, ...]:
    """What is wrong with a spec, in the order of its lines; nothing, if it can be built.

    With `dtype`, what would not run after `build(…, dtype=dtype)`, too. What is worth a look and
    no mistake is in `notes`.
    """
    try:
        compiled = compile_spec(source, args, act, overrides, outputs, plugins, limits)
        check_dtype(compiled, dtype)
    except SpecError as error:
        return error.diagnostics
    return ()


def notes(
    source: AnySource,
    *,
    args: Mapping[str, object] | None = None,
    act: Act = "module",
    overrides: Overrides | None = None,
    outputs: Sequence[str] | None = None,
    plugins: Sequence[str] | None = None,
    limits: AnyLimits = None,
) -> tuple[str, ...]:
    """What is worth a look in a spec that can be built, a line each, as `netspec check` tells it.

    Raises SpecError where it can't be built.
    """
    compiled = compile_spec(source, args, act, overrides, outputs, plugins, limits)
    return tuple([note.text for note in notes_of(compiled)])


def notes_of(compiled: Compiled) -> tuple[Note, ...]:
    """The notes on a model that is compiled already."""
    return (*gradient_notes(compiled), *notes_of_layouts(compiled.program, compiled.built.empty()))


def gradient_notes(compiled: Compiled) -> tuple[Note, ...]:
    """One for each layer of which torch has no derivative, and which needs one."""
    return notes_without_derivative(compiled.program)


def to_python(
    source: AnySource,
    *,
    args: Mapping[str, object] | None = None,
    act: Act = "module",
    overrides: Overrides | None = None,
    outputs: Sequence[str] | None = None,
    plugins: Sequence[str] | None = None,
    limits: AnyLimits = None,
) -> str:
    """The model as Python source; `build_model()` in it makes the model.

    It needs torch alone, and the modules of layers that were registered.
    """
    return source_of(compile_spec(source, args, act, overrides, outputs, plugins, limits))


def source_of(compiled: Compiled) -> str:
    """The source of a model that is compiled already. Raises SpecError (NS221)."""
    text = compiled.spec.source
    file = text.file if isinstance(text, Source) else text.given
    name = Path(file).name.strip("<>")
    header = f"{compiled.program.name}, written by netspec from {name}."
    try:
        return write_text(compiled.written, header)
    except NotImportable as error:
        registered = error.registered
        fact = (
            f"no file can import `{registered.name}`, which was registered as `{registered.path}`"
        )
        help = "move it to the top of a module, and register it there"
        raise SpecError(Diagnostic("NS221", fact, Span(file), help=help)) from None


def rebuild(recipe: Recipe, class_name: str) -> nn.Module:
    """An empty instance of a class of a model that was copied or pickled.

    In the process that built the model it is the same class; elsewhere the recipe makes it anew,
    with the plugins that it needs, as a pickle imports what it needs.
    """
    if recipe not in _built:
        missing = [name for name in recipe.needs if not is_enabled(name)]
        with enabled(missing), raised(recipe.limits):
            compile_recipe(recipe, recipe.activation, recipe.outputs)
    cls = _built[recipe].classes[class_name]
    return cls.__new__(cls)


def compile_recipe(recipe: Recipe, activation: Activation, outputs: Sequence[str] = ()) -> Compiled:
    """The model of a recipe, from its own texts and no file. Raises SpecError."""
    kept = dict(recipe.named)
    with _one_check(recipe.main.file):
        files = Files((), kept, {name: text.source() for name, text in kept.items()})
        spec = load_spec(apply_overrides(recipe.source(), recipe.overrides), files)
        given = _Given(dict(recipe.args), activation, recipe.overrides, tuple(outputs))
        return _compile(_examined(spec, (), files, given))


@contextmanager
def _one_check(file: str, limits: AnyLimits = None) -> Iterator[None]:
    """One thread, and one budget for all that it asks. Raises SpecError where that runs out."""
    with one_thread(), bounded(read_limits(limits)):
        try:
            yield
        except OutOfWork:
            raise SpecError(too_much_work("checking this spec", Span(file))) from None


_built: Cache[Recipe, Built] = Cache(64)  # and as many more as have instances
_compiled: Cache[object, tuple[Compiled, object, Trace]] = Cache(32)


def _keep(recipe: Recipe, built: Built) -> None:
    """Keeps a model's classes, and gives back those of older ones of which nothing is left."""
    _built[recipe] = built
    del built
    for _ in range(2):
        if len(_built) <= _built.most:
            return
        oldest = next(iter(_built))
        found = [_built.pop(oldest)]
        if in_use(found):
            _built[oldest] = found[0]  # the last in line
        else:
            release(found[0])


def read_activation(act: Act) -> Activation:
    """`"functional"`, or `{"form": "functional", "fn": "gelu"}`. Raises SpecError."""
    given = {"form": act} if isinstance(act, str) else dict(act)
    span = Span(f"from act={act!r}")
    for key in given:
        if key not in ("form", "fn"):
            fact = f"`act` has no `{key}`"
            raise SpecError(Diagnostic("NS201", fact, span, help="it has `form` and `fn`"))
    form = given.get("form", "module")
    if form not in FORMS:
        near = did_you_mean(str(form), FORMS) or "use `module`, `functional` or `inplace`"
        raise SpecError(Diagnostic("NS206", f"there is no form `{form}`", span, help=near))
    fn = given.get("fn")
    if fn is not None and catalog.module_of_activation(fn) is None:
        help = did_you_mean(fn, catalog.activation_names())
        raise SpecError(Diagnostic("NS206", f"there is no activation `{fn}`", span, help=help))
    return Activation(FORMS[FORMS.index(form)], fn)


def _spec_of(
    source: AnySource, changes: tuple[Override, ...], files: Files
) -> tuple[Spec | None, list[Diagnostic]]:
    """The spec, and what is wrong with its text."""
    if not isinstance(source, Spec):
        text = source if isinstance(source, Source) else find.read(source)
        foreign = foreign_document(text)
        if foreign:
            return None, foreign
        return read_spec(apply_overrides(resolved(text, files), changes), files)
    if not changes:
        return source, []
    own = source.source
    before = () if isinstance(own, Source) else own.overrides
    return read_spec(apply_overrides(plain_source(own), (*before, *changes)), files)


def _missing_plugins(spec: Spec) -> list[Diagnostic]:
    """NS219 for each plugin that a spec says it needs, and that is not enabled."""
    return [
        Diagnostic(
            "NS219", f"`{need.plugin}` is required, and is not enabled", need.span,
            help=how_to_enable(need.plugin),
        )
        for need in spec.requires
        if not is_enabled(need.plugin)
    ]  # fmt: skip


def _part_finder(files: Files) -> Callable[[str, Place], Spec]:
    specs: dict[str, Spec] = {}

    def find(name: str, place: Place) -> Spec:
        try:
            source = files.part(name, plain_source(place.source))
            if source.file not in specs:
                found = specs[source.file] = load_spec(source, files)
                allow_text(_text_size(found))
            missing = _missing_plugins(specs[source.file])
        except CannotOpen as error:
            raise refuse("NS206", error.fact, place.span(), error.help) from None
        except SpecError as error:
            raise Refused(*error.diagnostics) from None
        if missing:
            raise Refused(*missing)
        return specs[source.file]

    return find


def _file_of(source: AnySource) -> str:
    """What messages call a source of which no layer is to be named."""
    text = source.source if isinstance(source, Spec) else source
    if isinstance(text, Mapping):
        return "<mapping>"
    return str(text) if isinstance(text, (str, os.PathLike)) else plain_source(text).file


def _text_size(spec: Spec) -> int:
    """The characters of a spec's texts; of a mapping, those that it would take."""
    return sum(len(source.text or repr(source.value)) for source in spec.files)


def _key(source: AnySource) -> object:
    spec = source if isinstance(source, Spec) else None
    text = source if spec is None else spec.source
    alone = spec is None or all(file is text for file in spec.files)
    if isinstance(text, Source) and text.text and alone:
        return ("text", text.path, text.file, text.text, os.getcwd())
    if isinstance(source, (Spec, Source)):
        return ("spec", id(source))  # which is kept, so that no other has this id
    if isinstance(source, Mapping):
        return ("mapping", json.dumps(source, default=repr))
    return ("path", os.path.abspath(find.path_of(source)))


def _recall(source: AnySource, asked: object) -> Compiled | None:
    """The program that the same source gave before, if all its files are as they were."""
    found = _compiled.get((_key(source), asked))
    if found is None or not file_trace.holds(found[2]):
        return None
    file_trace.add(found[2])
    return found[0]


def _remember(source: AnySource, asked: object, compiled: Compiled, trace: Trace) -> None:
    _compiled.keep((_key(source), asked), (compiled, source, trace))


def read_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """A dtype by its name. Raises SpecError."""
    if isinstance(dtype, torch.dtype):
        return dtype
    found = catalog.find_dtype(dtype)
    if found is None:
        help = told_of_dtype(dtype)
        span = Span(f"from dtype={dtype!r}")
        raise SpecError(Diagnostic("NS206", f"there is no dtype `{dtype}`", span, help=help))
    return found
