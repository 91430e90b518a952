"""A spec and its args → a Program. The first stage that knows torch."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

from netspec.errors import Diagnostic, Span, SpecError
from netspec.ir.expr import Value
from netspec.ir.graph import Child, Place, Probe, Program
from netspec.ir.limits import MAX_INPUT_ELEMENTS
from netspec.ir.lower.blocks import check_unused, fill_args
from netspec.ir.lower.containers import merge_taps
from netspec.ir.lower.context import Activation, Context, Operand, Refused, Steps, TooMany, refuse
from netspec.ir.lower.declare import declare_child
from netspec.ir.lower.evaluate import static_value
from netspec.ir.lower.finish import check_open_slots, check_outputs, finish
from netspec.ir.lower.layers import lower_layer, lower_layers
from netspec.ir.lower.least import check_least
from netspec.ir.lower.optional import default_of, may_be_none, or_default
from netspec.ir.lower.scope import Binding, GraphBuilder, Scope
from netspec.ops import catalog, facts
from netspec.ops.elsewhere import told_of_dtype
from netspec.ops.facts import Fact
from netspec.source import Path
from netspec.spec.complain import unknown_arg
from netspec.spec.expressions import as_expression, could_be_expression, is_expression, names_in
from netspec.spec.interpolated import help_for_interpolation
from netspec.spec.load import Definition, Spec
from netspec.spec.overrides import Text
from netspec.spec.schema import Block, Document, Input

_BATCH = (2, 3)
_SIZES = (64, 96)
_ATTEMPTS = 4
_MOST_COMBINED = 3  # inputs of which every combination is tried
_STEPS = Steps(lower_layers, lower_layer, declare_child)
Sizes = tuple[dict[str, int], dict[str, int]]


def lower(
    spec: Spec,
    args: Mapping[str, object],
    activation: Activation,
    find_spec: Callable[[str, Place], Spec],
    outputs: Sequence[str] = (),
) -> Program:
    """The program of a spec: its blocks expanded, its sizes inferred, its operators asked.

    `outputs` are paths of values that the model gives beside its own. Raises SpecError with all
    that was found wrong.
    """
    program, problems = lower_as_far(spec, args, activation, find_spec, outputs)
    if program is None:
        raise SpecError(problems)
    return program


def lower_as_far(
    spec: Spec,
    args: Mapping[str, object],
    activation: Activation,
    find_spec: Callable[[str, Place], Spec],
    outputs: Sequence[str] = (),
) -> tuple[Program | None, list[Diagnostic]]:
    """The program, or all that is wrong with the spec beside what was found when it was read."""
    try:
        sizes = _example_sizes(spec)
    except SpecError as error:
        return None, list(error.diagnostics)
    modes = (True, False) if _by_mode(spec) else (False,)
    none = {name for name, declared in spec.document.inputs.items() if may_be_none(declared)}
    for attempt in range(_ATTEMPTS):
        left_out = _left_out([name for name in spec.document.inputs if name in none])
        context = Context(_probes(sizes, modes, left_out), activation, find_spec, _STEPS)
        program = _lower(spec, args, context, outputs)
        if context.none_inputs - none or context.differs_by_mode:  # seen only on the way
            none |= context.none_inputs
            modes = (True, False) if context.differs_by_mode else modes
            left_out = _left_out([name for name in spec.document.inputs if name in none])
            context = Context(_probes(sizes, modes, left_out), activation, find_spec, _STEPS)
            program = _lower(spec, args, context, outputs)
        if program is not None:
            return program, []
        other = _other_sizes(spec, sizes, context.partial, attempt)
        if not context.partial or attempt == _ATTEMPTS - 1 or other == sizes:
            return None, _once(context.problems)
        sizes = other
    raise AssertionError("the last attempt returns")


def _once(problems: list[Diagnostic]) -> list[Diagnostic]:
    """A mistake in a block is met once for each of its instances, and told once."""
    found: dict[tuple[str, Span], Diagnostic] = {}
    for problem in problems:
        found.setdefault((problem.code, problem.span), problem)
    return list(found.values())


def _lower(
    spec: Spec, args: Mapping[str, object], context: Context, outputs: Sequence[str]
) -> Program | None:
    document = spec.document
    here = Place(spec.source, ())
    builder = GraphBuilder(spec.name, context, spec.source)
    given = {name: context.const(_plain(value)) for name, value in args.items()}
    scope = Scope(
        builder, spec.source, given, spec.blocks, None, builder.holder, (),
        isinstance(document.layers, list),
    )  # fmt: skip
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
        if context.problems:
            check_open_slots(scope)
            check_outputs(document.outputs, outputs, scope, here)
            return None
        lowered = finish(
            builder, scope, document.outputs, list(outputs), None, here, document.init, named=True
        )
    except Refused as refused:
        context.report(refused)
        return None
    except TooMany:
        return None
    if context.problems:
        return None
    root = Child(spec.name, lowered.new, place=here)
    inputs = tuple(builder.inputs)
    return Program(spec.name, root, context.probes, inputs, spec.source, context.overwrites)


def evaluate_alone(value: object, names: Mapping[str, object], source: Text, path: Path) -> object:
    """A plain value or an expression outside of any network, in which these names are known.

    Raises SpecError where it can't be evaluated.
    """
    place = Place(source, path)
    context = Context((Probe((), True),), Activation(), _no_spec, _STEPS)
    given = {name: context.const(item) for name, item in names.items()}
    builder = GraphBuilder("alone", context, source)
    try:
        return static_value(value, Scope(builder, source, given, {}), place, "it")
    except Refused as refused:
        if refused.diagnostic is None:  # nothing was refused before
            raise
        raise SpecError(refused.diagnostic) from None


def _no_spec(name: str, place: Place) -> Spec:
    raise AssertionError(f"an expression alone has no part `{name}` at {place.path}")


def _plain(value: object) -> object:
    return tuple(_plain(item) for item in value) if isinstance(value, (list, tuple)) else value


def _fill_args(spec: Spec, args: Mapping[str, object], scope: Scope, here: Place) -> None:
    known = spec.document.args
    for name in args:
        if name not in known:
            span = Span(f"from args={{'{name}': …}}")
            scope.context.report(Refused(unknown_arg(spec.name, name, known, span)))
    clash = _free_sizes(spec.document).keys() & known.keys()
    for name in sorted(clash):
        fact = f"`{name}` is a free size of an input and an arg"
        span, help = here.at("args", name).key_span(), f"write `={name}` for the arg"
        scope.context.report(refuse("NS209", fact, span, help))
    block = Block(args=known, layers=spec.document.layers)
    definition = Definition(spec.name, block, spec.source, (), spec.blocks)
    fill_args(definition, known, scope, here, set())


def _shape(declared: Any) -> list[int | str]:
    return declared.shape if isinstance(declared, Input) else declared


def _free_sizes(document: Document) -> dict[str, int]:
    """Each free size, with the first dimension in which it stands."""
    found: dict[str, int] = {}
    for declared in document.inputs.values():
        for dimension, size in enumerate(_shape(declared)):
            if isinstance(size, str) and not is_expression(size):
                found[size] = min(dimension, found.get(size, dimension))
    return found


def _example_sizes(spec: Spec) -> Sizes:
    """The two sizes at which each free one is tried: the spec's own examples, or the defaults."""
    low: dict[str, int] = {}
    high: dict[str, int] = {}
    for name, dimension in _free_sizes(spec.document).items():
        low[name], high[name] = _BATCH if dimension == 0 else _SIZES
    problems = []
    for name, declared in spec.document.inputs.items():
        for size, example in (
            (declared.example or {}).items() if isinstance(declared, Input) else ()
        ):
            place = Place(spec.source, ("inputs", name, "example", size))
            pair = example if isinstance(example, list) else [example, _next(example)]
            if size not in low:
                fact = f"`{size}` is no free size of `{name}`"
                problems.append(Diagnostic("NS209", fact, place.key_span()))
            elif len(pair) != 2 or pair[0] == pair[1] or min(pair) < 1:
                fact = f"an example of `{size}` is a size, or two different ones"
                problems.append(Diagnostic("NS205", fact, place.span()))
            else:
                low[size], high[size] = pair
    if problems:
        raise SpecError(problems)
    return low, high


def _next(size: int) -> int:
    return size + 32 if size >= 64 else size + 1


def _other_sizes(spec: Spec, sizes: Sizes, failed: set[int], attempt: int) -> Sizes:
    """Other sizes in the place of those that failed where their neighbours did not.

    Sizes of the spec's own examples stay as they are.
    """
    low, high = sizes
    declared = [i for i in spec.document.inputs.values() if isinstance(i, Input)]
    given = {name for item in declared for name in item.example or {}}
    changed: tuple[dict[str, int], dict[str, int]] = (dict(low), dict(high))
    for name in low.keys() - given:
        if 0 in failed:  # too small: beyond the other one
            step = abs(high[name] - low[name]) * 2 ** (attempt + 1)
            changed[0][name] = high[name] + step
        else:  # too large: below the other one, or next to it
            smaller = low[name] // 2 if attempt == 0 else low[name] - attempt
            changed[1][name] = smaller if smaller >= 2 else low[name] + attempt + 1  # 1 broadcasts
    return changed


def _probes(
    sizes: Sizes, modes: tuple[bool, ...], left_out: Sequence[frozenset[str]]
) -> tuple[Probe, ...]:
    pairs = sizes if sizes[0] else sizes[:1]
    return tuple(
        Probe(tuple(pair.items()), mode, index, missing)
        for missing in left_out
        for mode in modes
        for index, pair in enumerate(pairs)
    )


def _left_out(names: Sequence[str]) -> list[frozenset[str]]:
    """What a caller may leave out at once, nothing first; of many each alone, and all others."""
    counts = set(range(len(names) + 1))
    if len(names) > _MOST_COMBINED:
        counts = {0, 1, len(names) - 1, len(names)}
    return [frozenset(some) for count in sorted(counts) for some in combinations(names, count)]


def _by_mode(spec: Spec) -> bool:
    """Whether anything may differ between train and eval mode: facts are then found in both."""
    return any(_mentions_mode(source.value) for source in spec.files if _may_mention(source.text))


def _may_mention(text: str) -> bool:
    """A quick look before the walk; without these words nothing depends on the mode."""
    parts = text.count("spec") > text.count("netspec")
    return not text or "training" in text or "eval" in text or parts


def _mentions_mode(value: Any) -> bool:
    if isinstance(value, str):
        return "training" in value and is_expression(value) and "training" in names_in(value)
    if isinstance(value, dict):
        return (
            "spec" in value
            or set(value) == {"train", "eval"}
            or any(_mentions_mode(item) for item in value.values())
        )
    return isinstance(value, list) and any(_mentions_mode(item) for item in value)


def _add_inputs(document: Document, scope: Scope, here: Place) -> None:
    optional = ""
    for name, declared in document.inputs.items():
        place = here.at("inputs", name)
        try:
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
            scope.context.report(refused)
            operand = scope.context.unknown
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
    for probe in scope.context.probes:
        if name in probe.left_out:
            types.append(None)
            continue
        shape = tuple(
            _size(size, dict(probe.sizes), scope, where.at(index))
            for index, size in enumerate(_shape(declared))
        )
        if math.prod(shape) > MAX_INPUT_ELEMENTS:
            fact = f"input `{name}` has {math.prod(shape):,} elements"
            help = f"at most {MAX_INPUT_ELEMENTS:,} are allowed"
            raise refuse("NS217", fact, where.span(), help)
        types.append(facts.contiguous(shape, dtype))
    optional = default_of(declared) is not None
    return scope.graph.add_input(name, Operand(Value(-1), tuple(types)), optional)


def _size(size: int | str, free: Mapping[str, int], scope: Scope, place: Place) -> int:
    if isinstance(size, str) and not is_expression(size):
        if not size.isidentifier():
            fact = f"`{size}` is no size"
            help = "a number, the name of a free size, or an expression over args"
            help = help_for_interpolation(size) or help
            if could_be_expression(size, scope.args):
                help = f"write `{as_expression(size)}`: an expression begins with `=`"
            raise refuse("NS205", fact, place.span(), help)
        return free[size]
    found = static_value(size, scope, place, "an input's size")
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise refuse("NS205", f"a size is a number, and `{found}` is not", place.span())
    return found
