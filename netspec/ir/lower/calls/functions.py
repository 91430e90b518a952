"""Calls of functions and methods of the catalog: checked, and asked for what they give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial

from netspec.errors import Help, did_you_mean
from netspec.ir.expr import Call, Choice, Const, Expr, Method, Training
from netspec.ir.foreign.layers import call_help
from netspec.ir.graph import Place
from netspec.ir.lower.calls.bind import Bound, bind, words_for
from netspec.ir.lower.calls.collected import collection_given, is_collection, with_tensors
from netspec.ir.lower.calls.device import device_of
from netspec.ir.lower.expressions.mends import written_anew
from netspec.ir.lower.refusal import Refused, refuse
from netspec.ir.lower.rejections import RankDiffersAtOne, RejectedCall, passed, rejected
from netspec.ir.lower.scope import Scope
from netspec.ir.lower.session import Context
from netspec.ir.lower.values import Operand, join
from netspec.ops import catalog, meta_eval
from netspec.ops.arguments import Signature
from netspec.ops.catalog import Operator
from netspec.ops.foreign_names import told_of_function
from netspec.ops.gradients import refuses_gradients
from netspec.ops.overwriting import INPLACE, new_memory_name, overwrites, reshapes
from netspec.ops.signatures import signatures_of
from netspec.ops.types import Fact, OperatorRejects, TensorType, contiguous, has_tensor
from netspec.ops.values import MAX_OUTPUTS
from netspec.ops.wrapping import check_wrapped_call
from netspec.ops.writes import written_tensors

MODE, RATE = "training", "dropout_p"


def note_overwriting(
    operator: Operator,
    args: Sequence[Operand],
    kwargs: Mapping[str, Operand],
    context: Context,
    place: Place,
) -> None:
    """Notes that the program overwrites something, if this call does; whether it may is for later.

    Raises Refused (NS406) where it can't be told, or where nothing computes the same elsewhere.
    """
    asked = kwargs.get(INPLACE)
    if asked is not None and not asked.static:
        fact = "whether a value is overwritten has to be known when the model is built"
        raise refuse("NS406", fact, (place.argument(INPLACE) or place).key_span())
    values = [o.facts[0] for o in args]
    if not overwrites(operator, values, {name: o.facts[0] for name, o in kwargs.items()}):
        return
    if catalog.overwrites(operator) and reshapes(operator):
        fact = f"`{operator.name}` changes the shape of its input, not its values"
        twin = operator.name[:-1]
        help = Help(f"write `{twin}`: it copies nothing", operator.name, twin)
        raise refuse("NS406", fact, place.span(), help)
    if catalog.overwrites(operator) and new_memory_name(operator) is None:
        fact = f"`{operator.name}` has no twin that gives the same in new memory"
        raise refuse("NS406", fact, place.span(), written_anew(operator.name, place))
    context.overwrites = True


def find_function(name: str, place: Place) -> Operator:
    """The catalog's function of this name, or Refused (NS206) with near names."""
    operator = catalog.find_function(name)
    if operator is None:
        own = call_help(name, str(place.path[-1])) if place.node is None else None
        help = own or told_of_function(name, place.node is not None)
        at = place.at("call") if place.node is None and place.at("call").exists else None
        span = place.key_span() if at is None else at.span()
        raise refuse("NS206", f"there is no function `{name}`", span, help)
    return operator


def call_function(
    name: str,
    args: Sequence[Operand],
    kwargs: Mapping[str, Operand],
    scope: Scope,
    place: Place,
    spread: bool = False,
) -> Operand:
    """A call of a function of the catalog: its arguments checked, its result's facts found."""
    operator = find_function(name, place)
    signatures = signatures_of(operator)
    replaced = with_tensors(signatures, name, args, kwargs, scope, place, spread)
    if replaced is not None:
        raise replaced.refused
    bound = bind(signatures, name, args, kwargs, place, spread)
    if _follows_mode(signatures) and not bound.gives(MODE):
        kwargs = {**kwargs, MODE: _training(scope)}
        bound = bind(signatures, name, args, kwargs, place, spread)
    if bound.is_unknown:
        return scope.context.unknown
    bound = _on_device(_without_rate_in_eval(bound, scope, place), signatures, scope)
    return _result(operator, bound, signatures, scope, place)


def call_method(
    name: str,
    receiver: Operand,
    args: Sequence[Operand],
    kwargs: Mapping[str, Operand],
    scope: Scope,
    place: Place,
) -> Operand:
    """`x.masked_fill(mask, 0)`: a method of the catalog on a tensor."""
    if is_collection(receiver):
        raise collection_given(scope, place, f"`.{name}()`", receiver)
    if not receiver.is_tensor and not receiver.is_unknown:
        fact = f"`.{name}()` is a tensor's method, and this is {words_for(receiver)}"
        raise refuse("NS304", fact, place.span())
    operator = catalog.find_method(name)
    if operator is None:
        help = did_you_mean(name, catalog.method_names())
        raise refuse("NS206", f"a tensor has no method `{name}` for specs", place.key_span(), help)
    signatures = signatures_of(operator)
    replaced = with_tensors(signatures, name, (receiver, *args), kwargs, scope, place)
    if replaced is not None:
        raise replaced.refused
    bound = bind(signatures, name, (receiver, *args), kwargs, place)
    if bound.is_unknown:
        return scope.context.unknown
    return _result(operator, bound, signatures, scope, place)


def _follows_mode(signatures: Sequence[Signature]) -> bool:
    return any(p.name == MODE for s in signatures for p in s.parameters)


def _without_rate_in_eval(bound: Bound, scope: Scope, place: Place) -> Bound:
    """A `dropout_p` without `training` beside it is 0 in eval mode, however it is passed.

    One that is made of the mode already says what it is in which.
    """
    if not bound.gives(RATE) or bound.gives(MODE):
        return bound
    changed = [
        _off_in_eval(operand, scope, place.positional(i) or place) if name == RATE else operand
        for i, (name, operand) in enumerate(zip(bound.names, bound.args, strict=False))
    ]
    named = [
        (name, _off_in_eval(o, scope, place.argument(RATE) or place) if name == RATE else o)
        for name, o in bound.kwargs
    ]
    return replace(bound, args=(*changed, *bound.args[len(changed) :]), kwargs=tuple(named))


def _off_in_eval(rate: Operand, scope: Scope, place: Place) -> Operand:
    """`p if self.training else 0.0`. torch looks at a rate in train mode alone, so it is here."""
    number = rate.facts[0]
    by_mode = rate.modal and not scope.context.probes.asks_given(rate)
    if type(number) not in (int, float) or by_mode or (rate.static and number == 0):
        return rate
    if not 0 <= number <= 1:  # type: ignore[operator]
        fact = f"`{RATE}` is a probability, from 0 to 1, and this is {number}"
        raise refuse("NS205", fact, place.span())
    mode = _training(scope)
    values = tuple(p if on else 0.0 for p, on in zip(rate.facts, mode.facts, strict=True))
    expr = Choice(mode.expr, rate.expr, Const(0.0))
    return Operand(expr, values, sized=rate.sized, modal=True)


def _training(scope: Scope) -> Operand:
    modes = tuple(probe.training for probe in scope.context.probes)
    return Operand(Training(), modes, sized=False, modal=True)


def _on_device(bound: Bound, signatures: Sequence[Signature], scope: Scope) -> Bound:
    """A factory inside of `forward` makes its tensor where the first input is."""
    if any(has_tensor(f) for o in bound.operands() for f in o.facts):
        return bound
    if not any(p.name == "device" for s in signatures for p in s.parameters):
        return bound
    device = None if "device" in dict(bound.kwargs) else device_of(scope)
    if device is None:
        return bound
    return replace(bound, kwargs=(*bound.kwargs, ("device", device)))


def _result(
    operator: Operator,
    bound: Bound,
    signatures: Sequence[Signature],
    scope: Scope,
    place: Place,
) -> Operand:
    def run(index: int, left_out: str | None = None, called: Bound = bound) -> Fact:
        args = tuple([o.facts[index] for o in called.args])
        kwargs = tuple([(n, o.facts[index]) for n, o in called.kwargs if n != left_out])
        _check_count(operator, bound, index, signatures, place)
        found = meta_eval.run_function(operator, args, kwargs)
        check_wrapped_call(operator, {n: o.facts[index] for n, o in called.named()})
        return found

    def writes(called: Bound) -> bool:
        args = tuple([o.facts[0] for o in called.args])
        named = {name: o.facts[0] for name, o in called.kwargs}
        return bool(written_tensors(operator.target, args, named))

    def refuses(called: Bound) -> bool:
        return refuses_gradients(operator.key, operator.target, *called.at(0))

    def refusal(index: int, error: OperatorRejects) -> Refused:
        def accepts_without(name: str) -> bool:
            try:
                run(index, name)
            except OperatorRejects:
                return False
            return name in dict(bound.kwargs)

        given = passed(bound, signatures[0])
        name = operator.name
        return rejected(
            RejectedCall(scope, place, name, given, index, error, None, accepts_without)
        )

    note_overwriting(operator, bound.args, dict(bound.kwargs), scope.context, place)
    train = _in_train_mode(bound)
    given, in_train = bound.operands(), partial(run, called=train) if train else None
    scope.context.probes.note_numbers(given)
    found = scope.context.probes.ask(run, refusal, in_train, given)
    both = (bound,) if train is None else (bound, train)
    scope.context.overwrites |= any(map(writes, both))
    scope.context.refuses_gradients |= any(map(refuses, both))
    _check_rank(operator, bound, found, scope, place)
    if scope.entry is None:
        scope.context.bounds.check_made(found[0], place)
    exprs: tuple[Expr, ...] = tuple(o.expr for o in bound.args)
    named = tuple((name, o.expr) for name, o in bound.kwargs)
    sized, modal = join(bound.operands())
    expr: Expr
    if operator.home == "Tensor":
        expr = Method(operator.name, exprs[0], exprs[1:], named)
    else:
        expr = Call(operator, exprs, named)
    return Operand(expr, found, sized or any(map(has_tensor, found)), modal)


def _check_rank(
    operator: Operator, bound: Bound, found: tuple[Fact, ...], scope: Scope, place: Place
) -> None:
    """The result has as many dimensions where a free size is 1. Raises Refused (NS303)."""
    twin, ones = scope.context.probes.twin, scope.context.probes.at_ones
    pairs = list(dict.fromkeys(p for o in bound.operands() for p in _free_in(o, twin)))

    def differs(some: list[tuple[int, int]]) -> bool | None:
        args = tuple([_with_ones(o, some, twin) for o in bound.args])
        kwargs = tuple([(name, _with_ones(o, some, twin)) for name, o in bound.kwargs])
        try:
            return _rank(meta_eval.run_function(operator, args, kwargs)) != _rank(found[0])
        except OperatorRejects:
            return None

    if not pairs or not isinstance(found[0], TensorType):
        return
    any_differs = differs(pairs) if ones is None else _rank(found[ones]) != _rank(found[0])
    if any_differs is False:
        return
    one = next((pair for pair in pairs if differs([pair])), None)
    if one is not None:
        tensor = next(o for o in bound.operands() if one in _free_in(o, twin))
        takes_dim = any(p.name == "dim" for s in signatures_of(operator) for p in s.parameters)
        raise rejected(RankDiffersAtOne(scope, place, operator.name, tensor, one, takes_dim))


def _rank(fact: Fact) -> int | None:
    return len(fact.shape) if isinstance(fact, TensorType) else None


def _free_in(operand: Operand, twin: int) -> list[tuple[int, int]]:
    """The free sizes of a tensor: what they are at the first probe, and at its twin."""
    fact, other = operand.facts[0], operand.facts[twin]
    if not isinstance(fact, TensorType) or not isinstance(other, TensorType):
        return []
    return [pair for pair in zip(fact.shape, other.shape, strict=False) if pair[0] != pair[1]]


def _with_ones(operand: Operand, pairs: Sequence[tuple[int, int]], twin: int) -> Fact:
    """The operand's fact with 1 in the place of these free sizes."""
    fact, other = operand.facts[0], operand.facts[twin]
    if not isinstance(fact, TensorType) or not isinstance(other, TensorType):
        return fact
    sizes = zip(fact.shape, other.shape, strict=False)
    shape = tuple([1 if size in pairs else size[0] for size in sizes])
    return contiguous(shape, fact.dtype)


def _in_train_mode(bound: Bound) -> Bound | None:
    """The call as it is in train mode; None where nothing of it follows the mode."""
    if not any(o.modal for o in bound.operands()):
        return None
    args = tuple([_trained(o) for o in bound.args])
    return Bound(args, tuple([(name, _trained(o)) for name, o in bound.kwargs]), bound.names)


def _trained(operand: Operand) -> Operand:
    match operand.expr:
        case Training():
            return replace(operand, facts=(True,) * len(operand.facts))
        case Choice(Training(), Const(value)):
            return replace(operand, facts=(value,) * len(operand.facts))
        case _:
            return operand


def _check_count(
    operator: Operator, bound: Bound, index: int, signatures: Sequence[Signature], place: Place
) -> None:
    """Bound the outputs of `unbind` and the like before torch makes them."""
    if operator.name not in _COUNTING and not _gives_list(operator.name):
        return
    named = {name: o.facts[index] for name, o in bound.named()}
    count = _count_of_outputs(operator, named, signatures)
    most = MAX_OUTPUTS
    if count is not None and count > most:
        fact = f"`{operator.name}` gives {count:,} outputs, {most:,} are allowed"
        raise refuse("NS217", fact, place.span())


def _count_of_outputs(
    operator: Operator, named: Mapping[str, Fact], signatures: Sequence[Signature]
) -> int | None:
    """How many tensors a call gives, or makes on its way; None where that is no question.

    Where it splits along a dimension, that one's size decides; lists are bounded by their lengths.
    """
    tensor = next(iter(named.values()), None)
    if not isinstance(tensor, TensorType):
        return None
    numbers = [v for name, v in named.items() if name != "dim" and type(v) is int and v > 0]
    if operator.name in _COUNTING:
        return max(numbers, default=0)
    others = list(named.values())[1:]
    if any(isinstance(v, (TensorType, tuple)) for v in others):
        return None
    defaults = [p.default for s in signatures for p in s.parameters if p.name == "dim"]
    dim = named.get("dim", defaults[0] if defaults else None)
    size = max(tensor.shape, default=0)
    if type(dim) is int and -len(tensor.shape) <= dim < len(tensor.shape):
        size = tensor.shape[dim]
    if operator.name in _CHUNKS:
        return min([size, *numbers])
    return -(-size // max([1, *numbers]))


# They take a number of parts, and make as many whatever the sizes of their input are.
_COUNTING = ("tensor_split", "hsplit", "vsplit", "dsplit", "combinations", "mvlgamma")
_CHUNKS = ("chunk", "unsafe_chunk")  # of at least one element each


@cache
def _gives_list(name: str) -> bool:
    schemas = catalog.schemas_of(name)
    return any(
        "Tensor[]" in str(r.type) or "List[Tensor]" in str(r.type)
        for s in schemas
        for r in s.returns
    )
