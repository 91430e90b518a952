"""`init` and `freeze`: of a layer, of classes of layers, of paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from netspec.errors import Help, did_you_mean
from netspec.ir.expr import Const, Expr, Value
from netspec.ir.graph import Freeze, Init, InitRule, Place
from netspec.ir.lower.calls.bind import bind
from netspec.ir.lower.expressions.evaluate import evaluate_plain, static_value
from netspec.ir.lower.layers.parameter_rows import part_of, rows_of
from netspec.ir.lower.refusal import Refused, refuse
from netspec.ir.lower.rejections import RejectedInit, rejected
from netspec.ir.lower.scope import Scope
from netspec.ir.lower.values import Operand
from netspec.language.schema import BufferLayer, Layer, ParamLayer
from netspec.ops import catalog, meta_eval
from netspec.ops.catalog import Operator
from netspec.ops.signatures import signatures_of
from netspec.ops.types import Fact, OperatorRejects, contiguous

_MOST_NAMES = 20  # of parameters, in a message


def lower_after(layer: Layer, scope: Scope, place: Place) -> tuple[Init | Freeze, ...]:
    """`init` and `freeze` of a layer: what happens right after it was made."""
    steps: list[Init | Freeze] = []
    if layer.init is not None:
        if isinstance(layer, (ParamLayer, BufferLayer)):
            steps.append(_init((), layer.init, scope, place.at("init")))
        elif isinstance(layer.init, str):
            fact = "`init` of this layer is a mapping from a parameter to a function"
            help = f"write `init: {{weight: {layer.init}}}`"
            raise refuse("NS205", fact, place.at("init").span(), help)
        else:
            of_parameters = [
                _of_parameter(name, call, scope, place.at("init", name))
                for name, call in layer.init.items()
            ]
            _check_order(of_parameters)
            steps += of_parameters
    if static_value(layer.freeze, scope, place.at("freeze"), "`freeze`"):
        steps.append(Freeze())
    return tuple(steps)


def _of_parameter(name: str, call: object, scope: Scope, place: Place) -> Init:
    """`weight: zeros_`, `"weight[0]": zeros_`, `fc.weight: {normal_: {std: 0.02}}`."""
    target, rows = rows_of(name, scope, place)
    return replace(_init(tuple(target.split(".")), call, scope, place), rows=rows, place=place)


def _check_order(steps: Sequence[Init]) -> None:
    """Refuses rows that are initialised before the whole is: nothing would be left of them."""
    for index, step in enumerate(steps):
        later = (other for other in steps[index:] if other.rows is None)
        if step.rows is not None and any(other.target == step.target for other in later):
            name = ".".join(step.target)
            fact = f"`{name}` as a whole is initialised later, which overwrites these rows"
            assert step.place is not None, "what a text says has a place"
            raise refuse("NS218", fact, step.place.key_span(), f"write `{name}` before its rows")


def _init(target: tuple[str, ...], call: object, scope: Scope, place: Place) -> Init:
    operator, kwargs = init_call(call, scope, place)
    return Init(target, operator, kwargs)


def init_call(
    call: object, scope: Scope, place: Place
) -> tuple[Operator, tuple[tuple[str, Expr], ...]]:
    """`zeros_` or `{normal_: {std: 0.02}}` → the function and its arguments."""
    arguments: Mapping[str, object] = {}
    if isinstance(call, str):
        name = call
    elif isinstance(call, Mapping) and len(call) == 1:
        ((name, given),) = call.items()
        if given is not None and not isinstance(given, Mapping):
            fact = f"the arguments of `{name}` are a mapping"
            raise refuse("NS205", fact, place.at(name).span(), f"write `{name}: {{std: 0.02}}`")
        arguments = given or {}
        place = place.at(name)
    else:
        raise refuse("NS205", "`init` names one function of torch.nn.init", place.span())
    operator = catalog.find_init(name)
    if operator is None:
        help = did_you_mean(name, catalog.init_names())
        if catalog.find_init(f"{name}_") is not None:
            help = Help(
                f"write `{name}_`: these functions overwrite the parameter", name, f"{name}_"
            )
        span = place.key_span() if not isinstance(call, str) else place.span()
        raise refuse("NS206", f"torch.nn.init has no `{name}`", span, help)
    named = {key: evaluate_plain(v, scope, place.at(key)) for key, v in arguments.items()}
    for key, operand in named.items():
        if operand.is_unknown:
            raise Refused
        if not operand.static:
            raise refuse("NS303", f"`{key}` must be known when the model is built", place.span())
    tensor = Operand(Value(-1), (contiguous((2, 2), torch.float32),) * len(scope.context.probes))
    bound = bind(signatures_of(operator), name, (tensor,), named, place, spread=True)
    return operator, tuple(
        (key, named[key].expr) for key, _ in bound.kwargs if key in named
    ) or tuple((key, operand.expr) for key, operand in named.items())


def check_init(step: Init, known: Mapping[str, Fact], name: str, place: Place) -> None:
    """The parameter is there, and the function takes one of its shape. Raises Refused."""
    target = ".".join(step.target)
    fact = known.get(target)
    at = step.place or place.at("init")
    if fact is None:
        few = len(known) <= _MOST_NAMES
        help = did_you_mean(target, known) or (f"it has {', '.join(known)}" if few else None)
        raise refuse("NS206", f"`{name}` has no parameter `{target}`", at.key_span(), help)
    if step.rows is not None:
        part = part_of(fact, step.rows)
        if part is None:
            size = list(getattr(fact, "shape", ()))
            fact_ = f"`{target}` is {size}, and has no such rows"
            raise refuse("NS301", fact_, at.key_span())
        fact = part
    kwargs = tuple((key, v.value) for key, v in step.kwargs if isinstance(v, Const))
    try:
        meta_eval.run_function(step.operator, (fact,), kwargs)
    except OperatorRejects as error:
        init = RejectedInit(at, target or name, step.operator.name, fact, error)
        raise rejected(init) from None


def lower_rules(
    rules: Mapping[str, object] | None, scope: Scope, place: Place
) -> tuple[InitRule, ...]:
    """The `init` of a spec or block: `{Linear.weight: zeros_}`, or `{Linear: {weight: zeros_}}`."""
    found: list[InitRule] = []
    for key, value in (rules or {}).items():
        cls, _, parameter = key.partition("[")[0].partition(".")
        operator = catalog.find_module(cls)
        at = place.at("init", key)
        if operator is None and cls in scope.names:
            continue  # the path of a layer
        if operator is None:
            help = did_you_mean(cls, [*catalog.module_names(), *scope.names])
            raise refuse("NS206", f"there is no module and no layer `{cls}`", at.key_span(), help)
        if parameter:
            calls: Mapping[str, object] = {parameter: value}
        elif isinstance(value, Mapping):
            calls = value
        else:
            help = f"write `{cls}.weight: {value}`"
            raise refuse("NS205", f"`{key}` names no parameter", at.key_span(), help)
        for name, call in calls.items():
            where = at if parameter else at.at(name)
            init, kwargs = init_call(call, scope, where)
            found.append(InitRule(operator, name, init, kwargs, place=where))
    return tuple(found)


def lower_paths(rules: Mapping[str, object] | None, scope: Scope, place: Place) -> tuple[Init, ...]:
    """Of the `init` of a spec or block what names layers: `{fc.weight: zeros_}`.

    A layer whose `when` is false has nothing to initialise.
    """
    found: list[Init] = []
    for key, value in (rules or {}).items():
        at = place.at("init", key)
        first = key.partition(".")[0].partition("[")[0]
        binding = scope.names.get(first)
        if catalog.find_module(first) is not None or (binding is not None and binding.absent):
            continue
        if isinstance(value, Mapping) and not any(map(catalog.find_init, value)):
            found += [_of_parameter(f"{key}.{k}", v, scope, at.at(k)) for k, v in value.items()]
        else:
            found.append(_of_parameter(key, value, scope, at))
    _check_order(found)
    return tuple(found)
