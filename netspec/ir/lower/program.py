"""A spec and its args → a Program. The first stage that knows torch."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from netspec.errors import Diagnostic, Help, Origin, Span, SpecError
from netspec.ir.expr import Value
from netspec.ir.graph import Child, Place, Probe, Program
from netspec.ir.limits import MAX_LEFT_OUT
from netspec.ir.lower.expressions.evaluate import static_value
from netspec.ir.lower.layer_count import check_least
from netspec.ir.lower.layers.blocks import check_unused, fill_args
from netspec.ir.lower.layers.containers import merge_taps
from netspec.ir.lower.layers.declare import declare_child
from netspec.ir.lower.layers.dispatch import lower_layer, lower_layers
from netspec.ir.lower.layers.input_defaults import default_of, may_be_none, or_default
from netspec.ir.lower.probes import (
    ATTEMPTS,
    BOTH_MODES,
    Sizes,
    example_sizes,
    free_sizes,
    left_out_at_once,
    modes_of,
    other_sizes,
    probes_of,
    reach_beyond,
    shape_of,
    stated_sizes,
)  # fmt: skip
from netspec.ir.lower.probing import Probes
from netspec.ir.lower.problems import OF_NAMES, Problems
from netspec.ir.lower.refusal import Explain, Refused, TooMany, refuse
from netspec.ir.lower.scope import Binding, GraphBuilder, Scope, Steps
from netspec.ir.lower.seal.graph import finish
from netspec.ir.lower.seal.open_slots import check_open_slots
from netspec.ir.lower.seal.outputs import check_outputs
from netspec.ir.lower.session import Activation, Context, Seen
from netspec.ir.lower.stated_sizes import read_stated
from netspec.ir.lower.values import Operand
from netspec.ir.stated import Stated
from netspec.language.expressions import as_expression, could_be_expression, is_expression
from netspec.language.interpolated import help_for_interpolation
from netspec.language.load import Definition, Spec
from netspec.language.overrides import Text
from netspec.language.schema import Block, Document, Input
from netspec.language.validation_errors import unknown_arg
from netspec.limits import raised_help
from netspec.ops import catalog
from netspec.ops.foreign_names import told_of_dtype
from netspec.ops.types import Fact, TensorType, contiguous
from netspec.source import Path

_STEPS = Steps(lower_layers, lower_layer, declare_child)


def lower(
    spec: Spec,
    args: Mapping[str, object],
    activation: Activation,
    find_spec: Callable[[str, Place], Spec],
    explain: Explain,
    outputs: Sequence[str] = (),
) -> Program:
    """The program of a spec: its blocks expanded, its sizes inferred, its operators asked.

    `explain` words what is refused. `outputs` are paths of values that the model gives beside its
    own. Raises SpecError with all that was found wrong.
    """
    outcome = lower_as_far(spec, args, activation, find_spec, explain, outputs)
    if outcome.program is None:
        raise SpecError(outcome.problems)
    return outcome.program


@dataclass(frozen=True, slots=True)
class Outcome:
    """The program, or all that is wrong with the spec beside what was found when it was read.

    `seen` is what became of each layer, as far as lowering came; types stand for these `probes`.
    """

    program: Program | None
    problems: list[Diagnostic]
    seen: Seen
    probes: tuple[Probe, ...] = ()


def lower_as_far(
    spec: Spec,
    args: Mapping[str, object],
    activation: Activation,
    find_spec: Callable[[str, Place], Spec],
    explain: Explain,
    outputs: Sequence[str] = (),
) -> Outcome:
    """A spec lowered, or what is wrong with it and all that is known of it nevertheless."""
    try:
        sizes = example_sizes(spec)
    except SpecError as error:
        return Outcome(None, list(error.diagnostics), _nothing_seen(spec))
    modes = modes_of(spec)
    none = {name for name, declared in spec.document.inputs.items() if may_be_none(declared)}
    if len(none) > MAX_LEFT_OUT:
        place = Place(spec.source, ("inputs",))
        fact = f"{len(none)} inputs may be None, and each is tried with and without the others"
        help = f"at most {MAX_LEFT_OUT} may; give the others a tensor as their default"
        problem = Diagnostic("NS217", fact, place.key_span(), help=help)
        return Outcome(None, [problem], _nothing_seen(spec))

    def context_for(probes: tuple[Probe, ...], tried: int) -> Context:
        return _context(probes, tried, activation, find_spec, explain, _nothing_seen(spec))

    stated, wrong = _read_stated(spec, args, context_for)
    if stated and not wrong:
        try:
            sizes = stated_sizes(spec, sizes, stated)
        except SpecError as error:
            wrong, stated = list(error.diagnostics), ()
    for attempt in range(ATTEMPTS):
        program, context = _lower_at(spec, args, sizes, modes, none, outputs, stated, context_for)
        modes = tuple(dict.fromkeys(probe.training for probe in context.probes))
        none |= context.none_inputs
        seen, tried = context.at_layer, context.probes[: context.probes.tried]
        if wrong:  # without what it is to state, a network may be refused at any size
            sure = [one for one in _once(context.problems.found) if one.code in OF_NAMES]
            return Outcome(None, [*wrong, *sure], seen, tried)
        if program is not None:
            return Outcome(program, [], seen, tried)
        last = not context.probes.partial or attempt == ATTEMPTS - 1 or bool(stated)
        other = sizes if last else other_sizes(spec, sizes, context.probes.partial, attempt)
        if other == sizes:
            return Outcome(None, _once(context.problems.found), seen, tried)
        sizes = other
    raise AssertionError("the last attempt returns")


def _read_stated(
    spec: Spec, args: Mapping[str, object], context_for: Callable[[tuple[Probe, ...], int], Context]
) -> tuple[Sequence[Stated], list[Diagnostic]]:
    """What the inputs state of their free sizes, and what is wrong with that."""
    if not any(isinstance(one, Input) and one.where for one in spec.document.inputs.values()):
        return (), []
    context, here = context_for((Probe((), False),), 1), Place(spec.source, ())
    builder = GraphBuilder(spec.name, context, _STEPS, spec.source)
    given = {name: context.const(_plain(value)) for name, value in args.items()}
    scope = Scope(builder, spec.source, given, spec.blocks)
    with context.problems:
        _fill_args(spec, args, scope, here)
    of_args = len(context.problems.found)  # told where the layers are lowered
    found = read_stated(spec.document, free_sizes(spec.document), scope, here)
    return found, context.problems.found[of_args:]


def _context(
    probes: tuple[Probe, ...],
    tried: int,
    activation: Activation,
    find_spec: Callable[[str, Place], Spec],
    explain: Explain,
    nothing: Seen,
) -> Context:
    problems = Problems(explain)
    return Context(Probes(probes, tried, problems.worded), problems, activation, find_spec, nothing)


def _nothing_seen(spec: Spec) -> Seen:
    return Seen("", "spec", spec.name, Place(spec.source, ()))


def _lower_at(
    spec: Spec,
    args: Mapping[str, object],
    sizes: Sizes,
    modes: tuple[bool, ...],
    none: Set[str],
    outputs: Sequence[str],
    stated: Sequence[Stated],
    context_for: Callable[[tuple[Probe, ...], int], Context],
) -> tuple[Program | None, Context]:
    """One attempt; with more probes again, where the first ones showed that more are wanted."""
    largest = 0
    while True:
        left_out = left_out_at_once([name for name in spec.document.inputs if name in none])
        probes, tried = probes_of(spec, args, sizes, modes, left_out, largest, stated)
        context = context_for(probes, tried)
        context.probes.are_stated = bool(stated)
        program = _lower(spec, args, context, outputs, stated)
        known, largest = largest, max(largest, context.probes.largest)
        more = context.probes.differs_by_mode or context.none_inputs - none
        if not more and (largest == known or reach_beyond(probes, largest)):
            return program, context
        modes = BOTH_MODES if context.probes.differs_by_mode else modes  # seen only on the way
        none = none | context.none_inputs


def _once(problems: list[Diagnostic]) -> list[Diagnostic]:
    """A mistake in a block is met once for each of its instances, and told once."""
    found: dict[tuple[str, Span], Diagnostic] = {}
    for problem in problems:
        found.setdefault((problem.code, problem.span), problem)
    return list(found.values())


def _lower(
    spec: Spec,
    args: Mapping[str, object],
    context: Context,
    outputs: Sequence[str],
    stated: Sequence[Stated],
) -> Program | None:
    document = spec.document
    here = Place(spec.source, ())
    builder = GraphBuilder(spec.name, context, _STEPS, spec.source)
    given = {name: context.const(_plain(value)) for name, value in args.items()}
    numbered = isinstance(document.layers, list)
    scope = Scope(
        builder, spec.source, given, spec.blocks, holder=builder.holder, numbered=numbered
    )
    try:
        check_least(spec)
        _fill_args(spec, args, scope, here)
        _add_inputs(document, scope, here)
        wanted: dict[str, list[str]] = {}
        for path in outputs:
            first, _, rest = path.partition(".")
            wanted.setdefault(first, [])
            if rest:
                wanted[first].append(rest)
        scope.taps = merge_taps(document.layers, wanted, document.outputs)
        lower_layers(document.layers, scope, here.at("layers"))
        check_unused(spec.blocks, scope)
        if context.problems.found:
            check_open_slots(scope)
            check_outputs(document.outputs, outputs, scope, here)
            return None
        lowered = finish(
            builder, scope, document.outputs, list(outputs), None, here, document.init, named=True
        )
    except Refused as refused:
        context.problems.add(refused)
        return None
    except TooMany:
        return None
    if context.problems.found:
        return None
    root = Child(spec.name, lowered.new, place=here)
    tried = context.probes.tried
    inputs = tuple(replace(port, facts=port.facts[:tried]) for port in builder.inputs)
    probes = context.probes[:tried]
    return Program(
        spec.name, root, probes, inputs, spec.source, context.overwrites,
        context.refuses_gradients, stated=tuple(stated),
    )  # fmt: skip


def evaluate_alone(
    value: object, names: Mapping[str, object], source: Text, path: Path, explain: Explain
) -> object:
    """A plain value or an expression outside of any network, in which these names are known.

    Raises SpecError where it can't be evaluated.
    """
    place = Place(source, path)
    nothing = Seen("", "spec", "", place)
    context = _context((Probe((), True),), 1, Activation(), _no_spec, explain, nothing)
    given = {name: context.const(item) for name, item in names.items()}
    builder = GraphBuilder("alone", context, _STEPS, source)
    try:
        return static_value(value, Scope(builder, source, given, {}), place, "it")
    except Refused as refused:
        worded = context.problems.worded(refused)
        if worded.diagnostic is None:  # nothing was refused before
            raise
        raise SpecError(worded.diagnostic) from None


def _no_spec(name: str, place: Place) -> Spec:
    raise AssertionError(f"an expression alone has no part `{name}` at {place.path}")


def _plain(value: object) -> object:
    return tuple(_plain(item) for item in value) if isinstance(value, (list, tuple)) else value


def _fill_args(spec: Spec, args: Mapping[str, object], scope: Scope, here: Place) -> None:
    known = spec.document.args
    for name in args:
        if name not in known:
            span = Span.of(Origin("arg", name, f"args={{'{name}': …}}"))
            scope.context.problems.add(Refused(unknown_arg(spec.name, name, known, span)))
    clash = free_sizes(spec.document).keys() & known.keys()
    for name in sorted(clash):
        fact = f"`{name}` is a free size of an input and an arg"
        span, help = here.at("args", name).key_span(), f"write `={name}` for the arg"
        scope.context.problems.add(refuse("NS209", fact, span, help))
    block = Block(args=known, layers=spec.document.layers)
    definition = Definition(spec.name, block, spec.source, (), spec.blocks)
    fill_args(definition, known, scope, here, set())


def _add_inputs(document: Document, scope: Scope, here: Place) -> None:
    optional = ""
    for name, declared in document.inputs.items():
        place = here.at("inputs", name)
        seen = Seen(name, "input", "", place)
        scope.context.at_layer.inner.append(seen)
        try:
            with scope.context.seeing(seen):
                operand = _input(name, declared, scope, place)
            default = default_of(declared)
            if default is not None:
                operand = or_default(operand, default, name, scope, place)
            elif optional:
                fact = f"`{name}` has to be given, and `{optional}` before it has a default"
                help = "inputs with a default stand last: they are arguments of `forward`"
                raise refuse("NS205", fact, place.key_span(), help)
            optional = optional if default is None else name
        except Refused as refused:
            scope.context.problems.add(refused)
            operand = scope.context.unknown
        seen.value = operand
        scope.names[name] = Binding(place, operand)
        if scope.previous is None:
            scope.previous = scope.entry = operand
    if scope.previous is None:
        help = "write what `forward` takes: `inputs: {x: [N, 3, 32, 32]}`"
        span = here.at("inputs").key_span()
        raise refuse("NS202", "a spec has at least one input", span, help)


def _input(name: str, declared: list[int | str] | Input, scope: Scope, place: Place) -> Operand:
    """One input, and its types at the sizes at which the spec is tried."""
    if not name.isidentifier() or not unicodedata.is_normalized("NFKC", name):
        help = "letters, digits and `_`: it is an argument of `forward`"
        fact = f"`{name}` cannot be the name of an input"
        raise refuse("NS210", fact, place.key_span(), help)
    dtype_name = declared.dtype if isinstance(declared, Input) else "float32"
    dtype = catalog.find_dtype(dtype_name)
    if dtype is None:
        fact = f"there is no dtype `{dtype_name}`"
        raise refuse("NS206", fact, place.at("dtype").span(), told_of_dtype(dtype_name))
    where = place.at("shape") if isinstance(declared, Input) else place
    types: list[Fact] = []
    sizes = shape_of(declared)
    for probe in scope.context.probes:
        if name in probe.left_out:
            types.append(None)
            continue
        free = dict(probe.sizes)
        shape = tuple([_size(size, i, free, scope, where) for i, size in enumerate(sizes)])
        most = scope.context.bounds.limits.input_elements
        if math.prod(shape) > most and len(types) >= scope.context.probes.tried:
            shape = _shape_of_first(types)  # nothing is seen at this size
        if math.prod(shape) > most:
            fact = f"input `{name}` has {math.prod(shape):,} elements"
            help = raised_help("input_elements", most)
            raise refuse("NS217", fact, where.span(), help)
        types.append(contiguous(shape, dtype))
    optional = default_of(declared) is not None
    return scope.graph.add_input(name, Operand(Value(-1), tuple(types)), optional)


_LARGE = 2**31  # sizes below it need no look at whether a tensor can have them


def _shape_of_first(types: Sequence[Fact]) -> tuple[int, ...]:
    return next(fact.shape for fact in types if isinstance(fact, TensorType))


def _size(size: int | str, index: int, free: Mapping[str, int], scope: Scope, shape: Place) -> int:
    if type(size) is int and 0 <= size < _LARGE:
        return size
    place = shape.at(index)
    if isinstance(size, str) and not is_expression(size):
        if not size.isidentifier():
            fact = f"`{size}` is no size"
            help = "a number, the name of a free size, or an expression over args"
            help = help_for_interpolation(size) or help
            if could_be_expression(size, scope.args):
                written = as_expression(size)
                help = Help(f"write `{written}`: an expression begins with `=`", size, written)
            raise refuse("NS205", fact, place.span(), help)
        return free[size]
    found = static_value(size, scope, place, "an input's size")
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise refuse("NS205", f"a size is a number, and `{found}` is not", place.span())
    return found
