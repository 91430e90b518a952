"""Arguments → the call that an operator's signature allows; every name and type is checked here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from netspec.errors import did_you_mean
from netspec.ir.expr import Const, ListOf
from netspec.ir.graph import Place
from netspec.ir.lower.context import Operand, Refused, join, refuse
from netspec.ops.arguments import (
    DEVICE,
    TENSOR,
    TENSORS,
    Either,
    Kind,
    Misfit,
    Parameter,
    SequenceOf,
    Signature,
    describe,
    fit,
)  # fmt: skip
from netspec.ops.facts import Fact, TensorType


@dataclass(frozen=True, slots=True)
class Bound:
    """Operands in the order and by the names in which they are passed."""

    args: tuple[Operand, ...]
    kwargs: tuple[tuple[str, Operand], ...]
    names: tuple[str, ...] = ()  # of the positional ones

    def operands(self) -> list[Operand]:
        return [*self.args, *(operand for _, operand in self.kwargs)]


class _NoMatch(Exception):
    def __init__(self, rank: int, code: str, fact: str, key: str | None, help: str | None) -> None:
        super().__init__(fact)
        self.rank = rank
        self.code = code
        self.fact = fact
        self.key = key
        self.help = help


def bind(
    signatures: Sequence[Signature],
    what: str,
    args: Sequence[Operand],
    kwargs: Mapping[str, Operand],
    place: Place,
    spread: bool = False,
) -> Bound:
    """The operands as the first signature that takes them wants them.

    With `spread`, `args` are a layer's inputs: they fill the first parameters that no name gives
    and that take a tensor, or all go into the first if that is a list of tensors.
    Raises Refused (NS203 unknown, NS204 missing, NS205 ill-typed, NS212 too many inputs).
    """
    worst: _NoMatch | None = None
    for signature in signatures:
        try:
            if spread:
                return _bind_inputs(signature, what, args, kwargs)
            return _bind_given(signature, what, args, kwargs)
        except _NoMatch as error:
            if worst is None or error.rank > worst.rank:
                worst = error
    assert worst is not None, f"`{what}` has no signature"
    raise _refusal(worst, signatures, place)


def _refusal(error: _NoMatch, signatures: Sequence[Signature], place: Place) -> Refused:
    span = place.span()
    if error.key is not None:
        at = next((p for p in (place.at(error.key), place.at("args", error.key)) if p.exists), None)
        if at is not None:
            span = at.span() if error.code == "NS205" else at.key_span()
    help = error.help
    if error.code == "NS203" and error.key is not None:
        known = [p.name for s in signatures for p in s.parameters]
        help = did_you_mean(error.key, dict.fromkeys(known)) or help
    return refuse(error.code, error.fact, span, help)


def _fitted(
    parameter: Parameter, operand: Operand, what: str, key: str | None, rank: int
) -> Operand:
    value = fit(parameter, _marker(operand))
    if isinstance(value, Misfit):
        given = f"`{parameter.name}` of `{what}` is {words_for(operand)}"
        fact = f"{given}, and {value.expected} is expected"
        raise _NoMatch(rank, "NS205", fact, key, None)
    if isinstance(operand.expr, Const) and value is not operand.facts[0]:
        origin = operand.expr.origin
        return Operand(Const(value, origin), (value,) * len(operand.facts), sized=False)
    return operand


def _marker(operand: Operand) -> object:
    return _mark(operand.facts[0])


def _mark(fact: Fact) -> object:
    if isinstance(fact, TensorType):
        return TENSOR
    if isinstance(fact, torch.device):
        return DEVICE
    if isinstance(fact, tuple):
        marks = tuple(_mark(item) for item in fact)
        return TENSORS if marks and all(mark is TENSOR for mark in marks) else marks
    return fact


def words_for(operand: Operand) -> str:
    """What an operand is, in words for a message."""
    fact = operand.facts[0]
    match _mark(fact):
        case mark if mark is TENSOR:
            return "a tensor"
        case mark if mark is TENSORS:
            return "a tuple of tensors"
        case None:
            return "null"
        case bool() as value:
            return f"`{str(value).lower()}`"
        case str() as value:
            return f'the text "{value}"'
        case tuple():
            return f"`{_shown(fact)}`"
        case value:
            return f"`{value}`"


def _shown(fact: Fact) -> str:
    if isinstance(fact, tuple):
        return f"[{', '.join(_shown(item) for item in fact)}]"
    return "tensor" if isinstance(fact, TensorType) else str(fact)


def _bind_inputs(
    signature: Signature, what: str, inputs: Sequence[Operand], kwargs: Mapping[str, Operand]
) -> Bound:
    """Inputs first, then the arguments by name; positional as far as a person would write it."""
    known = {p.name: p for p in signature.parameters}
    for name in kwargs:
        if name not in known:
            raise _NoMatch(1, "NS203", f"`{what}` has no argument `{name}`", name, None)
    given: dict[str, Operand] = {}
    rest = list(inputs)
    open_parameters = [p for p in signature.parameters if p.name not in kwargs]
    first = open_parameters[0] if open_parameters else None
    if first is not None and rest and _takes_list(first) and all(o.is_tensor for o in rest):
        given[first.name] = _listed(rest)
        rest = []
    for parameter in open_parameters:
        if not rest:
            break
        if parameter.keyword_only or not _takes(parameter, rest[0]):
            continue
        given[parameter.name] = rest.pop(0)
    if rest and signature.star is None and isinstance(rest[0].facts[0], tuple):
        fact = f"`{what}` takes tensors, and an input is {words_for(rest[0])}"
        raise _NoMatch(2, "NS212", fact, "from", "take an item of it: `from: =name[0]`")
    if rest and signature.star is None:
        fact = (
            f"`{what}` takes {_count(len(given), 'input')} here, and {len(inputs)} {_are(inputs)}"
        )
        raise _NoMatch(2, "NS212", fact, "from", None)
    return _arrange(signature, what, given, kwargs, rest)


def _arrange(
    signature: Signature,
    what: str,
    given: Mapping[str, Operand],
    kwargs: Mapping[str, Operand],
    star: Sequence[Operand],
) -> Bound:
    args: list[Operand] = []
    names: list[str] = []
    by_name: list[tuple[str, Operand]] = []
    in_order = True
    for parameter in signature.parameters:
        name = parameter.name
        operand = given.get(name, kwargs.get(name))
        if operand is None:
            if parameter.required:
                fact = f"`{what}` needs `{name}`, {describe(parameter.accepts)}"
                raise _NoMatch(3, "NS204", fact, None, None)
            in_order = False
            continue
        operand = _fitted(parameter, operand, what, name if name in kwargs else None, 4)
        in_order = in_order and not parameter.keyword_only
        if in_order and (parameter.required or name in given or star):
            args.append(operand)
            names.append(name)
        else:
            in_order = False
            by_name.append((name, operand))
    return Bound((*args, *star), tuple(by_name), tuple(names))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _are(given: Sequence[object]) -> str:
    return "is given" if len(given) == 1 else "are given"


def _takes(parameter: Parameter, operand: Operand) -> bool:
    return not isinstance(fit(parameter, _marker(operand)), Misfit)


def _takes_list(parameter: Parameter) -> bool:
    """Whether the parameter is a list of tensors, and no tensor."""
    options = (
        parameter.accepts.options if isinstance(parameter.accepts, Either) else (parameter.accepts,)
    )
    lists = any(isinstance(o, SequenceOf) and o.item is Kind.TENSOR for o in options)
    return lists and Kind.TENSOR not in options and Kind.ANYTHING not in options


def _listed(operands: list[Operand]) -> Operand:
    facts_ = tuple(tuple(column) for column in zip(*(o.facts for o in operands), strict=True))
    return Operand(ListOf(tuple(o.expr for o in operands)), facts_, *join(operands))


def _bind_given(
    signature: Signature, what: str, args: Sequence[Operand], kwargs: Mapping[str, Operand]
) -> Bound:
    """A call as an expression writes it: checked against the signature, left as it is written."""
    parameters = {p.name: p for p in signature.parameters}
    positional = [p for p in signature.parameters if not p.keyword_only]
    if len(args) > len(positional) and signature.star is None:
        most = _count(len(positional), "input")
        fact = f"`{what}` takes at most {most}, and {len(args)} {_are(args)}"
        raise _NoMatch(2, "NS212", fact, None, None)
    fitted: list[Operand] = []
    for parameter, operand in zip(positional, args, strict=False):
        fitted.append(_fitted(parameter, operand, what, None, 4))
    filled = {p.name for p in positional[: len(args)]}
    for operand in args[len(positional) :]:
        assert signature.star is not None, "checked above"
        fitted.append(_fitted(signature.star, operand, what, None, 4))
    named: list[tuple[str, Operand]] = []
    for name, operand in kwargs.items():
        if name not in parameters:
            raise _NoMatch(1, "NS203", f"`{what}` has no argument `{name}`", name, None)
        if name in filled:
            raise _NoMatch(2, "NS205", f"`{name}` of `{what}` is given twice", name, None)
        named.append((name, _fitted(parameters[name], operand, what, name, 4)))
        filled.add(name)
    for parameter in signature.parameters:
        if parameter.required and parameter.name not in filled:
            fact = f"`{what}` needs `{parameter.name}`, {describe(parameter.accepts)}"
            raise _NoMatch(3, "NS204", fact, None, None)
    return Bound(tuple(fitted), tuple(named))
