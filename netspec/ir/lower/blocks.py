"""Blocks and parts: specs inside a spec, each lowered once for the same args and input types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from netspec.errors import did_you_mean
from netspec.ir.graph import Place
from netspec.ir.lower.containers import merge_taps
from netspec.ir.lower.context import Lowered, Operand, Refused, refuse
from netspec.ir.lower.evaluate import evaluate_plain
from netspec.ir.lower.finish import finish
from netspec.ir.lower.instances import GraphInstance
from netspec.ir.lower.reading import arguments
from netspec.ir.lower.scope import Binding, GraphBuilder, Scope, Slot
from netspec.ir.lower.state import lower_after
from netspec.ops.facts import Fact, TensorType, memo_key
from netspec.spec.load import Definition, Spec
from netspec.spec.schema import (
    Block,
    BlockLayer,
    Document,
    Layer,
    SpecLayer,
)  # fmt: skip


def block_instance(layer: BlockLayer, name: str, scope: Scope, place: Place) -> GraphInstance:
    """An instance of a block; its arguments may be values, which become inputs."""
    definition = scope.blocks.get(layer.block)
    if definition is None:
        help = did_you_mean(layer.block, scope.blocks)
        if help is None and scope.blocks:
            help = f"known here: {', '.join(scope.blocks)}"
        raise refuse("NS206", f"there is no block `{layer.block}`", place.at("block").span(), help)
    given = arguments(layer, scope, place)
    return _instance(definition, given, layer, name, scope, place)


def spec_instance(layer: SpecLayer, name: str, scope: Scope, place: Place) -> GraphInstance:
    """Another spec as a part: a block whose text is a file of its own."""
    spec = scope.context.find_spec(layer.spec, place.at("spec"))
    definition = scope.context.parts.get(spec.source.file)
    if definition is None:
        definition = scope.context.parts[spec.source.file] = _as_block(spec)
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
    slot = Slot(name, place, keep=layer.keep)
    scope.holder.add(slot)
    _check_given(definition, given, place)
    extra = {key: operand for key, operand in given.items() if not operand.static}
    constants = {key: operand for key, operand in given.items() if operand.static}

    def lower(inputs: Sequence[Operand], at: Place) -> tuple[Lowered, Sequence[Operand]]:
        if len(inputs) != len(definition.block.inputs):
            fact = (
                f"`{definition.name}` takes {len(definition.block.inputs)} inputs "
                f"({', '.join(definition.block.inputs)}), and {len(inputs)} are given"
            )
            raise refuse("NS212", fact, at.key_span())
        taps = list(scope.taps.get(name, ()))
        lowered = lower_block(
            definition, constants, extra, list(inputs), taps, layer.as_, scope, place, document
        )
        return lowered, [o for o in (*inputs, *extra.values()) if not o.static]

    return GraphInstance(name, slot, lower, scope.graph, lower_after(layer, scope, place))


def _check_given(definition: Definition, given: Mapping[str, Operand], place: Place) -> None:
    known = definition.block.args
    for key in given:
        if key not in known:
            help = did_you_mean(key, known) or (f"it has {', '.join(known)}" if known else None)
            fact = f"`{definition.name}` has no argument `{key}`"
            raise refuse("NS203", fact, place.at(key).key_span(), help)


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
        tuple((k, memo_key(o.facts[0])) for k, o in constants.items()),
        tuple((k, memo_key(o.facts)) for k, o in extra.items()),
        tuple((memo_key(o.facts), o.static, o.sized, o.modal) for o in inputs),
    )  # fmt: skip
    if key in context.memo:
        before = context.memo[key]
        if before is None and key in context.active:
            fact = f"`{definition.name}` contains itself without an end"
            help = "a block that contains itself needs a `when` that ends it"
            raise refuse("NS211", fact, place.key_span(), help)
        if before is None:
            raise Refused
        context.count_layers(before.layers, place)
        context.count_elements(before.elements, place)
        return before
    context.memo[key] = None
    context.active.add(key)
    layers, elements = context.layers, context.elements
    context.enter(definition.name, place)
    try:
        lowered = _lower_block(
            definition, constants, extra, inputs, taps, form, scope, place, document
        )
    finally:
        context.leave()
        context.active.discard(key)
    lowered = replace(lowered, layers=context.layers - layers, elements=context.elements - elements)
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
    graph = GraphBuilder(definition.name, scope.context, definition.source)
    names: dict[str, Binding] = {}
    ports = []
    for name, operand in zip(block.inputs, inputs, strict=True):
        port = graph.add_input(name, operand)
        names[name] = Binding(here.at("inputs"), port)
        ports.append(port)
    args: dict[str, Operand] = dict(constants)
    for name, operand in extra.items():
        port = graph.add_input(name, operand)
        names[name] = Binding(here.at("args", name), port)
    inner = Scope(
        graph, definition.source, args, definition.blocks, None, graph.holder, (),
        isinstance(block.layers, list), names, ports[0] if ports else None,
        ports[0] if ports else None,
    )  # fmt: skip
    fill_args(definition, block.args, inner, here, place, set(extra))
    if document is not None:
        check_declared(document, inputs, inner, here, place)
    wanted: dict[str, list[str]] = {}
    for path in taps:
        first, _, rest = path.partition(".")
        wanted.setdefault(first, [])
        if rest:
            wanted[first].append(rest)
    inner.taps = merge_taps(block.layers, wanted, block.outputs)
    scope.context.steps.lower_layers(block.layers, inner, here.at("layers"))
    return finish(graph, inner, block.outputs, taps, form, here, block.init)


def fill_args(
    definition: Definition,
    defaults: Mapping[str, object],
    scope: Scope,
    here: Place,
    caller: Place,
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
        if operand is None or (operand.facts[0] is None and default is not None):
            if default is None and name not in given:
                fact = f"`{definition.name}` needs `{name}`"
                at = here.at("args", name) if caller.path == ("args",) else caller
                help = f"give `{name}`"
                if caller.path == ("args",):
                    help = f"pass args={{'{name}': …}}, or write a default here"
                raise refuse("NS209", fact, at.key_span(), help)
            operand = evaluate_plain(default, scope, here.at("args", name))
            if not operand.static:
                fact = f"the default of `{name}` is not known when the model is built"
                raise refuse("NS303", fact, here.at("args", name).span())
        args[name] = scope.context.const(operand.facts[0], name)


def check_declared(
    document: Document, inputs: Sequence[Operand], scope: Scope, here: Place, caller: Place
) -> None:
    """What a part declares of its inputs holds for what it is given. Raises Refused."""
    free: dict[str, int] = {}
    for (name, declared), operand in zip(document.inputs.items(), inputs, strict=True):
        shape = declared if isinstance(declared, list) else declared.shape
        fact = operand.facts[0]
        if not isinstance(fact, TensorType):
            raise refuse("NS212", f"input `{name}` of the part is not a tensor", caller.key_span())
        wanted: list[object] = []
        for size, have in zip(shape, fact.shape, strict=False):
            if isinstance(size, str) and not size.startswith("="):
                wanted.append(free.setdefault(size, have))
            else:
                wanted.append(evaluate_plain(size, scope, here.at("inputs", name)).facts[0])
        if len(shape) != len(fact.shape) or list(fact.shape) != wanted:
            text = ", ".join(str(size) for size in shape)
            fact_ = (
                f"`{caller.path[-1]}` takes `{name}` of [{text}], and is given {_shapes(operand)}"
            )
            raise refuse("NS301", fact_, caller.key_span())


def _shapes(operand: Operand) -> str:
    fact: Fact = operand.facts[0]
    return str(list(fact.shape)) if isinstance(fact, TensorType) else str(fact)
