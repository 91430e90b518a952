"""Blocks and parts: specs inside a spec, each lowered once for the same args and input types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from netspec.errors import GiveArg, did_you_mean
from netspec.ir.effects import has_effects
from netspec.ir.expr import Comparison, Const
from netspec.ir.graph import Place
from netspec.ir.lower.calls.collected import collection_given, is_collection
from netspec.ir.lower.calls.device import PORT, device_of
from netspec.ir.lower.calls.handles import GraphInstance
from netspec.ir.lower.expressions.evaluate import evaluate_plain
from netspec.ir.lower.expressions.operators import choose
from netspec.ir.lower.layers.arguments import arguments, name_of, no_expression
from netspec.ir.lower.layers.containers import merge_taps
from netspec.ir.lower.layers.init import lower_after
from netspec.ir.lower.layers.input_defaults import default_of, evaluate_default
from netspec.ir.lower.refusal import Refused, refuse
from netspec.ir.lower.rejections import WrongPartInput, rejected
from netspec.ir.lower.scope import Binding, GraphBuilder, Registration, Scope
from netspec.ir.lower.seal.graph import finish
from netspec.ir.lower.session import Lowered
from netspec.ir.lower.stated_sizes import read_stated
from netspec.ir.lower.values import Operand
from netspec.language.load import Definition, Spec
from netspec.language.schema import (
    Block,
    BlockLayer,
    Document,
    Layer,
    SpecLayer,
)  # fmt: skip
from netspec.limits import spend
from netspec.ops.types import TensorType, memo_key

_A_BLOCK = 400  # the work of one for other args or types than before


def block_instance(layer: BlockLayer, name: str, scope: Scope, place: Place) -> GraphInstance:
    """An instance of a block; its arguments may be values, which become inputs."""
    block = name_of(layer.block, scope, place.at("block"))
    definition = scope.blocks.get(block)
    if definition is None:
        help = did_you_mean(block, scope.blocks)
        if help is None and scope.blocks:
            help = f"known here: {', '.join(scope.blocks)}"
        raise refuse("NS206", f"there is no block `{block}`", place.at("block").span(), help)
    given = arguments(layer, scope, place)
    return _instance(definition, given, layer, name, scope, place)


def spec_instance(layer: SpecLayer, name: str, scope: Scope, place: Place) -> GraphInstance:
    """Another spec as a part: a block whose text is a file of its own."""
    no_expression(layer.spec, "spec", place)
    spec = scope.context.find_spec(layer.spec, place.at("spec"))
    definition = scope.context.parts.get(id(spec))
    if definition is None:
        definition = scope.context.parts[id(spec)] = _as_block(spec)
    given = arguments(layer, scope, place)
    return _instance(definition, given, layer, name, scope, place, spec.document)


def _as_block(spec: Spec) -> Definition:
    document = spec.document
    block = Block.model_construct(
        args=document.args, inputs=list(document.inputs), layers=document.layers,
        outputs=document.outputs, init=document.init,
    )  # fmt: skip
    return Definition(spec.name, block, spec.source, (), spec.blocks)


def _instance(
    definition: Definition,
    given: dict[str, Operand],
    layer: Layer,
    name: str,
    scope: Scope,
    place: Place,
    document: Document | None = None,
) -> GraphInstance:
    slot = Registration(name, place, keep=layer.keep)
    scope.holder.add(slot)
    _check_given(definition, given, scope, place)
    extra = {  # read by each call of the instance
        key: scope.graph.hold(operand, place) if has_effects(operand.expr) else operand
        for key, operand in given.items()
        if not operand.static
    }
    constants = {key: operand for key, operand in given.items() if operand.static}

    def lower(inputs: Sequence[Operand], at: Place) -> tuple[Lowered, Sequence[Operand]]:
        left_out = definition.block.inputs[len(inputs) :]
        optional = document is not None and all(
            default_of(document.inputs[name]) is not None for name in left_out
        )
        if len(inputs) > len(definition.block.inputs) or (left_out and not optional):
            raise _wrong_count(definition, len(inputs), at)
        taps = list(scope.taps.get(name, ()))
        scope.context.at_layer.passed = {
            **scope.context.at_layer.passed,
            **{key: scope.graph.origins(operand.expr) for key, operand in extra.items()},
        }
        lowered = lower_block(
            definition, constants, extra, list(inputs), taps, layer.as_, scope, place, document
        )
        passed = [o for o in (*inputs, *extra.values()) if not o.static]
        if lowered.takes_device:
            device = device_of(scope)
            assert device is not None, "the block was lowered for it"
            passed.append(device)
        return lowered, passed

    seen = scope.context.at_layer
    after, names = lower_after(layer, scope, place), tuple(definition.block.inputs)
    return GraphInstance(name, slot, lower, scope.graph, seen, after, names)


def _check_given(
    definition: Definition, given: dict[str, Operand], scope: Scope, place: Place
) -> None:
    """Reports arguments that the block does not have, and those that it needs and does not get."""
    known, context = definition.block.args, scope.context
    strange = [key for key in given if key not in known]
    for key in strange:
        help = did_you_mean(key, known) or (
            f"it has {', '.join(known)}" if known else "it has none"
        )
        fact = f"`{definition.name}` has no argument `{key}`"
        context.problems.add(refuse("NS203", fact, (place.argument(key) or place).key_span(), help))
        del given[key]
    missing = [key for key, default in known.items() if default is None and key not in given]
    if missing and not strange:
        names = " and ".join(f"`{key}`" for key in missing)
        help = f"give {', '.join(f'`{key}: …`' for key in missing)}"
        fact = f"`{definition.name}` needs {names}"
        context.problems.add(refuse("NS209", fact, place.key_span(), help))
    given.update(dict.fromkeys(missing, context.unknown))


def _wrong_count(definition: Definition, given: int, place: Place) -> Refused:
    names = definition.block.inputs
    inputs = f"{len(names)} input" if len(names) == 1 else f"{len(names)} inputs"
    are = "is" if given == 1 else "are"
    fact = f"`{definition.name}` takes {inputs} ({', '.join(names)}), and {given} {are} given"
    help = (
        f"write `from: [{', '.join(names)}]`, with the values to give" if len(names) > 1 else None
    )
    return refuse("NS212", fact, (place.argument("from") or place).key_span(), help)


def check_unused(definitions: Mapping[str, Definition], scope: Scope) -> None:
    """The names and arguments in blocks that no layer uses; their inputs may be anything."""
    for definition in definitions.values():
        if id(definition.block) in scope.context.lowered:
            continue
        before = scope.context.bounds.now()
        unknown = scope.context.unknown
        missing = [key for key, default in definition.block.args.items() if default is None]
        inputs = [unknown] * len(definition.block.inputs)
        given = dict.fromkeys(missing, unknown)
        place = Place(definition.source, definition.path)
        told = len(scope.context.problems.found)
        with scope.context.problems:
            lower_block(definition, {}, given, inputs, [], None, scope, place)
        found = scope.context.problems.found[told:]
        scope.context.problems.found[told:] = [one for one in found if one.code.startswith("NS2")]
        scope.context.bounds.back_to(before)
        own = {name: definition.blocks[name] for name in definition.block.blocks}
        check_unused(own, scope)


def lower_block(
    definition: Definition,
    constants: Mapping[str, Operand],
    extra: Mapping[str, Operand],
    inputs: list[Operand],
    taps: list[str],
    form: str | None,
    scope: Scope,
    place: Place,
    document: Document | None = None,
) -> Lowered:
    """A block for these arguments and input types; the same ones give the same graph, once."""
    context = scope.context
    key = (
        id(definition.block), form, tuple(taps),
        scope.context.probes.reached,
        tuple((k, memo_key(o.facts[0])) for k, o in constants.items()),
        tuple((k, memo_key(o.facts), o.sized, o.modal) for k, o in extra.items()),
        tuple((memo_key(o.facts), o.static, o.sized, o.modal) for o in inputs),
    )  # fmt: skip
    if key in context.memo:
        before = context.memo[key]
        context.at_layer.inner += context.inner.get(key, ())
        given = (*inputs, *extra.values())
        if before is None and key in context.active and not any(o.is_unknown for o in given):
            fact = f"`{definition.name}` contains itself without an end"
            help = "a block that contains itself needs a `when` that ends it"
            raise refuse("NS211", fact, place.key_span(), help)
        if before is None:
            raise Refused
        context.bounds.add(before.extent, place)
        return before
    spend(_A_BLOCK)
    context.memo[key] = None
    context.lowered.add(id(definition.block))
    context.active.add(key)
    start = context.bounds.now()
    already = len(context.at_layer.inner)
    context.enter(definition.name, place)
    try:
        lowered = _lower_block(
            definition, constants, extra, inputs, taps, form, scope, place, document
        )
    finally:
        context.leave()
        context.active.discard(key)
        context.inner[key] = context.at_layer.inner[already:]
    lowered = replace(lowered, extent=context.bounds.used.since(start))
    context.memo[key] = lowered
    return lowered


def _lower_block(
    definition: Definition,
    constants: Mapping[str, Operand],
    extra: Mapping[str, Operand],
    inputs: list[Operand],
    taps: list[str],
    form: str | None,
    scope: Scope,
    place: Place,
    document: Document | None,
) -> Lowered:
    block, here = definition.block, Place(definition.source, definition.path)
    graph = GraphBuilder(
        definition.name, scope.context, scope.graph.steps, definition.source, caller=scope
    )
    names: dict[str, Binding] = {}
    ports = []
    for name, operand in zip(block.inputs, inputs, strict=False):  # those with a default may miss
        port = graph.add_input(name, operand)
        names[name] = Binding(here.at("inputs"), port)
        ports.append(port)
    args: dict[str, Operand] = dict(constants)
    for name, operand in extra.items():
        port = graph.add_input(name, operand)
        names[name] = Binding(here.at("args", name), port)
    inner = Scope(
        graph, definition.source, args, definition.blocks, holder=graph.holder,
        numbered=isinstance(block.layers, list), names=names,
        previous=ports[0] if ports else None,
        entry=ports[0] if ports else scope.context.const(None), block=definition.name,
    )  # fmt: skip
    fill_args(definition, block.args, inner, here, set(extra))
    if document is not None:
        given = _with_defaults(document, dict(zip(block.inputs, ports, strict=False)), inner, here)
        defaults = _add_defaults(document, block.inputs[len(inputs) :], inner, here)
        check_declared(document, [*given, *defaults], inner, here, place, scope)
    wanted: dict[str, list[str]] = {}
    for path in taps:
        first, _, rest = path.partition(".")
        wanted.setdefault(first, [])
        if rest:
            wanted[first].append(rest)
    inner.taps = merge_taps(block.layers, wanted, block.outputs)
    scope.graph.steps.lower_layers(block.layers, inner, here.at("layers"))
    lowered = finish(graph, inner, block.outputs, taps, form, here, block.init)
    return replace(lowered, takes_device=PORT in graph.captures)


def _with_defaults(
    document: Document, given: Mapping[str, Operand], scope: Scope, here: Place
) -> list[Operand]:
    """The inputs that a part is given; what is None, or may be, is as if it were left out."""
    found = []
    for name, operand in given.items():
        default = default_of(document.inputs[name])
        if default is not None and None in operand.facts:
            place = here.at("inputs", name)
            value = evaluate_default(default, None, name, scope, place)
            missing = Comparison(operand.expr, ("is",), (Const(None),))
            absent = tuple(fact is None for fact in operand.facts)
            chosen = value
            if not all(absent):
                chosen = choose(Operand(missing, absent, sized=False), value, operand)
            if not value.static or value.facts[0] is not None:
                operand = scope.graph.assign(name, chosen, place)
                scope.names[name] = Binding(place, operand)
        found.append(operand)
    return found


def _add_defaults(
    document: Document, left_out: Sequence[str], scope: Scope, here: Place
) -> list[Operand]:
    """The inputs that a part is not given, as what their defaults say."""
    found = []
    for name in left_out:
        place = here.at("inputs", name)
        default = default_of(document.inputs[name])
        assert default is not None, "only an input with a default is left out"
        value = evaluate_default(default, None, name, scope, place)
        found.append(scope.graph.assign(name, value, place))
        scope.names[name] = Binding(place, found[-1])
    return found


def fill_args(
    definition: Definition,
    defaults: Mapping[str, object],
    scope: Scope,
    here: Place,
    skip: set[str],
) -> None:
    """The args of a scope: those given, else their defaults, which may use those before them."""
    args = scope.args
    assert isinstance(args, dict), "made by the caller"
    given = dict(args)
    args.clear()
    for name, default in defaults.items():
        if name in skip:
            continue
        operand = given.get(name)
        if operand is None:
            operand = scope.context.unknown
            with scope.context.problems:
                operand = _default(definition, name, default, scope, here)
        if operand.is_unknown:
            args[name] = operand
        else:
            args[name] = scope.context.const(operand.facts[0], name)


def _default(
    definition: Definition, name: str, default: object, scope: Scope, here: Place
) -> Operand:
    at = here.at("args", name)
    if default is None:  # only a spec's own: a block's were asked for before
        help = GiveArg(name, ", or write a default here")
        raise refuse("NS209", f"`{definition.name}` needs `{name}`", at.key_span(), help)
    operand = evaluate_plain(default, scope, at)
    if not operand.static and not operand.is_unknown:
        fact = f"the default of `{name}` is not known when the model is built"
        raise refuse("NS303", fact, at.span())
    return operand


def check_declared(
    document: Document,
    inputs: Sequence[Operand],
    scope: Scope,
    here: Place,
    caller: Place,
    around: Scope,
) -> None:
    """What a part declares of its inputs holds for what it is given. Raises Refused.

    `scope` is the part's own, `around` the one in which it is called.
    """
    free: dict[tuple[int, str], int] = {}
    for (name, declared), operand in zip(document.inputs.items(), inputs, strict=True):
        shape = declared if isinstance(declared, list) else declared.shape
        if operand.is_unknown:
            continue
        if is_collection(operand):
            raise collection_given(around, caller, f"input `{name}` of the part", operand)
        at = here.at("inputs", name)
        sizes = [
            size if _is_free(size) else evaluate_plain(size, scope, at).facts[0] for size in shape
        ]
        for index, fact in enumerate(operand.facts[: scope.context.probes.tried]):
            if fact is None and default_of(declared) is not None:
                continue  # where it is left out
            if not isinstance(fact, TensorType):
                told = f"input `{name}` of the part is not a tensor"
                raise refuse("NS212", told, caller.key_span())
            wanted = [
                free.setdefault((index, str(size)), have) if _is_free(size) else size
                for size, have in zip(sizes, fact.shape, strict=False)
            ]
            if len(shape) != len(fact.shape) or list(fact.shape) != wanted:
                raise rejected(WrongPartInput(around, caller, name, shape, operand))
    letters = dict.fromkeys([name for _, name in free], 0)
    for one in read_stated(document, letters, scope, here):
        for index in range(scope.context.probes.tried):
            own = {name: size for (at_probe, name), size in free.items() if at_probe == index}
            if one.names <= own.keys() and not one.holds(own):
                given = ", ".join(f"{name} = {size}" for name, size in own.items())
                fact = f"the part takes sizes with `{one.text}` only, and is given {given}"
                raise refuse("NS301", fact, caller.key_span())


def _is_free(size: object) -> bool:
    return isinstance(size, str) and not size.startswith("=")
