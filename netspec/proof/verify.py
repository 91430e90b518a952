"""A spec → its forms, each compared with the first: keys, values, gradients, in both modes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from netspec.compiled import Compiled
from netspec.display import aligned
from netspec.errors import Diagnostic, Span, SpecError
from netspec.ir.graph import Program
from netspec.language.overrides import Overrides
from netspec.ops.process_state import own_random_state
from netspec.ops.types import TensorType
from netspec.pipeline import compile_spec
from netspec.plugins import enabled
from netspec.proof.compare import Result, first_difference, named_tensors, run_once
from netspec.proof.determinism import changed_step
from netspec.proof.registration_contract import broken_word
from netspec.request import FORMS
from netspec.spec_source import AnySource

_SEED = 0
_MOVED = 0.01
_LARGEST_INTEGER = 2  # what a random input of integers stays below: an index into anything


@dataclass(frozen=True, slots=True)
class Row:
    """One question, and each form's answer: None where it is as it has to be, else the fact."""

    question: str
    answers: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found. `equal` says whether all of it is as it has to be.

    `draws` is the first layer that draws random numbers which are seen in eval mode: another seed
    gives other values there. That is no mistake, but seldom meant.
    """

    name: str
    parameters: int
    sizes: tuple[str, ...]
    forms: tuple[str, ...]
    rows: tuple[Row, ...]
    draws: str | None = None

    @property
    def equal(self) -> bool:
        return all(answer is None for row in self.rows for answer in row.answers.values())


def verify(
    source: AnySource,
    *,
    args: Mapping[str, object] | None = None,
    fn: str | None = None,
    overrides: Overrides | None = None,
    forms: Sequence[str] = FORMS,
    seed: int = _SEED,
    plugins: Sequence[str] | None = None,
) -> Verification:
    """Builds each form of a spec, loads one form's parameters into all, and compares them.

    Outputs, gradients of parameters and inputs, buffers and parameters after a step of SGD, in
    train and in eval mode, have to be equal bit for bit to the first form's, on random inputs of
    two sets of the free sizes; no input may be changed, one seed has to give the same parameters,
    and a second evaluation from one seed the same values; what another seed changes in eval mode is
    told. `fn` replaces the function of all activations.
    What was registered has to do what is believed of it, too. `plugins` are enabled as in `build`.
    Raises SpecError where the spec cannot be built, or torch refuses to run it on the CPU.
    """
    with enabled(plugins):
        return _verify(source, args, fn, overrides, forms, seed)


def _verify(
    source: AnySource,
    args: Mapping[str, object] | None,
    fn: str | None,
    overrides: Overrides | None,
    forms: Sequence[str],
    seed: int,
) -> Verification:
    assert forms, "there is a form to verify"
    built = {form: _build(source, args, form, fn, overrides, seed) for form in forms}
    compiled, reference = built[forms[0]]
    rows = [
        Row("keys", {form: _keys(model, reference) for form, (_, model) in built.items()}),
        Row("parameters of a seed", {f: _state(m, reference) for f, (_, m) in built.items()}),
    ]
    if any(answer for row in rows for answer in row.answers.values()):
        return _told(compiled, reference, forms, rows)
    given = moved_state(reference, seed)
    found: dict[str, dict[str, str | None]] = {}
    draws: str | None = None
    for index in _probe_indexes(compiled.program):
        inputs = _inputs(compiled.program, index, seed)
        for training in (True, False):
            results = {
                form: _run(compiled, model, given, inputs, training, seed)
                for form, (_, model) in built.items()
            }
            for form, result in results.items():
                for question, answer in _differences(result, results[forms[0]], training):
                    answers = found.setdefault(question, {})
                    answers[form] = answers.get(form) or answer
        for form, (own, model) in built.items():
            model.load_state_dict(given)
            if own.program.registered:
                answers = found.setdefault("registered layers", {})
                values = [value for _, value in inputs]
                broken = broken_word(own.program, model, values, seed)
                answers[form] = answers.get(form) or broken
                model.load_state_dict(given)
            answers = found.setdefault("eval: a second time", {})
            again = _changed(own, model, inputs, (seed, seed))
            answers[form] = answers.get(form) or (again and f"{again} gives other values")
        if found["eval: a second time"][forms[0]] is None:
            draws = draws or _changed(compiled, reference, inputs, (seed, seed + 1))
    rows += [Row(question, answers) for question, answers in found.items()]
    return _told(compiled, reference, forms, rows, draws)


def verification_text(found: Verification) -> str:
    """A table of the questions and forms, and below it a line for each that is not equal."""
    lines = [
        [row.question, *["equal" if row.answers[f] is None else "NO" for f in found.forms]]
        for row in found.rows
    ]
    sizes = f", at {' and at '.join(found.sizes)}" if found.sizes else ""
    text = [f"{found.name}: {found.parameters:,} parameters{sizes}", ""]
    text += aligned([["", *found.forms], *lines])
    told = [
        f"{row.question}, {form}: {answer}"
        for row in found.rows
        for form, answer in row.answers.items()
        if answer
    ]
    if found.draws:
        told.append(f"{found.draws} draws random numbers in eval mode: others from another seed")
    if told:
        text += ["", *told]
    return "\n".join(text) + "\n"


def verification_json(found: Verification) -> dict[str, object]:
    """The verification as plain values; an answer of null is equal."""
    return {
        "name": found.name,
        "equal": found.equal,
        "parameters": found.parameters,
        "sizes": list(found.sizes),
        "forms": list(found.forms),
        "rows": [{"question": r.question, "answers": dict(r.answers)} for r in found.rows],
        "draws": found.draws,
    }


def _build(
    source: AnySource,
    args: Mapping[str, object] | None,
    form: str,
    fn: str | None,
    overrides: Overrides | None,
    seed: int,
) -> tuple[Compiled, nn.Module]:
    act = form if fn is None else {"form": form, "fn": fn}
    compiled = compile_spec(source, args, act, overrides)
    with own_random_state():
        torch.manual_seed(seed)
        return compiled, compiled.built.make()


def _probe_indexes(program: Program) -> Iterator[int]:
    """One probe for each set of the free sizes."""
    met = set()
    for index, probe in enumerate(program.probes):
        if probe.sizes not in met:
            met.add(probe.sizes)
            yield index


def _inputs(program: Program, index: int, seed: int) -> list[tuple[str, torch.Tensor]]:
    types = {}
    for port in program.inputs:
        fact = port.facts[index]
        assert isinstance(fact, TensorType), "an input is a tensor"
        types[port.name] = fact
    return random_inputs(types, seed)


def random_inputs(types: Mapping[str, TensorType], seed: int) -> list[tuple[str, torch.Tensor]]:
    """A tensor of each type, by its name: normal numbers, or integers that are 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    inputs = []
    for name, fact in types.items():
        if fact.dtype.is_floating_point or fact.dtype.is_complex:
            value = torch.randn(fact.shape, generator=generator).to(fact.dtype)
        else:
            whole = torch.randint(0, _LARGEST_INTEGER, fact.shape, generator=generator)
            value = whole.to(fact.dtype)
        inputs.append((name, value))
    return inputs


def _run(
    compiled: Compiled,
    model: nn.Module,
    given: Mapping[str, torch.Tensor],
    inputs: Sequence[tuple[str, torch.Tensor]],
    training: bool,
    seed: int,
) -> Result:
    model.load_state_dict(given)
    try:
        return run_once(model, inputs, training, seed)
    except (RuntimeError, IndexError, ValueError, NotImplementedError) as error:
        mode = "train" if training else "eval"
        words = str(error).strip().partition("\n")[0]
        fact = f"`{compiled.program.name}` cannot be run in {mode} mode: {words}"
        span = Span(compiled.program.source.file)
        raise SpecError(Diagnostic("NS301", fact, span)) from error


def moved_state(model: nn.Module, seed: int) -> dict[str, torch.Tensor]:
    """A state with every parameter moved: one that begins as zero would hide a mistake."""
    generator = torch.Generator().manual_seed(seed)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and name in state:
            noise = torch.randn(parameter.shape, generator=generator)
            state[name] += (_MOVED * noise).to(parameter.dtype)
    return state


def _keys(model: nn.Module, reference: nn.Module) -> str | None:
    ours, theirs = list(model.state_dict()), list(reference.state_dict())
    if ours == theirs:
        return None
    odd = sorted(set(ours) ^ set(theirs))
    return f"`{odd[0]}` is in one only" if odd else "the same keys in another order"


def _state(model: nn.Module, reference: nn.Module) -> str | None:
    return first_difference(dict(model.state_dict()), dict(reference.state_dict()))


def _differences(ours: Result, theirs: Result, training: bool) -> Iterator[tuple[str, str | None]]:
    mode = "train" if training else "eval"
    yield f"{mode}: outputs", first_difference(ours.outputs, theirs.outputs)
    yield f"{mode}: gradients", first_difference(ours.gradients, theirs.gradients)
    yield f"{mode}: buffers", first_difference(ours.buffers, theirs.buffers)
    if training:
        yield "train: parameters after a step", first_difference(ours.parameters, theirs.parameters)
    changed = f"`{ours.changed[0]}` is changed" if ours.changed else None
    yield f"{mode}: inputs as they were", changed


def _changed(
    compiled: Compiled,
    model: nn.Module,
    inputs: Sequence[tuple[str, torch.Tensor]],
    seeds: tuple[int, int],
) -> str | None:
    """The first layer that gives other values in the second of two evaluations, one of each seed.

    None where the outputs are equal.
    """
    values = [value for _, value in inputs]
    model.eval()
    runs = []
    for seed in seeds:
        with own_random_state(), torch.no_grad():
            torch.manual_seed(seed)
            runs.append(dict(named_tensors(model(*[x.clone() for x in values]), "")))
    if first_difference(*runs) is None:
        return None
    step = changed_step(compiled.program, model, values, seeds)
    return "the network" if step is None else f"`{step.path}` (line {step.line})"


def _told(
    compiled: Compiled,
    model: nn.Module,
    forms: Sequence[str],
    rows: Sequence[Row],
    draws: str | None = None,
) -> Verification:
    program = compiled.program
    sizes = [program.probes[index].sizes for index in _probe_indexes(program)]
    return Verification(
        program.name,
        sum(p.numel() for p in model.parameters()),
        tuple(", ".join(f"{name} = {size}" for name, size in each) for each in sizes if each),
        tuple(forms),
        tuple(rows),
        draws,
    )
