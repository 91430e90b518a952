"""Nested layers, blocks and parts: each a graph of its own, or a chain that needs none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from netspec.errors import did_you_mean
from netspec.ir.expr import Item, Value
from netspec.ir.graph import Place
from netspec.ir.lower import layers as lowering
from netspec.ir.lower.context import Lowered, Operand, Refused, refuse
from netspec.ir.lower.evaluate import evaluate_plain
from netspec.ir.lower.finish import finish
from netspec.ir.lower.instances import GraphInstance, ListInstance
from netspec.ir.lower.scope import Binding, GraphBuilder, Holder, Scope, Slot
from netspec.ir.lower.state import lower_after
from netspec.ops.facts import Fact, TensorType, memo_key
from netspec.spec.load import Definition
from netspec.spec.schema import (
    Block,
    BlockLayer,
    CallLayer,
    ContainerLayer,
    Document,
    Layer,
    SpecLayer,
    UseLayer,
    ValueLayer,
)  # fmt: skip

Layers = Sequence[Layer] | Mapping[str, Layer]


def class_name(name: str) -> str:
    """`layer1` → `Layer1`, `dense_block` → `DenseBlock`, for the class of a nested container."""
    words = name.replace("-", "_").split("_")
    joined = "".join(word[:1].upper() + word[1:] for word in words)
    return joined if joined[:1].isalpha() else f"Layers{joined}"


def registers(layer: Layer) -> bool:
    """Whether a layer may put a child anywhere, in whatever form; else it needs no module."""
    match layer:
        case CallLayer() | ValueLayer() | UseLayer():
            return False
        case ContainerLayer(as_=None):
            return any(registers(child) for _, child in lowering.items_of(layer.layers))
        case _:
            return True


def is_transparent(layer: ContainerLayer) -> bool:
    """Whether the children live in the graph around: `as: inline`, or none is registered."""
    if layer.as_ == "inline":
        return True
    return layer.as_ is None and not registers(layer)


def inner_taps(scope: Scope, name: str) -> dict[str, list[str]]:
    """What is read from inside of `name`, by the first part of the path within it."""
    found: dict[str, list[str]] = {}
    for path in scope.taps.get(name, ()):
        first, _, rest = path.partition(".")
        found.setdefault(first, [])
        if rest:
            found[first].append(rest)
    return found


def merge_taps(
    layers: Layers, wanted: Mapping[str, list[str]], outputs: object
) -> dict[str, list[str]]:
    """The paths into each layer that anything here reads, with those that are wanted from above."""
    found: dict[str, list[str]] = {}
    for path in [*_dotted(layers), *_dotted_outputs(outputs)]:
        first, _, rest = path.partition(".")
        if rest not in found.setdefault(first, []):
            found[first].append(rest)
    for first, rests in wanted.items():
        mine = found.setdefault(first, [])
        mine += [rest for rest in rests if rest not in mine]
    return found


def _dotted(layers: Layers) -> list[str]:
    found: list[str] = []
    for _, layer in lowering.items_of(layers):
        names = layer.from_ if isinstance(layer.from_, list) else [layer.from_ or ""]
        found += [name for name in names if "." in name and not name.startswith("=")]
        if isinstance(layer, ContainerLayer):
            own = {str(key) for key, _ in lowering.items_of(layer.layers)}
            found += [p for p in _dotted(layer.layers) if p.partition(".")[0] not in own]
    return found


def _dotted_outputs(outputs: object) -> list[str]:
    if isinstance(outputs, str):
        return [outputs] if "." in outputs and not outputs.startswith("=") else []
    items = outputs.values() if isinstance(outputs, dict) else outputs or ()
    return [path for item in items for path in _dotted_outputs(item)]  # type: ignore[attr-defined]


def lower_inline(
    layer: ContainerLayer, name: str, scope: Scope, place: Place, inputs: list[Operand]
) -> Operand:
    """A container without a module of its own: its layers, in the graph around."""
    if len(inputs) > 1:
        raise refuse(
            "NS212", f"`{name}` takes one input, and {len(inputs)} are given", place.key_span()
        )
    shares = layer.as_ == "inline"
    inner = Scope(
        scope.graph, scope.source, scope.args, scope.blocks, scope,
        scope.holder if shares else Holder(), scope.prefix,
        (shares and scope.numbered) or isinstance(layer.layers, list), {}, inputs[0], scope.entry,
        merge_taps(layer.layers, inner_taps(scope, name), None), scope.ties, scope.indexed,
    )  # fmt: skip
    lowering.lower_layers(layer.layers, inner, place.at("layers"))
    bind_inner(inner, name, scope)
    if inner.previous is None or _any_refused(inner):
        raise Refused
    return inner.previous


def bind_inner(inner: Scope, name: str, scope: Scope) -> None:
    """The wanted names of a transparent container, under their paths."""
    for path in scope.taps.get(name, ()):
        if path in inner.names:
            scope.names[f"{name}.{path}"] = inner.names[path]


def _any_refused(scope: Scope) -> bool:
    return any(binding.refused for binding in scope.names.values())


def container_instance(
    layer: ContainerLayer, name: str, scope: Scope, place: Place
) -> GraphInstance:
    """Nested layers as a module of their own, which may read values from around them."""
    slot = Slot(name, place, keep=layer.keep)
    scope.holder.add(slot)

    def lower(inputs: Sequence[Operand], at: Place) -> tuple[Lowered, Sequence[Operand]]:
        if len(inputs) != 1:
            fact = f"`{name}` takes one input, and {len(inputs)} are given"
            raise refuse("NS212", fact, at.key_span(), "its layers read other values by name")
        graph, inner = nested_graph(layer.layers, name, scope, place, list(inputs))
        try:
            lowering.lower_layers(layer.layers, inner, place.at("layers"))
            lowered = finish(graph, inner, None, list(scope.taps.get(name, ())), layer.as_, place)
        finally:
            scope.context.leave()
        return lowered, graph.sources

    return GraphInstance(name, slot, lower, scope.graph, lower_after(layer, scope, place))


def _label(name: str, scope: Scope) -> str:
    """What a container is called after: itself, or where it is numbered the one around it."""
    if not name.isdigit() or not scope.label:
        return name
    return scope.label if scope.copies else f"{scope.label}{name}"


def nested_graph(
    layers: Layers | None, name: str, scope: Scope, place: Place, inputs: list[Operand]
) -> tuple[GraphBuilder, Scope]:
    """A new graph inside of this scope's, with ports for the inputs; and its scope."""
    context = scope.context
    context.enter(name, place)
    graph = GraphBuilder(class_name(_label(name, scope)), context, scope.source, scope)
    graph.at = scope.part(name).path
    names = ["x", "y", "z"]
    ports = []
    for index, operand in enumerate(inputs):
        port = graph.add_input(names[index] if index < 3 else f"x{index}", operand)
        if isinstance(operand.expr, Value) and isinstance(port.expr, Value):
            graph.captures[("value", operand.expr)] = port.expr
        ports.append(port)
    wanted = inner_taps(scope, name)
    taps = merge_taps(layers, wanted, None) if layers is not None else wanted
    inner = Scope(
        graph, scope.source, scope.args, scope.blocks, scope, graph.holder, (),
        isinstance(layers, list), {}, ports[0], ports[0], taps,
    )  # fmt: skip
    inner.ports = ports
    inner.label = _label(name, scope)
    return graph, inner


def list_instance(layer: ContainerLayer, name: str, scope: Scope, place: Place) -> ListInstance:
    """`as: list`: an nn.ModuleList of declared children (or a ParameterList of parameters)."""
    slot = Slot(name, place, keep=layer.keep)
    scope.holder.add(slot)
    inner = list_scope(scope, name)
    for key, child in lowering.items_of(layer.layers):
        at = place.at("layers", key)
        try:
            lowering.declare_child(child, str(key), inner, at)
        except Refused as refused:
            scope.context.report(refused)
            inner.names[inner.last_name or str(key)] = Binding(at, refused=True)
    return close_list(inner, name, slot, scope, place)


def list_scope(scope: Scope, name: str) -> Scope:
    """The scope in which the children of a list are declared."""
    inner = Scope(
        scope.graph, scope.source, scope.args, scope.blocks, scope, Holder(), scope.part(name).path,
        True, {}, None, scope.entry, {}, scope.ties, True,
    )  # fmt: skip
    inner.label = name
    return inner


def close_list(inner: Scope, name: str, slot: Slot, scope: Scope, place: Place) -> ListInstance:
    """The list of what its scope declared; all parameters, or none."""
    bindings = [inner.names[str(i)] for i in range(inner.holder.counter) if str(i) in inner.names]
    parameters = [isinstance(b.value, Operand) and b.instance is None for b in bindings]
    if any(parameters) and not all(parameters):
        fact = f"`{name}` mixes parameters and modules"
        raise refuse("NS218", fact, place.key_span(), "a list holds modules, or parameters")
    slot.holder = inner.holder
    return ListInstance(name, bindings, scope.part(name).path, slot)


def block_instance(layer: BlockLayer, name: str, scope: Scope, place: Place) -> GraphInstance:
    """An instance of a block; its arguments may be values, which become inputs."""
    definition = scope.blocks.get(layer.block)
    if definition is None:
        help = did_you_mean(layer.block, scope.blocks)
        if help is None and scope.blocks:
            help = f"known here: {', '.join(scope.blocks)}"
        raise refuse("NS206", f"there is no block `{layer.block}`", place.at("block").span(), help)
    given = lowering.arguments(layer, scope, place)
    return _instance(definition, given, layer, name, scope, place)


def spec_instance(layer: SpecLayer, name: str, scope: Scope, place: Place) -> GraphInstance:
    """Another spec as a part: a block whose text is a file of its own."""
    spec = scope.context.find_spec(layer.spec, place.at("spec"))
    document = spec.document
    block = Block(
        args=document.args, inputs=list(document.inputs), layers=document.layers,
        outputs=document.outputs, init=document.init,
    )  # fmt: skip
    definition = Definition(spec.name, block, spec.source, (), spec.blocks)
    given = lowering.arguments(layer, scope, place)
    return _instance(definition, given, layer, name, scope, place, document)


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
    lowering.lower_layers(block.layers, inner, here.at("layers"))
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


def bind_taps(binding: Binding, value: Operand, scope: Scope, place: Place) -> Operand:
    """Names the inner values that a call gives beside its own: `layer4.1.sum`."""
    instance = binding.instance
    if not isinstance(instance, GraphInstance) or not instance.taps:
        return value
    paths = list(scope.taps.get(instance.name, ()))
    assert isinstance(value.expr, Item), "a call with taps gives a tuple"
    value = replace(value, expr=value.expr.of)
    main, *taps = scope.graph.unpack(
        [instance.name, *(f"{instance.name}.{path}" for path in paths)],
        value, [value, *instance.taps], place,
    )  # fmt: skip
    for path, tap in zip(paths, taps, strict=True):
        scope.names[f"{instance.name}.{path}"] = Binding(place, tap)
    return main
