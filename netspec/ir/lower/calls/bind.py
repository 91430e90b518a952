"""Arguments → the call that an operator's signature allows; every name and type is checked here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch

from netspec.errors import Diagnostic, did_you_mean
from netspec.ir.expr import Const, ListOf
from netspec.ir.graph import Place
from netspec.ir.limits import MAX_LENGTH
from netspec.ir.lower.refusal import Refused, Text, refuse
from netspec.ir.lower.values import Operand, join
from netspec.ops.arguments import (
    DEVICE,
    TENSOR,
    TENSORS,
    ArgumentType,
    Choices,
    Either,
    Kind,
    Misfit,
    Parameter,
    SequenceOf,
    Signature,
    coerce,
    describe,
)  # fmt: skip
from netspec.ops.foreign_names import told_of_argument
from netspec.ops.types import Fact, Mapped, TensorType

Given: TypeAlias = tuple[tuple[Fact, ...], tuple[tuple[str, Fact], ...]]  # args and kwargs


@dataclass(frozen=True, slots=True)
class Bound:
    """Operands in the order and by the names in which they are passed."""

    args: tuple[Operand, ...]
    kwargs: tuple[tuple[str, Operand], ...]
    names: tuple[str, ...] = ()  # of the positional ones

    @property
    def is_unknown(self) -> bool:
        """Whether an earlier mistake leaves open what one of them is."""
        return any(operand.is_unknown for operand in self.operands())

    def operands(self) -> list[Operand]:
        return [*self.args, *(operand for _, operand in self.kwargs)]

    def at(self, index: int) -> Given:
        """What is passed at one probe."""
        args = tuple([operand.facts[index] for operand in self.args])
        return args, tuple([(name, operand.facts[index]) for name, operand in self.kwargs])

    def named(self) -> list[tuple[str, Operand]]:
        """Each with its parameter's name; a number stands for one that has none."""
        names = (*self.names, *map(str, range(len(self.names), len(self.args))))
        return [*zip(names, self.args, strict=False), *self.kwargs]

    def gives(self, parameter: str) -> bool:
        """Whether this parameter is passed, in its place or by its name."""
        return parameter in self.names or any(name == parameter for name, _ in self.kwargs)


@dataclass(frozen=True, slots=True)
class _Fault:
    """One thing that a signature has against a call; `key` is the argument that it is about."""

    code: str
    fact: str
    key: str | int | None = None
    help: str | None = None
    text: Text | None = None  # that does not fit


class _NoMatch(Exception):
    """A signature does not take a call; a higher rank means that it was nearer to it."""

    def __init__(self, rank: int, *faults: _Fault) -> None:
        super().__init__(*faults)
        self.rank = rank
        self.faults = faults


def bind(
    signatures: Sequence[Signature],
    what: str,
    args: Sequence[Operand],
    kwargs: Mapping[str, Operand],
    place: Place,
    spread: bool = False,
    elsewhere: tuple[Signature, str] | None = None,
) -> Bound:
    """The operands as the first signature that takes them wants them.

    With `spread`, `args` are a layer's inputs: they fill the first parameters that no name gives
    and that take a tensor, or all go into the first if that is a list of tensors.
    `elsewhere` is another signature that a name may belong to, and where it is given.
    Raises Refused (NS203 unknown, NS204 missing, NS205 ill-typed, NS212 too many inputs).
    """
    _bound_lists(what, [*args, *kwargs.values()], place)
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
    known = tuple(dict.fromkeys(p.name for s in signatures for p in s.parameters))
    told = [_told(fault, known, elsewhere, place) for fault in worst.faults]
    pairs = zip(told, worst.faults, strict=True)
    texts = {one: fault.text for one, fault in pairs if fault.text is not None}
    raise Refused(*told, texts=texts)


def _bound_lists(what: str, operands: Sequence[Operand], place: Place) -> None:
    for operand in operands:
        fact = operand.facts[0]
        if isinstance(fact, tuple) and len(fact) > MAX_LENGTH:
            told = f"an argument of `{what}` is a list of {len(fact):,} items"
            raise refuse("NS217", told, place.span(), f"at most {MAX_LENGTH:,} are allowed")


def _told(
    fault: _Fault, known: tuple[str, ...], elsewhere: tuple[Signature, str] | None, place: Place
) -> Diagnostic:
    at = None
    if isinstance(fault.key, str):
        at = place.argument(fault.key)
    elif fault.key is not None:
        at = place.positional(fault.key)
    span = place.span()
    if at is not None:
        span = at.span() if fault.code == "NS205" else at.key_span()
    help = fault.help
    if fault.code == "NS203" and isinstance(fault.key, str):
        help = told_of_argument(fault.key, known)
        if elsewhere is not None and any(p.name == fault.key for p in elsewhere[0].parameters):
            help = elsewhere[1].format(fault.key)
    return Diagnostic(fault.code, fault.fact, span, help=help)


def _unknown_names(
    what: str, kwargs: Mapping[str, Operand], known: Mapping[str, Parameter]
) -> list[_Fault]:
    names = [name for name in kwargs if name not in known]
    return [_Fault("NS203", f"`{what}` has no argument `{name}`", name) for name in names]


def _fitted(
    parameter: Parameter,
    operand: Operand,
    what: str,
    key: str | int | None,
    faults: list[_Fault],
) -> Operand:
    """The operand as the parameter wants it; what it does not take is added to the faults."""
    if operand.is_unknown:
        return operand
    value = coerce(parameter, _marker(operand))
    if isinstance(value, Misfit):
        given = f"`{parameter.name}` of `{what}` is {words_for(operand)}"
        help = _nearest_choice(parameter.accepts, operand.facts[0])
        fact = f"{given}, and {value.expected} is expected"
        fault = _Fault("NS205", fact, key, help, _text_in(operand))
        faults.append(fault)
        return operand
    if isinstance(operand.expr, Const) and value is not operand.facts[0]:
        origin = operand.expr.origin
        return Operand(Const(value, origin), (value,) * len(operand.facts), sized=False)
    return operand


def _text_in(operand: Operand) -> Text | None:
    """The text that an operand is, or the first in a list, and the arg that it came from."""
    value = operand.facts[0]
    items = value if isinstance(value, tuple) else (value,)
    text = next((item for item in items if isinstance(item, str)), None)
    origin = operand.expr.origin if isinstance(operand.expr, Const) else None
    return None if text is None else (text, origin)


def _nearest_choice(accepts: ArgumentType, value: Fact) -> str | None:
    """The text that a misspelt one may have meant, or the number that a text holds."""
    if not isinstance(value, str):
        return None
    options = accepts.options if isinstance(accepts, Either) else (accepts,)
    words = [word for o in options if isinstance(o, Choices) for word in o.options]
    if words:
        return did_you_mean(value, words)
    number = value.removeprefix("-").replace(".", "", 1).replace("e-", "", 1)
    if number.isdecimal() and not {Kind.INT, Kind.FLOAT, Kind.SCALAR}.isdisjoint(options):
        return f"write it without quotes: `{value}`"
    return None


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
        case mark if mark is DEVICE:
            return "a device"
        case None:
            return "null"
        case bool() as value:
            return f"`{str(value).lower()}`"
        case str() as value:
            return f'the text "{value}"'
        case tuple():
            return f"`{_shown(fact)}`"
        case Mapped(items):
            keys = ", ".join(f"`{key}`" for key, _ in items)
            return f"a dict of {keys}"
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
    given: dict[str, Operand] = {}
    rest = list(inputs)
    open_parameters = [p for p in signature.parameters if p.name not in kwargs]
    first = open_parameters[0] if open_parameters else None
    if first is not None and rest and _takes_list(first) and _are_tensors(rest):
        given[first.name] = _listed(rest)
        rest = []
    for parameter in open_parameters:
        if not rest:
            break
        if parameter.keyword_only or not _takes(parameter, rest[0]):
            continue
        given[parameter.name] = rest.pop(0)
    unknown = _unknown_names(what, kwargs, known)
    if rest and unknown:
        raise _NoMatch(1, *unknown)
    if rest and signature.star is None and isinstance(rest[0].facts[0], (tuple, Mapped)):
        fact = f"`{what}` takes tensors, and an input is {words_for(rest[0])}"
        raise _NoMatch(2, _Fault("NS212", fact, "from"))
    if rest and signature.star is None:
        takes = _count(len(given), "input")
        fact = f"`{what}` takes {takes} here, and {len(inputs)} {_are(inputs)}"
        raise _NoMatch(2, _Fault("NS212", fact, "from"))
    return _arrange(signature, what, given, kwargs, rest, unknown)


def _arrange(
    signature: Signature,
    what: str,
    given: Mapping[str, Operand],
    kwargs: Mapping[str, Operand],
    star: Sequence[Operand],
    unknown: Sequence[_Fault],
) -> Bound:
    faults: list[_Fault] = []
    missing: list[Parameter] = []
    args: list[Operand] = []
    names: list[str] = []
    by_name: list[tuple[str, Operand]] = []
    in_order = True
    for parameter in signature.parameters:
        name = parameter.name
        operand = given.get(name, kwargs.get(name))
        if operand is None:
            in_order = False
            if parameter.required:
                missing.append(parameter)
            continue
        operand = _fitted(parameter, operand, what, name if name in kwargs else None, faults)
        in_order = in_order and not parameter.keyword_only
        if in_order and (parameter.required or name in given or star):
            args.append(operand)
            names.append(name)
        else:
            in_order = False
            by_name.append((name, operand))
    _refuse(what, unknown, missing, faults)
    return Bound((*args, *star), tuple(by_name), tuple(names))


def _refuse(
    what: str,
    unknown: Sequence[_Fault],
    missing: Sequence[Parameter],
    faults: Sequence[_Fault],
) -> None:
    """Raises _NoMatch with all that is wrong; what is missing may only be misspelt."""
    if unknown:
        raise _NoMatch(1, *unknown, *faults)
    if missing:
        needs = " and ".join(f"`{p.name}`, {describe(p.accepts)}" for p in missing)
        inputs = [p for p in missing if not isinstance(coerce(p, TENSOR), Misfit)]
        help = "add " + ", ".join(f"`{p.name}: …`" for p in missing)
        if inputs:
            help = f"name {_count(len(inputs), 'more input')} in `from`"
        key = "from" if inputs else None
        raise _NoMatch(3, _Fault("NS204", f"`{what}` needs {needs}", key, help), *faults)
    if faults:
        raise _NoMatch(4, *faults)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _are(given: Sequence[object]) -> str:
    return "is given" if len(given) == 1 else "are given"


def _are_tensors(operands: Sequence[Operand]) -> bool:
    """Whether all are tensors, as far as is known; of one alone something has to be known."""
    if len(operands) > 1:
        return all(operand.is_tensor or operand.is_unknown for operand in operands)
    return operands[0].is_tensor


def _takes(parameter: Parameter, operand: Operand) -> bool:
    return operand.is_unknown or not isinstance(coerce(parameter, _marker(operand)), Misfit)


def _takes_list(parameter: Parameter) -> bool:
    """Whether the parameter is a list of tensors, and no tensor."""
    options = (
        parameter.accepts.options if isinstance(parameter.accepts, Either) else (parameter.accepts,)
    )
    lists = any(isinstance(o, SequenceOf) and o.item is Kind.TENSOR for o in options)
    return lists and Kind.TENSOR not in options and Kind.ANYTHING not in options


def _listed(operands: list[Operand]) -> Operand:
    if any(operand.is_unknown for operand in operands):
        return next(operand for operand in operands if operand.is_unknown)
    facts_ = tuple(tuple(column) for column in zip(*(o.facts for o in operands), strict=True))
    return Operand(ListOf(tuple(o.expr for o in operands)), facts_, *join(operands))


def _bind_given(
    signature: Signature, what: str, args: Sequence[Operand], kwargs: Mapping[str, Operand]
) -> Bound:
    """A call as an expression writes it: checked against the signature, left as it is written."""
    parameters = {p.name: p for p in signature.parameters}
    positional = [p for p in signature.parameters if not p.keyword_only]
    unknown = _unknown_names(what, kwargs, parameters)
    if len(args) > len(positional) and signature.star is None and unknown:
        raise _NoMatch(1, *unknown)
    if len(args) > len(positional) and signature.star is None:
        most = _count(len(positional), "input")
        fact = f"`{what}` takes at most {most}, and {len(args)} {_are(args)}"
        raise _NoMatch(2, _Fault("NS212", fact, "from"))
    faults: list[_Fault] = []
    fitted: list[Operand] = []
    for index, operand in enumerate(args):
        parameter = positional[index] if index < len(positional) else signature.star
        assert parameter is not None, "checked above"
        fitted.append(_fitted(parameter, operand, what, index, faults))
    filled = {p.name for p in positional[: len(args)]}
    named: list[tuple[str, Operand]] = []
    for name, operand in kwargs.items():
        if name in filled:
            faults.append(_Fault("NS205", f"`{name}` of `{what}` is given twice", name))
        elif name in parameters:
            named.append((name, _fitted(parameters[name], operand, what, name, faults)))
            filled.add(name)
    missing = [p for p in signature.parameters if p.required and p.name not in filled]
    _refuse(what, unknown, missing, faults)
    names = tuple([p.name for p in positional[: len(args)]])
    return Bound(tuple(fitted), tuple(named), names)
